/**
 * A tenant that has an administrator keeps one. Whatever could take the last away (a role removed, ended, changed or switched off, a
 * member disabled, leaving or gone) runs in here, one at a time for each tenant.
 */
import type { TenantId } from '#src/domain/tenant.ts';
import type { Transaction } from '#src/storage/database.ts';
import { administratorRemains } from '#src/storage/tables/administrators.ts';
import { type FlowContext, Refusal } from '../flow_context.ts';

/** Nothing was changed. */
export interface LastAdministrator {
  readonly outcome: 'last_administrator';
}

/**
 * Call it first in the transaction, before anything is locked, and let all of the change happen in `change`. Throws a `Refusal` with the
 * outcome `last_administrator`, which takes the change back, where there was an administrator before and is none after.
 */
export async function keepAdministrator<Result>(
  transaction: Transaction,
  tenantId: TenantId,
  change: () => Promise<Result>,
): Promise<Result> {
  const hadOne = await administratorRemains(transaction, tenantId);
  const result = await change();
  if (hadOne && !(await administratorRemains(transaction, tenantId)))
    throw new Refusal<LastAdministrator>({ outcome: 'last_administrator' });
  return result;
}

/**
 * The same for what is done to a person. Not for an operator: an account that was stolen has to be closed at once, also where it is the
 * only administrator's, and whoever has the command line can make another one.
 */
export function keepAdministratorUnlessOperator<Result>(
  { actor }: Pick<FlowContext, 'actor'>,
  transaction: Transaction,
  { tenantId, change }: { readonly tenantId: TenantId; readonly change: () => Promise<Result> },
): Promise<Result> {
  return actor.type === 'operator' ? change() : keepAdministrator(transaction, tenantId, change);
}
