/** The table `api_keys`: keys by the hash of their value, which alone opens anything and is nowhere. */
import type { TenantId } from '#src/domain/tenant.ts';
import type { Database, TenantDatabase, Transaction } from '../database.ts';

/** A key that opens something at this moment. */
export interface LivingApiKeyRow {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly user_id: string | null;
  readonly expires_at: Date;
  /** Of who made it, now; null for a key of the tenant's own. */
  readonly permissions: readonly string[] | null;
  readonly slug: string;
  readonly settings: unknown;
}

const read = { name: 'api_key_read', text: 'select * from api_key_read($1, $2, $3)' } as const;
const noteUses = { name: 'api_keys_note_uses', text: 'select api_keys_note_uses($1, $2)' } as const;

/** One round trip. */
export async function findLivingApiKey(
  tenant: TenantDatabase,
  { keyHash, now }: { readonly keyHash: Buffer; readonly now: Date },
): Promise<LivingApiKeyRow | undefined> {
  return (await tenant.read<LivingApiKeyRow>(read, [keyHash, now]))[0];
}

/** Whose key it is, where no address tells. Undefined for a key that never was. */
export async function findTenantOfApiKey(database: Database, keyHash: Buffer): Promise<TenantId | undefined> {
  const rows = await database.platform.query<{ id: TenantId | null }>('select tenant_of_api_key($1) as id', [keyHash]);
  return rows[0]?.id ?? undefined;
}

export interface ApiKeyUses {
  readonly id: string;
  readonly uses: number;
  readonly at: Date;
  readonly address: string | undefined;
}

export async function noteApiKeyUses(tenant: TenantDatabase, uses: readonly ApiKeyUses[]): Promise<void> {
  await tenant.write(noteUses, [JSON.stringify(uses)]);
}

export interface NewApiKey {
  readonly tenantId: TenantId;
  readonly id: string;
  readonly keyHash: Buffer;
  readonly beginning: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly userId: string | undefined;
  readonly now: Date;
  readonly expiresAt: Date;
}

/** False when the identifier is taken. */
export async function insertApiKey(transaction: Transaction, key: NewApiKey): Promise<boolean> {
  const rows = await transaction.query(
    `insert into api_keys (tenant_id, id, key_hash, beginning, name, scopes, user_id, created_at, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (tenant_id, id) do nothing returning id`,
    [
      key.tenantId,
      key.id,
      key.keyHash,
      key.beginning,
      key.name,
      key.scopes,
      key.userId ?? null,
      key.now,
      key.expiresAt,
    ],
  );
  return rows.length === 1;
}

export interface ApiKeyMakerRow {
  readonly permissions: readonly string[];
  /** How many keys of theirs open something. */
  readonly living: number;
}

/** Nobody else makes a key for this member until the transaction ends. Undefined for who is no living member, or is leaving. */
export async function lockApiKeyMaker(
  transaction: Transaction,
  { tenantId, userId, now }: { readonly tenantId: TenantId; readonly userId: string; readonly now: Date },
): Promise<ApiKeyMakerRow | undefined> {
  const locked = await transaction.query(
    `select m.user_id from memberships m join users u on u.id = m.user_id
      where m.tenant_id = $1 and m.user_id = $2 and m.status = 'active' and m.deletion_due_at is null and u.status = 'active'
        for update of m`,
    [tenantId, userId],
  );
  if (locked.length === 0) return undefined;
  // A statement of its own: the one that waited for the lock would still count what was there before it waited.
  const rows = await transaction.query<ApiKeyMakerRow>(
    `select e.permissions,
            (select count(*)::int from api_keys k
              where k.tenant_id = $1 and k.user_id = $2 and k.revoked_at is null and k.expires_at > $3) as living
       from effective_roles($1, $2) e`,
    [tenantId, userId, now],
  );
  return rows[0];
}

export interface ApiKeyRow {
  readonly id: string;
  readonly beginning: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly user_id: string | null;
  readonly email: string | null;
  readonly created_at: Date;
  readonly expires_at: Date;
  readonly revoked_at: Date | null;
  readonly last_used_at: Date | null;
  readonly last_used_address: string | null;
  readonly uses: number;
}

const shown = `k.id, k.beginning, k.name, k.scopes, k.user_id, u.email::text as email, k.created_at, k.expires_at, k.revoked_at,
  k.last_used_at, host(k.last_used_address) as last_used_address, k.uses::float8 as uses`;

/** Of one member, those not revoked, in the order in which they were made; one more than the limit where there are more. */
export function listApiKeysOf(
  transaction: Transaction,
  {
    tenantId,
    userId,
    limit,
    after,
  }: {
    readonly tenantId: TenantId;
    readonly userId: string;
    readonly limit: number;
    readonly after: string | undefined;
  },
): Promise<readonly ApiKeyRow[]> {
  return transaction.query<ApiKeyRow>(
    `select ${shown} from api_keys k left join users u on u.id = k.user_id
      where k.tenant_id = $1 and k.user_id = $2 and k.revoked_at is null and ($3::uuid is null or k.id > $3)
      order by k.id limit $4`,
    [tenantId, userId, after ?? null, limit + 1],
  );
}

/** Of the whole tenant, the revoked ones too; at most ten thousand. */
export function listApiKeys(transaction: Transaction, tenantId: TenantId): Promise<readonly ApiKeyRow[]> {
  return transaction.query<ApiKeyRow>(
    `select ${shown} from api_keys k left join users u on u.id = k.user_id where k.tenant_id = $1 order by k.id limit 10000`,
    [tenantId],
  );
}

export interface ApiKeyFilter {
  readonly userId?: string | undefined;
  /** Whether it opens something at this moment. */
  readonly isLiving?: boolean | undefined;
}

/** Of the whole tenant, in the order in which they were made; one more than the limit where there are more. */
export function listApiKeysAfter(
  transaction: Transaction,
  {
    tenantId,
    filter,
    now,
    after,
    limit,
  }: {
    readonly tenantId: TenantId;
    readonly filter: ApiKeyFilter;
    readonly now: Date;
    readonly after: string | undefined;
    readonly limit: number;
  },
): Promise<readonly ApiKeyRow[]> {
  return transaction.query<ApiKeyRow>(
    `select ${shown} from api_keys k left join users u on u.id = k.user_id
      where k.tenant_id = $1 and ($2::uuid is null or k.id > $2) and ($3::uuid is null or k.user_id = $3)
        and ($4::boolean is null or (k.revoked_at is null and k.expires_at > $5) = $4)
      order by k.id limit $6`,
    [tenantId, after ?? null, filter.userId ?? null, filter.isLiving ?? null, now, limit + 1],
  );
}

/** @param input.lock Nobody else changes it before this transaction ends. */
export async function readApiKeyEntry(
  transaction: Transaction,
  { tenantId, id, lock }: { readonly tenantId: TenantId; readonly id: string; readonly lock: boolean },
): Promise<ApiKeyRow | undefined> {
  const text = `select ${shown} from api_keys k left join users u on u.id = k.user_id
                 where k.tenant_id = $1 and k.id = $2 ${lock ? 'for update of k' : ''}`;
  return (await transaction.query<ApiKeyRow>(text, [tenantId, id]))[0];
}

/** From now on it opens nothing. Undefined for one that is not there, not this member's, or revoked already. */
export async function revokeApiKeyRow(
  transaction: Transaction,
  {
    tenantId,
    id,
    userId,
    now,
  }: { readonly tenantId: TenantId; readonly id: string; readonly userId: string | undefined; readonly now: Date },
): Promise<{ readonly name: string; readonly user_id: string | null } | undefined> {
  const rows = await transaction.query<{ name: string; user_id: string | null }>(
    `update api_keys set revoked_at = $3
      where tenant_id = $1 and id = $2 and revoked_at is null and ($4::uuid is null or user_id = $4)
     returning name, user_id`,
    [tenantId, id, now, userId ?? null],
  );
  return rows[0];
}
