/** The table `password_history`: hashes of passwords that a person had before the one in use, where a tenant wants them remembered. */
import type { UserId } from '#src/domain/user.ts';
import type { Transaction } from '../database.ts';

/** The latest first. */
export async function readPasswordHistory(
  transaction: Transaction,
  { userId, limit }: { readonly userId: UserId; readonly limit: number },
): Promise<readonly string[]> {
  const rows = await transaction.query<{ password_hash: string }>(
    'select password_hash from password_history where user_id = $1 order by id desc limit $2',
    [userId, limit],
  );
  return rows.map((row) => row.password_hash);
}

/** Remembers one that has just been replaced, and forgets all but the latest `kept`. */
export async function rememberPassword(
  transaction: Transaction,
  input: {
    readonly userId: UserId;
    readonly id: string;
    readonly hash: string;
    readonly kept: number;
    readonly now: Date;
  },
): Promise<void> {
  await transaction.query(
    'insert into password_history (user_id, id, password_hash, replaced_at) values ($1, $2, $3, $4)',
    [input.userId, input.id, input.hash, input.now],
  );
  await transaction.query(
    `delete from password_history where user_id = $1
        and id not in (select h.id from password_history h where h.user_id = $1 order by h.id desc limit $2)`,
    [input.userId, input.kept],
  );
}
