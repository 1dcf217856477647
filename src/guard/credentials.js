/**
 * This file owns what a request brings to prove who it is. It takes one way to say it, once: a request that says it twice is read
 * differently by different programs on its way, and that difference is what an attacker looks for.
 */

/** Longer than any token of ours; Node itself takes 16 KiB for all headers together. */
const longestCredential = 8_192;

/**
 * The access token of a request (RFC 6750 §2.1, RFC 9449 §7.1), `nothing` when it brings none, or why it cannot be read.
 * @returns {{ outcome: 'token', scheme: 'Bearer' | 'DPoP', token: string } | { outcome: 'nothing' } | { outcome: 'malformed', description: string } | { outcome: 'too_long', scheme: 'Bearer' | 'DPoP' }}
 */
export function readToken({ request, url, body }) {
  const query = url.includes('?') ? new URLSearchParams(url.slice(url.indexOf('?') + 1)) : new URLSearchParams();
  // It would be in logs, histories and referrers (RFC 9700 §4.3.2).
  if (query.has('access_token')) return malformed('An access token must not be in the address.');
  const isForm = /^application\/x-www-form-urlencoded\b/i.test(request.headers['content-type'] ?? '');
  if (isForm && body?.access_token !== undefined) return malformed('The access token belongs into the header.');

  const values = headerValues(request, 'authorization');
  if (values.length > 1) return malformed('There is more than one Authorization header.');
  const [value] = values;
  const [, named] = /^(Bearer|DPoP)(?: |$)/i.exec(value ?? '') ?? [];
  // Another scheme is somebody else's affair.
  if (value === undefined || named === undefined) return { outcome: 'nothing' };
  const scheme = named.toLowerCase() === 'dpop' ? 'DPoP' : 'Bearer';
  if (value.length > longestCredential) return { outcome: 'too_long', scheme };
  const [, token] = /^\S+ +([A-Za-z0-9._~+/-]+=*)$/.exec(value) ?? [];
  return token === undefined
    ? malformed('The Authorization header cannot be read.')
    : { outcome: 'token', scheme, token };
}

/** The one value of `X-API-Key`; `nothing` or `malformed` as above. */
export function readApiKey({ request }) {
  const values = headerValues(request, 'x-api-key');
  if (values.length > 1) return malformed('There is more than one X-API-Key header.');
  const [key] = values;
  if (key === undefined) return { outcome: 'nothing' };
  return /^[\x21-\x7e]{1,512}$/.test(key) ? { outcome: 'key', key } : { outcome: 'unknown' };
}

/** All values of a header as they came: Node keeps the first of two `Authorization` and joins others. */
export function headerValues(request, name) {
  return request.rawHeaders.flatMap((header, index) =>
    index % 2 === 0 && header.toLowerCase() === name ? [request.rawHeaders[index + 1]] : [],
  );
}

function malformed(description) {
  return { outcome: 'malformed', description };
}
