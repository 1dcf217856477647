/**
 * The table `mails`: the outbox of mail. Rows are written in the transaction of the deed that a mail tells of; here they are taken
 * for delivery, settled and shown. What a mail says is sealed and never known here.
 */
import type { MailBudgets, MailKind } from '#src/domain/mail.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { Database, TenantDatabase, Transaction } from '../database.ts';
import type { EventRow } from '../event_log.ts';

export interface NewMail {
  readonly tenantId: TenantId;
  readonly id: string;
  readonly kind: MailKind;
  readonly budget: keyof MailBudgets;
  /** To one recipient in an hour and in a day, to all of the tenant in an hour. */
  readonly limits: readonly [number, number, number];
  readonly recipientHash: Buffer;
  readonly sealed: Buffer;
  readonly now: Date;
  readonly validUntil: Date | undefined;
}

/** False when it is beyond the budget: a row that says nothing stands in its place. */
export async function enqueueMail(transaction: Transaction, mail: NewMail): Promise<boolean> {
  const { tenantId, id, kind, budget, limits, recipientHash, sealed, now, validUntil } = mail;
  const rows = await transaction.query<{ within: boolean }>(
    'select mail_enqueue($1, $2, $3, $4, $5, $6, $7, $8, $9) as within',
    [tenantId, id, kind, budget, limits, recipientHash, sealed, now, validUntil ?? null],
  );
  return rows[0]?.within ?? false;
}

export async function listTenantsWithDueMails(
  database: Database,
  { now, limit }: { readonly now: Date; readonly limit: number },
): Promise<readonly TenantId[]> {
  const text = 'select tenants_with_due_mails($1, $2) as id';
  return (await database.platform.query<{ id: TenantId }>(text, [now, limit])).map(({ id }) => id);
}

/** A mail that this worker has taken, until its lease ends. */
export interface ClaimedMail {
  readonly id: string;
  readonly kind: MailKind;
  readonly sealed: Buffer;
  /** This one included. */
  readonly attempts: number;
  readonly created_at: Date;
  readonly valid_until: Date | null;
}

const claim = { name: 'mails_claim', text: 'select * from mails_claim($1, $2, $3, $4)' } as const;

export function claimMails(
  tenant: TenantDatabase,
  { now, leaseSeconds, limit }: { readonly now: Date; readonly leaseSeconds: number; readonly limit: number },
): Promise<readonly ClaimedMail[]> {
  return tenant.write<ClaimedMail>(claim, [now, leaseSeconds, limit]);
}

const settle = {
  name: 'mail_settle',
  text: 'select mail_settle($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) as settled',
} as const;

export type MailState = 'waiting' | 'delivered' | 'dead';

export interface MailSettlement {
  readonly mail: Pick<ClaimedMail, 'id' | 'attempts'>;
  readonly now: Date;
  readonly state: MailState;
  readonly problem?: string | undefined;
  readonly dueAt?: Date | undefined;
  /** For the development mailbox: the mail itself, sealed, and how many of them are kept. */
  readonly kept?: { readonly sealed: Buffer; readonly mails: number } | undefined;
  readonly events: readonly EventRow[];
}

/** False when the lease was over and somebody else has it now. What it said is gone unless it waits again or is kept. */
export async function settleMail(tenant: TenantDatabase, settlement: MailSettlement): Promise<boolean> {
  const { mail, now, state, problem, dueAt, kept, events } = settlement;
  const told = events.length === 0 ? null : JSON.stringify(events);
  const values = [
    mail.id,
    mail.attempts,
    now,
    state,
    problem ?? null,
    dueAt ?? now,
    kept?.sealed ?? null,
    kept?.mails ?? 0,
    told,
  ];
  return (await tenant.write<{ settled: boolean }>(settle, values))[0]?.settled ?? false;
}

export interface MailRow {
  readonly id: string;
  readonly kind: MailKind;
  readonly state: MailState;
  readonly attempts: number;
  readonly due_at: Date;
  readonly problem: string | null;
  readonly created_at: Date;
  readonly settled_at: Date | null;
}

/** The dead first, then those that wait, then the delivered, the latest first; at most a thousand. Of one state if it is named. */
export function listMails(
  transaction: Transaction,
  { tenantId, state }: { readonly tenantId: TenantId; readonly state: MailState | undefined },
): Promise<readonly MailRow[]> {
  return transaction.query<MailRow>(
    `select id, kind, state, attempts, due_at, problem, created_at, settled_at
       from mails where tenant_id = $1 and kind <> 'none' and state = coalesce($2, state)
      order by array_position(array['dead', 'waiting', 'delivered'], state), created_at desc, id desc limit 1000`,
    [tenantId, state ?? null],
  );
}

export interface SealedMail {
  readonly id: string;
  readonly kind: MailKind;
  readonly sealed: Buffer;
}

/** What waits and, in a development mailbox, what is kept. */
export function listSealedMails(transaction: Transaction, tenantId: TenantId): Promise<readonly SealedMail[]> {
  return transaction.query<SealedMail>(
    'select id, kind, sealed from mails where tenant_id = $1 and sealed is not null order by id',
    [tenantId],
  );
}

/** Unless it was sent meanwhile. */
export async function updateSealedMail(
  transaction: Transaction,
  mail: { readonly tenantId: TenantId; readonly id: string; readonly from: Buffer; readonly to: Buffer },
): Promise<void> {
  await transaction.query('update mails set sealed = $4 where tenant_id = $1 and id = $2 and sealed = $3', [
    mail.tenantId,
    mail.id,
    mail.from,
    mail.to,
  ]);
}

/** Those that wait for their next attempt wait no longer; what a worker may have in hand is left alone. How many. */
export async function hastenMails(
  transaction: Transaction,
  {
    tenantId,
    now,
    attemptedBefore,
  }: { readonly tenantId: TenantId; readonly now: Date; readonly attemptedBefore: Date },
): Promise<number> {
  const rows = await transaction.query(
    `update mails set due_at = $2 where tenant_id = $1 and state = 'waiting' and due_at > $2 and attempted_at < $3 returning id`,
    [tenantId, now, attemptedBefore],
  );
  return rows.length;
}

/** In a development mailbox, the latest first. */
export function listKeptMails(
  transaction: Transaction,
  tenantId: TenantId,
): Promise<readonly (SealedMail & { readonly settled_at: Date })[]> {
  return transaction.query(
    `select id, kind, sealed, settled_at from mails
      where tenant_id = $1 and state = 'delivered' and sealed is not null order by settled_at desc, id desc limit 10000`,
    [tenantId],
  );
}

/** Over the whole installation. */
export async function countDeadMails(database: Database): Promise<number> {
  return (await database.platform.query<{ dead: number }>('select dead_mails() as dead'))[0]?.dead ?? 0;
}

/** Over the whole installation: those that wait although they should be on their way, because nothing gets through or nobody works. */
export async function countMailsHeldUp(database: Database, now: Date): Promise<number> {
  const rows = await database.platform.query<{ held_up: number }>('select mails_held_up($1) as held_up', [now]);
  return rows[0]?.held_up ?? 0;
}

export async function sweepMails(database: Database, limit: number): Promise<number> {
  return (await database.platform.query<{ swept: number }>('select sweep_mails($1) as swept', [limit]))[0]?.swept ?? 0;
}
