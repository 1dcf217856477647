/** The tables `clients` and `client_secrets`. A secret is known only as its SHA-256; two of them can be live at once. */
import type { ClientType, TokenEndpointAuthMethod } from '#src/domain/client.ts';
import type { ClientSettings } from '#src/domain/client_settings.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { TenantDatabase, Transaction } from '../database.ts';

/** An enabled client as the engine needs it. */
export interface ClientRow {
  readonly client_id: string;
  readonly name: string;
  readonly type: ClientType;
  readonly first_party: boolean;
  readonly redirect_uris: readonly string[];
  readonly post_logout_redirect_uris: readonly string[];
  readonly backchannel_logout_uri: string | null;
  readonly scopes: readonly string[];
  readonly audiences: readonly string[];
  readonly token_endpoint_auth_method: TokenEndpointAuthMethod;
  readonly jwks: { readonly keys: readonly Record<string, unknown>[] } | null;
  /** Only what domain/client_settings.ts accepted. */
  readonly settings: ClientSettings;
  /** SHA-256, hexadecimal. */
  readonly secret_hashes: readonly string[];
}

export interface ClientListRow {
  readonly client_id: string;
  readonly name: string;
  readonly type: ClientType;
  readonly status: 'active' | 'disabled';
  readonly first_party: boolean;
  readonly redirect_uris: readonly string[];
  readonly post_logout_redirect_uris: readonly string[];
  readonly backchannel_logout_uri: string | null;
  readonly scopes: readonly string[];
  readonly audiences: readonly string[];
  readonly token_endpoint_auth_method: TokenEndpointAuthMethod;
  readonly jwks: { readonly keys: readonly Record<string, unknown>[] } | null;
  readonly settings: ClientSettings;
  readonly live_secrets: number;
  readonly created_at: Date;
}

const clientFind = { name: 'client_find', text: 'select * from client_find($1, $2)' } as const;

/** Undefined when there is no such client in this tenant or it is disabled. */
export async function readClient(tenant: TenantDatabase, clientId: string): Promise<ClientRow | undefined> {
  return (await tenant.read<ClientRow>(clientFind, [clientId]))[0];
}

export interface NewClientRow {
  readonly tenantId: TenantId;
  readonly clientId: string;
  readonly name: string;
  readonly type: ClientType;
  readonly firstParty: boolean;
  readonly redirectUris: readonly string[];
  readonly postLogoutRedirectUris: readonly string[];
  readonly backchannelLogoutUri: string | undefined;
  readonly scopes: readonly string[];
  readonly audiences: readonly string[];
  readonly tokenEndpointAuthMethod: TokenEndpointAuthMethod;
  readonly jwks: { readonly keys: readonly object[] } | undefined;
  readonly settings: ClientSettings;
  readonly now: Date;
}

export async function insertClient(transaction: Transaction, client: NewClientRow): Promise<void> {
  await transaction.query(
    `insert into clients (tenant_id, client_id, name, first_party, redirect_uris, post_logout_redirect_uris,
                          backchannel_logout_uri, scopes, audiences, token_endpoint_auth_method, jwks, settings,
                          created_at, updated_at, type)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14)`,
    [...changeableValues(client), client.type],
  );
}

/** Everything that can change about a client but its status, its type and its secrets. */
export async function updateClientRow(transaction: Transaction, client: Omit<NewClientRow, 'type'>): Promise<void> {
  await transaction.query(
    `update clients set name = $3, first_party = $4, redirect_uris = $5, post_logout_redirect_uris = $6,
            backchannel_logout_uri = $7, scopes = $8, audiences = $9, token_endpoint_auth_method = $10, jwks = $11,
            settings = $12, updated_at = $13
      where tenant_id = $1 and client_id = $2`,
    changeableValues(client),
  );
}

/** In the order of both statements above. */
function changeableValues(client: Omit<NewClientRow, 'type'>): readonly unknown[] {
  return [
    client.tenantId,
    client.clientId,
    client.name,
    client.firstParty,
    client.redirectUris,
    client.postLogoutRedirectUris,
    client.backchannelLogoutUri ?? null,
    client.scopes,
    client.audiences,
    client.tokenEndpointAuthMethod,
    client.jwks === undefined ? null : JSON.stringify(client.jwks),
    JSON.stringify(client.settings),
    client.now,
  ];
}

/** Puts a new secret into the free slot, or into the one that has been there longest: the other one stays valid. */
export async function insertClientSecret(
  transaction: Transaction,
  secret: { tenantId: TenantId; clientId: string; secretHash: Buffer; now: Date },
): Promise<void> {
  // One rotation at a time: two that chose the same slot would end a secret that was shown a moment ago.
  await transaction.query('select client_id from clients where tenant_id = $1 and client_id = $2 for update', [
    secret.tenantId,
    secret.clientId,
  ]);
  await transaction.query(
    `insert into client_secrets as s (tenant_id, client_id, slot, secret_hash, created_at)
     values ($1, $2, coalesce(
       (select free.slot from unnest('{1,2}'::smallint[]) as free (slot) where not exists (
          select from client_secrets t where t.tenant_id = $1 and t.client_id = $2 and t.slot = free.slot)
         order by free.slot limit 1),
       (select t.slot from client_secrets t where t.tenant_id = $1 and t.client_id = $2 order by t.created_at, t.slot limit 1)),
       $3, $4)
     on conflict (tenant_id, client_id, slot) do update set secret_hash = excluded.secret_hash, created_at = excluded.created_at`,
    [secret.tenantId, secret.clientId, secret.secretHash, secret.now],
  );
}

const listColumns = `c.client_id, c.name, c.type, c.status, c.first_party, c.redirect_uris, c.post_logout_redirect_uris,
  c.backchannel_logout_uri, c.scopes, c.audiences, c.token_endpoint_auth_method, c.jwks, c.settings, c.created_at,
  (select count(*)::int from client_secrets s where s.tenant_id = c.tenant_id and s.client_id = c.client_id) as live_secrets`;

export async function listClients(transaction: Transaction, tenantId: TenantId): Promise<readonly ClientListRow[]> {
  return transaction.query<ClientListRow>(
    `select ${listColumns} from clients c where c.tenant_id = $1 order by c.created_at, c.client_id limit 10000`,
    [tenantId],
  );
}

export interface ClientFilter {
  readonly type?: ClientType | undefined;
  readonly status?: ClientListRow['status'] | undefined;
  readonly firstParty?: boolean | undefined;
}

/** Where a list goes on. */
export interface ClientPlace {
  readonly createdAt: Date;
  readonly clientId: string;
}

/** In the order in which they were made; one more than the limit where there are more. */
export async function listClientsAfter(
  transaction: Transaction,
  {
    tenantId,
    filter,
    after,
    limit,
  }: {
    readonly tenantId: TenantId;
    readonly filter: ClientFilter;
    readonly after: ClientPlace | undefined;
    readonly limit: number;
  },
): Promise<readonly ClientListRow[]> {
  return transaction.query<ClientListRow>(
    `select ${listColumns} from clients c
      where c.tenant_id = $1 and c.created_at >= $2 and (c.created_at > $2 or c.client_id > $3)
        and ($4::text is null or c.type = $4) and ($5::text is null or c.status = $5)
        and ($6::boolean is null or c.first_party = $6)
      order by c.created_at, c.client_id limit $7`,
    [
      tenantId,
      after?.createdAt ?? new Date(0),
      after?.clientId ?? '',
      filter.type ?? null,
      filter.status ?? null,
      filter.firstParty ?? null,
      limit + 1,
    ],
  );
}

/** Without holding up whoever changes it. */
export async function readClientEntry(
  transaction: Transaction,
  client: { tenantId: TenantId; clientId: string },
): Promise<ClientListRow | undefined> {
  const rows = await transaction.query<ClientListRow>(
    `select ${listColumns} from clients c where c.tenant_id = $1 and c.client_id = $2`,
    [client.tenantId, client.clientId],
  );
  return rows[0];
}

/** Nobody changes it before this transaction ends. */
export async function findClient(
  transaction: Transaction,
  client: { tenantId: TenantId; clientId: string },
): Promise<ClientListRow | undefined> {
  const rows = await transaction.query<ClientListRow>(
    `select ${listColumns} from clients c where c.tenant_id = $1 and c.client_id = $2 for update of c`,
    [client.tenantId, client.clientId],
  );
  return rows[0];
}

/** False when the client is not there or had that status already. */
export async function updateClientStatus(
  transaction: Transaction,
  change: { tenantId: TenantId; clientId: string; status: 'active' | 'disabled'; now: Date },
): Promise<boolean> {
  const rows = await transaction.query(
    `update clients set status = $3, updated_at = $4 where tenant_id = $1 and client_id = $2 and status <> $3 returning client_id`,
    [change.tenantId, change.clientId, change.status, change.now],
  );
  return rows.length === 1;
}

/** Secrets, registration, consents and devices go with it. */
export async function deleteClientRow(
  transaction: Transaction,
  client: { tenantId: TenantId; clientId: string },
): Promise<void> {
  await transaction.query('delete from clients where tenant_id = $1 and client_id = $2', [
    client.tenantId,
    client.clientId,
  ]);
}

/** The origins (RFC 6454) that enabled clients are registered at. */
export async function listOrigins(transaction: Transaction, tenantId: TenantId): Promise<RegisteredOrigins> {
  const rows = await transaction.query<{ origin: string; first_party: boolean }>(
    `select origin, bool_or(first_party) as first_party from (
       select substring(uri from '^https?://[^/?]+') as origin, c.first_party
         from clients c cross join lateral unnest(c.redirect_uris) as uri
        where c.tenant_id = $1 and c.status = 'active' and uri ~ '^https?://'
       union all
       select origin, c.first_party
         from clients c cross join lateral jsonb_array_elements_text(c.settings -> 'allowed_origins') as origin
        where c.tenant_id = $1 and c.status = 'active') registered
      group by origin order by origin limit 10000`,
    [tenantId],
  );
  const origins = new Map<string, { readonly firstParty: boolean }>();
  for (const { origin: written, first_party: isOwn } of rows) {
    // As a browser writes it: without the scheme's own port.
    const origin = written.startsWith('http') ? (URL.parse(written)?.origin ?? written) : written;
    origins.set(origin, { firstParty: isOwn || origins.get(origin)?.firstParty === true });
  }
  return origins;
}

/** Each with whether a client of the tenant itself is there. */
export type RegisteredOrigins = ReadonlyMap<string, { readonly firstParty: boolean }>;

/** A client that no longer authenticates with a secret has none. */
export async function deleteClientSecrets(
  transaction: Transaction,
  client: { tenantId: TenantId; clientId: string },
): Promise<void> {
  await transaction.query('delete from client_secrets where tenant_id = $1 and client_id = $2', [
    client.tenantId,
    client.clientId,
  ]);
}

export async function updateRedirectUris(
  transaction: Transaction,
  change: {
    tenantId: TenantId;
    clientId: string;
    redirectUris: readonly string[];
    postLogoutRedirectUris: readonly string[];
    now: Date;
  },
): Promise<void> {
  await transaction.query(
    `update clients set redirect_uris = $3, post_logout_redirect_uris = $4, updated_at = $5
      where tenant_id = $1 and client_id = $2 and (redirect_uris <> $3 or post_logout_redirect_uris <> $4)`,
    [change.tenantId, change.clientId, change.redirectUris, change.postLogoutRedirectUris, change.now],
  );
}
