/**
 * What administrators do to members. They act on the membership. The person behind it (names, language, factors) is theirs to change only
 * while the person belongs to no other tenant, and nobody can join another one while it is being changed. Nobody acts on somebody who
 * may do more than they, and the last administrator stays (docs/decisions/0040).
 */
import { canonicalIdentifier } from '#src/domain/email_address.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { parsePersonName, type UserId } from '#src/domain/user.ts';
import { parseUsername, type Username } from '#src/domain/username.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { lockMembership } from '#src/storage/tables/departures.ts';
import {
  findMemberById,
  holdMemberships,
  listTenantsOfPerson,
  lockPerson,
  type MemberRow,
  setUsername,
} from '#src/storage/tables/people.ts';
import { updateNames, updateUsername } from '#src/storage/tables/profiles.ts';
import { type BeyondYourOwn, type Grantor, memberBeyond } from '../access/assign_roles.ts';
import { keepAdministratorUnlessOperator, type LastAdministrator } from '../access/last_administrator.ts';
import { resetSecondFactorWithin } from '../factors/reset_second_factor.ts';
import { type FlowContext, Refusal } from '../flow_context.ts';
import { endPersonSessions, type RevokedOfPerson } from '../sessions/manage_sessions.ts';
import { unlockAccount } from '../sign_in/account_lock.ts';
import { deleteMemberWithin } from './leave_tenant.ts';
import { changeStatusWithin } from './manage_people.ts';

/** On whom, and by whose rights. */
export interface MemberDeed {
  readonly tenantId: TenantId;
  readonly userId: UserId;
  readonly by: Grantor;
  /** Called with the member as they are before the change, whom nobody else changes meanwhile. What it throws rolls everything back. */
  readonly unchanged?: ((member: MemberRow) => void) | undefined;
}

export type DeedRefusal =
  /** No member of this tenant, whether or not there is such a person. */
  | { readonly outcome: 'unknown' }
  /** They may do something that the caller may not. */
  | BeyondYourOwn
  /** What was to be changed is theirs at another tenant, too. */
  | { readonly outcome: 'member_elsewhere' }
  | LastAdministrator;

/** `null` takes it away; what is undefined stays. */
export interface MemberChange {
  readonly status?: 'active' | 'disabled' | undefined;
  readonly username?: string | null | undefined;
  readonly givenName?: string | null | undefined;
  readonly familyName?: string | null | undefined;
  readonly locale?: 'nl' | 'en' | null | undefined;
}

export type MemberField = 'username' | 'given_name' | 'family_name';

export type ChangeMemberOutcome =
  | { readonly outcome: 'changed'; readonly member: MemberRow }
  | {
      readonly outcome: 'refused';
      readonly faults: readonly { readonly field: MemberField; readonly reason: 'unacceptable' | 'taken' }[];
    }
  | DeedRefusal;

/** All of it or nothing. What is said again as it is already is no change: that is refused to nobody. */
export async function changeMember(
  context: FlowContext,
  { change, ...deed }: MemberDeed & { readonly change: MemberChange },
): Promise<ChangeMemberOutcome> {
  const parsed = parse(change);
  if (parsed.outcome === 'refused') return parsed;
  const { tenantId, userId } = deed;
  const { person, username } = parsed;
  const held = Object.keys(person).length > 0 ? 'person' : 'membership';
  return withMember<ChangeMemberOutcome>(context, { ...deed, held }, async (transaction, member) => {
    const changedOfPerson = personFields.filter(
      (field) => person[field] !== undefined && person[field] !== member[field],
    );
    if (changedOfPerson.length > 0) {
      await demandSoleTenant(context, deed);
      const { given_name, family_name, locale } = { ...member, ...person };
      const names = {
        givenName: given_name ?? undefined,
        familyName: family_name ?? undefined,
        locale: locale ?? undefined,
      };
      await updateNames(transaction, { userId, ...names, now: context.clock() });
    }
    const isRenamed = username !== undefined && (username?.name ?? null) !== member.username;
    if (isRenamed) await rename(transaction, { tenantId, userId, username });
    const changed = isRenamed ? [...changedOfPerson, 'username'] : changedOfPerson;
    if (changed.length > 0) {
      const event = {
        type: 'user.updated',
        outcome: 'success',
        actor: context.actor,
        target: { type: 'user', id: userId },
        data: { changed },
      } as const;
      const tenant = context.database.tenant(tenantId);
      await appendEvent(transaction, { tenant, event, origin: context.origin, now: context.clock() });
    }
    const { status } = change;
    if (status !== undefined) await changeStatusWithin(context, transaction, { tenantId, userId, status });
    return { outcome: 'changed', member: (await findMemberById(transaction, deed)) ?? member };
  });
}

const personFields = ['given_name', 'family_name', 'locale'] as const satisfies readonly (keyof MemberRow)[];

type ParsedChange =
  | {
      readonly outcome: 'parsed';
      readonly person: { readonly [Field in (typeof personFields)[number]]?: MemberRow[Field] };
      readonly username: Username | null | undefined;
    }
  | Extract<ChangeMemberOutcome, { readonly outcome: 'refused' }>;

function parse({ username, givenName, familyName, locale }: MemberChange): ParsedChange {
  const names = {
    given_name: givenName === null ? null : parsePersonName(givenName),
    family_name: familyName === null ? null : parsePersonName(familyName),
  };
  const parsedUsername = typeof username === 'string' ? parseUsername(username) : username;
  const asked: readonly (readonly [MemberField, string | null | undefined, unknown])[] = [
    ['given_name', givenName, names.given_name],
    ['family_name', familyName, names.family_name],
    ['username', username, parsedUsername],
  ];
  const faults = asked
    .filter(([, written, value]) => written !== undefined && value === undefined)
    .map(([field]) => ({ field, reason: 'unacceptable' as const }));
  if (faults.length > 0) return { outcome: 'refused', faults };
  const said = Object.entries({ ...names, locale }).filter(([, value]) => value !== undefined);
  return { outcome: 'parsed', person: Object.fromEntries(said), username: parsedUsername };
}

async function rename(
  transaction: Transaction,
  { tenantId, userId, username }: Pick<MemberDeed, 'tenantId' | 'userId'> & { readonly username: Username | null },
): Promise<void> {
  if (username === null) return updateUsername(transaction, { tenantId, userId, username: undefined });
  if (await setUsername(transaction, { tenantId, userId, username })) return;
  const faults = [{ field: 'username', reason: 'taken' }] as const;
  throw new Refusal<ChangeMemberOutcome>({ outcome: 'refused', faults });
}

/** The membership goes, and with it everything of them at this tenant; the person too, when it was their last. */
export function removeMember(
  context: FlowContext,
  deed: MemberDeed,
): Promise<{ readonly outcome: 'removed' } | DeedRefusal> {
  const held = 'person';
  return withMember<{ readonly outcome: 'removed' }>(context, { ...deed, held }, async (transaction) => {
    await deleteMemberWithin(context, transaction, deed);
    return { outcome: 'removed' };
  });
}

/** Takes every second factor away from somebody who has lost them all, for a reason that they are told. */
export function resetMemberFactors(
  context: FlowContext,
  { reason, ...deed }: MemberDeed & { readonly reason: string },
): Promise<{ readonly outcome: 'reset'; readonly had: boolean } | DeedRefusal> {
  const held = 'person';
  return withMember<{ readonly outcome: 'reset'; readonly had: boolean }>(
    context,
    { ...deed, held },
    async (transaction) => {
      await demandSoleTenant(context, deed);
      const { tenantId, userId } = deed;
      const reset = { tenantId, userId, reason, tenantIds: [tenantId] };
      return { outcome: 'reset', had: (await resetSecondFactorWithin(context, transaction, reset)) === true };
    },
  );
}

/** Ends everything of theirs at this tenant. */
export function signMemberOut(
  context: FlowContext,
  deed: MemberDeed,
): Promise<({ readonly outcome: 'signed_out' } & RevokedOfPerson) | DeedRefusal> {
  type SignedOut = { readonly outcome: 'signed_out' } & RevokedOfPerson;
  return withMember<SignedOut>(context, { ...deed, held: 'membership' }, async (transaction) => {
    const { tenantId, userId } = deed;
    const tenant = context.database.tenant(tenantId);
    const ended = await endPersonSessions(context, { tenantId, userId, tenant, transaction, reason: 'revoked' });
    return { outcome: 'signed_out', ...ended };
  });
}

/** Forgets the passwords that were got wrong for them, by whomever. */
export async function unlockMember(
  context: FlowContext,
  deed: MemberDeed,
): Promise<{ readonly outcome: 'unlocked' } | DeedRefusal> {
  const found = await judgeDeed(context, deed);
  if (found.outcome !== 'allowed') return found;
  const { tenantId } = deed;
  const unlocked = await unlockAccount(context, { tenantId, identifier: canonicalIdentifier(found.member.email) });
  return unlocked.outcome === 'unlocked' ? { outcome: 'unlocked' } : { outcome: 'unknown' };
}

/** Whether the deed may be done, for what needs more than one transaction. */
export function judgeDeed(
  context: FlowContext,
  deed: MemberDeed,
): Promise<{ readonly outcome: 'allowed'; readonly member: MemberRow } | DeedRefusal> {
  type Allowed = { readonly outcome: 'allowed'; readonly member: MemberRow };
  const held = 'membership';
  return withMember<Allowed>(context, { ...deed, held }, async (_transaction, member) => ({
    outcome: 'allowed',
    member,
  }));
}

/**
 * One deed, after everything that could speak against it. Held until it is over: the membership; and where it may be about the person,
 * before that, who they are and where they belong, in the one order in which that cannot meet somebody who joins or is renamed.
 */
async function withMember<Outcome>(
  context: FlowContext,
  { held, unchanged, ...deed }: MemberDeed & { readonly held: 'membership' | 'person' },
  work: (transaction: Transaction, member: MemberRow) => Promise<Outcome>,
): Promise<Outcome | DeedRefusal> {
  const { tenantId, userId } = deed;
  try {
    return await context.database.tenant(tenantId).transaction((transaction) =>
      keepAdministratorUnlessOperator(context, transaction, {
        tenantId,
        async change() {
          const refuse = (refusal: DeedRefusal): never => {
            throw new Refusal<DeedRefusal>(refusal);
          };
          if (held === 'person') {
            await holdMemberships(transaction, userId);
            await lockPerson(transaction, userId);
          }
          const isThere = (await lockMembership(transaction, deed)) !== undefined;
          const member = isThere ? await findMemberById(transaction, deed) : undefined;
          if (member === undefined) return refuse({ outcome: 'unknown' });
          const permissions = await memberBeyond(transaction, { ...deed, now: context.clock() });
          if (permissions.length > 0) return refuse({ outcome: 'beyond_your_own', permissions });
          unchanged?.(member);
          return work(transaction, member);
        },
      }),
    );
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    throw fault;
  }
}

/** Throws a `Refusal` for somebody who belongs to another tenant as well. What is `held` must be the person. */
async function demandSoleTenant(
  { database }: FlowContext,
  { tenantId, userId }: Pick<MemberDeed, 'tenantId' | 'userId'>,
): Promise<void> {
  const tenantIds = await listTenantsOfPerson(database, userId);
  if (tenantIds.some((id) => id !== tenantId)) throw new Refusal<DeedRefusal>({ outcome: 'member_elsewhere' });
}
