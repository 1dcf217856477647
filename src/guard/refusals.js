/**
 * This file owns how a guard says no: RFC 6750 §3 for tokens, RFC 9449 §7.1 for tokens bound to a key, RFC 9470 for sign-ins that are
 * not strong or fresh enough. It does not decide anything.
 */

/**
 * @typedef {object} Refusal
 * @property {number} status
 * @property {string} error the code in the body, and in the log of what was refused
 * @property {string} [description] for the developer of the caller; says nothing that the caller could not know
 * @property {readonly string[]} [challenges] values of WWW-Authenticate
 * @property {number} [retryAfterSeconds]
 * @property {Readonly<Record<string, string>>} [headers]
 */

/** What challenges of one guard have in common. Without any guard in front: a bare scheme. */
export const plainChallenge = { realm: undefined, resourceMetadata: undefined, dpopAlgorithms: undefined };

/** RFC 6750 §3.1: who brings no credentials learns only that they are needed. */
export function noCredentials(common) {
  const schemes = common.dpopAlgorithms === undefined ? ['Bearer'] : ['Bearer', 'DPoP'];
  return {
    status: 401,
    error: 'unauthorized',
    challenges: schemes.map((scheme) => challenge(scheme, common, {})),
  };
}

/** The token is not good, whatever the reason. `scheme` is the one that the caller must use next time. */
export function invalidToken(common, description, scheme = 'Bearer') {
  return refused(401, 'invalid_token', description, scheme, common);
}

export function invalidProof(common, description) {
  return refused(401, 'invalid_dpop_proof', description, 'DPoP', common);
}

export function invalidRequest(common, description) {
  return refused(400, 'invalid_request', description, 'Bearer', common);
}

/** `more` are further parameters of the challenge, such as `scope`. */
export function insufficientScope(common, description, more = {}, scheme = 'Bearer') {
  return refused(403, 'insufficient_scope', description, scheme, common, more);
}

/** RFC 9470 §3. */
export function insufficientAuthentication(common, description, more, scheme = 'Bearer') {
  return refused(401, 'insufficient_user_authentication', description, scheme, common, more);
}

/** It could not be found out: nobody is let through, and nobody is blamed. */
export function unavailable(retryAfterSeconds) {
  return { status: 503, error: 'temporarily_unavailable', retryAfterSeconds };
}

export function tooMany(retryAfterSeconds, headers = {}) {
  return { status: 429, error: 'too_many_requests', retryAfterSeconds, headers };
}

/** The API key is missing or unknown: the same answer as Poort's own. */
export function invalidKey(realm, error = 'unauthorized') {
  return { status: 401, error, challenges: [`ApiKey realm="${quotable(realm)}", header="X-API-Key"`] };
}

/**
 * Status, headers and body of a refusal.
 * @param {Refusal} refusal
 */
export function answerOf({ status, error, description, challenges, retryAfterSeconds, headers }) {
  return {
    status,
    headers: {
      'Cache-Control': 'no-store',
      ...(challenges === undefined ? {} : { 'WWW-Authenticate': challenges }),
      ...(retryAfterSeconds === undefined ? {} : { 'Retry-After': String(Math.max(1, Math.ceil(retryAfterSeconds))) }),
      ...headers,
    },
    body: { error, ...(description === undefined ? {} : { error_description: description }) },
  };
}

function refused(status, error, description, scheme, common, more = {}) {
  const parameters = { error, error_description: description, ...more };
  return { status, error, description, challenges: [challenge(scheme, common, parameters)] };
}

function challenge(scheme, { realm, resourceMetadata, dpopAlgorithms }, parameters) {
  const all = {
    realm,
    ...parameters,
    resource_metadata: resourceMetadata,
    ...(scheme === 'DPoP' ? { algs: dpopAlgorithms?.join(' ') } : {}),
  };
  const told = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}="${quotable(String(value))}"`],
  );
  return told.length === 0 ? scheme : `${scheme} ${told.join(', ')}`;
}

/** RFC 6750 §3: printable ASCII without quotes and backslashes. Whatever else is in it came from a request or a setting. */
function quotable(text) {
  return text.replace(/["\\]/g, "'").replace(/[^\x20-\x7e]/g, '?');
}
