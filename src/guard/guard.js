/**
 * `poort/guard`: what stands in front of an API whose access tokens and API keys come from Poort. Plain JavaScript, because Node strips
 * no types inside node_modules, and on its own, because it runs in other people's programs (docs/decisions/0039). Each export makes a
 * middleware for Koa, Express and node:http alike; guard.d.ts says what each takes.
 *
 * It fails closed: who cannot be checked is not let through.
 */
import { randomUUID } from 'node:crypto';
import { contextOf, faultOf, freezeDeep, looksLikeToken, verifySigned } from './access_token.js';
import { createAnswers } from './answers.js';
import { readApiKey, readToken } from './credentials.js';
import { createProofs, proofAlgorithms } from './dpop_proof.js';
import { createKeySet } from './key_set.js';
import { middleware } from './middleware.js';
import { createPoortClient, Unavailable } from './poort_client.js';
import { createPush } from './push.js';
import { createMemoryStore, nameOfCaller } from './rate_limit.js';
import {
  insufficientAuthentication,
  insufficientScope,
  invalidKey,
  invalidProof,
  invalidRequest,
  invalidToken,
  noCredentials,
  tooMany,
  unavailable,
} from './refusals.js';
import { createSuspicions, isAbout, readMessage } from './suspicions.js';
import { isBoundToCertificate } from './tls_certificate.js';

/** No answer of Poort is believed for longer, whatever the settings say. */
const longestCacheSeconds = 5;
/** While nobody tells us what ends. */
const deafCacheSeconds = 1;
const optionalFaces = new WeakMap();

/**
 * Lets through who brings a good access token of the issuer for the audience, and says who it is in `ctx.state.auth` or `req.auth`.
 * Throws a TypeError for settings with which it could not keep that promise.
 */
export function authenticate(options) {
  const settings = settingsOf(options);
  const { mode, audience, clock, onFault, publicUrl } = settings;
  const client = createPoortClient(settings);
  if (mode === 'introspection' && !client.hasCredentials)
    throw new TypeError('Introspection needs clientId and clientSecret of a client of type resource_server.');
  const keys = createKeySet({ client, ...settings });
  const proofs =
    publicUrl === undefined ? undefined : createProofs({ publicUrl, clock, maximum: settings.maximumProofs });
  const suspicions = createSuspicions({ clock, maximum: settings.maximumAnswers });
  const push =
    settings.push && client.hasCredentials
      ? createPush({ client, clock, onMessage, onReset, onPush: settings.onPush, onFault })
      : undefined;
  const answers = createAnswers({
    ask: async (token) => {
      const claims = await client.introspect(token);
      return { isGood: claims.active === true, claims };
    },
    // Not asked of the ear before it was told to listen: a guard that nobody uses opens no connection.
    aliveSeconds: () => Math.min(settings.cacheSeconds, push?.isAlive() ? longestCacheSeconds : deafCacheSeconds),
    clock,
    maximum: settings.maximumAnswers,
  });
  const common = {
    realm: audience,
    resourceMetadata: settings.resourceMetadata,
    dpopAlgorithms: proofs === undefined ? undefined : proofAlgorithms,
  };

  function onMessage(message) {
    const about = readMessage(message);
    if (message.type === 'key.retired') keys.forget();
    if (about.isEverything) answers.forgetAll();
    else answers.forget(({ claims }) => isAbout(about, claims));
    suspicions.note(about);
  }

  function onReset(isFirst) {
    answers.forgetAll();
    // Before the first time nothing was promised; after it, whatever was missed must be asked about.
    if (!isFirst) suspicions.note({ isEverything: true, names: [] });
  }

  /** What the token says, or why it is not good. */
  async function check(token) {
    if (token.length === 0 || !looksLikeToken(token, mode)) return refuse('The token is not one of ours.');
    if (mode === 'introspection') return ask(token);
    const verified = await verifySigned(token, { ...settings, findKey: keys.find });
    if (verified.outcome === 'refused') return verified;
    const suspicion = suspicions.on(verified.claims);
    if (suspicion === undefined) return verified;
    const asked = await ask(token);
    if (asked.outcome === 'refused') return asked;
    suspicions.clear(verified.claims, suspicion);
    return verified;
  }

  async function ask(token) {
    const { isGood, claims } = await answers.about(token);
    return isGood ? { outcome: 'claims', claims } : refuse('The token is not active.');
  }

  /** RFC 7800: a token that is bound to something is good with that, and a token that is bound to nothing needs nothing. */
  async function refuseUnbound(claims, { scheme, token }, { request, url }) {
    const { cnf } = claims;
    if (cnf === undefined)
      return scheme === 'DPoP' ? invalidToken(common, 'The token is not bound to a key.') : undefined;
    const { jkt, 'x5t#S256': certificate, ...unknown } = cnf;
    if (Object.keys(unknown).length > 0 || (jkt === undefined && certificate === undefined))
      return invalidToken(common, 'The token is bound to something that this server cannot check.');
    if (certificate !== undefined && !isBoundToCertificate(request, certificate))
      return invalidToken(common, 'The token is bound to another certificate.');
    if (jkt === undefined) return undefined;
    if (scheme !== 'DPoP') return invalidToken(common, 'The token is bound to a key: send a proof.', 'DPoP');
    if (proofs === undefined) {
      onFault(new Error('A token with DPoP came, and publicUrl is not set: it was refused.'));
      return invalidToken(common, 'This server takes no proofs.');
    }
    const fault = await proofs.fault({ request, url, token, thumbprint: jkt });
    return fault === undefined ? undefined : invalidProof(common, fault);
  }

  const step = (isOptional) => async (exchange) => {
    const { facts } = exchange;
    facts.common = common;
    facts.clock = clock;
    facts.isChecked = true;
    const read = readToken(exchange);
    if (read.outcome === 'malformed') return invalidRequest(common, read.description);
    if (read.outcome === 'too_long') return invalidToken(common, 'The token is too long.', read.scheme);
    if (read.outcome === 'nothing') return isOptional ? undefined : noCredentials(common);
    // It has asked already, in front of a whole router for example; a proof passes only once.
    if (facts.by === common) return undefined;
    if (facts.auth !== undefined) return invalidRequest(common, 'The request says in two ways who it is.');
    push?.listen();
    try {
      const checked = await check(read.token);
      const fault = checked.outcome === 'refused' ? checked.description : faultOf(checked.claims, settings);
      if (fault !== undefined) return invalidToken(common, fault, read.scheme);
      const unbound = await refuseUnbound(checked.claims, read, exchange);
      if (unbound !== undefined) return unbound;
      facts.auth = contextOf(checked.claims);
      facts.scheme = read.scheme;
      facts.by = common;
    } catch (fault) {
      return shut(fault, onFault);
    }
    exchange.expose(facts.auth);
    return undefined;
  };

  return withOptional(step, { close: () => push?.close() });
}

/**
 * Lets through who brings a good API key in `X-API-Key`. The key is shown to Poort, at most once in `cacheSeconds`.
 */
export function apiKey(options) {
  const settings = settingsOf({ audience: options.issuer, mode: 'api_key', ...options });
  const { issuer, tenant, clock, onFault } = settings;
  const client = createPoortClient({ ...settings, clientId: undefined, clientSecret: undefined });
  const answers = createAnswers({
    ask: async (key) => {
      const answer = await client.readApiKey(key);
      return { isGood: answer.outcome === 'known', ...answer };
    },
    aliveSeconds: () => settings.cacheSeconds,
    clock,
    maximum: settings.maximumAnswers,
  });

  const step = (isOptional) => async (exchange) => {
    const { facts } = exchange;
    facts.clock ??= clock;
    facts.isChecked = true;
    const read = readApiKey(exchange);
    if (read.outcome === 'malformed') return { status: 400, error: 'invalid_request', description: read.description };
    if (read.outcome === 'unknown') return invalidKey(issuer, 'invalid_key');
    if (read.outcome === 'nothing') return isOptional ? undefined : invalidKey(issuer);
    if (facts.by === answers) return undefined;
    if (facts.auth !== undefined || readToken(exchange).outcome !== 'nothing')
      return invalidRequest(facts.common, 'The request says in two ways who it is.');
    try {
      const answer = await answers.about(read.key);
      if (answer.outcome === 'limited') return tooMany(answer.retryAfterSeconds);
      if (answer.outcome === 'unknown') return invalidKey(issuer, 'invalid_key');
      const auth = contextOfKey(answer.status, clock());
      if (auth === undefined || (tenant !== undefined && auth.tenant !== tenant))
        return invalidKey(issuer, 'invalid_key');
      facts.auth = auth;
      facts.by = answers;
    } catch (fault) {
      return shut(fault, onFault);
    }
    exchange.expose(facts.auth);
    return undefined;
  };

  return withOptional(step, { close: () => undefined });
}

/** The same guard for an endpoint that serves everybody: without credentials the request goes on as nobody's; bad ones are refused. */
export function optional(guard) {
  const face = optionalFaces.get(guard);
  if (face === undefined) throw new TypeError('optional() takes what authenticate() or apiKey() made.');
  return face;
}

/** Lets through who was given all of these scopes. */
export function requireScope(...scopes) {
  return demand(scopes, ({ auth, common, scheme }) =>
    scopes.every((scope) => auth.scopes.includes(scope))
      ? undefined
      : insufficientScope(common, 'The token was not given this scope.', { scope: scopes.join(' ') }, scheme),
  );
}

/** Lets through who has one of these roles. A token lists the roles that a role inherits. */
export function requireRole(...roles) {
  return demand(roles, ({ auth, common, scheme }) =>
    roles.some((role) => auth.roles.includes(role))
      ? undefined
      : insufficientScope(common, 'Who this is has not the role for it.', {}, scheme),
  );
}

/** Lets through who has all of these permissions (`resource:action`) at this API. */
export function requirePermission(...permissions) {
  return demand(permissions, ({ auth, common, scheme }) =>
    permissions.every((permission) => auth.permissions.includes(permission))
      ? undefined
      : insufficientScope(common, 'Who this is may not do that.', {}, scheme),
  );
}

/** Lets through who signed in in one of these ways; others are told which to ask for (RFC 9470). */
export function requireAcr(...values) {
  return demand(values, ({ auth, common, scheme }) =>
    values.includes(auth.acr)
      ? undefined
      : insufficientAuthentication(common, 'A stronger sign-in is needed.', { acr_values: values.join(' ') }, scheme),
  );
}

/** Lets through who signed in at most so many seconds ago (RFC 9470). Who never did is too old. */
export function requireMaxAge(seconds) {
  if (!(seconds >= 0)) throw new TypeError('requireMaxAge takes a number of seconds.');
  return demand([String(seconds)], ({ auth, common, scheme, clock }) =>
    typeof auth.authTime === 'number' && clock().getTime() / 1_000 - auth.authTime <= seconds
      ? undefined
      : insufficientAuthentication(common, 'A fresher sign-in is needed.', { max_age: String(seconds) }, scheme),
  );
}

/**
 * Refuses with 429 who comes oftener than `limit` times in `windowSeconds`: the key or subject, when a guard in front has found out, and
 * otherwise the address. Every answer tells how much is left (RateLimit header fields for HTTP).
 */
export function rateLimit({
  limit,
  windowSeconds,
  by = nameOfCaller,
  addressOf = (request) => request.socket.remoteAddress ?? '',
  clock = () => new Date(),
  maximumCallers = 50_000,
  store = createMemoryStore({ maximum: maximumCallers }),
  name = 'default',
  onFault = report,
}) {
  if (!(limit >= 1 && windowSeconds > 0)) throw new TypeError('rateLimit needs a limit and windowSeconds.');
  return middleware(async ({ request, facts, setHeader }) => {
    const now = clock().getTime();
    try {
      const caller = by({ auth: facts.auth, address: addressOf(request), request });
      const { count, resetAt } = await store.hit(caller, { windowSeconds, now });
      const resetSeconds = Math.max(1, Math.ceil((resetAt - now) / 1_000));
      setHeader('RateLimit-Policy', `"${name}";q=${limit};w=${windowSeconds}`);
      setHeader('RateLimit', `"${name}";r=${Math.max(0, limit - count)};t=${resetSeconds}`);
      return count > limit ? tooMany(resetSeconds) : undefined;
    } catch (fault) {
      onFault(fault);
      return unavailable(1);
    }
  });
}

/**
 * Hands `record` one record for each request when its answer is out (or its sender has gone): who, what, and whether it was let through.
 * Put it first. There is no token in a record, and no query.
 */
export function audit(record, { clock = () => new Date(), onFault = report } = {}) {
  return middleware(async ({ request, response, url, facts, setHeader }) => {
    const requestId = readRequestId(request) ?? randomUUID();
    if (!response.hasHeader('x-request-id')) setHeader('X-Request-Id', requestId);
    response.once('close', () => {
      const { auth, refusal } = facts;
      try {
        const done = record(
          Object.freeze({
            time: clock().toISOString(),
            requestId,
            method: request.method,
            path: url.replace(/[?#].*$/s, ''),
            status: response.statusCode,
            decision: decisionOf(facts),
            reason: refusal?.error,
            subject: auth?.subject,
            tenant: auth?.tenant,
            clientId: auth?.clientId,
            tokenKind: auth?.tokenKind,
            scopes: auth?.scopes ?? [],
          }),
        );
        if (typeof done?.catch === 'function') done.catch(onFault);
      } catch (fault) {
        onFault(fault);
      }
    });
    return undefined;
  });
}

/**
 * Serves what clients need to know before they ask for a token (RFC 9728), at the address that belongs to `resource`. Set the
 * `resourceMetadata` of `authenticate` to `metadataAddress(resource)`, and every 401 points there.
 */
export function protectedResource({ resource, issuer, scopes, name, documentation, ...more }) {
  const path = new URL(metadataAddress(resource)).pathname;
  const document = {
    resource,
    authorization_servers: [issuer].flat(),
    scopes_supported: scopes,
    bearer_methods_supported: ['header'],
    dpop_signing_alg_values_supported: proofAlgorithms,
    resource_name: name,
    resource_documentation: documentation,
    ...more,
  };
  return middleware(async ({ request, url }) => {
    if (url.replace(/[?#].*$/s, '') !== path) return undefined;
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return { status: 405, error: 'method_not_allowed', headers: { Allow: 'GET, HEAD' } };
    const headers = { 'Cache-Control': 'public, max-age=300', 'Access-Control-Allow-Origin': '*' };
    return { isAnswer: true, status: 200, headers, body: document };
  });
}

/** RFC 9728 §3.1: the well-known part comes between host and path. */
export function metadataAddress(resource) {
  const { origin, pathname, search } = new URL(resource);
  return `${origin}/.well-known/oauth-protected-resource${pathname === '/' ? '' : pathname}${search}`;
}

/**
 * A listener for `createServer`: asks the guards in order, then calls the handler.
 * @example createServer(guarded(authenticate({ … }), requireScope('readings:read'), (request, response) => response.end('…')))
 */
export function guarded(...guards) {
  const handler = guards.pop();
  return async function listener(request, response) {
    try {
      for (const guard of guards) if (!(await guard(request, response))) return;
      await handler(request, response);
    } catch (error) {
      console.error(error);
      if (response.headersSent) return void response.destroy();
      response.writeHead(500, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
      response.end('{"error":"server_error"}');
    }
  };
}

function settingsOf(options) {
  const { issuer, audience, mode, cacheSeconds = longestCacheSeconds } = options;
  if (!URL.canParse(issuer)) throw new TypeError('authenticate needs an issuer.');
  if (typeof audience !== 'string' || audience === '') throw new TypeError('authenticate needs an audience.');
  if (!['jwt', 'introspection', 'api_key'].includes(mode)) throw new TypeError('The mode is "jwt" or "introspection".');
  if (!(cacheSeconds >= 0 && cacheSeconds <= longestCacheSeconds))
    throw new TypeError(`cacheSeconds is at most ${longestCacheSeconds}.`);
  const [, slug] = /\/t\/([^/]+)$/.exec(issuer) ?? [];
  return {
    tenant: slug,
    publicUrl: /^https?:\/\//.test(audience) ? new URL(audience).origin : undefined,
    push: true,
    clock: () => new Date(),
    cooldownSeconds: 10,
    staleSeconds: 86_400,
    maximumAnswers: 10_000,
    maximumProofs: 100_000,
    onPush: () => undefined,
    ...definedOf(options),
    onFault: once(options.onFault ?? report),
    cacheSeconds,
    ...(options.publicUrl === undefined ? {} : { publicUrl: options.publicUrl.replace(/\/$/, '') }),
  };
}

/** A fault that refuses a thousand requests is told once; who hears of it cannot make it worse. */
function once(tell) {
  const told = new WeakSet();
  return (fault) => {
    if (told.has(fault)) return;
    told.add(fault);
    try {
      tell(fault);
    } catch (error) {
      report(error);
    }
  };
}

/** A setting that is undefined is one that was not made. */
function definedOf(options) {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function withOptional(step, more) {
  const guard = Object.assign(middleware(step(false)), more);
  optionalFaces.set(guard, middleware(step(true)));
  return guard;
}

/** A guard that asks more of who was found out; who was not is asked who they are. */
function demand(demanded, judge) {
  if (demanded.length === 0 || !demanded.every((text) => typeof text === 'string' && text !== ''))
    throw new TypeError('A guard that demands nothing lets everybody through: say what it demands.');
  return middleware(async ({ facts }) => {
    if (facts.auth === undefined) return noCredentials(facts.common);
    return judge(facts);
  });
}

function contextOfKey(status, now) {
  const { tenant, key } = status;
  if (typeof tenant !== 'string' || typeof key?.id !== 'string' || !Array.isArray(key.scopes)) return undefined;
  if (typeof key.expires_at === 'string' && !(Date.parse(key.expires_at) > now.getTime())) return undefined;
  return freezeDeep({
    subject: key.id,
    tenant,
    tenantId: undefined,
    roles: [],
    permissions: [],
    scopes: key.scopes.filter((scope) => typeof scope === 'string'),
    clientId: undefined,
    deviceId: undefined,
    sessionId: undefined,
    acr: undefined,
    amr: [],
    authTime: undefined,
    mfaVerified: false,
    tokenKind: 'api_key',
    claims: { ...key },
  });
}

function shut(fault, onFault) {
  onFault(fault);
  return unavailable(fault instanceof Unavailable ? fault.retryAfterSeconds : 1);
}

function decisionOf({ refusal, auth, isChecked }) {
  if (refusal !== undefined) return 'refused';
  if (!isChecked) return 'unchecked';
  return auth === undefined ? 'anonymous' : 'allowed';
}

function readRequestId(request) {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : undefined;
}

function report(fault) {
  console.error(`poort/guard: ${fault.message}`);
}

function refuse(description) {
  return { outcome: 'refused', description };
}
