/**
 * The engine's storage port for clients: rows of `clients` as client metadata (RFC 7591 §2). Clients are asked for at every
 * request and change rarely, so they are kept in the process and dropped the moment the database announces a change; while
 * announcements cannot be heard, every look-up goes to the database.
 */
import { LRUCache } from 'lru-cache';
import type { Adapter, AdapterPayload } from 'oidc-provider';
import { cibaGrantType } from '#src/domain/backchannel_authentication.ts';
import { parseClientId, presetFor } from '#src/domain/client.ts';
import { type ClientSettingName, neededFeatures } from '#src/domain/client_settings.ts';
import type { ProtocolFeatures } from '#src/domain/protocol_features.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { tokenExchangeGrantType } from '#src/domain/token_exchange.ts';
import type { Database } from '#src/storage/database.ts';
import { type ClientRow, listOrigins, type RegisteredOrigins, readClient } from '#src/storage/tables/clients.ts';
import { restClientId } from './artifacts_adapter.ts';

/** Metadata of ours, beside the registered ones; the Provider must name them as extra client metadata. */
export const extraClientMetadata = [
  'poort_type',
  'poort_first_party',
  'poort_audiences',
  'poort_secret_hashes',
  'poort_scopes',
  'poort_settings',
] as const;

/** Settings that the engine knows by the same name. */
const engineMetadata = [
  'jwks_uri',
  'token_endpoint_auth_signing_alg',
  'tls_client_auth_subject_dn',
  'tls_client_auth_san_dns',
  'tls_client_auth_san_uri',
  'tls_client_auth_san_ip',
  'tls_client_auth_san_email',
  'tls_client_certificate_bound_access_tokens',
  'dpop_bound_access_tokens',
  'require_pushed_authorization_requests',
  'require_signed_request_object',
  'request_object_signing_alg',
  'id_token_signed_response_alg',
  'userinfo_signed_response_alg',
  'authorization_signed_response_alg',
  'introspection_signed_response_alg',
  'default_max_age',
  'client_uri',
  'logo_uri',
  'policy_uri',
  'tos_uri',
  'initiate_login_uri',
  'backchannel_token_delivery_mode',
] as const satisfies readonly ClientSettingName[];

export interface ClientsCache {
  /** Undefined for a client that is not there or disabled. The same object until it changes; unknown clients are not remembered. */
  find(tenantId: TenantId, clientId: string): Promise<ClientRow | undefined>;
  /** Whether some enabled client of the tenant is registered at this origin, by a redirect URI or by name. */
  isRegisteredOrigin(tenantId: TenantId, origin: string): Promise<boolean>;
  /** Whether one of them is the tenant's own. */
  isFirstPartyOrigin(tenantId: TenantId, origin: string): Promise<boolean>;
  forget(tenantId: string, clientId: string): void;
  forgetAll(): void;
}

/** What a tenant's engine serves; a client's type may allow more. */
export interface EnabledFeatures {
  readonly protocol: ProtocolFeatures;
  readonly grantTypes: readonly string[];
  readonly scopes: readonly string[];
  /** Types of RFC 9396 that the tenant's APIs define. */
  readonly detailsTypes: readonly string[];
}

const maximumClients = 5_000;
const maximumOriginLists = 1_000;

export function createClientsCache(database: Database): ClientsCache {
  const known = new LRUCache<string, Promise<ClientRow | undefined>>({ max: maximumClients });
  const origins = new LRUCache<string, Promise<RegisteredOrigins>>({ max: maximumOriginLists });
  const keyOf = (tenantId: string, clientId: string): string => `${tenantId} ${clientId}`;

  function originsOf(tenantId: TenantId): Promise<RegisteredOrigins> {
    const remembered = database.isListening() ? origins.get(tenantId) : undefined;
    if (remembered !== undefined) return remembered;
    const reading = database.tenant(tenantId).transaction((transaction) => listOrigins(transaction, tenantId));
    origins.set(tenantId, reading);
    reading.catch(() => origins.delete(tenantId));
    return reading;
  }

  return {
    find(tenantId, clientId) {
      // A stranger's text: what cannot be one of our identifiers is not worth a question to the database.
      if (parseClientId(clientId) === undefined) return Promise.resolve(undefined);
      const key = keyOf(tenantId, clientId);
      const remembered = database.isListening() ? known.get(key) : undefined;
      if (remembered !== undefined) return remembered;
      const reading = readClient(database.tenant(tenantId), clientId);
      known.set(key, reading);
      reading.then(
        (row) => row ?? known.delete(key),
        () => known.delete(key),
      );
      return reading;
    },
    isRegisteredOrigin: async (tenantId, origin) => (await originsOf(tenantId)).has(origin),
    isFirstPartyOrigin: async (tenantId, origin) => (await originsOf(tenantId)).get(origin)?.firstParty === true,
    forget(tenantId, clientId) {
      known.delete(keyOf(tenantId, clientId));
      origins.delete(tenantId);
    },
    forgetAll() {
      known.clear();
      origins.clear();
    },
  };
}

export function createClientsAdapter(
  cache: ClientsCache,
  { tenantId, enabled }: { tenantId: TenantId; enabled: EnabledFeatures },
): Adapter {
  const readOnly = async (): Promise<never> => {
    throw new Error('the engine does not write clients');
  };
  return {
    async find(clientId) {
      const row = await cache.find(tenantId, clientId);
      if (row === undefined) return undefined;
      // What it demands is switched off here: nobody is served with less than was agreed.
      const needed = neededFeatures(row.settings, row.token_endpoint_auth_method);
      return needed.every((feature) => enabled.protocol[feature]) ? toMetadata(row, enabled) : undefined;
    },
    upsert: readOnly,
    destroy: readOnly,
    consume: readOnly,
    findByUid: readOnly,
    findByUserCode: readOnly,
    revokeByGrantId: readOnly,
  };
}

/** It refreshes what it was given, and nothing can be begun with it: no authorization request, no device. */
const restPreset = { applicationType: 'web', responseTypes: [], grantTypes: ['refresh_token'] } as const;

function presetOf({ client_id: clientId, type }: ClientRow) {
  return clientId === restClientId ? restPreset : presetFor(type);
}

function toMetadata(row: ClientRow, enabled: EnabledFeatures): AdapterPayload {
  const preset = presetOf(row);
  const [firstHash] = row.secret_hashes;
  const scope = row.scopes.filter((name) => enabled.scopes.includes(name)).join(' ');
  return {
    client_id: row.client_id,
    client_name: row.name,
    application_type: preset.applicationType,
    grant_types: grantTypesOf(row).filter((grantType) => enabled.grantTypes.includes(grantType)),
    response_types: [...preset.responseTypes],
    redirect_uris: [...row.redirect_uris],
    post_logout_redirect_uris: [...row.post_logout_redirect_uris],
    token_endpoint_auth_method: row.token_endpoint_auth_method,
    // The engine wants a secret to be there; what is compared are the hashes below.
    ...(firstHash === undefined ? {} : { client_secret: firstHash }),
    ...(row.jwks === null ? {} : { jwks: { keys: [...row.jwks.keys] } }),
    // The engine knows only scopes about the person; those of APIs it meets as the resource's (RFC 8707).
    ...(scope === '' ? {} : { scope }),
    ...Object.fromEntries(engineMetadata.map((name) => [name, row.settings[name]])),
    authorization_details_types: detailsTypesOf(row).filter((type) => enabled.detailsTypes.includes(type)),
    poort_type: row.type,
    poort_first_party: row.first_party,
    poort_audiences: [...row.audiences],
    poort_secret_hashes: [...row.secret_hashes],
    poort_scopes: [...row.scopes],
    poort_settings: row.settings,
  };
}

function grantTypesOf(row: ClientRow): readonly string[] {
  const { settings } = row;
  return [
    ...presetOf(row).grantTypes,
    ...(settings.token_exchange_audiences === undefined ? [] : [tokenExchangeGrantType]),
    ...(settings.backchannel_token_delivery_mode === undefined ? [] : [cibaGrantType]),
  ];
}

function detailsTypesOf({ settings }: ClientRow): readonly string[] {
  return settings.authorization_details_types ?? [];
}
