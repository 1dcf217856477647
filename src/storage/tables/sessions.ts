/**
 * Sessions as people and administrators see them: a view over the engine's (`artifacts` of the kind `Session`), and the functions
 * that end them with everything issued under them. Whoever ends one also writes down whom to tell (backchannel_logouts.ts).
 */
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Database, TenantDatabase, Transaction } from '../database.ts';
import type { Payload } from './artifacts.ts';

export interface SessionRow {
  readonly session_uid: string;
  readonly payload: Payload;
  readonly created_at: Date;
  readonly expires_at: Date;
  readonly applications: readonly { readonly client_id: string; readonly name: string }[];
}

const list = { name: 'sessions_list', text: 'select * from sessions_list($1, $2, $3)' } as const;

/** Living sessions of one person, the latest first; at most a thousand. */
export function listSessions(
  tenant: TenantDatabase,
  { userId, now }: { readonly userId: UserId; readonly now: Date },
): Promise<readonly SessionRow[]> {
  return tenant.read<SessionRow>(list, [userId, now]);
}

/** A session with whose it is. `place`: when it began, to the microsecond. */
export interface TenantSessionRow extends SessionRow {
  readonly user_id: UserId;
  readonly email: string;
  readonly place: string;
}

/** Living sessions of a tenant, the latest first. What is undefined does not matter. */
export function listTenantSessions(
  transaction: Transaction,
  {
    tenantId,
    sessionUid,
    userId,
    before,
    limit,
    now,
  }: {
    readonly tenantId: TenantId;
    readonly sessionUid?: string | undefined;
    readonly userId?: UserId | undefined;
    /** Those behind the one that began then and has this identifier. */
    readonly before?: { readonly value: string; readonly id: string } | undefined;
    readonly limit: number;
    readonly now: Date;
  },
): Promise<readonly TenantSessionRow[]> {
  const values: unknown[] = [tenantId, now, limit];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const conditions = [
    ...(sessionUid === undefined ? [] : [`a.session_uid = ${bind(sessionUid)}`]),
    ...(userId === undefined ? [] : [`a.account_id = ${bind(userId)}`]),
    ...(before === undefined
      ? []
      : [`(a.created_at, a.session_uid) < (${bind(before.value)}::timestamptz, ${bind(before.id)})`]),
  ];
  return transaction.query<TenantSessionRow>(
    `select a.session_uid, a.payload, a.created_at, a.expires_at, a.account_id as user_id, u.email::text as email,
            to_char(a.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as place,
            (select coalesce(json_agg(json_build_object('client_id', c.client_id, 'name', c.name) order by c.name, c.client_id), '[]')
               from json_object_keys(a.payload -> 'authorizations') k
              cross join lateral (select o.client_id, o.name from clients o where o.tenant_id = $1 and o.client_id = k limit 1) c)
              as applications
       from (select a.* from artifacts a
              where a.tenant_id = $1 and a.kind = 'Session' and a.account_id is not null and a.expires_at > $2
                ${conditions.map((condition) => `and ${condition}`).join(' ')}
              order by a.created_at desc, a.session_uid desc limit $3) a
       join users u on u.id = a.account_id
      order by a.created_at desc, a.session_uid desc`,
    values,
  );
}

export interface EndedSession {
  readonly account_id: UserId | null;
  readonly client_ids: readonly string[];
}

/** Undefined when there is no such session in this tenant, or somebody else has just ended it. */
export async function endSession(
  transaction: Transaction,
  { tenantId, sessionUid }: { readonly tenantId: TenantId; readonly sessionUid: string },
): Promise<EndedSession | undefined> {
  return (await transaction.query<EndedSession>('select * from session_end($1, $2)', [tenantId, sessionUid]))[0];
}

export interface EndedAccount {
  readonly session_uids: readonly string[];
  readonly ended_grants: number;
}

/** Everything of one person at this tenant, but the kept session and what is under it. */
export async function endAccount(
  transaction: Transaction,
  { tenantId, userId, keptSessionUid }: AccountToEnd,
): Promise<EndedAccount> {
  const text = 'select * from account_end($1, $2, $3)';
  const [ended] = await transaction.query<EndedAccount>(text, [tenantId, userId, keptSessionUid ?? null]);
  return ended ?? { session_uids: [], ended_grants: 0 };
}

export interface AccountToEnd {
  readonly tenantId: TenantId;
  readonly userId: UserId;
  readonly keptSessionUid?: string | undefined;
}

/** People of whom something lives at this tenant, in order, after the one given. */
export async function listAccountsWithArtifacts(
  transaction: Transaction,
  {
    tenantId,
    after,
    limit,
  }: { readonly tenantId: TenantId; readonly after: UserId | undefined; readonly limit: number },
): Promise<readonly UserId[]> {
  const rows = await transaction.query<{ account_id: UserId }>(
    `select distinct account_id from artifacts
      where tenant_id = $1 and account_id > coalesce($2::uuid, '00000000-0000-0000-0000-000000000000') order by account_id limit $3`,
    [tenantId, after ?? null, limit],
  );
  return rows.map((row) => row.account_id);
}

export async function listTenantsWithExpiredSessions(database: Database, limit: number): Promise<readonly TenantId[]> {
  const text = 'select tenants_with_expired_sessions($1) as id';
  return (await database.platform.query<{ id: TenantId }>(text, [limit])).map(({ id }) => id);
}

const expire = { name: 'sessions_expire', text: 'select sessions_expire($1, $2, $3) as expired' } as const;

/** Removes sessions that nobody came back to and announces their end. How many. */
export async function expireSessions(
  tenant: TenantDatabase,
  { now, limit }: { readonly now: Date; readonly limit: number },
): Promise<number> {
  return (await tenant.write<{ expired: number }>(expire, [now, limit]))[0]?.expired ?? 0;
}

/** What a session says of how it was opened: less than before, because what it was opened with is gone. */
export async function lowerSession(
  transaction: Transaction,
  session: {
    readonly tenantId: TenantId;
    readonly sessionUid: string;
    readonly acr: string;
    readonly amr: readonly string[];
  },
): Promise<void> {
  await transaction.query(
    `update artifacts set payload = (payload::jsonb || jsonb_build_object('acr', $3::text, 'amr', $4::text[]))::json
      where tenant_id = $1 and kind = 'Session' and session_uid = $2`,
    [session.tenantId, session.sessionUid, session.acr, session.amr],
  );
}
