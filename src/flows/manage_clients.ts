/** Registering clients and APIs, and the secrets of clients. A secret is shown once, here, and kept only as its hash. */
import { type ApiPlan, type ApiRequest, type PlannedApi, planApi } from '#src/domain/api.ts';
import {
  type ClientPlan,
  type ClientProblem,
  type ClientRequest,
  type PlannedClient,
  planClient,
} from '#src/domain/client.ts';
import { egressPermissions } from '#src/domain/egress.ts';
import type { NewEvent } from '#src/domain/event.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { randomValue, sha256 } from '#src/foundation/identifiers.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { insertApi, updateApiStatus } from '#src/storage/tables/apis.ts';
import { findClient, insertClient, insertClientSecret, updateClientStatus } from '#src/storage/tables/clients.ts';
import type { FlowContext } from './flow_context.ts';
import { keepFirstKeys, makeKeysForApi } from './rotate_keys.ts';

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

export async function createClient(
  context: FlowContext,
  input: { readonly tenantId: TenantId; readonly client: ClientRequest },
): Promise<CreateClientOutcome> {
  const plan: ClientPlan = planClient(input.client, egressPermissions(context.egressAllow ?? []));
  if (plan.outcome === 'refused') return plan;
  const { client } = plan;
  const now = context.clock();
  const { tenantId } = input;
  const clientId = randomValue(clientIdStart, clientIdBytes);
  const clientSecret = client.needsSecret ? randomValue() : undefined;
  const tenant = context.database.tenant(tenantId);
  await tenant.transaction(async (transaction) => {
    await insertClient(transaction, { ...client, tenantId, clientId, now });
    if (clientSecret !== undefined) {
      await insertClientSecret(transaction, { tenantId, clientId, secretHash: sha256(clientSecret), now });
    }
    const event = clientEvent(context, {
      type: 'client.created',
      clientId,
      data: { type: client.type, name: client.name },
    });
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
  });
  return { outcome: 'created', clientId, clientSecret, client };
}

export type RotateSecretOutcome =
  | { readonly outcome: 'rotated'; readonly clientSecret: string; readonly liveSecrets: number }
  | { readonly outcome: 'refused'; readonly reason: 'unknown_client' | 'without_secret' };

/** The secret that was made last stays valid beside the new one; any older one ends at once. */
export async function rotateClientSecret(
  context: FlowContext,
  input: { readonly tenantId: TenantId; readonly clientId: string },
): Promise<RotateSecretOutcome> {
  const now = context.clock();
  const tenant = context.database.tenant(input.tenantId);
  return tenant.transaction(async (transaction) => {
    const client = await findClient(transaction, input);
    if (client === undefined) return { outcome: 'refused', reason: 'unknown_client' };
    if (client.token_endpoint_auth_method !== 'client_secret_basic')
      return { outcome: 'refused', reason: 'without_secret' };
    const clientSecret = randomValue();
    await insertClientSecret(transaction, { ...input, secretHash: sha256(clientSecret), now });
    const event = clientEvent(context, { type: 'client.secret_rotated', clientId: input.clientId });
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    return { outcome: 'rotated', clientSecret, liveSecrets: Math.min(client.live_secrets + 1, 2) };
  });
}

/** `unchanged` when it is not there or disabled already. Its tokens are dead on every process within a second. */
export async function disableClient(
  context: FlowContext,
  input: { readonly tenantId: TenantId; readonly clientId: string },
): Promise<{ readonly outcome: 'disabled' | 'unchanged' }> {
  const now = context.clock();
  const tenant = context.database.tenant(input.tenantId);
  return tenant.transaction(async (transaction) => {
    if (!(await updateClientStatus(transaction, { ...input, status: 'disabled', now })))
      return { outcome: 'unchanged' };
    const event = clientEvent(context, { type: 'client.disabled', clientId: input.clientId });
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    return { outcome: 'disabled' };
  });
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

function clientEvent(
  context: FlowContext,
  { type, clientId, data }: { type: NewEvent['type']; clientId: string; data?: NewEvent['data'] },
): NewEvent {
  return { type, outcome: 'success', actor: context.actor, target: { type: 'client', id: clientId }, data };
}
