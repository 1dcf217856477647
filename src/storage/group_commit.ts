/**
 * Changes that cannot lose a race (new tokens, events) of requests that are served at the same moment, committed together: one
 * round trip, one transaction and one wait for the disk for all of them. A lone request waits for nobody. Where several are being
 * served, a change waits a millisecond for its neighbours, which costs nobody anything: the processor is busy with them.
 * Measured: docs/performance.md.
 */
import type { TenantDatabase } from './database.ts';

/** Commits the changes of several requests as one transaction. */
export type CommitTogether<Change> = (tenant: TenantDatabase, changes: readonly Change[]) => Promise<void>;

export interface GroupCommit<Change> {
  /** Durable when it resolves. Rejects when these changes themselves could not be committed, whatever became of the others. */
  commit(tenant: TenantDatabase, change: Change): Promise<void>;
  /** Says that a request is being served, which may soon commit something. Call the answer when it is over. */
  expect(tenant: TenantDatabase): () => void;
}

interface Waiting<Change> {
  readonly change: Change;
  readonly resolve: () => void;
  readonly reject: (fault: unknown) => void;
}

interface Queue<Change> {
  waiting: Waiting<Change>[];
  underway: boolean;
  /** Requests being served. */
  expected: number;
  timer: NodeJS.Timeout | undefined;
}

const maximumTogether = 64;
/** With fewer requests than this at the same time, waiting for one another gains nothing. */
const worthWaitingFor = 4;
const patienceMilliseconds = 1;

export function createGroupCommit<Change>(commitTogether: CommitTogether<Change>): GroupCommit<Change> {
  const queues = new WeakMap<TenantDatabase, Queue<Change>>();

  function queueOf(tenant: TenantDatabase): Queue<Change> {
    const known = queues.get(tenant);
    if (known !== undefined) return known;
    const queue: Queue<Change> = { waiting: [], underway: false, expected: 0, timer: undefined };
    queues.set(tenant, queue);
    return queue;
  }

  /** Sends now, or sees to it that somebody does soon. */
  function consider(tenant: TenantDatabase, queue: Queue<Change>): void {
    const gathered = queue.waiting.length;
    if (gathered === 0 || queue.underway) return;
    const complete = gathered >= Math.min(queue.expected, maximumTogether);
    if (complete || queue.expected < worthWaitingFor) {
      void send(tenant, queue);
      return;
    }
    queue.timer ??= setTimeout(() => void send(tenant, queue), patienceMilliseconds);
  }

  async function send(tenant: TenantDatabase, queue: Queue<Change>): Promise<void> {
    clearTimeout(queue.timer);
    queue.timer = undefined;
    const group = queue.waiting.splice(0, maximumTogether);
    if (group.length === 0) return;
    queue.underway = true;
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
      queue.underway = false;
      consider(tenant, queue);
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
        consider(tenant, queue);
      });
    },

    expect(tenant) {
      const queue = queueOf(tenant);
      queue.expected += 1;
      return () => {
        queue.expected -= 1;
      };
    },
  };
}
