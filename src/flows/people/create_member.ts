/**
 * Somebody new, made by an administrator. The address is proven by whoever reads its mailbox and never by the administrator's word: else
 * whoever administers any tenant could be there, proven, before a stranger comes. Who has an account already is invited, and decides.
 */
import { parseEmailAddress } from '#src/domain/email_address.ts';
import type { PasswordRefusal } from '#src/domain/password_policy.ts';
import { parsePersonName } from '#src/domain/user.ts';
import { parseUsername } from '#src/domain/username.ts';
import { PasswordHashingBusy } from '#src/foundation/password_hashing.ts';
import type { MemberRow } from '#src/storage/tables/people.ts';
import type { Grantor } from '../access/assign_roles.ts';
import type { FlowContext } from '../flow_context.ts';
import { mailReset } from '../proofs/recover.ts';
import type { VisitedTenant, VisitorServices } from '../proofs/visitor_context.ts';
import { showMemberById } from './find_members.ts';
import { judgePassword } from './judge_password.ts';
import { addMember } from './manage_people.ts';

export interface MemberToCreate {
  readonly tenant: VisitedTenant;
  readonly email: string;
  /** Without one they choose it themselves, with a link that is mailed. */
  readonly password?: string | undefined;
  readonly givenName?: string | undefined;
  readonly familyName?: string | undefined;
  readonly locale?: 'nl' | 'en' | undefined;
  readonly username?: string | undefined;
  readonly roles: readonly string[];
  readonly by: Grantor;
}

export type CreatedField = 'email' | 'password' | 'given_name' | 'family_name' | 'username' | 'roles';

export type CreateMemberOutcome =
  | { readonly outcome: 'created'; readonly member: MemberRow }
  | {
      readonly outcome: 'invalid';
      readonly faults: readonly {
        readonly field: CreatedField;
        readonly reason: 'unacceptable' | 'unknown' | 'taken' | PasswordRefusal;
      }[];
    }
  | { readonly outcome: 'already_a_member' }
  /** Somebody has this address at another tenant. */
  | { readonly outcome: 'invitation_needed' }
  | { readonly outcome: 'beyond_your_own'; readonly permissions: readonly string[] }
  | { readonly outcome: 'busy'; readonly retryAfterSeconds: number };

/** In any case a mail asks them: to prove the address, or to choose a password, which proves it too. */
export async function createMember(
  context: FlowContext & VisitorServices,
  input: MemberToCreate,
): Promise<CreateMemberOutcome> {
  const { tenant, email, password, givenName, familyName, locale, roles, by } = input;
  const invalid = await faultsOf(context, input);
  if (invalid.length > 0) return { outcome: 'invalid', faults: invalid };
  try {
    const added = await addMember(context, {
      tenantId: tenant.id,
      email,
      password,
      givenName,
      familyName,
      locale,
      username: input.username === undefined ? undefined : parseUsername(input.username),
      roles,
      by,
      verified: false,
      verification: password === undefined ? undefined : context,
    });
    if (added.outcome === 'refused') return refusalOf(added);
    if (password === undefined) await mailReset(context, { tenant, userId: added.userId });
    const member = await showMemberById(context, { tenantId: tenant.id, userId: added.userId });
    // Removed again at this very moment: then there is nobody to show.
    return member === undefined ? { outcome: 'already_a_member' } : { outcome: 'created', member };
  } catch (fault) {
    if (fault instanceof PasswordHashingBusy) return { outcome: 'busy', retryAfterSeconds: fault.retryAfterSeconds };
    throw fault;
  }
}

type Fault = Extract<CreateMemberOutcome, { readonly outcome: 'invalid' }>['faults'][number];

async function faultsOf(context: VisitorServices, input: MemberToCreate): Promise<readonly Fault[]> {
  const { tenant, email, password, givenName, familyName, username } = input;
  const mayBeNamed = tenant.policy['people.usernames'];
  const checks: readonly (readonly [CreatedField, boolean])[] = [
    ['email', parseEmailAddress(email).outcome === 'valid'],
    ['given_name', givenName === undefined || parsePersonName(givenName) !== undefined],
    ['family_name', familyName === undefined || parsePersonName(familyName) !== undefined],
    ['username', username === undefined || (mayBeNamed && parseUsername(username) !== undefined)],
  ];
  const faults = checks.filter(([, isGood]) => !isGood).map(([field]) => ({ field, reason: 'unacceptable' as const }));
  if (password === undefined || faults.length > 0) return faults;
  const verdict = await judgePassword(context, {
    settings: tenant.policy,
    person: { email, givenName, familyName, username },
    tenant,
    password,
    hasSecondFactor: false,
  });
  return verdict.outcome === 'acceptable' ? [] : [{ field: 'password', reason: verdict.reason }];
}

function refusalOf({
  reason,
  detail = '',
}: Extract<Awaited<ReturnType<typeof addMember>>, { readonly outcome: 'refused' }>): CreateMemberOutcome {
  const invalid = (field: CreatedField, word: Fault['reason']): CreateMemberOutcome => ({
    outcome: 'invalid',
    faults: [{ field, reason: word }],
  });
  switch (reason) {
    case 'already_a_member':
      return { outcome: 'already_a_member' };
    case 'known_elsewhere':
      return { outcome: 'invitation_needed' };
    case 'beyond_your_own':
      return { outcome: 'beyond_your_own', permissions: detail.split(', ') };
    case 'unknown_role':
      return invalid('roles', 'unknown');
    case 'username_taken':
      return invalid('username', 'taken');
    case 'email':
      return invalid('email', 'unacceptable');
    case 'name':
      return invalid('given_name', 'unacceptable');
    case 'password_too_short':
      return invalid('password', 'too_short');
    case 'password_too_long':
      return invalid('password', 'too_long');
    case 'password_forbidden_character':
      return invalid('password', 'forbidden_character');
    default: {
      const never: never = reason;
      return never;
    }
  }
}
