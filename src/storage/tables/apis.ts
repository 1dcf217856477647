/** The table `apis`: resource servers (RFC 8707) with their audience, scopes and token format. */
import type { TenantId } from '#src/domain/tenant.ts';
import type { Transaction } from '../database.ts';

export interface ApiScope {
  readonly name: string;
  readonly description: string;
}

export interface ApiRow {
  readonly audience: string;
  readonly token_format: 'jwt' | 'opaque';
  readonly signing_alg: 'ES256' | 'RS256' | 'EdDSA';
  readonly scopes: readonly ApiScope[];
}

/** False when the audience is registered already. */
export async function insertApi(
  transaction: Transaction,
  api: {
    tenantId: TenantId;
    audience: string;
    tokenFormat: ApiRow['token_format'];
    signingAlg: ApiRow['signing_alg'];
    scopes: readonly ApiScope[];
    now: Date;
  },
): Promise<boolean> {
  const rows = await transaction.query(
    `insert into apis (tenant_id, audience, token_format, signing_alg, scopes, created_at)
     values ($1, $2, $3, $4, $5, $6) on conflict do nothing returning audience`,
    [api.tenantId, api.audience, api.tokenFormat, api.signingAlg, JSON.stringify(api.scopes), api.now],
  );
  return rows.length === 1;
}

export interface ApiListRow extends ApiRow {
  readonly status: 'active' | 'disabled';
}

export async function listApis(transaction: Transaction, tenantId: TenantId): Promise<readonly ApiListRow[]> {
  return transaction.query<ApiListRow>(
    'select audience, token_format, signing_alg, scopes, status from apis where tenant_id = $1 order by audience limit 1000',
    [tenantId],
  );
}

/** False when the API is not there or had that status already. */
export async function updateApiStatus(
  transaction: Transaction,
  change: { tenantId: TenantId; audience: string; status: ApiListRow['status'] },
): Promise<boolean> {
  const rows = await transaction.query(
    'update apis set status = $3 where tenant_id = $1 and audience = $2 and status <> $3 returning audience',
    [change.tenantId, change.audience, change.status],
  );
  return rows.length === 1;
}

/** The algorithms that the tenant's active APIs have their tokens signed with. */
export async function listApiAlgorithms(
  transaction: Transaction,
  tenantId: TenantId,
): Promise<readonly ApiRow['signing_alg'][]> {
  const rows = await transaction.query<Pick<ApiRow, 'signing_alg'>>(
    `select distinct signing_alg from apis where tenant_id = $1 and status = 'active' order by signing_alg`,
    [tenantId],
  );
  return rows.map((row) => row.signing_alg);
}
