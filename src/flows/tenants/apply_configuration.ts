/**
 * A tenant becomes what a file says: first planned, so that somebody can look, then done in one transaction. Between the two nobody may
 * have changed what the plan was made from: the tenant is locked, read again, and has to be what it was.
 */
import { hash } from 'node:crypto';
import { readBrand, type TenantBrand } from '#src/domain/brand.ts';
import type { Circumstances, PlannedClient } from '#src/domain/client.ts';
import { egressPermissions } from '#src/domain/egress.ts';
import type { EventType, NewEvent } from '#src/domain/event.ts';
import type { ParsedLogo } from '#src/domain/logo.ts';
import { type ProtocolFeatures, protocolFeaturesOf } from '#src/domain/protocol_features.ts';
import { parseTenantSlug, type TenantId, tenantId as tenantIdOf } from '#src/domain/tenant.ts';
import {
  applyChanges,
  type Change,
  type ClientItem,
  type ConfigurationPlan,
  type ConfigurationProblem,
  canonicalText,
  type Ended,
  NO_CONFIGURATION,
  planConfiguration as planChanges,
  plannedClient,
  problemsWithPlan,
  type TenantConfiguration,
  type WantedConfiguration,
} from '#src/domain/tenant_configuration.ts';
import {
  changeTenantSettings,
  readTenantSettings,
  storedTenantSettings,
  type TenantSettingChange,
  type TenantSettings,
  tenantSettingValues,
} from '#src/domain/tenant_settings.ts';
import { randomValue, sha256, uuidv7 } from '#src/foundation/identifiers.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { insertApi, updateApiStatus } from '#src/storage/tables/apis.ts';
import {
  deleteClientSecrets,
  insertClientSecret,
  updateClientRow,
  updateClientStatus,
} from '#src/storage/tables/clients.ts';
import { deleteConsentsToClient } from '#src/storage/tables/consents.ts';
import { deletePermission, insertPermission, updatePermission } from '#src/storage/tables/permissions.ts';
import { insertRole } from '#src/storage/tables/roles.ts';
import { deleteLogo, lockBrand, putLogo, updateBrand } from '#src/storage/tables/tenant_brands.ts';
import {
  deleteRole,
  lockTenantConfiguration,
  putDetailsTypes,
  readTenantConfiguration,
  type TenantConfigurationRows,
  updateApi,
  updateRole,
  updateTenantName,
} from '#src/storage/tables/tenant_configuration.ts';
import { findTenantBySlug, lockTenantRow, updateTenantSettings } from '#src/storage/tables/tenants.ts';
import { clientEvent, problemsWithOurKeys, storeClient } from '../clients/manage_clients.ts';
import { type FlowContext, Refusal } from '../flow_context.ts';
import { keepFirstKeys, makeKeysForApi, type NewSigningKey } from '../keys/rotate_keys.ts';
import { keepNewTenant, makeTenantKeys } from './manage_tenants.ts';

export type LogoPicture = Extract<ParsedLogo, { outcome: 'valid' }>;

export interface ConfigurationInput {
  readonly slug: string;
  readonly wanted: WantedConfiguration;
  readonly prune: boolean;
  /** The pictures that are wanted, by their version. */
  readonly logos: ReadonlyMap<string, LogoPicture>;
  /** What is switched on where the tenant says nothing. */
  readonly protocol: ProtocolFeatures;
}

interface ConfigurationRefused {
  readonly outcome: 'refused';
  readonly problems: readonly ConfigurationProblem[];
}

export type PlanOutcome =
  | ({
      readonly outcome: 'planned';
      /** Names what the plan was made from; to be given to `applyConfiguration`. */
      readonly state: string;
    } & ConfigurationPlan)
  | ConfigurationRefused;

export type ApplyOutcome =
  | {
      readonly outcome: 'applied';
      readonly changes: readonly Change[];
      readonly leftAlone: ConfigurationPlan['leftAlone'];
      /** Of the tenant as it is now. */
      readonly state: string;
      /** Made for new clients whose secret nobody chose. Shown this once. */
      readonly secrets: readonly { readonly clientId: string; readonly clientSecret: string }[];
    }
  | { readonly outcome: 'changed_meanwhile' }
  | ConfigurationRefused;

/** What would happen. Changes nothing. */
export async function planConfiguration(context: FlowContext, input: ConfigurationInput): Promise<PlanOutcome> {
  const found = await findTenantBySlug(context.database, input.slug);
  const stands =
    found === undefined
      ? NOTHING
      : await context.database.tenant(found.id).transaction((transaction) => readStanding(transaction, found.id));
  return planFrom(context, stands, input);
}

/**
 * Does it, all of it or nothing, where the tenant is still what `state` says. Every process serves the tenant as it is then within a
 * second. A tenant that is not there is made.
 */
export async function applyConfiguration(
  context: FlowContext,
  input: ConfigurationInput & { readonly state: string },
): Promise<ApplyOutcome> {
  const found = await findTenantBySlug(context.database, input.slug);
  const id = found?.id ?? tenantIdOf(uuidv7(context.clock()));
  // Keys take a while, and are made before anything is locked: for what the plan says now, which is what it must say then.
  const keys = await makeKeysFor(input, found === undefined);
  try {
    return await context.database.tenant(id).transaction(async (transaction) => {
      if (found !== undefined) await lockTenantConfiguration(transaction, id);
      const stands = found === undefined ? NOTHING : await readStanding(transaction, id);
      const plan = planFrom(context, stands, input);
      if (plan.outcome === 'refused') return plan;
      if (plan.state !== input.state) return { outcome: 'changed_meanwhile' };
      const work = { context, transaction, tenantId: id, input, stands, changes: plan.changes, keys };
      const secrets = await perform(work);
      const after = found === undefined && plan.changes.length === 0 ? stands : await readStanding(transaction, id);
      return {
        outcome: 'applied',
        changes: plan.changes,
        leftAlone: plan.leftAlone,
        state: stateOf(forState(after.configuration, after, input)),
        secrets,
      };
    });
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    // Somebody has just made what the plan was to make.
    if (typeof fault === 'object' && fault !== null && 'code' in fault && fault.code === uniqueViolation)
      return { outcome: 'changed_meanwhile' };
    throw fault;
  }
}

const uniqueViolation = '23505';

/** What a tenant is now; undefined when there is no such tenant. The picture of its logo comes with it. */
export async function readConfiguration(
  context: Pick<FlowContext, 'database'>,
  tenantId: TenantId,
): Promise<TenantConfiguration> {
  const stands = await context.database
    .tenant(tenantId)
    .transaction((transaction) => readStanding(transaction, tenantId));
  return stands.configuration;
}

/** A tenant as it stands, and what beside its configuration a plan depends on. */
interface Standing {
  readonly configuration: TenantConfiguration;
  readonly settings: TenantSettings;
  readonly ended: Ended;
  /** Hashes of every client's secrets that are valid. */
  readonly secretHashes: ReadonlyMap<string, readonly string[]>;
}

const NOTHING: Standing = {
  configuration: NO_CONFIGURATION,
  settings: readTenantSettings({}),
  ended: { apis: new Set(), clients: new Map() },
  secretHashes: new Map(),
};

async function readStanding(transaction: Transaction, tenantId: TenantId): Promise<Standing> {
  const rows = await readTenantConfiguration(transaction, tenantId);
  if (rows === undefined) return NOTHING;
  const settings = readTenantSettings(rows.settings);
  const isOurs = ({ registered_itself, status }: TenantConfigurationRows['clients'][number]): boolean =>
    !registered_itself && status === 'active';
  const clients = rows.clients.filter(isOurs);
  return {
    settings,
    configuration: {
      tenant: new Map([['tenant', { name: rows.name, locale: rows.locale }]]),
      settings: new Map(tenantSettingValues(settings)),
      brand: brandItems(readBrand(rows.brand)),
      permissions: new Map(
        rows.permissions.map(({ name, description, is_active }) => [name, { description, is_active }]),
      ),
      roles: new Map(
        rows.roles.map(({ name, description, is_active, permissions, inherits }) => [
          name,
          { description, is_active, permissions, inherits: inherits ?? undefined },
        ]),
      ),
      apis: new Map(
        rows.apis
          .filter(({ status }) => status === 'active')
          .map(({ audience, token_format, signing_alg, scopes, authorization_details }) => [
            audience,
            { token_format, signing_alg, scopes: byName(scopes), authorization_details },
          ]),
      ),
      clients: new Map(clients.map((row) => [row.client_id, clientItem(row)])),
      secrets: new Map(),
    },
    ended: {
      apis: new Set(rows.apis.filter(({ status }) => status !== 'active').map(({ audience }) => audience)),
      clients: new Map(
        rows.clients
          .filter((row) => !isOurs(row))
          .map((row) => [row.client_id, row.registered_itself ? 'registered_itself' : 'is_disabled']),
      ),
    },
    secretHashes: new Map(clients.map((row) => [row.client_id, row.secret_hashes])),
  };
}

function brandItems({ color, logo }: TenantBrand): TenantConfiguration['brand'] {
  const items = new Map<string, string | { readonly version: string; readonly alt: string }>();
  if (color !== undefined) items.set('color', color);
  if (logo !== undefined) items.set('logo', { version: logo.version, alt: logo.alt });
  return items;
}

function clientItem(row: TenantConfigurationRows['clients'][number]): ClientItem {
  return {
    name: row.name,
    type: row.type,
    first_party: row.first_party,
    redirect_uris: row.redirect_uris,
    post_logout_redirect_uris: row.post_logout_redirect_uris,
    backchannel_logout_uri: row.backchannel_logout_uri ?? undefined,
    scopes: row.scopes.toSorted(),
    audiences: row.audiences.toSorted(),
    token_endpoint_auth_method: row.token_endpoint_auth_method,
    jwks: row.jwks ?? undefined,
    settings: row.settings,
  };
}

function byName<Item extends { readonly name: string }>(items: readonly Item[]): readonly Item[] {
  const names = items.map(({ name }) => name).toSorted();
  return names.flatMap((name) => items.filter((item) => item.name === name));
}

/** With those of the secrets somebody chose that are valid already: they need not be set again. */
function forState(
  configuration: TenantConfiguration,
  { secretHashes }: Standing,
  { wanted }: ConfigurationInput,
): TenantConfiguration {
  const valid = [...(wanted.secrets ?? [])].filter(([clientId, secret]) =>
    secretHashes.get(clientId)?.includes(secret),
  );
  return { ...configuration, secrets: new Map(valid) };
}

function stateOf(configuration: TenantConfiguration): string {
  return hash('sha256', canonicalText(configuration)).slice(0, 32);
}

function planFrom(context: FlowContext, stands: Standing, input: ConfigurationInput): PlanOutcome {
  const { wanted, prune } = input;
  const current = forState(stands.configuration, stands, input);
  const parsed = parseTenantSlug(input.slug);
  const slugProblems =
    parsed.outcome === 'invalid' ? [{ path: ['tenant'], problem: `slug_${parsed.reason}`, value: input.slug }] : [];
  const plan = planChanges(current, wanted, { prune });
  const problems = [
    ...slugProblems,
    ...problemsWithPlan(current, plan.changes, stands.ended),
    ...problemsWithClients(context, { stands, changes: plan.changes, protocol: input.protocol }),
  ];
  if (problems.length > 0) return { outcome: 'refused', problems };
  return { outcome: 'planned', state: stateOf(current), ...plan };
}

/** Whether the tenant, as it will be, can serve the clients that are new or become others. */
function problemsWithClients(
  context: FlowContext,
  plan: Pick<Work, 'stands' | 'changes'> & { readonly protocol: ProtocolFeatures },
): readonly ConfigurationProblem[] {
  const around = circumstancesOf(context, plan);
  return plan.changes.flatMap((change): readonly ConfigurationProblem[] => {
    if (change.section !== 'clients' || change.after === undefined) return [];
    const planned = plannedClient(change.after, around);
    if (planned.outcome === 'planned') return [];
    return planned.problems.map(({ field, problem, value }) => ({
      path: ['clients', change.key, field],
      problem,
      value,
    }));
  });
}

function circumstancesOf(
  { egressAllow = [] }: FlowContext,
  { stands, changes, protocol }: Pick<Work, 'stands' | 'changes'> & { readonly protocol: ProtocolFeatures },
): Circumstances {
  const settings = changeTenantSettings(stands.settings, settingChanges(changes));
  return { permissions: egressPermissions(egressAllow), protocol: protocolFeaturesOf(protocol, settings.protocol) };
}

function settingChanges(changes: readonly Change[]): readonly TenantSettingChange[] {
  return changes.flatMap((change) =>
    change.section === 'settings'
      ? // Every key of this section is a setting's name: they were parsed, or read from a tenant.
        [{ name: change.key as TenantSettingChange['name'], value: change.after }]
      : [],
  );
}

interface Keys {
  readonly tenant: readonly NewSigningKey[];
  readonly apis: readonly NewSigningKey[];
}

async function makeKeysFor({ wanted }: ConfigurationInput, isNew: boolean): Promise<Keys> {
  const algorithms = new Set([...(wanted.apis?.values() ?? [])].map(({ signing_alg }) => signing_alg));
  const apis = await Promise.all([...algorithms].map(makeKeysForApi));
  return { tenant: isNew ? await makeTenantKeys() : [], apis: apis.flat() };
}

interface Work {
  readonly context: FlowContext;
  readonly transaction: Transaction;
  readonly tenantId: TenantId;
  readonly input: ConfigurationInput;
  readonly stands: Standing;
  readonly changes: readonly Change[];
  readonly keys: Keys;
}

type MadeSecrets = readonly { readonly clientId: string; readonly clientSecret: string }[];

/** Throws `Refusal` for what only shows while it is done. */
async function perform(work: Work): Promise<MadeSecrets> {
  await configure(work);
  await brand(work);
  await changePermissions(work);
  await changeRoles(work);
  await changeApis(work);
  return changeClients(work);
}

async function configure(work: Work): Promise<void> {
  const { context, transaction, tenantId, input, changes, keys } = work;
  const now = context.clock();
  const named = changes.find((change) => change.section === 'tenant');
  if (named?.section === 'tenant' && named.action === 'create') {
    const tenant = { id: tenantId, slug: input.slug, ...named.after };
    if (!(await keepNewTenant(context, transaction, { tenant, keys: keys.tenant })))
      throw new Refusal<ApplyOutcome>({ outcome: 'changed_meanwhile' });
  } else if (named?.section === 'tenant' && named.action === 'update') {
    await updateTenantName(transaction, { id: tenantId, ...named.after, now });
    await append(work, tenantEvent(work, 'tenant.configured', { name: named.after.name, locale: named.after.locale }));
  }
  const wishes = settingChanges(changes);
  if (wishes.length === 0) return;
  const before = readTenantSettings((await lockTenantRow(transaction, tenantId))?.settings);
  const settings = storedTenantSettings(changeTenantSettings(before, wishes));
  await updateTenantSettings(transaction, { id: tenantId, settings, now });
  const data = Object.fromEntries(wishes.map(({ name, value }) => [name, value ?? 'default']));
  await append(work, tenantEvent(work, 'tenant.configured', data));
}

async function brand(work: Work): Promise<void> {
  const { context, transaction, tenantId, input, changes, stands } = work;
  const wishes = changes.filter((change) => change.section === 'brand');
  if (wishes.length === 0) return;
  const now = context.clock();
  const after = applyChanges(stands.configuration, wishes).brand;
  const [color, logo] = [after.get('color'), after.get('logo')];
  const before = readBrand(await lockBrand(transaction, tenantId)).logo;
  const wanted: TenantBrand = {
    color: typeof color === 'string' ? color : undefined,
    logo: typeof logo === 'object' ? shapeOf(logo, before, input.logos) : undefined,
  };
  const picture = wanted.logo === undefined ? undefined : input.logos.get(wanted.logo.version);
  if (wanted.logo === undefined) await deleteLogo(transaction, tenantId);
  else if (picture !== undefined && wanted.logo.version !== before?.version) {
    const { version } = wanted.logo;
    const row = { version, media_type: picture.mediaType, body: picture.body };
    await putLogo(transaction, { id: tenantId, logo: row, now });
  }
  await updateBrand(transaction, { id: tenantId, brand: wanted, now });
  const data = { color: wanted.color ?? 'none', logo: wanted.logo?.version ?? 'none' };
  await append(work, tenantEvent(work, 'tenant.branded', data));
}

function shapeOf(
  { version, alt }: { readonly version: string; readonly alt: string },
  before: TenantBrand['logo'],
  logos: ReadonlyMap<string, LogoPicture>,
): TenantBrand['logo'] {
  const shape = logos.get(version) ?? (before?.version === version ? before : undefined);
  if (shape === undefined) throw new TypeError('a logo that is wanted comes with its picture');
  return { version, width: shape.width, height: shape.height, alt };
}

async function changePermissions(work: Work): Promise<void> {
  const { context, transaction, tenantId, changes } = work;
  const now = context.clock();
  for (const change of changes) {
    if (change.section !== 'permissions') continue;
    const { key: name, after } = change;
    if (after === undefined) {
      await deletePermission(transaction, { tenantId, name });
      await append(work, permissionEvent(work, 'permission.deleted', name));
      continue;
    }
    const permission = { tenantId, name, description: after.description, isActive: after.is_active };
    if (change.action === 'update') {
      await updatePermission(transaction, permission);
      await append(work, permissionEvent(work, 'permission.changed', name));
      continue;
    }
    if (!(await insertPermission(transaction, { ...permission, now })))
      throw new Refusal<ApplyOutcome>({ outcome: 'changed_meanwhile' });
    await append(work, permissionEvent(work, 'permission.created', name));
  }
}

async function changeRoles(work: Work): Promise<void> {
  const { context, transaction, tenantId, changes } = work;
  const now = context.clock();
  const roles = changes.flatMap((change) => (change.section === 'roles' ? [change] : []));
  for (const change of roles.filter(({ action }) => action === 'create')) {
    if (change.after === undefined) continue;
    const id = uuidv7(now);
    // What it inherits may be a role that comes after it.
    const role = { ...change.after, id, name: change.key, inherits: undefined, builtIn: false };
    if (!(await insertRole(transaction, { tenantId, role, now })))
      throw new Refusal<ApplyOutcome>({ outcome: 'changed_meanwhile' });
    await append(work, roleEvent(work, 'role.created', { id, name: change.key }));
  }
  for (const change of roles) {
    if (change.after === undefined) continue;
    const { key: name, after: role } = change;
    const id = await updateRole(transaction, { tenantId, name, role });
    if (id !== undefined && change.action === 'update')
      await append(work, roleEvent(work, 'role.updated', { id, name }, change.fields));
  }
  const gone = roles.flatMap((change) => (change.before !== undefined && change.after === undefined ? [change] : []));
  // None holds on to another that goes with it.
  for (const { key: name, before } of gone)
    await updateRole(transaction, { tenantId, name, role: { ...before, inherits: undefined } });
  for (const change of gone) {
    const id = await deleteRole(transaction, { tenantId, name: change.key });
    if (id !== undefined) await append(work, roleEvent(work, 'role.deleted', { id, name: change.key }));
  }
}

async function changeApis(work: Work): Promise<void> {
  const { context, transaction, tenantId, changes, keys } = work;
  const now = context.clock();
  for (const change of changes) {
    if (change.section !== 'apis') continue;
    const { key: audience, after: api } = change;
    if (api === undefined) {
      await updateApiStatus(transaction, { tenantId, audience, status: 'disabled' });
      await append(work, apiEvent(work, 'api.disabled', audience));
      continue;
    }
    const { token_format: tokenFormat, signing_alg: signingAlg, scopes } = api;
    if (change.action === 'create') {
      if (!(await insertApi(transaction, { tenantId, audience, tokenFormat, signingAlg, scopes, now })))
        throw new Refusal<ApplyOutcome>({ outcome: 'changed_meanwhile' });
    } else await updateApi(transaction, { tenantId, audience, api });
    await putDetailsTypes(transaction, { tenantId, audience, details: api.authorization_details, now });
    await keepFirstKeys(context, transaction, { tenantId, keys: keys.apis.filter(({ alg }) => alg === signingAlg) });
    const isNew = change.action === 'create';
    await append(work, apiEvent(work, isNew ? 'api.created' : 'api.updated', audience, isNew ? [] : change.fields));
  }
}

async function changeClients(work: Work): Promise<MadeSecrets> {
  const { context, transaction, tenantId, input, changes } = work;
  const around = circumstancesOf(context, { ...work, protocol: input.protocol });
  const secrets: { clientId: string; clientSecret: string }[] = [];
  const made = new Set<string>();
  for (const change of changes) {
    if (change.section !== 'clients') continue;
    const { key: clientId, after } = change;
    if (after === undefined) {
      await disable(work, clientId);
      continue;
    }
    const planned = plannedClient(after, around);
    const problems =
      planned.outcome === 'refused'
        ? planned.problems
        : await problemsWithOurKeys(transaction, { tenantId, client: planned.client });
    if (planned.outcome === 'refused' || problems.length > 0)
      throw new Refusal<ApplyOutcome>({
        outcome: 'refused',
        problems: problems.map(({ field, problem, value }) => ({ path: ['clients', clientId, field], problem, value })),
      });
    const { client } = planned;
    const chosen = input.wanted.secrets?.get(clientId);
    const secretHash = chosen === undefined ? undefined : Buffer.from(chosen, 'hex');
    const clientSecret =
      change.action === 'create'
        ? (await storeClient(context, transaction, { tenantId, client, clientId, secretHash })).clientSecret
        : await update(work, { clientId, client, fields: change.fields, hasChosen: secretHash !== undefined });
    if (change.action === 'create') made.add(clientId);
    if (clientSecret !== undefined) secrets.push({ clientId, clientSecret });
  }
  for (const change of changes) {
    // A new client was made with it.
    if (change.section !== 'secrets' || change.after === undefined || made.has(change.key)) continue;
    const secretHash = Buffer.from(change.after, 'hex');
    await insertClientSecret(transaction, { tenantId, clientId: change.key, secretHash, now: context.clock() });
    await append(work, clientEvent(context, { type: 'client.secret_rotated', clientId: change.key }));
  }
  return secrets;
}

/** Answers with a secret when it was made because the client needs one from now on, and nobody chose it. */
async function update(
  work: Work,
  {
    clientId,
    client,
    fields,
    hasChosen,
  }: {
    readonly clientId: string;
    readonly client: PlannedClient;
    readonly fields: readonly string[];
    readonly hasChosen: boolean;
  },
): Promise<string | undefined> {
  const { context, transaction, tenantId, stands } = work;
  const now = context.clock();
  await updateClientRow(transaction, { ...client, tenantId, clientId, now });
  if (!client.needsSecret) await deleteClientSecrets(transaction, { tenantId, clientId });
  const isWithout = client.needsSecret && !hasChosen && (stands.secretHashes.get(clientId) ?? []).length === 0;
  const clientSecret = isWithout ? randomValue() : undefined;
  if (clientSecret !== undefined)
    await insertClientSecret(transaction, { tenantId, clientId, secretHash: sha256(clientSecret), now });
  await append(work, clientEvent(context, { type: 'client.updated', clientId, data: { changed: fields } }));
  return clientSecret;
}

async function disable(work: Work, clientId: string): Promise<void> {
  const { context, transaction, tenantId } = work;
  await updateClientStatus(transaction, { tenantId, clientId, status: 'disabled', now: context.clock() });
  await deleteConsentsToClient(transaction, { tenantId, clientId });
  await append(work, clientEvent(context, { type: 'client.disabled', clientId }));
}

function tenantEvent(
  { context, tenantId }: Work,
  type: 'tenant.configured' | 'tenant.branded',
  data: NewEvent['data'],
): NewEvent {
  return { type, outcome: 'success', actor: context.actor, target: { type: 'tenant', id: tenantId }, data };
}

function roleEvent(
  { context }: Work,
  type: Extract<EventType, `role.${string}`>,
  { id, name }: { readonly id: string; readonly name: string },
  changed: readonly string[] = [],
): NewEvent {
  const data = { name, ...(changed.length === 0 ? {} : { changed }) };
  return { type, outcome: 'success', actor: context.actor, target: { type: 'role', id }, data };
}

function permissionEvent({ context }: Work, type: Extract<EventType, `permission.${string}`>, name: string): NewEvent {
  return { type, outcome: 'success', actor: context.actor, target: { type: 'permission', id: name } };
}

function apiEvent(
  { context }: Work,
  type: Extract<EventType, `api.${string}`>,
  audience: string,
  changed: readonly string[] = [],
): NewEvent {
  const data = changed.length === 0 ? undefined : { changed };
  return { type, outcome: 'success', actor: context.actor, target: { type: 'api', id: audience }, data };
}

async function append({ context, transaction, tenantId }: Work, event: NewEvent): Promise<void> {
  const tenant = context.database.tenant(tenantId);
  await appendEvent(transaction, { tenant, event, origin: context.origin, now: context.clock() });
}
