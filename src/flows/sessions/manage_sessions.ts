/**
 * Seeing and ending sessions. Ending one ends everything issued under it, in the transaction that also writes down which
 * applications are to be told; what is ended is dead on every process at once, because all of them ask the database.
 */
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { TenantDatabase, Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { type LogoutRow, listLogouts, requeueDeadLogouts } from '#src/storage/tables/backchannel_logouts.ts';
import { deletePendingSignInsOf } from '#src/storage/tables/pending_sign_ins.ts';
import { forgetMailed } from '#src/storage/tables/proofs.ts';
import { spareNoSecondFactor } from '#src/storage/tables/remembered_devices.ts';
import {
  endAccount,
  endSession,
  listAccountsWithArtifacts,
  listSessions,
  listTenantSessions,
  type SessionRow,
} from '#src/storage/tables/sessions.ts';
import { type BeyondYourOwn, type Grantor, memberBeyond } from '../access/assign_roles.ts';
import { type FlowContext, Refusal } from '../flow_context.ts';

/** A session as its person recognises it. The identifier opens nothing. */
export interface SessionSummary {
  readonly id: string;
  readonly createdAt: Date;
  readonly lastUsedAt: Date;
  /** Unless it is used again before. */
  readonly expiresAt: Date;
  /** Where it was last used from. */
  readonly address: string | undefined;
  readonly userAgent: string | undefined;
  /** RFC 8176. */
  readonly factors: readonly string[];
  readonly applications: readonly { readonly client_id: string; readonly name: string }[];
}

export async function listPersonSessions(
  context: FlowContext,
  { tenantId, userId }: { readonly tenantId: TenantId; readonly userId: UserId },
): Promise<readonly SessionSummary[]> {
  const rows = await listSessions(context.database.tenant(tenantId), { userId, now: context.clock() });
  return rows.map(summaryOf);
}

/** A session as an administrator sees it: with whose it is. */
export interface TenantSession extends SessionSummary {
  readonly userId: UserId;
  readonly email: string;
  /** Where the list goes on behind it. */
  readonly place: string;
}

/** Living sessions of a tenant, the latest first; with `userId` those of one person. */
export async function findTenantSessions(
  { database, clock }: Pick<FlowContext, 'database' | 'clock'>,
  search: Omit<Parameters<typeof listTenantSessions>[1], 'now'>,
): Promise<readonly TenantSession[]> {
  const rows = await database
    .tenant(search.tenantId)
    .transaction((transaction) => listTenantSessions(transaction, { ...search, now: clock() }));
  return rows.map((row) => ({ ...summaryOf(row), userId: row.user_id, email: row.email, place: row.place }));
}

export type RevokeSessionOutcome =
  | { readonly outcome: 'revoked'; readonly applications: readonly string[] }
  /** No such session, one of another tenant or person, and one that has just ended: nobody learns which. */
  | { readonly outcome: 'unknown' }
  | BeyondYourOwn;

/** Ends one session; with `userId`, only if it is theirs; with `by`, only of somebody who may do no more. */
export async function revokeSession(
  context: FlowContext,
  input: {
    readonly tenantId: TenantId;
    readonly sessionId: string;
    readonly userId?: UserId | undefined;
    readonly by?: Grantor | undefined;
  },
): Promise<RevokeSessionOutcome> {
  const tenant = context.database.tenant(input.tenantId);
  try {
    return await tenant.transaction(async (transaction) => {
      const ended = await endSession(transaction, { tenantId: input.tenantId, sessionUid: input.sessionId });
      const { account_id: userId, client_ids: applications } = ended ?? { account_id: null, client_ids: [] };
      if (userId === null || (input.userId !== undefined && userId !== input.userId))
        throw new Refusal<RevokeSessionOutcome>({ outcome: 'unknown' });
      const { tenantId, by = 'operator' } = input;
      const permissions = await memberBeyond(transaction, { tenantId, userId, by, now: context.clock() });
      if (permissions.length > 0) throw new Refusal<RevokeSessionOutcome>({ outcome: 'beyond_your_own', permissions });
      await record(context, { tenant, transaction, sessionId: input.sessionId, userId });
      return { outcome: 'revoked', applications };
    });
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    throw fault;
  }
}

export interface RevokedOfPerson {
  readonly sessions: number;
  /** What lived under them, and what had outlived its session. */
  readonly grants: number;
}

/** Ends everything of one person at this tenant. With `keptSessionId` (the one they are using) all but that. */
export async function revokePersonSessions(context: FlowContext, input: PersonToEnd): Promise<RevokedOfPerson> {
  const tenant = context.database.tenant(input.tenantId);
  return tenant.transaction((transaction) => endPersonSessions(context, { ...input, tenant, transaction }));
}

export interface PersonToEnd {
  readonly tenantId: TenantId;
  readonly userId: UserId;
  readonly keptSessionId?: string | undefined;
  /** For the record: `password_changed`, `revoked` … */
  readonly reason?: string | undefined;
}

/**
 * The same inside a transaction that changes something else of this person: a new password and the end of what the old one
 * opened happen together or not at all.
 */
export async function endPersonSessions(
  context: FlowContext,
  input: PersonToEnd & { readonly tenant: TenantDatabase; readonly transaction: Transaction },
): Promise<RevokedOfPerson> {
  const { tenant, transaction, tenantId, userId, keptSessionId, reason } = input;
  const ended = await endAccount(transaction, { tenantId, userId, keptSessionUid: keptSessionId });
  // What was mailed for them, too: whoever had a session may have asked for another address with it, and has a day to finish that.
  await forgetMailed(transaction, { tenantId, userId, now: context.clock() });
  for (const sessionId of ended.session_uids) {
    await record(context, { tenant, transaction, sessionId, userId, reason });
  }
  if (ended.session_uids.length === 0 && ended.ended_grants > 0) {
    const event = {
      type: 'grant.revoked',
      outcome: 'success',
      reason,
      actor: context.actor,
      target: { type: 'user', id: userId },
      data: { grants: ended.ended_grants },
    } as const;
    await appendEvent(transaction, { tenant, event, origin: context.origin, now: context.clock() });
  }
  return { sessions: ended.session_uids.length, grants: ended.ended_grants };
}

/**
 * The same at every tenant that the person is a member of, in one transaction: what one password opened ends wherever it did, or
 * nothing changes. No browser spares them a second factor any more. `tenantIds`: from `listTenantsOfPerson`, asked before the transaction began. Each tenant's history tells its own part.
 *
 * This is the one place where a transaction goes from tenant to tenant: the functions it calls say themselves whose they are, and
 * the tenant that it was opened for comes last, so that what follows is that tenant's again.
 */
export async function endPersonEverywhere(
  context: FlowContext,
  input: PersonToEnd & { readonly transaction: Transaction; readonly tenantIds: readonly TenantId[] },
): Promise<RevokedOfPerson> {
  const { tenantId, userId, keptSessionId, reason, transaction, tenantIds } = input;
  const others = tenantIds.filter((id) => id !== tenantId);
  let total: RevokedOfPerson = { sessions: 0, grants: 0 };
  for (const id of [...others, tenantId]) {
    const tenant = context.database.tenant(id);
    const kept = id === tenantId ? keptSessionId : undefined;
    const ended = await endPersonSessions(context, {
      tenantId: id,
      tenant,
      transaction,
      userId,
      keptSessionId: kept,
      reason,
    });
    total = { sessions: total.sessions + ended.sessions, grants: total.grants + ended.grants };
    await deletePendingSignInsOf(transaction, { tenantId: id, userId });
    await spareNoSecondFactor(transaction, { tenantId: id, userId });
  }
  return total;
}

const peopleTogether = 100;

/** Ends everything of everybody at this tenant, a hundred people in each transaction. */
export async function revokeTenantSessions(
  context: FlowContext,
  { tenantId }: { readonly tenantId: TenantId },
): Promise<RevokedOfPerson & { readonly people: number }> {
  const tenant = context.database.tenant(tenantId);
  let total = { people: 0, sessions: 0, grants: 0 };
  let after: UserId | undefined;
  do {
    const start = after;
    after = await tenant.transaction(async (transaction) => {
      const people = await listAccountsWithArtifacts(transaction, { tenantId, after: start, limit: peopleTogether });
      for (const userId of people) {
        const { sessions, grants } = await endPersonSessions(context, { tenantId, userId, tenant, transaction });
        total = { people: total.people + 1, sessions: total.sessions + sessions, grants: total.grants + grants };
      }
      return people.at(-1);
    });
  } while (after !== undefined);
  return total;
}

/** What applications were told of ended sessions, or are to be told. */
export function listBackchannelLogouts(
  context: FlowContext,
  { tenantId }: { readonly tenantId: TenantId },
): Promise<readonly LogoutRow[]> {
  return context.database.tenant(tenantId).transaction((transaction) => listLogouts(transaction, tenantId));
}

/** Tries again what was given up; all of the tenant's unless one is named. How many. */
export function requeueBackchannelLogouts(
  context: FlowContext,
  { tenantId, id }: { readonly tenantId: TenantId; readonly id?: string | undefined },
): Promise<number> {
  const now = context.clock();
  return context.database
    .tenant(tenantId)
    .transaction((transaction) => requeueDeadLogouts(transaction, { tenantId, id, now }));
}

async function record(
  context: FlowContext,
  { tenant, transaction, sessionId, userId, reason }: Revoked,
): Promise<void> {
  const event = {
    type: 'session.revoked',
    outcome: 'success',
    reason,
    actor: context.actor,
    target: { type: 'session', id: sessionId },
    sessionId,
    data: { user_id: userId },
  } as const;
  await appendEvent(transaction, { tenant, event, origin: context.origin, now: context.clock() });
}

interface Revoked {
  readonly tenant: TenantDatabase;
  readonly transaction: Transaction;
  readonly sessionId: string;
  readonly userId: UserId;
  readonly reason?: string | undefined;
}

function summaryOf(row: SessionRow): SessionSummary {
  const { seen, amr } = row.payload;
  const { since, last, ip, user_agent: userAgent } = fieldsOf(seen);
  return {
    id: row.session_uid,
    createdAt: instantOf(since) ?? row.created_at,
    lastUsedAt: instantOf(last) ?? row.created_at,
    expiresAt: row.expires_at,
    address: textOf(ip),
    userAgent: textOf(userAgent),
    factors: Array.isArray(amr) ? amr.filter((factor) => typeof factor === 'string') : [],
    applications: row.applications,
  };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** A session of an earlier version has no notes. */
function instantOf(value: unknown): Date | undefined {
  return typeof value === 'string' ? new Date(value) : undefined;
}
