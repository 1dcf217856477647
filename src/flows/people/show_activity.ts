/** What happened to somebody's account at one tenant, as they may see it: what they did, and what was done to them. */
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import { listPersonalEvents, type PersonalEventRow } from '#src/storage/tables/personal_events.ts';
import type { FlowContext } from '../flow_context.ts';

export const ACTIVITY_DAYS = 90;
const dayMilliseconds = 86_400_000;

export interface ActivityPage {
  readonly events: readonly PersonalEventRow[];
  /** The last of these events, when there are older ones. */
  readonly next: string | undefined;
}

/** The latest first. `types`: which of them the page has words for. */
export async function showActivity(
  { database, clock }: Pick<FlowContext, 'database' | 'clock'>,
  input: {
    readonly tenantId: TenantId;
    readonly userId: UserId;
    readonly types: readonly string[];
    readonly before?: string | undefined;
    readonly limit: number;
  },
): Promise<ActivityPage> {
  const since = new Date(clock().getTime() - ACTIVITY_DAYS * dayMilliseconds);
  const { userId, types, before, limit } = input;
  const found = await listPersonalEvents(database.tenant(input.tenantId), {
    userId,
    types,
    before,
    since,
    limit: limit + 1,
  });
  const events = found.slice(0, limit);
  return { events, next: found.length > limit ? events.at(-1)?.id : undefined };
}
