/**
 * Passwords that an operator sets: given as an option, read from standard input, or made here and printed once. What the tenant's
 * policy would refuse is accepted from an operator, who is told; what cannot be hashed is not.
 */
import type { Command } from 'commander';
import { minimumCharacters, type PasswordOwner, type PasswordRefusal } from '#src/domain/password_policy.ts';
import { type PeopleSettings, peopleSettingsOf } from '#src/domain/people_settings.ts';
import { readTenantSettings } from '#src/domain/tenant_settings.ts';
import { judgePassword } from '#src/flows/people/judge_password.ts';
import { generatePassword } from '#src/foundation/generated_password.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import { WrongUsage } from './answers.ts';
import { readLine } from './read_line.ts';
import type { Runner, Session } from './runner.ts';

export interface PasswordOptions {
  readonly password?: string;
  readonly passwordStdin?: boolean;
  readonly generatePassword?: boolean;
}

/** What the operator wants set. How long a generated one must be only the tenant knows. */
export type ChosenPassword = { readonly kind: 'given'; readonly password: string } | { readonly kind: 'to_generate' };

export function takingPassword(command: Command): Command {
  return command
    .option('--password <password>', 'for tests only: other people of this machine can read it')
    .option('--password-stdin', 'read the password from the first line of standard input')
    .option('--generate-password', 'make a password and print it, this once');
}

/** Undefined when no way is chosen. Throws `WrongUsage` when several are, or when the password is empty. */
export async function choosePassword(runner: Runner, options: PasswordOptions): Promise<ChosenPassword | undefined> {
  const ways = [options.password !== undefined, options.passwordStdin === true, options.generatePassword === true];
  if (ways.filter((way) => way).length > 1)
    throw new WrongUsage('--password, --password-stdin and --generate-password exclude each other');
  if (options.generatePassword === true) return { kind: 'to_generate' };
  const password = options.passwordStdin === true ? await readLine(runner.world.input) : options.password;
  if (password === undefined) return undefined;
  if (password === '') throw new WrongUsage('the password is empty');
  return { kind: 'given', password };
}

export interface PasswordToSet {
  readonly password: string;
  /** Made here: printed this once. */
  readonly isGenerated: boolean;
}

/** A generated one is long enough for the tenant. */
export function passwordToSet(
  session: Session,
  { chosen, tenant }: { readonly chosen: ChosenPassword; readonly tenant: TenantRow },
): PasswordToSet {
  if (chosen.kind === 'given') return { password: chosen.password, isGenerated: false };
  const minimum = minimumCharacters(passwordSettings(session, tenant), false);
  return { password: generatePassword(minimum), isGenerated: true };
}

const reasons: Readonly<Record<PasswordRefusal, string>> = {
  too_short: 'is shorter than the tenant asks of its people',
  too_long: 'is longer than can be kept',
  forbidden_character: 'has a character that cannot be typed',
  composition: 'lacks a capital letter, a small one, or a digit or sign, which the tenant asks of its people',
  own_name: 'is hardly more than a name or the address',
  breached: 'is one that attackers try first',
  too_weak: 'would soon be guessed',
  used_before: 'was used before',
};

/** What the tenant's policy says about it, for the operator. Empty when nothing. The password is not in it. */
export async function passwordWarnings(
  session: Session,
  input: { readonly password: string; readonly person: PasswordOwner; readonly tenant: TenantRow },
): Promise<readonly string[]> {
  const { password, person, tenant } = input;
  // Nobody waits for another house because an operator types.
  const settings = { ...passwordSettings(session, tenant), 'password.breached_range_api': false };
  const verdict = await judgePassword(session.context, { settings, person, tenant, password, hasSecondFactor: false });
  return verdict.outcome === 'acceptable' ? [] : [`the password ${reasons[verdict.reason]} (${verdict.reason})`];
}

/** What holds for passwords at this tenant. */
export function passwordSettings({ config }: Session, tenant: TenantRow): PeopleSettings {
  return peopleSettingsOf(config.people, readTenantSettings(tenant.settings).people);
}
