/**
 * Two clients of every tenant that are in no table. Our own pages: who comes to one of them without being signed in goes through the
 * same authorization request as for any application, and there is no second way in. Nothing can be had with it: it has a secret that
 * nobody knows, so its codes are for nobody. And applications of the tenant that sign people in over REST and name no client of
 * theirs: what they were given is refreshed and revoked by that name, and nothing can be begun with it.
 */
import { randomBytes } from 'node:crypto';
import type { ClientRow } from '#src/storage/tables/clients.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import { ownPagesClientId, restClientId } from './artifacts_adapter.ts';
import type { ClientsCache } from './clients_adapter.ts';

/** The same look-ups, and two clients more for this tenant. Their identifiers are none that a registered client could have. */
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
  const rest: ClientRow = {
    ...row,
    client_id: restClientId,
    // Its refresh tokens may be in a browser.
    type: 'spa',
    redirect_uris: [],
    scopes: ['openid', 'profile', 'email'],
    token_endpoint_auth_method: 'none',
    secret_hashes: [],
  };
  const own = new Map([row, rest].map((client) => [client.client_id, Promise.resolve(client)]));
  return {
    ...cache,
    find: (tenantId, clientId) =>
      (tenantId === tenant.id ? own.get(clientId) : undefined) ?? cache.find(tenantId, clientId),
  };
}
