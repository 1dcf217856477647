/**
 * The roles of a tenant beyond the built-in ones. Whoever makes or changes one may give all that it gives, before and after: otherwise
 * writing a role would be a way to get what one does not hold (docs/decisions/0040). A role keeps its name: tokens, settings and
 * invitations know it by that.
 */
import type { NewEvent } from '#src/domain/event.ts';
import {
  closesCircle,
  isTooDeep,
  MAXIMUM_ROLES,
  type PlannedRole,
  permissionsThrough,
  planRole,
  type RoleField,
  type RoleGraph,
  type RoleRequest,
} from '#src/domain/role.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { uuidv7 } from '#src/foundation/identifiers.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import {
  deleteRoleRow,
  findRole,
  insertRole,
  listRolesAfter,
  type RoleRow,
  readRoleGraph,
  updateRoleRow,
} from '#src/storage/tables/roles.ts';
import { type FlowContext, Refusal } from '../flow_context.ts';
import { type BeyondYourOwn, beyond, type Grantor, grantorOf } from './assign_roles.ts';
import { keepAdministrator, type LastAdministrator } from './last_administrator.ts';

/** What a role cannot be, whoever asks. */
export type RoleRefusal =
  | {
      readonly outcome: 'refused';
      readonly problems: readonly { readonly field: RoleField; readonly problem: string }[];
    }
  | { readonly outcome: 'unknown_inherited' }
  /** It would inherit through more roles than anybody could follow. */
  | { readonly outcome: 'too_deep' }
  | BeyondYourOwn;

export type CreateRoleOutcome =
  | { readonly outcome: 'created'; readonly id: string; readonly role: PlannedRole; readonly row: RoleRow }
  | RoleRefusal
  | { readonly outcome: 'taken' }
  | { readonly outcome: 'too_many'; readonly maximum: number };

interface RoleWish {
  readonly tenantId: TenantId;
  /** An operator's or a job's when there is none and such a one asks; anybody else may then give nothing. */
  readonly by?: Grantor | undefined;
}

/** A new role can close no circle: nothing inherits from it yet. */
export async function createRole(
  context: FlowContext,
  { tenantId, role: request, by }: RoleWish & { readonly role: RoleRequest },
): Promise<CreateRoleOutcome> {
  const plan = planRole(request);
  if (plan.outcome === 'refused') return plan;
  const { role } = plan;
  const now = context.clock();
  const id = uuidv7(now);
  return inTurn<CreateRoleOutcome>(context, tenantId, async (transaction, graph) => {
    if (graph.size >= MAXIMUM_ROLES) return { outcome: 'too_many', maximum: MAXIMUM_ROLES };
    const inherits = role.inherits === undefined ? undefined : idOf(graph, role.inherits);
    if (role.inherits !== undefined && inherits === undefined) return { outcome: 'unknown_inherited' };
    const after = withRole(graph, { id, ...role, inherits, isActive: true });
    refuseWhatExceeds(after, { id, before: new Set(), by: by ?? grantorOf(context) });
    const row = { ...role, id, inherits, builtIn: false };
    if (!(await insertRole(transaction, { tenantId, role: row, now }))) return { outcome: 'taken' };
    const { name, permissions } = role;
    const data = { name, permissions, ...(role.inherits === undefined ? {} : { inherits: role.inherits }) };
    await tell(context, transaction, { tenantId, id, type: 'role.created', data });
    return { outcome: 'created', id, role, row: await mustFind(transaction, { tenantId, id }) };
  });
}

/** What to change; the rest stays. `null` takes the inherited role away. */
export interface RoleChange {
  readonly description?: string | undefined;
  readonly permissions?: readonly string[] | undefined;
  readonly inherits?: string | null | undefined;
  readonly isActive?: boolean | undefined;
}

interface OneRole extends RoleWish {
  readonly id: string;
  /** Looks at the role as it is before the change, and may throw to leave it so. */
  readonly assertUnchanged?: ((role: RoleRow) => void) | undefined;
}

export type UpdateRoleOutcome =
  | { readonly outcome: 'updated' | 'unchanged'; readonly row: RoleRow }
  | RoleRefusal
  /** Every tenant has it, and none changes it. */
  | { readonly outcome: 'built_in' }
  /** It would inherit from itself. */
  | { readonly outcome: 'circle' }
  | { readonly outcome: 'unknown' }
  | LastAdministrator;

/** Counts for everybody who has the role from the next look on. */
export async function updateRole(
  context: FlowContext,
  { tenantId, id, change, by, assertUnchanged }: OneRole & { readonly change: RoleChange },
): Promise<UpdateRoleOutcome> {
  return inTurn<UpdateRoleOutcome>(context, tenantId, async (transaction, graph) => {
    const row = await findRole(transaction, { tenantId, id });
    if (row === undefined) return { outcome: 'unknown' };
    assertUnchanged?.(row);
    if (row.built_in) return { outcome: 'built_in' };
    const plan = planRole(wishOf(row, change));
    if (plan.outcome === 'refused') return plan;
    const { role } = plan;
    const inherits = role.inherits === undefined ? undefined : idOf(graph, role.inherits);
    if (role.inherits !== undefined && inherits === undefined) return { outcome: 'unknown_inherited' };
    if (inherits !== undefined && closesCircle(graph, { id, inherits })) return { outcome: 'circle' };
    const isActive = change.isActive ?? row.is_active;
    const after = withRole(graph, { id, ...role, inherits, isActive });
    refuseWhatExceeds(after, { id, before: permissionsThrough(graph, id), by: by ?? grantorOf(context) });
    const changed = changesOf(row, { ...role, isActive });
    if (Object.keys(changed).length === 0) return { outcome: 'unchanged', row };
    await updateRoleRow(transaction, { tenantId, role: { ...role, id, inherits, isActive } });
    await tell(context, transaction, { tenantId, id, type: 'role.updated', data: { name: row.name, ...changed } });
    return { outcome: 'updated', row: await mustFind(transaction, { tenantId, id }) };
  });
}

export type DeleteRoleOutcome =
  | { readonly outcome: 'deleted' }
  | { readonly outcome: 'built_in' | 'unknown' }
  /** These inherit from it. */
  | { readonly outcome: 'inherited'; readonly by: readonly string[] }
  | BeyondYourOwn
  | LastAdministrator;

/** Whoever had the role has it no more. */
export async function deleteRole(
  context: FlowContext,
  { tenantId, id, by, assertUnchanged }: OneRole,
): Promise<DeleteRoleOutcome> {
  return inTurn<DeleteRoleOutcome>(context, tenantId, async (transaction, graph) => {
    const row = await findRole(transaction, { tenantId, id });
    if (row === undefined) return { outcome: 'unknown' };
    assertUnchanged?.(row);
    if (row.built_in) return { outcome: 'built_in' };
    const permissions = beyond(by ?? grantorOf(context), permissionsThrough(graph, id));
    if (permissions.length > 0) return { outcome: 'beyond_your_own', permissions };
    const heirs = [...graph.values()].filter(({ inherits }) => inherits === id).map(({ name }) => name);
    if (heirs.length > 0) return { outcome: 'inherited', by: heirs.sort() };
    const holders = await deleteRoleRow(transaction, { tenantId, id });
    await tell(context, transaction, { tenantId, id, type: 'role.deleted', data: { name: row.name, holders } });
    return { outcome: 'deleted' };
  });
}

/** Undefined where the tenant has no such role. */
export function showRole(
  { database }: Pick<FlowContext, 'database'>,
  { tenantId, id }: { readonly tenantId: TenantId; readonly id: string },
): Promise<RoleRow | undefined> {
  return database.tenant(tenantId).transaction((transaction) => findRole(transaction, { tenantId, id }));
}

/** In the order of their identifiers; one more than the limit where there are more. */
export function listTenantRoles(
  { database }: Pick<FlowContext, 'database'>,
  part: { readonly tenantId: TenantId; readonly after: string | undefined; readonly limit: number },
): Promise<readonly RoleRow[]> {
  return database.tenant(part.tenantId).transaction((transaction) => listRolesAfter(transaction, part));
}

/** Those who change the roles of a tenant take turns: no two of them make a circle together, or leave nobody to administer it. */
async function inTurn<Outcome>(
  { database }: FlowContext,
  tenantId: TenantId,
  change: (transaction: Transaction, graph: RoleGraph) => Promise<Outcome>,
): Promise<Outcome> {
  try {
    return await database
      .tenant(tenantId)
      .transaction((transaction) =>
        keepAdministrator(transaction, tenantId, async () =>
          change(transaction, await readRoleGraph(transaction, tenantId)),
        ),
      );
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    throw fault;
  }
}

function refuseWhatExceeds(
  after: RoleGraph,
  { id, before, by }: { readonly id: string; readonly before: ReadonlySet<string>; readonly by: Grantor },
): void {
  if (isTooDeep(after)) throw new Refusal<RoleRefusal>({ outcome: 'too_deep' });
  const permissions = beyond(by, [...before, ...permissionsThrough(after, id)]);
  if (permissions.length > 0) throw new Refusal<RoleRefusal>({ outcome: 'beyond_your_own', permissions });
}

function withRole(graph: RoleGraph, role: NonNullable<ReturnType<RoleGraph['get']>>): RoleGraph {
  return new Map([...graph, [role.id, role]]);
}

function idOf(graph: RoleGraph, name: string): string | undefined {
  return [...graph.values()].find((role) => role.name === name)?.id;
}

function wishOf(row: RoleRow, { description, permissions, inherits }: RoleChange): RoleRequest {
  return {
    name: row.name,
    description: description ?? row.description,
    permissions: permissions ?? row.permissions,
    inherits: (inherits === undefined ? row.inherits : inherits) ?? undefined,
  };
}

/** What is other than before, as the event tells it. */
function changesOf(row: RoleRow, role: PlannedRole & { readonly isActive: boolean }): NonNullable<NewEvent['data']> {
  const added = role.permissions.filter((permission) => !row.permissions.includes(permission));
  const removed = row.permissions.filter((permission) => !role.permissions.includes(permission));
  return {
    ...(role.description === row.description ? {} : { description: role.description }),
    ...(added.length === 0 ? {} : { added }),
    ...(removed.length === 0 ? {} : { removed }),
    ...((role.inherits ?? null) === row.inherits ? {} : { inherits: role.inherits ?? '' }),
    ...(role.isActive === row.is_active ? {} : { is_active: role.isActive }),
  };
}

async function mustFind(
  transaction: Transaction,
  role: { readonly tenantId: TenantId; readonly id: string },
): Promise<RoleRow> {
  const row = await findRole(transaction, role);
  if (row === undefined) throw new Error('a role that was just written is not there');
  return row;
}

async function tell(
  { database, actor, origin, clock }: FlowContext,
  transaction: Transaction,
  { tenantId, id, type, data }: { readonly tenantId: TenantId; readonly id: string } & Pick<NewEvent, 'type' | 'data'>,
): Promise<void> {
  const event: NewEvent = { type, outcome: 'success', actor, target: { type: 'role', id }, data };
  await appendEvent(transaction, { tenant: database.tenant(tenantId), event, origin, now: clock() });
}
