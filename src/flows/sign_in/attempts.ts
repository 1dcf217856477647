/**
 * Counting what somebody tries: a password, a code, a reset that is asked for. The attempt is counted first and on its own, in a
 * transaction that nothing rolls back, and only who is allowed to is looked at. Which counters it has and how many are too many is for
 * domain/sign_in_throttle.ts to say; where they are kept, for storage/counters.ts.
 */
import {
  type AttemptLimit,
  isOwnCounter,
  type LimitName,
  LOCK_MEMORY_SECONDS,
  limitsOf,
  retryAfterSeconds,
  type SignInThrottleSettings,
  shortAddressLimits,
  type TriedAttempt,
} from '#src/domain/sign_in_throttle.ts';
import { type TenantId, tenantId } from '#src/domain/tenant.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import type { Database } from '#src/storage/database.ts';
import type { CountedLimit } from '#src/storage/tables/sign_in_attempts.ts';

export interface AttemptServices {
  readonly database: Database;
  readonly settings: SignInThrottleSettings;
}

/**
 * `knownDevice` names a device that was remembered for exactly this person and whose token was verified by the caller: then a password
 * is counted under this device alone, and nobody else can use the allowance up. Never something that the browser only says.
 */
export interface Attempt extends TriedAttempt {
  readonly tenantId: TenantId;
}

export type AttemptDecision =
  | { readonly outcome: 'allowed' }
  | {
      readonly outcome: 'throttled';
      readonly retryAfterSeconds: number;
      /** A lock began with this attempt. To be told once, so that a flood does not become a flood of events. */
      readonly firstInWindow: boolean;
      readonly limit: LimitName;
    };

/** Counts one attempt and judges it by the counts that include it. Exact however many come at once, from however many processes. */
export async function countAttempt(
  { database, settings }: AttemptServices,
  attempt: Attempt & { readonly now: Date },
): Promise<AttemptDecision> {
  return countOn(database, limitsOf(attempt, settings), attempt);
}

/** What names no tenant yet is counted where no tenant can be. */
const installation = tenantId('00000000-0000-0000-0000-000000000000');

/** The same for somebody who follows a short address with the code of a device in it. */
export function countShortAddress(
  { database, settings }: AttemptServices,
  { address, now }: { readonly address: string | undefined; readonly now: Date },
): Promise<AttemptDecision> {
  return countOn(database, shortAddressLimits(address, settings), { tenantId: installation, now });
}

/** It led to a device: only those that lead nowhere are kept. */
export async function forgiveShortAddress(
  { database, settings }: AttemptServices,
  { address }: { readonly address: string | undefined },
): Promise<void> {
  const returned = shortAddressLimits(address, settings).map(counted);
  await database.counters.forgive({ tenantId: installation, cleared: undefined, returned });
}

async function countOn(
  database: Database,
  limits: readonly AttemptLimit[],
  { tenantId, now }: { readonly tenantId: TenantId; readonly now: Date },
): Promise<AttemptDecision> {
  const options = { tenantId, now, memorySeconds: LOCK_MEMORY_SECONDS };
  const exceeded = await database.counters.try(limits.map(counted), options);
  if (exceeded === undefined) return { outcome: 'allowed' };
  return {
    outcome: 'throttled',
    retryAfterSeconds: retryAfterSeconds(exceeded.lockedUntil.getTime() - now.getTime()),
    firstInWindow: exceeded.began,
    // The store was asked about no other.
    limit: limits[exceeded.index]?.name ?? 'tenant',
  };
}

/**
 * A success gives its own attempt back, and clears what this person got wrong at this address or on this device. What others may have
 * filled stays: the owner's success must not hand a new allowance to whoever guesses beside them.
 */
export async function forgiveAttempt({ database, settings }: AttemptServices, attempt: Attempt): Promise<void> {
  const limits = limitsOf(attempt, settings);
  const cleared = limits.find(isOwnCounter);
  const returned = limits.filter((limit) => limit !== cleared).map(counted);
  await database.counters.forgive({ tenantId: attempt.tenantId, cleared: cleared && counted(cleared), returned });
}

/** As it is stored: the keys hold personal data, so only their digest leaves. */
function counted({ key, partOf, ...numbers }: AttemptLimit): CountedLimit {
  return { ...numbers, key: sha256(key), partOf: partOf === undefined ? undefined : sha256(partOf) };
}
