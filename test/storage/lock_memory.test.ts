import { randomUUID } from 'node:crypto';
import { tenantId } from '#src/domain/tenant.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import { createLockMemory } from '#src/storage/lock_memory.ts';
import type { CountedLimit } from '#src/storage/tables/sign_in_attempts.ts';

const acme = tenantId(randomUUID());
const globex = tenantId(randomUUID());
const now = new Date('2031-05-06T07:08:09Z');
const later = (seconds: number): Date => new Date(now.getTime() + seconds * 1000);
const limit = (name: string, partOf?: string): CountedLimit => ({
  key: sha256(name),
  partOf: partOf === undefined ? undefined : sha256(partOf),
  maximum: 5,
  windowSeconds: 900,
  firstLockSeconds: 900,
  longestLockSeconds: 1800,
});

describe('the memory of locks', () => {
  it('knows a lock for two seconds, and no longer than it lasts', () => {
    const memory = createLockMemory();
    memory.remember(acme, { limit: limit('long'), lockedUntil: later(900), now });
    memory.remember(acme, { limit: limit('short'), lockedUntil: later(1), now });
    const found = (name: string, at: Date) => memory.find(acme, [limit('other'), limit(name)], at);
    expect(found('long', later(1.9))).toEqual({ index: 1, lockedUntil: later(900), began: false });
    expect(found('long', later(2))).toBeUndefined();
    expect(found('short', later(0.9))).toBeDefined();
    expect(found('short', later(1))).toBeUndefined();
  });

  it('is each tenant’s own', () => {
    const memory = createLockMemory();
    memory.remember(acme, { limit: limit('a'), lockedUntil: later(900), now });
    expect(memory.find(globex, [limit('a')], now)).toBeUndefined();
    memory.forget(globex, sha256('a'));
    expect(memory.find(acme, [limit('a')], now)).toBeDefined();
  });

  it('forgets a counter together with what is part of it', () => {
    const memory = createLockMemory();
    for (const each of [limit('account'), limit('pair', 'account'), limit('stranger', 'other')])
      memory.remember(acme, { limit: each, lockedUntil: later(900), now });
    memory.forget(acme, sha256('account'));
    expect(memory.find(acme, [limit('account'), limit('pair')], now)).toBeUndefined();
    expect(memory.find(acme, [limit('stranger')], now)).toBeDefined();
  });

  it('is bounded: the oldest goes, and what was just seen stays', () => {
    const memory = createLockMemory(3);
    for (const name of ['a', 'b', 'c', 'a', 'd'])
      memory.remember(acme, { limit: limit(name), lockedUntil: later(900), now });
    const known = ['a', 'b', 'c', 'd'].filter((name) => memory.find(acme, [limit(name)], now) !== undefined);
    expect(known).toEqual(['a', 'c', 'd']);
  });
});
