import { randomUUID } from 'node:crypto';
import { LOCK_MEMORY_SECONDS } from '#src/domain/sign_in_throttle.ts';
import { tenantId } from '#src/domain/tenant.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import { type Database, openDatabase } from '#src/storage/database.ts';
import { openRedis, type RedisConnection } from '#src/storage/redis.ts';
import type { CountedLimit } from '#src/storage/tables/sign_in_attempts.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/cluster.ts';
import { type RedisServer, startRedisServer } from '#test/support/redis_server.ts';
import { eventually, roleUrls } from '#test/support/sql.ts';

let testDatabase: TestDatabase;
let server: RedisServer;
let redis: RedisConnection;
let database: Database;
let told: string[];
let reasons: string[];
let now = new Date('2031-05-06T07:08:09Z');

beforeAll(async () => {
  testDatabase = await createTestDatabase();
});

afterAll(() => testDatabase.drop());

beforeEach(async () => {
  server = await startRedisServer();
  [told, reasons] = [[], []];
});

afterEach(async () => {
  await database.close();
  redis.close();
  await server.stop();
});

/** @param pauseMilliseconds How long Redis is left alone after a fault. */
function open(pauseMilliseconds: number, url = server.url): void {
  const onLost = (reason: string): void => {
    told.push('lost');
    reasons.push(reason);
  };
  const onBack = (): void => void told.push('back');
  redis = openRedis({ url, onLost, onBack, pauseMilliseconds });
  const { app, platform } = roleUrls(testDatabase);
  database = openDatabase({ appUrl: app, platformUrl: platform, redis, onFault: () => undefined });
}

const tenant = tenantId(randomUUID());
const newCounter = (): CountedLimit => ({
  key: sha256(randomUUID()),
  partOf: undefined,
  maximum: 5,
  windowSeconds: 900,
  firstLockSeconds: 900,
  longestLockSeconds: 1800,
});

/** Each some seconds after the one before, so that no memory of the process answers. */
async function isAllowed(limit: CountedLimit): Promise<boolean> {
  now = new Date(now.getTime() + 3_000);
  return (
    (await database.counters.try([limit], { tenantId: tenant, memorySeconds: LOCK_MEMORY_SECONDS, now })) === undefined
  );
}

async function allowedOf(tries: number, limit: CountedLimit): Promise<number> {
  let allowed = 0;
  for (let count = 0; count < tries; count += 1) if (await isAllowed(limit)) allowed += 1;
  return allowed;
}

const isCountedInRedis = async (): Promise<boolean> => (await server.admin.keys('poort:attempts:*')).length > 0;

const minute = 60_000;

/**
 * What happens to a Redis, and what ends it. `keeps`: its counters are there again afterwards. `whole`: it is the server that is
 * unwell, not one value in it.
 */
const mishaps: readonly {
  readonly name: string;
  readonly begin: (limit: CountedLimit) => Promise<unknown>;
  readonly end: (limit: CountedLimit) => Promise<unknown>;
  readonly keeps: boolean;
  readonly whole: boolean;
}[] = [
  { name: 'is killed', begin: () => server.kill(), end: () => server.startAgain(), keeps: false, whole: true },
  { name: 'hangs', begin: async () => server.hang(), end: async () => server.goOn(), keeps: true, whole: true },
  {
    name: 'has become a replica that only reads',
    begin: () => server.admin.replicaof('127.0.0.1', 1),
    end: () => server.admin.replicaof('NO', 'ONE'),
    keeps: true,
    whole: true,
  },
  {
    name: 'has no memory left',
    begin: () => server.admin.config('SET', 'maxmemory', '1'),
    end: () => server.admin.config('SET', 'maxmemory', '0'),
    keeps: true,
    whole: true,
  },
  {
    name: 'answers with something else than a count',
    begin: (limit) => server.admin.set(nameInRedis(limit), 'as much as you like'),
    end: (limit) => server.admin.del(nameInRedis(limit)),
    keeps: false,
    whole: false,
  },
  {
    name: 'has another kind of value there',
    begin: async (limit) => {
      await server.admin.del(nameInRedis(limit));
      await server.admin.lpush(nameInRedis(limit), '1');
    },
    end: (limit) => server.admin.del(nameInRedis(limit)),
    keeps: false,
    whole: false,
  },
];

const nameInRedis = ({ key }: CountedLimit): string => `poort:attempts:${tenant}:${key.toString('base64url')}`;

describe.each(mishaps)('a Redis that $name', ({ begin, end, keeps, whole }) => {
  it('is replaced by PostgreSQL within the same request, which is told once, and taken again when it is well', async () => {
    open(0);
    const limit = newCounter();
    expect(await allowedOf(3, limit)).toBe(3);
    expect(await isCountedInRedis()).toBe(true);
    await begin(limit);
    // The allowance of the other store, once, and not one more.
    expect(await allowedOf(8, limit)).toBe(5);
    // Whoever looks after it may look as often as they like: it is told once, not at every look.
    for (let look = 0; look < 3; look += 1) if (whole) expect(await database.counters.state()).toBe('degraded');
    expect(told).toEqual(['lost']);
    await end(limit);
    await eventually('Redis is taken again', () => redis.isAvailable());
    const after = newCounter();
    await eventually('Redis counts again', async () => {
      await isAllowed(after);
      return (await server.admin.exists(nameInRedis(after))) === 1;
    });
    expect(told.at(-1)).toBe('back');
    // Around a switch at most twice the limit: what was counted here before still is.
    if (keeps) expect(await allowedOf(4, limit)).toBe(2);
  }, 30_000);
});

describe('a Redis that does not answer', () => {
  it('costs one request its moment, and the next ones nothing until the pause is over', async () => {
    open(minute);
    await isAllowed(newCounter());
    server.hang();
    const limit = newCounter();
    const startedAt = performance.now();
    expect(await allowedOf(40, limit)).toBe(5);
    // Were each to wait its half a second, this would take twenty.
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    expect(told).toEqual(['lost']);
    server.goOn();
  });

  it('is not taken for lost because this process was too busy to read what it said', async () => {
    open(minute);
    await isAllowed(newCounter());
    const limit = newCounter();
    const asked = isAllowed(limit);
    await new Promise((resolve) => setImmediate(resolve));
    const until = performance.now() + 1_500;
    while (performance.now() < until);
    expect(await asked).toBe(true);
    expect(told).toEqual([]);
  });

  it('is not waited for by many at once, and they are counted exactly', async () => {
    open(minute);
    await isAllowed(newCounter());
    server.hang();
    const limit = newCounter();
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => isAllowed(limit)));
    expect(outcomes.filter(Boolean)).toHaveLength(5);
    expect(told).toEqual(['lost']);
    server.goOn();
  });

  it('was never there: attempts are counted all the same', async () => {
    await server.kill();
    open(minute);
    expect(await database.counters.state()).toBe('degraded');
    expect(await allowedOf(8, newCounter())).toBe(5);
    expect(told).toEqual(['lost']);
  });

  it('or does not let us in is the same', async () => {
    await server.admin.config('SET', 'requirepass', 'another');
    open(minute, server.url.replace('127.0.0.1', ':our-secret@127.0.0.1'));
    expect(await allowedOf(8, newCounter())).toBe(5);
    expect(await database.counters.state()).toBe('degraded');
    expect(told).toEqual(['lost']);
    expect(reasons).toEqual([expect.stringContaining('WRONGPASS')]);
    expect(reasons.join()).not.toContain('our-secret');
  });

  it('is unlocked in PostgreSQL, and nobody waits for it', async () => {
    open(minute);
    const limit = newCounter();
    server.hang();
    await allowedOf(8, limit);
    await database.counters.unlock({ tenantId: tenant, key: limit.key });
    expect(await allowedOf(8, limit)).toBe(5);
    server.goOn();
  });

  it('never opens the door: without PostgreSQL as well, nothing is allowed', async () => {
    open(minute);
    await server.kill();
    await database.close();
    await expect(isAllowed(newCounter())).rejects.toThrow();
    redis.close();
    open(minute);
  });
});
