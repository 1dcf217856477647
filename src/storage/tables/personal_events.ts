/** The part of the history that is about one person, as that person may see it. Written by event_log.ts like all of it. */
import type { UserId } from '#src/domain/user.ts';
import type { TenantDatabase } from '../database.ts';

export interface PersonalEventRow {
  readonly id: string;
  readonly occurred_at: Date;
  readonly type: string;
  readonly outcome: 'success' | 'failure';
  readonly reason: string | null;
  readonly actor_type: 'user' | 'client' | 'api_key' | 'operator' | 'system' | null;
  readonly client_id: string | null;
  /** Of an application that is still registered. */
  readonly client_name: string | null;
  readonly session_id: string | null;
  readonly ip: string | null;
  readonly user_agent: string | null;
  readonly data: Readonly<Record<string, unknown>> | null;
}

export interface PersonalEventsWanted {
  readonly userId: UserId;
  /** Only these; all of them unless given. */
  readonly types?: readonly string[] | undefined;
  readonly since: Date;
  /** Those before this one; from the latest on unless given. */
  readonly before?: string | undefined;
  readonly limit: number;
}

const eventsOfPerson = {
  name: 'events_of_person',
  text: 'select * from events_of_person($1, $2, $3, $4, $5, $6)',
} as const;
const afterAll = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

/** The latest first. */
export function listPersonalEvents(
  tenant: TenantDatabase,
  { userId, types, since, before, limit }: PersonalEventsWanted,
): Promise<readonly PersonalEventRow[]> {
  return tenant.read<PersonalEventRow>(eventsOfPerson, [userId, types ?? null, since, before ?? afterAll, limit]);
}
