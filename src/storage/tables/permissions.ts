/** The table `permissions`: what a tenant says of permissions of its own. One of which nothing is said is in force. */
import type { TenantId } from '#src/domain/tenant.ts';
import type { Transaction } from '../database.ts';

export interface PermissionRow {
  readonly name: string;
  readonly description: string;
  readonly is_active: boolean;
  readonly created_at: Date;
}

const columns = 'name, description, is_active, created_at';

/** False when there is one already. */
export async function insertPermission(
  transaction: Transaction,
  permission: {
    readonly tenantId: TenantId;
    readonly name: string;
    readonly description: string;
    readonly isActive: boolean;
    readonly now: Date;
  },
): Promise<boolean> {
  const { tenantId, name, description, isActive, now } = permission;
  const rows = await transaction.query(
    `insert into permissions (tenant_id, name, description, is_active, created_at) values ($1, $2, $3, $4, $5)
     on conflict do nothing returning name`,
    [tenantId, name, description, isActive, now],
  );
  return rows.length === 1;
}

/** By name, after `after`. */
export async function listPermissions(
  transaction: Transaction,
  { tenantId, after, limit }: { readonly tenantId: TenantId; readonly after: string; readonly limit: number },
): Promise<readonly PermissionRow[]> {
  const text = `select ${columns} from permissions where tenant_id = $1 and name > $2 order by name limit $3`;
  return transaction.query<PermissionRow>(text, [tenantId, after, limit]);
}

/** Those that nobody has for the time being. */
export async function listSwitchedOff(transaction: Transaction, tenantId: TenantId): Promise<readonly string[]> {
  const text = 'select name from permissions where tenant_id = $1 and not is_active order by name limit 10000';
  return (await transaction.query<{ name: string }>(text, [tenantId])).map(({ name }) => name);
}

/** Nobody else changes it before this transaction is over. Undefined when nothing is said of it. */
export async function lockPermission(
  transaction: Transaction,
  { tenantId, name }: { readonly tenantId: TenantId; readonly name: string },
): Promise<PermissionRow | undefined> {
  const text = `select ${columns} from permissions where tenant_id = $1 and name = $2 for update`;
  return (await transaction.query<PermissionRow>(text, [tenantId, name]))[0];
}

export async function updatePermission(
  transaction: Transaction,
  permission: {
    readonly tenantId: TenantId;
    readonly name: string;
    readonly description: string;
    readonly isActive: boolean;
  },
): Promise<void> {
  const { tenantId, name, description, isActive } = permission;
  const text = 'update permissions set description = $3, is_active = $4 where tenant_id = $1 and name = $2';
  await transaction.query(text, [tenantId, name, description, isActive]);
}

export async function deletePermission(
  transaction: Transaction,
  { tenantId, name }: { readonly tenantId: TenantId; readonly name: string },
): Promise<void> {
  await transaction.query('delete from permissions where tenant_id = $1 and name = $2', [tenantId, name]);
}
