/** The end of a client: it is removed, with everything that hangs on it. */
import type { NewEvent } from '#src/domain/event.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { deleteClientRow } from '#src/storage/tables/clients.ts';
import type { FlowContext } from '../flow_context.ts';
import { claimClient, clientEvent, type OneClient } from './manage_clients.ts';

/**
 * Removes it with its secrets, its registration, what people had agreed to and the devices that were paired with it. Its tokens are dead in
 * every process within a second, and no other client ever gets its identifier. What happened stays in the history.
 */
export async function deleteClient(
  context: FlowContext,
  input: OneClient,
): Promise<{ readonly outcome: 'deleted' | 'unknown_client' | 'beyond_your_own' }> {
  const now = context.clock();
  const { tenantId, clientId } = input;
  const tenant = context.database.tenant(tenantId);
  return tenant.transaction(async (transaction) => {
    const found = await claimClient(transaction, input);
    if (typeof found === 'string') return { outcome: found };
    await deleteClientRow(transaction, { tenantId, clientId });
    const { type, name } = found;
    // Whoever keeps answers about its tokens listens for the first of these.
    const types: readonly NewEvent['type'][] = [
      ...(found.status === 'active' ? (['client.disabled'] as const) : []),
      'client.deleted',
    ];
    for (const eventType of types) {
      const data = eventType === 'client.deleted' ? { type, name } : undefined;
      const event = clientEvent(context, { type: eventType, clientId, ...(data === undefined ? {} : { data }) });
      await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    }
    return { outcome: 'deleted' };
  });
}
