/** Tells a person what happened to their account: when, from where, in their language, in the transaction that made it true. */
import type { MailLocale, NoticeMail, NoticeOrigin } from '#src/domain/mail.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Transaction } from '#src/storage/database.ts';
import type { Origin } from '#src/storage/event_log.ts';
import { readRecipient } from '#src/storage/tables/people.ts';
import { type MailContext, queueMail } from '../mail/send_mail.ts';

type WithoutOrigin<Mail> = Mail extends NoticeMail ? Omit<Mail, keyof NoticeOrigin> : never;

/** What happened; when and from where is added. */
export type Notice = WithoutOrigin<NoticeMail>;

export interface NoticeTo {
  readonly tenantId: TenantId;
  readonly origin: Origin;
  readonly email: string;
  readonly locale: MailLocale;
  readonly mail: Notice;
}

export async function notifyPerson(
  context: MailContext,
  transaction: Transaction,
  { tenantId, origin, email, locale, mail }: NoticeTo,
): Promise<void> {
  const told = { ...mail, when: context.clock(), browser: origin.userAgent, address: origin.ip };
  await queueMail(context, transaction, { tenantId, to: email, locale, mail: told });
}

/** The same to whom only the identifier is known of. */
export async function notifyMember(
  context: MailContext,
  transaction: Transaction,
  { userId, ...notice }: Omit<NoticeTo, 'email' | 'locale'> & { readonly userId: UserId },
): Promise<void> {
  const person = await readRecipient(transaction, { tenantId: notice.tenantId, userId });
  if (person !== undefined) await notifyPerson(context, transaction, { ...notice, ...person });
}
