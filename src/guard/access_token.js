/**
 * This file owns when an access token of Poort is good for this server: by its signature (RFC 9068 §4) or by what Poort says (RFC 7662
 * §2.2), and in both cases for this API, of this tenant and at this time. It does not own whether its sender may use it (dpop_proof.js).
 */
import { decodeProtectedHeader, errors, jwtVerify } from 'jose';

/** Never what a token suggests (RFC 8725 §3.1). */
export const tokenAlgorithms = ['ES256', 'RS256', 'EdDSA'];
export const toleranceSeconds = 5;
const requiredClaims = ['sub', 'client_id', 'exp', 'iat', 'jti'];
const longestKeyName = 256;

/** Whether a text can be an access token at all: opaque, or signed. Nobody is asked about others. */
export function looksLikeToken(token, mode) {
  const isSigned = /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token);
  return isSigned || (mode === 'introspection' && /^at_[\w-]+$/.test(token));
}

/**
 * The claims of a signed token, or why it is not good. Rejects when that cannot be known.
 * @param {(header: object, token: object) => Promise<CryptoKey>} findKey
 */
export async function verifySigned(token, { findKey, issuer, audience, clock }) {
  const header = headerOf(token);
  // Before any key is looked for: a forged header must not make us read keys.
  if (!tokenAlgorithms.includes(header?.alg)) return refuse('The algorithm is not one of ours.');
  if (typeof header.kid !== 'string' || header.kid.length > longestKeyName) return refuse('The token names no key.');
  try {
    const { payload } = await jwtVerify(token, findKey, {
      issuer,
      audience,
      typ: 'at+jwt',
      algorithms: tokenAlgorithms,
      requiredClaims,
      clockTolerance: toleranceSeconds,
      currentDate: clock(),
    });
    return { outcome: 'claims', claims: payload };
  } catch (fault) {
    if (isTokenFault(fault)) return refuse(sentences[fault.code] ?? 'The token is not one of ours.');
    throw fault;
  }
}

/** What is true of every good token, whichever way it was checked; undefined when there is nothing against it. */
export function faultOf(claims, { issuer, audience, tenant, clock }) {
  const nowSeconds = clock().getTime() / 1_000;
  if (claims.iss !== undefined && claims.iss !== issuer) return 'The token is of another issuer.';
  if (![claims.aud].flat().includes(audience)) return 'The token is for another API.';
  if (tenant !== undefined && claims.tenant !== tenant) return 'The token is of another tenant.';
  if (typeof claims.exp !== 'number' || claims.exp <= nowSeconds - toleranceSeconds) return 'The token is over.';
  if (claims.nbf !== undefined && !(claims.nbf <= nowSeconds + toleranceSeconds)) return 'The token has not begun.';
  if (typeof claims.client_id !== 'string') return 'The token names no client.';
  return undefined;
}

/** What a handler gets to know. Frozen, so that nothing between guard and handler can raise it. */
export function contextOf(claims) {
  const subject = typeof claims.sub === 'string' ? claims.sub : claims.client_id;
  return freezeDeep({
    subject,
    tenant: claims.tenant,
    tenantId: claims.tenant_id,
    roles: textsOf(claims.roles),
    permissions: textsOf(claims.permissions),
    scopes: typeof claims.scope === 'string' ? claims.scope.split(' ').filter((scope) => scope !== '') : [],
    clientId: claims.client_id,
    deviceId: claims.device_id,
    sessionId: claims.sid,
    acr: claims.acr,
    amr: textsOf(claims.amr),
    authTime: claims.auth_time,
    mfaVerified: claims.mfa_verified === true,
    tokenKind: kindOf(claims, subject),
    claims: structuredClone(claims),
  });
}

export function freezeDeep(value) {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const part of Object.values(value)) freezeDeep(part);
  return Object.freeze(value);
}

function kindOf(claims, subject) {
  if (claims.device_id !== undefined) return 'device';
  return subject === claims.client_id ? 'client' : 'user';
}

function textsOf(value) {
  return Array.isArray(value) ? value.filter((text) => typeof text === 'string') : [];
}

function headerOf(token) {
  try {
    return decodeProtectedHeader(token);
  } catch {
    return undefined;
  }
}

const sentences = {
  ERR_JWT_EXPIRED: 'The token is over.',
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: 'The signature is wrong.',
  ERR_JWKS_NO_MATCHING_KEY: 'The token is signed by no key of ours.',
};

/** Tells a bad token from keys that could not be read: the second is not the caller's fault. */
function isTokenFault(fault) {
  return (
    fault instanceof errors.JOSEError && /^ERR_(?:JWT|JWS|JWKS_NO_MATCHING|JOSE_ALG|JOSE_NOT|JWK_)/.test(fault.code)
  );
}

function refuse(description) {
  return { outcome: 'refused', description };
}
