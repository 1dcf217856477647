/**
 * This file owns what Poort said about tokens and keys in the last seconds: each is asked about once at a time, and no answer is
 * believed for longer than the guard's bound. Good and bad answers are kept apart, so that a flood of made-up tokens pushes out no good one.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { Unavailable } from './poort_client.js';

/** More than this at once, and Poort has enough to do. */
const mostFlights = 1_000;

/**
 * @param {object} options
 * @param {(value: string) => Promise<{ isGood: boolean }>} options.ask what it throws is not kept
 * @param {() => number} options.aliveSeconds how long an answer is believed, at this moment
 * @param {() => Date} options.clock
 * @param {number} options.maximum of answers of either kind
 */
export function createAnswers({ ask, aliveSeconds, clock, maximum }) {
  const good = new LRUCache({ max: maximum });
  const bad = new LRUCache({ max: maximum });
  const flights = new Map();
  let generation = 0;

  function keptAnswer(key) {
    const entry = good.get(key) ?? bad.get(key);
    if (entry === undefined) return undefined;
    const ageMilliseconds = clock().getTime() - entry.askedAt;
    return ageMilliseconds >= 0 && ageMilliseconds < aliveSeconds() * 1_000 ? entry.answer : undefined;
  }

  async function askAnew(key, value) {
    const [askedIn, askedAt] = [generation, clock().getTime()];
    const answer = await ask(value);
    // Something ended while the answer was on its way: it may be from before that.
    if (generation !== askedIn) return answer;
    good.delete(key);
    bad.delete(key);
    (answer.isGood ? good : bad).set(key, { answer, askedAt });
    return answer;
  }

  return {
    /** Resolves to what Poort says, or said a moment ago. Rejects when it says nothing. */
    async about(value) {
      // The value itself is not kept: a dump of this process's memory should not be a list of live tokens.
      const key = createHash('sha256').update(value).digest('base64url');
      const kept = keptAnswer(key);
      if (kept !== undefined) return kept;
      const underWay = flights.get(key);
      if (underWay !== undefined) return underWay;
      if (flights.size >= mostFlights) throw new Unavailable('too many questions at once');
      const flight = askAnew(key, value).finally(() => {
        if (flights.get(key) === flight) flights.delete(key);
      });
      flights.set(key, flight);
      return flight;
    },

    /** Forgets the good answers that this is about, and what is on its way: whoever asks from now on asks anew. */
    forget(isAbout) {
      generation += 1;
      flights.clear();
      for (const [key, { answer }] of [...good.entries()]) if (isAbout(answer)) good.delete(key);
    },

    forgetAll() {
      generation += 1;
      flights.clear();
      good.clear();
      bad.clear();
    },
  };
}
