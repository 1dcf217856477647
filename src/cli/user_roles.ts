/** `poort user role …`: which roles a person has at a tenant, until when, and what they may do by them. */
import {
  type AssignRoleOutcome,
  assignRole,
  type UnassignRoleOutcome,
  unassignRole,
} from '#src/flows/access/assign_roles.ts';
import { showRights } from '#src/flows/access/show_rights.ts';
import { type Answer, CommandRefused, table } from './answers.ts';
import { parseExpiry } from './options.ts';
import { findRoleByName } from './roles.ts';
import type { Session } from './runner.ts';
import type { FoundPerson } from './users.ts';

export interface UserRoleOptions {
  readonly role: string;
}

export interface AddUserRoleOptions extends UserRoleOptions {
  readonly expires?: string;
}

export async function addRole(
  session: Session,
  { tenant, member, options }: FoundPerson & { readonly options: AddUserRoleOptions },
): Promise<Answer> {
  const expiresAt = options.expires === undefined ? undefined : parseExpiry(options.expires);
  const role = await findRoleByName(session, { tenant, name: options.role });
  const wanted = { tenantId: tenant.id, userId: member.id, roleId: role.id, expiresAt, by: 'operator' } as const;
  const { outcome } = await assignRole(session.context, wanted);
  if (outcome !== 'assigned' && outcome !== 'unchanged') throw refusalOf(outcome);
  const changed = outcome === 'assigned';
  const until = expiresAt === undefined ? '' : ` until ${expiresAt.toISOString()}`;
  return {
    json: {
      id: member.id,
      email: member.email,
      role: role.name,
      expires_at: expiresAt?.toISOString() ?? null,
      changed,
    },
    text: `user ${member.email} has ${changed ? '' : 'already '}the role ${role.name}${until}`,
  };
}

export async function removeRole(
  session: Session,
  { tenant, member, options }: FoundPerson & { readonly options: UserRoleOptions },
): Promise<Answer> {
  const role = await findRoleByName(session, { tenant, name: options.role });
  const wanted = { tenantId: tenant.id, userId: member.id, roleId: role.id, by: 'operator' } as const;
  const { outcome } = await unassignRole(session.context, wanted);
  if (outcome !== 'unassigned' && outcome !== 'not_held') throw refusalOf(outcome);
  const changed = outcome === 'unassigned';
  const word = changed ? 'no longer has' : 'was not given';
  return {
    json: { id: member.id, email: member.email, role: role.name, changed },
    text: `user ${member.email} ${word} the role ${role.name}`,
  };
}

/** Roles, and each permission with the roles through which it comes. */
export async function listUserRoles(session: Session, { tenant, member }: FoundPerson): Promise<Answer> {
  const rights = await showRights(session.context, { tenantId: tenant.id, userId: member.id });
  if (rights === undefined) throw refusalOf('unknown_user');
  const roles = rights.assigned.map(({ id, name, expiresAt, isInForce }) => ({
    role_id: id,
    name,
    expires_at: expiresAt?.toISOString() ?? null,
    in_force: isInForce,
  }));
  const { permissions } = rights;
  const given = roles.map(({ name, expires_at, in_force }) => [
    name,
    in_force ? 'in force' : 'not in force',
    expires_at ?? '',
  ]);
  const may = permissions.map(({ permission, through }) => [
    permission,
    through.map((way) => way.join(' > ')).join(', '),
  ]);
  const none = `${member.email} has no roles at ${tenant.slug}.`;
  return {
    json: { id: member.id, email: member.email, roles, effective_roles: rights.roles, permissions },
    text: [
      table(['ROLE', 'STATE', 'UNTIL'], given, none),
      ...(may.length === 0 ? [] : ['', table(['PERMISSION', 'THROUGH'], may, '')]),
    ].join('\n'),
  };
}

type Refused =
  | Exclude<AssignRoleOutcome['outcome'], 'assigned' | 'unchanged'>
  | Exclude<UnassignRoleOutcome['outcome'], 'unassigned' | 'not_held'>;

const messages: Readonly<Record<Refused, string>> = {
  unknown_user: 'the tenant has nobody like that any more',
  unknown_role: 'the tenant has no such role any more',
  past: '--expires has passed',
  last_administrator:
    'nobody else would administer the tenant: give somebody else the role admin, without an end, first',
  beyond_your_own: 'that is more than you hold yourself',
};

function refusalOf(outcome: Refused): CommandRefused {
  return new CommandRefused(outcome, messages[outcome]);
}
