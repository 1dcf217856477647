/**
 * This file owns the proof that comes with a token bound to a key (RFC 9449 §4.3 and §7.1): made by that key, for this request, for
 * this token, a moment ago, and never seen before.
 */
import { createHash } from 'node:crypto';
import { calculateJwkThumbprint, EmbeddedJWK, errors, jwtVerify } from 'jose';
import { LRUCache } from 'lru-cache';
import { headerValues } from './credentials.js';

export const proofAlgorithms = ['ES256', 'EdDSA', 'RS256', 'PS256', 'ES384'];
const oldestSeconds = 60;
const earliestSeconds = 5;
const longestProof = 4_096;
const longestIdentifier = 256;

/**
 * @param {object} options
 * @param {string} options.publicUrl under which clients reach this server, without a slash at the end: the sender of a request chooses its Host header
 * @param {() => Date} options.clock
 * @param {number} options.maximum of proofs remembered; with more than this in a minute the oldest could be used again
 */
export function createProofs({ publicUrl, clock, maximum }) {
  const seen = new LRUCache({ max: maximum });

  return {
    /** Undefined when the request proves that its sender holds the key; otherwise why not. */
    async fault({ request, url, token, thumbprint }) {
      const proofs = headerValues(request, 'dpop');
      if (proofs.length !== 1) return proofs.length === 0 ? 'There is no proof.' : 'There is more than one proof.';
      const [proof] = proofs;
      if (proof.length > longestProof) return 'The proof is too long.';
      let verified;
      try {
        // EmbeddedJWK takes public keys only; a shared secret is none.
        verified = await jwtVerify(proof, EmbeddedJWK, {
          typ: 'dpop+jwt',
          algorithms: proofAlgorithms,
          currentDate: clock(),
        });
      } catch (fault) {
        if (fault instanceof errors.JOSEError || fault instanceof TypeError) return 'The proof cannot be verified.';
        throw fault;
      }
      const { payload, protectedHeader } = verified;
      if ((await calculateJwkThumbprint(protectedHeader.jwk, 'sha256')) !== thumbprint)
        return 'The proof is made by another key.';
      if (payload.htm !== request.method) return 'The proof is for another method.';
      if (withoutQuery(payload.htu) !== addressOf(publicUrl, url)) return 'The proof is for another address.';
      if (payload.ath !== createHash('sha256').update(token).digest('base64url'))
        return 'The proof is for another token.';
      const now = clock().getTime();
      const age = typeof payload.iat === 'number' ? now / 1_000 - payload.iat : Number.NaN;
      if (!(age <= oldestSeconds && age >= -earliestSeconds)) return 'The proof is not of this moment.';
      if (typeof payload.jti !== 'string' || payload.jti === '' || payload.jti.length > longestIdentifier)
        return 'The proof has no identifier.';
      const name = createHash('sha256').update(`${thumbprint} ${payload.jti}`).digest('base64url');
      // Nothing waits between looking and writing: two requests with one proof cannot both pass.
      const goodUntil = seen.get(name);
      seen.set(name, (payload.iat + oldestSeconds) * 1_000);
      return goodUntil !== undefined && now <= goodUntil ? 'The proof was used before.' : undefined;
    },
  };
}

/** What `htu` must be: without query and fragment (RFC 9449 §4.2). */
function addressOf(publicUrl, url) {
  const target = url.replace(/[?#].*$/s, '');
  const path = target.startsWith('/') ? target : (parsed(target)?.pathname ?? '/');
  return withoutQuery(publicUrl + path);
}

function withoutQuery(text) {
  const url = typeof text === 'string' ? parsed(text) : undefined;
  if (url === undefined) return undefined;
  url.search = '';
  url.hash = '';
  return url.href;
}

function parsed(text) {
  return URL.canParse(text) ? new URL(text) : undefined;
}
