/** What an operator sees of the mail of a tenant, and can do about it. What a mail says is shown to nobody. */
import type { TenantId } from '#src/domain/tenant.ts';
import { hastenMails, listMails, type MailRow, type MailState } from '#src/storage/tables/mails.ts';
import type { FlowContext } from '../flow_context.ts';
import { leaseSeconds } from './deliver_mails.ts';

/** The dead first, then those that wait, then the delivered of the last day. */
export function listTenantMails(
  { database }: Pick<FlowContext, 'database'>,
  { tenantId, state }: { readonly tenantId: TenantId; readonly state?: MailState | undefined },
): Promise<readonly MailRow[]> {
  return database.tenant(tenantId).transaction((transaction) => listMails(transaction, { tenantId, state }));
}

/** What waits for its next attempt is tried at once, for an operator who has repaired the mail server. How many. */
export function retryMails(
  { database, clock }: Pick<FlowContext, 'database' | 'clock'>,
  { tenantId }: { readonly tenantId: TenantId },
): Promise<number> {
  const now = clock();
  const attemptedBefore = new Date(now.getTime() - leaseSeconds * 1000);
  return database
    .tenant(tenantId)
    .transaction((transaction) => hastenMails(transaction, { tenantId, now, attemptedBefore }));
}
