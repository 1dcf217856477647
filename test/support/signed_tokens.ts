/** Tokens that only the tenant itself could sign: what a forger with everything but the key comes close to. */
import * as jose from 'jose';
import { signingKeyContext } from '#src/foundation/sealing_contexts.ts';
import { queryAsSuperuser } from './superuser.ts';
import type { TestServer } from './test_server.ts';
import type { TestTenant } from './world.ts';

export interface TenantKey {
  readonly kid: string;
  readonly alg: string;
  readonly publicJwk: jose.JWK;
  readonly privateJwk: jose.JWK;
  readonly privateKey: jose.CryptoKey;
}

/** The tenant's active key of an algorithm. */
export async function openTenantKey(
  server: TestServer,
  { tenant, alg }: { tenant: TestTenant; alg: 'ES256' | 'RS256' },
): Promise<TenantKey> {
  const [row] = await queryAsSuperuser<{ kid: string; public_jwk: jose.JWK; private_sealed: Buffer }>(
    server.database,
    "select kid, public_jwk, private_sealed from signing_keys where tenant_id = $1 and alg = $2 and status = 'active'",
    [tenant.id, alg],
  );
  if (row === undefined) throw new Error(`no active ${alg} key`);
  const sealed = server.context.sealer.open(row.private_sealed, signingKeyContext(tenant.id, row.kid));
  const privateJwk: jose.JWK = JSON.parse(sealed.toString('utf8'));
  return { kid: row.kid, alg, publicJwk: row.public_jwk, privateJwk, privateKey: await importKey(privateJwk, alg) };
}

/** A key for one algorithm; throws for a symmetric one. */
export async function importKey(jwk: jose.JWK, alg: string): Promise<jose.CryptoKey> {
  const key = await jose.importJWK({ ...jwk, alg }, alg);
  if (key instanceof Uint8Array) throw new Error('a symmetric key');
  return key;
}

export function signWith(
  key: TenantKey,
  payload: Readonly<Record<string, unknown>>,
  header: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  return signText(key, JSON.stringify(payload), header);
}

/** Whatever the text is: a signature says nothing about what was signed. */
export function signText(
  key: TenantKey,
  text: string,
  header: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  return new jose.CompactSign(new TextEncoder().encode(text))
    .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'at+jwt', ...header })
    .sign(key.privateKey, { crit: { b64: true, exp: true } });
}

export function encodePart(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
}
