/** The table `idempotency_keys`: what was asked for under which key, and what was answered. */
import type { TenantId } from '#src/domain/tenant.ts';
import type { TenantDatabase } from '../database.ts';

export interface IdempotencyPlace {
  readonly tenantId: TenantId;
  readonly callerHash: Buffer;
  readonly keyHash: Buffer;
}

export interface IdempotencyRow {
  readonly request_hash: Buffer;
  /** Null while the first of them is under way. */
  readonly answer_sealed: Buffer | null;
}

/** Undefined when the place was free and is taken now; the row that was there before otherwise. Of two at once one finds the other's. */
export async function takeIdempotencyKey(
  tenant: TenantDatabase,
  { tenantId, callerHash, keyHash, requestHash, now }: IdempotencyPlace & { requestHash: Buffer; now: Date },
): Promise<IdempotencyRow | undefined> {
  return tenant.transaction(async (transaction) => {
    const taken = await transaction.query(
      `insert into idempotency_keys (tenant_id, caller_hash, key_hash, request_hash, created_at) values ($1, $2, $3, $4, $5)
       on conflict (tenant_id, caller_hash, key_hash) do update
          set request_hash = excluded.request_hash, answer_sealed = null, created_at = excluded.created_at
        where idempotency_keys.created_at < excluded.created_at - interval '1 day'
       returning tenant_id`,
      [tenantId, callerHash, keyHash, requestHash, now],
    );
    if (taken.length === 1) return undefined;
    const rows = await transaction.query<IdempotencyRow>(
      'select request_hash, answer_sealed from idempotency_keys where tenant_id = $1 and caller_hash = $2 and key_hash = $3',
      [tenantId, callerHash, keyHash],
    );
    const [row] = rows;
    if (row === undefined) throw new Error('an idempotency key went away while it was looked at');
    return row;
  });
}

export async function keepIdempotentAnswer(
  tenant: TenantDatabase,
  { tenantId, callerHash, keyHash, answerSealed }: IdempotencyPlace & { readonly answerSealed: Buffer },
): Promise<void> {
  await tenant.transaction((transaction) =>
    transaction.query(
      'update idempotency_keys set answer_sealed = $4 where tenant_id = $1 and caller_hash = $2 and key_hash = $3',
      [tenantId, callerHash, keyHash, answerSealed],
    ),
  );
}

/** Nothing was done: the same key may be used again. */
export async function freeIdempotencyKey(
  tenant: TenantDatabase,
  { tenantId, callerHash, keyHash }: IdempotencyPlace,
): Promise<void> {
  await tenant.transaction((transaction) =>
    transaction.query(
      `delete from idempotency_keys
        where tenant_id = $1 and caller_hash = $2 and key_hash = $3 and answer_sealed is null`,
      [tenantId, callerHash, keyHash],
    ),
  );
}
