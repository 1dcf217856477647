/** The table `tenants`. Found by the platform before any tenant is known; written from inside the tenant itself. */
import type { TenantId } from '#src/domain/tenant.ts';
import type { Database, Transaction } from '../database.ts';

export interface TenantRow {
  readonly id: TenantId;
  readonly slug: string;
  readonly name: string;
  readonly status: 'active' | 'suspended';
  readonly domain: string | null;
  readonly locale: 'nl' | 'en';
  /** What it says differently from the installation; domain/tenant_settings.ts reads it. */
  readonly settings: unknown;
  /** How it looks; domain/brand.ts reads it. */
  readonly brand: unknown;
  readonly created_at: Date;
}

const columns = 'id, slug, name, status, domain, locale, settings, brand, created_at';

export async function findTenantBySlug(database: Database, slug: string): Promise<TenantRow | undefined> {
  const rows = await database.platform.query<TenantRow>(`select ${columns} from tenants where slug = $1`, [slug]);
  return rows[0];
}

/** Whose device waits with the code of this hash; undefined when that is nobody's, or a suspended tenant's. */
export async function findTenantOfUserCode(
  database: Database,
  { userCodeHash, now }: { readonly userCodeHash: Buffer; readonly now: Date },
): Promise<Pick<TenantRow, 'slug'> | undefined> {
  const rows = await database.platform.query<Pick<TenantRow, 'slug'>>(
    `select slug from tenants where id = tenant_of_user_code($1, $2) and status = 'active'`,
    [userCodeHash, now],
  );
  return rows[0];
}

export async function listTenants(database: Database): Promise<readonly TenantRow[]> {
  return database.platform.query<TenantRow>(`select ${columns} from tenants order by slug limit 10000`);
}

export async function findTenantsById(database: Database, ids: readonly TenantId[]): Promise<readonly TenantRow[]> {
  return database.platform.query<TenantRow>(`select ${columns} from tenants where id = any($1) order by id`, [ids]);
}

/** The tenant of this transaction, by its id. */
export async function findTenantById(transaction: Transaction, id: TenantId): Promise<TenantRow | undefined> {
  return (await transaction.query<TenantRow>(`select ${columns} from tenants where id = $1`, [id]))[0];
}

/** The same, and nobody else changes it before this transaction ends. Adding rows of the tenant goes on, and so does reading. */
export async function lockTenantRow(transaction: Transaction, id: TenantId): Promise<TenantRow | undefined> {
  const text = `select ${columns} from tenants where id = $1 for no key update`;
  return (await transaction.query<TenantRow>(text, [id]))[0];
}

/** What people read of it, and in which language they do unless they say otherwise. */
export async function updateTenantFace(
  transaction: Transaction,
  change: { id: TenantId; name: string; locale: TenantRow['locale']; now: Date },
): Promise<void> {
  await transaction.query('update tenants set name = $2, locale = $3, updated_at = $4 where id = $1', [
    change.id,
    change.name,
    change.locale,
    change.now,
  ]);
}

/** False when the slug is taken. */
export async function insertTenant(
  transaction: Transaction,
  tenant: { id: TenantId; slug: string; name: string; locale: 'nl' | 'en'; now: Date },
): Promise<boolean> {
  // `on conflict` would need to see the other tenant's row; the unique index is asked by writing.
  const rows = await transaction.query(
    `insert into tenants (id, slug, name, locale, created_at, updated_at) values ($1, $2, $3, $4, $5, $5)
     on conflict do nothing returning id`,
    [tenant.id, tenant.slug, tenant.name, tenant.locale, tenant.now],
  );
  return rows.length === 1;
}

/** False when it had that status already. */
export async function updateTenantStatus(
  transaction: Transaction,
  change: { id: TenantId; status: TenantRow['status']; now: Date },
): Promise<boolean> {
  const rows = await transaction.query(
    'update tenants set status = $2, updated_at = $3 where id = $1 and status <> $2 returning id',
    [change.id, change.status, change.now],
  );
  return rows.length === 1;
}

/** Until the transaction ends nobody else gets this lock. Adding rows of the tenant goes on, and so does reading. */
export async function lockTenant(transaction: Transaction, tenantId: TenantId): Promise<void> {
  await transaction.query('select id from tenants where id = $1 for no key update', [tenantId]);
}

/** Groups that are not among these stay as they are: a newer version may have written them. */
export async function updateTenantSettings(
  transaction: Transaction,
  change: { id: TenantId; settings: object; now: Date },
): Promise<void> {
  await transaction.query('update tenants set settings = settings || $2::jsonb, updated_at = $3 where id = $1', [
    change.id,
    JSON.stringify(change.settings),
    change.now,
  ]);
}
