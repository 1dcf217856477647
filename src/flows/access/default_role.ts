/**
 * The role of whoever lets themselves in (`people.default_role`). Anybody may do that, so it never manages anything: a role that has come to
 * do so, and one that is not there, is not given, whatever the setting says.
 */
import { isManagementPermission, permissionsThrough } from '#src/domain/role.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { Transaction } from '#src/storage/database.ts';
import { readRoleGraph } from '#src/storage/tables/roles.ts';
import { beyond, type Grantor } from './assign_roles.ts';

/** The roles to give to a new member: that one, or none. An empty name is none. */
export async function defaultRoles(
  transaction: Transaction,
  { tenantId, name }: { readonly tenantId: TenantId; readonly name: string },
): Promise<readonly string[]> {
  const fault = await faultOfDefaultRole(transaction, { tenantId, name, by: 'operator' });
  return name === '' || fault !== undefined ? [] : [name];
}

/** Why this cannot be the default role of the tenant, when `by` says so; undefined when it can. */
export async function faultOfDefaultRole(
  transaction: Transaction,
  { tenantId, name, by }: { readonly tenantId: TenantId; readonly name: string; readonly by: Grantor },
): Promise<'unknown_role' | 'manages_the_tenant' | 'beyond_your_own' | undefined> {
  if (name === '') return undefined;
  const graph = await readRoleGraph(transaction, tenantId);
  const role = [...graph.values()].find((one) => one.name === name);
  if (role === undefined) return 'unknown_role';
  const given = permissionsThrough(graph, role.id);
  if ([...given].some(isManagementPermission)) return 'manages_the_tenant';
  return beyond(by, given).length > 0 ? 'beyond_your_own' : undefined;
}
