/** What an administrator can do for somebody who has lost every second factor: take them all away, with a reason, and tell them. */

import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { deleteBackupCodes, deleteTotp, lockFactorsOf } from '#src/storage/tables/factors.ts';
import { deletePasskeysOf } from '#src/storage/tables/passkeys.ts';
import { listTenantsOfPerson } from '#src/storage/tables/people.ts';
import type { FlowContext } from '../flow_context.ts';
import { notifyMember } from '../people/notify_person.ts';
import { endPersonEverywhere } from '../sessions/manage_sessions.ts';

export type ResetFactorsOutcome =
  | { readonly outcome: 'reset'; readonly had: boolean }
  /** They belong to another tenant as well: a tenant's administrator does not touch what is theirs there too. */
  | { readonly outcome: 'member_elsewhere' }
  | { readonly outcome: 'unknown' };

/**
 * Takes every second factor away, for a person who has lost them all: by an administrator, who says why. They are told, and everything
 * of theirs ends.
 *
 * @param acrossTenants The operator of the installation, whom all tenants trust.
 */
export async function resetSecondFactor(
  context: FlowContext,
  input: {
    readonly tenantId: TenantId;
    readonly userId: UserId;
    readonly reason: string;
    readonly acrossTenants: boolean;
  },
): Promise<ResetFactorsOutcome> {
  const { tenantId, userId, acrossTenants } = input;
  const tenantIds = await listTenantsOfPerson(context.database, userId);
  if (!tenantIds.includes(tenantId)) return { outcome: 'unknown' };
  if (tenantIds.length > 1 && !acrossTenants) return { outcome: 'member_elsewhere' };
  return context.database.tenant(tenantId).transaction(async (transaction) => {
    const had = await resetSecondFactorWithin(context, transaction, { ...input, tenantIds });
    return had === undefined ? { outcome: 'unknown' } : { outcome: 'reset', had };
  });
}

/**
 * The same inside a transaction of whoever has seen to it that it may be. Whether there was a factor; undefined when there is no such
 * member.
 *
 * @param tenantIds All of the person's.
 */
export async function resetSecondFactorWithin(
  context: FlowContext,
  transaction: Transaction,
  {
    tenantId,
    userId,
    reason,
    tenantIds,
  }: {
    readonly tenantId: TenantId;
    readonly userId: UserId;
    readonly reason: string;
    readonly tenantIds: readonly TenantId[];
  },
): Promise<boolean | undefined> {
  if (!(await lockFactorsOf(transaction, userId))) return undefined;
  const hadTotp = await deleteTotp(transaction, userId);
  const hadPasskeys = (await deletePasskeysOf(transaction, userId)) > 0;
  await deleteBackupCodes(transaction, userId);
  await endPersonEverywhere(context, { tenantId, userId, transaction, tenantIds, reason: 'mfa_reset' });
  const target = { type: 'user', id: userId };
  const event = { type: 'mfa.reset', outcome: 'success', reason, actor: context.actor, target } as const;
  const tenant = context.database.tenant(tenantId);
  await appendEvent(transaction, { tenant, event, origin: context.origin, now: context.clock() });
  const mail = { kind: 'second_factor_reset', reason } as const;
  await notifyMember(context, transaction, { tenantId, userId, origin: context.origin, mail });
  return hadTotp || hadPasskeys;
}
