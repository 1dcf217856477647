/** Liveness and readiness for whoever starts, restarts and routes to this process. Says states, never addresses or secrets. */

import { tenantId } from '#src/domain/tenant.ts';
import type { Clock } from '#src/foundation/clock.ts';
import type { CountersState } from '#src/storage/counters.ts';
import type { Database } from '#src/storage/database.ts';
import { findPendingMigrations } from '#src/storage/inspection.ts';
import { countMailsHeldUp } from '#src/storage/tables/mails.ts';

/** No tenant has this identifier. */
const nobody = tenantId('00000000-0000-0000-0000-000000000000');

export type CheckState = 'ok' | 'failed';

/**
 * `failing`: mails wait that did not get through, or that no worker takes. It never makes a server unavailable: people sign in without
 * mail, and what waits is not lost; a server that is taken out for it repairs nothing. `development`: shown at /dev/mail, not sent.
 */
export type MailCheckState = 'ok' | 'failing' | 'development' | 'not_configured';

export interface Readiness {
  readonly status: 'ready' | 'unavailable' | 'draining';
  readonly checks: Readonly<Record<'database' | 'keys' | 'migrations', { readonly status: CheckState }>> & {
    readonly limiter: LimiterCheck;
    readonly mail: { readonly status: MailCheckState };
  };
}

/** `degraded`: there is a Redis that does not answer, and attempts are counted in PostgreSQL meanwhile. Still ready. */
export type LimiterCheck =
  | { readonly status: 'ok' | 'degraded'; readonly store: 'redis' | 'postgresql' }
  | { readonly status: 'failed' };

export interface Health {
  ready(): Promise<Readiness>;
  /** From now on not ready, while requests in flight finish. */
  drain(): void;
  isDraining(): boolean;
}

export interface HealthServices {
  readonly database: Database;
  readonly clock: Clock;
  /** What becomes of mail in this installation. */
  readonly mail: 'sent' | 'development' | 'not_configured';
}

export function createHealth({ database, clock, mail }: HealthServices): Health {
  let draining = false;
  return {
    async ready() {
      const [reachable, migrated, keys, mailed, counters] = await Promise.all([
        holds(() => isReachable(database)),
        holds(async () => (await findPendingMigrations(database)).length === 0),
        holds(() => haveKeys(database)),
        holds(async () => mail !== 'sent' || (await countMailsHeldUp(database, clock())) === 0),
        database.counters.state(),
      ]);
      const sent = mailed === 'ok' ? 'ok' : 'failing';
      const checks = {
        database: { status: reachable },
        keys: { status: keys },
        limiter: limiterCheck(counters, reachable),
        mail: { status: mail === 'sent' ? sent : mail },
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

/** Without Redis, and in its place, it is as well as the database is. */
function limiterCheck(counters: CountersState, database: 'ok' | 'failed'): LimiterCheck {
  if (counters === 'redis') return { status: 'ok', store: 'redis' };
  if (database === 'failed') return { status: 'failed' };
  return { status: counters === 'degraded' ? 'degraded' : 'ok', store: 'postgresql' };
}

async function holds(question: () => Promise<boolean>): Promise<'ok' | 'failed'> {
  try {
    return (await question()) ? 'ok' : 'failed';
  } catch {
    return 'failed';
  }
}

/** As both roles that serve: they have passwords of their own. */
async function isReachable(database: Database): Promise<boolean> {
  const asNobody = database.tenant(nobody).read({ name: 'ready', text: 'select $1::uuid as tenant' }, []);
  const [platform, app] = await Promise.all([database.platform.query('select 1'), asNobody]);
  return platform.length === 1 && app.length === 1;
}

/** Every active tenant can sign with every algorithm it needs. */
async function haveKeys(database: Database): Promise<boolean> {
  const rows = await database.platform.query<{ missing: number }>('select tenants_without_active_keys() as missing');
  return rows[0]?.missing === 0;
}
