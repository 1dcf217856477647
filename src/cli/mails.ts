/** `poort mail …`: what was sent, what waits and why, and trying again at once. What a mail says is never shown. */
import { type Command, Option } from 'commander';
import { listTenantMails, retryMails } from '#src/flows/mail/manage_mails.ts';
import type { MailRow, MailState } from '#src/storage/tables/mails.ts';
import { type Answer, table } from './answers.ts';
import { answering, findTenant, group, type TenantOptions, tenantOption } from './options.ts';
import type { Runner, Session } from './runner.ts';

interface ListOptions extends TenantOptions {
  readonly state?: MailState;
}

const states = ['waiting', 'delivered', 'dead'] as const satisfies readonly MailState[];

export function addMailCommands(program: Command, runner: Runner): void {
  const mail = group(program, 'mail', 'mail to people: what was sent, and what waits');

  answering(
    mail.command('list').description('list mails: the dead of a month, those that wait, the delivered of a day'),
    ['mail list --tenant acme', 'mail list --tenant acme --state dead'],
  )
    .addOption(tenantOption())
    .addOption(new Option('--state <state>', 'only these').choices(states))
    .action((options: ListOptions) => runner.withHouse(options, (opened) => list(opened, options)));

  answering(mail.command('retry').description('try at once what waits for its next attempt'), [
    'mail retry --tenant acme',
  ])
    .addOption(tenantOption())
    .action((options: TenantOptions) => runner.withHouse(options, (opened) => retry(opened, options)));
}

async function list(session: Session, { tenant, state }: ListOptions): Promise<Answer> {
  const { id: tenantId } = await findTenant(session, tenant);
  const mails = (await listTenantMails(session.context, { tenantId, state })).map(presentMail);
  const rows = mails.map((one) => [
    one.id,
    one.kind,
    one.state,
    String(one.attempts),
    one.next_attempt_at ?? one.settled_at ?? '',
    one.problem ?? '',
  ]);
  const headings = ['ID', 'KIND', 'STATE', 'ATTEMPTS', 'WHEN', 'PROBLEM'];
  return { json: { mails }, text: table(headings, rows, 'There is no mail.') };
}

async function retry(session: Session, { tenant }: TenantOptions): Promise<Answer> {
  const { id: tenantId, slug } = await findTenant(session, tenant);
  const retried = await retryMails(session.context, { tenantId });
  return { json: { tenant: slug, retried }, text: `${retried} mail${retried === 1 ? '' : 's'} will be tried at once` };
}

function presentMail(row: MailRow) {
  return {
    id: row.id,
    kind: row.kind,
    state: row.state,
    attempts: row.attempts,
    problem: row.problem,
    created_at: row.created_at.toISOString(),
    next_attempt_at: row.state === 'waiting' ? row.due_at.toISOString() : null,
    settled_at: row.settled_at?.toISOString() ?? null,
  };
}
