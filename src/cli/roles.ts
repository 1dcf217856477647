/** `poort role …`: what people of a tenant may be, and what that permits. */
import type { Command } from 'commander';
import { createRole } from '#src/flows/access/manage_roles.ts';
import { listRoles } from '#src/storage/tables/roles.ts';
import { type Answer, CommandRefused, described, table } from './answers.ts';
import { answering, findTenant, group, repeatable, type TenantOptions, tenantOption } from './options.ts';
import type { Runner, Session } from './runner.ts';

interface CreateOptions extends TenantOptions {
  readonly name: string;
  readonly description?: string;
  readonly permission?: readonly string[];
  readonly inherits?: string;
}

export function addRoleCommands(program: Command, runner: Runner): void {
  const role = group(program, 'role', 'roles of a tenant');

  answering(role.command('create').description('make a role'), [
    'role create --tenant acme --name accountant --permission invoices:read --permission invoices:write --inherits user',
  ])
    .addOption(tenantOption())
    .requiredOption('--name <name>', 'a-z first, then letters, digits, _ and -')
    .option('--description <text>', 'for whoever assigns it')
    .addOption(repeatable('--permission <resource:action>', 'what it permits'))
    .option('--inherits <name>', 'the role whose permissions it has as well')
    .action((options: CreateOptions) => runner.withHouse(options, (session) => create(session, options)));

  answering(role.command('list').description('list the roles of a tenant'), ['role list --tenant acme'])
    .addOption(tenantOption())
    .action((options: TenantOptions) => runner.withHouse(options, (session) => list(session, options)));
}

async function create(session: Session, options: CreateOptions): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const { name, description, permission: permissions = [], inherits } = options;
  const created = await createRole(session.context, {
    tenantId: tenant.id,
    role: { name, description, permissions, inherits },
  });
  if (created.outcome === 'taken') throw new CommandRefused('name_taken', 'there is a role with that name already');
  if (created.outcome === 'unknown_inherited') {
    throw new CommandRefused('unknown_role', `the tenant has no role ${JSON.stringify(inherits)} to inherit from`);
  }
  if (created.outcome === 'refused') {
    const problems = created.problems.map(({ field, problem }) => `${field}: ${problem.replaceAll('_', ' ')}`);
    throw new CommandRefused('invalid_role', problems.join('; '));
  }
  const { role } = created;
  const json = {
    name: role.name,
    description: role.description,
    permissions: role.permissions,
    inherits: role.inherits ?? null,
    built_in: false,
    tenant: tenant.slug,
  };
  const facts = { description: role.description, permissions: role.permissions, inherits: role.inherits };
  return { json, text: described(`role ${role.name} created`, facts) };
}

async function list(session: Session, options: TenantOptions): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const listed = await session.context.database
    .tenant(tenant.id)
    .transaction((transaction) => listRoles(transaction, tenant.id));
  const roles = listed.map(({ id: _id, ...role }) => role);
  const rows = roles.map(({ name, inherits, permissions }) => [name, inherits ?? '', permissions.join(' ')]);
  return { json: { roles }, text: table(['ROLE', 'INHERITS', 'PERMISSIONS'], rows, `${tenant.slug} has no roles.`) };
}
