/**
 * Changes that cannot lose a race (new tokens, events) of requests that are served at the same moment, committed together: one
 * round trip, one transaction and one wait for the disk for all of them. A lone request waits for nobody; while a commit is on
 * its way, those that arrive gather for the next. Measured: docs/performance.md.
 */
import type { TenantDatabase } from './database.ts';

/** Commits the changes of several requests as one transaction. */
export type CommitTogether<Change> = (tenant: TenantDatabase, changes: readonly Change[]) => Promise<void>;

export interface GroupCommit<Change> {
  /** Durable when it resolves. Rejects when these changes themselves could not be committed, whatever became of the others. */
  commit(tenant: TenantDatabase, change: Change): Promise<void>;
}

interface Waiting<Change> {
  readonly change: Change;
  readonly resolve: () => void;
  readonly reject: (fault: unknown) => void;
}

interface Queue<Change> {
  waiting: Waiting<Change>[];
  underway: number;
}

const maximumTogether = 64;
const maximumUnderway = 2;

export function createGroupCommit<Change>(commitTogether: CommitTogether<Change>): GroupCommit<Change> {
  const queues = new WeakMap<TenantDatabase, Queue<Change>>();

  function queueOf(tenant: TenantDatabase): Queue<Change> {
    const known = queues.get(tenant);
    if (known !== undefined) return known;
    const queue: Queue<Change> = { waiting: [], underway: 0 };
    queues.set(tenant, queue);
    return queue;
  }

  async function send(tenant: TenantDatabase, queue: Queue<Change>): Promise<void> {
    const group = queue.waiting.splice(0, maximumTogether);
    if (group.length === 0) return;
    queue.underway += 1;
    try {
      await commitTogether(
        tenant,
        group.map(({ change }) => change),
      );
      for (const { resolve } of group) resolve();
    } catch (fault) {
      // One bad row must not take the others with it: each is tried alone, and only its own request fails.
      if (group.length === 1) group[0]?.reject(fault);
      else await Promise.all(group.map((waiting) => sendAlone(tenant, waiting)));
    } finally {
      queue.underway -= 1;
      if (queue.waiting.length > 0) void send(tenant, queue);
    }
  }

  async function sendAlone(tenant: TenantDatabase, { change, resolve, reject }: Waiting<Change>): Promise<void> {
    await commitTogether(tenant, [change]).then(resolve, reject);
  }

  return {
    commit(tenant, change) {
      const queue = queueOf(tenant);
      return new Promise((resolve, reject) => {
        queue.waiting.push({ change, resolve, reject });
        if (queue.underway < maximumUnderway) void send(tenant, queue);
      });
    },
  };
}
