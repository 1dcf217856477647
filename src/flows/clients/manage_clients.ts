/** Registering clients and APIs, and the secrets of clients. A secret is shown once, here, and kept only as its hash. */
import { isDeepStrictEqual } from 'node:util';
import { type ApiPlan, type ApiRequest, type PlannedApi, planApi } from '#src/domain/api.ts';
import {
  type Circumstances,
  type ClientPlan,
  type ClientProblem,
  type ClientRequest,
  type PlannedClient,
  planClient,
  usesSecret,
} from '#src/domain/client.ts';
import { problemsBeyond } from '#src/domain/client_rights.ts';
import { CLIENT_SETTING_NAMES, neededAlgorithms } from '#src/domain/client_settings.ts';
import { egressPermissions } from '#src/domain/egress.ts';
import type { NewEvent } from '#src/domain/event.ts';
import type { ProtocolFeatures } from '#src/domain/protocol_features.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { randomValue, sha256 } from '#src/foundation/identifiers.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { insertApi, updateApiStatus } from '#src/storage/tables/apis.ts';
import {
  type ClientListRow,
  deleteClientSecrets,
  findClient,
  insertClient,
  insertClientSecret,
  listClientsAfter,
  readClientEntry,
  updateClientRow,
  updateClientStatus,
} from '#src/storage/tables/clients.ts';
import { deleteConsentsToClient } from '#src/storage/tables/consents.ts';
import { listSigningKeys } from '#src/storage/tables/signing_keys.ts';
import type { FlowContext } from '../flow_context.ts';
import { keepFirstKeys, makeKeysForApi } from '../keys/rotate_keys.ts';

export type CreateClientOutcome =
  | {
      readonly outcome: 'created';
      readonly clientId: string;
      /** Shown this once. Undefined for public clients and for those that sign with a key of their own. */
      readonly clientSecret: string | undefined;
      readonly client: PlannedClient;
    }
  | { readonly outcome: 'refused'; readonly problems: readonly ClientProblem[] };

const clientIdBytes = 16;
/** A letter, because a command line takes a leading hyphen for an option. */
const clientIdStart = 'c';

/** On whose behalf a client is made or changed. */
export interface ClientAuthority {
  /** What they may do, which is all that a client of theirs can be worth. An operator needs to say nothing. */
  readonly held?: ReadonlySet<string> | undefined;
  /** Called with the client as it is, locked: throws when it is not the one that they had looked at. */
  readonly guard?: ((client: ClientListRow) => void) | undefined;
}

/** @param input.protocol what is switched on for the tenant; nothing where it is not told. */
export async function createClient(
  context: FlowContext,
  input: { readonly tenantId: TenantId; readonly client: ClientRequest; readonly protocol?: ProtocolFeatures } & Pick<
    ClientAuthority,
    'held'
  >,
): Promise<CreateClientOutcome> {
  const plan: ClientPlan = planClient(input.client, circumstances(context, input.protocol));
  if (plan.outcome === 'refused') return plan;
  const { client } = plan;
  const beyond = input.held === undefined ? [] : problemsBeyond(client, input.held);
  if (beyond.length > 0) return { outcome: 'refused', problems: beyond };
  const { tenantId } = input;
  const tenant = context.database.tenant(tenantId);
  return tenant.transaction(async (transaction) => {
    const problems = await problemsWithOurKeys(transaction, { tenantId, client });
    if (problems.length > 0) return { outcome: 'refused', problems };
    return { outcome: 'created', client, ...(await storeClient(context, transaction, { tenantId, client })) };
  });
}

/** A planned client with its secret and its event, in a transaction of its tenant. */
export async function storeClient(
  context: FlowContext,
  transaction: Transaction,
  {
    tenantId,
    client,
    clientId = randomValue(clientIdStart, clientIdBytes),
    secretHash,
    data,
  }: {
    readonly tenantId: TenantId;
    readonly client: PlannedClient;
    /** Made here unless it is chosen. */
    readonly clientId?: string;
    /** Of a secret that somebody chose; else one is made. */
    readonly secretHash?: Buffer | undefined;
    readonly data?: NewEvent['data'];
  },
): Promise<{ readonly clientId: string; readonly clientSecret: string | undefined }> {
  const now = context.clock();
  const tenant = context.database.tenant(tenantId);
  const clientSecret = client.needsSecret && secretHash === undefined ? randomValue() : undefined;
  await insertClient(transaction, { ...client, tenantId, clientId, now });
  const kept = clientSecret === undefined ? secretHash : sha256(clientSecret);
  if (kept !== undefined) await insertClientSecret(transaction, { tenantId, clientId, secretHash: kept, now });
  const event = clientEvent(context, {
    type: 'client.created',
    clientId,
    data: { type: client.type, name: client.name, ...data },
  });
  await appendEvent(transaction, { tenant, event, origin: context.origin, now });
  return { clientId, clientSecret };
}

/** What is to change. What is `null`, a setting too, is taken back; what is not named stays. */
export type ClientChanges = Omit<
  ClientRequest,
  'name' | 'type' | 'settings' | 'backchannelLogoutUri' | 'tokenEndpointAuthMethod'
> & {
  readonly name?: string | undefined;
  readonly backchannelLogoutUri?: string | null | undefined;
  readonly tokenEndpointAuthMethod?: string | null | undefined;
  readonly settings?: Readonly<Record<string, unknown>> | undefined;
};

export type UpdateClientOutcome =
  | {
      readonly outcome: 'updated';
      /** Named as on the wire. */
      readonly changed: readonly string[];
      /** Shown this once, where the client authenticates with a secret from now on. */
      readonly clientSecret: string | undefined;
    }
  | { readonly outcome: 'unchanged' }
  | { readonly outcome: 'unknown_client' }
  | { readonly outcome: 'refused'; readonly problems: readonly ClientProblem[] };

/**
 * Changes a client as if it were registered anew with what it will then be: nothing can be reached in two steps that
 * registration refuses. Every process serves the new client within a second; tokens that it has stay valid.
 */
export async function updateClient(
  context: FlowContext,
  input: {
    readonly tenantId: TenantId;
    readonly clientId: string;
    readonly changes: ClientChanges;
    readonly protocol?: ProtocolFeatures;
  } & ClientAuthority,
): Promise<UpdateClientOutcome> {
  const now = context.clock();
  const { tenantId, clientId } = input;
  const tenant = context.database.tenant(tenantId);
  return tenant.transaction(async (transaction) => {
    const before = await findClient(transaction, input);
    if (before === undefined) return { outcome: 'unknown_client' };
    input.guard?.(before);
    const plan = planClient(requestAfter(before, input.changes), circumstances(context, input.protocol));
    if (plan.outcome === 'refused') return plan;
    const { client } = plan;
    const beyond = input.held === undefined ? [] : beyondEither(before, client, input.held);
    if (beyond.length > 0) return { outcome: 'refused', problems: beyond };
    const problems = await problemsWithOurKeys(transaction, { tenantId, client });
    if (problems.length > 0) return { outcome: 'refused', problems };
    const changed = whatChanged(before, client);
    if (changed.length === 0) return { outcome: 'unchanged' };

    await updateClientRow(transaction, { ...client, tenantId, clientId, now });
    if (!client.needsSecret) await deleteClientSecrets(transaction, { tenantId, clientId });
    const clientSecret = client.needsSecret && before.live_secrets === 0 ? randomValue() : undefined;
    if (clientSecret !== undefined) {
      await insertClientSecret(transaction, { tenantId, clientId, secretHash: sha256(clientSecret), now });
    }
    const event = clientEvent(context, { type: 'client.updated', clientId, data: { changed } });
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    return { outcome: 'updated', changed, clientSecret };
  });
}

/** Neither what it was may be taken over, nor what it is to be be given, by whoever is worth less. */
function beyondEither(
  before: ClientListRow,
  after: PlannedClient,
  held: ReadonlySet<string>,
): readonly ClientProblem[] {
  const problems = [...problemsBeyond(worthOf(before), held), ...problemsBeyond(after, held)];
  return [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()];
}

export function worthOf({ first_party: firstParty, scopes }: Pick<ClientListRow, 'first_party' | 'scopes'>) {
  return { firstParty, scopes };
}

function circumstances(context: FlowContext, protocol: ProtocolFeatures | undefined): Circumstances {
  // Also when it is changed: whoever could send the codes of such a client elsewhere could act on every tenant.
  const platform = context.actor.type === 'operator';
  return { permissions: egressPermissions(context.egressAllow ?? []), protocol, platform };
}

function requestAfter(before: ClientListRow, changes: ClientChanges): ClientRequest {
  const { settings, ...others } = changes;
  const given = Object.fromEntries(Object.entries(others).filter(([, value]) => value !== undefined));
  const withdrawn = Object.keys(given).filter((name) => given[name] === null);
  const merged: Readonly<Record<string, unknown>> = { ...before.settings, ...settings };
  const hadKeys = before.jwks !== null || before.settings.jwks_uri !== undefined;
  const publishesKeys = typeof merged['jwks_uri'] === 'string';
  const bringsKeys = !hadKeys && ((given['jwks'] ?? undefined) !== undefined || publishesKeys);
  const request: ClientRequest = {
    name: before.name,
    type: before.type,
    redirectUris: before.redirect_uris,
    postLogoutRedirectUris: before.post_logout_redirect_uris,
    backchannelLogoutUri: before.backchannel_logout_uri ?? undefined,
    scopes: before.scopes,
    audiences: before.audiences,
    firstParty: before.first_party,
    // Keys that are published from now on take the place of those that were registered.
    ...(before.jwks === null || publishesKeys ? {} : { jwks: before.jwks }),
    // Who brings keys for the first time signs with them, as at registration.
    ...(bringsKeys ? {} : { tokenEndpointAuthMethod: before.token_endpoint_auth_method }),
    ...given,
    settings: Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== null)),
  };
  return { ...request, ...Object.fromEntries(withdrawn.map((name) => [name, undefined])) };
}

function whatChanged(before: ClientListRow, client: PlannedClient): readonly string[] {
  const pairs = {
    name: [before.name, client.name],
    first_party: [before.first_party, client.firstParty],
    redirect_uris: [before.redirect_uris, client.redirectUris],
    post_logout_redirect_uris: [before.post_logout_redirect_uris, client.postLogoutRedirectUris],
    backchannel_logout_uri: [before.backchannel_logout_uri ?? undefined, client.backchannelLogoutUri],
    scopes: [before.scopes, client.scopes],
    audiences: [before.audiences, client.audiences],
    token_endpoint_auth_method: [before.token_endpoint_auth_method, client.tokenEndpointAuthMethod],
    jwks: [before.jwks ?? undefined, client.jwks],
    ...Object.fromEntries(
      CLIENT_SETTING_NAMES.map((name) => [name, [before.settings[name], client.settings[name]] as const]),
    ),
  };
  return Object.entries(pairs).flatMap(([name, [was, is]]) => (isDeepStrictEqual(was, is) ? [] : [name]));
}

/** A client that waits for signatures of a key that its tenant does not have would never be served. */
export async function problemsWithOurKeys(
  transaction: Transaction,
  { tenantId, client }: { readonly tenantId: TenantId; readonly client: PlannedClient },
): Promise<readonly ClientProblem[]> {
  const needed = neededAlgorithms(client.settings);
  if (needed.length === 0) return [];
  const keys = await listSigningKeys(transaction, tenantId);
  return needed
    .filter((algorithm) => !keys.some(({ alg, status }) => alg === algorithm && status === 'active'))
    .map((value) => ({ field: 'settings', problem: 'no_key_of_this_algorithm', value }));
}

/** In the order in which they were made; one more than the limit where there are more. */
export function listClientsInParts(
  { database }: Pick<FlowContext, 'database'>,
  input: Parameters<typeof listClientsAfter>[1],
): Promise<readonly ClientListRow[]> {
  return database.tenant(input.tenantId).transaction((transaction) => listClientsAfter(transaction, input));
}

export function showClient(
  { database }: Pick<FlowContext, 'database'>,
  client: { readonly tenantId: TenantId; readonly clientId: string },
): Promise<ClientListRow | undefined> {
  return database.tenant(client.tenantId).transaction((transaction) => readClientEntry(transaction, client));
}

export type RotateSecretOutcome =
  | { readonly outcome: 'rotated'; readonly clientSecret: string; readonly liveSecrets: number }
  | { readonly outcome: 'refused'; readonly reason: 'unknown_client' | 'without_secret' | 'beyond_your_own' };

/** The secret that was made last stays valid beside the new one; any older one ends at once. */
export async function rotateClientSecret(
  context: FlowContext,
  { held, guard, ...input }: { readonly tenantId: TenantId; readonly clientId: string } & ClientAuthority,
): Promise<RotateSecretOutcome> {
  const now = context.clock();
  const tenant = context.database.tenant(input.tenantId);
  return tenant.transaction(async (transaction) => {
    const client = await findClient(transaction, input);
    if (client === undefined) return { outcome: 'refused', reason: 'unknown_client' };
    guard?.(client);
    if (held !== undefined && problemsBeyond(worthOf(client), held).length > 0)
      return { outcome: 'refused', reason: 'beyond_your_own' };
    if (!usesSecret(client.token_endpoint_auth_method)) return { outcome: 'refused', reason: 'without_secret' };
    const clientSecret = randomValue();
    await insertClientSecret(transaction, { ...input, secretHash: sha256(clientSecret), now });
    const event = clientEvent(context, { type: 'client.secret_rotated', clientId: input.clientId });
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    return { outcome: 'rotated', clientSecret, liveSecrets: Math.min(client.live_secrets + 1, 2) };
  });
}

/** `unchanged` when it is not there or disabled already. */
export async function disableClient(
  context: FlowContext,
  input: { readonly tenantId: TenantId; readonly clientId: string },
): Promise<{ readonly outcome: 'disabled' | 'unchanged' }> {
  const { outcome } = await changeClientStatus(context, { ...input, status: 'disabled' });
  return { outcome: outcome === 'changed' ? 'disabled' : 'unchanged' };
}

export type OneClient = { readonly tenantId: TenantId; readonly clientId: string } & ClientAuthority;

export type ClientStatusOutcome = {
  readonly outcome: 'changed' | 'unchanged' | 'unknown_client' | 'beyond_your_own';
};

/**
 * Disabled, its tokens are dead in every process within a second, and what people had agreed to is forgotten. Enabled again, those of its
 * tokens that still live are alive.
 */
export async function changeClientStatus(
  context: FlowContext,
  { status, ...input }: OneClient & { readonly status: ClientListRow['status'] },
): Promise<ClientStatusOutcome> {
  const now = context.clock();
  const { tenantId, clientId } = input;
  const tenant = context.database.tenant(tenantId);
  return tenant.transaction(async (transaction) => {
    const found = await claimClient(transaction, input);
    if (typeof found === 'string') return { outcome: found };
    if (found.status === status) return { outcome: 'unchanged' };
    await updateClientStatus(transaction, { tenantId, clientId, status, now });
    if (status === 'disabled') await deleteConsentsToClient(transaction, { tenantId, clientId });
    const event = clientEvent(context, {
      type: status === 'disabled' ? 'client.disabled' : 'client.enabled',
      clientId,
    });
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    return { outcome: 'changed' };
  });
}

/** The client, locked, for whoever may do anything with it. */
export async function claimClient(
  transaction: Transaction,
  { held, guard, ...one }: OneClient,
): Promise<ClientListRow | 'unknown_client' | 'beyond_your_own'> {
  const found = await findClient(transaction, one);
  if (found === undefined) return 'unknown_client';
  guard?.(found);
  return held !== undefined && problemsBeyond(worthOf(found), held).length > 0 ? 'beyond_your_own' : found;
}

export type CreateApiOutcome =
  | { readonly outcome: 'created'; readonly api: PlannedApi }
  | Extract<ApiPlan, { outcome: 'refused' }>
  | { readonly outcome: 'taken' };

export async function createApi(
  context: FlowContext,
  input: { readonly tenantId: TenantId; readonly api: ApiRequest },
): Promise<CreateApiOutcome> {
  const plan = planApi(input.api);
  if (plan.outcome === 'refused') return plan;
  const now = context.clock();
  const tenant = context.database.tenant(input.tenantId);
  const keys = await makeKeysForApi(plan.api.signingAlg);
  return tenant.transaction(async (transaction) => {
    if (!(await insertApi(transaction, { ...plan.api, tenantId: input.tenantId, now }))) return { outcome: 'taken' };
    const event: NewEvent = {
      type: 'api.created',
      outcome: 'success',
      actor: context.actor,
      target: { type: 'api', id: plan.api.audience },
    };
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    await keepFirstKeys(context, transaction, { tenantId: input.tenantId, keys });
    return { outcome: 'created', api: plan.api };
  });
}

/**
 * `unchanged` when it is not there or had that status already. Within a second every process refuses to make tokens for a disabled
 * API, and answers that those it has are not active; enabled again, those that still live are.
 */
export async function changeApiStatus(
  context: FlowContext,
  input: { readonly tenantId: TenantId; readonly audience: string; readonly status: 'active' | 'disabled' },
): Promise<{ readonly outcome: 'changed' | 'unchanged' }> {
  const now = context.clock();
  const tenant = context.database.tenant(input.tenantId);
  return tenant.transaction(async (transaction) => {
    if (!(await updateApiStatus(transaction, input))) return { outcome: 'unchanged' };
    const event: NewEvent = {
      type: input.status === 'active' ? 'api.enabled' : 'api.disabled',
      outcome: 'success',
      actor: context.actor,
      target: { type: 'api', id: input.audience },
    };
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    return { outcome: 'changed' };
  });
}

export function clientEvent(
  context: FlowContext,
  { type, clientId, data }: { type: NewEvent['type']; clientId: string; data?: NewEvent['data'] },
): NewEvent {
  return { type, outcome: 'success', actor: context.actor, target: { type: 'client', id: clientId }, data };
}
