/** The tables `roles` and `membership_roles`: what a tenant's members may be, and who is. */
import { type HeldRole, type RoleGraph, roleGraph } from '#src/domain/role.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Transaction } from '../database.ts';

export interface NewRole {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly permissions: readonly string[];
  readonly inherits: string | undefined;
  readonly builtIn: boolean;
}

/** False when the name is taken. */
export async function insertRole(
  transaction: Transaction,
  { tenantId, role, now }: { tenantId: TenantId; role: NewRole; now: Date },
): Promise<boolean> {
  const rows = await transaction.query(
    `insert into roles (tenant_id, id, name, description, permissions, inherits, built_in, created_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing returning id`,
    [tenantId, role.id, role.name, role.description, role.permissions, role.inherits ?? null, role.builtIn, now],
  );
  return rows.length === 1;
}

export interface RoleRow {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly permissions: readonly string[];
  /** The name of the role whose permissions it has too. */
  readonly inherits: string | null;
  readonly built_in: boolean;
  /** Switched off, it gives nothing to whoever has it. */
  readonly is_active: boolean;
}

const columns = 'r.id, r.name, r.description, r.permissions, i.name as inherits, r.built_in, r.is_active';

export async function listRoles(transaction: Transaction, tenantId: TenantId): Promise<readonly RoleRow[]> {
  return transaction.query<RoleRow>(
    `select ${columns}
       from roles r left join roles i on i.tenant_id = r.tenant_id and i.id = r.inherits
      where r.tenant_id = $1 order by r.built_in desc, r.name limit 1000`,
    [tenantId],
  );
}

/** In the order of their identifiers, after `after`; one more than the limit where there are more. */
export async function listRolesAfter(
  transaction: Transaction,
  {
    tenantId,
    after,
    limit,
  }: { readonly tenantId: TenantId; readonly after: string | undefined; readonly limit: number },
): Promise<readonly RoleRow[]> {
  return transaction.query<RoleRow>(
    `select ${columns}
       from roles r left join roles i on i.tenant_id = r.tenant_id and i.id = r.inherits
      where r.tenant_id = $1 and ($2::uuid is null or r.id > $2) order by r.id limit $3`,
    [tenantId, after ?? null, limit + 1],
  );
}

interface OneRole {
  readonly tenantId: TenantId;
  readonly id: string;
}

/** Undefined where the tenant has no such role. */
export async function findRole(transaction: Transaction, { tenantId, id }: OneRole): Promise<RoleRow | undefined> {
  const rows = await transaction.query<RoleRow>(
    `select ${columns}
       from roles r left join roles i on i.tenant_id = r.tenant_id and i.id = r.inherits
      where r.tenant_id = $1 and r.id = $2`,
    [tenantId, id],
  );
  return rows[0];
}

/** Everything but its name. */
export async function updateRoleRow(
  transaction: Transaction,
  {
    tenantId,
    role,
  }: { readonly tenantId: TenantId; readonly role: Omit<NewRole, 'builtIn' | 'name'> & { readonly isActive: boolean } },
): Promise<void> {
  await transaction.query(
    'update roles set description = $3, permissions = $4, inherits = $5, is_active = $6 where tenant_id = $1 and id = $2',
    [tenantId, role.id, role.description, role.permissions, role.inherits ?? null, role.isActive],
  );
}

/** With everybody's having it. How many had. */
export async function deleteRoleRow(transaction: Transaction, { tenantId, id }: OneRole): Promise<number> {
  const held = 'delete from membership_roles where tenant_id = $1 and role_id = $2 returning user_id';
  const holders = await transaction.query(held, [tenantId, id]);
  await transaction.query('delete from roles where tenant_id = $1 and id = $2', [tenantId, id]);
  return holders.length;
}

/** Which of these names are roles of this tenant. */
export async function findRoleNames(
  transaction: Transaction,
  { tenantId, names }: { readonly tenantId: TenantId; readonly names: readonly string[] },
): Promise<readonly string[]> {
  const text = 'select name from roles where tenant_id = $1 and name = any($2) order by name limit 1000';
  return (await transaction.query<{ name: string }>(text, [tenantId, names])).map(({ name }) => name);
}

/** More than a tenant can have (domain/role.ts): what is worked out from a part of them would let through what it must not. */
const maximumRead = 10_000;

/** All roles of a tenant, to work out what each gives. */
export async function readRoleGraph(transaction: Transaction, tenantId: TenantId): Promise<RoleGraph> {
  const rows = await transaction.query<{
    id: string;
    name: string;
    permissions: readonly string[];
    inherits: string | null;
    isActive: boolean;
  }>(
    `select id, name, permissions, inherits, is_active as "isActive" from roles where tenant_id = $1 order by id limit ${maximumRead}`,
    [tenantId],
  );
  if (rows.length === maximumRead) throw new Error('a tenant has more roles than can be read');
  return roleGraph(rows.map((row) => ({ ...row, inherits: row.inherits ?? undefined })));
}

interface Member {
  readonly tenantId: TenantId;
  readonly userId: UserId;
}

/** Whether somebody is a member; nobody removes them before this transaction is over. */
export async function lockMember(transaction: Transaction, { tenantId, userId }: Member): Promise<boolean> {
  const text = 'select user_id from memberships where tenant_id = $1 and user_id = $2 for key share';
  return (await transaction.query(text, [tenantId, userId])).length === 1;
}

/** The roles somebody was given, also those that are over. */
export async function listHeldRoles(
  transaction: Transaction,
  { tenantId, userId }: Member,
): Promise<readonly HeldRole[]> {
  const rows = await transaction.query<{ roleId: string; expiresAt: Date | null }>(
    `select role_id as "roleId", expires_at as "expiresAt" from membership_roles
      where tenant_id = $1 and user_id = $2 order by role_id limit 1000`,
    [tenantId, userId],
  );
  return rows.map((row) => ({ ...row, expiresAt: row.expiresAt ?? undefined }));
}

/** Gives a role, or gives it another end. False when it was so already. */
export async function upsertHeldRole(
  transaction: Transaction,
  { tenantId, userId, roleId, expiresAt }: Member & HeldRole,
): Promise<boolean> {
  const rows = await transaction.query(
    `insert into membership_roles as held (tenant_id, user_id, role_id, expires_at) values ($1, $2, $3, $4)
     on conflict (tenant_id, user_id, role_id) do update set expires_at = excluded.expires_at
       where held.expires_at is distinct from excluded.expires_at
     returning role_id`,
    [tenantId, userId, roleId, expiresAt ?? null],
  );
  return rows.length === 1;
}

/** False when they did not have it. */
export async function deleteHeldRole(
  transaction: Transaction,
  { tenantId, userId, roleId }: Member & { readonly roleId: string },
): Promise<boolean> {
  const text = 'delete from membership_roles where tenant_id = $1 and user_id = $2 and role_id = $3 returning role_id';
  return (await transaction.query(text, [tenantId, userId, roleId])).length === 1;
}

/** Undefined when the tenant has no role of that name. */
export async function findRoleId(
  transaction: Transaction,
  { tenantId, name }: { readonly tenantId: TenantId; readonly name: string },
): Promise<string | undefined> {
  const text = 'select id from roles where tenant_id = $1 and name = $2';
  return (await transaction.query<{ id: string }>(text, [tenantId, name]))[0]?.id;
}
