/**
 * This file owns how much of one kind of work is under way at a time, so that a crowd of it does not stand in front of everything
 * else in the event loop: sixty-four people who opened a page in the same instant made an introspection wait for all of them. It is
 * about order and is no limit: whoever finds the lane full waits, first come, first served, and after a moment goes in all the same.
 *
 * Only what this process works on belongs into a lane. Whatever waits for others, a slow client above all, steps aside meanwhile
 * (`aside`): eight people who send their forms byte by byte must not stand in anybody's way.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

export interface Lane {
  /** Runs `work` when there is room for it. */
  run<Result>(work: () => Promise<Result>): Promise<Result>;
}

interface Place {
  enter(): Promise<void>;
  leave(): void;
}

/** A piece of work in a lane. */
interface Turn {
  readonly place: Place;
  /** How many parts of it are aside: the place is given up by the first and taken again after the last. */
  aside: number;
}

const current = new AsyncLocalStorage<Turn>();

export interface LaneSettings {
  /** How many pieces of work are under way at a time. */
  readonly places: number;
  /** Nobody waits longer for a place: when the work itself is stuck, a lane would only add to it. */
  readonly longestWaitMilliseconds: number;
}

export function createLane(settings: LaneSettings): Lane {
  const place = createPlaces(settings);
  return {
    async run(work) {
      await place.enter();
      try {
        return await current.run({ place, aside: 0 }, work);
      } finally {
        place.leave();
      }
    },
  };
}

/** Gives the place up while `work` waits for somebody else, and takes one again afterwards. Outside of a lane it is just `work`. */
export async function aside<Result>(work: () => Promise<Result>): Promise<Result> {
  const turn = current.getStore();
  if (turn === undefined) return work();
  turn.aside += 1;
  if (turn.aside === 1) turn.place.leave();
  try {
    return await current.exit(work);
  } finally {
    turn.aside -= 1;
    if (turn.aside === 0) await turn.place.enter();
  }
}

function createPlaces({ places, longestWaitMilliseconds }: LaneSettings): Place {
  const waiting = new Set<() => void>();
  let taken = 0;
  return {
    async enter() {
      if (taken < places) {
        taken += 1;
        return;
      }
      await new Promise<void>((resolve) => {
        const admit = (): void => {
          clearTimeout(timer);
          waiting.delete(admit);
          resolve();
        };
        const timer = setTimeout(() => {
          taken += 1;
          admit();
        }, longestWaitMilliseconds);
        waiting.add(admit);
      });
    },
    leave() {
      const [next] = waiting;
      // Handed on, so that nobody comes in between; not while there are more than there is room for.
      if (next !== undefined && taken <= places) next();
      else taken -= 1;
    },
  };
}
