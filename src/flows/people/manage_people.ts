/**
 * People of a tenant, as an administrator sees them: memberships of global identities. Adding someone who is already known
 * elsewhere adds a membership and touches nothing of the person.
 */
import { parseEmailAddress } from '#src/domain/email_address.ts';
import type { NewEvent } from '#src/domain/event.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { judgeNewPassword, parsePersonName, type UserId, userId } from '#src/domain/user.ts';
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
  updateMembershipStatus,
} from '#src/storage/tables/people.ts';
import { endAccount } from '#src/storage/tables/sessions.ts';
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
        | 'already_a_member';
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
          now,
        };
        // Taken by someone at this very moment: asking again finds them.
        if (!(await insertPerson(transaction, person))) refuse({ outcome: 'refused', reason: 'already_a_member' });
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
      const event: NewEvent = {
        type: known === undefined ? 'user.created' : 'membership.added',
        outcome: 'success',
        actor: context.actor,
        target: { type: 'user', id },
        data: { roles: input.roles },
      };
      await appendEvent(transaction, { tenant, event, origin: context.origin, now });
      if (known !== undefined || input.verified || input.verification === undefined) return;
      const person = { id, email: email.address, locale: null };
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
  const wanted = { tenantId, status, emailCanonical: email.canonical };
  try {
    return await context.database.tenant(tenantId).transaction((transaction) =>
      keepAdministratorUnlessOperator(context, transaction, {
        tenantId,
        change: () => changeStatusWithin(context, transaction, wanted),
      }),
    );
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    throw fault;
  }
}

async function changeStatusWithin(
  context: FlowContext,
  transaction: Transaction,
  { tenantId, status, emailCanonical }: { tenantId: TenantId; status: 'active' | 'disabled'; emailCanonical: string },
): Promise<{ readonly outcome: 'changed' | 'unchanged'; readonly userId: UserId } | undefined> {
  const now = context.clock();
  const tenant = context.database.tenant(tenantId);
  const member = await findMember(transaction, { tenantId, emailCanonical });
  if (member === undefined) return undefined;
  const change = { tenantId, userId: member.id, status };
  if (!(await updateMembershipStatus(transaction, change))) return { outcome: 'unchanged', userId: member.id };
  // Dead at once because the membership is; gone, because a thief must not be let back in together with the owner. Again when
  // the member is let in: a sign-in that had been judged before the door was shut may have written its session after it.
  await endAccount(transaction, change);
  await deletePendingSignInsOf(transaction, change);
  const event: NewEvent = {
    type: status === 'active' ? 'user.enabled' : 'user.disabled',
    outcome: 'success',
    actor: context.actor,
    target: { type: 'user', id: member.id },
  };
  await appendEvent(transaction, { tenant, event, origin: context.origin, now });
  return { outcome: 'changed', userId: member.id };
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
