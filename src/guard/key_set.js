/**
 * This file owns the tenant's public keys: read when first needed, again when they are old or a token names one that is not there,
 * and kept when Poort cannot be reached. It verifies nothing itself.
 */
import { createLocalJWKSet, errors } from 'jose';
import { Unavailable } from './poort_client.js';

/** Without a word from Poort. */
const usualSeconds = 300;
const longestSeconds = 86_400;

/**
 * @param {object} options
 * @param {{ readKeys(): Promise<{ keys: object, maxAgeSeconds: number | undefined }> }} options.client
 * @param {() => Date} options.clock
 * @param {number} options.cooldownSeconds between two readings: whoever sends tokens with made-up `kid` makes us read no oftener
 * @param {number} options.staleSeconds how long keys are good that cannot be read again
 * @param {(fault: Error) => void} options.onFault
 */
export function createKeySet({ client, clock, cooldownSeconds, staleSeconds, onFault }) {
  let keys;
  let readAt = Number.NEGATIVE_INFINITY;
  let freshSeconds = 0;
  let triedAt = Number.NEGATIVE_INFINITY;
  let lastFault;
  let reading;
  let current;

  const secondsSince = (moment) => (clock().getTime() - moment) / 1_000;
  const isFresh = () => keys !== undefined && secondsSince(readAt) >= 0 && secondsSince(readAt) < freshSeconds;
  const isUsable = () => keys !== undefined && secondsSince(readAt) < Math.max(freshSeconds, staleSeconds);

  /** Reads, unless that was tried a moment ago; one reading at a time, which all wait for. */
  async function readAgain() {
    if (reading === undefined && Math.abs(secondsSince(triedAt)) < cooldownSeconds) return;
    reading ??= read();
    await reading;
  }

  async function read() {
    const mine = { isWanted: true };
    const startedAt = clock().getTime();
    triedAt = startedAt;
    current = mine;
    try {
      const found = await client.readKeys();
      if (!mine.isWanted) return;
      keys = createLocalJWKSet(found.keys);
      readAt = startedAt;
      freshSeconds = Math.max(cooldownSeconds, Math.min(found.maxAgeSeconds ?? usualSeconds, longestSeconds));
      lastFault = undefined;
    } catch (fault) {
      if (!mine.isWanted) return;
      lastFault = fault instanceof Unavailable ? fault : new Unavailable('the keys cannot be read', { cause: fault });
      onFault(lastFault);
    } finally {
      if (mine.isWanted) reading = undefined;
    }
  }

  return {
    /**
     * The key that a token's header names, for `jwtVerify`. Rejects with `Unavailable` when it cannot be known, and with jose's
     * `JWKSNoMatchingKey` when the tenant has no such key.
     */
    async find(header, token) {
      if (!isFresh()) await readAgain();
      if (!isUsable()) throw lastFault ?? new Unavailable('there are no keys');
      try {
        return await keys(header, token);
      } catch (fault) {
        if (!(fault instanceof errors.JWKSNoMatchingKey)) throw fault;
      }
      await readAgain();
      // The key may be one that could not be read.
      if (lastFault !== undefined) throw lastFault;
      if (!isUsable()) throw new Unavailable('there are no keys');
      return keys(header, token);
    },

    /** A key was taken back: none is believed before they are read anew. What is on its way is from before. */
    forget() {
      if (current !== undefined) current.isWanted = false;
      keys = undefined;
      reading = undefined;
      triedAt = Number.NEGATIVE_INFINITY;
    },
  };
}
