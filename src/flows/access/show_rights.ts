/** What a member was given and what follows from it: every permission with the ways by which it comes to them. */
import { effectiveRights, type GrantedPermission } from '#src/domain/role.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Transaction } from '#src/storage/database.ts';
import { listSwitchedOff } from '#src/storage/tables/permissions.ts';
import { listHeldRoles, lockMember, readRoleGraph } from '#src/storage/tables/roles.ts';
import type { FlowContext } from '../flow_context.ts';

export interface Member {
  readonly tenantId: TenantId;
  readonly userId: UserId;
}

/** A role somebody was given. */
export interface AssignedRole {
  readonly id: string;
  readonly name: string;
  readonly expiresAt: Date | undefined;
  /** Neither over nor switched off. */
  readonly isInForce: boolean;
}

export interface RightsOfMember {
  /** By identifier, also those that are over or switched off. */
  readonly assigned: readonly AssignedRole[];
  /** With those that they inherit. */
  readonly roles: readonly string[];
  readonly permissions: readonly GrantedPermission[];
}

/** As their next token would say it, were they let in. Undefined for who is no member of this tenant. */
export function showRights(
  { database, clock }: Pick<FlowContext, 'database' | 'clock'>,
  member: Member,
): Promise<RightsOfMember | undefined> {
  return database
    .tenant(member.tenantId)
    .transaction((transaction) => rightsWithin(transaction, { ...member, now: clock() }));
}

async function rightsWithin(
  transaction: Transaction,
  { now, ...member }: Member & { readonly now: Date },
): Promise<RightsOfMember | undefined> {
  const { tenantId } = member;
  if (!(await lockMember(transaction, member))) return undefined;
  const graph = await readRoleGraph(transaction, tenantId);
  const held = await listHeldRoles(transaction, member);
  const switchedOff = new Set(await listSwitchedOff(transaction, tenantId));
  const assigned = held.map(({ roleId, expiresAt }) => {
    const role = graph.get(roleId);
    const isOver = expiresAt !== undefined && expiresAt.getTime() <= now.getTime();
    return { id: roleId, name: role?.name ?? '', expiresAt, isInForce: role?.isActive === true && !isOver };
  });
  return { assigned, ...effectiveRights(graph, { held, switchedOff, now }) };
}
