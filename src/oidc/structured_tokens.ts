/**
 * Whether a JWT access token of this tenant is good: signed by a key the tenant publishes, of the right kind, for this issuer,
 * and still alive. A token never says how it is to be checked: its `kid` picks one of our keys, and the key its algorithm.
 *
 * The tenant's engine is built anew when the tenant, its keys or its APIs change, and this with it: what a removed key has signed
 * is refused at once.
 */
import { createPublicKey, hash, type JsonWebKey, type KeyObject, verify } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { JWK } from 'oidc-provider';
import type { FindLivingToken } from '#adapters/structured_tokens_adapter.ts';
import { hashOf } from '#adapters/unit_of_work.ts';
import { type AccessTokenClaims, readAccessTokenClaims } from '#src/domain/access_token.ts';
import type { Clock } from '#src/foundation/clock.ts';
import type { TenantDatabase } from '#src/storage/database.ts';
import { accountFromJson } from '#src/storage/tables/people.ts';
import type { SigningKeyRow } from '#src/storage/tables/signing_keys.ts';
import { findStructuredToken } from '#src/storage/tables/structured_tokens.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';

/** Longer than any header of a request may be, so longer than any token that could be used. */
const maximumLength = 16_384;
/** RFC 7515 §7.1, three parts that are there. */
const compactForm = /^([\w-]+)\.([\w-]+)\.[\w-]+$/;
/** An API asks about the same token again and again, and a signature is a third of the answer's cost. */
const maximumRemembered = 1_000;

export interface PublishedKey extends Pick<SigningKeyRow, 'kid' | 'alg'> {
  /** Out of its seal, as it is published: what lies beside the seal could be anybody's. */
  open(): JWK;
}

export interface StructuredTokensOptions {
  readonly tenant: Pick<TenantRow, 'status'>;
  readonly database: TenantDatabase;
  readonly issuer: string;
  /** Audiences of the APIs that are not disabled. */
  readonly audiences: ReadonlySet<string>;
  /** Those that are published. */
  readonly keys: readonly PublishedKey[];
  readonly clock: Clock;
}

/** Answers for one tenant, whatever it is asked. Rejects only when the database could not be asked. */
export function createStructuredTokens({
  tenant,
  database,
  issuer,
  audiences,
  keys,
  clock,
}: StructuredTokensOptions): FindLivingToken {
  const keysByKid = new Map(keys.map((key) => [key.kid, openOnce(key)]));
  let verified: LRUCache<string, true> | undefined;

  /** RFC 9068 §4, RFC 7515 §4.1.11: another kind of token of ours is no access token, and what must be understood is not. */
  function keyFor({ alg, kid, typ, crit }: Readonly<Record<string, unknown>>): VerifyingKey | undefined {
    const key = typeof kid === 'string' ? keysByKid.get(kid) : undefined;
    return alg === key?.alg && typ === 'at+jwt' && crit === undefined ? key : undefined;
  }

  function isSignedWith(key: VerifyingKey, token: string): boolean {
    const remembered = hash('sha256', token, 'base64');
    if (verified?.get(remembered) === true) return true;
    const end = token.lastIndexOf('.');
    if (!key.verifies(token.slice(0, end), Buffer.from(token.slice(end + 1), 'base64url'))) return false;
    verified ??= new LRUCache({ max: maximumRemembered });
    verified.set(remembered, true);
    return true;
  }

  function read(token: string): AccessTokenClaims | undefined {
    if (token.length > maximumLength) return undefined;
    const [, header, payload] = compactForm.exec(token) ?? [];
    if (header === undefined || payload === undefined) return undefined;
    const key = keyFor(parseObject(header));
    if (key === undefined || !isSignedWith(key, token)) return undefined;
    return readAccessTokenClaims(parseObject(payload), { issuer, now: clock() });
  }

  return async (token) => {
    const claims = tenant.status === 'active' ? read(token) : undefined;
    if (claims === undefined || !audiences.has(claims.aud)) return undefined;
    const grantHash = claims.gid === undefined ? undefined : hashOf(claims.gid);
    const row = await findStructuredToken(database, {
      jtiHash: Buffer.from(hashOf(claims.jti), 'hex'),
      grantHash: grantHash === undefined ? undefined : Buffer.from(grantHash, 'hex'),
      subject: claims.sub,
      clientId: claims.client_id,
    });
    if (row === undefined) return undefined;
    if (grantHash === undefined || row.grant_payload === null) return { claims, grant: undefined, account: undefined };
    const { accountId, exp } = row.grant_payload;
    const isOver = typeof exp === 'number' && exp <= clock().getTime() / 1000;
    if (accountId !== claims.sub || isOver) return undefined;
    const account = row.account === null ? undefined : accountFromJson(row.account);
    return { claims, grant: { idHash: grantHash, payload: row.grant_payload }, account };
  };
}

interface VerifyingKey {
  readonly alg: string;
  verifies(signed: string, signature: Buffer): boolean;
}

/** RFC 7518 §3.4: a signature of ES256 is the two numbers, not the DER structure that is Node's default. */
const schemes = {
  ES256: { digest: 'sha256', encoding: { dsaEncoding: 'ieee-p1363' } },
  RS256: { digest: 'sha256', encoding: {} },
  EdDSA: { digest: null, encoding: {} },
} as const satisfies Readonly<Record<SigningKeyRow['alg'], object>>;

/** Imported when the first token of it comes: most engines never see one. */
function openOnce(key: PublishedKey): VerifyingKey {
  const { digest, encoding } = schemes[key.alg];
  let opened: KeyObject | undefined;
  return {
    alg: key.alg,
    verifies(signed, signature) {
      opened ??= createPublicKey({ key: publicPartOf(key.open()), format: 'jwk' });
      return verify(digest, Buffer.from(signed), { key: opened, ...encoding }, signature);
    },
  };
}

/** RFC 7518 §6: an elliptic curve or RSA key, and RFC 8037 §2. */
function publicPartOf({ kty, crv, x, y, n, e }: JWK): JsonWebKey {
  return Object.fromEntries(Object.entries({ kty, crv, x, y, n, e }).filter(([, value]) => value !== undefined));
}

/** A stranger's text: what is no JSON object has no members. */
function parseObject(encoded: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(encoded, 'base64url').toString('utf8'));
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {};
  } catch {
    return {};
  }
}
