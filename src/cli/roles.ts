/** `poort role …`: what people of a tenant may be, and what that permits. */
import type { Command } from 'commander';
import {
  type CreateRoleOutcome,
  createRole,
  type DeleteRoleOutcome,
  deleteRole,
  type RoleChange,
  type UpdateRoleOutcome,
  updateRole,
} from '#src/flows/access/manage_roles.ts';
import { listRoles, type RoleRow } from '#src/storage/tables/roles.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import { type Answer, CommandRefused, described, table, WrongUsage } from './answers.ts';
import { answering, findTenant, group, repeatable, type TenantOptions, tenantOption } from './options.ts';
import type { Runner, Session } from './runner.ts';

interface CreateOptions extends TenantOptions {
  readonly name: string;
  readonly description?: string;
  readonly permission?: readonly string[];
  readonly inherits?: string;
}

interface UpdateOptions extends TenantOptions {
  readonly description?: string;
  readonly add?: readonly string[];
  readonly remove?: readonly string[];
  /** `false` for `--no-inherits`. */
  readonly inherits?: string | false;
  readonly on?: boolean;
  readonly off?: boolean;
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

  answering(oneRole(role, 'show').description('show one role'), ['role show --tenant acme accountant']).action(
    (name: string, options: TenantOptions) =>
      withRole(runner, { name, options }, async (_session, { row }) => answerWith(row)),
  );

  answering(
    oneRole(role, 'update').description('change what a role is for, what it gives, or whether it is in force'),
    [
      'role update --tenant acme accountant --add invoices:approve --remove invoices:write',
      'role update --tenant acme accountant --off',
    ],
  )
    .option('--description <text>', 'for whoever assigns it')
    .addOption(repeatable('--add <resource:action>', 'a permission more'))
    .addOption(repeatable('--remove <resource:action>', 'a permission less'))
    .option('--inherits <name>', 'the role whose permissions it has as well')
    .option('--no-inherits', 'it has the permissions of no other role')
    .option('--on', 'it gives what it lists again')
    .option('--off', 'it gives nothing to whoever has it')
    .action((name: string, options: UpdateOptions) =>
      runner.run(options, async () => {
        if (options.on === true && options.off === true) throw new WrongUsage('choose one of --on and --off');
        await withRole(runner, { name, options }, (session, found) => update(session, { ...found, options }));
        return undefined;
      }),
    );

  answering(oneRole(role, 'delete').description('remove a role, from whoever has it too'), [
    'role delete --tenant acme accountant --confirm accountant',
  ])
    .option('--confirm <name>', 'the name again: this cannot be undone')
    .action((name: string, options: TenantOptions & { readonly confirm?: string }) =>
      runner.run(options, async () => {
        if (options.confirm !== name) throw new WrongUsage('this cannot be undone: repeat the name with --confirm');
        await withRole(runner, { name, options }, remove);
        return undefined;
      }),
    );
}

interface FoundRole {
  readonly tenant: TenantRow;
  readonly row: RoleRow;
}

function oneRole(parent: Command, name: string): Command {
  return parent.command(name).argument('<role>', 'its name').addOption(tenantOption());
}

function withRole(
  runner: Runner,
  { name, options }: { readonly name: string; readonly options: TenantOptions },
  act: (session: Session, found: FoundRole) => Promise<Answer>,
): Promise<void> {
  return runner.withHouse(options, async (session) => {
    const tenant = await findTenant(session, options.tenant);
    return act(session, { tenant, row: await findRoleByName(session, { tenant, name }) });
  });
}

/** Throws `CommandRefused` when the tenant has no such role. */
export async function findRoleByName(
  { context }: Session,
  { tenant, name }: { readonly tenant: TenantRow; readonly name: string },
): Promise<RoleRow> {
  const roles = await context.database
    .tenant(tenant.id)
    .transaction((transaction) => listRoles(transaction, tenant.id));
  const row = roles.find((role) => role.name === name);
  if (row === undefined) throw new CommandRefused('unknown_role', `${tenant.slug} has no role ${JSON.stringify(name)}`);
  return row;
}

async function create(session: Session, options: CreateOptions): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const { name, description, permission: permissions = [], inherits } = options;
  const created = await createRole(session.context, {
    tenantId: tenant.id,
    role: { name, description, permissions, inherits },
    by: 'operator',
  });
  if (created.outcome !== 'created') throw refusalOf(created);
  return answerWith(created.row, { tenant: tenant.slug, title: 'created' });
}

async function list(session: Session, options: TenantOptions): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const listed = await session.context.database
    .tenant(tenant.id)
    .transaction((transaction) => listRoles(transaction, tenant.id));
  const roles = listed.map(({ id: _id, ...role }) => role);
  const rows = roles.map(({ name, inherits, permissions, is_active }) => [
    is_active ? name : `${name} (off)`,
    inherits ?? '',
    permissions.join(' '),
  ]);
  return { json: { roles }, text: table(['ROLE', 'INHERITS', 'PERMISSIONS'], rows, `${tenant.slug} has no roles.`) };
}

async function update(
  { context }: Session,
  { tenant, row, options }: FoundRole & { readonly options: UpdateOptions },
): Promise<Answer> {
  const change: RoleChange = {
    description: options.description,
    permissions: [...row.permissions.filter((one) => options.remove?.includes(one) !== true), ...(options.add ?? [])],
    inherits: options.inherits === false ? null : options.inherits,
    isActive: options.on === true ? true : options.off === true ? false : undefined,
  };
  const updated = await updateRole(context, { tenantId: tenant.id, id: row.id, change, by: 'operator' });
  if (!('row' in updated)) throw refusalOf(updated);
  return answerWith(updated.row, { changed: updated.outcome === 'updated', title: updated.outcome });
}

async function remove({ context }: Session, { tenant, row }: FoundRole): Promise<Answer> {
  const deleted = await deleteRole(context, { tenantId: tenant.id, id: row.id, by: 'operator' });
  if (deleted.outcome !== 'deleted') throw refusalOf(deleted);
  return { json: { name: row.name, tenant: tenant.slug, deleted: true }, text: `role ${row.name} is deleted` };
}

function answerWith(row: RoleRow, { title, ...more }: { title?: string; [name: string]: unknown } = {}): Answer {
  const { id, name, description, permissions, inherits, built_in, is_active } = row;
  const facts = {
    description,
    permissions,
    inherits: inherits ?? undefined,
    state: is_active ? undefined : 'switched off',
  };
  return {
    json: { id, name, description, permissions, inherits, built_in, is_active, ...more },
    text: described(`role ${name}${title === undefined ? '' : ` ${title}`}`, facts),
  };
}

type Refused =
  | Exclude<CreateRoleOutcome, { readonly outcome: 'created' }>
  | Exclude<UpdateRoleOutcome, { readonly row: RoleRow }>
  | Exclude<DeleteRoleOutcome, { readonly outcome: 'deleted' }>;

function refusalOf(outcome: Refused): CommandRefused {
  switch (outcome.outcome) {
    case 'taken':
      return new CommandRefused('name_taken', 'there is a role with that name already');
    case 'too_many':
      return new CommandRefused('too_many', `a tenant has at most ${outcome.maximum} roles`);
    case 'unknown_inherited':
      return new CommandRefused('unknown_role', 'the tenant has no role of that name to inherit from');
    case 'circle':
      return new CommandRefused('circle', 'the role would inherit from itself');
    case 'too_deep':
      return new CommandRefused('too_deep', 'the role would inherit through too many others');
    case 'built_in':
      return new CommandRefused('built_in', 'built-in roles are the same for every tenant: make one beside it');
    case 'inherited':
      return new CommandRefused('in_use', `these roles inherit from it: ${outcome.by.join(', ')}`);
    case 'last_administrator':
      return new CommandRefused('last_administrator', 'nobody would administer the tenant any more');
    case 'beyond_your_own':
      return new CommandRefused('beyond_your_own', 'that is more than you hold yourself');
    case 'unknown':
      return new CommandRefused('unknown_role', 'somebody has just removed the role');
    case 'refused': {
      const problems = outcome.problems.map(({ field, problem }) => `${field}: ${problem.replaceAll('_', ' ')}`);
      return new CommandRefused('invalid_role', problems.join('; '));
    }
    default: {
      const never: never = outcome;
      return never;
    }
  }
}
