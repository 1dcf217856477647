/**
 * Counters of attempts in Redis, by rate-limiter-flexible: fixed windows that begin with the first attempt, each counted by a script
 * of the library, so that parallel attempts of any number of processes are counted exactly. A counter that goes over its limit gets a
 * value far beyond it for as long as the lock lasts. Windows and locks end by the clock of Redis. It answers `unavailable` and never
 * rejects; what then is for counters.ts.
 */
import type { Redis } from 'ioredis';
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { lockSeconds } from '#src/domain/sign_in_throttle.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { Forgiven, TryOptions } from './counters.ts';
import type { RedisAnswer, RedisConnection } from './redis.ts';
import type { CountedLimit, ExceededLimit } from './tables/sign_in_attempts.ts';

export interface RedisCounters {
  try(limits: readonly CountedLimit[], options: TryOptions): Promise<RedisAnswer<ExceededLimit | undefined>>;
  forgive(attempt: Forgiven): Promise<RedisAnswer<void>>;
  unlock(counter: { readonly tenantId: TenantId; readonly key: Buffer }): Promise<RedisAnswer<void>>;
}

/** Added to the limit while it is locked: attempts that are given back meanwhile must not bring it below. */
const locked = 1_000_000;
const attempts = 'poort:attempts';
const earlierLocks = 'poort:locks';
const parts = 'poort:parts';

export function createRedisCounters(redis: RedisConnection): RedisCounters {
  const limiters = new Map<string, RateLimiterRedis>();

  /** One for each pair of numbers: the library keeps no counts in it. */
  function limiterOf(storeClient: Redis, keyPrefix: string, points: number, duration: number): RateLimiterRedis {
    const name = `${keyPrefix} ${points} ${duration}`;
    const limiter = limiters.get(name) ?? new RateLimiterRedis({ storeClient, keyPrefix, points, duration });
    limiters.set(name, limiter);
    return limiter;
  }

  const counterOf = (client: Redis, { maximum, windowSeconds }: CountedLimit): RateLimiterRedis =>
    limiterOf(client, attempts, maximum, windowSeconds);

  async function lock(client: Redis, limit: CountedLimit, { tenantId, memorySeconds }: TryOptions): Promise<number> {
    const name = nameOf(tenantId, limit.key);
    const earlier = await limiterOf(client, earlierLocks, locked, memorySeconds).penalty(name);
    const seconds = lockSeconds(limit, countIn(earlier));
    await counterOf(client, limit).set(name, limit.maximum + locked, seconds);
    if (limit.partOf !== undefined) {
      const whole = `${parts}:${nameOf(tenantId, limit.partOf)}`;
      await client.multi().sadd(whole, name).expire(whole, memorySeconds).exec();
    }
    return seconds * 1000;
  }

  async function tryInRedis(client: Redis, limits: readonly CountedLimit[], options: TryOptions) {
    const over = (index: number, remainingMilliseconds: number, began: boolean): ExceededLimit => ({
      index,
      lockedUntil: new Date(options.now.getTime() + remainingMilliseconds),
      began,
    });
    // As in migrations/0020: while one is locked, nothing is counted at all.
    const before = await Promise.all(
      limits.map((limit) => counterOf(client, limit).get(nameOf(options.tenantId, limit.key))),
    );
    for (const [index, { maximum }] of limits.entries()) {
      const found = before[index];
      if (found && countIn(found) > maximum) return over(index, found.msBeforeNext, false);
    }
    for (const [index, limit] of limits.entries()) {
      const counted = await consume(counterOf(client, limit), nameOf(options.tenantId, limit.key));
      const count = countIn(counted);
      if (count <= limit.maximum) continue;
      // Exactly one attempt finds itself the first beyond the limit.
      if (count !== limit.maximum + 1) return over(index, counted.msBeforeNext, false);
      return over(index, await lock(client, limit, options), true);
    }
    return undefined;
  }

  return {
    try: (limits, options) => redis.use((client) => tryInRedis(client, limits, options)),

    forgive: ({ tenantId, cleared, returned }) =>
      redis.use(async (client) => {
        if (cleared !== undefined) await client.del(...keysOf(nameOf(tenantId, cleared.key)));
        await Promise.all(returned.map((limit) => counterOf(client, limit).reward(nameOf(tenantId, limit.key))));
      }),

    unlock: ({ tenantId, key }) =>
      redis.use(async (client) => {
        const whole = nameOf(tenantId, key);
        const names = [whole, ...(await client.smembers(`${parts}:${whole}`))];
        await client.del(...names.flatMap(keysOf), `${parts}:${whole}`);
      }),
  };
}

/** Over the limit is a rejection to the library, and an answer here. */
async function consume(limiter: RateLimiterRedis, name: string): Promise<RateLimiterRes> {
  try {
    return await limiter.consume(name);
  } catch (refusal) {
    if (refusal instanceof RateLimiterRes) return refusal;
    throw refusal;
  }
}

/** Throws when Redis said something that is no count: comparing with it would let everybody through. */
function countIn({ consumedPoints, msBeforeNext }: RateLimiterRes): number {
  if (Number.isSafeInteger(consumedPoints) && Number.isFinite(msBeforeNext)) return consumedPoints;
  throw new Error('Redis answered with something that is no count');
}

function nameOf(tenantId: TenantId, key: Buffer): string {
  return `${tenantId}:${key.toString('base64url')}`;
}

function keysOf(name: string): readonly string[] {
  return [`${attempts}:${name}`, `${earlierLocks}:${name}`];
}
