/**
 * The public door: the gates every request passes, in order, and what is mounted behind them. Protocol requests go straight to
 * the tenant's engine; everything for people goes through Koa.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import Router from '@koa/router';
import Koa from 'koa';
import type { Logger } from 'pino';
import type { Config } from '#config/config.ts';
import type { SignInServices } from '#src/flows/sign_in.ts';
import type { Clock } from '#src/foundation/clock.ts';
import type { Sealer } from '#src/foundation/sealing.ts';
import type { ProviderPool } from '#src/oidc/provider_pool.ts';
import type { TenantEngine } from '#src/oidc/tenant_engine.ts';
import { isUnavailable } from '#src/storage/database.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import { findEngineRoute } from './engine_routes.ts';
import { checkBodySize, checkHost, checkHttps, checkTarget, type Gate } from './gates/checks.ts';
import type { HttpExchange } from './gates/exchange.ts';
import { createProxyTrust, openExchange } from './gates/open_exchange.ts';
import { setSecurityHeaders } from './gates/security_headers.ts';
import type { Health } from './health.ts';
import { readFormText } from './pages/form_body.ts';
import { mountInteractionPages, type PageState } from './pages/interaction_pages.ts';
import { assetsPath, isCrossSite, localeOf, showPage } from './pages/page_kit.ts';
import { assets } from './pages/render.ts';
import { problemSections } from './problem_pages.ts';
import { type Problem, ProblemRaised, problemBody, problems } from './problems.ts';

export interface AppOptions {
  readonly config: Config;
  readonly pool: ProviderPool;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly health: Health;
  readonly logger: Logger;
  readonly signInServices: SignInServices;
}

export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** After a fault of the database: connections are made anew within a second. */
const retrySeconds = 2;
/** Leaves room for the cookies within what Node accepts as the head of a request. */
const longestQueryBytes = 8_192;
const tenantPath = /^\/t\/([a-z0-9-]{1,40})(?:\/(.*))?$/s;
/** RFC 8414 §3.1: the well-known part stands between host and path. */
const insertedMetadataPath =
  /^(\/\.well-known\/(?:oauth-authorization-server|openid-configuration))\/t\/([a-z0-9-]{1,40})$/;

export function createApp(options: AppOptions): HttpHandler {
  const { config, pool, health, logger } = options;
  const secure = config.http.publicUrl.startsWith('https:');
  const trust = createProxyTrust(config.http.trustedProxies);
  const pages = createPagesApp(options);

  // The order is an invariant: nothing of a request is believed before its host is ours.
  const gates: readonly Gate[] = [
    checkHost(config.http),
    checkHttps(config.http),
    checkTarget,
    checkBodySize(config.http),
  ];

  return async function serve(request, response) {
    const exchange = openExchange(request, response, trust);
    setSecurityHeaders(response, { secure });
    // Who keeps a connection for the next request must come back somewhere else.
    if (health.isDraining()) response.setHeader('connection', 'close');
    logWhenDone(exchange, logger);
    try {
      const refused = firstRefusal(gates, exchange);
      if (refused !== undefined) return answerProblem(exchange, refused, options);
      if (secure) request.headers['x-forwarded-proto'] = 'https';

      const inserted = insertedMetadataPath.exec(exchange.path);
      if (inserted !== null) return await serveTenant(exchange, inserted[2] ?? '', inserted[1] ?? '');
      const own = tenantPath.exec(exchange.path);
      if (own !== null) return await serveTenant(exchange, own[1] ?? '', `/${own[2] ?? ''}`);
      await pages(exchange, undefined);
    } catch (fault) {
      answerFault(exchange, fault, options);
    }
  };

  async function serveTenant(exchange: HttpExchange, slug: string, path: string): Promise<void> {
    const tenant = await pool.findTenant(slug);
    if (tenant === undefined) return answerProblem(exchange, problems.notFound(), options);
    if (tenant.status === 'suspended') return answerProblem(exchange, problems.tenantSuspended(), options, tenant);
    const engine = await pool.engineOf(tenant);
    const route = findEngineRoute(exchange.request.method ?? '', path);
    if (route === undefined) return pages(exchange, engine);
    if (route.outcome === 'wrong_method')
      return answerProblem(exchange, problems.methodNotAllowed(route.allow), options, tenant);
    if (route.ownForm && isCrossSite(exchange.request.headers, config.http.publicUrl))
      return answerProblem(exchange, problems.crossSite(), options, tenant);
    if (route.asLink) return askAgainByLink(exchange, config.http);
    if (route.isPublic) exchange.response.removeHeader('cache-control');
    // The engine finds its own mount by `baseUrl`: a path that is also a route name cannot confuse it.
    Object.assign(exchange.request, { baseUrl: `/t/${slug}`, url: path + exchange.search });
    await engine.serve(exchange);
  }
}

/**
 * OpenID Connect Core §3.1.2.1 and RP-Initiated Logout §2 let an application post its request. A browser leaves our `SameSite=Lax`
 * cookies out of such a form and the person would look signed out; it sends them with the link this answers with.
 */
async function askAgainByLink({ request, response, path }: HttpExchange, http: Config['http']): Promise<void> {
  const text = await readFormText(request, Math.min(http.bodyLimitBytes, longestQueryBytes));
  response.statusCode = 303;
  response.setHeader('location', `${http.publicUrl}${path}?${text.replaceAll(' ', '+')}`);
  response.setHeader('cache-control', 'no-store');
  response.end();
}

function firstRefusal(gates: readonly Gate[], exchange: HttpExchange): Problem | undefined {
  for (const gate of gates) {
    const refused = gate(exchange);
    if (refused !== undefined) return refused;
  }
  return undefined;
}

type Pages = (exchange: HttpExchange, engine: TenantEngine | undefined) => Promise<void>;

function createPagesApp(options: AppOptions): Pages {
  const { health } = options;
  // One spelling for each address, like the engine's endpoints.
  const installation = new Router({ sensitive: true });
  installation.get('/health/live', (ctx) => {
    ctx.body = { status: 'live' };
  });
  installation.get('/health/ready', async (ctx) => {
    const readiness = await health.ready();
    ctx.status = readiness.status === 'ready' ? 200 : 503;
    ctx.body = readiness;
  });
  for (const asset of assets) {
    installation.get(assetsPath + asset.path, (ctx) => {
      ctx.set('cache-control', 'public, max-age=31536000, immutable');
      ctx.set('content-type', asset.contentType);
      ctx.set('etag', asset.etag);
      ctx.body = asset.body;
    });
  }

  installation.get('/docs/problems/:code', (ctx) => {
    const section = problemSections.get(String(ctx.params['code']));
    if (section === undefined) return;
    ctx.type = 'text/plain; charset=utf-8';
    ctx.body = section;
  });

  const tenant = new Router<PageState>({ sensitive: true });
  tenant.get('/t/:slug', (ctx) => {
    const { engine, exchange } = ctx.state;
    const common = { status: 200, locale: localeOf(ctx, engine.tenant), requestId: exchange.requestId };
    showPage(ctx, { name: 'home', model: {}, tenantName: engine.tenant.name, ...common });
  });
  mountInteractionPages(tenant, options);

  const serveInstallation = callbackOf(installation as Router<Koa.DefaultState>);
  const serveTenant = callbackOf(tenant as unknown as Router<Koa.DefaultState>);
  return (exchange, engine) =>
    engine === undefined ? serveInstallation(exchange, {}) : serveTenant(exchange, { exchange, engine });

  function callbackOf(router: Router): (exchange: HttpExchange, state: object) => Promise<void> {
    const app = createKoa();
    app.use(async (ctx, next) => {
      const { exchange } = ctx.req as IncomingMessage & { exchange: HttpExchange };
      Object.assign(ctx.state, (ctx.req as IncomingMessage & { pageState: object }).pageState);
      ctx.set('cache-control', 'no-store');
      try {
        await next();
        if (ctx.body === undefined && ctx.status === 404) throw new ProblemRaised(problems.notFound());
        if (ctx.body === undefined && ctx.status === 405)
          throw new ProblemRaised(problems.methodNotAllowed(ctx.response.get('allow').split(', ')));
      } catch (fault) {
        ctx.respond = false;
        answerFault(exchange, fault, options, ctx.state['engine']?.tenant);
      }
    });
    app.use(router.routes());
    app.use(router.allowedMethods());
    const handle = app.callback();
    return async (exchange, pageState) => {
      Object.assign(exchange.request, { exchange, pageState });
      await handle(exchange.request, exchange.response);
    };
  }
}

/** Our own scheme is in X-Forwarded-Proto by now, see the gates; without it a Secure cookie could not be set behind a proxy. */
function createKoa(): Koa {
  const app = new Koa({ proxy: true });
  app.silent = true;
  return app;
}

function answerFault(exchange: HttpExchange, fault: unknown, options: AppOptions, tenant?: TenantRow): void {
  if (fault instanceof ProblemRaised) {
    answerProblem(exchange, fault.problem, options, tenant);
    return;
  }
  options.logger.error(
    { err: fault, request_id: exchange.requestId, path: loggedPath(exchange.path) },
    'a request failed',
  );
  answerProblem(
    exchange,
    isUnavailable(fault) ? problems.unavailable(retrySeconds) : problems.fault(),
    options,
    tenant,
  );
}

/** A page for people, RFC 9457 for programs. */
function answerProblem(exchange: HttpExchange, problem: Problem, options: AppOptions, tenant?: TenantRow): void {
  const { response, request, requestId } = exchange;
  if (response.headersSent) {
    response.destroy();
    return;
  }
  for (const header of ['set-cookie', 'location', 'content-length']) response.removeHeader(header);
  if (problem.retryAfterSeconds !== undefined) response.setHeader('retry-after', String(problem.retryAfterSeconds));
  if (problem.allow !== undefined) response.setHeader('allow', problem.allow.join(', '));
  // What is left of a refused body is not read: the connection ends with the answer.
  if (problem.status === 413) response.setHeader('connection', 'close');
  response.setHeader('cache-control', 'no-store');
  const { publicUrl } = options.config.http;
  if (/\btext\/html\b/.test(request.headers.accept ?? '')) {
    const ctx = createKoa().createContext(request, response);
    const locale = localeOf(ctx, tenant ?? { locale: 'nl' });
    const model = {
      kind: problem.kind,
      at: options.clock(),
      oauth: { error: problem.code, description: problem.detail },
    };
    showPage(ctx, {
      name: 'problem',
      model,
      status: problem.status,
      locale,
      tenantName: tenant?.name,
      requestId,
    });
    response.end(request.method === 'HEAD' ? undefined : ctx.body);
    return;
  }
  response.statusCode = problem.status;
  response.setHeader('content-type', 'application/problem+json; charset=utf-8');
  response.end(problemBody(problem, { publicUrl, requestId }));
}

/** The identifier of an interaction names somebody's sign-in that is under way: a reader of logs does not need it. */
function loggedPath(path: string): string {
  return path.replace(/\/(interaction|authorize)\/[^/]+/, '/$1/…');
}

/** One line for each request, without its query: that may hold codes. */
function logWhenDone({ request, response, requestId, path }: HttpExchange, logger: Logger): void {
  if (!logger.isLevelEnabled('info') || path.startsWith('/health/')) return;
  const startedAt = performance.now();
  response.once('close', () => {
    const milliseconds = Math.round((performance.now() - startedAt) * 10) / 10;
    logger.info(
      {
        request_id: requestId,
        method: request.method,
        path: loggedPath(path),
        status: response.statusCode,
        milliseconds,
      },
      'request',
    );
  });
}
