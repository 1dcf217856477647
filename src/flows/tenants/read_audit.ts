/**
 * Reading a tenant's history, in parts for people and whole for other systems. Actors and targets are shown with the names that they have
 * now: what is written down for years holds identifiers alone.
 */
import { type AuditFilter, asksForTokens } from '#src/domain/audit.ts';
import { canonicalIdentifier } from '#src/domain/email_address.ts';
import type { NewEvent } from '#src/domain/event.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { Transaction } from '#src/storage/database.ts';
import { recordEvent } from '#src/storage/event_log.ts';
import { type AuditRow, findEvents, findNamed, nameKey, readNames, scanEvents } from '#src/storage/tables/audit.ts';
import type { FlowContext } from '../flow_context.ts';

/** As somebody asks: an actor or target by its identifier, or by the name that people call it. */
export type AuditQuestion = Omit<AuditFilter, 'actorIds' | 'targetIds'> & {
  readonly actor?: string | undefined;
  readonly target?: string | undefined;
};

/** One event, as it is shown. */
export interface AuditEntry extends AuditRow {
  readonly actor_name: string | undefined;
  readonly target_name: string | undefined;
}

export interface AuditPage {
  readonly entries: readonly AuditEntry[];
  /** Where the next part begins, when there may be one; a part can have fewer entries than were asked for. */
  readonly next: string | undefined;
}

type ReadContext = Pick<FlowContext, 'database'>;

/** How many rows one look goes through when no index serves: some tens of milliseconds. */
const scannedForPage = 10_000;
const scannedForBatch = 1_000;

/** The latest first. Issued tokens are among them only when they are asked for by their type. */
export async function listAudit(
  { database }: ReadContext,
  input: {
    readonly tenantId: TenantId;
    readonly question: AuditQuestion;
    readonly before?: string | undefined;
    readonly limit: number;
  },
): Promise<AuditPage> {
  const { tenantId, question, before, limit } = input;
  return database.tenant(tenantId).transaction(async (transaction) => {
    const filter = await resolve(transaction, { tenantId, question });
    const wanted = { tenantId, filter, beyond: before };
    if (asksForTokens(filter)) {
      const scan = { ...wanted, limit, direction: 'backward', scan: scannedForPage } as const;
      const { rows, place } = await scanEvents(transaction, scan);
      return { entries: await named(transaction, tenantId, rows), next: place };
    }
    const rows = await findEvents(transaction, { ...wanted, limit: limit + 1 });
    const shown = rows.slice(0, limit);
    const next = rows.length > limit ? shown.at(-1)?.id : undefined;
    return { entries: await named(transaction, tenantId, shown), next };
  });
}

/**
 * Everything that fits, the oldest first and issued tokens among it, up to the moment at which it was asked for. One bounded part at a
 * time, each read when the one before it was taken, so that a slow reader costs no more memory than a quick one; whoever stops reading
 * stops the reading. That it was asked for is an event of its own, which is written before anything is read.
 *
 * An event of which the transaction was still open when its part was read is not in it: whoever exports again and again begins each
 * time a minute before the last one ended, and knows by the identifier what they have.
 */
export async function* exportAudit(
  context: Omit<FlowContext, 'passwords' | 'mailBudgets' | 'sealer'>,
  { tenantId, question }: { readonly tenantId: TenantId; readonly question: AuditQuestion },
): AsyncGenerator<readonly AuditEntry[], void, undefined> {
  const now = context.clock();
  const tenant = context.database.tenant(tenantId);
  const event = exported(context.actor, { tenantId, question });
  await recordEvent(tenant, { event, origin: context.origin, now });
  const until = question.until !== undefined && question.until < now ? question.until : now;
  let beyond: string | undefined;
  do {
    const { entries, place } = await tenant.transaction(async (transaction) => {
      const filter = await resolve(transaction, { tenantId, question: { ...question, until } });
      const limit = scannedForBatch;
      const wanted = { tenantId, filter, beyond, limit, direction: 'forward', scan: scannedForBatch } as const;
      const { rows, place } = await scanEvents(transaction, wanted);
      return { entries: await named(transaction, tenantId, rows), place };
    });
    if (entries.length > 0) yield entries;
    beyond = place;
  } while (beyond !== undefined);
}

function exported(
  actor: NewEvent['actor'],
  { tenantId, question }: { readonly tenantId: TenantId; readonly question: AuditQuestion },
): NewEvent {
  const { since, until } = question;
  return {
    type: 'audit.exported',
    outcome: 'success',
    actor,
    target: { type: 'tenant', id: tenantId },
    data: {
      ...(since === undefined ? {} : { since: since.toISOString() }),
      ...(until === undefined ? {} : { until: until.toISOString() }),
      filtered: Object.entries(question).flatMap(([name, value]) => (value === undefined ? [] : [name])),
    },
  };
}

/** What is nobody's name is taken for an identifier: those of who is long gone are still in the history. */
async function resolve(
  transaction: Transaction,
  { tenantId, question }: { readonly tenantId: TenantId; readonly question: AuditQuestion },
): Promise<AuditFilter> {
  const { actor, target, ...rest } = question;
  const idsOf = async (name: string | undefined): Promise<readonly string[] | undefined> => {
    if (name === undefined) return undefined;
    const ids = await findNamed(transaction, { tenantId, name, canonical: canonicalIdentifier(name) });
    return [...new Set([name, ...ids])];
  };
  return { ...rest, actorIds: await idsOf(actor), targetIds: await idsOf(target) };
}

async function named(
  transaction: Transaction,
  tenantId: TenantId,
  rows: readonly AuditRow[],
): Promise<readonly AuditEntry[]> {
  const actorOf = ({ actor_type: type, actor_id: id }: AuditRow) =>
    type === null || id === null ? [] : [{ type, id }];
  const targetOf = ({ target_type: type, target_id: id }: AuditRow) =>
    type === null || id === null ? [] : [{ type, id }];
  const of = rows.flatMap((row) => [...actorOf(row), ...targetOf(row)]);
  const names = await readNames(transaction, { tenantId, of });
  const nameOf = ([one]: readonly { readonly type: string; readonly id: string }[]) =>
    one === undefined ? undefined : names.get(nameKey(one));
  return rows.map((row) => ({ ...row, actor_name: nameOf(actorOf(row)), target_name: nameOf(targetOf(row)) }));
}
