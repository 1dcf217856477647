/**
 * This file owns how often somebody may come: so many requests in so many seconds, counted in this process. It does not decide who
 * somebody is.
 */
import { isIPv6 } from 'node:net';
import { LRUCache } from 'lru-cache';

/**
 * Counters in this process, as many as `maximum`.
 * @param {{ maximum: number }} options
 */
export function createMemoryStore({ maximum }) {
  const counters = new LRUCache({ max: maximum });
  return {
    /** Counts one more, and tells how many there are in this window and when (in milliseconds) it ends. */
    hit(key, { windowSeconds, now }) {
      const found = counters.get(key);
      const isRunning = found !== undefined && now < found.resetAt && found.resetAt - now <= windowSeconds * 1_000;
      const counter = isRunning ? found : { count: 0, resetAt: now + windowSeconds * 1_000 };
      counter.count += 1;
      counters.set(key, counter);
      return { count: counter.count, resetAt: counter.resetAt };
    },
  };
}

/** Whom to count: the key or the subject that was found, otherwise the address. */
export function nameOfCaller({ auth, address }) {
  if (auth === undefined) return `address ${networkOf(address)}`;
  return JSON.stringify([auth.tokenKind, auth.tenant, auth.clientId, auth.subject]);
}

/** A home has a whole /64 of IPv6: counting single addresses would count nothing. */
function networkOf(address) {
  if (!isIPv6(address) || /^::ffff:\d/i.test(address)) return address.replace(/^::ffff:/i, '');
  const [head = '', tail = ''] = address.replace(/%.*$/, '').split('::');
  const [left, right] = [head, tail].map((part) => part.split(':').filter((group) => group !== ''));
  const filled = address.includes('::')
    ? [...left, ...Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0'), ...right]
    : left;
  return `${filled
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
