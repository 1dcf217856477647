/**
 * Leaving a tenant: asked for, undone, and done. Whoever asks is signed out everywhere at this tenant at once and has some days to
 * think better of it; then everything of them at this tenant goes in one transaction, and the person with it when they belong to no
 * other. What happened stays in the history, which names nobody (domain/event.ts).
 */
import type { EventType } from '#src/domain/event.ts';
import type { Mail } from '#src/domain/mail.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { TenantDatabase, Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import {
  deleteMembership,
  type LeavingMemberRow,
  listDueDepartures,
  lockMembership,
  setDeletionDueAt,
} from '#src/storage/tables/departures.ts';
import { deletePendingSignInsOf } from '#src/storage/tables/pending_sign_ins.ts';
import { deleteProofsOf } from '#src/storage/tables/proofs.ts';
import { deleteRememberedDevices } from '#src/storage/tables/remembered_devices.ts';
import { keepAdministratorUnlessOperator, type LastAdministrator } from '../access/last_administrator.ts';
import { type FlowContext, Refusal } from '../flow_context.ts';
import { queueMail } from '../mail/send_mail.ts';
import { endPersonSessions } from '../sessions/manage_sessions.ts';

export interface Leaver {
  readonly tenantId: TenantId;
  readonly userId: UserId;
}

export type RequestDeletionOutcome =
  | { readonly outcome: 'requested' | 'requested_before'; readonly dueAt: Date }
  /** Where nobody is given time to think better of it. */
  | { readonly outcome: 'deleted' }
  /** No member of this tenant, or not any more. */
  | { readonly outcome: 'unknown' }
  /** Nobody else administers the tenant: somebody has to be given it first. */
  | LastAdministrator;

const dayMilliseconds = 86_400_000;

/**
 * Ends every session of the person at this tenant and says when they will be forgotten. Asked twice, also at the same moment, it is
 * told once and the first date holds.
 */
export async function requestDeletion(
  context: FlowContext,
  { undoDays, undoLink, ...leaver }: Leaver & { readonly undoDays: number; readonly undoLink: string },
): Promise<RequestDeletionOutcome> {
  if (undoDays === 0) return deleteMember(context, leaver);
  const now = context.clock();
  const dueAt = new Date(now.getTime() + undoDays * dayMilliseconds);
  return inMembership<RequestDeletionOutcome>(context, leaver, async (leaving) => {
    const { transaction, member } = leaving;
    if (member.deletion_due_at !== null) return { outcome: 'requested_before', dueAt: member.deletion_due_at };
    await setDeletionDueAt(transaction, { ...leaver, dueAt });
    await endEverything(context, leaving, 'deletion_requested');
    await tell(context, leaving, 'user.deletion_requested', { due_at: dueAt.toISOString() });
    await write(context, leaving, { kind: 'deletion_requested', undoLink, dueAt, ...noticeOf(context) });
    return { outcome: 'requested', dueAt };
  });
}

/** The person stays. What was ended by asking stays ended. */
export async function withdrawDeletion(
  context: FlowContext,
  leaver: Leaver,
): Promise<{ readonly outcome: 'withdrawn' | 'nothing_to_withdraw' | 'unknown' } | LastAdministrator> {
  return inMembership<{ readonly outcome: 'withdrawn' | 'nothing_to_withdraw' }>(context, leaver, async (leaving) => {
    const { transaction, member } = leaving;
    if (member.deletion_due_at === null) return { outcome: 'nothing_to_withdraw' };
    await setDeletionDueAt(transaction, { ...leaver, dueAt: undefined });
    await tell(context, leaving, 'user.deletion_withdrawn');
    return { outcome: 'withdrawn' };
  });
}

/** At once, whoever asked and whenever the end was to come. An operator may delete the last administrator, too. */
export function deleteMember(
  context: FlowContext,
  leaver: Leaver,
): Promise<{ readonly outcome: 'deleted' | 'unknown' } | LastAdministrator> {
  return inMembership<{ readonly outcome: 'deleted' }>(context, leaver, async (leaving) => {
    await erase(context, leaving);
    return { outcome: 'deleted' };
  });
}

/**
 * The same inside a transaction of whoever has seen to it that it may be, last administrator included. False when there is no such
 * member.
 */
export async function deleteMemberWithin(
  context: FlowContext,
  transaction: Transaction,
  leaver: Leaver,
): Promise<boolean> {
  const tenant = context.database.tenant(leaver.tenantId);
  const member = await lockMembership(transaction, leaver);
  if (member === undefined) return false;
  await erase(context, { ...leaver, tenant, transaction, member });
  return true;
}

/** In one run of the job. */
const peopleTogether = 100;

/**
 * Forgets those whose time has come, a hundred in one run. How many. Several processes may call it: whom one has in hand the others
 * wait for and find gone, and whoever thought better of it meanwhile stays. One who cannot be deleted keeps nobody else: the others
 * go first, then this throws.
 */
export async function deleteDueMembers(context: FlowContext, signal?: AbortSignal): Promise<number> {
  const now = context.clock();
  const due = await listDueDepartures(context.database, { now, limit: peopleTogether });
  const faults: unknown[] = [];
  let deleted = 0;
  for (const leaver of due) {
    if (signal?.aborted === true) break;
    try {
      if ((await deleteWhenDue(context, leaver, now)).outcome === 'deleted') deleted += 1;
    } catch (fault) {
      faults.push(fault);
    }
  }
  if (faults.length > 0) throw new AggregateError(faults, `${faults.length} people could not be deleted`);
  return deleted;
}

function deleteWhenDue(context: FlowContext, leaver: Leaver, now: Date) {
  return inMembership<{ readonly outcome: 'deleted' | 'stays' }>(context, leaver, async (leaving) => {
    const { deletion_due_at: dueAt } = leaving.member;
    if (dueAt === null || dueAt > now) return { outcome: 'stays' };
    await erase(context, leaving);
    return { outcome: 'deleted' };
  });
}

interface Leaving extends Leaver {
  readonly tenant: TenantDatabase;
  readonly transaction: Transaction;
  readonly member: LeavingMemberRow;
}

/**
 * In one transaction, with the membership locked: of two who ask, undo or delete at the same moment one comes after the other. The tenant's
 * last administrator stays.
 */
async function inMembership<Outcome extends object>(
  context: FlowContext,
  leaver: Leaver,
  work: (leaving: Leaving) => Promise<Outcome>,
): Promise<Outcome | { readonly outcome: 'unknown' } | LastAdministrator> {
  const { tenantId } = leaver;
  const tenant = context.database.tenant(tenantId);
  try {
    return await tenant.transaction((transaction) =>
      keepAdministratorUnlessOperator(context, transaction, {
        tenantId,
        change: async () => {
          const member = await lockMembership(transaction, leaver);
          return member === undefined ? { outcome: 'unknown' } : work({ ...leaver, tenant, transaction, member });
        },
      }),
    );
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    throw fault;
  }
}

async function erase(context: FlowContext, leaving: Leaving): Promise<void> {
  const { transaction, member } = leaving;
  await endEverything(context, leaving, 'deleted');
  await deleteProofsOf(transaction, { ...leaving, address: member.email_canonical });
  await deleteMembership(transaction, leaving);
  await tell(context, leaving, 'user.deleted');
  await write(context, leaving, { kind: 'account_deleted', ...noticeOf(context) });
}

/** Sessions with all that was issued under them, sign-ins that are half done, and browsers that would be recognised. */
async function endEverything(context: FlowContext, leaving: Leaving, reason: string): Promise<void> {
  const { transaction, tenantId, userId } = leaving;
  await endPersonSessions(context, { ...leaving, reason });
  await deletePendingSignInsOf(transaction, { tenantId, userId });
  await deleteRememberedDevices(transaction, { tenantId, userId });
}

async function tell(
  context: FlowContext,
  { tenant, transaction, userId }: Leaving,
  type: EventType,
  data?: Readonly<Record<string, string>>,
): Promise<void> {
  const target = { type: 'user', id: userId } as const;
  const event = { type, outcome: 'success', actor: context.actor, target, data } as const;
  await appendEvent(transaction, { tenant, event, origin: context.origin, now: context.clock() });
}

async function write(context: FlowContext, { transaction, tenantId, member }: Leaving, mail: Mail): Promise<void> {
  await queueMail(context, transaction, { tenantId, to: member.email, locale: member.locale, mail });
}

function noticeOf({ clock, origin }: FlowContext) {
  return { when: clock(), browser: origin.userAgent, address: origin.ip };
}
