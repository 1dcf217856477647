/**
 * How the REST API recognises who calls: an access token of this tenant that was made for no API (RFC 6750, RFC 9449), or an API key. What is
 * refused says how to be recognised, and no more.
 */

import type { Config } from '#config/config.ts';
import { AUTHENTICATION_CONTEXTS } from '#src/domain/authentication.ts';
import { issuerOf, type TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { KeyAllowance, LivingApiKey, VerifyApiKey } from '#src/flows/access/api_keys.ts';
import type { Clock } from '#src/foundation/clock.ts';
import type { TokenAuthentication, TokenCaller } from '#src/oidc/own_access_tokens.ts';
import type { PresentedCredential, TenantEngine } from '#src/oidc/tenant_engine.ts';
import type { HttpExchange } from '../gates/exchange.ts';
import { type Problem, ProblemRaised, problems } from '../problems.ts';
import {
  type BearerChain,
  bearer,
  type EitherCaller,
  type EitherChain,
  type FirstPartyCaller,
  type FirstPartyChain,
  type ManagementCaller,
  managerByKey,
  managerByToken,
  type OperatorChain,
  operatorByToken,
  type PermittedChain,
  type ServiceKeyChain,
  type Shortage,
  serviceKey,
  shortageOf,
  shortageOfManager,
  type TenantChain,
} from './chains.ts';

export interface CallersOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly verifyApiKey: VerifyApiKey;
}

/** One call, before anything of it was looked at but who makes it. */
export interface Arrival {
  readonly exchange: HttpExchange;
  readonly engine: TenantEngine;
}

const dpopAlgorithms = 'ES256 EdDSA';

/** What the chain hands the route. Throws `ProblemRaised` for everybody else. */
export async function recognise(arrival: Arrival, chain: TenantChain, options: CallersOptions): Promise<unknown> {
  switch (chain.chain) {
    case 'public':
      return undefined;
    case 'firstParty':
      return recogniseFirstParty(arrival, chain, options);
    case 'bearer':
      return recogniseBearer(arrival, chain, options);
    case 'serviceKey':
      return recogniseKey(arrival, chain, options);
    case 'bearerOrKey':
      return recogniseEither(arrival, chain, options);
    case 'permitted':
      return recogniseManager(arrival, chain, options);
    default: {
      const never: never = chain;
      return never;
    }
  }
}

async function recogniseFirstParty(
  arrival: Arrival,
  { token: welcome }: FirstPartyChain,
  options: CallersOptions,
): Promise<FirstPartyCaller> {
  const { token } = tokenShown(arrival.exchange);
  if (welcome === undefined || headerOf(arrival.exchange, 'authorization') === '') return { shown: undefined };
  const caller = await recogniseBearer(arrival, bearer({ kinds: ['user'], firstParty: true }), options);
  return { shown: { caller, token } };
}

async function recogniseEither(arrival: Arrival, chain: EitherChain, options: CallersOptions): Promise<EitherCaller> {
  if (showsKeyAlone(arrival.exchange))
    return { by: 'key', key: await recogniseKey(arrival, serviceKey(chain.key), options) };
  return { by: 'token', token: await recogniseBearer(arrival, bearer(chain.bearer), options) };
}

async function recogniseBearer(arrival: Arrival, chain: BearerChain, { config }: CallersOptions): Promise<TokenCaller> {
  const { engine, exchange } = arrival;
  const { publicUrl } = config.http;
  const realm = issuerOf(engine.tenant, publicUrl);
  const found = await engine.authenticateToken(exchange, presentedToken(exchange, realm, publicUrl));
  if (found.outcome === 'refused') throw new ProblemRaised(problems.invalidToken(challenges(realm, found)));
  const { caller } = found;
  const shortage = shortageOf(caller, chain);
  if (shortage === undefined) return caller;
  throw new ProblemRaised(refusalOf(shortage, realm));
}

/** Throws `ProblemRaised` when there is none. */
function presentedToken(exchange: HttpExchange, realm: string, publicUrl: string): PresentedCredential {
  const { scheme, token } = tokenShown(exchange);
  if (token === '') {
    const shown = headerOf(exchange, 'authorization') !== '';
    throw new ProblemRaised(problems.unauthorized(challenges(realm, shown ? invalidToken : undefined)));
  }
  const address = publicUrl + exchange.path;
  return { scheme, token, address };
}

/** Who may be an operator. */
export interface Operators {
  /** The engines of the tenants that operators are at home in, without those that are not served. */
  homes(): Promise<readonly TenantEngine[]>;
  /** Whether this member is one at this moment. */
  has(member: { readonly tenantId: TenantId; readonly userId: UserId }): Promise<boolean>;
}

/** The operator who calls, and the engine of their home tenant. Throws `ProblemRaised` for everybody else. */
export async function recogniseOperator(
  exchange: HttpExchange,
  { permission }: OperatorChain,
  {
    homes,
    operators,
    config,
  }: CallersOptions & { readonly homes: readonly TenantEngine[]; readonly operators: Operators },
): Promise<{ readonly caller: ManagementCaller; readonly engine: TenantEngine }> {
  const realm = config.http.publicUrl;
  const { engine, caller: byToken } = await findHome(exchange, homes, realm);
  if (byToken.kind !== 'user') throw new ProblemRaised(problems.wrongKindOfCaller());
  const caller = operatorByToken(byToken);
  const { userId } = caller;
  if (userId === undefined || !(await operators.has({ tenantId: engine.tenant.id, userId })))
    throw new ProblemRaised(problems.insufficientPermission(`platform:${permission}`));
  if (!caller.permissions.has(permission))
    throw new ProblemRaised(refusalOf({ lacks: 'scope', scope: `platform:${permission}` }, realm));
  if (config.operators.requireSecondFactor && !byToken.multiFactor)
    throw new ProblemRaised(problems.secondFactorNeeded([stepUpChallenge(realm)]));
  return { caller, engine };
}

/** A token does not say whose it is: that of one tenant is nothing at all at the others. */
async function findHome(exchange: HttpExchange, homes: readonly TenantEngine[], realm: string) {
  const presented = presentedToken(exchange, realm, realm);
  let refused: Pick<RefusedToken, 'scheme' | 'error'> = invalidToken;
  for (const engine of homes) {
    const found = await engine.authenticateToken(exchange, presented);
    if (found.outcome === 'valid') return { engine, caller: found.caller };
    // It is this one's, and lacks its proof.
    if (found.scheme === 'DPoP') refused = found;
  }
  throw new ProblemRaised(problems.invalidToken(challenges(realm, refused)));
}

/** RFC 9470 §3. */
function stepUpChallenge(realm: string): string {
  const { multiFactor } = AUTHENTICATION_CONTEXTS;
  return `Bearer realm="${realm}", error="insufficient_user_authentication", acr_values="${multiFactor}"`;
}

/** RFC 6750 §2.1. An empty token for what is none. */
function tokenShown(exchange: HttpExchange): { readonly scheme: 'Bearer' | 'DPoP'; readonly token: string } {
  const [, scheme = '', token = ''] =
    /^(Bearer|DPoP) ([A-Za-z0-9._~+/-]{1,200}=*)$/i.exec(headerOf(exchange, 'authorization')) ?? [];
  return { scheme: scheme.toLowerCase() === 'dpop' ? 'DPoP' : 'Bearer', token };
}

/** @param realm The issuer. */
export function refusalOf(shortage: Shortage, realm: string): Problem {
  switch (shortage.lacks) {
    case 'scope':
      return problems.insufficientScope(
        [`Bearer realm="${realm}", error="insufficient_scope", scope="${shortage.scope}"`],
        shortage.scope,
      );
    case 'permission':
      return problems.insufficientPermission(shortage.permission);
    case 'kind':
      return problems.wrongKindOfCaller();
    default: {
      const never: never = shortage;
      return never;
    }
  }
}

type RefusedToken = Extract<TokenAuthentication, { readonly outcome: 'refused' }>;

const invalidToken: Pick<RefusedToken, 'scheme' | 'error'> = { scheme: 'Bearer', error: 'invalid_token' };

/** RFC 6750 §3: nothing is said of a mistake to who has shown nothing. RFC 9449 §7.1: both ways are named. */
export function challenges(realm: string, refused?: Pick<RefusedToken, 'scheme' | 'error'>): readonly string[] {
  const error = refused === undefined ? '' : `, error="${refused.error}"`;
  const of = (scheme: 'Bearer' | 'DPoP'): string => (refused === undefined || refused.scheme === scheme ? error : '');
  return [`Bearer realm="${realm}"${of('Bearer')}`, `DPoP realm="${realm}"${of('DPoP')}, algs="${dpopAlgorithms}"`];
}

async function recogniseKey(arrival: Arrival, chain: ServiceKeyChain, options: CallersOptions): Promise<LivingApiKey> {
  const { engine, exchange } = arrival;
  const found = await findServiceKey(exchange, { scope: chain.scope, engine, options });
  if (found.outcome === 'refused') throw new ProblemRaised(found.problem);
  return found.key;
}

/** The key of this tenant that the request shows, with what is left of its allowance in the answer; or why it opens nothing here. */
export async function findServiceKey(
  { request, response, origin }: HttpExchange,
  {
    scope,
    engine,
    options,
  }: { readonly scope: string | undefined; readonly engine: TenantEngine; readonly options: CallersOptions },
): Promise<
  { readonly outcome: 'found'; readonly key: LivingApiKey } | { readonly outcome: 'refused'; readonly problem: Problem }
> {
  const refuse = (problem: Problem) => ({ outcome: 'refused', problem }) as const;
  const { tenant } = engine;
  const challenge = `ApiKey realm="${issuerOf(tenant, options.config.http.publicUrl)}", header="X-API-Key"`;
  const presented = request.headers['x-api-key'];
  if (typeof presented !== 'string' || presented === '') return refuse(problems.unauthorized([challenge]));
  const now = options.clock();
  const found = await options.verifyApiKey({ presented, address: origin.ip, now, tenantId: tenant.id });
  // A key of another tenant is nothing here, and its owner's allowance is not spoken of.
  if (found.outcome === 'unknown' || found.tenantId !== tenant.id) return refuse(problems.unknownKey([challenge]));
  if (found.outcome === 'limited')
    return refuse(problems.tooManyRequests(found.retryAfterSeconds, allowanceHeaders('key', found.allowance)));
  for (const [name, value] of Object.entries(allowanceHeaders('key', found.allowance))) response.setHeader(name, value);
  const { key } = found;
  if (scope === undefined || key.scopes.includes(scope)) return { outcome: 'found', key };
  return refuse(problems.insufficientScope([`${challenge}, error="insufficient_scope", scope="${scope}"`], scope));
}

/** RateLimit header fields for HTTP (draft-ietf-httpapi-ratelimit-headers). */
export function allowanceHeaders(
  policy: 'key' | 'caller',
  { limit, windowSeconds, remaining, resetSeconds }: KeyAllowance,
) {
  return {
    'ratelimit-policy': `"${policy}";q=${limit};w=${windowSeconds}`,
    ratelimit: `"${policy}";r=${remaining};t=${resetSeconds}`,
  };
}

async function recogniseManager(
  arrival: Arrival,
  { permission }: PermittedChain,
  options: CallersOptions,
): Promise<ManagementCaller> {
  if (showsKeyAlone(arrival.exchange))
    return managerByKey(await recogniseKey(arrival, serviceKey({ scope: permission }), options));
  const caller = await recogniseBearer(arrival, bearer(), options);
  const manager = managerByToken(caller);
  if (manager === undefined) throw new ProblemRaised(problems.wrongKindOfCaller());
  const shortage = shortageOfManager(caller, manager, permission);
  if (shortage === undefined) return manager;
  throw new ProblemRaised(refusalOf(shortage, issuerOf(arrival.engine.tenant, options.config.http.publicUrl)));
}

/** A token decides when both are shown. */
function showsKeyAlone(exchange: HttpExchange): boolean {
  return headerOf(exchange, 'authorization') === '' && headerOf(exchange, 'x-api-key') !== '';
}

function headerOf({ request }: HttpExchange, name: string): string {
  const value = request.headers[name];
  return typeof value === 'string' ? value : '';
}
