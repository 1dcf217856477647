/** The table `sign_in_attempts`: counters that commit on their own, before a password is looked at. */
import type { TenantDatabase } from '../database.ts';

export interface AttemptCount {
  readonly attempts: number;
  readonly windowStartedAt: Date;
}

const count = {
  name: 'sign_in_attempts_count',
  text: 'select * from sign_in_attempts_count($1, $2, $3, $4, $5)',
} as const;
const forgive = { name: 'sign_in_attempts_forgive', text: 'select sign_in_attempts_forgive($1, $2, $3)' } as const;

/**
 * Counts this attempt on the keys (SHA-256 each) and answers with the counts, in their order. Once the first one is over
 * `firstMaximum`, the others are read and not counted.
 */
export async function countSignInAttempt(
  tenant: TenantDatabase,
  {
    keys,
    windowSeconds,
    firstMaximum,
    now,
  }: { keys: readonly Buffer[]; windowSeconds: number; firstMaximum: number; now: Date },
): Promise<readonly AttemptCount[]> {
  const rows = await tenant.write<{ attempts: number; window_started_at: Date }>(count, [
    now,
    windowSeconds,
    firstMaximum,
    keys,
  ]);
  return rows.map((row) => ({ attempts: row.attempts, windowStartedAt: row.window_started_at }));
}

/** After a success: clears one key and gives this attempt back on the others. */
export async function forgiveSignInAttempts(
  tenant: TenantDatabase,
  { cleared, returned }: { cleared: Buffer; returned: readonly Buffer[] },
): Promise<void> {
  await tenant.write(forgive, [cleared, returned]);
}
