/** Sign-ins that have got some way and no further. Only the server knows them, by where they were begun. */
import type { FactorMethod, FactorRecord } from '#src/domain/authentication.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { TenantDatabase, Transaction } from '../database.ts';

/**
 * What still has to be done. `enrolment`: to set up a second factor, because the tenant asks for one and there is none.
 * `backup_codes`: everything is proven, and the codes for the day on which it cannot be are to be put away first.
 */
export type WantedStep = 'second_factor' | 'enrolment' | 'backup_codes';

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
           created_at = excluded.created_at, expires_at = excluded.expires_at,
           email_code_hash = null, email_code_expires_at = null,
           email_codes_sent = case when pending_sign_ins.user_id = excluded.user_id then pending_sign_ins.email_codes_sent else 0 end`,
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

/** Which half-done sign-in: of whom, and what it waited for. Another one may have taken its place meanwhile. */
export interface PendingStep {
  readonly tenantId: TenantId;
  readonly keyHash: Buffer;
  readonly userId: UserId;
  readonly wanted: WantedStep;
}

/** False when it is gone: somebody else finished it. */
export async function deletePendingSignIn(transaction: Transaction, step: PendingStep): Promise<boolean> {
  const text =
    'delete from pending_sign_ins where tenant_id = $1 and key_hash = $2 and user_id = $3 and wanted = $4 returning key_hash';
  return (await transaction.query(text, [step.tenantId, step.keyHash, step.userId, step.wanted])).length === 1;
}

/** One factor more is proven, and something else is waited for. False when it is gone. */
export async function advancePendingSignIn(
  transaction: Transaction,
  step: PendingStep & {
    readonly factors: readonly FactorRecord[];
    readonly next: WantedStep;
    readonly expiresAt: Date;
  },
): Promise<boolean> {
  const rows = await transaction.query(
    `update pending_sign_ins set factors = $5, wanted = $6, expires_at = $7
      where tenant_id = $1 and key_hash = $2 and user_id = $3 and wanted = $4 returning key_hash`,
    [step.tenantId, step.keyHash, step.userId, step.wanted, JSON.stringify(step.factors), step.next, step.expiresAt],
  );
  return rows.length === 1;
}

/** A code was mailed, in place of the one before. False when there is nothing half done here, or as many were sent as may be. */
export async function putEmailCode(
  transaction: Transaction,
  code: PendingStep & { readonly codeHash: Buffer; readonly expiresAt: Date; readonly maximumSent: number },
): Promise<boolean> {
  const rows = await transaction.query(
    `update pending_sign_ins set email_code_hash = $5, email_code_expires_at = $6, email_codes_sent = email_codes_sent + 1
      where tenant_id = $1 and key_hash = $2 and user_id = $3 and wanted = $4 and email_codes_sent < $7 returning key_hash`,
    [code.tenantId, code.keyHash, code.userId, code.wanted, code.codeHash, code.expiresAt, code.maximumSent],
  );
  return rows.length === 1;
}

/** Uses it up. False when it is not this one, is over, or was used before. */
export async function takeEmailCode(
  transaction: Transaction,
  { tenantId, keyHash, userId, codeHash, now }: Omit<PendingStep, 'wanted'> & { codeHash: Buffer; now: Date },
): Promise<boolean> {
  const rows = await transaction.query(
    `update pending_sign_ins set email_code_hash = null
      where tenant_id = $1 and key_hash = $2 and user_id = $3 and email_code_hash = $4 and email_code_expires_at > $5
     returning key_hash`,
    [tenantId, keyHash, userId, codeHash, now],
  );
  return rows.length === 1;
}

/** Whatever this person had begun anywhere at this tenant: a password that was changed, a factor that is gone. */
export async function deletePendingSignInsOf(
  transaction: Transaction,
  { tenantId, userId }: { readonly tenantId: TenantId; readonly userId: UserId },
): Promise<void> {
  await transaction.query('delete from pending_sign_ins where tenant_id = $1 and user_id = $2', [tenantId, userId]);
}
