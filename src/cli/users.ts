/** `poort user …`: people of a tenant. Passwords come from an option or a line of standard input and go nowhere but the flow. */
import type { Command } from 'commander';
import type { TenantId } from '#src/domain/tenant.ts';
import { type AddMemberOutcome, addMember, changeMembershipStatus, showMember } from '#src/flows/manage_people.ts';
import { listMembers, type MemberRow } from '#src/storage/tables/people.ts';
import { type Answer, CommandRefused, described, table, WrongUsage } from './answers.ts';
import { answering, findTenant, group, repeatable, type TenantOptions, tenantOption } from './options.ts';
import { readLine } from './read_line.ts';
import type { Runner, Session } from './runner.ts';

interface CreateOptions extends TenantOptions {
  readonly email: string;
  readonly password?: string;
  readonly passwordStdin?: boolean;
  readonly role?: readonly string[];
  readonly verified?: boolean;
  readonly givenName?: string;
  readonly familyName?: string;
}

interface OneUserOptions extends TenantOptions {
  readonly email?: string;
}

export function addUserCommands(program: Command, runner: Runner): void {
  const user = group(program, 'user', 'people of a tenant');

  answering(user.command('create').description('add a person to a tenant, also one who is known at another tenant'), [
    'user create --tenant acme --email ada@example.org --role admin --verified --password-stdin < password.txt',
    'user create --tenant acme --email ada@example.org --json',
  ])
    .addOption(tenantOption())
    .requiredOption('--email <address>', 'the e-mail address, which is also what the person signs in with')
    .option('--password <password>', 'for tests only: other people of this machine can read it')
    .option('--password-stdin', 'read the password from the first line of standard input')
    .addOption(repeatable('--role <name>', 'a role of the tenant'))
    .option('--verified', 'the address is known to be theirs')
    .option('--given-name <name>')
    .option('--family-name <name>')
    .action((options: CreateOptions) =>
      runner.run(options, async () => {
        if (options.password !== undefined && options.passwordStdin === true) {
          throw new WrongUsage('--password and --password-stdin exclude each other');
        }
        const password = options.passwordStdin === true ? await readLine(runner.world.input) : options.password;
        if (password === '') throw new WrongUsage('the password is empty');
        await runner.withHouse(options, (session) =>
          create(session, { ...options, ...(password !== undefined && { password }) }),
        );
        return undefined;
      }),
    );

  answering(user.command('list').description('list the people of a tenant'), ['user list --tenant acme'])
    .addOption(tenantOption())
    .action((options: TenantOptions) => runner.withHouse(options, (session) => list(session, options)));

  answering(oneUser(user, 'show').description('show one person'), ['user show --tenant acme ada@example.org']).action(
    (person: string | undefined, options: OneUserOptions) =>
      withPerson(runner, { person, options }, async (_session, { member }) => {
        const shown = presentMember(member);
        return { json: shown, text: describeMember(shown) };
      }),
  );

  answering(
    oneUser(user, 'disable').description('keep a person out of this tenant; their other tenants are not concerned'),
    ['user disable --tenant acme ada@example.org'],
  ).action((person: string | undefined, options: OneUserOptions) =>
    withPerson(runner, { person, options }, (session, found) => change(session, { ...found, status: 'disabled' })),
  );

  answering(oneUser(user, 'enable').description('let a disabled person in again'), [
    'user enable --tenant acme ada@example.org',
  ]).action((person: string | undefined, options: OneUserOptions) =>
    withPerson(runner, { person, options }, (session, found) => change(session, { ...found, status: 'active' })),
  );
}

function oneUser(parent: Command, name: string): Command {
  return parent
    .command(name)
    .argument('[person]', 'their e-mail address or id')
    .addOption(tenantOption())
    .option('--email <address>', 'the same, as an option');
}

async function create(session: Session, options: CreateOptions): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const added = await addMember(session.context, {
    tenantId: tenant.id,
    email: options.email,
    password: options.password,
    roles: options.role ?? [],
    verified: options.verified ?? false,
    givenName: options.givenName,
    familyName: options.familyName,
  });
  if (added.outcome === 'refused') throw refused(added);
  const shown = presentMember(await findPerson(session, { tenantId: tenant.id, person: added.email }));
  const kept = added.outcome === 'joined' && added.passwordMatches === false;
  const joined = kept
    ? 'was known already and has joined; they keep the password they have'
    : 'was known already and has joined';
  const title = added.outcome === 'created' ? 'created' : joined;
  const json = { ...shown, tenant: tenant.slug, outcome: added.outcome, ...(kept ? { password_kept: true } : {}) };
  return { json, text: describeMember(shown, `user ${shown.email} ${title}`) };
}

function refused({ reason, detail }: Extract<AddMemberOutcome, { outcome: 'refused' }>): CommandRefused {
  const messages: Readonly<Record<typeof reason, string>> = {
    email: 'that is no e-mail address',
    password_too_short: 'the password has fewer than 8 characters',
    password_too_long: 'the password has more than 1024 bytes',
    password_forbidden_character: 'the password has a character that cannot be typed',
    name: 'a name has 1 to 100 characters and no control characters',
    unknown_role: 'the tenant has no such role',
    already_a_member: 'that person is a member of this tenant already',
  };
  return new CommandRefused(reason, detail === undefined ? messages[reason] : `${messages[reason]} (${detail})`);
}

async function list(session: Session, options: TenantOptions): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const members = await session.house.database
    .tenant(tenant.id)
    .transaction((transaction) => listMembers(transaction, tenant.id));
  const users = members.map(presentMember);
  const rows = users.map(({ email, status, roles, id }) => [email, status, roles.join(', '), id]);
  return {
    json: { users },
    text: table(['EMAIL', 'STATUS', 'ROLES', 'ID'], rows, `${tenant.slug} has no people yet.`),
  };
}

interface FoundPerson {
  readonly tenantId: TenantId;
  readonly member: MemberRow;
}

function withPerson(
  runner: Runner,
  { person, options }: { readonly person: string | undefined; readonly options: OneUserOptions },
  act: (session: Session, found: FoundPerson) => Promise<Answer>,
): Promise<void> {
  return runner.run(options, async () => {
    const named = person ?? options.email;
    if (named === undefined) throw new WrongUsage('name the person: an e-mail address or an id');
    if (person !== undefined && options.email !== undefined && person !== options.email) {
      throw new WrongUsage('the argument and --email name two people');
    }
    await runner.withHouse(options, async (session) => {
      const { id: tenantId } = await findTenant(session, options.tenant);
      return act(session, { tenantId, member: await findPerson(session, { tenantId, person: named }) });
    });
    return undefined;
  });
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** By e-mail address or id. Throws `CommandRefused` when the tenant has nobody like that. */
export async function findPerson(
  { context, house }: Session,
  { tenantId, person }: { readonly tenantId: TenantId; readonly person: string },
): Promise<MemberRow> {
  const id = uuid.test(person) ? person.toLowerCase() : undefined;
  const member =
    id === undefined
      ? await showMember(context, { tenantId, email: person })
      : (await house.database.tenant(tenantId).transaction((transaction) => listMembers(transaction, tenantId))).find(
          (one) => one.id === id,
        );
  if (member !== undefined) return member;
  throw new CommandRefused('unknown_user', `the tenant has nobody called ${JSON.stringify(person)}`);
}

async function change(
  { context }: Session,
  { tenantId, member, status }: FoundPerson & { readonly status: 'active' | 'disabled' },
): Promise<Answer> {
  const outcome = await changeMembershipStatus(context, { tenantId, email: member.email, status });
  const changed = outcome?.outcome === 'changed';
  const json = { ...presentMember({ ...member, membership_status: status }), changed };
  const word = status === 'active' ? 'enabled' : 'disabled';
  return { json, text: `user ${member.email} is ${changed ? '' : 'already '}${word}` };
}

function presentMember(member: MemberRow) {
  const isActive = member.user_status === 'active' && member.membership_status === 'active';
  return {
    id: member.id,
    email: member.email,
    email_verified: member.email_verified,
    given_name: member.given_name,
    family_name: member.family_name,
    status: isActive ? 'active' : 'disabled',
    roles: member.roles,
    last_sign_in_at: member.last_sign_in_at?.toISOString() ?? null,
    created_at: member.created_at.toISOString(),
  };
}

function describeMember(user: ReturnType<typeof presentMember>, title = `user ${user.email}`): string {
  return described(title, {
    name: [user.given_name, user.family_name].filter((part) => part !== null).join(' '),
    status: user.status,
    roles: user.roles.join(', '),
    verified: user.email_verified ? 'yes' : 'no',
    'last sign-in': user.last_sign_in_at ?? 'never',
    'member since': user.created_at,
    id: user.id,
  });
}
