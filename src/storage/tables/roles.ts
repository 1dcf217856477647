/** The table `roles`: what a tenant's members may be. */
import type { TenantId } from '#src/domain/tenant.ts';
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
}

export async function listRoles(transaction: Transaction, tenantId: TenantId): Promise<readonly RoleRow[]> {
  return transaction.query<RoleRow>(
    `select r.id, r.name, r.description, r.permissions, i.name as inherits, r.built_in
       from roles r left join roles i on i.tenant_id = r.tenant_id and i.id = r.inherits
      where r.tenant_id = $1 order by r.built_in desc, r.name limit 1000`,
    [tenantId],
  );
}

/** Which of these names are roles of this tenant. */
export async function findRoleNames(
  transaction: Transaction,
  { tenantId, names }: { readonly tenantId: TenantId; readonly names: readonly string[] },
): Promise<readonly string[]> {
  const text = 'select name from roles where tenant_id = $1 and name = any($2) order by name limit 1000';
  return (await transaction.query<{ name: string }>(text, [tenantId, names])).map(({ name }) => name);
}
