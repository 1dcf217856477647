/**
 * What a tenant says of its permissions: those that Poort itself asks for, those that its roles list, and those it has described or
 * switched off. A permission that is switched off nobody has, whatever their roles list, until it is switched on again.
 */
import type { NewEvent } from '#src/domain/event.ts';
import { isManagementPermission, isPermission, isRoleDescription, MANAGEMENT_PERMISSIONS } from '#src/domain/role.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import {
  deletePermission,
  insertPermission,
  listPermissions,
  lockPermission,
  type PermissionRow,
  updatePermission,
} from '#src/storage/tables/permissions.ts';
import { readRoleGraph } from '#src/storage/tables/roles.ts';
import { type FlowContext, Refusal } from '../flow_context.ts';
import { type BeyondYourOwn, beyond, type Grantor } from './assign_roles.ts';

/** One permission of a tenant. */
export interface TenantPermission {
  /** `resource:action`. */
  readonly name: string;
  readonly description: string;
  readonly isActive: boolean;
  /** Poort itself asks for it; nobody changes it. */
  readonly builtIn: boolean;
  /** The roles that list it themselves. */
  readonly roles: readonly string[];
}

/** Most that a tenant describes: above what anybody could choose from. */
const MAXIMUM_DESCRIBED = 5_000;

/** By name, those after `after`; one more than the limit where there are more. */
export async function listTenantPermissions(
  { database }: Pick<FlowContext, 'database'>,
  {
    tenantId,
    after = '',
    limit,
  }: { readonly tenantId: TenantId; readonly after?: string | undefined; readonly limit: number },
): Promise<readonly TenantPermission[]> {
  const all = await database.tenant(tenantId).transaction((transaction) => allOf(transaction, tenantId));
  return all.filter(({ name }) => name > after).slice(0, limit + 1);
}

/** Undefined for what no role lists and nobody has described. */
export async function showPermission(
  { database }: Pick<FlowContext, 'database'>,
  { tenantId, name }: { readonly tenantId: TenantId; readonly name: string },
): Promise<TenantPermission | undefined> {
  return database.tenant(tenantId).transaction((transaction) => find(transaction, { tenantId, name }));
}

interface OnePermission {
  readonly tenantId: TenantId;
  readonly name: string;
  readonly by: Grantor;
  /** Looks at the permission as it is before the change, and may throw to leave it so. */
  readonly assertUnchanged?: ((permission: TenantPermission) => void) | undefined;
}

export type PermissionOutcome =
  | { readonly outcome: 'created' | 'updated' | 'unchanged'; readonly permission: TenantPermission }
  | { readonly outcome: 'invalid'; readonly field: 'name' | 'description' }
  | { readonly outcome: 'built_in' | 'taken' | 'unknown' }
  | { readonly outcome: 'too_many'; readonly maximum: number }
  | BeyondYourOwn;

/** Says something of a permission of the tenant's own, of which nothing was said yet. It is in no role by that. */
export async function createPermission(
  context: FlowContext,
  {
    tenantId,
    name,
    by,
    description = '',
    isActive = true,
  }: OnePermission & { readonly description?: string | undefined; readonly isActive?: boolean | undefined },
): Promise<PermissionOutcome> {
  if (!isPermission(name)) return { outcome: 'invalid', field: 'name' };
  if (!isRoleDescription(description)) return { outcome: 'invalid', field: 'description' };
  if (isManagementPermission(name)) return { outcome: 'built_in' };
  return within<PermissionOutcome>(context, tenantId, async (transaction) => {
    const permissions = beyond(by, [name]);
    if (permissions.length > 0) return { outcome: 'beyond_your_own', permissions };
    const described = await listPermissions(transaction, { tenantId, after: '', limit: MAXIMUM_DESCRIBED });
    if (described.length >= MAXIMUM_DESCRIBED) return { outcome: 'too_many', maximum: MAXIMUM_DESCRIBED };
    const row = { tenantId, name, description, isActive, now: context.clock() };
    if (!(await insertPermission(transaction, row))) return { outcome: 'taken' };
    await tell(context, transaction, { tenantId, name, type: 'permission.created', data: { is_active: isActive } });
    return { outcome: 'created', permission: await mustFind(transaction, { tenantId, name }) };
  });
}

/** Also of a permission that roles list and of which nothing was said yet. */
export async function changePermission(
  context: FlowContext,
  {
    tenantId,
    name,
    by,
    assertUnchanged,
    ...change
  }: OnePermission & { readonly description?: string | undefined; readonly isActive?: boolean | undefined },
): Promise<PermissionOutcome> {
  if (isManagementPermission(name)) return { outcome: 'built_in' };
  if (change.description !== undefined && !isRoleDescription(change.description))
    return { outcome: 'invalid', field: 'description' };
  return within<PermissionOutcome>(context, tenantId, async (transaction) => {
    await lockPermission(transaction, { tenantId, name });
    const before = await find(transaction, { tenantId, name });
    if (before === undefined) return { outcome: 'unknown' };
    assertUnchanged?.(before);
    const permissions = beyond(by, [name]);
    if (permissions.length > 0) return { outcome: 'beyond_your_own', permissions };
    const description = change.description ?? before.description;
    const isActive = change.isActive ?? before.isActive;
    if (description === before.description && isActive === before.isActive)
      return { outcome: 'unchanged', permission: before };
    const row = { tenantId, name, description, isActive, now: context.clock() };
    if (!(await insertPermission(transaction, row))) await updatePermission(transaction, row);
    await tell(context, transaction, { tenantId, name, type: 'permission.changed', data: { is_active: isActive } });
    return { outcome: 'updated', permission: { ...before, description, isActive } };
  });
}

/** `in_use`: these roles list it. */
export type DeletePermissionOutcome =
  | { readonly outcome: 'deleted' }
  | { readonly outcome: 'built_in' | 'unknown' }
  | { readonly outcome: 'in_use'; readonly roles: readonly string[] }
  | BeyondYourOwn;

/** What was said of it. As long as a role lists it, it is one of the tenant's permissions. */
export async function forgetPermission(
  context: FlowContext,
  { tenantId, name, by, assertUnchanged }: OnePermission,
): Promise<DeletePermissionOutcome> {
  if (isManagementPermission(name)) return { outcome: 'built_in' };
  return within<DeletePermissionOutcome>(context, tenantId, async (transaction) => {
    await lockPermission(transaction, { tenantId, name });
    const before = await find(transaction, { tenantId, name });
    if (before === undefined) return { outcome: 'unknown' };
    assertUnchanged?.(before);
    const permissions = beyond(by, [name]);
    if (permissions.length > 0) return { outcome: 'beyond_your_own', permissions };
    if (before.roles.length > 0) return { outcome: 'in_use', roles: before.roles };
    await deletePermission(transaction, { tenantId, name });
    await tell(context, transaction, { tenantId, name, type: 'permission.deleted', data: {} });
    return { outcome: 'deleted' };
  });
}

async function within<Outcome>(
  { database }: FlowContext,
  tenantId: TenantId,
  change: (transaction: Transaction) => Promise<Outcome>,
): Promise<Outcome> {
  try {
    return await database.tenant(tenantId).transaction(change);
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    throw fault;
  }
}

async function allOf(transaction: Transaction, tenantId: TenantId): Promise<readonly TenantPermission[]> {
  const described = await listPermissions(transaction, { tenantId, after: '', limit: MAXIMUM_DESCRIBED });
  const said = new Map<string, PermissionRow>(described.map((row) => [row.name, row]));
  const listedBy = new Map<string, string[]>();
  for (const role of (await readRoleGraph(transaction, tenantId)).values())
    for (const name of role.permissions) listedBy.set(name, [...(listedBy.get(name) ?? []), role.name]);
  const names = new Set([...MANAGEMENT_PERMISSIONS, ...said.keys(), ...listedBy.keys()]);
  return [...names].sort().map((name) => ({
    name,
    description: said.get(name)?.description ?? '',
    isActive: said.get(name)?.is_active ?? true,
    builtIn: isManagementPermission(name),
    roles: (listedBy.get(name) ?? []).sort(),
  }));
}

async function find(
  transaction: Transaction,
  { tenantId, name }: { readonly tenantId: TenantId; readonly name: string },
): Promise<TenantPermission | undefined> {
  return (await allOf(transaction, tenantId)).find((permission) => permission.name === name);
}

async function mustFind(
  transaction: Transaction,
  permission: { readonly tenantId: TenantId; readonly name: string },
): Promise<TenantPermission> {
  const found = await find(transaction, permission);
  if (found === undefined) throw new Error('a permission that was just written is not there');
  return found;
}

async function tell(
  { database, actor, origin, clock }: FlowContext,
  transaction: Transaction,
  {
    tenantId,
    name,
    type,
    data,
  }: { readonly tenantId: TenantId; readonly name: string } & Pick<NewEvent, 'type' | 'data'>,
): Promise<void> {
  const event: NewEvent = { type, outcome: 'success', actor, target: { type: 'permission', id: name }, data };
  await appendEvent(transaction, { tenant: database.tenant(tenantId), event, origin, now: clock() });
}
