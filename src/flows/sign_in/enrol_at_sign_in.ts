/**
 * A second factor that is set up while somebody signs in, because the tenant or the application asks for one. Confirmed and waiting for
 * the backup codes to be put away is a step of its own: whoever is interrupted there comes back to it, with new codes, and nobody
 * gets past it without the factor.
 */
import type { FactorRecord } from '#src/domain/authentication.ts';
import { readSignInPersonById } from '#src/storage/tables/factors.ts';
import { advancePendingSignIn } from '#src/storage/tables/pending_sign_ins.ts';
import { isCurrentSet, putBackupCodes } from '../factors/backup_codes.ts';
import type { FactorOwner } from '../factors/factor_owner.ts';
import { beginTotp, confirmTotp } from '../factors/set_up_factors.ts';
import {
  type Finished,
  finish,
  keyHashOf,
  PENDING_SECONDS,
  type SignInPlace,
  type SignInServices,
} from './authentication_steps.ts';
import { findPendingSignIn, type PendingSignIn } from './second_factor.ts';

function ownerOf({ tenantId, key, origin }: SignInPlace, { userId }: PendingSignIn): FactorOwner {
  return { tenantId, userId, key, origin };
}

/** The secret to show. */
export function beginEnrolment(services: SignInServices, place: SignInPlace, pending: PendingSignIn): Promise<string> {
  return beginTotp(services, ownerOf(place, pending));
}

export type EnrolOutcome =
  /** The backup codes come next, see `renewCodes`. */
  | { readonly outcome: 'enrolled' }
  | { readonly outcome: 'refused' }
  /** Over, or there is a second factor meanwhile: the sign-in begins anew, and asks for it. */
  | { readonly outcome: 'expired' };

export async function confirmEnrolment(
  services: SignInServices,
  place: SignInPlace,
  code: string,
): Promise<EnrolOutcome> {
  const pending = await findPendingSignIn(services, place);
  if (pending?.wanted !== 'enrolment') return { outcome: 'expired' };
  const { tenantId, key } = place;
  const { userId } = pending;
  const now = services.clock();
  const proven: FactorRecord = { method: 'totp', at: now };
  const confirmed = await confirmTotp(services, ownerOf(place, pending), {
    code,
    onlyAsFirst: true,
    also: (transaction) =>
      advancePendingSignIn(transaction, {
        tenantId,
        keyHash: keyHashOf(key),
        userId,
        wanted: 'enrolment',
        next: 'backup_codes',
        factors: [...pending.factors, proven],
        expiresAt: new Date(now.getTime() + PENDING_SECONDS * 1000),
      }),
  });
  return { outcome: confirmed.outcome };
}

/** Codes are shown once: whoever comes back to this step gets new ones. */
export function renewCodes(
  { database, clock }: SignInServices,
  { tenantId }: SignInPlace,
  { userId }: PendingSignIn,
): Promise<readonly string[]> {
  return database.tenant(tenantId).transaction((transaction) => putBackupCodes(transaction, userId, clock()));
}

/**
 * The codes are put away: signs in. `used`: these are not the codes that count any more.
 *
 * @param set Which codes the person has seen, see `backupCodeSet`.
 */
export async function finishEnrolment(services: SignInServices, place: SignInPlace, set: string): Promise<Finished> {
  const pending = await findPendingSignIn(services, place);
  if (pending?.wanted !== 'backup_codes') return { outcome: 'expired' };
  const { userId, factors } = pending;
  const person = await readSignInPersonById(services.database.tenant(place.tenantId), userId);
  // Taken away again before this sign-in was over: then it proves nothing.
  if (person?.totp !== true) return { outcome: 'expired' };
  return finish(services, place, {
    userId,
    factors,
    pending: 'backup_codes',
    use: (transaction) => isCurrentSet(transaction, userId, set),
  });
}
