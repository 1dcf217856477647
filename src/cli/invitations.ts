/** `poort invitation …`: asking people in. The link goes to their mailbox and nowhere else: it is what proves the address. */
import type { Command } from 'commander';
import {
  createInvitation,
  type InvitationSummary,
  type InviteOutcome,
  listTenantInvitations,
  revokeInvitation,
} from '#src/flows/people/manage_invitations.ts';
import { isUuid } from '#src/foundation/identifiers.ts';
import { type Answer, CommandRefused, described, table } from './answers.ts';
import { answering, findTenant, group, repeatable, type TenantOptions, tenantOption } from './options.ts';
import type { Runner, Session } from './runner.ts';
import { passwordSettings } from './user_passwords.ts';

interface CreateOptions extends TenantOptions {
  readonly email: string;
  readonly role?: readonly string[];
  readonly invitedBy?: string;
}

export function addInvitationCommands(program: Command, runner: Runner): void {
  const invitation = group(program, 'invitation', 'people who are asked to become members');

  answering(
    invitation.command('create').description('invite somebody by mail; an earlier invitation of theirs is over'),
    ['invitation create --tenant acme --email ada@example.org --role editor'],
  )
    .addOption(tenantOption())
    .requiredOption('--email <address>', 'where the link is sent')
    .addOption(repeatable('--role <name>', 'a role they will have'))
    .option('--invited-by <name>', 'whom the mail names')
    .action((options: CreateOptions) => runner.withHouse(options, (session) => create(session, options)));

  answering(invitation.command('list').description('list invitations, the latest first'), [
    'invitation list --tenant acme',
  ])
    .addOption(tenantOption())
    .action((options: TenantOptions) => runner.withHouse(options, (session) => list(session, options)));

  answering(
    invitation
      .command('revoke')
      .argument('<id>', 'of the invitation')
      .description('an invitation that must not be accepted'),
    ['invitation revoke --tenant acme 0197d5c8-7a54-7c1e-b2d7-3f5a0c9e1b42'],
  )
    .addOption(tenantOption())
    .action((id: string, options: TenantOptions) =>
      runner.withHouse(options, (session) => revoke(session, id, options)),
    );
}

async function create(session: Session, options: CreateOptions): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const { publicUrl } = session.config.http;
  const roles = options.role ?? [];
  const created = await createInvitation(
    { ...session.context, publicUrl },
    {
      tenant,
      policy: passwordSettings(session, tenant),
      email: options.email,
      roles,
      locale: tenant.locale,
      invitedBy: options.invitedBy,
    },
  );
  if (created.outcome === 'refused') throw refused(created);
  const { id, mailed } = created;
  const until = created.expiresAt.toISOString();
  const json = { id, email: options.email, tenant: tenant.slug, roles, expires_at: until, mailed };
  const title = mailed ? `${options.email} is invited` : `${options.email} was written to too often: no mail was sent`;
  const warnings = mailed ? [] : ['too many mails to this address in a short time; create the invitation again later'];
  return { json, text: described(title, { roles: roles.join(', '), until, id }), warnings };
}

function refused(outcome: Extract<InviteOutcome, { outcome: 'refused' }>): CommandRefused {
  switch (outcome.reason) {
    case 'email':
      return new CommandRefused('email', 'that is no e-mail address');
    case 'closed':
      return new CommandRefused(
        'closed',
        'people.registration is closed at this tenant: poort user create makes people',
      );
    case 'unknown_role':
      return new CommandRefused('unknown_role', `the tenant has no such role (${outcome.roles.join(', ')})`);
    case 'beyond_your_own':
      return new CommandRefused('beyond_your_own', `the roles give too much (${outcome.permissions.join(', ')})`);
    default: {
      const never: never = outcome;
      return never;
    }
  }
}

async function list(session: Session, options: TenantOptions): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const invitations = await listTenantInvitations(session.context, { tenantId: tenant.id });
  const rows = invitations.map(({ email, status, roles, expiresAt, id }) => [
    email,
    status,
    roles.join(', '),
    expiresAt.toISOString(),
    id,
  ]);
  return {
    json: { invitations: invitations.map(presentInvitation) },
    text: table(['EMAIL', 'STATUS', 'ROLES', 'UNTIL', 'ID'], rows, `${tenant.slug} has invited nobody.`),
  };
}

function presentInvitation({ id, email, roles, status, createdAt, expiresAt }: InvitationSummary) {
  return { id, email, roles, status, created_at: createdAt.toISOString(), expires_at: expiresAt.toISOString() };
}

async function revoke(session: Session, id: string, options: TenantOptions): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const revoked = isUuid(id) ? await revokeInvitation(session.context, { tenantId: tenant.id, id }) : undefined;
  if (revoked?.outcome !== 'revoked')
    throw new CommandRefused('unknown_invitation', 'there is no such invitation that could still be accepted');
  return { json: { id, revoked: true }, text: `invitation ${id} is revoked` };
}
