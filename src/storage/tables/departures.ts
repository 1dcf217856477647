/**
 * Memberships that have an end: until when somebody who wants to leave can think better of it, and the end itself. That a person who
 * belongs to no tenant any more goes with their last membership is a trigger's to see to (migrations/0021).
 */
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Database, Transaction } from '../database.ts';

interface Member {
  readonly tenantId: TenantId;
  readonly userId: UserId;
}

/** Whom to write to, and when the end comes. */
export interface LeavingMemberRow {
  readonly email: string;
  readonly email_canonical: string;
  readonly locale: 'nl' | 'en';
  readonly deletion_due_at: Date | null;
}

/** Nobody else changes the membership until the transaction ends. Undefined when there is none. */
export async function lockMembership(
  transaction: Transaction,
  { tenantId, userId }: Member,
): Promise<LeavingMemberRow | undefined> {
  const rows = await transaction.query<LeavingMemberRow>(
    `select u.email::text as email, u.email_canonical, coalesce(u.locale, t.locale) as locale, m.deletion_due_at
       from memberships m join users u on u.id = m.user_id join tenants t on t.id = m.tenant_id
      where m.tenant_id = $1 and m.user_id = $2 for update of m`,
    [tenantId, userId],
  );
  return rows[0];
}

/** Undefined while nobody has asked for it. */
export async function readDeletionDueAt(
  transaction: Transaction,
  { tenantId, userId }: Member,
): Promise<Date | undefined> {
  const text = 'select deletion_due_at from memberships where tenant_id = $1 and user_id = $2';
  const rows = await transaction.query<{ deletion_due_at: Date | null }>(text, [tenantId, userId]);
  return rows[0]?.deletion_due_at ?? undefined;
}

/** `undefined` takes the end away. */
export async function setDeletionDueAt(
  transaction: Transaction,
  { tenantId, userId, dueAt }: Member & { readonly dueAt: Date | undefined },
): Promise<void> {
  const text = 'update memberships set deletion_due_at = $3 where tenant_id = $1 and user_id = $2';
  await transaction.query(text, [tenantId, userId, dueAt ?? null]);
}

/** With roles, remembered browsers and whatever else hangs on it; and with the person, when it was their last. */
export async function deleteMembership(transaction: Transaction, { tenantId, userId }: Member): Promise<void> {
  await transaction.query('delete from memberships where tenant_id = $1 and user_id = $2', [tenantId, userId]);
}

/** Of all tenants, those that have waited longest first. */
export async function listDueDepartures(
  database: Database,
  { now, limit }: { readonly now: Date; readonly limit: number },
): Promise<readonly Member[]> {
  const text = 'select tenant_id as "tenantId", user_id as "userId" from memberships_to_delete($1, $2)';
  return database.platform.query<Member>(text, [now, limit]);
}
