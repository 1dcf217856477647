/** One mail of every kind, and how tests deliver what waits. */
import type { Mail, MailKind, WrittenMail } from '#src/domain/mail.ts';
import { queueMail } from '#src/flows/mail/send_mail.ts';
import type { TestServer } from './test_server.ts';
import type { TestTenant } from './world.ts';

export const chromeOnWindows =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36';
/** Longer than a line of a mail may be. */
export const longToken = 'SECRETTOKEN'.padEnd(220, 'Ab-_9');
export const mailCode = '73555537';

/** Every kind, with links of this issuer. */
export function mailsOfEveryKind(issuer: string): readonly WrittenMail[] {
  const link = `${issuer}/somewhere?token=${longToken}&a=b`;
  const origin = { when: new Date('2026-11-25T10:00:00Z'), browser: chromeOnWindows, address: '192.0.2.7' };
  const mails: { readonly [Kind in Exclude<MailKind, 'none'>]: Extract<WrittenMail, { kind: Kind }> } = {
    verify_email: { kind: 'verify_email', link, code: mailCode },
    already_registered: { kind: 'already_registered', signInLink: `${issuer}/account`, resetLink: `${issuer}/forgot` },
    join_tenant: { kind: 'join_tenant', link, code: mailCode },
    invitation: { kind: 'invitation', link, invitedBy: 'Grace Hopper', roles: ['editor', 'viewer'] },
    reset_password: { kind: 'reset_password', link, code: mailCode, ...origin },
    email_code: { kind: 'email_code', code: mailCode },
    unlock: { kind: 'unlock', link },
    email_change: { kind: 'email_change', link, code: mailCode },
    new_device: { kind: 'new_device', ...origin },
    password_changed: { kind: 'password_changed', ...origin },
    second_factor_added: { kind: 'second_factor_added', factor: 'totp', ...origin },
    second_factor_removed: { kind: 'second_factor_removed', factor: 'passkey', ...origin },
    second_factor_reset: { kind: 'second_factor_reset', reason: 'Telefoon kwijt', when: origin.when },
    backup_code_used: { kind: 'backup_code_used', remaining: 2, ...origin },
    backup_codes_renewed: { kind: 'backup_codes_renewed', ...origin },
    passkey_added: { kind: 'passkey_added', name: 'Laptop', ...origin },
    passkey_removed: { kind: 'passkey_removed', name: 'Laptop', ...origin },
    email_changed: { kind: 'email_changed', newAddress: 'new@acme.test', ...origin },
    account_locked: { kind: 'account_locked', link, ...origin },
    deletion_requested: {
      kind: 'deletion_requested',
      undoLink: link,
      dueAt: new Date('2026-12-09T10:00:00Z'),
      ...origin,
    },
    account_deleted: { kind: 'account_deleted', ...origin },
    device_paired: { kind: 'device_paired', device: 'Sensor slaapkamer', ...origin },
    api_key_created: { kind: 'api_key_created', name: 'Rapportage', ...origin },
  };
  return Object.values(mails);
}

/** Queued and committed. */
export function queueAt(
  { context }: TestServer,
  {
    tenant,
    to,
    mail,
    locale = 'nl',
    validUntil,
  }: { tenant: TestTenant; to: string; mail: Mail; locale?: 'nl' | 'en'; validUntil?: Date },
): Promise<'queued' | 'over_budget'> {
  return context.database
    .tenant(tenant.id)
    .transaction((transaction) =>
      queueMail(context, transaction, { tenantId: tenant.id, to, locale, mail, validUntil }),
    );
}

export interface MailboxEntry {
  readonly id: string;
  readonly tenant: string;
  readonly kind: MailKind;
  readonly at: string;
  readonly to: string;
  readonly from: string;
  readonly subject: string;
  readonly text: string;
  readonly html: string;
  readonly links: readonly string[];
  readonly code: string | null;
}

/** What the development mailbox shows, the latest first; what is due is delivered before it answers. */
export async function readMailbox(
  { origin }: Pick<TestServer, 'origin'>,
  to?: string,
): Promise<readonly MailboxEntry[]> {
  const answer = await fetch(`${origin}/dev/mail.json`);
  if (answer.status !== 200) throw new Error(`the mailbox answers ${answer.status}`);
  const { data } = (await answer.json()) as { data: readonly MailboxEntry[] };
  return data.filter((mail) => to === undefined || mail.to === to);
}
