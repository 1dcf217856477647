/** Looks into a test database past row level security, as a thief with a dump or an auditor would. */
import pg from 'pg';
import type { TestDatabase } from './cluster.ts';

/** One statement as the superuser of the cluster; every row of every tenant. */
export async function queryAsSuperuser<Row extends object>(
  database: TestDatabase,
  text: string,
  values: readonly unknown[] = [],
): Promise<readonly Row[]> {
  const client = new pg.Client({ connectionString: database.superuserUrl });
  await client.connect();
  try {
    return (await client.query<Row>(text, [...values])).rows;
  } finally {
    await client.end();
  }
}

export interface EventSeen {
  readonly type: string;
  readonly outcome: string;
  readonly reason: string | null;
  readonly actor_type: string | null;
  readonly actor_id: string | null;
  readonly target_id: string | null;
  readonly client_id: string | null;
  readonly ip: string | null;
  readonly data: Readonly<Record<string, unknown>> | null;
}

/** Events of a tenant, oldest first. */
export function readEvents(
  database: TestDatabase,
  { tenantId, types }: { tenantId: string; types: readonly string[] },
): Promise<readonly EventSeen[]> {
  return queryAsSuperuser<EventSeen>(
    database,
    `select type, outcome, reason, actor_type, actor_id, target_id, client_id, ip, data
       from events where tenant_id = $1 and type = any($2) order by occurred_at, id`,
    [tenantId, types],
  );
}

/** As if every value that was used had been used so much earlier: the grace of a refresh token is told by the database's clock. */
export async function ageUsedValues(database: TestDatabase, seconds: number): Promise<void> {
  await queryAsSuperuser(
    database,
    'update artifacts set consumed_at = consumed_at - make_interval(secs => $1) where consumed_at is not null',
    [seconds],
  );
}
