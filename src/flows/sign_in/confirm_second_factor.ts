/**
 * Asks somebody who is signed in for a code once more, before something that only they may do. It signs nobody in. A try is counted
 * with those of sign-in, so that whoever found a token gets no guesses of their own, and what was right is used up.
 */
import type { NewEvent } from '#src/domain/event.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import { type Origin, recordEvent } from '#src/storage/event_log.ts';
import { countAttempt, forgiveAttempt } from './attempts.ts';
import type { SignInServices } from './authentication_steps.ts';
import { checkBackupCode, checkTotp } from './second_factor.ts';

export interface FactorToConfirm {
  readonly tenantId: TenantId;
  readonly userId: UserId;
  readonly proof: { readonly kind: 'totp' | 'backup_code'; readonly code: string };
  /** For the history: through what it was asked. */
  readonly clientId: string;
  readonly origin: Origin;
}

export type ConfirmFactorOutcome =
  | { readonly outcome: 'confirmed' | 'wrong' }
  | { readonly outcome: 'throttled'; readonly retryAfterSeconds: number };

export async function confirmSecondFactor(
  services: SignInServices,
  { tenantId, userId, proof, clientId, origin }: FactorToConfirm,
): Promise<ConfirmFactorOutcome> {
  const { database, clock } = services;
  const tenant = database.tenant(tenantId);
  const now = clock();
  const kind = proof.kind === 'totp' ? 'code' : 'backup_code';
  // The same counter as at sign-in: see continueWith in second_factor.ts.
  const attempt = { tenantId, kind, identifier: `user:${userId}`, address: undefined } as const;
  const decision = await countAttempt(services, { ...attempt, now });
  const failed = (reason: string): NewEvent => ({
    type: 'mfa.failed',
    outcome: 'failure',
    reason,
    target: { type: 'user', id: userId },
    clientId,
    data: { method: proof.kind },
  });
  if (decision.outcome === 'throttled') {
    if (decision.firstInWindow) await recordEvent(tenant, { event: failed('throttled'), origin, now });
    return { outcome: 'throttled', retryAfterSeconds: decision.retryAfterSeconds };
  }
  const proven =
    proof.kind === 'totp'
      ? await checkTotp(services, { tenantId }, userId, proof.code)
      : await checkBackupCode(services, { tenantId, clientId, origin }, userId, proof.code);
  const isUsed = proven !== undefined && (await tenant.transaction(proven.use));
  if (isUsed) {
    await forgiveAttempt(services, attempt);
    return { outcome: 'confirmed' };
  }
  await recordEvent(tenant, { event: failed(proven?.whenUsed ?? 'wrong'), origin, now });
  return { outcome: 'wrong' };
}
