/**
 * How many requests of one kind are under way at a time; the others are sent away at once, each told to come back at another moment. After
 * an outage a whole fleet refreshes in the same second: taken all together each would be answered too late, given up and sent again. Sent
 * away and spread, all of them get through (docs/performance.md). Whoever is sent away has used nothing up: the same refresh token is good
 * the next time.
 *
 * Only requests that are there as a whole take a place: whoever sends one byte by byte is waited for elsewhere, or a hundred of them
 * would send everybody away.
 */
import type { IncomingMessage } from 'node:http';
import { setImmediate, setTimeout } from 'node:timers/promises';

export interface Admission {
  /** Runs `work` when there is room for it; otherwise answers in how many seconds to come back, another number for everybody. */
  admit(work: () => Promise<void>): Promise<{ readonly retryAfterSeconds: number } | undefined>;
}

export interface AdmissionSettings {
  readonly places: number;
  /** Whoever is sent away comes back within this time. */
  readonly spreadSeconds: number;
  /** A whole number from 1 to `maximum`. */
  readonly draw: (maximum: number) => number;
}

export function createAdmission({ places, spreadSeconds, draw }: AdmissionSettings): Admission {
  let underWay = 0;
  return {
    async admit(work) {
      if (underWay >= places) return { retryAfterSeconds: draw(spreadSeconds) };
      underWay += 1;
      try {
        await work();
        return undefined;
      } finally {
        underWay -= 1;
      }
    },
  };
}

/** How long the rest of a request is waited for; some clients send head and body one after the other. */
const patienceMilliseconds = [5, 20, 100] as const;

/** Whether all of it is there, read or not. */
export async function hasArrived(request: IncomingMessage): Promise<boolean> {
  // What comes with the head is there a turn later.
  await setImmediate();
  for (const milliseconds of patienceMilliseconds) {
    if (request.complete) return true;
    await setTimeout(milliseconds);
  }
  return request.complete;
}
