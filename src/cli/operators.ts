/** `poort operator …`: who may act on every tenant from outside, at {origin}/api/v1/tenants. */
import type { Command } from 'commander';
import {
  addOperator,
  listOperators,
  MAXIMUM_HOME_TENANTS,
  removeOperator,
} from '#src/flows/tenants/manage_operators.ts';
import { type Answer, CommandRefused, table } from './answers.ts';
import { answering, findTenant, group, type TenantOptions, tenantOption } from './options.ts';
import type { CommonOptions, Runner, Session } from './runner.ts';
import { findPerson } from './users.ts';

interface OperatorOptions extends TenantOptions {
  readonly user: string;
}

export function addOperatorCommands(program: Command, runner: Runner): void {
  const operator = group(program, 'operator', 'people who may act on every tenant from outside');

  answering(operator.command('add').description('let a member of a tenant act on all tenants of this installation'), [
    'operator add --tenant house --user ada@example.org',
  ])
    .addOption(tenantOption())
    .requiredOption('--user <person>', 'their e-mail address or id')
    .action((options: OperatorOptions) => runner.withHouse(options, (session) => add(session, options)));

  answering(operator.command('list').description('list who may'), ['operator list']).action((options: CommonOptions) =>
    runner.withHouse(options, list),
  );

  answering(operator.command('remove').description('take it away again'), [
    'operator remove --tenant house --user ada@example.org',
  ])
    .addOption(tenantOption())
    .requiredOption('--user <person>', 'their e-mail address or id')
    .action((options: OperatorOptions) => runner.withHouse(options, (session) => remove(session, options)));
}

async function add(session: Session, options: OperatorOptions): Promise<Answer> {
  const { tenant, member } = await findMemberOf(session, options);
  const { outcome } = await addOperator(session.context, { tenantId: tenant.id, userId: member.id });
  if (outcome === 'too_many_home_tenants')
    throw new CommandRefused(outcome, `operators are at home in at most ${MAXIMUM_HOME_TENANTS} tenants`);
  const json = { user_id: member.id, email: member.email, tenant: tenant.slug, changed: outcome === 'added' };
  const text = `${member.email} of ${tenant.slug} is ${outcome === 'added' ? 'an operator' : 'an operator already'}`;
  const warnings = [
    `whoever administers ${tenant.slug} can register applications that act for ${member.email}: let only operators do so`,
  ];
  return { json, text, ...(outcome === 'added' ? { warnings } : {}) };
}

async function list(session: Session): Promise<Answer> {
  const operators = (await listOperators(session.context)).map((operator) => ({
    user_id: operator.user_id,
    email: operator.email,
    tenant: operator.tenant_slug,
    since: operator.created_at.toISOString(),
  }));
  const rows = operators.map(({ email, tenant, since }) => [email, tenant, since]);
  const none = 'Nobody may. Name somebody: poort operator add --tenant <slug> --user <e-mail>';
  return { json: { operators }, text: table(['E-MAIL', 'TENANT', 'SINCE'], rows, none) };
}

async function remove(session: Session, options: OperatorOptions): Promise<Answer> {
  const { tenant, member } = await findMemberOf(session, options);
  const { outcome } = await removeOperator(session.context, { tenantId: tenant.id, userId: member.id });
  const changed = outcome === 'removed';
  const json = { user_id: member.id, email: member.email, tenant: tenant.slug, changed };
  return { json, text: `${member.email} of ${tenant.slug} is no operator${changed ? ' any more' : ''}` };
}

async function findMemberOf(session: Session, options: OperatorOptions) {
  const tenant = await findTenant(session, options.tenant);
  return { tenant, member: await findPerson(session, { tenantId: tenant.id, person: options.user }) };
}
