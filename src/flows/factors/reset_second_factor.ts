/** What an administrator can do for somebody who has lost every second factor: take them all away, with a reason, and tell them. */

import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
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
  const { tenantId, userId, reason, acrossTenants } = input;
  const tenant = context.database.tenant(tenantId);
  const now = context.clock();
  const tenantIds = await listTenantsOfPerson(context.database, userId);
  if (!tenantIds.includes(tenantId)) return { outcome: 'unknown' };
  if (tenantIds.length > 1 && !acrossTenants) return { outcome: 'member_elsewhere' };
  return tenant.transaction(async (transaction) => {
    if (!(await lockFactorsOf(transaction, userId))) return { outcome: 'unknown' };
    const hadTotp = await deleteTotp(transaction, userId);
    const hadPasskeys = (await deletePasskeysOf(transaction, userId)) > 0;
    await deleteBackupCodes(transaction, userId);
    await endPersonEverywhere(context, { tenantId, userId, transaction, tenantIds, reason: 'mfa_reset' });
    const target = { type: 'user', id: userId };
    const event = { type: 'mfa.reset', outcome: 'success', reason, actor: context.actor, target } as const;
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    const mail = { kind: 'second_factor_reset', reason } as const;
    await notifyMember(context, transaction, { tenantId, userId, origin: context.origin, mail });
    return { outcome: 'reset', had: hadTotp || hadPasskeys };
  });
}
