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
