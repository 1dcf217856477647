/**
 * May this password be set? Asks everything in one order, the cheap questions first, and answers with one stable word. It knows no
 * more of the person than an attacker would, and the password goes nowhere: not into an event, not into a log.
 */
import {
  breaksPasswordRules,
  isMostlyOwnWords,
  ownWords,
  type PasswordOwner,
  type PasswordPolicy,
  type PasswordRefusal,
} from '#src/domain/password_policy.ts';
import type { PasswordHasher } from '#src/foundation/password_hashing.ts';
import { scorePassword } from '#src/foundation/password_strength.ts';
import type { BreachedPasswords } from '#src/gateways/breached_passwords.ts';

/** A flow that sets passwords has them beside its `FlowContext`. */
export interface PasswordJudges {
  readonly passwords: PasswordHasher;
  readonly breachedPasswords: BreachedPasswords;
}

export interface PasswordToJudge {
  /** The tenant's, as `peopleSettingsOf` gives them. */
  readonly settings: PasswordPolicy;
  readonly person: PasswordOwner;
  readonly tenant: { readonly name: string; readonly slug: string };
  readonly password: string;
  readonly hasSecondFactor: boolean;
  /** Hashes that must not match: the one in use and those before it. None for somebody new. */
  readonly history?: readonly string[] | undefined;
}

export type PasswordVerdict =
  | { readonly outcome: 'acceptable' }
  | { readonly outcome: 'unacceptable'; readonly reason: PasswordRefusal };

/**
 * Hold no database connection meanwhile: the estimate takes some milliseconds of this thread, Have I Been Pwned up to two seconds, and
 * every hash of the history as long as a sign-in. Throws `PasswordHashingBusy` when hashes are to be compared and the queue is full.
 */
export async function judgePassword(judges: PasswordJudges, input: PasswordToJudge): Promise<PasswordVerdict> {
  const { settings, person, tenant, password, hasSecondFactor, history = [] } = input;
  const unacceptable = (reason: PasswordRefusal): PasswordVerdict => ({ outcome: 'unacceptable', reason });

  const broken = breaksPasswordRules(settings, { password, hasSecondFactor });
  if (broken !== undefined) return unacceptable(broken);

  const words = ownWords(person, tenant);
  if (isMostlyOwnWords(password, words)) return unacceptable('own_name');
  if (await judges.breachedPasswords.isKnown(password, { askRangeApi: false })) return unacceptable('breached');

  if ((await scorePassword(password, words)) < settings['password.minimum_strength']) return unacceptable('too_weak');

  // Last, because it takes time and tells another house that somebody is about to set a password.
  const askRangeApi = settings['password.breached_range_api'];
  if (askRangeApi && (await judges.breachedPasswords.isKnown(password, { askRangeApi })))
    return unacceptable('breached');

  for (const hash of history) {
    if ((await judges.passwords.verify(hash, password)).matches) return unacceptable('used_before');
  }
  return { outcome: 'acceptable' };
}
