/**
 * The table `backchannel_logouts`: the outbox of logout tokens. Rows are written by the functions that end sessions, in their
 * transaction; here they are taken for delivery, settled and shown.
 */
import type { TenantId } from '#src/domain/tenant.ts';
import type { Database, TenantDatabase, Transaction } from '../database.ts';
import type { EventRow } from '../event_log.ts';

/** A logout that this worker has taken, until its lease ends. */
export interface ClaimedLogout {
  readonly id: string;
  readonly client_id: string;
  readonly account_id: string;
  readonly sid: string | null;
  /** This one included. */
  readonly attempts: number;
  /** Null when the client is disabled or has withdrawn its address. */
  readonly backchannel_logout_uri: string | null;
  readonly settings: Readonly<Record<string, unknown>>;
}

export async function listTenantsWithDueLogouts(
  database: Database,
  { now, limit }: { readonly now: Date; readonly limit: number },
): Promise<readonly TenantId[]> {
  const text = 'select tenants_with_due_logouts($1, $2) as id';
  return (await database.platform.query<{ id: TenantId }>(text, [now, limit])).map(({ id }) => id);
}

const claim = {
  name: 'backchannel_logouts_claim',
  text: 'select * from backchannel_logouts_claim($1, $2, $3, $4, $5, $6)',
} as const;

export function claimLogouts(
  tenant: TenantDatabase,
  { now, leaseSeconds, limit, perClient, busyClients }: Claim,
): Promise<readonly ClaimedLogout[]> {
  return tenant.write<ClaimedLogout>(claim, [now, leaseSeconds, limit, perClient, busyClients]);
}

export interface Claim {
  readonly now: Date;
  readonly leaseSeconds: number;
  readonly limit: number;
  readonly perClient: number;
  readonly busyClients: readonly string[];
}

const settle = {
  name: 'backchannel_logout_settle',
  text: 'select backchannel_logout_settle($1, $2, $3, $4, $5, $6, $7, $8) as settled',
} as const;

/** False when the lease was over and somebody else has it now. */
export async function settleLogout(
  tenant: TenantDatabase,
  { logout, now, state, problem, dueAt, events }: Settlement,
): Promise<boolean> {
  const { id, attempts } = logout;
  const told = events.length === 0 ? null : JSON.stringify(events);
  const values = [id, attempts, now, state, problem ?? null, dueAt ?? now, told];
  return (await tenant.write<{ settled: boolean }>(settle, values))[0]?.settled ?? false;
}

export interface Settlement {
  readonly logout: Pick<ClaimedLogout, 'id' | 'attempts'>;
  readonly now: Date;
  readonly state: LogoutState;
  readonly problem?: string | undefined;
  readonly dueAt?: Date | undefined;
  readonly events: readonly EventRow[];
}

export type LogoutState = 'waiting' | 'delivered' | 'dead';

export interface LogoutRow {
  readonly id: string;
  readonly client_id: string;
  readonly client_name: string;
  readonly account_id: string;
  readonly sid: string | null;
  readonly state: LogoutState;
  readonly attempts: number;
  readonly due_at: Date;
  readonly problem: string | null;
  readonly created_at: Date;
  readonly settled_at: Date | null;
}

/** The dead first, then those that wait, then the delivered, the latest first; at most a thousand. */
export function listLogouts(transaction: Transaction, tenantId: TenantId): Promise<readonly LogoutRow[]> {
  return transaction.query<LogoutRow>(
    `select l.id, l.client_id, c.name as client_name, l.account_id, l.sid, l.state, l.attempts, l.due_at, l.problem, l.created_at,
            l.settled_at
       from backchannel_logouts l join clients c on c.tenant_id = l.tenant_id and c.client_id = l.client_id
      where l.tenant_id = $1
      order by array_position(array['dead', 'waiting', 'delivered'], l.state), l.created_at desc, l.id limit 1000`,
    [tenantId],
  );
}

/** Dead ones wait again, from the first attempt on; all of the tenant's unless one is named. How many. */
export async function requeueDeadLogouts(
  transaction: Transaction,
  { tenantId, id, now }: { readonly tenantId: TenantId; readonly id: string | undefined; readonly now: Date },
): Promise<number> {
  const rows = await transaction.query(
    `update backchannel_logouts set state = 'waiting', attempts = 0, due_at = $3, settled_at = null, expires_at = 'infinity'
      where tenant_id = $1 and state = 'dead' and id = coalesce($2::uuid, id) returning id`,
    [tenantId, id ?? null, now],
  );
  return rows.length;
}

/** Over the whole installation. */
export async function countDeadLogouts(database: Database): Promise<number> {
  return (await database.platform.query<{ dead: number }>('select dead_logouts() as dead'))[0]?.dead ?? 0;
}

export async function sweepLogouts(database: Database, limit: number): Promise<number> {
  return (
    (await database.platform.query<{ swept: number }>('select sweep_logouts($1) as swept', [limit]))[0]?.swept ?? 0
  );
}
