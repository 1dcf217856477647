/**
 * What a tenant's configuration is read from and written to, over several tables: what domain/tenant_configuration.ts describes.
 * Clients that registered themselves (RFC 7591) are their own makers' and no part of it.
 */

import type { TenantId } from '#src/domain/tenant.ts';
import type { ApiItem, ClientItem, PermissionItem, RoleItem } from '#src/domain/tenant_configuration.ts';
import type { Transaction } from '../database.ts';

export interface TenantConfigurationRows {
  readonly name: string;
  readonly locale: 'nl' | 'en';
  readonly settings: unknown;
  readonly brand: unknown;
  readonly permissions: readonly (PermissionItem & { readonly name: string })[];
  readonly roles: readonly (Omit<RoleItem, 'inherits'> & { readonly name: string; readonly inherits: string | null })[];
  readonly apis: readonly (ApiItem & { readonly audience: string; readonly status: 'active' | 'disabled' })[];
  readonly clients: readonly ClientConfigurationRow[];
}

type ClientConfigurationRow = Omit<ClientItem, 'backchannel_logout_uri' | 'jwks'> & {
  readonly client_id: string;
  readonly status: 'active' | 'disabled';
  readonly registered_itself: boolean;
  readonly backchannel_logout_uri: string | null;
  readonly jwks: ClientItem['jwks'] | null;
  /** SHA-256, hexadecimal. */
  readonly secret_hashes: readonly string[];
};

/** Until the transaction ends nobody else changes what is there; what is new may still come. */
export async function lockTenantConfiguration(transaction: Transaction, tenantId: TenantId): Promise<void> {
  await transaction.query('select id from tenants where id = $1 for no key update', [tenantId]);
  await transaction.query('select name from permissions where tenant_id = $1 order by name for update', [tenantId]);
  await transaction.query('select id from roles where tenant_id = $1 order by id for update', [tenantId]);
  await transaction.query('select audience from apis where tenant_id = $1 order by audience for no key update', [
    tenantId,
  ]);
  await transaction.query(
    `select client_id from clients c where tenant_id = $1
        and not exists (select from client_registrations r where r.tenant_id = $1 and r.client_id = c.client_id)
      order by client_id for no key update`,
    [tenantId],
  );
}

/** Undefined when there is no such tenant. */
export async function readTenantConfiguration(
  transaction: Transaction,
  tenantId: TenantId,
): Promise<TenantConfigurationRows | undefined> {
  const [tenant] = await transaction.query<Pick<TenantConfigurationRows, 'name' | 'locale' | 'settings' | 'brand'>>(
    'select name, locale, settings, brand from tenants where id = $1',
    [tenantId],
  );
  if (tenant === undefined) return undefined;
  const permissions = await transaction.query<TenantConfigurationRows['permissions'][number]>(
    'select name, description, is_active from permissions where tenant_id = $1 order by name limit 10000',
    [tenantId],
  );
  const roles = await transaction.query<TenantConfigurationRows['roles'][number]>(
    `select r.name, r.description, r.is_active, r.permissions, i.name as inherits
       from roles r left join roles i on i.tenant_id = r.tenant_id and i.id = r.inherits
      where r.tenant_id = $1 and not r.built_in order by r.name limit 1000`,
    [tenantId],
  );
  const apis = await transaction.query<TenantConfigurationRows['apis'][number]>(
    `select a.audience, a.status, a.token_format, a.signing_alg, a.scopes,
            coalesce((select json_agg(json_build_object('type', t.type, 'sentence', t.sentence) order by t.type collate "C")
                        from authorization_details_types t where t.tenant_id = $1 and t.audience = a.audience), '[]')
              as authorization_details
       from apis a where a.tenant_id = $1 order by a.audience limit 1000`,
    [tenantId],
  );
  const clients = await transaction.query<ClientConfigurationRow>(
    `select c.client_id, c.status, c.name, c.type, c.first_party, c.redirect_uris, c.post_logout_redirect_uris,
            c.backchannel_logout_uri, c.scopes, c.audiences, c.token_endpoint_auth_method, c.jwks, c.settings,
            exists (select from client_registrations r where r.tenant_id = $1 and r.client_id = c.client_id)
              as registered_itself,
            array(select encode(s.secret_hash, 'hex') from client_secrets s
                   where s.tenant_id = $1 and s.client_id = c.client_id order by s.slot) as secret_hashes
       from clients c where c.tenant_id = $1 order by c.client_id limit 10000`,
    [tenantId],
  );
  return { ...tenant, permissions, roles, apis, clients };
}

export async function updateTenantName(
  transaction: Transaction,
  change: { readonly id: TenantId; readonly name: string; readonly locale: 'nl' | 'en'; readonly now: Date },
): Promise<void> {
  const text = 'update tenants set name = $2, locale = $3, updated_at = $4 where id = $1';
  await transaction.query(text, [change.id, change.name, change.locale, change.now]);
}

/** `inherits`: by name, of a role that is there. Answers with the role's id. */
export async function updateRole(
  transaction: Transaction,
  { tenantId, name, role }: { readonly tenantId: TenantId; readonly name: string; readonly role: RoleItem },
): Promise<string | undefined> {
  const rows = await transaction.query<{ id: string }>(
    `update roles set description = $3, permissions = $4, is_active = $6,
            inherits = (select i.id from roles i where i.tenant_id = $1 and i.name = $5)
      where tenant_id = $1 and name = $2 and not built_in returning id`,
    [tenantId, name, role.description, role.permissions, role.inherits ?? null, role.is_active],
  );
  return rows[0]?.id;
}

/** With every assignment of it. */
export async function deleteRole(
  transaction: Transaction,
  { tenantId, name }: { readonly tenantId: TenantId; readonly name: string },
): Promise<string | undefined> {
  const rows = await transaction.query<{ id: string }>(
    'delete from roles where tenant_id = $1 and name = $2 and not built_in returning id',
    [tenantId, name],
  );
  return rows[0]?.id;
}

export async function updateApi(
  transaction: Transaction,
  { tenantId, audience, api }: { readonly tenantId: TenantId; readonly audience: string; readonly api: ApiItem },
): Promise<void> {
  await transaction.query(
    'update apis set token_format = $3, signing_alg = $4, scopes = $5 where tenant_id = $1 and audience = $2',
    [tenantId, audience, api.token_format, api.signing_alg, JSON.stringify(api.scopes)],
  );
}

/** Exactly these are what applications may ask people for at this API. */
export async function putDetailsTypes(
  transaction: Transaction,
  {
    tenantId,
    audience,
    details,
    now,
  }: {
    readonly tenantId: TenantId;
    readonly audience: string;
    readonly details: ApiItem['authorization_details'];
    readonly now: Date;
  },
): Promise<void> {
  await transaction.query(
    'delete from authorization_details_types where tenant_id = $1 and audience = $2 and type <> all ($3)',
    [tenantId, audience, details.map(({ type }) => type)],
  );
  await transaction.query(
    `insert into authorization_details_types (tenant_id, type, audience, sentence, created_at)
     select $1, d.type, $2, d.sentence, $4 from json_to_recordset($3::json) as d (type text, sentence text)
     on conflict (tenant_id, type) do update set audience = excluded.audience, sentence = excluded.sentence
       where (authorization_details_types.audience, authorization_details_types.sentence)
             is distinct from (excluded.audience, excluded.sentence)`,
    [tenantId, audience, JSON.stringify(details), now],
  );
}
