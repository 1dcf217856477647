/** What an API lets applications ask people for (RFC 9396): registered once, and from then on what the consent page can show. */
import {
  type AuthorizationDetailsType,
  type DetailsTypePlan,
  planDetailsType,
} from '#src/domain/authorization_details.ts';
import type { NewEvent } from '#src/domain/event.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { insertDetailsType } from '#src/storage/tables/authorization_details_types.ts';
import type { FlowContext } from '../flow_context.ts';

export type AddDetailsTypeOutcome =
  | { readonly outcome: 'added' }
  | { readonly outcome: 'taken' | 'unknown_api' }
  | Extract<DetailsTypePlan, { outcome: 'refused' }>;

export async function addDetailsType(
  context: FlowContext,
  input: { readonly tenantId: TenantId; readonly type: AuthorizationDetailsType },
): Promise<AddDetailsTypeOutcome> {
  const plan = planDetailsType(input.type);
  if (plan.outcome === 'refused') return plan;
  const { type } = plan;
  const { tenantId } = input;
  const now = context.clock();
  const tenant = context.database.tenant(tenantId);
  return tenant.transaction(async (transaction) => {
    const outcome = await insertDetailsType(transaction, { tenantId, type, now });
    if (outcome !== 'inserted') return { outcome };
    const event: NewEvent = {
      type: 'api.authorization_details_added',
      outcome: 'success',
      actor: context.actor,
      target: { type: 'api', id: type.audience },
      data: { type: type.type, sentence: type.sentence },
    };
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    return { outcome: 'added' };
  });
}
