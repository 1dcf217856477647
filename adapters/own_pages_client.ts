/**
 * Our own pages as a client of the tenant they belong to: who comes to one of them without being signed in goes through the same
 * authorization request as for any application, and there is no second way in. Nothing can be had with it: it has a secret that
 * nobody knows, so its codes are for nobody, and it is in no table.
 */
import { randomBytes } from 'node:crypto';
import type { ClientRow } from '#src/storage/tables/clients.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import { ownPagesClientId } from './artifacts_adapter.ts';
import type { ClientsCache } from './clients_adapter.ts';

/** The same look-ups, and one client more for this tenant. Its identifier is none that a registered client could have. */
export function withOwnPages(
  cache: ClientsCache,
  { tenant, redirectUris }: { readonly tenant: TenantRow; readonly redirectUris: readonly string[] },
): ClientsCache {
  const row: ClientRow = {
    client_id: ownPagesClientId,
    name: tenant.name,
    type: 'web',
    first_party: true,
    redirect_uris: redirectUris,
    post_logout_redirect_uris: [],
    backchannel_logout_uri: null,
    scopes: ['openid'],
    audiences: [],
    token_endpoint_auth_method: 'client_secret_basic',
    jwks: null,
    settings: {},
    secret_hashes: [randomBytes(32).toString('hex')],
  };
  const found = Promise.resolve(row);
  return {
    ...cache,
    find: (tenantId, clientId) =>
      tenantId === tenant.id && clientId === ownPagesClientId ? found : cache.find(tenantId, clientId),
  };
}
