/** What people prove themselves with beside a password. Rows are a person's; a tenant reaches those of its members only. */
import type { UserId } from '#src/domain/user.ts';
import type { TenantDatabase, Transaction } from '../database.ts';
import { lockPerson } from './people.ts';

export interface SignInPersonRow {
  readonly id: UserId;
  readonly email: string;
  readonly password_hash: string | null;
  readonly email_verified: boolean;
  readonly given_name: string | null;
  readonly family_name: string | null;
  readonly locale: 'nl' | 'en' | null;
  /** The person and the membership are both enabled. */
  readonly active: boolean;
  readonly roles: readonly string[];
  readonly totp: boolean;
  /** Not used yet. */
  readonly backup_codes: number;
  readonly passkeys: number;
  /** The browser is one of this person's. */
  readonly device_known: boolean;
  readonly second_factor_spared_until: Date | null;
}

const signInPerson = { name: 'sign_in_person', text: 'select * from sign_in_person($1, $2, $3)' } as const;

/** By canonical address or name. Undefined for who is nobody here. `deviceHash`: of the token that the browser brought. */
export async function readSignInPerson(
  tenant: TenantDatabase,
  input: { readonly identifier: string; readonly deviceHash: Buffer | undefined },
): Promise<SignInPersonRow | undefined> {
  return (await tenant.read<SignInPersonRow>(signInPerson, [input.identifier, input.deviceHash ?? null]))[0];
}

const signInPersonById = { name: 'sign_in_person_by_id', text: 'select * from sign_in_person_by_id($1, $2)' } as const;

export async function readSignInPersonById(
  tenant: TenantDatabase,
  userId: UserId,
): Promise<SignInPersonRow | undefined> {
  return (await tenant.read<SignInPersonRow>(signInPersonById, [userId]))[0];
}

export interface TotpRow {
  readonly user_id: UserId;
  readonly state: 'pending' | 'active';
  readonly secret_sealed: Buffer;
  readonly last_step: number;
  readonly created_at: Date;
  /** Of one that is being set up: where. */
  readonly place_hash: Buffer | null;
}

export async function findTotp(
  transaction: Transaction,
  { userId, state }: { readonly userId: UserId; readonly state: TotpRow['state'] },
): Promise<TotpRow | undefined> {
  const text =
    'select user_id, state, secret_sealed, last_step, created_at, place_hash from totp_factors where user_id = $1 and state = $2';
  return (await transaction.query<TotpRow>(text, [userId, state]))[0];
}

/** In place of the one that was being set up. */
export async function putPendingTotp(
  transaction: Transaction,
  totp: {
    readonly userId: UserId;
    readonly secretSealed: Buffer;
    /** Where it is set up, and can be confirmed. */
    readonly placeHash: Buffer;
    readonly now: Date;
  },
): Promise<void> {
  await transaction.query(
    `insert into totp_factors (user_id, state, secret_sealed, created_at, place_hash) values ($1, 'pending', $2, $3, $4)
     on conflict (user_id, state) do update
       set secret_sealed = excluded.secret_sealed, created_at = excluded.created_at, place_hash = excluded.place_hash, last_step = 0`,
    [totp.userId, totp.secretSealed, totp.now, totp.placeHash],
  );
}

/** The one that was being set up takes the place of the old. False when there is none, or not with this secret any more. */
export async function activateTotp(
  transaction: Transaction,
  { userId, secretSealed, step }: { readonly userId: UserId; readonly secretSealed: Buffer; readonly step: number },
): Promise<boolean> {
  const found = `select user_id from totp_factors where user_id = $1 and state = 'pending' and secret_sealed = $2 for update`;
  if ((await transaction.query(found, [userId, secretSealed])).length === 0) return false;
  await transaction.query(`delete from totp_factors where user_id = $1 and state = 'active'`, [userId]);
  await transaction.query(
    `update totp_factors set state = 'active', last_step = $2, place_hash = null where user_id = $1 and state = 'pending'`,
    [userId, step],
  );
  return true;
}

/** One statement decides: of two who bring the same code one is late. */
export async function acceptTotpStep(
  transaction: Transaction,
  { userId, step }: { readonly userId: UserId; readonly step: number },
): Promise<boolean> {
  const rows = await transaction.query(
    `update totp_factors set last_step = $2 where user_id = $1 and state = 'active' and last_step < $2 returning user_id`,
    [userId, step],
  );
  return rows.length === 1;
}

/** Both the one in use and one that is being set up. False when there was none in use. */
export async function deleteTotp(transaction: Transaction, userId: UserId): Promise<boolean> {
  const text = 'delete from totp_factors where user_id = $1 returning state';
  const rows = await transaction.query<{ state: TotpRow['state'] }>(text, [userId]);
  return rows.some(({ state }) => state === 'active');
}

/** Uses a backup code up. Undefined when it is none of this person's or was used before; else how many are left. */
export async function useBackupCode(
  transaction: Transaction,
  { userId, codeHash, now }: { readonly userId: UserId; readonly codeHash: Buffer; readonly now: Date },
): Promise<number | undefined> {
  const use =
    'update backup_codes set used_at = $3 where user_id = $1 and code_hash = $2 and used_at is null returning user_id';
  if ((await transaction.query(use, [userId, codeHash, now])).length === 0) return undefined;
  return countBackupCodes(transaction, userId);
}

/** Not used yet. */
export async function countBackupCodes(transaction: Transaction, userId: UserId): Promise<number> {
  const text = 'select count(*)::integer as left from backup_codes where user_id = $1 and used_at is null';
  return (await transaction.query<{ left: number }>(text, [userId]))[0]?.left ?? 0;
}

/** New codes in place of all old ones, used or not. */
export async function replaceBackupCodes(
  transaction: Transaction,
  { userId, codeHashes, now }: { readonly userId: UserId; readonly codeHashes: readonly Buffer[]; readonly now: Date },
): Promise<void> {
  await transaction.query('delete from backup_codes where user_id = $1', [userId]);
  await transaction.query(
    'insert into backup_codes (user_id, code_hash, created_at) select $1, unnest($2::bytea[]), $3',
    [userId, codeHashes, now],
  );
}

/** The hashes of the codes in use or used, in order: what a set of them is known by. */
export async function listBackupCodeHashes(transaction: Transaction, userId: UserId): Promise<readonly Buffer[]> {
  const text = 'select code_hash from backup_codes where user_id = $1 order by code_hash limit 100';
  return (await transaction.query<{ code_hash: Buffer }>(text, [userId])).map(({ code_hash }) => code_hash);
}

export async function deleteBackupCodes(transaction: Transaction, userId: UserId): Promise<void> {
  await transaction.query('delete from backup_codes where user_id = $1', [userId]);
}

/** Until the end of the transaction nobody else changes what this person has. False when the tenant has no such member. */
export async function lockFactorsOf(transaction: Transaction, userId: UserId): Promise<boolean> {
  return lockPerson(transaction, userId);
}

/** TOTP secrets of this tenant's members that another master key than this one sealed. */
export async function listSealedTotp(
  transaction: Transaction,
  { keyId }: { readonly keyId: Buffer },
): Promise<readonly Pick<TotpRow, 'user_id' | 'state' | 'secret_sealed'>[]> {
  return transaction.query(
    'select user_id, state, secret_sealed from totp_factors where substring(secret_sealed from 2 for 4) <> $1 order by user_id, state',
    [keyId],
  );
}

/** Unless it was replaced meanwhile. */
export async function updateSealedTotp(
  transaction: Transaction,
  change: { readonly userId: UserId; readonly from: Buffer; readonly to: Buffer },
): Promise<void> {
  await transaction.query('update totp_factors set secret_sealed = $3 where user_id = $1 and secret_sealed = $2', [
    change.userId,
    change.from,
    change.to,
  ]);
}

/** All of a person's: an app, backup codes, passkeys; also what was only being set up. */
export async function deleteFactors(transaction: Transaction, userId: UserId): Promise<void> {
  await transaction.query('delete from totp_factors where user_id = $1', [userId]);
  await transaction.query('delete from backup_codes where user_id = $1', [userId]);
  await transaction.query('delete from passkeys where user_id = $1', [userId]);
}
