/**
 * The door of the REST API: recognises who calls, by the route's chain, before anything of the call is looked at; answers in JSON and
 * refuses in RFC 9457, with the challenges of RFC 6750 and RFC 9449. Cookies are never looked at here, so no page of somebody else's can
 * call in a person's name, and origins that clients registered may call from a browser. (The one cookie that some routes take is looked
 * at in token_delivery.ts, which refuses whatever another site sends along with it.)
 */
import type Router from '@koa/router';
import type { Context } from 'koa';
import { LRUCache } from 'lru-cache';
import { mayManageFrom } from '#src/domain/people_settings.ts';
import { countRequest, type Window } from '#src/domain/request_allowance.ts';
import { isStorableText } from '#src/domain/stored_text.ts';
import {
  beginIdempotent,
  type IdempotencyServices,
  type IdempotentBeginning,
  type KeptAnswer,
} from '#src/flows/access/idempotency.ts';
import type { TenantEngine } from '#src/oidc/tenant_engine.ts';
import { isUnavailable } from '#src/storage/database.ts';
import { readJsonBody } from '../json_body.ts';
import type { PageState } from '../pages/interaction/interaction_step.ts';
import { ProblemRaised, problems } from '../problems.ts';
import { allowanceHeaders, type CallersOptions, type Operators, recognise, recogniseOperator } from './callers.ts';
import { isOfManagement, type ManagementCaller } from './chains.ts';
import { type Cursors, createCursors, listName } from './cursors.ts';
import { etagOf, namesState } from './entity_tags.ts';
import { parseBody, parseQuery } from './input.ts';
import type { ApiAnswer, ApiRoute } from './routes.ts';

export interface ApiDoorOptions extends CallersOptions {
  readonly apiServices: IdempotencyServices;
}

type DoorContext = Context & { readonly state: PageState; readonly params: Readonly<Record<string, string>> };

/** What all calls have in common. */
interface Door {
  readonly options: ApiDoorOptions;
  readonly cursors: Cursors;
  /** How often who has called, of those whom no key's own allowance holds. */
  readonly windows: LRUCache<string, Window>;
  /** At the addresses of the installation, which are theirs alone. */
  readonly operators?: Operators | undefined;
}

const preflightSeconds = 3_600;
/** What a browser may show its page beside the body. */
const exposedHeaders =
  'DPoP-Nonce, ETag, Idempotency-Replayed, Link, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Request-Id';
const allowedHeaders = 'Authorization, Content-Type, DPoP, Idempotency-Key, If-Match, If-None-Match';
const maximumCallers = 10_000;
const windowSeconds = 60;

/** Mounts these routes, below every issuer, and nothing else. */
export function mountApi(router: Router<PageState>, routes: readonly ApiRoute[], options: ApiDoorOptions): void {
  mount(router, routes, { prefix: '/t/:slug', door: openDoor(options) });
}

/** Mounts these routes, at the installation itself, for operators. */
export function mountPlatformApi(
  router: Router,
  routes: readonly ApiRoute[],
  options: ApiDoorOptions & { readonly operators: Operators },
): void {
  // A route has the engine of the operator's home tenant from the moment they are recognised.
  const own = router as unknown as Router<PageState>;
  mount(own, routes, { prefix: '', door: { ...openDoor(options), operators: options.operators } });
}

function openDoor(options: ApiDoorOptions): Door {
  return {
    options,
    cursors: createCursors(options.apiServices.sealer.deriveAll('api cursors')),
    windows: new LRUCache({ max: maximumCallers }),
  };
}

function mount(
  router: Router<PageState>,
  routes: readonly ApiRoute[],
  { prefix, door }: { readonly prefix: string; readonly door: Door },
): void {
  for (const { path, chain } of routes) {
    if ((chain.chain === 'operator') !== (door.operators !== undefined))
      throw new Error(`${path} is served where its callers are not`);
  }
  for (const [path, there] of Map.groupBy(routes, (route) => route.path)) {
    const addresses = [path, ...aliasesOf(path)].map((at) => `${prefix}${at.replaceAll(/\{(\w+)\}/g, ':$1')}`);
    const methods = there.map(({ method }) => method);
    if (new Set(methods).size !== methods.length) throw new Error(`${path} is served twice`);
    // Keys are for servers: a browser that had one would show it to whoever looks.
    const openToBrowsers = there.filter(({ chain }) => chain.chain !== 'serviceKey');
    for (const address of addresses) {
      if (openToBrowsers.length > 0)
        router.options(address, (ctx) => answerPreflight(ctx as unknown as DoorContext, openToBrowsers, door));
      for (const route of there) {
        router.register(address, [route.method], async (ctx) => {
          await serve(ctx as unknown as DoorContext, route, door);
        });
      }
    }
  }
}

/** Services that Poort replaces had it without the version. */
function aliasesOf(path: string): readonly string[] {
  return path.startsWith('/api/v1/auth/') ? [path.slice('/api/v1'.length)] : [];
}

async function serve(ctx: DoorContext, route: ApiRoute, door: Door): Promise<void> {
  const { exchange } = ctx.state;
  const { options } = door;
  const engines = await enginesAt(ctx, door);
  if (route.chain.chain !== 'serviceKey') await allowOrigin(ctx, route, engines);
  const { engine, caller } = await recogniseCaller(ctx, route, door, engines);
  if (isOfManagement(route.chain)) {
    // Said to nobody but to whoever would be let in elsewhere.
    if (!mayManageFrom(engine.people, exchange.origin.ip)) throw new ProblemRaised(problems.addressNotAllowed());
    countCall(ctx, caller as ManagementCaller, door);
  }
  // Nothing has such a name.
  if (!Object.values(ctx.params).every(isStorableText)) throw new ProblemRaised(problems.notFound());
  const search = new URLSearchParams(exchange.search);
  const list = listName(engine.tenant.id, exchange.path, search);
  const query = parseQuery(route.query, withPlace(search, list, door.cursors));
  const sent = route.body === undefined ? undefined : await readBody(ctx, options);
  const body = route.body === undefined ? undefined : parseBody(route.body, sent);
  const ifMatch = ctx.get('if-match') || undefined;
  const handle = async (): Promise<ApiAnswer> =>
    route.handle({ caller, engine, exchange, parameters: ctx.params, body, query, ifMatch });

  if (isOfManagement(route.chain) && route.method === 'POST' && ctx.get('idempotency-key') !== '')
    return answerOnce(ctx, { route, sent, caller: caller as ManagementCaller, handle }, door);
  const answered = await handle();
  checkStatus(route, answered);
  if (answered.stream !== undefined) {
    ctx.status = answered.status;
    ctx.set({ ...answered.headers, 'content-type': answered.contentType });
    ctx.body = answered.stream;
    return;
  }
  write(ctx, prepare(ctx, route, answered, nextOf(ctx, list, door.cursors)));
}

/** Whose callers may come here. */
async function enginesAt(ctx: DoorContext, { operators }: Door): Promise<readonly TenantEngine[]> {
  return operators === undefined ? [ctx.state.engine] : operators.homes();
}

async function recogniseCaller(
  ctx: DoorContext,
  { chain }: ApiRoute,
  { options, operators }: Door,
  engines: readonly TenantEngine[],
): Promise<{ readonly engine: TenantEngine; readonly caller: unknown }> {
  const { engine, exchange } = ctx.state;
  if (chain.chain !== 'operator') return { engine, caller: await recognise({ engine, exchange }, chain, options) };
  if (operators === undefined) throw new Error('operators are recognised at the installation alone');
  const found = await recogniseOperator(exchange, chain, { ...options, operators, homes: engines });
  Object.assign(ctx.state, { engine: found.engine });
  return found;
}

/** No body at all says nothing: the route's schema decides whether that is enough. */
async function readBody(ctx: DoorContext, { config }: ApiDoorOptions): Promise<unknown> {
  const { 'content-type': type, 'content-length': length = '0', 'transfer-encoding': coding } = ctx.req.headers;
  const isEmpty = length === '0' && coding === undefined;
  if (isEmpty && (type === undefined || /^application\/json\b/i.test(type))) return {};
  return readJsonBody(ctx.req, config.http.bodyLimitBytes);
}

interface Asked {
  readonly route: ApiRoute;
  readonly sent: unknown;
  readonly caller: ManagementCaller;
  readonly handle: () => Promise<ApiAnswer>;
}

/** The first answer under this key is the answer. */
async function answerOnce(ctx: DoorContext, { route, sent, caller, handle }: Asked, door: Door): Promise<void> {
  const key = ctx.get('idempotency-key');
  if (!/^[\x21-\x7e]{1,255}$/.test(key))
    throw new ProblemRaised(problems.malformed('Idempotency-Key is 1 to 255 visible ASCII characters.'));
  const { engine, exchange } = ctx.state;
  const { apiServices, clock } = door.options;
  const begun = await beginIdempotent(apiServices, {
    tenantId: engine.tenant.id,
    // What was shown to a person at one application is not shown to them at another.
    caller: JSON.stringify([caller.actor, caller.clientId]),
    key,
    request: JSON.stringify([route.method, exchange.path, exchange.search, sent]),
    now: clock(),
  });
  if (begun.outcome === 'other_request') throw new ProblemRaised(problems.keyOfAnother());
  if (begun.outcome === 'under_way') throw new ProblemRaised(problems.underWay());
  if (begun.outcome === 'again') {
    ctx.set('idempotency-replayed', 'true');
    return write(ctx, begun.answer);
  }
  const answered = await grant(begun, handle);
  checkStatus(route, answered);
  const answer = prepare(ctx, route, answered);
  await begun.keep(answer);
  write(ctx, answer);
}

async function grant(
  begun: Extract<IdempotentBeginning, { readonly outcome: 'first' }>,
  handle: () => Promise<ApiAnswer>,
): Promise<ApiAnswer> {
  try {
    return await handle();
  } catch (fault) {
    // Refused, or not begun: nothing was done, and a better request may use the key.
    if (fault instanceof ProblemRaised || isUnavailable(fault)) await begun.forget();
    throw fault;
  }
}

/** What the description of the API does not know must not happen. */
function checkStatus({ method, path, statuses }: ApiRoute, { status }: ApiAnswer): void {
  if (!statuses.some((one) => one === status)) throw new Error(`${method} ${path} answered ${status}`);
}

/** As it goes out: only what the route says it answers, with the state that it is. @param signNext Where the list goes on. */
function prepare(
  ctx: DoorContext,
  { chain, answers }: ApiRoute,
  { status, headers = {}, body }: ApiAnswer,
  signNext?: (place: string) => { readonly cursor: string; readonly link: string },
): KeptAnswer {
  if (body === undefined) return { status, headers, body: undefined };
  const shown: Record<string, unknown> = { ...(answers === undefined ? body : (answers.parse(body) as object)) };
  const place = shown['next_cursor'];
  const next = typeof place === 'string' ? signNext?.(place) : undefined;
  if (next !== undefined) shown['next_cursor'] = next.cursor;
  const isOneThing = isOfManagement(chain) && !('data' in shown);
  const all: Record<string, string> = {
    'content-type': 'application/json; charset=utf-8',
    ...(isOneThing ? { etag: etagOf(shown) } : {}),
    ...(next === undefined ? {} : { link: `<${next.link}>; rel="next"` }),
    ...headers,
  };
  const isKnown =
    ctx.method === 'GET' && all['etag'] !== undefined && namesState(ctx.get('if-none-match'), all['etag']);
  return isKnown
    ? { status: 304, headers: all, body: undefined }
    : { status, headers: all, body: JSON.stringify(shown) };
}

function write(ctx: DoorContext, { status, headers, body }: KeptAnswer): void {
  ctx.status = status;
  ctx.set(headers);
  ctx.body = body ?? null;
  // Koa would take the absence of a body for an address that nobody serves.
  if (body === undefined) ctx.status = status;
}

/** The place that a cursor stands for, in its stead. */
function withPlace(search: URLSearchParams, list: string, cursors: Cursors): URLSearchParams {
  const sent = search.getAll('cursor');
  const [cursor] = sent;
  if (cursor === undefined || sent.length > 1) return search;
  const place = cursors.open(list, cursor);
  if (place === undefined)
    throw new ProblemRaised(
      problems.invalidFields([{ parameter: 'cursor', code: 'custom', detail: 'is none that this list has given' }]),
    );
  const opened = new URLSearchParams(search);
  opened.set('cursor', place);
  return opened;
}

function nextOf(ctx: DoorContext, list: string, cursors: Cursors) {
  const { exchange } = ctx.state;
  return (place: string) => {
    const cursor = cursors.sign(list, place);
    const search = new URLSearchParams(exchange.search);
    search.set('cursor', cursor);
    return { cursor, link: `?${search}` };
  };
}

/** Says what is left of the caller's allowance. Keys have one of their own, which was counted when they were recognised. */
function countCall(ctx: DoorContext, { actor }: ManagementCaller, { options, windows }: Door): void {
  if (actor.type === 'api_key') return;
  const { engine } = ctx.state;
  const limit = engine.people['rest.requests_per_minute'];
  const name = `${engine.tenant.id} ${actor.type} ${actor.id}`;
  const counted = countRequest(windows.get(name), { limit, windowSeconds }, options.clock());
  windows.set(name, counted.window);
  const { remaining, resetSeconds } = counted;
  const headers = allowanceHeaders('caller', { limit, windowSeconds, remaining, resetSeconds });
  if (counted.outcome === 'exceeded') throw new ProblemRaised(problems.tooManyRequests(resetSeconds, headers));
  ctx.set(headers);
}

async function allowOrigin(
  ctx: DoorContext,
  { chain }: Pick<ApiRoute, 'chain'>,
  engines: readonly TenantEngine[],
): Promise<boolean> {
  ctx.vary('origin');
  const origin = ctx.get('origin');
  if (origin === '') return false;
  const isOwn = chain.chain === 'firstParty';
  const known = await Promise.all(
    engines.map((engine) => (isOwn ? engine.isFirstPartyOrigin(origin) : engine.isRegisteredOrigin(origin))),
  );
  if (!known.includes(true)) return false;
  ctx.set('access-control-allow-origin', origin);
  if (isOwn) ctx.set('access-control-allow-credentials', 'true');
  ctx.set('access-control-expose-headers', exposedHeaders);
  return true;
}

/** A browser asks before it calls. To an origin that is not registered nothing is said, and it will not call. */
async function answerPreflight(ctx: DoorContext, there: readonly ApiRoute[], door: Door): Promise<void> {
  const asked = there.find(({ method }) => method === ctx.get('access-control-request-method')) ?? there[0];
  if (asked !== undefined && (await allowOrigin(ctx, asked, await enginesAt(ctx, door)))) {
    ctx.set('access-control-allow-methods', there.map(({ method }) => method).join(', '));
    ctx.set('access-control-allow-headers', allowedHeaders);
    ctx.set('access-control-max-age', String(preflightSeconds));
  }
  ctx.body = null;
  ctx.status = 204;
}
