/**
 * What it means that somebody has proven an address. Until then whoever made the account may be anybody: an attacker who registered a
 * stranger's address and waits. So the proof ends everything that was set before it, at every tenant: password, factors, browsers,
 * sessions, tokens, and whatever else was mailed (docs/decisions/0032). Who shows that the account was theirs all along, with its
 * password or in the browser in which it was made, keeps it.
 */
import type { NewEvent } from '#src/domain/event.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { deleteFactors } from '#src/storage/tables/factors.ts';
import { claimPerson, markAddressProven, type PersonClaim } from '#src/storage/tables/people.ts';
import { forgetClaimedPerson, forgetPerson } from '#src/storage/tables/proofs.ts';
import type { FlowContext } from '../flow_context.ts';
import { endPersonEverywhere } from '../sessions/manage_sessions.ts';

export interface Proving {
  readonly tenantId: TenantId;
  readonly userId: UserId;
  readonly transaction: Transaction;
  /** From `listTenantsOfPerson`, asked before the transaction began. */
  readonly tenantIds: readonly TenantId[];
}

/**
 * The owner of the mailbox takes over an account whose address nobody had proven. False, and nothing changed, when somebody had. The
 * person must be a member of the tenant by now.
 */
export async function claimUnproven(
  context: FlowContext,
  proving: Proving & { readonly claim: Omit<PersonClaim, 'userId' | 'now'> },
): Promise<boolean> {
  const { transaction, userId, claim } = proving;
  if (!(await claimPerson(transaction, { ...claim, userId, now: context.clock() }))) return false;
  await deleteFactors(transaction, userId);
  await endEverything(context, { ...proving, reason: 'address_proven' });
  if (claim.verified) await appendEvent(transaction, verified(context, proving));
  return true;
}

/** The account was this person's all along. False when the address was proven before, or is another one by now. */
export async function confirmAddress(
  context: FlowContext,
  { transaction, address, ...proving }: Omit<Proving, 'tenantIds'> & { readonly address: string },
): Promise<boolean> {
  const { userId } = proving;
  if (!(await markAddressProven(transaction, { userId, address, now: context.clock() }))) return false;
  await appendEvent(transaction, verified(context, { ...proving, transaction }));
  return true;
}

/** Sessions, tokens, remembered browsers and mailed links of a person, at each of their tenants. */
export async function endEverything(
  context: FlowContext,
  {
    tenantId,
    userId,
    transaction,
    tenantIds,
    reason,
  }: Proving & { readonly reason: 'address_proven' | 'password_reset' },
): Promise<void> {
  const forget = reason === 'address_proven' ? forgetClaimedPerson : forgetPerson;
  for (const id of tenantIds) await forget(transaction, { tenantId: id, userId, now: context.clock() });
  await endPersonEverywhere(context, { tenantId, userId, transaction, tenantIds, reason });
}

function verified({ database, clock, actor, origin }: FlowContext, { tenantId, userId }: Omit<Proving, 'tenantIds'>) {
  const event: NewEvent = {
    type: 'email.verified',
    outcome: 'success',
    actor,
    target: { type: 'user', id: userId },
  };
  return { tenant: database.tenant(tenantId), event, origin, now: clock() };
}
