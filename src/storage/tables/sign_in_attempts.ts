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
const tryAll = {
  name: 'sign_in_attempts_try',
  text: 'select * from sign_in_attempts_try($1, $2, $3, $4, $5, $6, $7, $8, $9)',
} as const;
const forgive = { name: 'sign_in_attempts_forgive', text: 'select sign_in_attempts_forgive($1, $2, $3)' } as const;
const unlock = { name: 'sign_in_attempts_unlock', text: 'select sign_in_attempts_unlock($1, $2)' } as const;

/**
 * Counts this request on the keys (SHA-256 each) and answers with the counts, in their order. Once the first one is over
 * `firstMaximum`, the others are read and not counted. Nothing is locked.
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

/** A counter of an attempt; `key` and `partOf` are SHA-256. */
export interface CountedLimit {
  readonly key: Buffer;
  readonly partOf: Buffer | undefined;
  readonly maximum: number;
  readonly windowSeconds: number;
  readonly firstLockSeconds: number;
  readonly longestLockSeconds: number;
}

/** The first counter that is over its limit, by its place in the list. */
export interface ExceededLimit {
  readonly index: number;
  readonly lockedUntil: Date;
  /** For one attempt of each lock. */
  readonly began: boolean;
}

/** Counts one attempt on all of them; undefined when all are within their limits. One round trip, one transaction. */
export async function tryLimits(
  tenant: TenantDatabase,
  { limits, memorySeconds, now }: { limits: readonly CountedLimit[]; memorySeconds: number; now: Date },
): Promise<ExceededLimit | undefined> {
  const [row] = await tenant.write<{ ordinal: number; locked_until: Date; began: boolean }>(tryAll, [
    now,
    memorySeconds,
    limits.map(({ key }) => key),
    limits.map(({ partOf }) => partOf ?? null),
    limits.map(({ maximum }) => maximum),
    limits.map(({ windowSeconds }) => windowSeconds),
    limits.map(({ firstLockSeconds }) => firstLockSeconds),
    limits.map(({ longestLockSeconds }) => longestLockSeconds),
  ]);
  if (row === undefined) return undefined;
  return { index: row.ordinal - 1, lockedUntil: row.locked_until, began: row.began };
}

/** After a success: clears one key, if there is one that is the person's own, and gives this attempt back on the others. */
export async function forgiveSignInAttempts(
  tenant: TenantDatabase,
  { cleared, returned }: { cleared: Buffer | undefined; returned: readonly Buffer[] },
): Promise<void> {
  await tenant.write(forgive, [cleared ?? null, returned]);
}

/** Forgets the counter of an identifier, and those of its addresses and devices. */
export async function unlockSignInAttempts(tenant: TenantDatabase, key: Buffer): Promise<void> {
  await tenant.write(unlock, [key]);
}
