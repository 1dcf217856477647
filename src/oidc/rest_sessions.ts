/**
 * Sign-in over REST (docs/decisions/0041) as the engine keeps it: a session, a grant under it and tokens under that, the same artifacts
 * that an authorization request leaves behind, so that everything that looks at tokens and sessions, or ends them, finds these too. Who
 * may sign in was decided by the flow that made the `Authentication`; from here on nothing asks for a password again.
 */
import type { IncomingMessage } from 'node:http';
import type Provider from 'oidc-provider';
import type { Client } from 'oidc-provider';
import { restClientId } from '#adapters/artifacts_adapter.ts';
import { currentUnitOfWork, hashOf } from '#adapters/unit_of_work.ts';
import type { Config } from '#config/config.ts';
import type { Authentication } from '#src/domain/authentication.ts';
import { refreshTokenTtlSeconds } from '#src/domain/lifetimes.ts';
import { passwordMark } from '#src/flows/sign_in/authentication_steps.ts';
import { LostRace } from '#src/storage/database.ts';
import { lockPasswordHash } from '#src/storage/tables/people.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import { personClaims, personScopes } from './accounts.ts';
import { factsOf, newGrant } from './policies.ts';

/** What an application was given. */
export interface RestTokens {
  readonly accessToken: string;
  readonly expiresInSeconds: number;
  readonly refreshToken: string;
  /** Until when, unless it is used before. */
  readonly refreshSeconds: number;
}

export interface RestSessionOptions {
  readonly tenant: TenantRow;
  readonly lifetimes: Config['lifetimes']['refreshToken'];
}

/** How a token comes into being that no protocol request asked for, as `token.issued` tells it. */
const grantType = 'rest';

/** The types of client that have a person in front of them. */
const typesOfPeople: ReadonlySet<string> = new Set(['web', 'spa', 'native']);

/**
 * Whether this client may ask people for their passwords itself: the tenant's own, and one that takes tokens which are bound to no key.
 * A client of somebody else sends people to the hosted pages, always.
 */
export function mayUseRest(client: Client): boolean {
  const { firstParty, type, fapiProfile } = factsOf(client);
  const isBound = client.dpopBoundAccessTokens === true || client.tlsClientCertificateBoundAccessTokens === true;
  const mayRefresh = client.grantTypeAllowed('refresh_token');
  return firstParty && typesOfPeople.has(type) && mayRefresh && !isBound && fapiProfile === undefined;
}

/** The client of this name, or of applications that name none. Undefined for one that may not, or is not there: nobody learns which. */
export async function findRestClient(provider: Provider, clientId: string | undefined): Promise<Client | undefined> {
  const client = await provider.Client.find(clientId ?? restClientId);
  return client !== undefined && mayUseRest(client) ? client : undefined;
}

const decidedClaims = new WeakMap<object, Readonly<Record<string, unknown>>>();

/** What is to be said in an access token that is made here; undefined for every other one. */
export function claimsOfRestToken(token: object): Record<string, unknown> | undefined {
  const claims = decidedClaims.get(token);
  return claims && { ...claims };
}

/**
 * Opens a session for somebody who has just signed in and gives its tokens; in a unit of work, which it commits. Undefined when the
 * person is no member any more, or the password that they signed in with has been changed meanwhile: asked where both are written, so
 * that a new password ends every session that an old one opened.
 */
export async function openRestSession(
  provider: Provider,
  { client, authentication }: { readonly client: Client; readonly authentication: Authentication },
  { tenant, lifetimes }: RestSessionOptions,
): Promise<RestTokens | undefined> {
  const { userId: accountId, amr, acr, factors } = authentication;
  const { clientId } = client;
  const unit = currentUnitOfWork();
  const row = await unit.findAccount(accountId);
  if (row === undefined) return undefined;
  const registered = factsOf(client).scopes;
  const scope = personScopes.filter((name) => name !== 'offline_access' && registered.includes(name)).join(' ');
  const refreshSeconds = refreshTokenTtlSeconds({ clientType: factsOf(client).type, lifetimes, chainAgeSeconds: 0 });

  const grant = newGrant(provider, { client, accountId });
  grant.addOIDCScope(scope);
  const grantId = await grant.save();

  const signedIn = { amr: [...amr], acr, authTime: Math.floor(unit.now.getTime() / 1000) };
  const session = new provider.Session();
  session.loginAccount({ accountId, amr: signedIn.amr, acr, loginTs: signedIn.authTime });
  session.ensureClientContainer(clientId);
  session.grantIdFor(clientId, grantId);
  // No browser has it: it lives as long as the refresh token, which is what the person is signed in with.
  await session.save(refreshSeconds);

  const sid = session.sidFor(clientId);
  const under = { accountId, client, grantId, gty: grantType, scope, sid, sessionUid: session.uid };
  const token = new provider.AccessToken(under);
  decidedClaims.set(token, personClaims({ tenant, api: undefined, row, signedIn, sid }));
  const accessToken = await token.save();
  const refreshToken = await new provider.RefreshToken({ ...under, ...signedIn, rotations: 0 }).save();

  unit.append({
    type: 'token.issued',
    outcome: 'success',
    actor: { type: 'user', id: accountId },
    clientId,
    sessionId: sid,
    data: { grant_type: grantType, scope, audience: [] },
  });
  const mark = factors.find(({ method }) => method === 'password')?.mark;
  try {
    await unit.commitWith(async (transaction) => {
      if (mark !== undefined && passwordMark(await lockPasswordHash(transaction, accountId)) !== mark)
        throw new LostRace('password', undefined);
    });
  } catch (fault) {
    if (fault instanceof LostRace) return undefined;
    throw fault;
  }
  return { accessToken, expiresInSeconds: token.expiration, refreshToken, refreshSeconds };
}

const refreshing = new WeakSet<IncomingMessage>();

/** This request to the token endpoint is made for a refresh over REST: its session goes on with it. */
export function noteRefresh(request: IncomingMessage): void {
  refreshing.add(request);
}

/**
 * From now on a session lives on with every refresh over REST, and tells when and from where it was last used; in the transaction of the
 * refresh, so that one of a session that has just been ended is refused.
 */
export function prolongRestSessions(provider: Provider): void {
  provider.use(async (ctx, next) => {
    await next();
    const { oidc } = ctx as unknown as {
      readonly oidc?: { readonly entities: { readonly RefreshToken?: RefreshToken } };
    };
    const token = oidc?.entities.RefreshToken;
    if (!refreshing.has(ctx.req) || ctx.status !== 200 || token?.sessionUid === undefined) return;
    const session = await provider.Session.findByUid(token.sessionUid);
    if (session?.accountId === token.accountId) await session.save(token.remainingTTL);
  });
}

type RefreshToken = InstanceType<Provider['RefreshToken']>;

/** By what somebody shows that a session is theirs to end. */
export type SessionProof =
  | { readonly kind: 'refresh_token'; readonly value: string }
  /** A caller whose token was accepted. */
  | { readonly kind: 'access_token'; readonly value: string };

/**
 * Ends the session of a token with everything issued under it, at every application, and tells those who want to hear of it; in a unit of
 * work, which it commits. A session that is over already has left only its grant. False for a token that is nobody's here.
 */
export async function endRestSession(provider: Provider, { kind, value }: SessionProof): Promise<boolean> {
  const unit = currentUnitOfWork();
  const model = kind === 'refresh_token' ? 'RefreshToken' : 'AccessToken';
  const found = await unit.find(model, hashOf(value), { withAccount: true });
  // As the engine stored it.
  const { accountId, clientId, grantId, sessionUid, sid } = (found?.payload ?? {}) as Partial<RefreshToken>;
  const client = clientId === undefined ? undefined : await provider.Client.find(clientId);
  if (accountId === undefined || grantId === undefined || client === undefined || !factsOf(client).firstParty)
    return false;
  const actor = { type: 'user', id: accountId } as const;
  const session = sessionUid === undefined ? undefined : await unit.findSessionByUid(sessionUid);
  if (session?.payload['accountId'] === accountId) {
    await unit.endSession(session.idHash);
    const target = { type: 'session', id: sessionUid ?? '' };
    unit.append({ type: 'user.signed_out', outcome: 'success', actor, target, clientId, sessionId: sessionUid });
  } else {
    const target = { type: 'grant', id: grantId };
    unit.endGrant(grantId, { type: 'grant.revoked', outcome: 'success', actor, target, clientId, sessionId: sid });
  }
  await unit.commit();
  return true;
}
