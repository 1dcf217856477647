/** How a tenant looks: the column `tenants.brand`, and the table `tenant_logos` with the picture. */
import type { TenantId } from '#src/domain/tenant.ts';
import type { TenantDatabase, Transaction } from '../database.ts';

export interface LogoRow {
  readonly version: string;
  readonly media_type: string;
  readonly body: Buffer;
}

const read = { name: 'tenant_logo_read', text: 'select * from tenant_logo_read($1)' } as const;

export async function readLogo(tenant: TenantDatabase): Promise<LogoRow | undefined> {
  return (await tenant.read<LogoRow>(read, []))[0];
}

/** What is stored now, and nobody else changes it before this transaction ends. */
export async function lockBrand(transaction: Transaction, id: TenantId): Promise<unknown> {
  const rows = await transaction.query<{ brand: unknown }>(
    'select brand from tenants where id = $1 for no key update',
    [id],
  );
  return rows[0]?.brand;
}

export async function updateBrand(
  transaction: Transaction,
  { id, brand, now }: { readonly id: TenantId; readonly brand: object; readonly now: Date },
): Promise<void> {
  const text = 'update tenants set brand = $2, updated_at = $3 where id = $1';
  await transaction.query(text, [id, JSON.stringify(brand), now]);
}

export async function putLogo(
  transaction: Transaction,
  { id, logo, now }: { readonly id: TenantId; readonly logo: LogoRow; readonly now: Date },
): Promise<void> {
  await transaction.query(
    `insert into tenant_logos (tenant_id, version, media_type, body, updated_at) values ($1, $2, $3, $4, $5)
     on conflict (tenant_id) do update
       set version = excluded.version, media_type = excluded.media_type, body = excluded.body, updated_at = excluded.updated_at`,
    [id, logo.version, logo.media_type, logo.body, now],
  );
}

export async function deleteLogo(transaction: Transaction, id: TenantId): Promise<void> {
  await transaction.query('delete from tenant_logos where tenant_id = $1', [id]);
}
