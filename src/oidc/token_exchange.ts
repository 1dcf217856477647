/**
 * Token exchange (RFC 8693): an API that was called with a token passes on a narrower one to another API of its tenant. What may be
 * exchanged is decided in domain/token_exchange.ts; here the token presented is looked at and the new one made. What that hangs on is
 * in token_origins.ts.
 */
import type Provider from 'oidc-provider';
import {
  type AccessToken,
  type Client,
  errors,
  type KoaContextWithOIDC,
  type TokenEndpointGrantContext,
} from 'oidc-provider';
import {
  buildTokenResponse,
  checkDpopReplay,
  checkDpopRequired,
  checkMtlsCert,
  findAccount,
  validateDpop,
} from 'oidc-provider/lib/helpers/grants.js';
import { deniedTokenKind, type FindLivingToken, type LivingToken } from '#adapters/structured_tokens_adapter.ts';
import { currentUnitOfWork, hashOf } from '#adapters/unit_of_work.ts';
import type { NewEvent } from '#src/domain/event.ts';
import {
  type Actor,
  actorsOf,
  type ExchangePlan,
  parseActor,
  planExchange,
  tokenExchangeGrantType,
} from '#src/domain/token_exchange.ts';
import type { ApiRow } from '#src/storage/tables/apis.ts';
import type { AccountRow } from '#src/storage/tables/people.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import { accountRowOf } from './accounts.ts';
import { factsOf, resourceServerInfo } from './policies.ts';
import { exchangedTokenKind, keepStructured, type Origins, readOrigins, type Token } from './token_origins.ts';

const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token';

interface ExchangeParameters {
  readonly subject_token?: string;
  readonly subject_token_type?: string;
  readonly actor_token?: string;
  readonly actor_token_type?: string;
  readonly requested_token_type?: string;
  readonly resource?: string | string[];
  readonly audience?: string | string[];
  readonly scope?: string;
}

const parameterNames = [
  'subject_token',
  'subject_token_type',
  'actor_token',
  'actor_token_type',
  'requested_token_type',
  'resource',
  'audience',
  'scope',
] as const satisfies readonly (keyof ExchangeParameters)[];

/** A living access token of this tenant, whatever its format. */
interface PresentedToken {
  readonly accountId: string | undefined;
  readonly clientId: string;
  /** Whom it is about. */
  readonly subject: string;
  readonly audiences: readonly string[];
  readonly scopes: readonly string[];
  readonly expiresAt: number;
  readonly sid: string | undefined;
  /** RFC 7800: the key it is bound to. */
  readonly jkt: string | undefined;
  readonly x5t: string | undefined;
  /** The claims beyond those of RFC 9068. */
  readonly claims: Readonly<Record<string, unknown>>;
  readonly origins: Origins;
}

export interface TokenExchangeOptions {
  readonly tenant: TenantRow;
  readonly apis: ReadonlyMap<string, ApiRow>;
  readonly accessTokenSeconds: number;
  readonly findLiving: FindLivingToken;
}

type Context = TokenEndpointGrantContext<ExchangeParameters>;

/** The claims that a token is to be issued with, decided before it is made. */
const decidedClaims = new WeakMap<object, Readonly<Record<string, unknown>>>();

/** What is to be said in a token that comes of an exchange; undefined for every other one. */
export function claimsOfExchange(token: object): Record<string, unknown> | undefined {
  const claims = decidedClaims.get(token);
  return claims && { ...claims };
}

/** What the JWT form alone says: the grant it lives by, and whom it is about when that is not a person. */
export function structuredClaimsOfExchange(token: object): { readonly gid?: string; readonly sub?: string } {
  const sub = textOf(decidedClaims.get(token)?.['sub']);
  const gid = readOrigins(token)?.grantId;
  return { ...(gid === undefined ? {} : { gid }), ...(sub === undefined ? {} : { sub }) };
}

/** RFC 8693 §4.1 in the audit log: who acted, for whom, and through whose hands it came. Undefined unless this was an exchange. */
export function exchangeEvent({ oidc }: KoaContextWithOIDC): NewEvent | undefined {
  if (oidc.params?.['grant_type'] !== tokenExchangeGrantType) return undefined;
  const { client, entities } = oidc;
  const token = entities.AccessToken ?? entities.ClientCredentials;
  const claims = token && decidedClaims.get(token);
  if (token === undefined || claims === undefined) return undefined;
  const accountId = entities.Account?.accountId;
  return {
    type: 'token.issued',
    outcome: 'success',
    actor: { type: 'client', id: client?.clientId },
    target: accountId === undefined ? { type: 'client', id: String(claims['sub']) } : { type: 'user', id: accountId },
    clientId: client?.clientId,
    sessionId: entities.AccessToken?.sid,
    data: {
      grant_type: tokenExchangeGrantType,
      scope: token.scope ?? '',
      audience: [token.aud ?? []].flat(),
      act: actorsOf(parseActor(claims['act'])),
    },
  };
}

export function addTokenExchange(provider: Provider, options: TokenExchangeOptions): void {
  provider.registerGrantType<ExchangeParameters>(
    tokenExchangeGrantType,
    (ctx) => exchange(provider, ctx, options),
    parameterNames,
    // Named twice they are told apart from one another, and refused as what they are: more than one target.
    ['resource', 'audience'],
  );
}

async function exchange(provider: Provider, ctx: Context, options: TokenExchangeOptions): Promise<void> {
  const { client, params } = ctx.oidc;
  const { apis, accessTokenSeconds } = options;
  const { type, scopes, audiences, exchangeTargets } = factsOf(client);
  const proof = await validateDpop(provider, ctx);
  const certificate = checkMtlsCert(provider, ctx);
  checkDpopRequired(provider, ctx, proof);
  assertTokenTypes(params);
  const api = apis.get(targetOf(params));
  // The same answer for an API that is not there: who may not go to one need not learn of it.
  if (api === undefined || !exchangeTargets.includes(api.audience)) throw new errors.InvalidTarget();
  const presented = await findPresentedToken(provider, options, params.subject_token ?? '');
  if (presented === undefined) throw new errors.InvalidRequest(invalidSubject);
  await assertActsForItself(provider, options, ctx);

  const plan = planExchange({
    subject: { ...presented, actor: parseActor(presented.claims['act']) },
    client: {
      clientId: client.clientId,
      scopes,
      audiences: type === 'resource_server' ? audiences : [],
      targets: exchangeTargets,
    },
    target: { audience: api.audience, scopes: api.scopes.map(({ name }) => name) },
    scopes: params.scope?.split(' ').filter((scope) => scope !== ''),
    nowSeconds: Math.floor(Date.now() / 1000),
    maximumSeconds: accessTokenSeconds,
  });
  if (plan.outcome === 'refused') throw refusalOf(plan, params);

  const { accountId } = presented;
  const account = accountId === undefined ? undefined : await findAccount(provider, ctx, accountId);
  if (accountId !== undefined && account === undefined) throw new errors.InvalidRequest(invalidSubject);
  if (account !== undefined) ctx.oidc.entity('Account', account);

  const token = newToken(provider, {
    client,
    accountId,
    sid: presented.sid,
    expiresIn: plan.lifetimeSeconds,
    origins: {
      ...presented.origins,
      clients: [...new Set([client.clientId, presented.clientId, ...presented.origins.clients])],
    },
  });
  const info = resourceServerInfo(api, { client, accessTokenSeconds });
  token.resourceServer = new provider.ResourceServer(api.audience, info);
  token.scope = plan.scopes.join(' ');
  if (certificate !== undefined) token.setThumbprint('x5t', certificate);
  if (proof !== undefined) {
    await checkDpopReplay(provider, ctx, proof, client.clientId);
    token.setThumbprint('jkt', proof.thumbprint);
  }
  assertStaysBound(presented, token);
  decidedClaims.set(token, claimsFor(presented, { options, api, row: accountRowOf(account), actor: plan.actor }));

  ctx.oidc.entity(token.kind, token);
  const accessToken = await token.save();
  if (token.format === 'jwt') keepStructured(token);
  ctx.body = buildTokenResponse(provider, {
    accessToken,
    issuedTokenType: accessTokenType,
    tokenType: token.tokenType,
    expiresIn: token.expiration,
    scope: token.scope,
  });
}

const invalidSubject = 'subject_token is invalid';

/** RFC 8693 §2.1. An ID token says who signed in, a refresh token opens everything: neither is passed on. Throws `InvalidRequest`. */
function assertTokenTypes(params: ExchangeParameters): void {
  const refuse = (name: string): never => {
    throw new errors.InvalidRequest(`${name} must be ${accessTokenType}`);
  };
  if (params.subject_token === undefined) throw new errors.InvalidRequest('subject_token is missing');
  if (params.subject_token_type !== accessTokenType) refuse('subject_token_type');
  if ((params.requested_token_type ?? accessTokenType) !== accessTokenType) refuse('requested_token_type');
  if (params.actor_token !== undefined && params.actor_token_type !== accessTokenType) refuse('actor_token_type');
  if (params.actor_token === undefined && params.actor_token_type !== undefined)
    throw new errors.InvalidRequest('actor_token is missing');
}

/** RFC 8693 §2.1: `resource` and `audience` both name where the token is to be used; here that is one API. */
function targetOf({ resource, audience }: ExchangeParameters): string {
  const [target, ...others] = new Set([resource ?? [], audience ?? []].flat());
  if (target === undefined) throw new errors.InvalidTarget('the API that the token is to be for is missing');
  if (others.length > 0) throw new errors.InvalidTarget('a token is for one API');
  return target;
}

/** Whoever asks acts, and nobody else: an actor token can only repeat, with a token of its own, who that is. Throws `InvalidRequest`. */
async function assertActsForItself(
  provider: Provider,
  options: TokenExchangeOptions,
  { oidc: { client, params } }: Context,
): Promise<void> {
  if (params.actor_token === undefined) return;
  const actor = await findPresentedToken(provider, options, params.actor_token);
  if (actor?.accountId !== undefined || actor?.subject !== client.clientId || actor.clientId !== client.clientId)
    throw new errors.InvalidRequest('actor_token is not a token of the client itself');
}

/** RFC 8693 §2.2.2. Which of the subject's faults it was is for nobody to learn by trying. */
function refusalOf({ problem }: Extract<ExchangePlan, { outcome: 'refused' }>, { scope }: ExchangeParameters): Error {
  switch (problem) {
    case 'not_for_this_client':
    case 'expired':
      return new errors.InvalidRequest(invalidSubject);
    case 'chain_too_long':
      return new errors.InvalidRequest('subject_token passed through too many hands');
    case 'target_not_allowed':
      return new errors.InvalidTarget();
    case 'scope_not_allowed':
    case 'nothing_left':
      return new errors.InvalidScope('requested scope is not allowed', scope ?? '');
    default: {
      const never: never = problem;
      return never;
    }
  }
}

/**
 * RFC 9449: a token that only the holder of a key can use must not become one that anybody can. Who exchanges its own keeps its key;
 * an API that was called with somebody's binds the new one to its own. Throws `InvalidRequest`.
 */
function assertStaysBound(presented: PresentedToken, token: Token): void {
  const { jkt, 'x5t#S256': x5t } = token;
  const wasBound = presented.jkt !== undefined || presented.x5t !== undefined;
  if (wasBound && jkt === undefined && x5t === undefined)
    throw new errors.InvalidRequest('subject_token is bound to a key, and so must be what comes of it');
  const isOwn = presented.clientId === token.clientId;
  if (isOwn && wasBound && (jkt !== presented.jkt || x5t !== presented.x5t))
    throw new errors.InvalidRequest('subject_token is bound to another key');
}

interface NewToken {
  readonly client: Client;
  readonly accountId: string | undefined;
  readonly sid: string | undefined;
  readonly expiresIn: number;
  readonly origins: Origins;
}

/** A person's goes on as a person's, a program's as a program's. */
function newToken(provider: Provider, properties: NewToken): Token {
  if (properties.accountId === undefined) return new provider.ClientCredentials({ scope: '', ...properties });
  // The types ask for a grant of this client. There is none: the one that counts is the subject's, and stands in `origins`.
  const person = { ...properties, gty: 'token_exchange' } as unknown;
  return new provider.AccessToken(person as ConstructorParameters<typeof provider.AccessToken>[0]);
}

interface Said {
  readonly options: TokenExchangeOptions;
  readonly api: ApiRow;
  readonly row: AccountRow | undefined;
  readonly actor: Actor;
}

/** What the subject's token said, as far as it is still true and of the new API's business; and who acts. */
function claimsFor(presented: PresentedToken, { options, api, row, actor }: Said): Readonly<Record<string, unknown>> {
  const { tenant } = options;
  const { claims, sid } = presented;
  const common = { tenant: tenant.slug, tenant_id: tenant.id, act: actor };
  if (row === undefined) return { ...common, sub: presented.subject };
  const stillHeld = (name: string, held: readonly string[]): readonly string[] =>
    [claims[name]]
      .flat()
      .filter((item) => typeof item === 'string')
      .filter((item) => held.includes(item));
  const scopesOfApi = api.scopes.map((scope) => scope.name);
  const { amr, acr, auth_time: authTime, mfa_verified: mfaVerified, device_id: deviceId } = claims;
  return {
    ...common,
    roles: stillHeld('roles', row.roles),
    permissions: stillHeld('permissions', row.permissions).filter((permission) => scopesOfApi.includes(permission)),
    amr,
    acr,
    auth_time: authTime,
    sid,
    mfa_verified: mfaVerified,
    ...(deviceId === undefined ? {} : { device_id: deviceId }),
  };
}

/** Undefined for whatever is no living access token of this tenant. */
async function findPresentedToken(
  provider: Provider,
  { findLiving }: TokenExchangeOptions,
  value: string,
): Promise<PresentedToken | undefined> {
  const token = (await provider.AccessToken.find(value)) ?? (await provider.ClientCredentials.find(value));
  if (token !== undefined) return presentOpaque(provider, token);
  const living = await findLiving(value);
  return living && presentStructured(living);
}

async function presentOpaque(provider: Provider, token: Token): Promise<PresentedToken | undefined> {
  const { clientId, exp, extra = {} } = token;
  const { accountId, grantId, sid } = token as Partial<AccessToken>;
  if (clientId === undefined || exp === undefined) return undefined;
  const grant = grantId === undefined ? undefined : await provider.Grant.find(grantId);
  if (grantId !== undefined && (grant?.accountId !== accountId || grant?.clientId !== clientId)) return undefined;
  const kept = { kind: 'AccessToken', idHash: hashOf(token.jti) } as const;
  const before = readOrigins(token);
  return {
    accountId,
    clientId,
    subject: accountId ?? textOf(extra['sub']) ?? clientId,
    audiences: [token.aud ?? []].flat(),
    scopes: [...token.scopes],
    expiresAt: exp,
    sid,
    jkt: token.jkt,
    x5t: token['x5t#S256'],
    claims: extra,
    origins: {
      grantId: grantId ?? before?.grantId,
      // A person's own token ends with its grant, see `revokeGrantPolicy`.
      tokens: grantId === undefined ? [kept, ...(before?.tokens ?? [])] : [],
      clients: before?.clients ?? [],
    },
  };
}

async function presentStructured({ claims }: LivingToken): Promise<PresentedToken> {
  const { jti, cnf, gid } = claims;
  const isPersons = gid !== undefined;
  // Only what came of an exchange has any.
  const found =
    claims['act'] === undefined ? undefined : await currentUnitOfWork().find(exchangedTokenKind, hashOf(jti));
  const before = readOrigins(found?.payload);
  const ended = { kind: deniedTokenKind, idHash: hashOf(jti) } as const;
  const kept = { kind: exchangedTokenKind, idHash: hashOf(jti) } as const;
  return {
    accountId: isPersons ? claims.sub : undefined,
    clientId: claims.client_id,
    subject: claims.sub,
    audiences: [claims.aud],
    scopes: claims.scope?.split(' ') ?? [],
    expiresAt: claims.exp,
    sid: claims.sid,
    jkt: cnf?.jkt,
    x5t: cnf?.['x5t#S256'],
    claims,
    origins: {
      grantId: gid,
      tokens: before !== undefined ? [kept, ...before.tokens] : isPersons ? [] : [ended],
      clients: before?.clients ?? [],
    },
  };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
