/**
 * Operators: people who act on every tenant of the installation, as members of a tenant that is their home. Named and dismissed from the
 * command line alone: whoever has it has the installation already.
 */
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import {
  deleteOperator,
  insertOperator,
  isOperator,
  listOperatorsOf,
  listTenantsOfOperators,
  type OperatorRow,
} from '#src/storage/tables/operators.ts';
import { findTenantsById } from '#src/storage/tables/tenants.ts';
import type { FlowContext } from '../flow_context.ts';

/** Each is tried with a token that does not say whose it is. */
export const MAXIMUM_HOME_TENANTS = 10;

interface OperatorInput {
  readonly tenantId: TenantId;
  /** A member. */
  readonly userId: UserId;
}

export async function addOperator(
  context: FlowContext,
  input: OperatorInput,
): Promise<{ readonly outcome: 'added' | 'unchanged' | 'too_many_home_tenants' }> {
  const homes = await listTenantsOfOperators(context.database);
  if (!homes.includes(input.tenantId) && homes.length >= MAXIMUM_HOME_TENANTS)
    return { outcome: 'too_many_home_tenants' };
  const now = context.clock();
  const tenant = context.database.tenant(input.tenantId);
  return tenant.transaction(async (transaction) => {
    if (!(await insertOperator(transaction, { ...input, now }))) return { outcome: 'unchanged' };
    await appendEvent(transaction, {
      tenant,
      event: eventOf(context, 'operator.added', input),
      ...circumstances(context),
    });
    return { outcome: 'added' };
  });
}

/** What they do at this moment is finished; the next call is refused. */
export async function removeOperator(
  context: FlowContext,
  input: OperatorInput,
): Promise<{ readonly outcome: 'removed' | 'unchanged' }> {
  const tenant = context.database.tenant(input.tenantId);
  return tenant.transaction(async (transaction) => {
    if (!(await deleteOperator(transaction, input))) return { outcome: 'unchanged' };
    await appendEvent(transaction, {
      tenant,
      event: eventOf(context, 'operator.removed', input),
      ...circumstances(context),
    });
    return { outcome: 'removed' };
  });
}

export interface OperatorSummary extends OperatorRow {
  readonly tenant_id: TenantId;
  readonly tenant_slug: string;
}

export async function listOperators({ database }: Pick<FlowContext, 'database'>): Promise<readonly OperatorSummary[]> {
  const homes = await findTenantsById(database, await listTenantsOfOperators(database));
  const lists = await Promise.all(
    homes.map(async ({ id, slug }) => {
      const operators = await database.tenant(id).transaction((transaction) => listOperatorsOf(transaction, id));
      return operators.map((operator) => ({ ...operator, tenant_id: id, tenant_slug: slug }));
    }),
  );
  return lists.flat();
}

/** Whether this member of this tenant may act on all of them. */
export async function actsForInstallation(
  { database }: Pick<FlowContext, 'database'>,
  input: OperatorInput,
): Promise<boolean> {
  return database.tenant(input.tenantId).transaction((transaction) => isOperator(transaction, input));
}

function eventOf(context: FlowContext, type: 'operator.added' | 'operator.removed', { userId }: OperatorInput) {
  return { type, outcome: 'success', actor: context.actor, target: { type: 'user', id: userId } } as const;
}

function circumstances({ origin, clock }: FlowContext) {
  return { origin, now: clock() };
}
