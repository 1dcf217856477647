/** `poort session …`: who is signed in where, ending it, and whether the applications have heard. */
import { type Command, Option } from 'commander';
import {
  listBackchannelLogouts,
  listPersonSessions,
  requeueBackchannelLogouts,
  revokePersonSessions,
  revokeSession,
  revokeTenantSessions,
  type SessionSummary,
} from '#src/flows/sessions/manage_sessions.ts';
import type { LogoutRow } from '#src/storage/tables/backchannel_logouts.ts';
import { type Answer, CommandRefused, table, WrongUsage } from './answers.ts';
import { answering, findTenant, group, type TenantOptions, tenantOption } from './options.ts';
import type { Runner, Session } from './runner.ts';
import { findPerson } from './users.ts';

interface ListOptions extends TenantOptions {
  readonly user: string;
}

interface RevokeOptions extends TenantOptions {
  readonly user?: string;
  readonly id?: string;
  readonly all?: boolean;
}

interface RetryOptions extends TenantOptions {
  readonly id?: string;
}

export function addSessionCommands(program: Command, runner: Runner): void {
  const session = group(program, 'session', 'sessions of people, and telling applications that they ended');

  answering(session.command('list').description('list where a person is signed in'), [
    'session list --tenant acme --user ada@example.org',
  ])
    .addOption(tenantOption())
    .requiredOption('--user <person>', 'their e-mail address or id')
    .action((options: ListOptions) => runner.withHouse(options, (opened) => list(opened, options)));

  answering(session.command('revoke').description('end sessions, with every token that was issued under them'), [
    'session revoke --tenant acme --user ada@example.org',
    'session revoke --tenant acme --id 2kfm…',
    'session revoke --tenant acme --all',
  ])
    .addOption(tenantOption())
    .option('--user <person>', 'everything of this person at this tenant: an e-mail address or an id')
    .option('--id <session>', 'one session, as `session list` names it')
    .addOption(new Option('--all', 'everything of everybody at this tenant').conflicts(['user', 'id']))
    .action((options: RevokeOptions) =>
      runner.run(options, async () => {
        if (options.user === undefined && options.id === undefined && options.all !== true)
          throw new WrongUsage('say what to end: --user, --id or --all');
        await runner.withHouse(options, (opened) => revoke(opened, options));
        return undefined;
      }),
    );

  answering(
    session.command('logouts').description('list what applications were told of ended sessions, or could not be'),
    ['session logouts --tenant acme'],
  )
    .addOption(tenantOption())
    .action((options: TenantOptions) => runner.withHouse(options, (opened) => listLogouts(opened, options)));

  answering(session.command('retry-logouts').description('try again to tell applications what was given up'), [
    'session retry-logouts --tenant acme',
    'session retry-logouts --tenant acme --id 6f0c…',
  ])
    .addOption(tenantOption())
    .option('--id <logout>', 'only this one')
    .action((options: RetryOptions) => runner.withHouse(options, (opened) => retry(opened, options)));
}

async function list(session: Session, options: ListOptions): Promise<Answer> {
  const { id: tenantId } = await findTenant(session, options.tenant);
  const member = await findPerson(session, { tenantId, person: options.user });
  const sessions = (await listPersonSessions(session.context, { tenantId, userId: member.id })).map(presentSession);
  const rows = sessions.map((one) => [
    one.id,
    one.last_used_at,
    one.address ?? '',
    one.factors.join(' '),
    one.applications.map(({ name }) => name).join(', '),
    one.user_agent ?? '',
  ]);
  const headings = ['ID', 'LAST USED', 'ADDRESS', 'FACTORS', 'APPLICATIONS', 'BROWSER'];
  return { json: { sessions }, text: table(headings, rows, `${member.email} is not signed in.`) };
}

async function revoke(session: Session, options: RevokeOptions): Promise<Answer> {
  const { id: tenantId, slug } = await findTenant(session, options.tenant);
  const { context } = session;
  if (options.all === true) {
    const ended = await revokeTenantSessions(context, { tenantId });
    const text = `${counted(ended.sessions, 'session')} of ${ended.people} people of ${slug} ended`;
    return { json: { tenant: slug, ...ended }, text };
  }
  const member = options.user === undefined ? undefined : await findPerson(session, { tenantId, person: options.user });
  if (options.id !== undefined) {
    const ended = await revokeSession(context, { tenantId, sessionId: options.id, userId: member?.id });
    if (ended.outcome !== 'revoked')
      throw new CommandRefused('unknown_session', `there is no session ${JSON.stringify(options.id)}`);
    const { applications } = ended;
    const text = `session ${options.id} ended, at ${counted(applications.length, 'application')}`;
    return { json: { tenant: slug, id: options.id, sessions: 1, applications }, text };
  }
  if (member === undefined) throw new WrongUsage('say what to end: --user, --id or --all');
  const ended = await revokePersonSessions(context, { tenantId, userId: member.id });
  const text = `${counted(ended.sessions, 'session')} of ${member.email} ended`;
  return { json: { tenant: slug, user: member.email, ...ended }, text };
}

async function listLogouts(session: Session, options: TenantOptions): Promise<Answer> {
  const { id: tenantId } = await findTenant(session, options.tenant);
  const logouts = (await listBackchannelLogouts(session.context, { tenantId })).map(presentLogout);
  const rows = logouts.map((one) => [
    one.id,
    one.client_name,
    one.state,
    String(one.attempts),
    one.next_attempt_at ?? one.settled_at ?? '',
    one.problem ?? '',
  ]);
  const headings = ['ID', 'APPLICATION', 'STATE', 'ATTEMPTS', 'WHEN', 'PROBLEM'];
  return { json: { logouts }, text: table(headings, rows, 'There is nothing to tell.') };
}

const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

async function retry(session: Session, options: RetryOptions): Promise<Answer> {
  const { id: tenantId, slug } = await findTenant(session, options.tenant);
  const isLogout = options.id === undefined || uuid.test(options.id);
  const queued = isLogout ? await requeueBackchannelLogouts(session.context, { tenantId, id: options.id }) : 0;
  if (queued === 0 && options.id !== undefined)
    throw new CommandRefused('unknown_logout', `nothing that was given up is called ${JSON.stringify(options.id)}`);
  return { json: { tenant: slug, queued }, text: `${counted(queued, 'logout')} will be tried again` };
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function presentSession(one: SessionSummary) {
  return {
    id: one.id,
    created_at: one.createdAt.toISOString(),
    last_used_at: one.lastUsedAt.toISOString(),
    expires_at: one.expiresAt.toISOString(),
    address: one.address ?? null,
    user_agent: one.userAgent ?? null,
    factors: one.factors,
    applications: one.applications,
  };
}

function presentLogout(row: LogoutRow) {
  return {
    id: row.id,
    client_id: row.client_id,
    client_name: row.client_name,
    user_id: row.account_id,
    sid: row.sid,
    state: row.state,
    attempts: row.attempts,
    problem: row.problem,
    created_at: row.created_at.toISOString(),
    next_attempt_at: row.state === 'waiting' ? row.due_at.toISOString() : null,
    settled_at: row.settled_at?.toISOString() ?? null,
  };
}
