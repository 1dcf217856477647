/**
 * Reading the history of a tenant: the table `events`, which event_log.ts writes. Two ways through it. `findEvents` follows an index and
 * leaves issued tokens out; `scanEvents` reads every row of a stretch of bounded length, whatever is asked of it, and says how far it came.
 */
import { type AuditFilter, firstIdAt, TOO_MANY_TO_READ } from '#src/domain/audit.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { isUuid } from '#src/foundation/identifiers.ts';
import type { Transaction } from '../database.ts';

export interface AuditRow {
  readonly id: string;
  readonly occurred_at: Date;
  readonly type: string;
  readonly outcome: 'success' | 'failure';
  readonly reason: string | null;
  readonly actor_type: string | null;
  readonly actor_id: string | null;
  readonly target_type: string | null;
  readonly target_id: string | null;
  readonly client_id: string | null;
  readonly session_id: string | null;
  readonly ip: string | null;
  readonly user_agent: string | null;
  readonly request_id: string | null;
  readonly data: Readonly<Record<string, unknown>> | null;
}

const columns = `id, occurred_at, type, outcome, reason, actor_type, actor_id, target_type, target_id, client_id, session_id, ip,
  user_agent, request_id, data`;

export interface EventsWanted {
  readonly tenantId: TenantId;
  readonly filter: AuditFilter;
  /** Exclusive; from one end of the history unless given. */
  readonly beyond?: string | undefined;
  readonly limit: number;
}

export interface PreparedStatement {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** The latest first, without issued tokens. */
export async function findEvents(transaction: Transaction, wanted: EventsWanted): Promise<readonly AuditRow[]> {
  const { text, values } = eventsStatement(wanted);
  return transaction.query<AuditRow>(text, values);
}

/** Apart from its use, so that a test can have it explained. */
export function eventsStatement({ tenantId, filter, beyond, limit }: EventsWanted): PreparedStatement {
  const statement = bindings(tenantId);
  const conditions = [
    'tenant_id = $1',
    // Word for word as in migrations/0037: the planner must see that its indexes serve.
    `type <> '${TOO_MANY_TO_READ}'`,
    ...stretchConditions(statement, { filter, before: beyond }),
    ...filterConditions(statement, filter),
  ];
  const text = `select ${columns} from events where ${conditions.join(' and ')} order by id desc limit ${statement.bind(limit)}`;
  return { text, values: statement.values };
}

export interface EventsScanned {
  readonly rows: readonly AuditRow[];
  /** Where the next part begins; undefined when there is nothing left. */
  readonly place: string | undefined;
}

/** Issued tokens included. Reads at most `scan` rows, and answers with at most `limit` of them: often with fewer than there are. */
export async function scanEvents(
  transaction: Transaction,
  wanted: EventsWanted & { readonly direction: 'forward' | 'backward'; readonly scan: number },
): Promise<EventsScanned> {
  const { text, values } = scanStatement(wanted);
  const rows = await transaction.query<AuditRow & { readonly edge: string | null; readonly scanned: number }>(
    text,
    values,
  );
  const found = rows.flatMap(({ edge: _edge, scanned: _scanned, ...row }) => (row.id === null ? [] : [row]));
  const last = found.at(-1);
  if (found.length === wanted.limit && last !== undefined) return { rows: found, place: last.id };
  const { edge, scanned } = rows[0] ?? { edge: null, scanned: 0 };
  return { rows: found, place: edge !== null && scanned === wanted.scan ? edge : undefined };
}

export function scanStatement(
  wanted: EventsWanted & { readonly direction: 'forward' | 'backward'; readonly scan: number },
): PreparedStatement {
  const { tenantId, filter, beyond, limit, direction, scan } = wanted;
  const [order, back] = direction === 'forward' ? ['asc', 'desc'] : ['desc', 'asc'];
  const statement = bindings(tenantId);
  const stretch = stretchConditions(statement, {
    filter,
    ...(direction === 'forward' ? { after: beyond } : { before: beyond }),
  });
  const fits = filterConditions(statement, filter);
  const text = `
    with scanned as materialized (
      select ${columns} from events where ${['tenant_id = $1', ...stretch].join(' and ')}
       order by id ${order} limit ${statement.bind(scan)}),
    found as (
      select * from scanned ${fits.length === 0 ? '' : `where ${fits.join(' and ')}`}
       order by id ${order} limit ${statement.bind(limit)})
    select (select id from scanned order by id ${back} limit 1) as edge, (select count(*)::int from scanned) as scanned, found.*
      from (select) one left join found on true order by found.id ${order}`;
  return { text, values: statement.values };
}

interface Bindings {
  readonly values: unknown[];
  bind(value: unknown): string;
}

function bindings(tenantId: TenantId): Bindings {
  const values: unknown[] = [tenantId];
  return { values, bind: (value) => `$${values.push(value)}` };
}

/** Which part of the history, by the time that its identifiers begin with. */
function stretchConditions(
  { bind }: Bindings,
  { filter, before, after }: { filter: AuditFilter; before?: string | undefined; after?: string | undefined },
): readonly string[] {
  const { since, until } = filter;
  return [
    ...(since === undefined ? [] : [`id >= ${bind(firstIdAt(since))}::uuid`]),
    ...(until === undefined ? [] : [`id < ${bind(firstIdAt(until))}::uuid`]),
    ...(before === undefined ? [] : [`id < ${bind(before)}::uuid`]),
    ...(after === undefined ? [] : [`id > ${bind(after)}::uuid`]),
  ];
}

function filterConditions({ bind }: Bindings, filter: AuditFilter): readonly string[] {
  const { actorIds, targetIds, types, outcome, ip, clientId, requestId } = filter;
  const isOneOf = (column: string, values: readonly string[] | undefined): readonly string[] => {
    if (values === undefined) return [];
    // With one value the order of the index is the order that is asked for.
    const [only] = values;
    if (values.length === 1) return [`${column} = ${bind(only)}`];
    return [`${column} = any (${bind(values)}::text[])`];
  };
  const is = (column: string, value: string | undefined): readonly string[] =>
    isOneOf(column, value === undefined ? undefined : [value]);
  return [
    ...isOneOf('actor_id', actorIds),
    ...isOneOf('target_id', targetIds),
    ...isOneOf('type', types),
    ...is('outcome', outcome),
    ...is('ip', ip),
    ...is('client_id', clientId),
    ...is('request_id', requestId),
  ];
}

/** What people call something: the same text for an actor and for a target. */
export interface Naming {
  readonly type: string;
  readonly id: string;
}

/** Names of those that are still there, by type and identifier (`nameKey`). */
export async function readNames(
  transaction: Transaction,
  { tenantId, of }: { readonly tenantId: TenantId; readonly of: readonly Naming[] },
): Promise<ReadonlyMap<string, string>> {
  const names = new Map<string, string>();
  for (const [type, { uuids, text }] of Object.entries(nameStatements)) {
    const ids = [...new Set(of.flatMap((one) => (one.type === type && (!uuids || isUuid(one.id)) ? [one.id] : [])))];
    if (ids.length === 0) continue;
    for (const { id, name } of await transaction.query<{ id: string; name: string }>(text, [tenantId, ids]))
      names.set(nameKey({ type, id }), name);
  }
  return names;
}

export function nameKey({ type, id }: Naming): string {
  return `${type} ${id}`;
}

/** `uuids`: the column's own type. An identifier that is none names nothing there. */
const nameStatements: Readonly<Record<string, { readonly uuids: boolean; readonly text: string }>> = {
  user: {
    uuids: true,
    text: `select u.id::text as id, u.email::text as name from memberships m join users u on u.id = m.user_id
            where m.tenant_id = $1 and m.user_id = any ($2)`,
  },
  client: {
    uuids: false,
    text: 'select client_id as id, name from clients where tenant_id = $1 and client_id = any ($2)',
  },
  role: { uuids: true, text: 'select id::text as id, name from roles where tenant_id = $1 and id = any ($2)' },
  api_key: { uuids: true, text: 'select id::text as id, name from api_keys where tenant_id = $1 and id = any ($2)' },
  device: {
    uuids: true,
    text: 'select device_id::text as id, name from devices where tenant_id = $1 and device_id = any ($2)',
  },
};

/** Identifiers of whoever and whatever is called so at this tenant: a person by address or name, a client, role or key by its name. */
export async function findNamed(
  transaction: Transaction,
  { tenantId, name, canonical }: { readonly tenantId: TenantId; readonly name: string; readonly canonical: string },
): Promise<readonly string[]> {
  const rows = await transaction.query<{ id: string }>(
    `select m.user_id::text as id from memberships m join users u on u.id = m.user_id
      where m.tenant_id = $1 and u.email_canonical = $3
     union select m.user_id::text from memberships m where m.tenant_id = $1 and m.username_canonical = $3
     union select c.client_id from clients c where c.tenant_id = $1 and c.name = $2
     union select r.id::text from roles r where r.tenant_id = $1 and r.name = $2
     union select k.id::text from api_keys k where k.tenant_id = $1 and k.name = $2
     order by id limit 1000`,
    [tenantId, name, canonical],
  );
  return rows.map(({ id }) => id);
}
