/**
 * People of a tenant, as an administrator sees them: memberships of global identities. Adding someone who is already known
 * elsewhere adds a membership and touches nothing of the person.
 */
import { parseEmailAddress } from '#src/domain/email_address.ts';
import type { NewEvent } from '#src/domain/event.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { judgeNewPassword, parsePersonName, type UserId, userId } from '#src/domain/user.ts';
import type { Username } from '#src/domain/username.ts';
import { uuidv7 } from '#src/foundation/identifiers.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { deletePendingSignInsOf } from '#src/storage/tables/pending_sign_ins.ts';
import {
  assignRoles,
  findAddressOfInstallation,
  findMember,
  insertMembership,
  insertPerson,
  listTenantsOfPerson,
  type MemberRow,
  readSignInCandidate,
  setUsername,
  updateMembershipStatus,
} from '#src/storage/tables/people.ts';
import { endAccount } from '#src/storage/tables/sessions.ts';
import { type Grantor, rolesBeyond } from '../access/assign_roles.ts';
import { keepAdministratorUnlessOperator, type LastAdministrator } from '../access/last_administrator.ts';
import { type FlowContext, Refusal } from '../flow_context.ts';
import { claimUnproven } from '../proofs/prove_address.ts';
import { queueVerification, type VerificationServices } from '../proofs/request_verification.ts';

export interface NewMember {
  readonly tenantId: TenantId;
  readonly email: string;
  readonly password?: string | undefined;
  readonly roles: readonly string[];
  readonly verified: boolean;
  /** Given: whose address is not verified is asked by mail to prove it. */
  readonly verification?: Pick<VerificationServices, 'proofs' | 'publicUrl'> | undefined;
  readonly givenName?: string | undefined;
  readonly familyName?: string | undefined;
  readonly locale?: 'nl' | 'en' | undefined;
  /** To sign in with, where the tenant has such names. */
  readonly username?: Username | undefined;
  /**
   * Whose rights bound it; an operator's unless told. Nobody but an operator makes somebody a member who has an account already: they
   * are invited, and decide for themselves.
   */
  readonly by?: Grantor | undefined;
}

export type AddMemberOutcome =
  /** `isAsked`: a mail asks them to prove the address. */
  | { readonly outcome: 'created'; readonly userId: UserId; readonly email: string; readonly isAsked: boolean }
  /** The person is known in another tenant: they are a member now, and keep the password and names that are theirs. */
  | {
      readonly outcome: 'joined';
      readonly userId: UserId;
      readonly email: string;
      /** Whether the password given is theirs; undefined when none was given. It was not set in any case. */
      readonly passwordMatches: boolean | undefined;
    }
  | {
      readonly outcome: 'refused';
      readonly reason:
        | 'email'
        | 'password_too_short'
        | 'password_too_long'
        | 'password_forbidden_character'
        | 'name'
        | 'unknown_role'
        | 'username_taken'
        | 'already_a_member'
        /** Somebody has this address at another tenant. */
        | 'known_elsewhere'
        /** The roles give more than `by` may give: `detail` says what. */
        | 'beyond_your_own';
      readonly detail?: string | undefined;
    };

export async function addMember(context: FlowContext, input: NewMember): Promise<AddMemberOutcome> {
  const email = parseEmailAddress(input.email);
  if (email.outcome === 'invalid') return { outcome: 'refused', reason: 'email', detail: email.reason };
  if (input.password !== undefined) {
    const judged = judgeNewPassword(input.password);
    if (judged.outcome === 'unacceptable') return { outcome: 'refused', reason: `password_${judged.reason}` };
  }
  for (const name of [input.givenName, input.familyName]) {
    if (name !== undefined && parsePersonName(name) === undefined) return { outcome: 'refused', reason: 'name' };
  }

  const { by = 'operator' } = input;
  const now = context.clock();
  const holder = await findAddressOfInstallation(context.database, email.canonical);
  // Who made an account with an address that nobody proved may be anybody: it is made anew for whoever is meant.
  const known = holder?.proven === true ? holder.id : undefined;
  const id = holder?.id ?? userId(uuidv7(now));
  const tenantIds = holder === undefined ? [] : await listTenantsOfPerson(context.database, id);
  const passwordHash =
    known === undefined && input.password !== undefined ? await context.passwords.hash(input.password) : undefined;
  const tenant = context.database.tenant(input.tenantId);
  let isAsked = false;
  try {
    await tenant.transaction(async (transaction) => {
      const refuse = (outcome: AddMemberOutcome): never => {
        throw new Refusal<AddMemberOutcome>(outcome);
      };
      const membership = { tenantId: input.tenantId, userId: id, now };
      if (!(await insertMembership(transaction, membership)))
        refuse({ outcome: 'refused', reason: 'already_a_member' });
      if (holder !== undefined && by !== 'operator') refuse({ outcome: 'refused', reason: 'known_elsewhere' });
      const permissions = await rolesBeyond(transaction, { tenantId: input.tenantId, names: input.roles, by });
      if (permissions.length > 0)
        refuse({ outcome: 'refused', reason: 'beyond_your_own', detail: permissions.join(', ') });
      const names = { givenName: parsePersonName(input.givenName), familyName: parsePersonName(input.familyName) };
      if (holder === undefined) {
        const { address, canonical } = email;
        const verified = input.verified;
        const person = {
          id,
          email: address,
          emailCanonical: canonical,
          emailVerified: verified,
          passwordHash,
          ...names,
          locale: input.locale,
          now,
        };
        // Taken by someone at this very moment: asking again finds them.
        const taken = by === 'operator' ? 'already_a_member' : 'known_elsewhere';
        if (!(await insertPerson(transaction, person))) refuse({ outcome: 'refused', reason: taken });
      } else if (known === undefined) {
        const claim = { address: email.canonical, passwordHash, verified: input.verified, ...names };
        const everywhere = [...new Set([...tenantIds, input.tenantId])];
        await claimUnproven(context, {
          tenantId: input.tenantId,
          userId: id,
          transaction,
          tenantIds: everywhere,
          claim,
        });
      }
      // Was a member before, perhaps: a sign-in that had been judged before they left may have written its session after it.
      if (known !== undefined) await endAccount(transaction, membership);
      const unknown = await assignRoles(transaction, { tenantId: input.tenantId, userId: id, roles: input.roles });
      if (unknown.length > 0) refuse({ outcome: 'refused', reason: 'unknown_role', detail: unknown.join(', ') });
      if (
        input.username !== undefined &&
        !(await setUsername(transaction, { ...membership, username: input.username }))
      )
        refuse({ outcome: 'refused', reason: 'username_taken' });
      const event: NewEvent = {
        type: known === undefined ? 'user.created' : 'membership.added',
        outcome: 'success',
        actor: context.actor,
        target: { type: 'user', id },
        data: { roles: input.roles },
      };
      await appendEvent(transaction, { tenant, event, origin: context.origin, now });
      if (known !== undefined || input.verified || input.verification === undefined) return;
      const person = { id, email: email.address, locale: input.locale ?? null };
      const asked = { tenantId: input.tenantId, person, origin: context.origin };
      isAsked = await queueVerification({ ...context, ...input.verification }, transaction, asked);
    });
    if (known === undefined) return { outcome: 'created', userId: id, email: email.address, isAsked };
    const passwordMatches = await matchesPassword(context, { ...input, emailCanonical: email.canonical });
    return { outcome: 'joined', userId: id, email: email.address, passwordMatches };
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    throw fault;
  }
}

async function matchesPassword(
  { database, passwords }: FlowContext,
  { tenantId, emailCanonical, password }: { tenantId: TenantId; emailCanonical: string; password?: string | undefined },
): Promise<boolean | undefined> {
  if (password === undefined) return undefined;
  const candidate = await readSignInCandidate(database.tenant(tenantId), emailCanonical);
  const { matches } = await passwords.verify(candidate?.password_hash ?? undefined, password);
  return matches;
}

export type ChangeMembershipOutcome =
  | { readonly outcome: 'changed' | 'unchanged'; readonly userId: UserId }
  /** Nobody else administers the tenant, and no operator asks. */
  | LastAdministrator;

/** Undefined when there is no such member. A person's other memberships stay as they are. */
export async function changeMembershipStatus(
  context: FlowContext,
  input: { readonly tenantId: TenantId; readonly email: string; readonly status: 'active' | 'disabled' },
): Promise<ChangeMembershipOutcome | undefined> {
  const email = parseEmailAddress(input.email);
  if (email.outcome === 'invalid') return undefined;
  const { tenantId, status } = input;
  const wanted = { tenantId, emailCanonical: email.canonical };
  try {
    return await context.database.tenant(tenantId).transaction((transaction) =>
      keepAdministratorUnlessOperator(context, transaction, {
        tenantId,
        async change() {
          const member = await findMember(transaction, wanted);
          if (member === undefined) return undefined;
          const change = { tenantId, userId: member.id, status };
          const isChanged = await changeStatusWithin(context, transaction, change);
          return { outcome: isChanged ? 'changed' : 'unchanged', userId: member.id } as const;
        },
      }),
    );
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    throw fault;
  }
}

/** Inside a transaction of whoever has seen to it that it may be. False when they had that status, or are no member. */
export async function changeStatusWithin(
  context: FlowContext,
  transaction: Transaction,
  change: { readonly tenantId: TenantId; readonly userId: UserId; readonly status: 'active' | 'disabled' },
): Promise<boolean> {
  if (!(await updateMembershipStatus(transaction, change))) return false;
  // Dead at once because the membership is; gone, because a thief must not be let back in together with the owner. Again when
  // the member is let in: a sign-in that had been judged before the door was shut may have written its session after it.
  await endAccount(transaction, change);
  await deletePendingSignInsOf(transaction, change);
  const event: NewEvent = {
    type: change.status === 'active' ? 'user.enabled' : 'user.disabled',
    outcome: 'success',
    actor: context.actor,
    target: { type: 'user', id: change.userId },
  };
  const tenant = context.database.tenant(change.tenantId);
  await appendEvent(transaction, { tenant, event, origin: context.origin, now: context.clock() });
  return true;
}

export async function showMember(
  context: FlowContext,
  input: { readonly tenantId: TenantId; readonly email: string },
): Promise<MemberRow | undefined> {
  const email = parseEmailAddress(input.email);
  if (email.outcome === 'invalid') return undefined;
  return context.database
    .tenant(input.tenantId)
    .transaction((transaction) =>
      findMember(transaction, { tenantId: input.tenantId, emailCanonical: email.canonical }),
    );
}
