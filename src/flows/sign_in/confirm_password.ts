/**
 * Asks somebody who is signed in for the password they have, before something that only they may do. It signs nobody in. A try is
 * counted with those of sign-in, so that whoever finds a browser open gets no guesses of their own, and a lock is told to its owner.
 */
import { canonicalIdentifier } from '#src/domain/email_address.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import { PasswordHashingBusy } from '#src/foundation/password_hashing.ts';
import { type Origin, recordEvent } from '#src/storage/event_log.ts';
import { recordLock } from './account_lock.ts';
import { countAttempt, forgiveAttempt } from './attempts.ts';
import type { SignInServices } from './authentication_steps.ts';

export interface PasswordToConfirm {
  readonly tenantId: TenantId;
  readonly person: { readonly id: UserId; readonly email: string; readonly password_hash: string | null };
  readonly password: string;
  /** For the history: through what it was asked. */
  readonly clientId: string;
  readonly origin: Origin;
}

export type ConfirmPasswordOutcome =
  | { readonly outcome: 'confirmed'; readonly hash: string }
  | { readonly outcome: 'wrong' }
  | { readonly outcome: 'throttled' | 'busy'; readonly retryAfterSeconds: number };

/** No connection is held while it is verified. */
export async function confirmPassword(
  services: SignInServices,
  { tenantId, person, password, clientId, origin }: PasswordToConfirm,
): Promise<ConfirmPasswordOutcome> {
  const { database, clock, passwords } = services;
  const now = clock();
  const identifier = canonicalIdentifier(person.email);
  const attempt = { tenantId, kind: 'password', identifier, address: origin.ip } as const;
  const decision = await countAttempt(services, { ...attempt, now });
  if (decision.outcome === 'throttled') {
    const { limit, retryAfterSeconds } = decision;
    if (decision.firstInWindow)
      await recordLock(services, { tenantId, clientId, identifier, limit, retryAfterSeconds, origin, now });
    return { outcome: 'throttled', retryAfterSeconds };
  }
  try {
    const hash = person.password_hash ?? undefined;
    const { matches } = await passwords.verify(hash, password);
    if (hash === undefined || !matches) {
      const target = { type: 'user', id: person.id } as const;
      const event = {
        type: 'user.sign_in_failed',
        outcome: 'failure',
        reason: hash === undefined ? 'no_password' : 'wrong_password',
        target,
        clientId,
      } as const;
      await recordEvent(database.tenant(tenantId), { event, origin, now: clock() });
      return { outcome: 'wrong' };
    }
    await forgiveAttempt(services, attempt);
    return { outcome: 'confirmed', hash };
  } catch (fault) {
    if (fault instanceof PasswordHashingBusy) return { outcome: 'busy', retryAfterSeconds: fault.retryAfterSeconds };
    throw fault;
  }
}
