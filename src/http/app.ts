/**
 * The public door: the gates every request passes, in order, and what is mounted behind them. Protocol requests go straight to
 * the tenant's engine; everything for people goes through Koa.
 */
import { randomInt } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Config } from '#config/config.ts';
import { maySignInFrom } from '#src/domain/people_settings.ts';
import { createLane } from '#src/foundation/lane.ts';
import { rememberCertificate } from '#src/oidc/client_certificates.ts';
import { endpointPaths } from '#src/oidc/provider.ts';
import type { ProviderPool } from '#src/oidc/provider_pool.ts';
import type { TenantEngine } from '#src/oidc/tenant_engine.ts';
import { createAdmission, hasArrived } from './admission.ts';
import { answerFault, answerProblem, isOfApi } from './answer_problem.ts';
import { answerDecisionMetadata, decisionMetadataPath } from './decision_metadata.ts';
import { findEngineRoute } from './engine_routes.ts';
import {
  checkBodySize,
  checkClientCertificate,
  checkHost,
  checkHttps,
  checkTarget,
  type Gate,
} from './gates/checks.ts';
import type { HttpExchange } from './gates/exchange.ts';
import { createProxyTrust, openExchange } from './gates/open_exchange.ts';
import { setSecurityHeaders } from './gates/security_headers.ts';
import { readFormText } from './pages/kit/form_body.ts';
import { isCrossSite } from './pages/kit/page_kit.ts';
import { createPagesApp, type PagesOptions } from './pages_app.ts';
import { type Problem, problems } from './problems.ts';
import { logWhenDone } from './request_log.ts';
import { type SignalsOptions, serveSignals, signalsPath } from './signals.ts';

export interface AppOptions extends PagesOptions, SignalsOptions {
  readonly pool: ProviderPool;
}

export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/**
 * What people open and send, beside what programs ask: each takes some milliseconds of the event loop, and a crowd comes all at once.
 * With three at a time an introspection waits for three of them (2.6 times its idle p99; with eight 5, with no lane 10), and the next
 * one is worked on while these wait for the database.
 */
const peopleLane = { places: 3, longestWaitMilliseconds: 1_000 } as const;

/**
 * A token request takes some milliseconds; with so many under way the last one is answered within a second, and whoever comes on top is
 * told to come back (bench/fleet.ts: two thousand devices that refresh in the same second).
 */
const tokenAdmission = {
  places: 128,
  spreadSeconds: 10,
  draw: (maximum: number) => randomInt(1, maximum + 1),
} as const;

/** Leaves room for the cookies within what Node accepts as the head of a request. */
const longestQueryBytes = 8_192;
const tenantPath = /^\/t\/([a-z0-9-]{1,40})(?:\/(.*))?$/s;
/** RFC 8414 §3.1: the well-known part stands between host and path. */
const insertedMetadataPath =
  /^(\/\.well-known\/(?:authzen-configuration|oauth-authorization-server|openid-configuration))\/t\/([a-z0-9-]{1,40})$/;

export function createApp(options: AppOptions): HttpHandler {
  const { config, pool, health, logger } = options;
  const secure = config.http.publicUrl.startsWith('https:');
  const trust = createProxyTrust(config.http.trustedProxies);
  const pages = createPagesApp(options);
  const people = createLane(peopleLane);
  const tokens = createAdmission(tokenAdmission);

  // The order is an invariant: nothing of a request is believed before its host is ours.
  const gates: readonly Gate[] = [
    checkHost(config.http),
    checkHttps(config.http),
    checkTarget,
    checkClientCertificate,
    checkBodySize(config.http),
  ];

  return async function serve(request, response) {
    const exchange = openExchange(request, response, { trust, http: config.http });
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
    if (tenant.status !== 'active') return answerProblem(exchange, problems.tenantSuspended(), options, tenant);
    const engine = await pool.engineOf(tenant);
    // A stream is open for hours: it must stand in nobody's lane.
    if (path === signalsPath) return serveSignals(exchange, engine, options);
    if (path === decisionMetadataPath) return answerDecisionMetadata(exchange, engine.provider.issuer, options);
    const route = findEngineRoute(exchange.request.method ?? '', path);
    if (exchange.clientCertificate.outcome === 'shown')
      rememberCertificate(exchange.request, exchange.clientCertificate);
    if (isForPeople(path) && !maySignInFrom(engine.people, exchange.origin.ip))
      return answerProblem(exchange, problems.addressNotAllowed(), options, tenant);
    // Programs call it, and wait for nobody who reads a page.
    if (isOfApi(exchange)) return pages(exchange, engine);
    const isOff =
      (path === endpointPaths.backchannel_authentication && !engine.protocol.ciba) ||
      (path === endpointPaths.device_authorization && !engine.protocol.device_grant);
    if (route === undefined || isOff) return people.run(() => pages(exchange, engine));
    if (route.outcome === 'wrong_method')
      return answerProblem(exchange, problems.methodNotAllowed(route.allow), options, tenant);
    if (route.ownForm && isCrossSite(exchange.request.headers, config.http.publicUrl))
      return answerProblem(exchange, problems.crossSite(), options, tenant);
    if (route.asLink) return askAgainByLink(exchange, config.http);
    if (route.isPublic) exchange.response.removeHeader('cache-control');
    // A key is published this long before it signs (domain/signing_key.ts): whoever caches longer may not know it.
    if (path === endpointPaths.jwks)
      exchange.response.setHeader('cache-control', `public, max-age=${config.keys.jwksCacheSeconds}`);
    // The engine finds its own mount by `baseUrl`: a path that is also a route name cannot confuse it.
    Object.assign(exchange.request, { baseUrl: `/t/${slug}`, url: path + exchange.search });
    if (path.startsWith(endpointPaths.authorization)) await people.run(() => engine.serve(exchange));
    else if (path === endpointPaths.token) await serveToken(exchange, engine);
    else await engine.serve(exchange);
  }

  async function serveToken(exchange: HttpExchange, engine: TenantEngine): Promise<void> {
    const arrived = await hasArrived(exchange.request);
    // Gone meanwhile: there is nobody to answer, and no body to read.
    if (exchange.request.destroyed) return;
    if (!arrived) return engine.serve(exchange);
    const busy = await tokens.admit(() => engine.serve(exchange));
    if (busy !== undefined)
      answerProblem(exchange, problems.unavailable(busy.retryAfterSeconds), options, engine.tenant);
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

/** Where people sign in or are signed in. Signing out is possible from everywhere, and applications call from where they are. */
function isForPeople(path: string): boolean {
  return /^\/(?:account|approvals|authorize|device|forgot|interaction|invite|reset|signup|verify)(?:\/|$)/.test(path);
}

function firstRefusal(gates: readonly Gate[], exchange: HttpExchange): Problem | undefined {
  for (const gate of gates) {
    const refused = gate(exchange);
    if (refused !== undefined) return refused;
  }
  return undefined;
}
