/**
 * The partitions of `device_telemetry`, one for each day (UTC): made ahead, and dropped as a whole when nobody keeps that day any more.
 * On the owner's connection: no role that serves may create or drop anything.
 */
import pg from 'pg';

const daysAhead = 7;
/** A drop waits for readers and makes later ones wait: it would rather come again. */
const lockMilliseconds = 2_000;

export interface TelemetryDays {
  readonly made: number;
  readonly dropped: number;
}

/** Makes those of the coming week and drops those that ended before `keptSince`. How many of each. */
export async function keepTelemetryDays(
  ownerUrl: string,
  { now, keptSince }: { readonly now: Date; readonly keptSince: Date },
): Promise<TelemetryDays> {
  const client = new pg.Client({
    connectionString: ownerUrl,
    application_name: 'poort',
    lock_timeout: lockMilliseconds,
  });
  await client.connect();
  try {
    const present = new Set(await listDays(client));
    const wanted = Array.from({ length: daysAhead + 1 }, (_, ahead) => dayOf(now, ahead));
    const missing = wanted.filter((day) => !present.has(day));
    for (const day of missing) await client.query('select device_telemetry_day($1::date)', [day]);
    const over = [...present].filter((day) => dayOf(new Date(day), 1) <= dayOf(keptSince, 0));
    for (const day of over)
      await client.query(`drop table ${client.escapeIdentifier(prefix + day.replaceAll('-', ''))}`);
    return { made: missing.length, dropped: over.length };
  } finally {
    await client.end();
  }
}

const prefix = 'device_telemetry_';

/** As `2026-11-25`. */
async function listDays(client: pg.Client): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = 'public.device_telemetry'::regclass order by 1`,
  );
  return rows.flatMap(({ name }) => {
    const [, year, month, day] = /^device_telemetry_(\d{4})(\d{2})(\d{2})$/.exec(name) ?? [];
    return year === undefined ? [] : [`${year}-${month}-${day}`];
  });
}

function dayOf(instant: Date, daysLater: number): string {
  return new Date(instant.getTime() + daysLater * 86_400_000).toISOString().slice(0, 10);
}
