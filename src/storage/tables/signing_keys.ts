/** The table `signing_keys`: a tenant's keys, their private parts sealed. Which of them sign is decided in the domain. */
import type { DatedSigningKey } from '#src/domain/signing_key.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { Database, Transaction } from '../database.ts';

export interface SigningKeyRow {
  readonly kid: string;
  readonly alg: 'ES256' | 'RS256' | 'EdDSA';
  readonly status: 'next' | 'active' | 'retired';
  readonly public_jwk: Readonly<Record<string, unknown>>;
  /** Base64 of the sealed private JWK. */
  readonly private_sealed: string;
}

/** Published from this moment on. */
export async function insertSigningKey(
  transaction: Transaction,
  key: {
    tenantId: TenantId;
    kid: string;
    alg: SigningKeyRow['alg'];
    status: 'next' | 'active';
    publicJwk: object;
    privateSealed: Buffer;
    rotationRequested?: boolean;
    now: Date;
  },
): Promise<void> {
  await transaction.query(
    `insert into signing_keys (tenant_id, kid, alg, status, public_jwk, private_sealed, created_at, activated_at,
                               rotation_requested_at)
     values ($1, $2, $3, $4::text, $5, $6, $7, case when $4::text = 'active' then $7::timestamptz end,
             case when $8 then $7::timestamptz end)`,
    [
      key.tenantId,
      key.kid,
      key.alg,
      key.status,
      JSON.stringify(key.publicJwk),
      key.privateSealed,
      key.now,
      key.rotationRequested ?? false,
    ],
  );
}

/** In the order in which they were made. */
export async function listSigningKeys(
  transaction: Transaction,
  tenantId: TenantId,
): Promise<readonly DatedSigningKey[]> {
  const rows = await transaction.query<{
    kid: string;
    alg: SigningKeyRow['alg'];
    status: SigningKeyRow['status'];
    created_at: Date;
    activated_at: Date | null;
    published_until: Date | null;
    rotation_requested_at: Date | null;
  }>(
    `select kid, alg, status, created_at, published_until, rotation_requested_at,
            case when status = 'next' then activated_at else coalesce(activated_at, created_at) end as activated_at
       from signing_keys where tenant_id = $1 order by created_at, alg, kid limit 1000`,
    [tenantId],
  );
  return rows.map((row) => ({
    kid: row.kid,
    alg: row.alg,
    status: row.status,
    publishedAt: row.created_at,
    activatedAt: row.activated_at ?? undefined,
    publishedUntil: row.published_until ?? undefined,
    rotationRequestedAt: row.rotation_requested_at ?? undefined,
  }));
}

interface OneKey {
  readonly tenantId: TenantId;
  readonly kid: string;
}

/** Only a waiting key, and only while no other one of its algorithm signs: the database sees to that. */
export async function activateSigningKey(transaction: Transaction, { tenantId, kid, now }: OneKey & { now: Date }) {
  await changeOne(
    transaction,
    `update signing_keys set status = 'active', activated_at = $3 where tenant_id = $1 and kid = $2 and status = 'next'
     returning kid`,
    [tenantId, kid, now],
  );
}

export async function retireSigningKey(
  transaction: Transaction,
  { tenantId, kid, publishedUntil }: OneKey & { publishedUntil: Date },
): Promise<void> {
  await changeOne(
    transaction,
    `update signing_keys set status = 'retired', published_until = $3 where tenant_id = $1 and kid = $2 and status <> 'next'
     returning kid`,
    [tenantId, kid, publishedUntil],
  );
}

/** The waiting key is to sign as soon as it may. */
export async function requestRotation(transaction: Transaction, { tenantId, kid, now }: OneKey & { now: Date }) {
  await changeOne(
    transaction,
    `update signing_keys set rotation_requested_at = $3 where tenant_id = $1 and kid = $2 and status = 'next' returning kid`,
    [tenantId, kid, now],
  );
}

export async function deleteSigningKey(transaction: Transaction, { tenantId, kid }: OneKey): Promise<void> {
  await changeOne(transaction, 'delete from signing_keys where tenant_id = $1 and kid = $2 returning kid', [
    tenantId,
    kid,
  ]);
}

/** Throws when nothing was changed: whoever plans holds the lock of the tenant, and has read what is there. */
async function changeOne(transaction: Transaction, text: string, values: readonly unknown[]): Promise<void> {
  const rows = await transaction.query(text, values);
  if (rows.length !== 1) throw new Error('a signing key is not as it was planned for');
}

export interface SealedSigningKey {
  readonly kid: string;
  readonly private_sealed: Buffer;
}

export async function listSealedSigningKeys(
  transaction: Transaction,
  tenantId: TenantId,
): Promise<readonly SealedSigningKey[]> {
  return transaction.query<SealedSigningKey>(
    'select kid, private_sealed from signing_keys where tenant_id = $1 order by kid limit 1000 for update',
    [tenantId],
  );
}

export async function updateSealedSigningKey(
  transaction: Transaction,
  { tenantId, kid, privateSealed }: OneKey & { privateSealed: Buffer },
): Promise<void> {
  await transaction.query('update signing_keys set private_sealed = $3 where tenant_id = $1 and kid = $2', [
    tenantId,
    kid,
    privateSealed,
  ]);
}

/** Active tenants after this one in which something is due, see migrations/0012. */
export async function listTenantsWithKeysDue(
  database: Database,
  due: { now: Date; ripeningSeconds: number; rotateAfterSeconds: number; after: TenantId; limit: number },
): Promise<readonly TenantId[]> {
  const rows = await database.platform.query<{ id: TenantId }>(
    'select id from tenants_with_keys_due($1, $2, $3, $4, $5) as id',
    [due.now, due.ripeningSeconds, due.rotateAfterSeconds, due.after, due.limit],
  );
  return rows.map(({ id }) => id);
}

/** Tenants after this one with something that another master key sealed. */
export async function listTenantsSealedOtherwise(
  database: Database,
  { keyId, after, limit }: { keyId: Buffer; after: TenantId; limit: number },
): Promise<readonly TenantId[]> {
  const rows = await database.platform.query<{ id: TenantId }>(
    'select id from tenants_sealed_otherwise($1, $2, $3) as id',
    [keyId, after, limit],
  );
  return rows.map(({ id }) => id);
}
