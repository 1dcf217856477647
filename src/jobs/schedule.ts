/** The clock's door: work that nobody asks for but time. Each job says how often; a failed run is logged and tried again next time. */
import type { Logger } from 'pino';
import type { Config } from '#config/config.ts';
import { tidyFleet } from '#src/flows/devices/tidy_devices.ts';
import { resealAll } from '#src/flows/keys/reseal.ts';
import { type KeyContext, keepAllKeys, signingKeyRules } from '#src/flows/keys/rotate_keys.ts';
import type { MailDelivery } from '#src/flows/mail/deliver_mails.ts';
import { deleteDueMembers } from '#src/flows/people/leave_tenant.ts';
import type { LogoutDelivery } from '#src/flows/sessions/deliver_backchannel_logouts.ts';
import { sweep, sweepDeliveredLogouts, sweepExpiredSessions, sweepSettledMails } from '#src/flows/sweep.ts';
import { eraseEndedTenants } from '#src/flows/tenants/delete_tenant.ts';
import type { Clock } from '#src/foundation/clock.ts';
import type { PasswordHasher } from '#src/foundation/password_hashing.ts';
import type { Sealer } from '#src/foundation/sealing.ts';
import type { Database } from '#src/storage/database.ts';
import type { DatabaseUrls } from '#src/storage/database_roles.ts';

interface Job {
  readonly name: string;
  readonly everySeconds: number;
  /** Long work looks at the signal: somebody waits for the process to end. */
  readonly run: (signal: AbortSignal) => Promise<Readonly<Record<string, number>>>;
}

export interface Schedule {
  /** Runs every job once, now. */
  runAll(): Promise<void>;
  /** Resolves when no job runs any more. */
  stop(): Promise<void>;
}

export interface ScheduleOptions {
  readonly database: Database;
  readonly logger: Logger;
  readonly config: Pick<Config, 'keys' | 'lifetimes' | 'mail' | 'people'>;
  readonly clock: Clock;
  readonly sealer: Sealer;
  readonly passwords: PasswordHasher;
  readonly urls: DatabaseUrls;
  readonly logoutDelivery: LogoutDelivery;
  readonly mailDelivery: MailDelivery;
}

/** Starts the jobs of one process. They may run in many: each decides in the database whether it is its turn. */
export function startSchedule(options: ScheduleOptions): Schedule {
  const { database, logger, config, clock, sealer, passwords, urls, logoutDelivery, mailDelivery } = options;
  const rules = signingKeyRules(config);
  const context: KeyContext = { database, clock, sealer, actor: { type: 'system', id: 'keys' }, origin: {} };
  const leaving = {
    ...context,
    passwords,
    mailBudgets: config.mail.budgets,
    actor: { type: 'system', id: 'departures' },
  } as const;
  const ending = { ...context, actor: { type: 'system', id: 'tenants' } } as const;
  const tidying = { ...context, actor: { type: 'system', id: 'fleet' } } as const;
  const jobs: readonly Job[] = [
    {
      name: 'sweep',
      everySeconds: 60,
      run: async () => ({
        // First: what the sweep takes away tells nobody.
        expired_sessions: await sweepExpiredSessions(database, clock),
        swept_rows: await sweep(database),
        swept_logouts: await sweepDeliveredLogouts(database),
        swept_mails: await sweepSettledMails(database),
      }),
    },
    {
      name: 'backchannel_logout',
      everySeconds: 1,
      run: async (signal) => ({ ...(await logoutDelivery.deliverDue(signal)) }),
    },
    { name: 'mail', everySeconds: 1, run: async (signal) => ({ ...(await mailDelivery.deliverDue(signal)) }) },
    { name: 'keys', everySeconds: 60, run: async (signal) => ({ tenants: await keepAllKeys(context, rules, signal) }) },
    {
      name: 'departures',
      everySeconds: 60,
      run: async (signal) => ({ deleted_people: await deleteDueMembers(leaving, signal) }),
    },
    {
      name: 'tenants',
      everySeconds: 60,
      run: async (signal) => ({ erased_rows: await eraseEndedTenants(ending, { signal }) }),
    },
    {
      name: 'fleet',
      everySeconds: 600,
      run: async (signal) => ({
        ...(await tidyFleet(tidying, { installation: config.people, ownerUrl: urls.owner, signal })),
      }),
    },
    // With one master key everything is sealed with it, or does not open at all.
    ...(sealer.keyIds.length === 1
      ? []
      : [
          {
            name: 'reseal',
            everySeconds: 60,
            run: async (signal: AbortSignal) => ({ tenants: await resealAll(context, urls.owner, signal) }),
          },
        ]),
  ];
  const stopping = new AbortController();
  const running = new Set<Promise<void>>();

  async function runOne(job: Job): Promise<void> {
    try {
      logger.debug({ job: job.name, ...(await job.run(stopping.signal)) }, 'a job ran');
    } catch (fault) {
      logger.error({ err: fault, job: job.name }, 'a job failed');
    }
  }

  function start(job: Job): Promise<void> {
    const run = runOne(job);
    running.add(run);
    return run.finally(() => running.delete(run));
  }

  const timers = jobs.map((job) => {
    const timer = setInterval(() => void start(job), job.everySeconds * 1000);
    return timer.unref();
  });

  return {
    async runAll() {
      await Promise.all(jobs.map(start));
    },
    async stop() {
      for (const timer of timers) clearInterval(timer);
      stopping.abort();
      await Promise.all(running);
      mailDelivery.close();
    },
  };
}
