/**
 * Counters of attempts, wherever they are kept: in Redis where there is one, in PostgreSQL otherwise and whenever Redis does not
 * answer, within the same request. Both count by the same limits, so a switch gives at most the allowance of the other store once
 * more; when neither can count, the fault rises and nobody is let through. Which counters an attempt has is for
 * domain/sign_in_throttle.ts.
 */
import type { TenantId } from '#src/domain/tenant.ts';
import type { TenantDatabase } from './database.ts';
import { createLockMemory } from './lock_memory.ts';
import type { RedisConnection } from './redis.ts';
import { createRedisCounters } from './redis_counters.ts';
import {
  type CountedLimit,
  type ExceededLimit,
  forgiveSignInAttempts,
  tryLimits,
  unlockSignInAttempts,
} from './tables/sign_in_attempts.ts';

/** `degraded`: there is a Redis, and it does not answer. */
export type CountersState = 'redis' | 'postgresql' | 'degraded';

export interface Counters {
  /** Counts one attempt on all of these, exactly, however many come at once; undefined when all are within their limits. */
  try(limits: readonly CountedLimit[], options: TryOptions): Promise<ExceededLimit | undefined>;
  /** After a success: clears one counter, if there is one that is the person's own, and gives the attempt back on the others. */
  forgive(attempt: Forgiven): Promise<void>;
  /** Forgets a counter and those that are part of it, in both stores. Other processes may remember a lock for some seconds. */
  unlock(counter: { readonly tenantId: TenantId; readonly key: Buffer }): Promise<void>;
  state(): Promise<CountersState>;
}

export interface TryOptions {
  readonly tenantId: TenantId;
  /** How long earlier locks make the next one longer. */
  readonly memorySeconds: number;
  readonly now: Date;
}

export interface Forgiven {
  readonly tenantId: TenantId;
  readonly cleared: CountedLimit | undefined;
  readonly returned: readonly CountedLimit[];
}

export interface CountersOptions {
  readonly tenant: (tenantId: TenantId) => TenantDatabase;
  readonly redis: RedisConnection | undefined;
}

export function createCounters({ tenant, redis }: CountersOptions): Counters {
  const inRedis = redis === undefined ? undefined : createRedisCounters(redis);
  const locked = createLockMemory();

  return {
    async try(limits, options) {
      const { tenantId, now } = options;
      const remembered = locked.find(tenantId, limits, now);
      if (remembered !== undefined) return remembered;
      const counted = await inRedis?.try(limits, options);
      const exceeded =
        counted?.outcome === 'done' ? counted.result : await tryLimits(tenant(tenantId), { limits, ...options });
      const limit = exceeded && limits[exceeded.index];
      if (exceeded !== undefined && limit !== undefined)
        locked.remember(tenantId, { limit, lockedUntil: exceeded.lockedUntil, now });
      return exceeded;
    },

    async forgive({ tenantId, cleared, returned }) {
      const forgiven = await inRedis?.forgive({ tenantId, cleared, returned });
      if (forgiven?.outcome === 'done') return;
      const keys = returned.map(({ key }) => key);
      await forgiveSignInAttempts(tenant(tenantId), { cleared: cleared?.key, returned: keys });
    },

    async unlock({ tenantId, key }) {
      locked.forget(tenantId, key);
      // In both: a lock that began while Redis was away is in the other one.
      await Promise.all([inRedis?.unlock({ tenantId, key }), unlockSignInAttempts(tenant(tenantId), key)]);
    },

    async state() {
      if (redis === undefined) return 'postgresql';
      return (await redis.isAvailable()) ? 'redis' : 'degraded';
    },
  };
}
