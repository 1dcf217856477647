/** Changing and removing APIs. How one comes to be is in manage_clients.ts, beside the clients that are registered for it. */
import { isDeepStrictEqual } from 'node:util';
import { type ApiPlan, type ApiRequest, isAccessTokenAlgorithm, planApi } from '#src/domain/api.ts';
import type { NewEvent } from '#src/domain/event.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import {
  type ApiEntryRow,
  deleteApiRow,
  listApisAfter,
  lockApi,
  readApi,
  updateApiRow,
} from '#src/storage/tables/apis.ts';
import type { FlowContext } from '../flow_context.ts';
import { keepFirstKeys, makeKeysForApi } from '../keys/rotate_keys.ts';

interface OneApi {
  readonly tenantId: TenantId;
  readonly audience: string;
  /** Called with the API as it is, locked: throws when it is not the one that whoever asks had looked at. */
  readonly guard?: ((api: ApiEntryRow) => void) | undefined;
}

type Read = Pick<FlowContext, 'database'>;

/** In the order in which they were made; one more than the limit where there are more. */
export function listApisInParts(
  { database }: Read,
  input: Parameters<typeof listApisAfter>[1],
): Promise<readonly ApiEntryRow[]> {
  return database.tenant(input.tenantId).transaction((transaction) => listApisAfter(transaction, input));
}

export function showApi(
  { database }: Read,
  api: Pick<OneApi, 'tenantId' | 'audience'>,
): Promise<ApiEntryRow | undefined> {
  return database.tenant(api.tenantId).transaction((transaction) => readApi(transaction, api));
}

/** What is not named stays. The audience is what an API is, and never changes. */
export type ApiChanges = Omit<ApiRequest, 'audience'> & { readonly status?: ApiEntryRow['status'] | undefined };

export type UpdateApiOutcome =
  | {
      readonly outcome: 'updated';
      readonly api: ApiEntryRow /** Named as on the wire. */;
      readonly changed: readonly string[];
    }
  | { readonly outcome: 'unchanged'; readonly api: ApiEntryRow }
  | { readonly outcome: 'unknown_api' }
  | Extract<ApiPlan, { outcome: 'refused' }>;

/**
 * Changes an API as if it were registered anew with what it will then be. Tokens that are out stay what they are: another format or key is
 * that of the next one, and a scope that is gone is in no new one. Disabled, it is served nowhere within a second.
 */
export async function updateApi(
  context: FlowContext,
  { changes, guard, ...one }: OneApi & { readonly changes: ApiChanges },
): Promise<UpdateApiOutcome> {
  const { tenantId, audience } = one;
  const now = context.clock();
  const tenant = context.database.tenant(tenantId);
  const { signingAlg } = changes;
  // Takes a while: no row is held meanwhile.
  const keys = signingAlg !== undefined && isAccessTokenAlgorithm(signingAlg) ? await makeKeysForApi(signingAlg) : [];
  return tenant.transaction(async (transaction) => {
    const before = await lockApi(transaction, one);
    if (before === undefined) return { outcome: 'unknown_api' };
    guard?.(before);
    const plan = planApi({
      audience,
      scopes: changes.scopes ?? before.scopes,
      tokenFormat: changes.tokenFormat ?? before.token_format,
      signingAlg: signingAlg ?? before.signing_alg,
    });
    if (plan.outcome === 'refused') return plan;
    const status = changes.status ?? before.status;
    const { tokenFormat, scopes } = plan.api;
    const after = { ...before, token_format: tokenFormat, signing_alg: plan.api.signingAlg, scopes, status };
    const described = (['token_format', 'signing_alg', 'scopes'] as const).filter(
      (name) => !isDeepStrictEqual(before[name], after[name]),
    );
    const changed = [...described, ...(status === before.status ? [] : ['status'])];
    if (changed.length === 0) return { outcome: 'unchanged', api: before };

    await updateApiRow(transaction, { tenantId, ...plan.api, status });
    const events: readonly Pick<NewEvent, 'type' | 'data'>[] = [
      ...(described.length === 0 ? [] : [{ type: 'api.updated', data: { changed: described } } as const]),
      ...(status === before.status ? [] : [{ type: status === 'active' ? 'api.enabled' : 'api.disabled' } as const]),
    ];
    for (const event of events)
      await appendEvent(transaction, {
        tenant,
        event: { ...aboutApi(context, audience), ...event },
        origin: context.origin,
        now,
      });
    await keepFirstKeys(context, transaction, { tenantId, keys });
    return { outcome: 'updated', api: after, changed };
  });
}

/**
 * Removes it. Its tokens are good for nothing within a second. Another API of the same audience is the same one to those of them that still
 * live, and to what people had agreed to: an audience means one API for as long as there are tokens for it.
 */
export async function deleteApi(
  context: FlowContext,
  { guard, ...one }: OneApi,
): Promise<{ readonly outcome: 'deleted' | 'unknown_api' }> {
  const { tenantId, audience } = one;
  const now = context.clock();
  const tenant = context.database.tenant(tenantId);
  return tenant.transaction(async (transaction) => {
    const before = await lockApi(transaction, one);
    if (before === undefined) return { outcome: 'unknown_api' };
    guard?.(before);
    await deleteApiRow(transaction, one);
    // Whoever keeps answers about its tokens listens for the first of these.
    const types: readonly NewEvent['type'][] =
      before.status === 'active' ? ['api.disabled', 'api.deleted'] : ['api.deleted'];
    for (const type of types)
      await appendEvent(transaction, {
        tenant,
        event: { ...aboutApi(context, audience), type },
        origin: context.origin,
        now,
      });
    return { outcome: 'deleted' };
  });
}

function aboutApi({ actor }: FlowContext, audience: string) {
  return { outcome: 'success', actor, target: { type: 'api', id: audience } } as const;
}
