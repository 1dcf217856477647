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

export interface ApiEntryRow extends ApiListRow {
  readonly created_at: Date;
}

/** Where a list goes on. */
export interface ApiPlace {
  readonly createdAt: Date;
  readonly audience: string;
}

const entryColumns = 'audience, token_format, signing_alg, scopes, status, created_at';

/** In the order in which they were made; one more than the limit where there are more. */
export async function listApisAfter(
  transaction: Transaction,
  {
    tenantId,
    status,
    after,
    limit,
  }: {
    readonly tenantId: TenantId;
    readonly status: ApiListRow['status'] | undefined;
    readonly after: ApiPlace | undefined;
    readonly limit: number;
  },
): Promise<readonly ApiEntryRow[]> {
  return transaction.query<ApiEntryRow>(
    `select ${entryColumns} from apis
      where tenant_id = $1 and created_at >= $2 and (created_at > $2 or audience > $3) and ($4::text is null or status = $4)
      order by created_at, audience limit $5`,
    [tenantId, after?.createdAt ?? new Date(0), after?.audience ?? '', status ?? null, limit + 1],
  );
}

interface OneApi {
  readonly tenantId: TenantId;
  readonly audience: string;
}

export async function readApi(
  transaction: Transaction,
  { tenantId, audience }: OneApi,
): Promise<ApiEntryRow | undefined> {
  const text = `select ${entryColumns} from apis where tenant_id = $1 and audience = $2`;
  return (await transaction.query<ApiEntryRow>(text, [tenantId, audience]))[0];
}

/** Nobody else changes it before this transaction ends. */
export async function lockApi(
  transaction: Transaction,
  { tenantId, audience }: OneApi,
): Promise<ApiEntryRow | undefined> {
  const text = `select ${entryColumns} from apis where tenant_id = $1 and audience = $2 for update`;
  return (await transaction.query<ApiEntryRow>(text, [tenantId, audience]))[0];
}

export async function updateApiRow(
  transaction: Transaction,
  api: OneApi & {
    tokenFormat: ApiRow['token_format'];
    signingAlg: ApiRow['signing_alg'];
    scopes: readonly ApiScope[];
    status: ApiListRow['status'];
  },
): Promise<void> {
  await transaction.query(
    `update apis set token_format = $3, signing_alg = $4, scopes = $5, status = $6 where tenant_id = $1 and audience = $2`,
    [api.tenantId, api.audience, api.tokenFormat, api.signingAlg, JSON.stringify(api.scopes), api.status],
  );
}

/** What it let applications ask people for goes with it. */
export async function deleteApiRow(transaction: Transaction, { tenantId, audience }: OneApi): Promise<void> {
  await transaction.query('delete from apis where tenant_id = $1 and audience = $2', [tenantId, audience]);
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
