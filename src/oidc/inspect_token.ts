/**
 * What this tenant's engine knows about a token, asked inside the process. The answer is that of `POST /introspect`: the look-up, the
 * policy and the shape are the last step of the engine's own endpoint, run without a request around it, so that a door that is
 * no web server can never come to know more than one that is.
 */
import type Provider from 'oidc-provider';
import type { Client } from 'oidc-provider';
import introspectionSteps from 'oidc-provider/lib/actions/introspection.js';
import { valuePrefixes } from '#adapters/artifacts_adapter.ts';
import { lookUpValueOf } from '#adapters/structured_tokens_adapter.ts';
import { currentUnitOfWork, hashOf } from '#adapters/unit_of_work.ts';

/** RFC 7662 §2.2, of a token that is active. Which claims there are: docs/decisions/0013. */
export interface Introspection {
  readonly active: true;
  readonly client_id: string;
  readonly iss: string;
  readonly iat: number;
  readonly exp: number;
  readonly [claim: string]: unknown;
}

export interface TokenQuestion {
  readonly token: string;
  /** The APIs that whoever asks stands for; undefined for every one of this tenant. An empty list learns nothing. */
  readonly audiences: readonly string[] | undefined;
}

/** The engine's last step, which answers; the others read and authenticate a request. */
const render = introspectionSteps.find(({ name }) => name === 'renderTokenResponse');

/** Undefined for what is not active, or not for who asks. To be called in a unit of work. */
export async function inspectToken(
  provider: Provider,
  { token, audiences }: TokenQuestion,
): Promise<Introspection | undefined> {
  if (render === undefined) throw new Error('the engine answers introspection by another name than we know');
  // For the policy no list means all of them.
  if (audiences?.length === 0) return undefined;
  // Read with its person, whose rights the answer tells.
  if (token.startsWith(valuePrefixes.AccessToken ?? ''))
    await currentUnitOfWork().find('AccessToken', hashOf(token), { withAccount: true });
  const oidc = { provider, client: askerFor(audiences ?? []), params: { token: lookUpValueOf(token) }, entity() {} };
  const ctx: { oidc: typeof oidc; body?: unknown } = { oidc };
  await render(ctx, nothingFollows);
  // The engine puts it together in two steps of its own; what it is when it is active is RFC 7662's.
  const answer = ctx.body as Introspection | { readonly active: false };
  return answer.active ? answer : undefined;
}

async function nothingFollows(): Promise<void> {}

/** As far as the policy looks at who asks: a resource server to whom no token was given, because no client has this name. */
function askerFor(audiences: readonly string[]): Client {
  const asker = {
    clientId: 'nobody',
    clientAuthMethod: 'none',
    poort_type: 'resource_server',
    poort_audiences: audiences,
  };
  return asker as unknown as Client;
}
