/**
 * This file owns what a tenant is made of, apart from its people and its keys, as one value: and what has to happen so that a tenant
 * becomes what somebody wrote down. It does not own how that is written (cli/tenant_document.ts), or what a role, an API or a
 * client may be: those files say so for themselves.
 *
 * A configuration is a few sections, each of items by name. Only what is alive is part of it: a client or an API that was disabled has
 * left it, and does not come back because a file still names it. A section that nobody wrote down is left alone.
 */
import { isDeepStrictEqual } from 'node:util';
import { type ApiScope, planApi } from './api.ts';
import { planDetailsType } from './authorization_details.ts';
import { parseBrandColor, parseLogoAlt } from './brand.ts';
import {
  type Circumstances,
  type ClientRequest,
  type ClientType,
  isChosenClientId,
  type PlannedClient,
  planClient,
  type TokenEndpointAuthMethod,
  usesSecret,
} from './client.ts';
import type { ClientSettings } from './client_settings.ts';
import type { PublicJwks } from './jwks.ts';
import { PROTOCOL_FEATURES, type ProtocolFeatures } from './protocol_features.ts';
import { BUILT_IN_ROLES, isManagementPermission, isPermission, isRoleDescription, planRole } from './role.ts';
import { parseTenantName } from './tenant.ts';
import { parseTenantSettingValue, type TenantSettingValue } from './tenant_settings.ts';

export interface TenantItem {
  readonly name: string;
  readonly locale: 'nl' | 'en';
}

/** `version` names the picture; its bytes travel beside a configuration. */
export interface LogoItem {
  readonly version: string;
  readonly alt: string;
}

/** What a tenant says of a permission of its own. */
export interface PermissionItem {
  readonly description: string;
  readonly is_active: boolean;
}

export interface RoleItem {
  readonly description: string;
  readonly is_active: boolean;
  readonly permissions: readonly string[];
  readonly inherits: string | undefined;
}

export interface ApiItem {
  readonly token_format: 'jwt' | 'opaque';
  readonly signing_alg: 'ES256' | 'RS256' | 'EdDSA';
  readonly scopes: readonly ApiScope[];
  /** RFC 9396: what people read, by type. */
  readonly authorization_details: readonly { readonly type: string; readonly sentence: string }[];
}

export interface ClientItem {
  readonly name: string;
  readonly type: ClientType;
  readonly first_party: boolean;
  readonly redirect_uris: readonly string[];
  readonly post_logout_redirect_uris: readonly string[];
  readonly backchannel_logout_uri: string | undefined;
  readonly scopes: readonly string[];
  readonly audiences: readonly string[];
  readonly token_endpoint_auth_method: TokenEndpointAuthMethod;
  readonly jwks: PublicJwks | undefined;
  readonly settings: ClientSettings;
}

/** What each section holds. `secrets`: by client, the hash of a secret that somebody chose and that is valid. */
interface Items {
  readonly tenant: TenantItem;
  readonly settings: TenantSettingValue;
  readonly brand: string | LogoItem;
  readonly permissions: PermissionItem;
  readonly roles: RoleItem;
  readonly apis: ApiItem;
  readonly clients: ClientItem;
  readonly secrets: string;
}

export type SectionName = keyof Items;

/** In the order in which things are made: each may need what stands before it. */
export const SECTIONS = [
  'tenant',
  'settings',
  'brand',
  'permissions',
  'roles',
  'apis',
  'clients',
  'secrets',
] as const satisfies readonly SectionName[];

export type TenantConfiguration = { readonly [Section in SectionName]: ReadonlyMap<string, Items[Section]> };

/** What somebody wrote down. */
export type WantedConfiguration = Partial<TenantConfiguration>;

/** A configuration in which there is nothing: that of a tenant that is not there. */
export const NO_CONFIGURATION: TenantConfiguration = {
  tenant: new Map(),
  settings: new Map(),
  brand: new Map(),
  permissions: new Map(),
  roles: new Map(),
  apis: new Map(),
  clients: new Map(),
  secrets: new Map(),
};

/** One thing that has to happen. `fields`: what differs, for an item that has fields. */
export type Change = {
  readonly [Section in SectionName]: {
    readonly section: Section;
    readonly key: string;
    readonly fields: readonly string[];
  } & (
    | { readonly action: 'create'; readonly before: undefined; readonly after: Items[Section] }
    | { readonly action: 'update'; readonly before: Items[Section]; readonly after: Items[Section] }
    | { readonly action: 'delete'; readonly before: Items[Section]; readonly after: undefined }
  );
}[SectionName];

/** Sections in which leaving something out can mean that it is to go. */
const prunable: ReadonlySet<SectionName> = new Set(['settings', 'brand', 'permissions', 'roles', 'apis', 'clients']);

export interface ConfigurationPlan {
  /** In the order in which they can be done. None: it is so already. */
  readonly changes: readonly Change[];
  /** What is there, in a section that was written down, and is not written down itself: only pruning touches it. */
  readonly leftAlone: readonly { readonly section: SectionName; readonly key: string }[];
}

/**
 * What has to happen so that `current` becomes `wanted`. With `prune` also what nobody wrote down goes, in the sections that somebody
 * did write down; without, it stays.
 */
export function planConfiguration(
  current: TenantConfiguration,
  wanted: WantedConfiguration,
  { prune }: { readonly prune: boolean },
): ConfigurationPlan {
  const changes = SECTIONS.flatMap((section) => changesOf(section, current[section], wanted[section]));
  const missing = SECTIONS.filter((section) => prunable.has(section)).flatMap((section) => {
    const items = wanted[section];
    return items === undefined
      ? []
      : sorted(current[section].keys())
          .filter((key) => !items.has(key))
          .map((key) => ({ section, key }));
  });
  if (!prune) return { changes, leftAlone: missing };
  // Last made, first gone.
  const deletions = missing.toReversed().map(({ section, key }) => {
    const before = current[section].get(key);
    // One section's item stands beside that section's name: the pair was read from one map.
    return { section, key, action: 'delete', before, after: undefined, fields: [] } as unknown as Change;
  });
  return { changes: [...changes, ...deletions], leftAlone: [] };
}

/** What a tenant is after these changes. */
export function applyChanges(current: TenantConfiguration, changes: readonly Change[]): TenantConfiguration {
  const sections = Object.fromEntries(SECTIONS.map((section) => [section, new Map<string, unknown>(current[section])]));
  for (const { section, key, after } of changes) {
    if (after === undefined) sections[section]?.delete(key);
    else sections[section]?.set(key, after);
  }
  return sections as unknown as TenantConfiguration; // each item went where its section's items are
}

function changesOf(
  section: SectionName,
  current: ReadonlyMap<string, unknown>,
  wanted: ReadonlyMap<string, unknown> | undefined,
): readonly Change[] {
  if (wanted === undefined) return [];
  return sorted(wanted.keys()).flatMap((key) => {
    const [before, after] = [current.get(key), wanted.get(key)];
    if (isDeepStrictEqual(before, after)) return [];
    const action = before === undefined ? 'create' : 'update';
    // As above: both are items of this section.
    return [{ section, key, action, before, after, fields: changedFields(before, after) } as unknown as Change];
  });
}

function changedFields(before: unknown, after: unknown): readonly string[] {
  if (!isRecord(before) || !isRecord(after)) return [];
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return sorted(names).filter((name) => !isDeepStrictEqual(before[name], after[name]));
}

/** As they are written down, before anybody looked at them: texts, numbers and lists of the right kind, and nothing more. */
export interface WrittenConfiguration {
  readonly name: string;
  readonly locale?: 'nl' | 'en' | undefined;
  readonly settings?: Readonly<Record<string, unknown>> | undefined;
  readonly brand?: { readonly color?: string | undefined; readonly logo?: LogoItem | undefined } | undefined;
  readonly permissions?: Readonly<Record<string, WrittenPermission>> | undefined;
  readonly roles?: Readonly<Record<string, WrittenRole>> | undefined;
  readonly apis?: Readonly<Record<string, WrittenApi>> | undefined;
  readonly clients?: Readonly<Record<string, WrittenClient>> | undefined;
}

export interface WrittenPermission {
  readonly description?: string | undefined;
  readonly is_active?: boolean | undefined;
}

export interface WrittenRole {
  readonly description?: string | undefined;
  readonly is_active?: boolean | undefined;
  readonly permissions?: readonly string[] | undefined;
  readonly inherits?: string | undefined;
}

export interface WrittenApi {
  readonly token_format?: string | undefined;
  readonly signing_alg?: string | undefined;
  readonly scopes?: Readonly<Record<string, string>> | undefined;
  readonly authorization_details?: Readonly<Record<string, string>> | undefined;
}

export interface WrittenClient {
  readonly name: string;
  readonly type: string;
  readonly first_party?: boolean | undefined;
  readonly redirect_uris?: readonly string[] | undefined;
  readonly post_logout_redirect_uris?: readonly string[] | undefined;
  readonly backchannel_logout_uri?: string | undefined;
  readonly scopes?: readonly string[] | undefined;
  readonly audiences?: readonly string[] | undefined;
  readonly token_endpoint_auth_method?: string | undefined;
  readonly jwks?: unknown;
  readonly settings?: unknown;
  /** SHA-256 of the secret it is to have, hexadecimal. */
  readonly secretHash?: string | undefined;
}

/** Where in what was written, and a stable word for why. `value`: the text at fault, where it is no secret. */
export interface ConfigurationProblem {
  readonly path: readonly string[];
  readonly problem: string;
  readonly value?: string | undefined;
}

export type ReadConfiguration =
  | { readonly outcome: 'read'; readonly wanted: WantedConfiguration }
  | { readonly outcome: 'refused'; readonly problems: readonly ConfigurationProblem[] };

/** What is written becomes what is wanted, with every default in its place; all problems at once. */
export function readWritten(written: WrittenConfiguration, around: Circumstances = {}): ReadConfiguration {
  const problems: ConfigurationProblem[] = [];
  const name = parseTenantName(written.name);
  if (name === undefined) problems.push({ path: ['name'], problem: 'not_a_name', value: written.name });
  const wanted: WantedConfiguration = {
    tenant: new Map([['tenant', { name: name ?? '', locale: written.locale ?? 'nl' }]]),
    ...section('settings', written.settings, (value, path) => readSetting(value, path, problems)),
    ...(written.brand === undefined ? {} : { brand: readBrandItems(written.brand, problems) }),
    ...section('permissions', written.permissions, (permission, path) => readPermission(permission, path, problems)),
    ...section('roles', written.roles, (role, path) => readRole(role, path, problems)),
    ...section('apis', written.apis, (api, path) => readApi(api, path, problems)),
    ...section('clients', written.clients, (client, path) => readClient(client, path, { around, problems })),
    ...(written.clients === undefined ? {} : { secrets: readSecrets(written.clients, problems) }),
  };
  return problems.length === 0 ? { outcome: 'read', wanted } : { outcome: 'refused', problems };
}

function section<Written, Item>(
  name: SectionName,
  written: Readonly<Record<string, Written>> | undefined,
  read: (written: Written, path: readonly [string, string]) => Item | undefined,
): WantedConfiguration {
  if (written === undefined) return {};
  const items = Object.entries(written).flatMap(([key, value]) => {
    const item = read(value, [name, key]);
    return item === undefined ? [] : [[key, item] as const];
  });
  return { [name]: new Map(items) };
}

function readSetting(
  value: unknown,
  path: readonly [string, string],
  problems: ConfigurationProblem[],
): TenantSettingValue | undefined {
  const parsed = parseTenantSettingValue(path[1], value);
  if (parsed.outcome === 'valid') return parsed.change.value;
  const problem = parsed.reason === 'value' ? `set it to ${parsed.expected}` : parsed.reason;
  problems.push({ path, problem });
  return undefined;
}

function readBrandItems(
  { color, logo }: NonNullable<WrittenConfiguration['brand']>,
  problems: ConfigurationProblem[],
): TenantConfiguration['brand'] {
  const items = new Map<string, string | LogoItem>();
  const parsedColor = color === undefined ? undefined : parseBrandColor(color);
  if (parsedColor !== undefined) items.set('color', parsedColor);
  else if (color !== undefined) problems.push({ path: ['brand', 'color'], problem: 'written #rrggbb', value: color });
  const alt = logo === undefined ? undefined : parseLogoAlt(logo.alt);
  if (logo !== undefined && alt !== undefined) items.set('logo', { version: logo.version, alt });
  else if (logo !== undefined) problems.push({ path: ['brand', 'logo', 'alt'], problem: 'syntax' });
  return items;
}

function readPermission(
  { description = '', is_active = true }: WrittenPermission,
  path: readonly [string, string],
  problems: ConfigurationProblem[],
): PermissionItem {
  const [, name] = path;
  if (!isPermission(name)) problems.push({ path, problem: 'syntax' });
  if (isManagementPermission(name)) problems.push({ path, problem: 'built_in' });
  if (!isRoleDescription(description)) problems.push({ path: [...path, 'description'], problem: 'syntax' });
  return { description, is_active };
}

function readRole(
  role: WrittenRole,
  path: readonly [string, string],
  problems: ConfigurationProblem[],
): RoleItem | undefined {
  const plan = planRole({ ...role, name: path[1], permissions: role.permissions ?? [] });
  if (plan.outcome === 'planned') {
    const { description, permissions, inherits } = plan.role;
    return { description, is_active: role.is_active ?? true, permissions, inherits };
  }
  for (const { field, problem } of plan.problems)
    problems.push({ path: field === 'name' ? path : [...path, field], problem });
  return undefined;
}

function readApi(
  api: WrittenApi,
  path: readonly [string, string],
  problems: ConfigurationProblem[],
): ApiItem | undefined {
  const [, audience] = path;
  const scopes = Object.entries(api.scopes ?? {});
  const before = problems.length;
  // In the short form, which is what an API is planned from, the first `=` ends the name.
  for (const [name] of scopes.filter(([scope]) => scope.includes('=')))
    problems.push({ path: [...path, 'scopes', name], problem: 'syntax' });
  const plan = planApi({
    audience,
    scopes: scopes.map(([name, description]) => `${name}=${description}`),
    tokenFormat: api.token_format,
    signingAlg: api.signing_alg,
  });
  if (plan.outcome === 'refused')
    for (const { field, problem } of plan.problems)
      problems.push({ path: field === 'audience' ? path : [...path, field], problem });
  const details = Object.entries(api.authorization_details ?? {}).map(([type, sentence]) => ({ type, sentence }));
  for (const { type, sentence } of details) {
    const planned = planDetailsType({ audience, type, sentence });
    if (planned.outcome === 'refused')
      problems.push({ path: [...path, 'authorization_details', type], problem: planned.problem });
  }
  if (plan.outcome === 'refused' || problems.length > before) return undefined;
  return {
    token_format: plan.api.tokenFormat,
    signing_alg: plan.api.signingAlg,
    scopes: sortedBy(plan.api.scopes, ({ name }) => name),
    authorization_details: sortedBy(details, ({ type }) => type),
  };
}

function readClient(
  client: WrittenClient,
  path: readonly [string, string],
  { around, problems }: { readonly around: Circumstances; readonly problems: ConfigurationProblem[] },
): ClientItem | undefined {
  // What is switched on may be written in the same file, and is asked for where the client is to be made.
  const plan = planClient(requestOf(client), { ...around, protocol: EVERYTHING_SWITCHED_ON });
  if (plan.outcome === 'planned') return clientItem(plan.client);
  for (const { field, problem, value } of plan.problems) problems.push({ path: [...path, field], problem, value });
  return undefined;
}

const EVERYTHING_SWITCHED_ON = Object.fromEntries(
  PROTOCOL_FEATURES.map((feature) => [feature, true]),
) as unknown as ProtocolFeatures; // one entry for each

/** At least as much as 128 bits written in hexadecimal. What is kept of a secret is a bare hash, which only randomness protects. */
const MINIMUM_SECRET_CHARACTERS = 32;
const SECRET = /^[\x21-\x7e]+$/;

/** Whether a client could have this secret (RFC 6749 appendix A.2, without the space). */
export function isUsableSecret(secret: string): boolean {
  return secret.length >= MINIMUM_SECRET_CHARACTERS && secret.length <= 500 && SECRET.test(secret);
}

function readSecrets(
  clients: Readonly<Record<string, WrittenClient>>,
  problems: ConfigurationProblem[],
): ReadonlyMap<string, string> {
  const secrets = new Map<string, string>();
  for (const [clientId, client] of Object.entries(clients)) {
    if (client.secretHash === undefined) continue;
    const plan = planClient(requestOf(client), { protocol: EVERYTHING_SWITCHED_ON });
    if (plan.outcome === 'planned' && !plan.client.needsSecret)
      problems.push({ path: ['clients', clientId, 'secret'], problem: 'not_for_this_client' });
    secrets.set(clientId, client.secretHash);
  }
  return secrets;
}

function requestOf(client: WrittenClient): ClientRequest {
  return {
    name: client.name,
    type: client.type,
    firstParty: client.first_party,
    redirectUris: client.redirect_uris,
    postLogoutRedirectUris: client.post_logout_redirect_uris,
    backchannelLogoutUri: client.backchannel_logout_uri,
    scopes: client.scopes,
    audiences: client.audiences,
    tokenEndpointAuthMethod: client.token_endpoint_auth_method,
    jwks: client.jwks,
    settings: client.settings,
  };
}

function clientItem(client: PlannedClient): ClientItem {
  return {
    name: client.name,
    type: client.type,
    first_party: client.firstParty,
    redirect_uris: client.redirectUris,
    post_logout_redirect_uris: client.postLogoutRedirectUris,
    backchannel_logout_uri: client.backchannelLogoutUri,
    scopes: sorted(client.scopes),
    audiences: sorted(client.audiences),
    token_endpoint_auth_method: client.tokenEndpointAuthMethod,
    jwks: client.jwks,
    settings: client.settings,
  };
}

/** The same client, to be stored. Undefined with what is in the way where this tenant cannot serve it as it wants to be served. */
export function plannedClient(item: ClientItem, circumstances: Circumstances) {
  return planClient(requestOf(item), circumstances);
}

/** What is no part of a configuration, and in the way of one that names it; why, for a client. */
export interface Ended {
  readonly apis: ReadonlySet<string>;
  readonly clients: ReadonlyMap<string, 'is_disabled' | 'registered_itself'>;
}

/** What no item can know by itself: whether a plan leads to a tenant that holds together. */
export function problemsWithPlan(
  current: TenantConfiguration,
  changes: readonly Change[],
  ended: Ended,
): readonly ConfigurationProblem[] {
  const after = applyChanges(current, changes);
  return [
    ...problemsWithRoles(after.roles),
    ...changes.flatMap((change) => problemsWithChange(change, { after, ended })),
  ];
}

function problemsWithRoles(roles: TenantConfiguration['roles']): readonly ConfigurationProblem[] {
  const builtIn: ReadonlySet<string> = new Set(BUILT_IN_ROLES.map(({ name }) => name));
  return [...roles].flatMap(([name, { inherits }]): ConfigurationProblem[] => {
    if (inherits === undefined || builtIn.has(inherits)) return [];
    const path = ['roles', name, 'inherits'];
    if (!roles.has(inherits)) return [{ path, problem: 'unknown_role', value: inherits }];
    return inheritsItself(roles, name) ? [{ path, problem: 'circle', value: inherits }] : [];
  });
}

function inheritsItself(roles: TenantConfiguration['roles'], name: string): boolean {
  const seen = new Set<string>();
  for (let next = roles.get(name)?.inherits; next !== undefined && !seen.has(next); next = roles.get(next)?.inherits) {
    if (next === name) return true;
    seen.add(next);
  }
  return false;
}

function problemsWithChange(
  change: Change,
  { after, ended }: { readonly after: TenantConfiguration; readonly ended: Ended },
): readonly ConfigurationProblem[] {
  const path = [change.section, change.key];
  if (change.section === 'apis' && change.action !== 'delete') {
    const taken = change.after.authorization_details.filter(({ type }) =>
      [...after.apis].some(
        ([audience, api]) => audience !== change.key && api.authorization_details.some((other) => other.type === type),
      ),
    );
    const problems = taken.map(({ type }) => ({ path: [...path, 'authorization_details', type], problem: 'taken' }));
    return ended.apis.has(change.key) ? [...problems, { path, problem: 'is_disabled' }] : problems;
  }
  if (change.section !== 'clients') return [];
  if (change.action === 'update' && change.before.type !== change.after.type)
    return [{ path: [...path, 'type'], problem: 'stays_what_it_is', value: change.before.type }];
  if (change.action !== 'create') return [];
  const reason = ended.clients.get(change.key);
  if (reason !== undefined) return [{ path, problem: reason }];
  return isChosenClientId(change.key) ? [] : [{ path, problem: 'not_a_client_id' }];
}

/** Whether a client of this kind is made with a secret. */
export function hasSecret(client: ClientItem): boolean {
  return usesSecret(client.token_endpoint_auth_method);
}

/** What is there, as it would be written down: with what is default left out, and everything in one order. */
export function writtenOf(
  configuration: TenantConfiguration,
): Omit<WrittenConfiguration, 'brand'> & { readonly brand: { readonly color?: string; readonly logo?: LogoItem } } {
  const [tenant] = [...configuration.tenant.values()];
  const color = configuration.brand.get('color');
  const logo = configuration.brand.get('logo');
  return {
    name: tenant?.name ?? '',
    locale: tenant?.locale ?? 'nl',
    settings: recordOf(configuration.settings, (value) => value),
    brand: {
      ...(typeof color === 'string' ? { color } : {}),
      ...(typeof logo === 'object' ? { logo } : {}),
    },
    permissions: recordOf(configuration.permissions, ({ description, is_active }) => ({
      ...(description === '' ? {} : { description }),
      ...(is_active ? {} : { is_active }),
    })),
    roles: recordOf(configuration.roles, ({ description, is_active, permissions, inherits }) => ({
      ...(description === '' ? {} : { description }),
      ...(is_active ? {} : { is_active }),
      ...(permissions.length === 0 ? {} : { permissions }),
      ...(inherits === undefined ? {} : { inherits }),
    })),
    apis: recordOf(configuration.apis, writtenApi),
    clients: recordOf(configuration.clients, writtenClient),
  };
}

function writtenApi(api: ApiItem): WrittenApi {
  const details = api.authorization_details.map(({ type, sentence }) => [type, sentence] as const);
  return {
    token_format: api.token_format,
    signing_alg: api.signing_alg,
    ...(api.scopes.length === 0
      ? {}
      : { scopes: Object.fromEntries(api.scopes.map(({ name, description }) => [name, description])) }),
    ...(details.length === 0 ? {} : { authorization_details: Object.fromEntries(details) }),
  };
}

function writtenClient(client: ClientItem): WrittenClient {
  const lists = (['redirect_uris', 'post_logout_redirect_uris', 'scopes', 'audiences'] as const).flatMap((name) =>
    client[name].length === 0 ? [] : [[name, client[name]] as const],
  );
  return {
    name: client.name,
    type: client.type,
    ...(client.first_party ? { first_party: true } : {}),
    ...Object.fromEntries(lists),
    ...(client.backchannel_logout_uri === undefined ? {} : { backchannel_logout_uri: client.backchannel_logout_uri }),
    token_endpoint_auth_method: client.token_endpoint_auth_method,
    ...(client.jwks === undefined ? {} : { jwks: inOneOrder(client.jwks) }),
    ...(Object.keys(client.settings).length === 0 ? {} : { settings: inOneOrder(client.settings) }),
  };
}

function recordOf<Item, Written>(
  items: ReadonlyMap<string, Item>,
  write: (item: Item) => Written,
): Readonly<Record<string, Written>> {
  return Object.fromEntries(sortedBy([...items], ([key]) => key).map(([key, item]) => [key, write(item)]));
}

/** A value of JSON whose names stand in the order of the alphabet, however deep. */
function inOneOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOneOrder);
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    sortedBy(Object.entries(value), ([name]) => name).map(([name, inner]) => [name, inOneOrder(inner)]),
  );
}

/** One text for one configuration: what a fingerprint is made of. */
export function canonicalText(configuration: TenantConfiguration): string {
  return JSON.stringify(
    SECTIONS.map((name) =>
      sortedBy([...configuration[name]], ([key]) => key).map(([key, item]) => [key, inOneOrder(item)]),
    ),
  );
}

/** By code units: the same on every machine, whatever its language. */
function sorted(texts: Iterable<string>): readonly string[] {
  return sortedBy([...texts], (text) => text);
}

function sortedBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): readonly Item[] {
  return items.toSorted((left, right) => {
    const [one, other] = [keyOf(left), keyOf(right)];
    if (one === other) return 0;
    return one < other ? -1 : 1;
  });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
