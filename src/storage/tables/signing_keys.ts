/** The table `signing_keys`: a tenant's keys, their private parts sealed. */
import type { TenantId } from '#src/domain/tenant.ts';
import type { Transaction } from '../database.ts';

export interface SigningKeyRow {
  readonly kid: string;
  readonly alg: 'ES256' | 'RS256' | 'EdDSA';
  readonly status: 'next' | 'active' | 'retired';
  readonly public_jwk: Readonly<Record<string, unknown>>;
  /** Base64 of the sealed private JWK. */
  readonly private_sealed: string;
}

export async function insertSigningKey(
  transaction: Transaction,
  key: {
    tenantId: TenantId;
    kid: string;
    alg: SigningKeyRow['alg'];
    status: SigningKeyRow['status'];
    publicJwk: object;
    privateSealed: Buffer;
    now: Date;
  },
): Promise<void> {
  await transaction.query(
    `insert into signing_keys (tenant_id, kid, alg, status, public_jwk, private_sealed, created_at)
     values ($1, $2, $3, $4, $5, $6, $7)`,
    [key.tenantId, key.kid, key.alg, key.status, JSON.stringify(key.publicJwk), key.privateSealed, key.now],
  );
}

export interface SigningKeyListRow {
  readonly kid: string;
  readonly alg: SigningKeyRow['alg'];
  readonly status: SigningKeyRow['status'];
  readonly created_at: Date;
}

export async function listSigningKeys(
  transaction: Transaction,
  tenantId: TenantId,
): Promise<readonly SigningKeyListRow[]> {
  return transaction.query<SigningKeyListRow>(
    'select kid, alg, status, created_at from signing_keys where tenant_id = $1 order by created_at, alg limit 1000',
    [tenantId],
  );
}
