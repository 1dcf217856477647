/**
 * Giving people roles and taking them away. Nobody gives, ends or takes away what exceeds their own rights, and nobody acts on somebody who
 * has more (docs/decisions/0040). An operator's rights have no end: the command line is theirs.
 */
import type { EventType, NewEvent } from '#src/domain/event.ts';
import { permissionsBeyond, permissionsThrough, type RoleGraph, type RoleNode } from '#src/domain/role.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { deleteHeldRole, listHeldRoles, lockMember, readRoleGraph, upsertHeldRole } from '#src/storage/tables/roles.ts';
import { type FlowContext, Refusal } from '../flow_context.ts';
import { keepAdministrator, type LastAdministrator } from './last_administrator.ts';

/** Whose rights bound a deed: all that the caller may give to others, or an operator's, which nothing bounds. */
export type Grantor = ReadonlySet<string> | 'operator';

export interface BeyondYourOwn {
  readonly outcome: 'beyond_your_own';
  /** What the caller does not hold. */
  readonly permissions: readonly string[];
}

export interface RoleOfMember {
  readonly tenantId: TenantId;
  readonly userId: UserId;
  readonly roleId: string;
  readonly by: Grantor;
}

export type AssignRoleOutcome =
  | { readonly outcome: 'assigned' | 'unchanged' }
  | { readonly outcome: 'unknown_user' | 'unknown_role' }
  /** It would be over before it began. */
  | { readonly outcome: 'past' }
  | BeyondYourOwn
  /** The one administrator would cease to be one. */
  | LastAdministrator;

/** Gives a role, until `expiresAt` where there is one; or gives one that is held another end, or none. */
export async function assignRole(
  context: FlowContext,
  input: RoleOfMember & { readonly expiresAt?: Date | undefined },
): Promise<AssignRoleOutcome> {
  const { expiresAt } = input;
  if (expiresAt !== undefined && expiresAt.getTime() <= context.clock().getTime()) return { outcome: 'past' };
  return inTurn<AssignRoleOutcome>(context, input, async (transaction, { name }) => {
    if (!(await upsertHeldRole(transaction, { ...input, expiresAt }))) return { outcome: 'unchanged' };
    const until = expiresAt === undefined ? {} : { expires_at: expiresAt.toISOString() };
    await tell(context, transaction, { ...input, name, type: 'role.assigned', until });
    return { outcome: 'assigned' };
  });
}

export type UnassignRoleOutcome =
  | { readonly outcome: 'unassigned' }
  /** `not_held`: they do not have this role themselves, perhaps one that inherits it. */
  | { readonly outcome: 'unknown_user' | 'unknown_role' | 'not_held' }
  | BeyondYourOwn
  | LastAdministrator;

/** What they may do is less from the next look on; what was issued says so at its next introspection. */
export async function unassignRole(context: FlowContext, input: RoleOfMember): Promise<UnassignRoleOutcome> {
  return inTurn<UnassignRoleOutcome>(context, input, async (transaction, { name }) => {
    if (!(await deleteHeldRole(transaction, input))) return { outcome: 'not_held' };
    await tell(context, transaction, { ...input, name, type: 'role.unassigned', until: {} });
    return { outcome: 'unassigned' };
  });
}

/** One change of one person's roles, after everything that could speak against it. */
async function inTurn<Outcome>(
  context: FlowContext,
  { tenantId, userId, roleId, by }: RoleOfMember,
  change: (transaction: Transaction, role: RoleNode) => Promise<Outcome>,
): Promise<Outcome> {
  try {
    return await context.database.tenant(tenantId).transaction((transaction) =>
      keepAdministrator(transaction, tenantId, async () => {
        if (!(await lockMember(transaction, { tenantId, userId }))) throw new Refusal({ outcome: 'unknown_user' });
        const graph = await readRoleGraph(transaction, tenantId);
        const role = graph.get(roleId);
        if (role === undefined) throw new Refusal({ outcome: 'unknown_role' });
        const permissions = beyond(by, permissionsThrough(graph, roleId));
        if (permissions.length > 0) throw new Refusal<BeyondYourOwn>({ outcome: 'beyond_your_own', permissions });
        return change(transaction, role);
      }),
    );
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    throw fault;
  }
}

async function tell(
  { database, actor, origin, clock }: FlowContext,
  transaction: Transaction,
  {
    tenantId,
    userId,
    roleId,
    name,
    type,
    until,
  }: RoleOfMember & {
    readonly name: string;
    readonly type: EventType;
    readonly until: { readonly expires_at?: string };
  },
): Promise<void> {
  const event: NewEvent = {
    type,
    outcome: 'success',
    actor,
    target: { type: 'user', id: userId },
    data: { roles: [name], role_id: roleId, ...until },
  };
  await appendEvent(transaction, { tenant: database.tenant(tenantId), event, origin, now: clock() });
}

/** Nobody but an operator, or the house itself, acts without having said by which rights. */
export function grantorOf({ actor }: Pick<FlowContext, 'actor'>): Grantor {
  return actor.type === 'operator' || actor.type === 'system' ? 'operator' : new Set();
}

/** What of these the caller may not give. */
export function beyond(by: Grantor, permissions: Iterable<string>): readonly string[] {
  return by === 'operator' ? [] : permissionsBeyond(by, permissions);
}

/**
 * For whoever gives roles by name, with an invitation or a new member: what of all that these roles can ever give the caller may not.
 * Empty when they may give them all; a name that is no role gives nothing.
 */
export async function rolesBeyond(
  transaction: Transaction,
  { tenantId, names, by }: { readonly tenantId: TenantId; readonly names: readonly string[]; readonly by: Grantor },
): Promise<readonly string[]> {
  const graph = await readRoleGraph(transaction, tenantId);
  const given = [...graph.values()].filter(({ name }) => names.includes(name));
  return beyond(
    by,
    permissionsOf(
      graph,
      given.map(({ id }) => id),
    ),
  );
}

/**
 * What somebody may do, or could as soon as a role of theirs is switched on again, that the caller may not: whoever has more than the
 * caller is not theirs to disable, remove, sign out or change. Empty when the caller may act on them.
 */
export async function memberBeyond(
  transaction: Transaction,
  { tenantId, userId, by, now }: Omit<RoleOfMember, 'roleId'> & { readonly now: Date },
): Promise<readonly string[]> {
  const graph = await readRoleGraph(transaction, tenantId);
  const held = await listHeldRoles(transaction, { tenantId, userId });
  const living = held.filter(({ expiresAt }) => expiresAt === undefined || expiresAt.getTime() > now.getTime());
  return beyond(
    by,
    permissionsOf(
      graph,
      living.map(({ roleId }) => roleId),
    ),
  );
}

function permissionsOf(graph: RoleGraph, roleIds: readonly string[]): ReadonlySet<string> {
  return new Set(roleIds.flatMap((id) => [...permissionsThrough(graph, id)]));
}
