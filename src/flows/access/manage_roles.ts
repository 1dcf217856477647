/** The roles of a tenant beyond the built-in ones. */
import { type PlannedRole, planRole, type RoleField, type RoleRequest } from '#src/domain/role.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { uuidv7 } from '#src/foundation/identifiers.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { insertRole, listRoles } from '#src/storage/tables/roles.ts';
import type { FlowContext } from '../flow_context.ts';

export type CreateRoleOutcome =
  | { readonly outcome: 'created'; readonly role: PlannedRole }
  | {
      readonly outcome: 'refused';
      readonly problems: readonly { readonly field: RoleField; readonly problem: string }[];
    }
  | { readonly outcome: 'taken' }
  | { readonly outcome: 'unknown_inherited' };

/** A new role can close no circle: nothing inherits from it yet. */
export async function createRole(
  context: FlowContext,
  { tenantId, role: request }: { readonly tenantId: TenantId; readonly role: RoleRequest },
): Promise<CreateRoleOutcome> {
  const plan = planRole(request);
  if (plan.outcome === 'refused') return plan;
  const { role } = plan;
  const now = context.clock();
  const tenant = context.database.tenant(tenantId);
  const id = uuidv7(now);
  return tenant.transaction(async (transaction) => {
    const inherited = (await listRoles(transaction, tenantId)).find((other) => other.name === role.inherits);
    if (role.inherits !== undefined && inherited === undefined) return { outcome: 'unknown_inherited' };
    const row = { ...role, id, inherits: inherited?.id, builtIn: false };
    if (!(await insertRole(transaction, { tenantId, role: row, now }))) return { outcome: 'taken' };
    const event = {
      type: 'role.created',
      outcome: 'success',
      actor: context.actor,
      target: { type: 'role', id },
      data: { name: role.name },
    } as const;
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    return { outcome: 'created', role };
  });
}
