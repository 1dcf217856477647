/**
 * This file owns what a client may choose beyond its type: the keys of `clients.settings`, what each may hold, and which of
 * them fit together. Names are those of the registered metadata (RFC 7591 and the specifications named below); those that
 * are ours say so. It does not own what the engine makes of them (adapters/clients_adapter.ts).
 *
 * Nothing here widens what a type allows. Each setting demands more of the client, or chooses between ways that are equally
 * safe; and a client whose demand this tenant cannot meet, because the part of the protocol is switched off, is not served
 * with less: it is not served.
 */

import { isAudience } from './api.ts';
import { isDetailsType } from './authorization_details.ts';
import type { ClientType, TokenEndpointAuthMethod } from './client.ts';
import type { ProtocolFeature, ProtocolFeatures } from './protocol_features.ts';
import { validateOrigin, validateWebUri } from './redirect_uri.ts';
import { MAXIMUM_GRACE_SECONDS } from './rotation.ts';

export const SIGNING_ALGORITHMS = ['RS256', 'ES256', 'EdDSA'] as const;
/** With which our own keys sign. */
export type SigningAlgorithm = (typeof SIGNING_ALGORITHMS)[number];

export const CLIENT_SIGNING_ALGORITHMS = ['ES256', 'RS256', 'PS256', 'EdDSA'] as const;
/** With which a client's keys sign. Nothing symmetric: what we keep of a secret is a hash, and would become the key. */
export type ClientSigningAlgorithm = (typeof CLIENT_SIGNING_ALGORITHMS)[number];

/** What is stored: only keys that were set, each checked. */
export interface ClientSettings {
  /** Ours: for how many seconds a used refresh token gives the same successor again; 0 is never. */
  readonly refresh_grace_seconds?: number;
  /** Ours: whether a refresh token is replaced at every use also when it is bound to a key of the client. */
  readonly refresh_rotation?: 'always' | 'unless_sender_constrained';
  /** Ours: origins beside those of the redirect URIs from which a browser application calls (CORS). */
  readonly allowed_origins?: readonly string[];
  /** Ours: the client keeps to the FAPI 2.0 Security Profile, and is held to it. */
  readonly fapi_profile?: '2.0';
  /** Ours: every DPoP proof at the token endpoint needs a nonce of the server (RFC 9449 §8). */
  readonly require_dpop_nonce?: boolean;

  /** Ours: the APIs it may go on to with a token it was called with, or was given (RFC 8693, see token_exchange.ts). */
  readonly token_exchange_audiences?: readonly string[];

  /** RFC 9396 §10: what it may ask people for beyond scopes, by the types that the tenant's APIs define. */
  readonly authorization_details_types?: readonly string[];

  /** CIBA §4: it may ask people for an answer at another device, and polls until it has one. */
  readonly backchannel_token_delivery_mode?: 'poll';

  /** RFC 7591 §2: where the client publishes its keys, instead of registering them. */
  readonly jwks_uri?: string;
  /** OpenID Connect Registration 1.0 §2: the one algorithm of its client assertions. */
  readonly token_endpoint_auth_signing_alg?: ClientSigningAlgorithm;
  /** RFC 8705 §2.1.2: exactly one of these for `tls_client_auth`. The name is written as in RFC 4514. */
  readonly tls_client_auth_subject_dn?: string;
  readonly tls_client_auth_san_dns?: string;
  readonly tls_client_auth_san_uri?: string;
  readonly tls_client_auth_san_ip?: string;
  readonly tls_client_auth_san_email?: string;

  /** RFC 8705 §3.4. */
  readonly tls_client_certificate_bound_access_tokens?: boolean;
  /** RFC 9449 §5.2. */
  readonly dpop_bound_access_tokens?: boolean;
  /** RFC 9126 §6. */
  readonly require_pushed_authorization_requests?: boolean;
  /** RFC 9101 §10.5. */
  readonly require_signed_request_object?: boolean;
  /** OpenID Connect Registration 1.0 §2. */
  readonly request_object_signing_alg?: ClientSigningAlgorithm;
  readonly id_token_signed_response_alg?: SigningAlgorithm;
  /** OpenID Connect Registration 1.0 §2: userinfo is a JWT then. */
  readonly userinfo_signed_response_alg?: SigningAlgorithm;
  /** JARM §3. */
  readonly authorization_signed_response_alg?: SigningAlgorithm;
  /** RFC 9701 §6. */
  readonly introspection_signed_response_alg?: SigningAlgorithm;
  /** OpenID Connect Registration 1.0 §2: seconds after which a person signs in again for this client. */
  readonly default_max_age?: number;

  /** RFC 7591 §2: for people, shown and never fetched. */
  readonly client_uri?: string;
  readonly logo_uri?: string;
  readonly policy_uri?: string;
  readonly tos_uri?: string;
  /** OpenID Connect Core 1.0 §4. */
  readonly initiate_login_uri?: string;
}

export type ClientSettingName = keyof ClientSettings;

export interface ClientSettingProblem {
  readonly field: ClientSettingName | 'settings' | 'token_endpoint_auth_method';
  readonly problem: string;
  readonly value?: string;
}

export type ParsedClientSettings =
  | { readonly outcome: 'valid'; readonly settings: ClientSettings }
  | { readonly outcome: 'invalid'; readonly problems: readonly ClientSettingProblem[] };

/** Why a value is refused: a stable word, or undefined when it is fine. */
type Check = (value: unknown) => string | undefined;

const MAXIMUM_ORIGINS = 20;
const MAXIMUM_AUDIENCES = 20;
const MAXIMUM_DETAILS_TYPES = 20;
const MAXIMUM_AGE_SECONDS = 30 * 24 * 60 * 60;

const isOneOf =
  (words: readonly string[]): Check =>
  (value) =>
    words.some((word) => word === value) ? undefined : 'unknown';
const isYesOrNo: Check = (value) => (typeof value === 'boolean' ? undefined : 'not_a_boolean');
const isWholeNumber =
  (maximum: number): Check =>
  (value) =>
    Number.isInteger(value) && Number(value) >= 0 && Number(value) <= maximum ? undefined : 'out_of_range';
const isWebUri: Check = (value) => {
  const decision = validateWebUri(typeof value === 'string' ? value : '');
  return decision.outcome === 'accepted' ? undefined : decision.reason;
};
const isHttpsUri: Check = (value) =>
  isWebUri(value) ?? (String(value).startsWith('https:') ? undefined : 'insecure_http');
const areOrigins: Check = (value) => {
  if (!Array.isArray(value) || value.length === 0) return 'not_a_list';
  if (value.length > MAXIMUM_ORIGINS) return 'too_many';
  return value.every((item) => typeof item === 'string' && validateOrigin(item)) ? undefined : 'not_an_origin';
};
const areAudiences: Check = (value) => {
  if (!Array.isArray(value) || value.length === 0) return 'not_a_list';
  if (value.length > MAXIMUM_AUDIENCES) return 'too_many';
  return value.every((item) => typeof item === 'string' && isAudience(item)) ? undefined : 'not_an_absolute_uri';
};
const areDetailsTypes: Check = (value) => {
  if (!Array.isArray(value) || value.length === 0) return 'not_a_list';
  if (value.length > MAXIMUM_DETAILS_TYPES) return 'too_many';
  return value.every((item) => typeof item === 'string' && isDetailsType(item)) ? undefined : 'syntax';
};
const matches =
  (pattern: RegExp): Check =>
  (value) =>
    typeof value === 'string' && value.length <= 500 && pattern.test(value) ? undefined : 'syntax';

/** RFC 4514 §3, without the `#` form: `CN=client,O=Acme\, Inc.,C=NL`. No value holds a control character. */
const DISTINGUISHED_NAME =
  /^[A-Za-z][A-Za-z0-9-]*=(?:[^\p{Cc}",+;<>\\=#]|\\[^\p{Cc}])(?:[^\p{Cc}",+;<>\\]|\\[^\p{Cc}])*(?:,[A-Za-z][A-Za-z0-9-]*=(?:[^\p{Cc}",+;<>\\=#]|\\[^\p{Cc}])(?:[^\p{Cc}",+;<>\\]|\\[^\p{Cc}])*)*$/u;
const DNS_NAME = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;
const IP_ADDRESS = /^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f:]*:[0-9a-f:]*)$/;
const EMAIL_ADDRESS = /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9.-]+$/;
const URI_NAME = /^[a-z][a-z0-9+.-]*:[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]+$/;

interface Rule {
  readonly check: Check;
  /** The switch without which the setting cannot be kept. */
  readonly needs?: ProtocolFeature;
}

const RULES: Readonly<Record<ClientSettingName, Rule>> = {
  refresh_grace_seconds: { check: isWholeNumber(MAXIMUM_GRACE_SECONDS) },
  refresh_rotation: { check: isOneOf(['always', 'unless_sender_constrained']) },
  allowed_origins: { check: areOrigins },
  fapi_profile: { check: isOneOf(['2.0']), needs: 'fapi2' },
  require_dpop_nonce: { check: isYesOrNo },
  // Switched off, it is served without: that takes nothing away from what it demands.
  token_exchange_audiences: { check: areAudiences },
  authorization_details_types: { check: areDetailsTypes, needs: 'rar' },
  // As above: switched off, nobody is asked.
  backchannel_token_delivery_mode: { check: isOneOf(['poll']) },
  jwks_uri: { check: isWebUri },
  token_endpoint_auth_signing_alg: { check: isOneOf(CLIENT_SIGNING_ALGORITHMS) },
  tls_client_auth_subject_dn: { check: matches(DISTINGUISHED_NAME), needs: 'mtls' },
  tls_client_auth_san_dns: { check: matches(DNS_NAME), needs: 'mtls' },
  tls_client_auth_san_uri: { check: matches(URI_NAME), needs: 'mtls' },
  tls_client_auth_san_ip: { check: matches(IP_ADDRESS), needs: 'mtls' },
  tls_client_auth_san_email: { check: matches(EMAIL_ADDRESS), needs: 'mtls' },
  tls_client_certificate_bound_access_tokens: { check: isYesOrNo, needs: 'mtls' },
  dpop_bound_access_tokens: { check: isYesOrNo },
  require_pushed_authorization_requests: { check: isYesOrNo },
  require_signed_request_object: { check: isYesOrNo, needs: 'jar' },
  request_object_signing_alg: { check: isOneOf(CLIENT_SIGNING_ALGORITHMS), needs: 'jar' },
  id_token_signed_response_alg: { check: isOneOf(SIGNING_ALGORITHMS) },
  userinfo_signed_response_alg: { check: isOneOf(SIGNING_ALGORITHMS) },
  authorization_signed_response_alg: { check: isOneOf(SIGNING_ALGORITHMS), needs: 'jarm' },
  introspection_signed_response_alg: { check: isOneOf(SIGNING_ALGORITHMS) },
  default_max_age: { check: isWholeNumber(MAXIMUM_AGE_SECONDS) },
  client_uri: { check: isWebUri },
  logo_uri: { check: isWebUri },
  policy_uri: { check: isWebUri },
  tos_uri: { check: isWebUri },
  // OpenID Connect Core 1.0 §4: https, on loopback as well
  initiate_login_uri: { check: isHttpsUri },
};

export const CLIENT_SETTING_NAMES = Object.keys(RULES) as readonly ClientSettingName[]; // the table's own keys

/** Which way to authenticate needs which switch. */
const METHOD_NEEDS: Readonly<Partial<Record<TokenEndpointAuthMethod, ProtocolFeature>>> = {
  tls_client_auth: 'mtls',
  self_signed_tls_client_auth: 'mtls',
};

const SUBJECT_NAMES = [
  'tls_client_auth_subject_dn',
  'tls_client_auth_san_dns',
  'tls_client_auth_san_uri',
  'tls_client_auth_san_ip',
  'tls_client_auth_san_email',
] as const satisfies readonly ClientSettingName[];

/** Settings that say which of our keys signs. */
const RESPONSE_ALGORITHMS = [
  'id_token_signed_response_alg',
  'userinfo_signed_response_alg',
  'authorization_signed_response_alg',
  'introspection_signed_response_alg',
] as const satisfies readonly ClientSettingName[];

/** Parses settings as JSON already parsed, each by itself; all problems at once. An unknown key is a problem, never ignored. */
export function parseClientSettings(input: unknown): ParsedClientSettings {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    return { outcome: 'invalid', problems: [{ field: 'settings', problem: 'not_an_object' }] };
  }
  const problems = Object.entries(input).flatMap(([name, value]): ClientSettingProblem[] => {
    if (!isClientSettingName(name)) return [{ field: 'settings', problem: 'unknown', value: name }];
    const problem = RULES[name].check(value);
    if (problem === undefined) return [];
    return [{ field: name, problem, ...(typeof value === 'string' ? { value } : {}) }];
  });
  if (problems.length > 0) return { outcome: 'invalid', problems };
  return { outcome: 'valid', settings: input as ClientSettings }; // every key and value was just checked
}

export function isClientSettingName(name: string): name is ClientSettingName {
  return Object.hasOwn(RULES, name);
}

/** The rest of a client, as far as settings depend on it. */
export interface ClientAround {
  readonly type: ClientType;
  readonly confidential: boolean;
  readonly hasRefreshTokens: boolean;
  readonly hasRedirectUris: boolean;
  readonly redirectUris: readonly string[];
  readonly tokenEndpointAuthMethod: TokenEndpointAuthMethod;
  readonly hasKeys: boolean;
  /** Certificates (`x5c`) among its keys. */
  readonly hasCertificates: boolean;
}

/** What a profile brings with it, for what the client did not choose itself. */
export function withProfileDefaults(settings: ClientSettings, { hasRedirectUris }: ClientAround): ClientSettings {
  if (settings.fapi_profile === undefined) return settings;
  return {
    // FAPI 2.0 Security Profile §5.3.2.1: sender-constrained, and a refresh token is not rotated
    ...(settings.tls_client_certificate_bound_access_tokens === true ? {} : { dpop_bound_access_tokens: true }),
    ...(hasRedirectUris
      ? {
          require_pushed_authorization_requests: true,
          id_token_signed_response_alg: 'ES256' as const,
          refresh_rotation: 'unless_sender_constrained' as const,
        }
      : {}),
    ...settings,
  };
}

/** Whether the settings fit each other and the rest of the client; all problems at once. */
export function problemsWithSettings(settings: ClientSettings, client: ClientAround): readonly ClientSettingProblem[] {
  return [
    ...problemsWithAuthentication(settings, client),
    ...problemsWithCertificates(settings, client),
    ...problemsWithTokens(settings, client),
    ...problemsWithRequests(settings, client),
    ...problemsWithProfile(settings, client),
  ];
}

/** Switches without which this client must not be served, because it would get less than it demands. */
export function neededFeatures(settings: ClientSettings, method: TokenEndpointAuthMethod): readonly ProtocolFeature[] {
  const names = CLIENT_SETTING_NAMES.filter((name) => settings[name] !== undefined && settings[name] !== false);
  const needed = [METHOD_NEEDS[method], ...names.map((name) => RULES[name].needs)];
  return [...new Set(needed)].filter((feature) => feature !== undefined);
}

/** The same, as problems of a client that is about to be registered. */
export function problemsWithFeatures(
  settings: ClientSettings,
  { method, protocol }: { method: TokenEndpointAuthMethod; protocol: ProtocolFeatures },
): readonly ClientSettingProblem[] {
  return neededFeatures(settings, method)
    .filter((feature) => !protocol[feature])
    .map((feature) => ({ field: 'settings', problem: 'switched_off', value: `protocol.${feature}` }));
}

/** Our own keys that this client relies on. */
export function neededAlgorithms(settings: ClientSettings): readonly SigningAlgorithm[] {
  const chosen = RESPONSE_ALGORITHMS.map((name) => settings[name]);
  return [...new Set(chosen)].filter((algorithm) => algorithm !== undefined);
}

function problemsWithAuthentication(settings: ClientSettings, client: ClientAround): ClientSettingProblem[] {
  const { tokenEndpointAuthMethod: method } = client;
  const field = 'token_endpoint_auth_method';
  const problems: ClientSettingProblem[] = [];
  if ((method === 'none') === client.confidential) problems.push({ field, problem: 'not_for_this_type' });
  const needsKeys = method === 'private_key_jwt' || method === 'self_signed_tls_client_auth';
  if (needsKeys && !client.hasKeys && settings.jwks_uri === undefined) problems.push({ field, problem: 'needs_keys' });
  if (settings.jwks_uri !== undefined && client.hasKeys) problems.push({ field: 'jwks_uri', problem: 'beside_jwks' });
  if (settings.jwks_uri !== undefined && !client.confidential)
    problems.push({ field: 'jwks_uri', problem: 'not_for_this_type' });
  if (settings.token_endpoint_auth_signing_alg !== undefined && method !== 'private_key_jwt')
    problems.push({ field: 'token_endpoint_auth_signing_alg', problem: 'needs_private_key_jwt' });
  return problems;
}

function problemsWithCertificates(settings: ClientSettings, client: ClientAround): ClientSettingProblem[] {
  const { tokenEndpointAuthMethod: method } = client;
  const given = SUBJECT_NAMES.filter((name) => settings[name] !== undefined);
  // RFC 8705 §2.1.2: "exactly one of"
  if (method === 'tls_client_auth') {
    return given.length === 1 ? [] : [{ field: 'tls_client_auth_subject_dn', problem: 'exactly_one_subject' }];
  }
  const misplaced = given.map((field) => ({ field, problem: 'needs_tls_client_auth' }));
  const withoutCertificate =
    method === 'self_signed_tls_client_auth' && client.hasKeys && !client.hasCertificates
      ? [{ field: 'token_endpoint_auth_method', problem: 'needs_certificates' } as const]
      : [];
  return [...misplaced, ...withoutCertificate];
}

function problemsWithTokens(settings: ClientSettings, client: ClientAround): ClientSettingProblem[] {
  const problems: ClientSettingProblem[] = [];
  const { dpop_bound_access_tokens: dpop, tls_client_certificate_bound_access_tokens: tls } = settings;
  if (dpop === true && tls === true) problems.push({ field: 'dpop_bound_access_tokens', problem: 'one_binding_only' });
  for (const field of ['refresh_grace_seconds', 'refresh_rotation'] as const) {
    if (settings[field] !== undefined && !client.hasRefreshTokens)
      problems.push({ field, problem: 'not_for_this_type' });
  }
  // Without a key that proves who presents it, a token that is never replaced is a password for as long as it lives.
  if (settings.refresh_rotation === 'unless_sender_constrained' && dpop !== true && tls !== true)
    problems.push({ field: 'refresh_rotation', problem: 'needs_bound_tokens' });
  // Without authentication nobody could tell who acts.
  if (settings.token_exchange_audiences !== undefined && !client.confidential)
    problems.push({ field: 'token_exchange_audiences', problem: 'not_for_this_type' });
  // It asks for people, and only a client that proves who it is may do so unseen by them.
  if (settings.backchannel_token_delivery_mode !== undefined && !(client.confidential && client.hasRedirectUris))
    problems.push({ field: 'backchannel_token_delivery_mode', problem: 'not_for_this_type' });
  if (settings.require_dpop_nonce === true && dpop !== true)
    problems.push({ field: 'require_dpop_nonce', problem: 'needs_bound_tokens' });
  return problems;
}

function problemsWithRequests(settings: ClientSettings, client: ClientAround): ClientSettingProblem[] {
  const problems: ClientSettingProblem[] = [];
  const onlyWithRedirects = [
    'require_pushed_authorization_requests',
    'require_signed_request_object',
    'request_object_signing_alg',
    'id_token_signed_response_alg',
    'userinfo_signed_response_alg',
    'authorization_signed_response_alg',
    'default_max_age',
    'initiate_login_uri',
    'authorization_details_types',
  ] as const;
  const isDevice = client.type === 'device';
  for (const field of onlyWithRedirects) {
    const forDevices = field === 'id_token_signed_response_alg' || field === 'userinfo_signed_response_alg';
    if (settings[field] !== undefined && !client.hasRedirectUris && !(isDevice && forDevices))
      problems.push({ field, problem: 'not_for_this_type' });
  }
  for (const field of ['require_signed_request_object', 'request_object_signing_alg'] as const) {
    const asked = settings[field] !== undefined && settings[field] !== false;
    if (asked && !client.hasKeys && settings.jwks_uri === undefined) problems.push({ field, problem: 'needs_keys' });
  }
  // A confidential client calls from its server. A browser that may call in its name would need its secret.
  if (settings.allowed_origins !== undefined && client.confidential)
    problems.push({ field: 'allowed_origins', problem: 'not_for_this_type' });
  return problems;
}

/** FAPI 2.0 Security Profile §5.3.2 and §5.4. */
function problemsWithProfile(settings: ClientSettings, client: ClientAround): ClientSettingProblem[] {
  if (settings.fapi_profile === undefined) return [];
  const problems: ClientSettingProblem[] = [];
  const { tokenEndpointAuthMethod: method } = client;
  if (!client.confidential) problems.push({ field: 'fapi_profile', problem: 'not_for_this_type' });
  if (method === 'client_secret_basic' || method === 'client_secret_post')
    problems.push({ field: 'fapi_profile', problem: 'needs_keys_or_certificates' });
  if (settings.dpop_bound_access_tokens !== true && settings.tls_client_certificate_bound_access_tokens !== true)
    problems.push({ field: 'fapi_profile', problem: 'needs_bound_tokens' });
  if (client.hasRedirectUris && settings.require_pushed_authorization_requests !== true)
    problems.push({ field: 'fapi_profile', problem: 'needs_pushed_requests' });
  if (settings.refresh_rotation === 'always') problems.push({ field: 'fapi_profile', problem: 'must_not_rotate' });
  for (const field of [
    ...RESPONSE_ALGORITHMS,
    'token_endpoint_auth_signing_alg',
    'request_object_signing_alg',
  ] as const) {
    if (settings[field] === 'RS256') problems.push({ field, problem: 'not_in_this_profile' });
  }
  for (const value of client.redirectUris.filter((uri) => uri.startsWith('http:'))) {
    problems.push({ field: 'fapi_profile', problem: 'insecure_http', value });
  }
  return problems;
}
