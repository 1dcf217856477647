/** `poort user …`: people of a tenant. Passwords come from an option or a line of standard input and go nowhere but the flow. */
import type { Command } from 'commander';
import type { TenantId } from '#src/domain/tenant.ts';
import { userId } from '#src/domain/user.ts';
import { type ChangePasswordOutcome, changePassword } from '#src/flows/people/change_password.ts';
import { showMemberById } from '#src/flows/people/find_members.ts';
import { deleteMember } from '#src/flows/people/leave_tenant.ts';
import {
  type AddMemberOutcome,
  addMember,
  changeMembershipStatus,
  showMember,
} from '#src/flows/people/manage_people.ts';
import { unlockAccount } from '#src/flows/sign_in/account_lock.ts';
import { listMembers, type MemberRow } from '#src/storage/tables/people.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import { type Answer, CommandRefused, described, table, WrongUsage } from './answers.ts';
import { answering, findTenant, group, repeatable, type TenantOptions, tenantOption } from './options.ts';
import type { Runner, Session } from './runner.ts';
import { addImportCommand } from './user_import.ts';
import {
  type ChosenPassword,
  choosePassword,
  type PasswordOptions,
  passwordSettings,
  passwordToSet,
  passwordWarnings,
  takingPassword,
} from './user_passwords.ts';
import { type AddUserRoleOptions, addRole, listUserRoles, removeRole, type UserRoleOptions } from './user_roles.ts';
import { type ResetSecondFactorOptions, resetFactorsOf } from './user_second_factor.ts';

interface CreateOptions extends TenantOptions, PasswordOptions {
  readonly email: string;
  readonly role?: readonly string[];
  readonly verified?: boolean;
  readonly givenName?: string;
  readonly familyName?: string;
}

interface OneUserOptions extends TenantOptions {
  readonly email?: string;
}

interface DeleteOptions extends TenantOptions {
  readonly email: string;
  readonly confirm?: string;
}

export function addUserCommands(program: Command, runner: Runner): void {
  const user = group(program, 'user', 'people of a tenant');

  takingPassword(
    answering(user.command('create').description('add a person to a tenant, also one who is known at another tenant'), [
      'user create --tenant acme --email ada@example.org --role admin --verified --password-stdin < password.txt',
      'user create --tenant acme --email ada@example.org --generate-password',
    ])
      .addOption(tenantOption())
      .requiredOption('--email <address>', 'the e-mail address, which is also what the person signs in with'),
  )
    .addOption(repeatable('--role <name>', 'a role of the tenant'))
    .option('--verified', 'the address is known to be theirs; otherwise a mail asks them to confirm it')
    .option('--given-name <name>')
    .option('--family-name <name>')
    .action((options: CreateOptions) =>
      runner.run(options, async () => {
        const chosen = await choosePassword(runner, options);
        await runner.withHouse(options, (session) => create(session, { options, chosen }));
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

  takingPassword(
    answering(oneUser(user, 'reset-password').description('set another password; every session of the person ends'), [
      'user reset-password --tenant acme ada@example.org --generate-password',
      'user reset-password --tenant acme --email ada@example.org --password-stdin < password.txt',
    ]),
  ).action((person: string | undefined, options: OneUserOptions & PasswordOptions) =>
    runner.run(options, async () => {
      const chosen = await choosePassword(runner, options);
      if (chosen === undefined)
        throw new WrongUsage('choose one of --generate-password, --password-stdin and --password');
      await withPerson(runner, { person, options }, (session, found) => resetPassword(session, { ...found, chosen }));
      return undefined;
    }),
  );

  answering(
    oneUser(user, 'reset-second-factor')
      .description('take every second factor of a person away, who is told and signed out')
      .requiredOption('--reason <text>', 'why; the person reads it, and it stays in the history'),
    ['user reset-second-factor --tenant acme ada@example.org --reason "lost the phone, seen at the desk"'],
  ).action((person: string | undefined, options: OneUserOptions & ResetSecondFactorOptions) =>
    withPerson(runner, { person, options }, (session, found) =>
      resetFactorsOf(session, { ...found, reason: options.reason }),
    ),
  );

  answering(oneUser(user, 'unlock').description('forget the failed passwords of a person who is locked out'), [
    'user unlock --tenant acme ada@example.org',
  ]).action((person: string | undefined, options: OneUserOptions) =>
    withPerson(runner, { person, options }, async ({ context }, { tenant, member }) => {
      await unlockAccount(context, { tenantId: tenant.id, identifier: member.email });
      return { json: { ...presentMember(member), unlocked: true }, text: `user ${member.email} is unlocked` };
    }),
  );

  addUserRoleCommands(user, runner);
  addImportCommand(user, runner);
  answering(
    user
      .command('delete')
      .description('remove a person from a tenant at once, and from the installation when they belong to no other'),
    ['user delete --tenant acme --email ada@example.org --confirm ada@example.org'],
  )
    .addOption(tenantOption())
    .requiredOption('--email <address>', 'their e-mail address')
    .option('--confirm <address>', 'the address again: this cannot be undone')
    .action((options: DeleteOptions) =>
      runner.run(options, async () => {
        if (options.confirm !== options.email)
          throw new WrongUsage('this cannot be undone: repeat the address with --confirm');
        await runner.withHouse(options, (session) => remove(session, options));
        return undefined;
      }),
    );
}

function addUserRoleCommands(user: Command, runner: Runner): void {
  const role = group(user, 'role', 'which roles a person has');

  answering(
    oneUser(role, 'add')
      .description('give a person a role, or give one they have another end')
      .requiredOption('--role <name>', 'of the tenant'),
    [
      'user role add --tenant acme ada@example.org --role editor',
      'user role add --tenant acme ada@example.org --role admin --expires 2030-01-01T00:00:00Z',
    ],
  )
    .option('--expires <instant>', 'from then on they do not have it (RFC 3339); without it there is no end')
    .action((person: string | undefined, options: OneUserOptions & AddUserRoleOptions) =>
      withPerson(runner, { person, options }, (session, found) => addRole(session, { ...found, options })),
    );

  answering(
    oneUser(role, 'remove').description('take a role from a person').requiredOption('--role <name>', 'of the tenant'),
    ['user role remove --tenant acme ada@example.org --role editor'],
  ).action((person: string | undefined, options: OneUserOptions & UserRoleOptions) =>
    withPerson(runner, { person, options }, (session, found) => removeRole(session, { ...found, options })),
  );

  answering(oneUser(role, 'list').description('the roles of a person, and what they may do by them'), [
    'user role list --tenant acme ada@example.org',
  ]).action((person: string | undefined, options: OneUserOptions) =>
    withPerson(runner, { person, options }, listUserRoles),
  );
}

function oneUser(parent: Command, name: string): Command {
  return parent
    .command(name)
    .argument('[person]', 'their e-mail address or id')
    .addOption(tenantOption())
    .option('--email <address>', 'the same, as an option');
}

async function create(
  session: Session,
  { options, chosen }: { readonly options: CreateOptions; readonly chosen: ChosenPassword | undefined },
): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const toSet = chosen === undefined ? undefined : passwordToSet(session, { chosen, tenant });
  const added = await addMember(session.context, {
    tenantId: tenant.id,
    email: options.email,
    password: toSet?.password,
    roles: options.role ?? [],
    verified: options.verified ?? false,
    verification: { proofs: session.config.proofs, publicUrl: session.config.http.publicUrl },
    givenName: options.givenName,
    familyName: options.familyName,
  });
  if (added.outcome === 'refused') throw refused(added);
  const shown = presentMember(await findPerson(session, { tenantId: tenant.id, person: added.email }));
  const kept = added.outcome === 'joined' && added.passwordMatches === false;
  const joined = kept
    ? 'was known already and has joined; they keep the password they have'
    : 'was known already and has joined';
  const isAsked = added.outcome === 'created' && added.isAsked;
  const made = isAsked ? 'created; a mail asks them to confirm their address' : 'created';
  const title = added.outcome === 'created' ? made : joined;
  // Of somebody who has joined it was not set.
  const isSet = added.outcome === 'created' && toSet !== undefined;
  const generated = isSet && toSet.isGenerated ? { password: toSet.password } : {};
  const warnings = isSet ? await passwordWarnings(session, { password: toSet.password, person: options, tenant }) : [];
  const json = {
    ...shown,
    tenant: tenant.slug,
    outcome: added.outcome,
    ...(isAsked ? { verification_sent: true } : {}),
    ...(kept ? { password_kept: true } : {}),
    ...generated,
  };
  return { json, text: describeMember({ ...shown, ...generated }, `user ${shown.email} ${title}`), warnings };
}

async function resetPassword(
  session: Session,
  { tenant, member, chosen }: FoundPerson & { readonly chosen: ChosenPassword },
): Promise<Answer> {
  const { password, isGenerated } = passwordToSet(session, { chosen, tenant });
  const changed = await changePassword(session.context, {
    tenantId: tenant.id,
    userId: member.id,
    password,
    settings: passwordSettings(session, tenant),
    isUnjudged: true,
    hasSecondFactor: false,
    event: 'password.reset',
  });
  if (changed.outcome !== 'changed') throw notChanged(changed);
  const person = {
    email: member.email,
    givenName: member.given_name ?? undefined,
    familyName: member.family_name ?? undefined,
  };
  const warnings = await passwordWarnings(session, { password, person, tenant });
  const generated = isGenerated ? { password } : {};
  const { sessions } = changed.ended;
  const json = { id: member.id, email: member.email, ended_sessions: sessions, ...generated };
  const facts = { ...generated, 'sessions ended': String(sessions) };
  return { json, text: described(`user ${member.email} has another password`, facts), warnings };
}

function notChanged(outcome: Exclude<ChangePasswordOutcome, { outcome: 'changed' }>): CommandRefused {
  if (outcome.outcome === 'unacceptable') {
    const reason = hardLimits.find((limit) => limit === outcome.reason) ?? 'too_short';
    return new CommandRefused(`password_${reason}`, passwordMessages[`password_${reason}`]);
  }
  return new CommandRefused(outcome.outcome, 'somebody else has just changed the password, or the person is gone');
}

const hardLimits = ['too_short', 'too_long', 'forbidden_character'] as const;

const passwordMessages = {
  password_too_short: 'the password has fewer than 8 characters',
  password_too_long: 'the password has more than 1024 bytes',
  password_forbidden_character: 'the password has a character that cannot be typed',
} as const;

function refused({ reason, detail }: Extract<AddMemberOutcome, { outcome: 'refused' }>): CommandRefused {
  const messages: Readonly<Record<typeof reason, string>> = {
    email: 'that is no e-mail address',
    ...passwordMessages,
    name: 'a name has 1 to 100 characters and no control characters',
    unknown_role: 'the tenant has no such role',
    username_taken: 'somebody else of this tenant has that name',
    known_elsewhere: 'somebody has this address at another tenant',
    beyond_your_own: 'the roles give more than may be given',
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

export interface FoundPerson {
  readonly tenant: TenantRow;
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
      const tenant = await findTenant(session, options.tenant);
      return act(session, { tenant, member: await findPerson(session, { tenantId: tenant.id, person: named }) });
    });
    return undefined;
  });
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** By e-mail address or id. Throws `CommandRefused` when the tenant has nobody like that. */
export async function findPerson(
  { context }: Session,
  { tenantId, person }: { readonly tenantId: TenantId; readonly person: string },
): Promise<MemberRow> {
  const id = uuid.test(person) ? person.toLowerCase() : undefined;
  const member =
    id === undefined
      ? await showMember(context, { tenantId, email: person })
      : await showMemberById(context, { tenantId, userId: userId(id) });
  if (member !== undefined) return member;
  throw new CommandRefused('unknown_user', `the tenant has nobody called ${JSON.stringify(person)}`);
}

async function change(
  { context }: Session,
  { tenant, member, status }: FoundPerson & { readonly status: 'active' | 'disabled' },
): Promise<Answer> {
  const outcome = await changeMembershipStatus(context, { tenantId: tenant.id, email: member.email, status });
  const changed = outcome?.outcome === 'changed';
  const json = { ...presentMember({ ...member, membership_status: status }), changed };
  const word = status === 'active' ? 'enabled' : 'disabled';
  return { json, text: `user ${member.email} is ${changed ? '' : 'already '}${word}` };
}

async function remove(session: Session, options: DeleteOptions): Promise<Answer> {
  const { id: tenantId, slug } = await findTenant(session, options.tenant);
  const member = await findPerson(session, { tenantId, person: options.email });
  const { outcome } = await deleteMember(session.context, { tenantId, userId: member.id });
  const json = { tenant: slug, id: member.id, email: member.email, deleted: outcome === 'deleted' };
  return { json, text: `user ${member.email} is ${outcome === 'deleted' ? 'deleted' : 'gone already'}` };
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

function describeMember(
  user: ReturnType<typeof presentMember> & { readonly password?: string },
  title = `user ${user.email}`,
): string {
  return described(title, {
    password: user.password,
    name: [user.given_name, user.family_name].filter((part) => part !== null).join(' '),
    status: user.status,
    roles: user.roles.join(', '),
    verified: user.email_verified ? 'yes' : 'no',
    'last sign-in': user.last_sign_in_at ?? 'never',
    'member since': user.created_at,
    id: user.id,
  });
}
