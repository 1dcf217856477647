/**
 * This file owns what may be exchanged for what (RFC 8693): a token goes on narrower and shorter, or not at all, and always says
 * who acts. It does not own whether the token presented is alive, nor how the new one is made.
 */

/** RFC 8693 §2.1. */
export const tokenExchangeGrantType = 'urn:ietf:params:oauth:grant-type:token-exchange';

/** RFC 8693 §4.1: who acts for the subject, and before that one, whoever acted earlier. */
export interface Actor {
  readonly sub: string;
  readonly act?: Actor | undefined;
}

/** The token presented, alive and of this tenant. */
export interface ExchangeSubject {
  /** The client it was issued to. */
  readonly clientId: string;
  readonly audiences: readonly string[];
  readonly scopes: readonly string[];
  /** Seconds since the epoch. */
  readonly expiresAt: number;
  readonly actor: Actor | undefined;
}

/** The client that presents it. */
export interface ExchangeClient {
  readonly clientId: string;
  /** Every scope it was registered with. */
  readonly scopes: readonly string[];
  /** The APIs it stands for by name. To stand for all of them is not enough to act in their name. */
  readonly audiences: readonly string[];
  /** The APIs it may go on to. */
  readonly targets: readonly string[];
}

export interface ExchangeRequest {
  readonly subject: ExchangeSubject;
  readonly client: ExchangeClient;
  /** The API that the new token is for. */
  readonly target: { readonly audience: string; readonly scopes: readonly string[] };
  /** Undefined: all that is left of the subject's. */
  readonly scopes: readonly string[] | undefined;
  readonly nowSeconds: number;
  /** How long an access token may live at most. */
  readonly maximumSeconds: number;
}

export type ExchangeProblem =
  | 'not_for_this_client'
  | 'expired'
  | 'target_not_allowed'
  | 'scope_not_allowed'
  | 'nothing_left'
  | 'chain_too_long';

export type ExchangePlan =
  | {
      readonly outcome: 'planned';
      readonly scopes: readonly string[];
      readonly lifetimeSeconds: number;
      readonly actor: Actor;
    }
  | { readonly outcome: 'refused'; readonly problem: ExchangeProblem };

/** As many hands as one request may pass through: each of them makes the token longer and harder to answer for. */
export const MAXIMUM_ACTORS = 5;

/**
 * Plans an exchange. The scopes are always those that subject, client and target have in common; asking by name for another one is
 * refused, because a program does not read what it was given. The lifetime is what is left of the subject's, or the usual one
 * when that is shorter.
 */
export function planExchange(request: ExchangeRequest): ExchangePlan {
  const { subject, client, target, nowSeconds, maximumSeconds } = request;
  const refused = (problem: ExchangeProblem): ExchangePlan => ({ outcome: 'refused', problem });
  const wasCalledWithIt = subject.audiences.some((audience) => client.audiences.includes(audience));
  if (!wasCalledWithIt && subject.clientId !== client.clientId) return refused('not_for_this_client');
  const lifetimeSeconds = Math.min(maximumSeconds, Math.floor(subject.expiresAt - nowSeconds));
  if (lifetimeSeconds < 1) return refused('expired');
  if (!client.targets.includes(target.audience)) return refused('target_not_allowed');
  if (actorsOf(subject.actor).length >= MAXIMUM_ACTORS) return refused('chain_too_long');

  const common = new Set(
    subject.scopes.filter((scope) => client.scopes.includes(scope) && target.scopes.includes(scope)),
  );
  const scopes = [...new Set(request.scopes ?? common)];
  if (!scopes.every((scope) => common.has(scope))) return refused('scope_not_allowed');
  if (scopes.length === 0) return refused('nothing_left');
  return { outcome: 'planned', scopes, lifetimeSeconds, actor: appendActor(client.clientId, subject.actor) };
}

/** Everyone who acts or acted, the latest first. */
export function actorsOf(actor: Actor | undefined): readonly string[] {
  return actor === undefined ? [] : [actor.sub, ...actorsOf(actor.act)];
}

/** A claim of a token of ours as an actor; undefined for anything else. */
export function parseActor(claim: unknown): Actor | undefined {
  if (typeof claim !== 'object' || claim === null || !('sub' in claim) || typeof claim.sub !== 'string')
    return undefined;
  const before = 'act' in claim ? parseActor(claim.act) : undefined;
  return { sub: claim.sub, ...(before === undefined ? {} : { act: before }) };
}

function appendActor(sub: string, before: Actor | undefined): Actor {
  // One client that narrows its own token twice acts once.
  if (before?.sub === sub) return before;
  return { sub, ...(before === undefined ? {} : { act: before }) };
}
