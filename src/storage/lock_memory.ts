/**
 * What one process remembers of counters that are locked, so that a flood on one of them does not become a flood of statements. Short,
 * because another process may have unlocked it, and bounded, because strangers choose what is in it.
 */
import type { TenantId } from '#src/domain/tenant.ts';
import type { CountedLimit, ExceededLimit } from './tables/sign_in_attempts.ts';

export interface LockMemory {
  /** The first of these that is known to be locked; undefined when the store has to be asked. */
  find(tenantId: TenantId, limits: readonly CountedLimit[], now: Date): ExceededLimit | undefined;
  remember(
    tenantId: TenantId,
    lock: { readonly limit: CountedLimit; readonly lockedUntil: Date; readonly now: Date },
  ): void;
  /** With the counters that are part of it. */
  forget(tenantId: TenantId, key: Buffer): void;
}

interface RememberedLock {
  readonly lockedUntil: Date;
  readonly partOf: string | undefined;
  readonly believedUntil: number;
}

/** How late an unlock in another process is heard of, and how often a flood on one counter asks its store. */
const believedMilliseconds = 2_000;
const defaultCapacity = 10_000;

/** Beyond `capacity` the oldest are forgotten: then the store is asked, as for everybody else. */
export function createLockMemory(capacity: number = defaultCapacity): LockMemory {
  const locks = new Map<string, RememberedLock>();
  return {
    find(tenantId, limits, now) {
      for (const [index, { key }] of limits.entries()) {
        const lock = locks.get(nameOf(tenantId, key));
        if (lock === undefined || lock.lockedUntil <= now || lock.believedUntil <= now.getTime()) continue;
        return { index, lockedUntil: lock.lockedUntil, began: false };
      }
      return undefined;
    },

    remember(tenantId, { limit, lockedUntil, now }) {
      const name = nameOf(tenantId, limit.key);
      const partOf = limit.partOf && nameOf(tenantId, limit.partOf);
      locks.delete(name);
      locks.set(name, { lockedUntil, partOf, believedUntil: now.getTime() + believedMilliseconds });
      const [oldest] = locks.keys();
      if (locks.size > capacity && oldest !== undefined) locks.delete(oldest);
    },

    forget(tenantId, key) {
      const name = nameOf(tenantId, key);
      for (const [other, { partOf }] of locks) if (other === name || partOf === name) locks.delete(other);
    },
  };
}

function nameOf(tenantId: TenantId, key: Buffer): string {
  return `${tenantId}:${key.toString('base64url')}`;
}
