/** Roles as the command line reads and makes them: rows of one tenant, in one transaction with their event. */
import { type PlannedRole, planRole, type RoleField, type RoleRequest } from '#src/domain/role.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { FlowContext } from '#src/flows/flow_context.ts';
import { uuidv7 } from '#src/foundation/identifiers.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { insertRole } from '#src/storage/tables/roles.ts';

export interface RoleRow {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly permissions: readonly string[];
  readonly inherits: string | null;
  readonly built_in: boolean;
}

export type CreateRoleOutcome =
  | { readonly outcome: 'created'; readonly role: PlannedRole }
  | {
      readonly outcome: 'refused';
      readonly problems: readonly { readonly field: RoleField; readonly problem: string }[];
    }
  | { readonly outcome: 'taken' }
  | { readonly outcome: 'unknown_inherited' };

export async function listRoles({ database }: FlowContext, tenantId: TenantId): Promise<readonly RoleRow[]> {
  return database.tenant(tenantId).transaction((transaction) =>
    transaction.query<RoleRow>(
      `select r.id, r.name, r.description, r.permissions, i.name as inherits, r.built_in
         from roles r left join roles i on i.tenant_id = r.tenant_id and i.id = r.inherits
        where r.tenant_id = $1 order by r.built_in desc, r.name limit 1000`,
      [tenantId],
    ),
  );
}

/** A new role can close no circle: nothing inherits from it yet. */
export async function createRole(
  context: FlowContext,
  { tenantId, role: request }: { readonly tenantId: TenantId; readonly role: RoleRequest },
): Promise<CreateRoleOutcome> {
  const plan = planRole(request);
  if (plan.outcome === 'refused') return plan;
  const { role } = plan;
  const inherited = (await listRoles(context, tenantId)).find((other) => other.name === role.inherits);
  if (role.inherits !== undefined && inherited === undefined) return { outcome: 'unknown_inherited' };

  const now = context.clock();
  const tenant = context.database.tenant(tenantId);
  const id = uuidv7(now);
  return tenant.transaction(async (transaction) => {
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
