/** The table `authorization_details_types`: what the APIs of a tenant let applications ask people for (RFC 9396). */
import type { AuthorizationDetailsType } from '#src/domain/authorization_details.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { TenantDatabase, Transaction } from '../database.ts';

const read = {
  name: 'authorization_details_types_read',
  text: 'select * from authorization_details_types_read($1)',
} as const;

export async function readDetailsTypes(tenant: TenantDatabase): Promise<readonly AuthorizationDetailsType[]> {
  return tenant.read<AuthorizationDetailsType>(read, []);
}

/** `unknown_api` when the audience is not registered. */
export async function insertDetailsType(
  transaction: Transaction,
  { tenantId, type, now }: { tenantId: TenantId; type: AuthorizationDetailsType; now: Date },
): Promise<'inserted' | 'taken' | 'unknown_api'> {
  const apis = await transaction.query(
    `select audience from apis where tenant_id = $1 and audience = $2 and status = 'active'`,
    [tenantId, type.audience],
  );
  if (apis.length === 0) return 'unknown_api';
  const rows = await transaction.query(
    `insert into authorization_details_types (tenant_id, type, audience, sentence, created_at)
     values ($1, $2, $3, $4, $5) on conflict do nothing returning type`,
    [tenantId, type.type, type.audience, type.sentence, now],
  );
  return rows.length === 1 ? 'inserted' : 'taken';
}
