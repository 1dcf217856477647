/**
 * This file owns which public keys a client may register for `private_key_jwt` (RFC 7523). It does not verify
 * signatures, and it never sees a private key that it would keep: those are refused by name.
 */

import { X509Certificate } from 'node:crypto';

/** A public key, reduced to the members we know; everything else (`x5u`, `x5t`, …) is dropped. */
export interface PublicJwk {
  readonly kty: 'EC' | 'RSA' | 'OKP';
  readonly kid?: string;
  readonly alg?: string;
  readonly use?: 'sig';
  readonly crv?: string;
  readonly x?: string;
  readonly y?: string;
  readonly n?: string;
  readonly e?: string;
  /** The certificate of this very key, alone, as `self_signed_tls_client_auth` needs it (RFC 8705 §2.2.2). */
  readonly x5c?: readonly [string];
}

export interface PublicJwks {
  readonly keys: readonly PublicJwk[];
}

/** Why a key set was refused. Stable words. */
export type JwksProblem =
  | 'not_a_key_set'
  | 'too_many_keys'
  | 'private_key'
  | 'symmetric_key'
  | 'repeated_kid'
  | 'no_usable_key';

export type ParsedJwks =
  | { readonly outcome: 'valid'; readonly jwks: PublicJwks }
  | { readonly outcome: 'invalid'; readonly reason: JwksProblem };

const MAXIMUM_KEYS = 10;
const MAXIMUM_KID_LENGTH = 128;
const MAXIMUM_CERTIFICATE_LENGTH = 8_192;
const KEY_MEMBERS = ['kty', 'crv', 'x', 'y', 'n', 'e'] as const;
/** RFC 7518 §6.2.2 and §6.3.2, RFC 8037 §2. */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth'] as const;

/**
 * Parses a key set (RFC 7517 §5) as JSON already parsed. Keys that are public but of no use for signing with ES256, RS256,
 * PS256 or EdDSA are left out; one usable key must remain. A single private or symmetric key refuses the whole set:
 * whoever sent it has just published it and must hear so.
 */
export function parseJwks(input: unknown): ParsedJwks {
  if (!isRecord(input) || !Array.isArray(input['keys'])) return invalid('not_a_key_set');
  const members: readonly unknown[] = input['keys'];
  if (members.length > MAXIMUM_KEYS) return invalid('too_many_keys');
  if (!members.every(isRecord)) return invalid('not_a_key_set');
  if (members.some((member) => member['kty'] === 'oct' || member['k'] !== undefined)) return invalid('symmetric_key');
  if (members.some((member) => PRIVATE_MEMBERS.some((name) => member[name] !== undefined)))
    return invalid('private_key');

  const keys = members.map(parsePublicJwk).filter((key) => key !== undefined);
  if (keys.length === 0) return invalid('no_usable_key');
  const kids = keys.map((key) => key.kid).filter((kid) => kid !== undefined);
  if (new Set(kids).size !== kids.length) return invalid('repeated_kid');
  return { outcome: 'valid', jwks: { keys } };
}

function parsePublicJwk(member: Readonly<Record<string, unknown>>): PublicJwk | undefined {
  const { use, alg, kid, key_ops: operations } = member;
  if (use !== undefined && use !== 'sig') return undefined;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return undefined;
  if (kid !== undefined && !isKid(kid)) return undefined;

  const material = parseMaterial(member);
  if (material === undefined) return undefined;
  if (alg !== undefined && !(typeof alg === 'string' && material.algorithms.includes(alg))) return undefined;
  const certificate = certificateOf(member);
  return {
    ...material.jwk,
    ...(kid === undefined ? {} : { kid }),
    ...(alg === undefined ? {} : { alg }),
    ...(use === undefined ? {} : { use }),
    ...(certificate === undefined ? {} : { x5c: [certificate] }),
  };
}

/** RFC 7517 §4.7, or nothing: "The key in the first certificate MUST match the public key represented by other members of the JWK." */
function certificateOf(member: Readonly<Record<string, unknown>>): string | undefined {
  const [first]: readonly unknown[] = Array.isArray(member['x5c']) ? member['x5c'] : [];
  if (typeof first !== 'string' || first.length > MAXIMUM_CERTIFICATE_LENGTH || !/^[A-Za-z0-9+/]+=*$/.test(first))
    return undefined;
  try {
    const { publicKey } = new X509Certificate(Buffer.from(first, 'base64'));
    const certified: Readonly<Record<string, unknown>> = { ...publicKey.export({ format: 'jwk' }) };
    return KEY_MEMBERS.every((name) => certified[name] === member[name]) ? first : undefined;
  } catch {
    return undefined;
  }
}

interface Material {
  readonly jwk: PublicJwk;
  readonly algorithms: readonly string[];
}

function parseMaterial({ kty, crv, x, y, n, e }: Readonly<Record<string, unknown>>): Material | undefined {
  if (kty === 'EC' && crv === 'P-256' && hasBytes(x, 32, 32) && hasBytes(y, 32, 32)) {
    return { jwk: { kty, crv, x, y }, algorithms: ['ES256'] };
  }
  if (kty === 'OKP' && crv === 'Ed25519' && hasBytes(x, 32, 32)) {
    return { jwk: { kty, crv, x }, algorithms: ['EdDSA', 'Ed25519'] };
  }
  // RFC 7518 §3.3: 2048 bits or more; above 8192 verifying is a way to keep us busy
  if (kty === 'RSA' && hasBytes(n, 256, 1024) && hasBytes(e, 1, 4) && isPublicExponent(e)) {
    return { jwk: { kty, n, e }, algorithms: ['RS256', 'PS256'] };
  }
  return undefined;
}

/** With the exponent 1 every message is its own signature; an even one belongs to no key. */
function isPublicExponent(e: string): boolean {
  const exponent = Buffer.from(e, 'base64url').reduce((sum, byte) => sum * 256 + byte, 0);
  return exponent >= 3 && exponent % 2 === 1;
}

function hasBytes(value: unknown, minimum: number, maximum: number): value is string {
  if (typeof value !== 'string' || value.length > maximum * 2 || !/^[A-Za-z0-9_-]+$/.test(value)) return false;
  const bytes = Buffer.from(value, 'base64url');
  // RFC 7518 §2, Base64urlUInt: no leading zero octets; a coordinate has its full length and may have them
  const leadingZero = minimum !== maximum && bytes[0] === 0;
  return !leadingZero && bytes.length >= minimum && bytes.length <= maximum;
}

function isKid(value: unknown): value is string {
  return typeof value === 'string' && value.length >= 1 && value.length <= MAXIMUM_KID_LENGTH && !/\p{C}/u.test(value);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(reason: JwksProblem): ParsedJwks {
  return { outcome: 'invalid', reason };
}
