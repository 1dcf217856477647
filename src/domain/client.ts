/**
 * This file owns what a client is: the six types, what each type may do, and whether a requested client can be registered.
 * It does not own secrets or identifiers (they need randomness) or how clients are kept.
 *
 * A type is a preset, not a starting point: nobody chooses grant types one by one, because the unsafe clients of this world
 * are combinations that somebody was allowed to choose. What may be chosen is in client_settings.ts.
 */

import { isAudience } from './api.ts';
import {
  type ClientAround,
  type ClientSettingProblem,
  type ClientSettings,
  parseClientSettings,
  problemsWithFeatures,
  problemsWithSettings,
  withProfileDefaults,
} from './client_settings.ts';
import { type EgressPermissions, egressPermissions, judgeHost, parseEgressTarget } from './egress.ts';
import { type PublicJwks, parseJwks } from './jwks.ts';
import { parseName } from './name.ts';
import { isPlatformScope } from './own_scope.ts';
import { NOTHING_SWITCHED_ON, type ProtocolFeatures } from './protocol_features.ts';
import { validateBackchannelLogoutUri, validatePostLogoutRedirectUri, validateRedirectUri } from './redirect_uri.ts';
import { isScopeToken, MAXIMUM_SCOPES, OPENID_SCOPES } from './scope.ts';

/** Identifies a client within its tenant (RFC 6749 §2.2). Not a secret. */
export type ClientId = string & { readonly __brand: 'ClientId' };

export const CLIENT_TYPES = ['web', 'spa', 'native', 'device', 'machine', 'resource_server'] as const;
export type ClientType = (typeof CLIENT_TYPES)[number];

export type ClientStatus = 'active' | 'disabled';

export type GrantType =
  | 'authorization_code'
  | 'refresh_token'
  | 'client_credentials'
  | 'urn:ietf:params:oauth:grant-type:device_code';

export const TOKEN_ENDPOINT_AUTH_METHODS = [
  'none',
  'client_secret_basic',
  'client_secret_post',
  'private_key_jwt',
  'tls_client_auth',
  'self_signed_tls_client_auth',
] as const;

/** RFC 7591 §2, RFC 8705 §2.1.1. A client with a secret may send it either way. */
export type TokenEndpointAuthMethod = (typeof TOKEN_ENDPOINT_AUTH_METHODS)[number];

/** What clients of one type can do. */
export interface ClientPreset {
  /** RFC 6749 §2.1: can keep a secret. */
  readonly confidential: boolean;
  readonly grantTypes: readonly GrantType[];
  readonly responseTypes: readonly 'code'[];
  /** Unless the client registers keys; a confidential one then uses `private_key_jwt`. */
  readonly tokenEndpointAuthMethod: TokenEndpointAuthMethod;
  readonly needsRedirectUri: boolean;
  /** OpenID Connect Registration 1.0 §2. */
  readonly applicationType: 'web' | 'native';
  /** What it may always ask for; requested scopes come on top. Empty where there is no person. */
  readonly defaultScopes: readonly string[];
  /** RFC 7636, S256, for every client that uses codes: also confidential ones (RFC 9700 §2.1.1). */
  readonly requirePkce: true;
}

const PRESETS = {
  web: {
    confidential: true,
    grantTypes: ['authorization_code', 'refresh_token'],
    responseTypes: ['code'],
    tokenEndpointAuthMethod: 'client_secret_basic',
    needsRedirectUri: true,
    applicationType: 'web',
    defaultScopes: ['openid', 'profile', 'email', 'offline_access'],
    requirePkce: true,
  },
  spa: {
    confidential: false,
    grantTypes: ['authorization_code', 'refresh_token'],
    responseTypes: ['code'],
    tokenEndpointAuthMethod: 'none',
    needsRedirectUri: true,
    applicationType: 'web',
    defaultScopes: ['openid', 'profile', 'email', 'offline_access'],
    requirePkce: true,
  },
  native: {
    confidential: false,
    grantTypes: ['authorization_code', 'refresh_token'],
    responseTypes: ['code'],
    tokenEndpointAuthMethod: 'none',
    needsRedirectUri: true,
    applicationType: 'native',
    defaultScopes: ['openid', 'profile', 'email', 'offline_access'],
    requirePkce: true,
  },
  device: {
    confidential: false,
    grantTypes: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
    responseTypes: [],
    tokenEndpointAuthMethod: 'none',
    needsRedirectUri: false,
    applicationType: 'web',
    defaultScopes: ['openid', 'offline_access'],
    requirePkce: true,
  },
  machine: {
    confidential: true,
    grantTypes: ['client_credentials'],
    responseTypes: [],
    tokenEndpointAuthMethod: 'client_secret_basic',
    needsRedirectUri: false,
    applicationType: 'web',
    defaultScopes: [],
    requirePkce: true,
  },
  resource_server: {
    confidential: true,
    grantTypes: [],
    responseTypes: [],
    tokenEndpointAuthMethod: 'client_secret_basic',
    needsRedirectUri: false,
    applicationType: 'web',
    defaultScopes: [],
    requirePkce: true,
  },
} as const satisfies Record<ClientType, ClientPreset>;

/** What a tenant asks for. Texts as they came; nothing was checked yet. */
export interface ClientRequest {
  readonly name: string;
  readonly type: string;
  readonly redirectUris?: readonly string[] | undefined;
  readonly postLogoutRedirectUris?: readonly string[] | undefined;
  readonly backchannelLogoutUri?: string | undefined;
  /** On top of the type's default scopes. */
  readonly scopes?: readonly string[] | undefined;
  /** For a resource server: the APIs it stands for. None: every API of its tenant. */
  readonly audiences?: readonly string[] | undefined;
  readonly firstParty?: boolean | undefined;
  /** A JSON Web Key Set, as JSON already parsed. */
  readonly jwks?: unknown;
  /** Without one: `private_key_jwt` where there are keys, else what the type says. */
  readonly tokenEndpointAuthMethod?: string | undefined;
  /** As JSON already parsed; see client_settings.ts. */
  readonly settings?: unknown;
}

/** A client fit to be stored. */
export interface PlannedClient {
  readonly name: string;
  readonly type: ClientType;
  readonly firstParty: boolean;
  readonly redirectUris: readonly string[];
  readonly postLogoutRedirectUris: readonly string[];
  readonly backchannelLogoutUri: string | undefined;
  readonly scopes: readonly string[];
  readonly audiences: readonly string[];
  readonly tokenEndpointAuthMethod: TokenEndpointAuthMethod;
  readonly jwks: PublicJwks | undefined;
  readonly settings: ClientSettings;
  /** Whether it authenticates with a secret, which must then be made for it. */
  readonly needsSecret: boolean;
}

/** Named as on the wire, so that a problem can be shown beside its field. */
export type ClientField =
  | 'name'
  | 'type'
  | 'first_party'
  | 'redirect_uris'
  | 'post_logout_redirect_uris'
  | 'backchannel_logout_uri'
  | 'scopes'
  | 'audiences'
  | 'jwks'
  | ClientSettingProblem['field'];

/** `problem` is a stable word; `value` the offending text, where there is one that is no secret. */
export interface ClientProblem {
  readonly field: ClientField;
  readonly problem: string;
  readonly value?: string;
}

export type ClientPlan =
  | { readonly outcome: 'planned'; readonly client: PlannedClient }
  | { readonly outcome: 'refused'; readonly problems: readonly ClientProblem[] };

const CLIENT_ID = /^[A-Za-z0-9_-]{1,64}$/;
const MAXIMUM_URIS = 50;

/** The brand of a client identifier; `undefined` when the text is none. Clients send these, so it is no fault. */
export function parseClientId(text: unknown): ClientId | undefined {
  return typeof text === 'string' && CLIENT_ID.test(text) ? (text as ClientId) : undefined; // just checked
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * Whether somebody may choose this identifier for a new client. None that looks like a person's: a client's own tokens have its
 * identifier as `sub`, and an API would take it for that person (RFC 9068 §5).
 */
export function isChosenClientId(text: string): boolean {
  return parseClientId(text) !== undefined && /^[A-Za-z]/.test(text) && !UUID.test(text);
}

export function isClientType(text: string): text is ClientType {
  return CLIENT_TYPES.some((type) => type === text);
}

export function isTokenEndpointAuthMethod(text: string): text is TokenEndpointAuthMethod {
  return TOKEN_ENDPOINT_AUTH_METHODS.some((method) => method === text);
}

/** Whether a client of this method has secrets, at most two that live. */
export function usesSecret(method: string): boolean {
  return method === 'client_secret_basic' || method === 'client_secret_post';
}

/** What clients of this type can do. */
export function presetFor(type: ClientType): ClientPreset {
  return PRESETS[type];
}

/** Where a client is to be registered. */
export interface Circumstances {
  /** The exceptions to where we call out to. */
  readonly permissions?: EgressPermissions | undefined;
  /** What is switched on for the tenant; what a client cannot be given there is a problem. */
  readonly protocol?: ProtocolFeatures | undefined;
  /** Whoever asks may give what reaches beyond the tenant. */
  readonly platform?: boolean | undefined;
}

/** Plans a client; all problems at once. Repetitions are dropped, the order of first mention is kept. */
export function planClient(
  request: ClientRequest,
  { permissions = egressPermissions([]), protocol = NOTHING_SWITCHED_ON, platform = false }: Circumstances = {},
): ClientPlan {
  const { type } = request;
  if (!isClientType(type)) return { outcome: 'refused', problems: [{ field: 'type', problem: 'unknown' }] };

  const preset = presetFor(type);
  const name = parseName(request.name);
  const redirectUris = unique(request.redirectUris);
  const postLogoutRedirectUris = unique(request.postLogoutRedirectUris);
  const scopes = unique([...preset.defaultScopes, ...(request.scopes ?? [])]);
  const audiences = unique(request.audiences);
  const parsedJwks = request.jwks === undefined ? undefined : parseJwks(request.jwks);
  const parsedSettings = parseClientSettings(request.settings ?? {});
  const given = parsedSettings.outcome === 'valid' ? parsedSettings.settings : {};
  const jwks = parsedJwks?.outcome === 'valid' ? parsedJwks.jwks : undefined;
  const hasKeys = jwks !== undefined || given.jwks_uri !== undefined;
  const chosenMethod =
    request.tokenEndpointAuthMethod ??
    (hasKeys && preset.confidential ? 'private_key_jwt' : preset.tokenEndpointAuthMethod);
  const method = isTokenEndpointAuthMethod(chosenMethod) ? chosenMethod : undefined;
  const around: ClientAround = {
    type,
    confidential: preset.confidential,
    hasRefreshTokens: preset.grantTypes.some((grantType) => grantType === 'refresh_token'),
    hasRedirectUris: preset.needsRedirectUri,
    redirectUris,
    tokenEndpointAuthMethod: method ?? preset.tokenEndpointAuthMethod,
    hasKeys: jwks !== undefined,
    hasCertificates: jwks?.keys.some((key) => key.x5c !== undefined) ?? false,
  };
  const settings = withProfileDefaults(given, around);

  const problems: readonly ClientProblem[] = [
    ...(name === undefined ? [{ field: 'name', problem: 'not_a_name' } as const] : []),
    ...problemsWithRedirectUris(type, redirectUris),
    ...problemsWithPostLogoutRedirectUris(type, postLogoutRedirectUris),
    ...problemsWithBackchannelLogoutUri(type, request.backchannelLogoutUri, permissions),
    ...problemsWithScopes(type, scopes, platform),
    ...problemsWithAudiences(type, audiences),
    ...problemsWithJwks(type, parsedJwks),
    ...(method === undefined ? [{ field: 'token_endpoint_auth_method', problem: 'unknown' } as const] : []),
    ...(parsedSettings.outcome === 'invalid' ? parsedSettings.problems : problemsWithSettings(settings, around)),
    ...problemsWithFeatures(settings, { method: around.tokenEndpointAuthMethod, protocol }),
  ];
  if (problems.length > 0 || name === undefined) return { outcome: 'refused', problems };

  const { tokenEndpointAuthMethod } = around;
  return {
    outcome: 'planned',
    client: {
      name,
      type,
      firstParty: request.firstParty ?? false,
      redirectUris,
      postLogoutRedirectUris,
      backchannelLogoutUri: request.backchannelLogoutUri,
      scopes,
      audiences,
      tokenEndpointAuthMethod,
      jwks,
      settings,
      needsSecret: usesSecret(tokenEndpointAuthMethod),
    },
  };
}

function problemsWithRedirectUris(type: ClientType, uris: readonly string[]): ClientProblem[] {
  const field = 'redirect_uris';
  if (!presetFor(type).needsRedirectUri) return uris.length === 0 ? [] : [{ field, problem: 'not_for_this_type' }];
  if (uris.length === 0) return [{ field, problem: 'missing' }];
  if (uris.length > MAXIMUM_URIS) return [{ field, problem: 'too_many' }];
  return uris.flatMap((uri) => {
    const decision = validateRedirectUri(type, uri);
    return decision.outcome === 'accepted' ? [] : [{ field, problem: decision.reason, value: uri } as const];
  });
}

function problemsWithPostLogoutRedirectUris(type: ClientType, uris: readonly string[]): ClientProblem[] {
  const field = 'post_logout_redirect_uris';
  if (uris.length === 0) return [];
  if (!presetFor(type).needsRedirectUri) return [{ field, problem: 'not_for_this_type' }];
  if (uris.length > MAXIMUM_URIS) return [{ field, problem: 'too_many' }];
  return uris.flatMap((uri) => {
    const decision = validatePostLogoutRedirectUri(type, uri);
    return decision.outcome === 'accepted' ? [] : [{ field, problem: decision.reason, value: uri } as const];
  });
}

function problemsWithBackchannelLogoutUri(
  type: ClientType,
  uri: string | undefined,
  permissions: EgressPermissions,
): ClientProblem[] {
  const field = 'backchannel_logout_uri';
  if (uri === undefined) return [];
  if (!presetFor(type).needsRedirectUri) return [{ field, problem: 'not_for_this_type' }];
  const parsed = parseEgressTarget(uri);
  const refusal = parsed.outcome === 'target' ? judgeHost(parsed.target, permissions) : undefined;
  const decision = validateBackchannelLogoutUri(uri, () => refusal === undefined);
  if (decision.outcome === 'refused') return [{ field, problem: decision.reason, value: uri }];
  return refusal === undefined ? [] : [{ field, problem: refusal, value: uri }];
}

function problemsWithScopes(type: ClientType, scopes: readonly string[], platform: boolean): ClientProblem[] {
  const field = 'scopes';
  if (scopes.length > MAXIMUM_SCOPES) return [{ field, problem: 'too_many' }];
  const withoutPerson = type === 'machine' || type === 'resource_server';
  return scopes.flatMap((scope): ClientProblem[] => {
    if (!isScopeToken(scope)) return [{ field, problem: 'syntax', value: scope }];
    if (isPlatformScope(scope) && !platform) return [{ field, problem: 'for_operators', value: scope }];
    // An operator is a person.
    if (withoutPerson && (OPENID_SCOPES.has(scope) || isPlatformScope(scope)))
      return [{ field, problem: 'needs_a_person', value: scope }];
    return [];
  });
}

function problemsWithAudiences(type: ClientType, audiences: readonly string[]): ClientProblem[] {
  const field = 'audiences';
  if (audiences.length === 0) return [];
  if (type !== 'resource_server') return [{ field, problem: 'not_for_this_type' }];
  if (audiences.length > MAXIMUM_URIS) return [{ field, problem: 'too_many' }];
  return audiences.flatMap((value) => (isAudience(value) ? [] : [{ field, problem: 'not_an_absolute_uri', value }]));
}

function problemsWithJwks(type: ClientType, parsed: ReturnType<typeof parseJwks> | undefined): ClientProblem[] {
  const field = 'jwks';
  if (parsed === undefined) return [];
  if (!presetFor(type).confidential) return [{ field, problem: 'not_for_this_type' }];
  return parsed.outcome === 'valid' ? [] : [{ field, problem: parsed.reason }];
}

function unique(texts: readonly string[] | undefined): readonly string[] {
  return [...new Set(texts ?? [])];
}
