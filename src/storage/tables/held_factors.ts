/** Which second factors a person has and since when, for that person to see: never what one would need to use them. */
import type { UserId } from '#src/domain/user.ts';
import type { Transaction } from '../database.ts';

export interface HeldFactorRow {
  readonly kind: 'totp' | 'passkey' | 'backup_code';
  /** What the person calls a passkey. */
  readonly name: string | null;
  readonly created_at: Date;
  /** Of a backup code: when it was used up. */
  readonly last_used_at: Date | null;
}

export async function listHeldFactors(transaction: Transaction, userId: UserId): Promise<readonly HeldFactorRow[]> {
  return transaction.query<HeldFactorRow>(
    `select 'totp' as kind, null as name, created_at, null::timestamptz as last_used_at
       from totp_factors where user_id = $1 and state = 'active'
     union all select 'passkey', name, created_at, last_used_at from passkeys where user_id = $1
     union all select 'backup_code', null, created_at, used_at from backup_codes where user_id = $1
     order by created_at, kind, name limit 1000`,
    [userId],
  );
}
