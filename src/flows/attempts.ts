/**
 * Counting what somebody tries: a password, a code, a reset that is asked for. The attempt is counted first and on its own, in a
 * transaction that nothing rolls back, and only who is allowed to is looked at. Which counts are too many is for
 * domain/sign_in_throttle.ts to say.
 */
import {
  type AttemptKind,
  judgeSignInAttempt,
  type SignInThrottleSettings,
  throttleKeys,
} from '#src/domain/sign_in_throttle.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import type { Database } from '#src/storage/database.ts';
import { countSignInAttempt, forgiveSignInAttempts } from '#src/storage/tables/sign_in_attempts.ts';

export interface AttemptServices {
  readonly database: Database;
  readonly settings: SignInThrottleSettings;
}

export interface Attempt {
  readonly tenantId: TenantId;
  readonly kind: AttemptKind;
  /** The canonical form of whom it is about, whether or not there is such a person. */
  readonly identifier: string;
  readonly address: string | undefined;
}

export type AttemptDecision =
  | { readonly outcome: 'allowed' }
  /** `firstInWindow`: to be told once, so that a flood does not become a flood of events. */
  | { readonly outcome: 'throttled'; readonly retryAfterSeconds: number; readonly firstInWindow: boolean };

/** Counts one attempt and judges it by the counts that include it. Exact however many come at once, from however many processes. */
export async function countAttempt(
  { database, settings }: AttemptServices,
  attempt: Attempt & { readonly now: Date },
): Promise<AttemptDecision> {
  const { now } = attempt;
  const { windowSeconds, maximumPerIdentifierAndAddress: firstMaximum } = settings;
  const counts = await countSignInAttempt(database.tenant(attempt.tenantId), {
    keys: hashesOf(attempt),
    windowSeconds,
    firstMaximum,
    now,
  });
  const attempts = (index: number): number => counts[index]?.attempts ?? Number.NaN;
  const remaining = (index: number): number => {
    const startedAt = counts[index]?.windowStartedAt.getTime() ?? now.getTime();
    return windowSeconds - (now.getTime() - startedAt) / 1000;
  };
  const decision = judgeSignInAttempt(
    { identifierAndAddress: attempts(0), identifier: attempts(1), address: attempts(2) },
    settings,
    { identifierAndAddress: remaining(0), identifier: remaining(1), address: remaining(2) },
  );
  if (decision.outcome === 'allowed') return decision;
  const firstInWindow =
    attempts(0) === settings.maximumPerIdentifierAndAddress + 1 ||
    attempts(1) === settings.maximumPerIdentifier + 1 ||
    attempts(2) === settings.maximumPerAddress + 1;
  return { outcome: 'throttled', retryAfterSeconds: decision.retryAfterSeconds, firstInWindow };
}

/** A success gives its own attempt back, and clears what this person got wrong at this address. */
export async function forgiveAttempt({ database }: AttemptServices, attempt: Attempt): Promise<void> {
  const [cleared = Buffer.alloc(0), ...returned] = hashesOf(attempt);
  await forgiveSignInAttempts(database.tenant(attempt.tenantId), { cleared, returned });
}

/** In the order of sign_in_attempts_count: the pair first. */
function hashesOf({ kind, identifier, address }: Attempt): readonly Buffer[] {
  const keys = throttleKeys({ kind, identifierCanonical: identifier, address });
  return [keys.identifierAndAddress, keys.identifier, keys.address].map(sha256);
}
