/** Sign-ins that have got some way and no further. Only the server knows them, by where they were begun. */
import type { FactorMethod, FactorRecord } from '#src/domain/authentication.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { TenantDatabase, Transaction } from '../database.ts';

/** What still has to be done. `enrolment`: to set up a second factor, because the tenant asks for one and there is none. */
export type WantedStep = 'second_factor' | 'enrolment';

export interface PendingSignInRow {
  readonly user_id: UserId;
  readonly factors: readonly FactorRecord[];
  readonly wanted: WantedStep;
  readonly tries: number;
}

interface StoredRow extends Omit<PendingSignInRow, 'factors'> {
  readonly factors: readonly (Omit<FactorRecord, 'at' | 'method'> & {
    readonly at: string;
    readonly method: FactorMethod;
  })[];
}

export interface PendingSignInKey {
  readonly keyHash: Buffer;
  readonly clientId: string;
}

/** In place of the one that was begun there before. */
export async function putPendingSignIn(
  transaction: Transaction,
  pending: PendingSignInKey & {
    readonly tenantId: TenantId;
    readonly userId: UserId;
    readonly factors: readonly FactorRecord[];
    readonly wanted: WantedStep;
    readonly now: Date;
    readonly expiresAt: Date;
  },
): Promise<void> {
  await transaction.query(
    `insert into pending_sign_ins (tenant_id, key_hash, user_id, client_id, factors, wanted, created_at, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8)
     on conflict (tenant_id, key_hash) do update
       set user_id = excluded.user_id, client_id = excluded.client_id, factors = excluded.factors, wanted = excluded.wanted,
           -- Whoever knows the password begins again as often as they like, and with no more guesses than before.
           tries = case when pending_sign_ins.user_id = excluded.user_id and pending_sign_ins.expires_at > excluded.created_at
                        then pending_sign_ins.tries else 0 end,
           created_at = excluded.created_at, expires_at = excluded.expires_at`,
    [
      pending.tenantId,
      pending.keyHash,
      pending.userId,
      pending.clientId,
      JSON.stringify(pending.factors),
      pending.wanted,
      pending.now,
      pending.expiresAt,
    ],
  );
}

const read = { name: 'pending_sign_in_read', text: 'select * from pending_sign_in_read($1, $2, $3, $4, $5)' } as const;
const attempt = { name: 'pending_sign_in_try', text: 'select * from pending_sign_in_try($1, $2, $3, $4, $5)' } as const;

interface Look extends PendingSignInKey {
  readonly now: Date;
  readonly maximumTries: number;
}

/** Undefined when there is none: over, begun by another client, or tried too often. */
export async function readPendingSignIn(tenant: TenantDatabase, look: Look): Promise<PendingSignInRow | undefined> {
  return rowOf(await tenant.read<StoredRow>(read, [look.keyHash, look.clientId, look.now, look.maximumTries]));
}

/** The same, and counts a try: on its own, before anything is looked at. */
export async function tryPendingSignIn(tenant: TenantDatabase, look: Look): Promise<PendingSignInRow | undefined> {
  return rowOf(await tenant.write<StoredRow>(attempt, [look.keyHash, look.clientId, look.now, look.maximumTries]));
}

function rowOf([row]: readonly StoredRow[]): PendingSignInRow | undefined {
  if (row === undefined) return undefined;
  return { ...row, factors: row.factors.map((factor) => ({ ...factor, at: new Date(factor.at) })) };
}

/** False when it is gone: somebody else finished it. */
export async function deletePendingSignIn(
  transaction: Transaction,
  { tenantId, keyHash }: { readonly tenantId: TenantId; readonly keyHash: Buffer },
): Promise<boolean> {
  const text = 'delete from pending_sign_ins where tenant_id = $1 and key_hash = $2 returning key_hash';
  return (await transaction.query(text, [tenantId, keyHash])).length === 1;
}

/** Whatever this person had begun anywhere at this tenant: a password that was changed, a factor that is gone. */
export async function deletePendingSignInsOf(
  transaction: Transaction,
  { tenantId, userId }: { readonly tenantId: TenantId; readonly userId: UserId },
): Promise<void> {
  await transaction.query('delete from pending_sign_ins where tenant_id = $1 and user_id = $2', [tenantId, userId]);
}
