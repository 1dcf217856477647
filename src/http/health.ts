/** Liveness and readiness for whoever starts, restarts and routes to this process. Says states, never addresses or secrets. */

import type { Database } from '#src/storage/database.ts';
import { listMigrations } from '#src/storage/migrate.ts';

export type CheckState = 'ok' | 'failed' | 'not_configured';

export interface Readiness {
  readonly status: 'ready' | 'unavailable' | 'draining';
  readonly checks: Readonly<
    Record<'database' | 'keys' | 'limiter' | 'mail' | 'migrations', { readonly status: CheckState }>
  >;
}

export interface Health {
  ready(): Promise<Readiness>;
  /** From now on not ready, while requests in flight finish. */
  drain(): void;
  isDraining(): boolean;
}

export function createHealth({ database, mailConfigured }: { database: Database; mailConfigured: boolean }): Health {
  let draining = false;
  return {
    async ready() {
      const [reachable, migrated, keys] = await Promise.all([
        holds(async () => (await database.platform.query('select 1')).length === 1),
        holds(() => isMigrated(database)),
        holds(() => haveKeys(database)),
      ]);
      const checks = {
        database: { status: reachable },
        keys: { status: keys },
        // Attempts are counted in the database.
        limiter: { status: reachable },
        mail: { status: mailConfigured ? 'ok' : 'not_configured' },
        migrations: { status: migrated },
      } as const;
      const failed = Object.values(checks).some((check) => check.status === 'failed');
      return { status: draining ? 'draining' : failed ? 'unavailable' : 'ready', checks };
    },
    drain() {
      draining = true;
    },
    isDraining: () => draining,
  };
}

async function holds(question: () => Promise<boolean>): Promise<'ok' | 'failed'> {
  try {
    return (await question()) ? 'ok' : 'failed';
  } catch {
    return 'failed';
  }
}

async function isMigrated(database: Database): Promise<boolean> {
  const rows = await database.platform.query<{ name: string }>('select name from schema_migrations order by name');
  const applied = new Set(rows.map((row) => row.name));
  return (await listMigrations()).every((name) => applied.has(name));
}

/** Every active tenant can sign with every algorithm it needs. */
async function haveKeys(database: Database): Promise<boolean> {
  const rows = await database.platform.query<{ missing: number }>('select tenants_without_active_keys() as missing');
  return rows[0]?.missing === 0;
}
