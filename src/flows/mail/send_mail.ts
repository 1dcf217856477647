/**
 * Writes a mail into the outbox, in the transaction of the deed it tells of: a deed that is rolled back sends nothing. Delivery is
 * for flows/mail/deliver_mails.ts, some moments after the commit.
 */
import { createHmac } from 'node:crypto';
import { parseEmailAddress } from '#src/domain/email_address.ts';
import { type AddressedMail, budgetOf, serialiseMail } from '#src/domain/mail.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { uuidv7 } from '#src/foundation/identifiers.ts';
import { mailContext } from '#src/foundation/sealing_contexts.ts';
import type { Transaction } from '#src/storage/database.ts';
import { enqueueMail } from '#src/storage/tables/mails.ts';
import type { FlowContext } from '../flow_context.ts';

export type MailContext = Pick<FlowContext, 'sealer' | 'clock' | 'mailBudgets'>;

export interface MailToQueue extends AddressedMail {
  readonly tenantId: TenantId;
}

/**
 * Takes one round trip, whatever the mail and whoever it is for; `kind: 'none'` for an address that nobody has. With `validUntil`
 * the mail says so, and is not sent after it. `over_budget`: it is not sent, and whoever asked for it must not be able to tell;
 * which of several that are queued at the same moment are beyond the budget shows only at their commit. Throws when `to` is not an
 * address: it was parsed at the door.
 */
export async function queueMail(
  { sealer, clock, mailBudgets }: MailContext,
  transaction: Transaction,
  { tenantId, to, locale, mail, validUntil }: MailToQueue,
): Promise<'queued' | 'over_budget'> {
  const address = parseEmailAddress(to);
  if (address.outcome === 'invalid') throw new TypeError(`a mail cannot be addressed: ${address.reason}`);
  const now = clock();
  const id = uuidv7(now);
  const budget = budgetOf(mail.kind);
  const { perRecipientAndHour, perRecipientAndDay, perTenantAndHour } = mailBudgets[budget];
  const within = await enqueueMail(transaction, {
    tenantId,
    id,
    kind: mail.kind,
    budget,
    limits: [perRecipientAndHour, perRecipientAndDay, perTenantAndHour],
    recipientHash: createHmac('sha256', sealer.derive('mail recipients'))
      .update(`${tenantId} ${address.canonical}`)
      .digest(),
    sealed: sealer.seal(serialiseMail({ to: address.address, locale, mail, validUntil }), mailContext(tenantId, id)),
    now,
    validUntil,
  });
  return within ? 'queued' : 'over_budget';
}
