/**
 * The end of a tenant: asked for, undone, and done. Whoever asks shuts it at once for everybody and has some days to think better of it;
 * then everything it has goes, step by step, and whoever belonged to it alone goes with it. What stays is its history, which names
 * nobody, and its slug, which nobody gets again (docs/decisions/0043).
 */
import type { EventType, NewEvent } from '#src/domain/event.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { hasOperators } from '#src/storage/tables/operators.ts';
import {
  type EndingTenant,
  eraseTenantRows,
  listEndingTenants,
  lockTenantRow,
  markTenantDeleted,
  markTenantErased,
  setTenantDeletionDueAt,
  type TenantRow,
} from '#src/storage/tables/tenants.ts';
import type { FlowContext } from '../flow_context.ts';
import type { TenantGuard } from './manage_tenants.ts';

export type EndingContext = Pick<FlowContext, 'database' | 'clock' | 'actor' | 'origin'>;

const dayMilliseconds = 86_400_000;

export type RequestTenantDeletionOutcome =
  | { readonly outcome: 'requested' | 'requested_before'; readonly dueAt: Date }
  | { readonly outcome: 'refused'; readonly reason: 'home_of_operators' }
  | { readonly outcome: 'unknown' };

export interface TenantWish {
  readonly id: TenantId;
  readonly guard?: TenantGuard | undefined;
}

/**
 * From now on nobody is served there. Asked twice, the earlier date holds. Refused where operators are at home: they are removed first, so
 * that nobody locks out by mistake whoever would undo it.
 */
export async function requestTenantDeletion(
  context: EndingContext,
  { delayDays, ...wish }: TenantWish & { readonly delayDays: number },
): Promise<RequestTenantDeletionOutcome> {
  const now = context.clock();
  const dueAt = new Date(now.getTime() + delayDays * dayMilliseconds);
  return inTenant<RequestTenantDeletionOutcome>(context, wish, async (transaction, tenant) => {
    const { deletion_due_at: before } = tenant;
    if (before !== null && before <= dueAt) return { outcome: 'requested_before', dueAt: before };
    if (await hasOperators(transaction, wish.id)) return { outcome: 'refused', reason: 'home_of_operators' };
    await setTenantDeletionDueAt(transaction, { id: wish.id, dueAt, now });
    await tell(context, transaction, wish.id, 'tenant.deletion_requested', { due_at: dueAt.toISOString() });
    // What ends with it is said in the word that whoever keeps answers of ours listens for (domain/signal.ts).
    await tell(context, transaction, wish.id, 'tenant.suspended', { reason: 'deletion_requested' });
    return { outcome: 'requested', dueAt };
  });
}

/** It is again what it was, suspended or not. */
export async function withdrawTenantDeletion(
  context: EndingContext,
  wish: TenantWish,
): Promise<{ readonly outcome: 'withdrawn' | 'nothing_to_withdraw' | 'unknown' }> {
  return inTenant(context, wish, async (transaction, tenant) => {
    if (tenant.deletion_due_at === null) return { outcome: 'nothing_to_withdraw' };
    await setTenantDeletionDueAt(transaction, { id: wish.id, dueAt: undefined, now: context.clock() });
    await tell(context, transaction, wish.id, 'tenant.deletion_withdrawn');
    return { outcome: 'withdrawn' };
  });
}

/** Rows of one table in one transaction. */
const rowsTogether = 1_000;
const tenantsTogether = 20;
/** A request that had begun before may still write something: so long after the end it is looked for once more. */
const settledMilliseconds = 60_000;
/** Of the janitor, in any process. */
const erasingLock = 7_067_681;

export interface Erasing {
  readonly signal?: AbortSignal | undefined;
  /** Told after every step how many rows have gone so far. */
  readonly onProgress?: ((erasedRows: number) => void) | undefined;
}

/**
 * Ends the tenants whose time has come and erases what they had, one after the other; how many rows went. What a run does not finish the
 * next one does. One process works, the others find nothing to do. A tenant that cannot be erased keeps no other: it is thrown at last.
 */
export async function eraseEndedTenants(context: EndingContext, erasing: Erasing = {}): Promise<number> {
  const erased = await context.database.platform.exclusively(erasingLock, async () => {
    const faults: unknown[] = [];
    let rows = 0;
    for (const tenant of await listEndingTenants(context.database, { now: context.clock(), limit: tenantsTogether })) {
      if (erasing.signal?.aborted === true) break;
      try {
        if (tenant.isDeleted || (await endTenant(context, tenant.id))) rows += await erase(context, tenant, erasing);
      } catch (fault) {
        faults.push(fault);
      }
    }
    if (faults.length > 0) throw new AggregateError(faults, `${faults.length} tenants could not be erased`);
    return rows;
  });
  return erased ?? 0;
}

/** False when somebody thought better of it meanwhile. From here on nothing comes back. */
async function endTenant(context: EndingContext, id: TenantId): Promise<boolean> {
  const now = context.clock();
  const ended = await inTenant<{ readonly outcome: 'ended' | 'stays' }>(
    context,
    { id },
    async (transaction, tenant) => {
      if (tenant.deletion_due_at === null || tenant.deletion_due_at > now) return { outcome: 'stays' };
      await markTenantDeleted(transaction, { id, now });
      await tell(context, transaction, id, 'tenant.deleted', { slug: tenant.slug });
      return { outcome: 'ended' };
    },
  );
  return ended.outcome === 'ended';
}

async function erase(context: EndingContext, ending: EndingTenant, { signal, onProgress }: Erasing): Promise<number> {
  const tenant = context.database.tenant(ending.id);
  let total = 0;
  for (;;) {
    if (signal?.aborted === true) return total;
    const erased = await eraseTenantRows(tenant, rowsTogether);
    if (erased === 0) break;
    total += erased;
    onProgress?.(total);
  }
  const now = context.clock();
  if (ending.isDeleted && now.getTime() - ending.since.getTime() >= settledMilliseconds)
    await tenant.transaction((transaction) => markTenantErased(transaction, { id: ending.id, now }));
  return total;
}

async function inTenant<Outcome extends object>(
  { database }: EndingContext,
  { id, guard }: TenantWish,
  work: (transaction: Transaction, tenant: TenantRow) => Promise<Outcome>,
): Promise<Outcome | { readonly outcome: 'unknown' }> {
  return database.tenant(id).transaction(async (transaction) => {
    const tenant = await lockTenantRow(transaction, id);
    if (tenant === undefined) return { outcome: 'unknown' };
    guard?.(tenant);
    return work(transaction, tenant);
  });
}

async function tell(
  { database, clock, actor, origin }: EndingContext,
  transaction: Transaction,
  id: TenantId,
  type: EventType,
  data?: NewEvent['data'],
): Promise<void> {
  const event = { type, outcome: 'success', actor, target: { type: 'tenant', id }, data } as const;
  await appendEvent(transaction, { tenant: database.tenant(id), event, origin, now: clock() });
}
