/** The table `operators`: members of a tenant who may act on every tenant of the installation. */
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Database, Transaction } from '../database.ts';

interface Operator {
  readonly tenantId: TenantId;
  readonly userId: UserId;
}

export interface OperatorRow {
  readonly user_id: UserId;
  readonly email: string;
  readonly created_at: Date;
}

/** False for who is one already. */
export async function insertOperator(
  transaction: Transaction,
  { tenantId, userId, now }: Operator & { readonly now: Date },
): Promise<boolean> {
  const rows = await transaction.query(
    'insert into operators (tenant_id, user_id, created_at) values ($1, $2, $3) on conflict do nothing returning user_id',
    [tenantId, userId, now],
  );
  return rows.length === 1;
}

/** False for who was none. */
export async function deleteOperator(transaction: Transaction, { tenantId, userId }: Operator): Promise<boolean> {
  const text = 'delete from operators where tenant_id = $1 and user_id = $2 returning user_id';
  return (await transaction.query(text, [tenantId, userId])).length === 1;
}

export async function listOperatorsOf(transaction: Transaction, tenantId: TenantId): Promise<readonly OperatorRow[]> {
  return transaction.query<OperatorRow>(
    `select o.user_id, u.email::text as email, o.created_at from operators o join users u on u.id = o.user_id
      where o.tenant_id = $1 order by o.created_at, o.user_id limit 1000`,
    [tenantId],
  );
}

export async function hasOperators(transaction: Transaction, tenantId: TenantId): Promise<boolean> {
  return (await transaction.query('select from operators where tenant_id = $1 limit 1', [tenantId])).length === 1;
}

export async function isOperator(transaction: Transaction, { tenantId, userId }: Operator): Promise<boolean> {
  const text = 'select from operators where tenant_id = $1 and user_id = $2';
  return (await transaction.query(text, [tenantId, userId])).length === 1;
}

/** Tenants with operators among their members. */
export async function listTenantsOfOperators(database: Database): Promise<readonly TenantId[]> {
  return (await database.platform.query<{ id: TenantId }>('select tenants_of_operators() as id')).map(({ id }) => id);
}
