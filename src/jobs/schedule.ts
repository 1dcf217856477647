/** The clock's door: work that nobody asks for but time. Each job says how often; a failed run is logged and tried again next time. */
import type { Logger } from 'pino';
import { sweep } from '#src/flows/sweep.ts';
import type { Database } from '#src/storage/database.ts';

interface Job {
  readonly name: string;
  readonly everySeconds: number;
  readonly run: () => Promise<Readonly<Record<string, number>>>;
}

export interface Schedule {
  /** Runs every job once, now. */
  runAll(): Promise<void>;
  /** Resolves when no job runs any more. */
  stop(): Promise<void>;
}

/** Starts the jobs of one process. They may run in many: each decides in the database whether it is its turn. */
export function startSchedule({ database, logger }: { database: Database; logger: Logger }): Schedule {
  const jobs: readonly Job[] = [
    { name: 'sweep', everySeconds: 60, run: async () => ({ swept_rows: await sweep(database) }) },
  ];
  const running = new Set<Promise<void>>();

  async function runOne(job: Job): Promise<void> {
    try {
      logger.debug({ job: job.name, ...(await job.run()) }, 'a job ran');
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
      await Promise.all(running);
    },
  };
}
