/**
 * This file owns when a second factor is asked for, and which ones somebody may choose from. It does not own how one is proven
 * or set up.
 */
import { needsSecondFactor, type PeopleSettings } from './people_settings.ts';

/** What can follow a password. */
export type SecondFactorMethod = 'totp' | 'passkey' | 'backup_code' | 'email_code';

/** What a person has. */
export interface FactorsHeld {
  readonly totp: boolean;
  readonly passkeys: number;
  /** Not used yet. */
  readonly backupCodes: number;
  readonly emailVerified: boolean;
}

/** Whether there is a second factor at all. Backup codes and mail only stand in for one. */
export function hasSecondFactor({ totp, passkeys }: Pick<FactorsHeld, 'totp' | 'passkeys'>): boolean {
  return totp || passkeys > 0;
}

/** In the order in which they are offered. Empty for who has none. */
export function methodsOf(held: FactorsHeld, settings: PeopleSettings): readonly SecondFactorMethod[] {
  if (!hasSecondFactor(held)) return [];
  const offered: readonly (readonly [SecondFactorMethod, boolean])[] = [
    ['totp', held.totp],
    ['passkey', held.passkeys > 0],
    ['backup_code', held.backupCodes > 0],
    ['email_code', settings['second_factor.email_code'] && held.emailVerified],
  ];
  return offered.filter(([, has]) => has).map(([method]) => method);
}

/**
 * What is missing after the first factor. `enrolment`: one is needed and there is none, so it is set up now. `unmet`: an application
 * asks for one where the tenant has none.
 */
export function missingStep(input: {
  readonly settings: PeopleSettings;
  readonly roles: readonly string[];
  readonly held: Pick<FactorsHeld, 'totp' | 'passkeys'>;
  /** An application asked for both factors: nothing spares them. */
  readonly wantsMultiFactor: boolean;
  /** This browser was remembered. */
  readonly sparedUntil: Date | undefined;
  readonly now: Date;
}): 'nothing' | 'second_factor' | 'enrolment' | 'unmet' {
  const { settings, held, wantsMultiFactor, sparedUntil, now } = input;
  const isOff = settings['second_factor.policy'] === 'off';
  if (hasSecondFactor(held)) {
    if (wantsMultiFactor) return 'second_factor';
    // The tenant may have taken back what it allowed when the browser was remembered.
    const isSpared =
      settings['second_factor.remember_device_days'] > 0 && sparedUntil !== undefined && sparedUntil > now;
    return isOff || isSpared ? 'nothing' : 'second_factor';
  }
  if (wantsMultiFactor) return isOff ? 'unmet' : 'enrolment';
  return needsSecondFactor(settings, input.roles) ? 'enrolment' : 'nothing';
}
