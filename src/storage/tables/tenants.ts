/** The table `tenants`. Found by the platform before any tenant is known; written from inside the tenant itself. */
import type { TenantId, TenantStatus } from '#src/domain/tenant.ts';
import type { Database, TenantDatabase, Transaction } from '../database.ts';

export interface TenantRow {
  readonly id: TenantId;
  readonly slug: string;
  readonly name: string;
  readonly status: TenantStatus;
  readonly domain: string | null;
  readonly locale: 'nl' | 'en';
  /** What it says differently from the installation; domain/tenant_settings.ts reads it. */
  readonly settings: unknown;
  /** How it looks; domain/brand.ts reads it. */
  readonly brand: unknown;
  readonly created_at: Date;
  /** Until when it can be had back; null while nobody has asked for its end. */
  readonly deletion_due_at: Date | null;
}

/** A deleted one is nobody's to find, but that its slug stays taken. */
const living = "status <> 'deleted'";
const columns = `id, slug, name, case when deletion_due_at is null then status else 'deleting' end as status, domain, locale,
       settings, brand, created_at, deletion_due_at`;

export async function findTenantBySlug(database: Database, slug: string): Promise<TenantRow | undefined> {
  const rows = await database.platform.query<TenantRow>(
    `select ${columns} from tenants where slug = $1 and ${living}`,
    [slug],
  );
  return rows[0];
}

/** Whose device waits with the code of this hash; undefined when that is nobody's, or a suspended tenant's. */
export async function findTenantOfUserCode(
  database: Database,
  { userCodeHash, now }: { readonly userCodeHash: Buffer; readonly now: Date },
): Promise<Pick<TenantRow, 'slug'> | undefined> {
  const rows = await database.platform.query<Pick<TenantRow, 'slug'>>(
    `select slug from tenants where id = tenant_of_user_code($1, $2) and status = 'active' and deletion_due_at is null`,
    [userCodeHash, now],
  );
  return rows[0];
}

export async function listTenants(database: Database): Promise<readonly TenantRow[]> {
  return database.platform.query<TenantRow>(`select ${columns} from tenants where ${living} order by slug limit 10000`);
}

export async function findTenantsById(database: Database, ids: readonly TenantId[]): Promise<readonly TenantRow[]> {
  return database.platform.query<TenantRow>(
    `select ${columns} from tenants where id = any($1) and ${living} order by id`,
    [ids],
  );
}

export interface TenantFilter {
  readonly status?: TenantStatus | undefined;
  readonly slug?: string | undefined;
  /** Of a slug. */
  readonly beginning?: string | undefined;
}

/** In the order of their identifiers, those behind `after`. */
export async function listTenantsAfter(
  database: Database,
  {
    status,
    slug,
    beginning,
    after,
    limit,
  }: TenantFilter & { readonly after?: string | undefined; readonly limit: number },
): Promise<readonly TenantRow[]> {
  return database.platform.query<TenantRow>(
    `select * from (select ${columns} from tenants where ${living}) t
      where ($1::uuid is null or id > $1) and ($2::text is null or status = $2) and ($3::text is null or slug = $3)
        and ($4::text is null or starts_with(slug, $4))
      order by id limit $5`,
    [after ?? null, status ?? null, slug ?? null, beginning ?? null, limit],
  );
}

/** The tenant of this transaction, by its id. */
export async function findTenantById(transaction: Transaction, id: TenantId): Promise<TenantRow | undefined> {
  return (await transaction.query<TenantRow>(`select ${columns} from tenants where id = $1 and ${living}`, [id]))[0];
}

/** The same, and nobody else changes it before this transaction ends; undefined for a deleted one. Adding rows of the tenant goes on, and so does reading. */
export async function lockTenantRow(transaction: Transaction, id: TenantId): Promise<TenantRow | undefined> {
  const text = `select ${columns} from tenants where id = $1 and ${living} for no key update`;
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
  change: { id: TenantId; status: 'active' | 'suspended'; now: Date },
): Promise<boolean> {
  const rows = await transaction.query(
    `update tenants set status = $2, updated_at = $3 where id = $1 and status <> $2 and ${living} returning id`,
    [change.id, change.status, change.now],
  );
  return rows.length === 1;
}

/** Until the transaction ends nobody else gets this lock. Adding rows of the tenant goes on, and so does reading. */
export async function lockTenant(transaction: Transaction, tenantId: TenantId): Promise<void> {
  await transaction.query('select id from tenants where id = $1 for no key update', [tenantId]);
}

/** `undefined` takes the end away. */
export async function setTenantDeletionDueAt(
  transaction: Transaction,
  { id, dueAt, now }: { readonly id: TenantId; readonly dueAt: Date | undefined; readonly now: Date },
): Promise<void> {
  await transaction.query('update tenants set deletion_due_at = $2, updated_at = $3 where id = $1', [
    id,
    dueAt ?? null,
    now,
  ]);
}

/** From here on there is no way back. What is left of it is its slug, which nobody gets again. */
export async function markTenantDeleted(
  transaction: Transaction,
  { id, now }: { readonly id: TenantId; readonly now: Date },
): Promise<void> {
  await transaction.query(
    `update tenants set status = 'deleted', name = slug, domain = null, settings = '{}', brand = '{}',
            deletion_due_at = $2, updated_at = $2 where id = $1`,
    [id, now],
  );
}

const eraseStep = { name: 'tenant_erase', text: 'select tenant_erase($1, $2) as erased' } as const;

/** At most so many rows of a deleted tenant; how many went, 0 when nothing is left. */
export async function eraseTenantRows(tenant: TenantDatabase, limit: number): Promise<number> {
  const rows = await tenant.write<{ erased: number }>(eraseStep, [limit]);
  return rows[0]?.erased ?? 0;
}

/** Nothing is left, and nobody needs to look again. */
export async function markTenantErased(
  transaction: Transaction,
  { id, now }: { readonly id: TenantId; readonly now: Date },
): Promise<void> {
  await transaction.query(
    "update tenants set erased_at = $2, deletion_due_at = null, updated_at = $2 where id = $1 and status = 'deleted'",
    [id, now],
  );
}

export interface EndingTenant {
  readonly id: TenantId;
  readonly isDeleted: boolean;
  /** For a deleted one when that was. */
  readonly since: Date;
}

/** Those whose end has come, and those of which something may be left. */
export async function listEndingTenants(
  database: Database,
  { now, limit }: { readonly now: Date; readonly limit: number },
): Promise<readonly EndingTenant[]> {
  return database.platform.query<EndingTenant>(
    `select id, status = 'deleted' as "isDeleted", deletion_due_at as since from tenants
      where deletion_due_at <= $1 and erased_at is null order by deletion_due_at, id limit $2`,
    [now, limit],
  );
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
