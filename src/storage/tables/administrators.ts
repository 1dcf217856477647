/** Whether a tenant has somebody who administers it and does not cease to by themselves (migrations/0034). */
import type { TenantId } from '#src/domain/tenant.ts';
import type { Transaction } from '../database.ts';

/**
 * Nobody else gets an answer before this transaction is over, so it comes before any other lock: what waits for it must hold nothing
 * that somebody needs who has it.
 */
export async function administratorRemains(transaction: Transaction, tenantId: TenantId): Promise<boolean> {
  const text = 'select administrator_remains($1) as remains';
  return (await transaction.query<{ remains: boolean }>(text, [tenantId]))[0]?.remains === true;
}
