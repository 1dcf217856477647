/**
 * The door of the REST API: recognises who calls, by the route's chain, before anything of the call is looked at; answers in JSON and
 * refuses in RFC 9457, with the challenges of RFC 6750 and RFC 9449. Cookies are never looked at here, so no page of somebody else's can
 * call in a person's name, and origins that clients registered may call from a browser.
 */
import type Router from '@koa/router';
import type { Context } from 'koa';
import type { Config } from '#config/config.ts';
import { issuerOf } from '#src/domain/tenant.ts';
import type { KeyAllowance, LivingApiKey, VerifyApiKey } from '#src/flows/access/api_keys.ts';
import type { Clock } from '#src/foundation/clock.ts';
import type { TokenAuthentication, TokenCaller } from '#src/oidc/own_access_tokens.ts';
import type { TenantEngine } from '#src/oidc/tenant_engine.ts';
import type { HttpExchange } from '../gates/exchange.ts';
import { readJsonBody } from '../json_body.ts';
import type { PageState } from '../pages/interaction/interaction_step.ts';
import { type Problem, ProblemRaised, problems } from '../problems.ts';
import {
  type BearerChain,
  bearer,
  type Chain,
  type EitherCaller,
  type EitherChain,
  type ServiceKeyChain,
  type Shortage,
  serviceKey,
  shortageOf,
} from './chains.ts';
import { parseBody, parseQuery } from './input.ts';
import type { ApiAnswer, ApiRoute } from './routes.ts';

export interface ApiDoorOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly verifyApiKey: VerifyApiKey;
}

type DoorContext = Context & { readonly state: PageState; readonly params: Readonly<Record<string, string>> };

const dpopAlgorithms = 'ES256 EdDSA';
const preflightSeconds = 3_600;
/** What a browser may show its page beside the body. */
const exposedHeaders = 'DPoP-Nonce, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Request-Id';

/** Mounts these routes and nothing else. */
export function mountApi(router: Router<PageState>, routes: readonly ApiRoute[], options: ApiDoorOptions): void {
  for (const [path, there] of Map.groupBy(routes, (route) => route.path)) {
    const address = `/t/:slug${path.replaceAll(/\{(\w+)\}/g, ':$1')}`;
    const methods = there.map(({ method }) => method);
    if (new Set(methods).size !== methods.length) throw new Error(`${path} is served twice`);
    // Keys are for servers: a browser that had one would show it to whoever looks.
    const openToBrowsers = there.filter(({ chain }) => chain.chain !== 'serviceKey').map(({ method }) => method);
    if (openToBrowsers.length > 0)
      router.options(address, (ctx) => answerPreflight(ctx as unknown as DoorContext, openToBrowsers));
    for (const route of there) {
      router.register(address, [route.method], async (ctx) => {
        await serve(ctx as unknown as DoorContext, route, options);
      });
    }
  }
}

async function serve(ctx: DoorContext, route: ApiRoute, options: ApiDoorOptions): Promise<void> {
  const { engine, exchange } = ctx.state;
  if (route.chain.chain !== 'serviceKey') await allowOrigin(ctx);
  const caller = await recognise(ctx, route.chain, options);
  const query = parseQuery(route.query, exchange.search);
  const body =
    route.body === undefined
      ? undefined
      : parseBody(route.body, await readJsonBody(ctx.req, options.config.http.bodyLimitBytes));
  answer(ctx, await route.handle({ caller, engine, exchange, parameters: ctx.params, body, query }));
}

function answer(ctx: DoorContext, { status, headers, body, ...rest }: ApiAnswer): void {
  ctx.status = status;
  for (const [name, value] of Object.entries(headers ?? {})) ctx.set(name, value);
  if ('contentType' in rest) {
    ctx.set('content-type', rest.contentType);
    ctx.body = rest.stream;
    return;
  }
  if (body === undefined) {
    // Koa would take the absence of a body for an address that nobody serves.
    ctx.body = null;
    ctx.status = status;
    return;
  }
  ctx.set('content-type', 'application/json; charset=utf-8');
  ctx.body = JSON.stringify(body);
}

async function recognise(ctx: DoorContext, chain: Chain, options: ApiDoorOptions): Promise<unknown> {
  switch (chain.chain) {
    case 'public':
      return undefined;
    case 'bearer':
      return recogniseBearer(ctx, chain, options);
    case 'serviceKey':
      return recogniseKey(ctx, chain, options);
    case 'bearerOrKey':
      return recogniseEither(ctx, chain, options);
    default: {
      const never: never = chain;
      return never;
    }
  }
}

async function recogniseEither(ctx: DoorContext, chain: EitherChain, options: ApiDoorOptions): Promise<EitherCaller> {
  if (ctx.get('authorization') === '' && ctx.get('x-api-key') !== '')
    return { by: 'key', key: await recogniseKey(ctx, serviceKey(chain.key), options) };
  return { by: 'token', token: await recogniseBearer(ctx, bearer(chain.bearer), options) };
}

async function recogniseBearer(ctx: DoorContext, chain: BearerChain, { config }: ApiDoorOptions): Promise<TokenCaller> {
  const { engine, exchange } = ctx.state;
  const { publicUrl } = config.http;
  const realm = issuerOf(engine.tenant, publicUrl);
  const [, scheme = '', token = ''] =
    /^(Bearer|DPoP) ([A-Za-z0-9._~+/-]{1,200}=*)$/i.exec(ctx.get('authorization')) ?? [];
  if (token === '') {
    const shown = ctx.get('authorization') !== '';
    throw new ProblemRaised(problems.unauthorized(challenges(realm, shown ? invalidToken : undefined)));
  }
  const found = await engine.authenticateToken(exchange, {
    scheme: scheme.toLowerCase() === 'dpop' ? 'DPoP' : 'Bearer',
    token,
    address: publicUrl + exchange.path,
  });
  if (found.outcome === 'refused') throw new ProblemRaised(problems.invalidToken(challenges(realm, found)));
  const { caller } = found;
  const shortage = shortageOf(caller, chain);
  if (shortage === undefined) return caller;
  throw new ProblemRaised(refusalOf(shortage, realm));
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
function challenges(realm: string, refused: Pick<RefusedToken, 'scheme' | 'error'> | undefined): readonly string[] {
  const error = refused === undefined ? '' : `, error="${refused.error}"`;
  const of = (scheme: 'Bearer' | 'DPoP'): string => (refused === undefined || refused.scheme === scheme ? error : '');
  return [`Bearer realm="${realm}"${of('Bearer')}`, `DPoP realm="${realm}"${of('DPoP')}, algs="${dpopAlgorithms}"`];
}

async function recogniseKey(ctx: DoorContext, chain: ServiceKeyChain, options: ApiDoorOptions): Promise<LivingApiKey> {
  const { engine, exchange } = ctx.state;
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
  }: { readonly scope: string | undefined; readonly engine: TenantEngine; readonly options: ApiDoorOptions },
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
    return refuse(problems.tooManyRequests(found.retryAfterSeconds, allowanceHeaders(found.allowance)));
  for (const [name, value] of Object.entries(allowanceHeaders(found.allowance))) response.setHeader(name, value);
  const { key } = found;
  if (scope === undefined || key.scopes.includes(scope)) return { outcome: 'found', key };
  return refuse(problems.insufficientScope([`${challenge}, error="insufficient_scope", scope="${scope}"`], scope));
}

/** RateLimit header fields for HTTP (draft-ietf-httpapi-ratelimit-headers). */
function allowanceHeaders({ limit, windowSeconds, remaining, resetSeconds }: KeyAllowance) {
  return {
    'ratelimit-policy': `"key";q=${limit};w=${windowSeconds}`,
    ratelimit: `"key";r=${remaining};t=${resetSeconds}`,
  };
}

async function allowOrigin(ctx: DoorContext): Promise<boolean> {
  ctx.vary('origin');
  const origin = ctx.get('origin');
  if (origin === '' || !(await ctx.state.engine.isRegisteredOrigin(origin))) return false;
  ctx.set('access-control-allow-origin', origin);
  ctx.set('access-control-expose-headers', exposedHeaders);
  return true;
}

/** A browser asks before it calls. To an origin that is not registered nothing is said, and it will not call. */
async function answerPreflight(ctx: DoorContext, methods: readonly string[]): Promise<void> {
  if (await allowOrigin(ctx)) {
    ctx.set('access-control-allow-methods', methods.join(', '));
    ctx.set('access-control-allow-headers', 'Authorization, Content-Type, DPoP');
    ctx.set('access-control-max-age', String(preflightSeconds));
  }
  ctx.body = null;
  ctx.status = 204;
}
