/**
 * This file owns every request that a guard sends to Poort. An answer that says nothing about the token or key in question is thrown
 * as `Unavailable`: whoever catches it shuts the door.
 */

/** Nobody could say. `retryAfterSeconds` is when to ask again. */
export class Unavailable extends Error {
  constructor(message, { cause, retryAfterSeconds = 1 } = {}) {
    super(message, { cause });
    this.name = 'Unavailable';
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

const patienceMilliseconds = 5_000;

/** Throws a TypeError for an issuer that cannot be one, and for one whose answers anybody on the way could write. */
export function createPoortClient({
  issuer,
  clientId,
  clientSecret,
  fetch = globalThis.fetch,
  allowPlainHttp = false,
}) {
  const { protocol, hostname } = new URL(issuer);
  const isLoopback = hostname === 'localhost' || hostname === '[::1]' || /^127\./.test(hostname);
  if (protocol !== 'https:' && !(protocol === 'http:' && (isLoopback || allowPlainHttp)))
    throw new TypeError(`The issuer ${issuer} must be an https address.`);
  const authorization =
    clientId === undefined || clientSecret === undefined ? undefined : basicAuthorization(clientId, clientSecret);

  async function call(path, init = {}) {
    try {
      return await fetch(issuer + path, {
        redirect: 'error',
        signal: AbortSignal.timeout(patienceMilliseconds),
        ...init,
      });
    } catch (cause) {
      throw new Unavailable(`${issuer}${path} did not answer: ${cause.message}`, { cause });
    }
  }

  async function read(path, response) {
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Unavailable(`${issuer}${path} answered ${response.status}`, {
        retryAfterSeconds: secondsOf(response.headers.get('retry-after')),
      });
    }
    const body = await response.json().catch((cause) => {
      throw new Unavailable(`${issuer}${path} answered no JSON`, { cause });
    });
    if (typeof body !== 'object' || body === null) throw new Unavailable(`${issuer}${path} answered no object`);
    return body;
  }

  return {
    hasCredentials: authorization !== undefined,

    /** The keys, and for how long they may be kept (undefined: not said). */
    async readKeys() {
      const response = await call('/jwks');
      const keys = await read('/jwks', response);
      const [, seconds] = /(?:^|[\s,])max-age=(\d{1,9})/i.exec(response.headers.get('cache-control') ?? '') ?? [];
      return { keys, maxAgeSeconds: seconds === undefined ? undefined : Number(seconds) };
    },

    /** RFC 7662. */
    async introspect(token) {
      const response = await call('/introspect', {
        method: 'POST',
        headers: { authorization, accept: 'application/json' },
        body: new URLSearchParams({ token, token_type_hint: 'access_token' }),
      });
      return read('/introspect', response);
    },

    /** What an API key is worth; undefined for an unknown one. */
    async readApiKey(key) {
      const path = '/api/v1/service/status';
      const response = await call(path, { headers: { 'x-api-key': key, accept: 'application/json' } });
      if (response.status === 401) {
        await response.body?.cancel();
        return { outcome: 'unknown' };
      }
      if (response.status === 429) {
        await response.body?.cancel();
        return { outcome: 'limited', retryAfterSeconds: secondsOf(response.headers.get('retry-after')) ?? 1 };
      }
      return { outcome: 'known', status: await read(path, response) };
    },

    /** The stream of what ends. */
    async openEvents(signal) {
      const path = '/api/v1/events';
      const response = await call(path, { signal, headers: { authorization, accept: 'text/event-stream' } });
      const isStream = /^text\/event-stream\b/i.test(response.headers.get('content-type') ?? '');
      if (response.status === 200 && isStream && response.body !== null) return response.body;
      await response.body?.cancel();
      throw new Unavailable(`${issuer}${path} answered ${response.status}`);
    },
  };
}

/** RFC 6749 §2.3.1: both parts form-encoded first. */
function basicAuthorization(clientId, clientSecret) {
  const credentials = [clientId, clientSecret].map(encodeURIComponent).join(':');
  return `Basic ${Buffer.from(credentials).toString('base64')}`;
}

function secondsOf(header) {
  return /^\d{1,5}$/.test(header ?? '') ? Number(header) : undefined;
}
