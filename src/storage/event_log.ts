/**
 * The one pipe for everything that happened: shapes an event for the `events` table, which is audit log and outbox at once.
 * An event is written in the transaction that made it true: inside a `Transaction`, or among the operations of one
 * `artifacts_commit`. It decides nothing about what is an event; that is `#src/domain/event.ts`.
 */
import type { NewEvent } from '#src/domain/event.ts';
import { uuidv7 } from '#src/foundation/identifiers.ts';
import type { TenantDatabase, Transaction } from './database.ts';

/** Who asked, and from where: travels with a request from the gate to the row. */
export interface Origin {
  readonly requestId?: string | undefined;
  readonly ip?: string | undefined;
  readonly userAgent?: string | undefined;
}

/** An event as a row of `events`, less its tenant. Keys are column names: `events_append` reads them. */
export interface EventRow {
  readonly id: string;
  readonly occurred_at: string;
  readonly type: string;
  readonly [column: string]: unknown;
}

const userAgentMaximumLength = 300;

export function eventRow(event: NewEvent, origin: Origin, now: Date): EventRow {
  return {
    id: uuidv7(now),
    occurred_at: now.toISOString(),
    type: event.type,
    outcome: event.outcome,
    reason: event.reason,
    actor_type: event.actor?.type,
    actor_id: event.actor?.id,
    target_type: event.target?.type,
    target_id: event.target?.id,
    client_id: event.clientId,
    session_id: event.sessionId,
    ip: origin.ip,
    user_agent: origin.userAgent?.slice(0, userAgentMaximumLength),
    request_id: origin.requestId,
    data: event.data,
  };
}

/** `$2`: a list of `EventRow`, as JSON. */
export const appendEvents = { name: 'events_append', text: 'select events_append($1, $2)' } as const;

/** Appends to a transaction of the same tenant. */
export async function appendEvent(
  transaction: Transaction,
  { tenant, event, origin, now }: { tenant: TenantDatabase; event: NewEvent; origin: Origin; now: Date },
): Promise<void> {
  await transaction.query(appendEvents.text, [tenant.tenantId, JSON.stringify([eventRow(event, origin, now)])]);
}

/** Records something that changed no other row, durable when it resolves. */
export async function recordEvent(
  tenant: TenantDatabase,
  { event, origin, now }: { event: NewEvent; origin: Origin; now: Date },
): Promise<void> {
  await tenant.write(appendEvents, [JSON.stringify([eventRow(event, origin, now)])]);
}
