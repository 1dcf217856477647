/**
 * What a JWT access token of ours says (RFC 9068 and docs/decisions/0013), and when it is believed. It does not own signatures
 * or whether the token still lives.
 */

export interface AccessTokenClaims {
  readonly iss: string;
  readonly sub: string;
  readonly aud: string;
  readonly client_id: string;
  readonly jti: string;
  readonly iat: number;
  readonly exp: number;
  readonly scope?: string;
  readonly sid?: string;
  /** The grant a person gave; without it the token speaks for a client. It opens nothing. */
  readonly gid?: string;
  /** RFC 7800: the key whose holder alone may use the token. */
  readonly cnf?: { readonly jkt?: string; readonly 'x5t#S256'?: string };
  readonly [claim: string]: unknown;
}

const requiredTexts = ['sub', 'aud', 'client_id', 'jti'] as const;
const optionalTexts = ['scope', 'sid', 'gid'] as const;

/** Undefined for what this issuer did not issue as an access token, and for what is over or has not begun. */
export function readAccessTokenClaims(
  payload: unknown,
  { issuer, now }: { readonly issuer: string; readonly now: Date },
): AccessTokenClaims | undefined {
  if (!isRecord(payload) || payload['iss'] !== issuer) return undefined;
  const { iat, exp, nbf, cnf } = payload;
  const nowSeconds = Math.floor(now.getTime() / 1000);
  if (!Number.isFinite(iat) || typeof exp !== 'number' || !(exp > nowSeconds)) return undefined;
  if (nbf !== undefined && !(typeof nbf === 'number' && nbf <= nowSeconds)) return undefined;
  if (!requiredTexts.every((name) => typeof payload[name] === 'string' && payload[name] !== '')) return undefined;
  if (!optionalTexts.every((name) => ['string', 'undefined'].includes(typeof payload[name]))) return undefined;
  if (cnf !== undefined && !(isRecord(cnf) && Object.values(cnf).every((value) => typeof value === 'string')))
    return undefined;
  // Every named claim was looked at above.
  return payload as unknown as AccessTokenClaims;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
