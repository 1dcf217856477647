/**
 * This file owns what client metadata of RFC 7591 mean here: which type of client is asked for, what is refused because it would be
 * silently missing, and how a client of ours is described in those words. It does not own what a client may be (client.ts) or who
 * may register one.
 */

import {
  type ClientPlan,
  type ClientProblem,
  type ClientRequest,
  type ClientType,
  planClient,
  presetFor,
} from './client.ts';

/** Client metadata (RFC 7591 §2), parsed at the door. What this server does not know was left out there, as the RFC asks. */
export interface ClientMetadata {
  readonly redirect_uris?: readonly string[] | undefined;
  readonly post_logout_redirect_uris?: readonly string[] | undefined;
  readonly backchannel_logout_uri?: string | undefined;
  readonly client_name?: string | undefined;
  readonly application_type?: string | undefined;
  readonly grant_types?: readonly string[] | undefined;
  readonly response_types?: readonly string[] | undefined;
  readonly token_endpoint_auth_method?: string | undefined;
  readonly scope?: string | undefined;
  readonly jwks?: unknown;
}

/** What an initial access token allows. */
export interface RegistrationPolicy {
  readonly types: readonly ClientType[];
  /** On top of those of the type. */
  readonly scopes: readonly string[];
}

/** RFC 7591 §3.2.2. */
export interface RegistrationRefusal {
  readonly outcome: 'refused';
  readonly error: 'invalid_redirect_uri' | 'invalid_client_metadata' | 'invalid_software_statement';
  readonly description: string;
}

/**
 * Metadata that would change how a client is treated and that we do not serve: to leave them out, as unknown ones are, would give
 * the client something else than it believes to have.
 */
export const REFUSED_METADATA = [
  'jwks_uri',
  'sector_identifier_uri',
  'request_uris',
  'frontchannel_logout_uri',
  'tls_client_auth_subject_dn',
  'tls_client_auth_san_dns',
  'tls_client_auth_san_uri',
  'tls_client_auth_san_ip',
  'tls_client_auth_san_email',
  'tls_client_certificate_bound_access_tokens',
  'id_token_encrypted_response_alg',
  'userinfo_encrypted_response_alg',
  'request_object_encryption_alg',
  'introspection_encrypted_response_alg',
  'authorization_encrypted_response_alg',
] as const;

const DEVICE_CODE = 'urn:ietf:params:oauth:grant-type:device_code';
const WITH_SECRET: ReadonlySet<string> = new Set(['client_secret_basic', 'client_secret_post']);

/** Plans a new client. Its type follows from what it asks for, or it is refused: there is no client between the types. */
export function planRegistration(
  metadata: ClientMetadata,
  policy: RegistrationPolicy,
): ClientPlan | RegistrationRefusal {
  const type = typeOf(metadata);
  if (type === undefined)
    return invalid('these grant types, response types and this authentication belong to no type of client');
  if (!policy.types.includes(type)) return invalid(`the initial access token is not for clients of the type ${type}`);
  const asked = scopesOf(metadata);
  const allowed = new Set([...presetFor(type).defaultScopes, ...policy.scopes]);
  const tooMuch = asked.find((scope) => !allowed.has(scope));
  if (tooMuch !== undefined) return invalid('scope: the initial access token does not allow all of it');
  const { token_endpoint_auth_method: tokenEndpointAuthMethod } = metadata;
  const plan = planClient({ ...requestOf(metadata), type, scopes: asked, tokenEndpointAuthMethod });
  if (plan.outcome === 'refused') return plan;
  return authenticatesAsAsked(metadata, plan.client.tokenEndpointAuthMethod)
    ? plan
    : invalid('token_endpoint_auth_method and jwks do not belong together');
}

/** A registered client, as far as an update may touch it or has to leave it alone. */
export interface RegisteredClient {
  readonly clientId: string;
  readonly name: string;
  readonly type: ClientType;
  readonly redirectUris: readonly string[];
  readonly postLogoutRedirectUris: readonly string[];
  readonly backchannelLogoutUri: string | undefined;
  readonly scopes: readonly string[];
  readonly tokenEndpointAuthMethod: string;
  /** As it is stored. */
  readonly jwks: { readonly keys: readonly object[] } | undefined;
  readonly createdAt: Date;
}

/** What an operator alone decides about a client, and an update leaves as it is. */
export interface OperatorsChoice {
  readonly firstParty: boolean;
  readonly settings: unknown;
}

/**
 * Plans a replacement (RFC 7592 §2.2) of names, addresses and keys. C37: type, grants, scopes and the way it authenticates are what
 * they were, and no address comes in under a scheme that the client did not have.
 */
export function planUpdate(
  metadata: ClientMetadata,
  client: RegisteredClient & OperatorsChoice,
): ClientPlan | RegistrationRefusal {
  if (typeOf(metadata) !== client.type)
    return invalid('grants, response types and authentication of a client stay what they are');
  if (metadata.scope !== undefined && !isSameSet(scopesOf(metadata), client.scopes))
    return invalid('scope: stays what it is');
  const schemes = new Set(client.redirectUris.map(schemeOf));
  const addresses = [...(metadata.redirect_uris ?? []), ...(metadata.post_logout_redirect_uris ?? [])];
  if (!addresses.every((uri) => schemes.has(schemeOf(uri))))
    return {
      outcome: 'refused',
      error: 'invalid_redirect_uri',
      description: 'the scheme of an address stays what it is',
    };
  const { type, scopes, firstParty, settings, tokenEndpointAuthMethod } = client;
  const plan = planClient({ ...requestOf(metadata), type, scopes, firstParty, settings, tokenEndpointAuthMethod });
  if (plan.outcome === 'refused') return plan;
  return authenticatesAsAsked(metadata, tokenEndpointAuthMethod)
    ? plan
    : invalid('the way a client authenticates stays what it is');
}

/** The problems of a plan in the words of RFC 7591 §3.2.2. */
export function refusalOf(
  problems: readonly (ClientProblem | { readonly field: 'client_secret'; readonly problem: string })[],
): RegistrationRefusal {
  const description = problems.map(({ field, problem }) => `${field}: ${problem.replaceAll('_', ' ')}`).join('; ');
  const error = problems.some(({ field }) => field === 'redirect_uris')
    ? 'invalid_redirect_uri'
    : 'invalid_client_metadata';
  return { outcome: 'refused', error, description };
}

/** RFC 7591 §3.2.1: all that the client is now, also what it did not ask for. */
export function metadataOf(client: RegisteredClient): Readonly<Record<string, unknown>> {
  const preset = presetFor(client.type);
  return {
    client_id: client.clientId,
    client_id_issued_at: Math.floor(client.createdAt.getTime() / 1000),
    client_name: client.name,
    application_type: preset.applicationType,
    grant_types: preset.grantTypes,
    response_types: preset.responseTypes,
    redirect_uris: client.redirectUris,
    post_logout_redirect_uris: client.postLogoutRedirectUris,
    ...(client.backchannelLogoutUri === undefined ? {} : { backchannel_logout_uri: client.backchannelLogoutUri }),
    token_endpoint_auth_method: client.tokenEndpointAuthMethod,
    scope: client.scopes.join(' '),
    ...(client.jwks === undefined ? {} : { jwks: client.jwks }),
  };
}

/** RFC 7591 §2 says what is meant by what is left out. */
function typeOf(metadata: ClientMetadata): ClientType | undefined {
  const grants = new Set(metadata.grant_types ?? ['authorization_code']);
  const isOnly = (...allowed: readonly string[]): boolean => [...grants].every((grant) => allowed.includes(grant));
  const method = metadata.token_endpoint_auth_method ?? 'client_secret_basic';
  const isConfidential = WITH_SECRET.has(method) || method === 'private_key_jwt';
  const responses = metadata.response_types ?? (grants.has('authorization_code') ? ['code'] : []);
  if (grants.has('authorization_code')) {
    if (!isOnly('authorization_code', 'refresh_token') || !isSameSet(responses, ['code'])) return undefined;
    if (metadata.application_type === 'native') return method === 'none' ? 'native' : undefined;
    if ((metadata.application_type ?? 'web') !== 'web') return undefined;
    if (method === 'none') return 'spa';
    return isConfidential ? 'web' : undefined;
  }
  if (responses.length > 0) return undefined;
  if (grants.has(DEVICE_CODE)) return isOnly(DEVICE_CODE, 'refresh_token') && method === 'none' ? 'device' : undefined;
  if (grants.has('client_credentials')) return isOnly('client_credentials') && isConfidential ? 'machine' : undefined;
  return undefined;
}

function requestOf(metadata: ClientMetadata): Omit<ClientRequest, 'type' | 'scopes'> {
  return {
    name: metadata.client_name ?? hostOf(metadata.redirect_uris?.[0]) ?? 'Registered client',
    redirectUris: metadata.redirect_uris,
    postLogoutRedirectUris: metadata.post_logout_redirect_uris,
    backchannelLogoutUri: metadata.backchannel_logout_uri,
    jwks: metadata.jwks,
    // Nobody vouched for it: people are asked.
    firstParty: false,
  };
}

/** Either secret method is good for the other (RFC 6749 §2.3.1 has the server take both). */
function authenticatesAsAsked({ token_endpoint_auth_method: asked }: ClientMetadata, planned: string): boolean {
  const method = asked ?? 'client_secret_basic';
  return WITH_SECRET.has(method) ? WITH_SECRET.has(planned) : method === planned;
}

function scopesOf({ scope }: ClientMetadata): readonly string[] {
  return [...new Set(scope?.split(' ').filter((name) => name !== ''))];
}

function isSameSet(left: readonly string[], right: readonly string[]): boolean {
  return left.every((item) => right.includes(item)) && right.every((item) => left.includes(item));
}

/** As text: what a parser would make of a strange address is judged elsewhere. */
function schemeOf(uri: string): string {
  return uri.slice(0, uri.indexOf(':') + 1).toLowerCase();
}

function hostOf(uri: string | undefined): string | undefined {
  const host = uri === undefined ? '' : (URL.parse(uri)?.hostname ?? '');
  return host === '' ? undefined : host;
}

function invalid(description: string): RegistrationRefusal {
  return { outcome: 'refused', error: 'invalid_client_metadata', description };
}
