import { randomUUID } from 'node:crypto';
import { LOCK_MEMORY_SECONDS } from '#src/domain/sign_in_throttle.ts';
import { type TenantId, tenantId } from '#src/domain/tenant.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import type { Counters } from '#src/storage/counters.ts';
import { type Database, openDatabase } from '#src/storage/database.ts';
import { openRedis, type RedisConnection } from '#src/storage/redis.ts';
import type { CountedLimit } from '#src/storage/tables/sign_in_attempts.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/cluster.ts';
import { type RedisServer, startRedisServer } from '#test/support/redis_server.ts';
import { connect, roleUrls, type SqlConnection } from '#test/support/sql.ts';

let testDatabase: TestDatabase;
let redisServer: RedisServer;
let superuser: SqlConnection;

beforeAll(async () => {
  [testDatabase, redisServer] = await Promise.all([createTestDatabase(), startRedisServer()]);
  superuser = await connect(testDatabase.superuserUrl);
});

afterAll(async () => {
  await superuser.end();
  await Promise.all([testDatabase.drop(), redisServer.stop()]);
});

/** Counters as one process has them: connections and a memory of their own. */
interface Process {
  readonly database: Database;
  readonly counters: Counters;
  readonly redis: RedisConnection | undefined;
}

interface Store {
  open(): Process;
  /** The time that has passed by the clock that this store goes by. */
  pass(seconds: number): Promise<void>;
}

let now = new Date('2031-05-06T07:08:09Z');

function openProcess(redis?: RedisConnection): Process {
  const { app, platform } = roleUrls(testDatabase);
  const onFault = (fault: unknown): never => {
    throw fault;
  };
  const database = openDatabase({ appUrl: app, platformUrl: platform, redis, onFault });
  return { database, counters: database.counters, redis };
}

const postgresql: Store = {
  open: () => openProcess(),
  async pass(seconds) {
    now = new Date(now.getTime() + seconds * 1000);
  },
};

const redis: Store = {
  open() {
    const onLost = (reason: string): never => {
      throw new Error(reason);
    };
    // What is counted must be counted here: a slow machine is no reason to go elsewhere.
    return openProcess(
      openRedis({ url: redisServer.url, onLost, onBack: () => undefined, timeLimitMilliseconds: 30_000 }),
    );
  },
  async pass(seconds) {
    now = new Date(now.getTime() + seconds * 1000);
    await redisServer.passTime(seconds);
  },
};

const limit = (numbers: Partial<CountedLimit> = {}): CountedLimit => ({
  key: sha256(randomUUID()),
  partOf: undefined,
  maximum: 5,
  windowSeconds: 900,
  firstLockSeconds: 900,
  longestLockSeconds: 1800,
  ...numbers,
});

describe.each([
  ['PostgreSQL', postgresql],
  ['Redis', redis],
])('counters in %s', (name, store) => {
  let tenant: TenantId;
  let one: Process;
  let other: Process;

  beforeEach(async () => {
    tenant = tenantId(randomUUID());
    [one, other] = [store.open(), store.open()];
  });

  afterEach(async () => {
    for (const { database, redis: connection } of [one, other]) {
      await database.close();
      connection?.close();
    }
  });

  const attempt = (limits: readonly CountedLimit[], at: Process = one) =>
    at.counters.try(limits, { tenantId: tenant, memorySeconds: LOCK_MEMORY_SECONDS, now });
  const isAllowed = async (limits: readonly CountedLimit[], at?: Process) => (await attempt(limits, at)) === undefined;
  const attemptsUntilLocked = async (limits: readonly CountedLimit[]): Promise<number> => {
    for (let allowed = 0; ; allowed += 1) if (!(await isAllowed(limits))) return allowed;
  };
  const remainingSeconds = async (limits: readonly CountedLimit[], at?: Process): Promise<number> => {
    const exceeded = await attempt(limits, at);
    return exceeded === undefined ? 0 : (exceeded.lockedUntil.getTime() - now.getTime()) / 1000;
  };

  it('are where they should be', async () => {
    expect(await one.counters.state()).toBe(name === 'Redis' ? 'redis' : 'postgresql');
    const pair = limit();
    await attempt([pair]);
    const { rows } = await superuser.query('select from sign_in_attempts where key_hash = $1', [pair.key]);
    expect(rows).toHaveLength(name === 'Redis' ? 0 : 1);
  });

  it('are exact when a hundred attempts come at once, to two processes', async () => {
    const limits = [limit(), limit({ maximum: 50 })];
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, (_, index) => attempt(limits, index % 2 === 0 ? one : other)),
    );
    expect(outcomes.filter((exceeded) => exceeded === undefined)).toHaveLength(5);
    expect(outcomes.filter((exceeded) => exceeded?.began === true)).toHaveLength(1);
    // The wider counter has the five that were let through, and no more: it has room for forty-five.
    expect(await attemptsUntilLocked([limits[1] ?? limit()])).toBe(45);
  });

  it('are exact when a hundred different callers try one account', async () => {
    const account = limit({ maximum: 50 });
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, (_, index) => attempt([limit(), account], index % 2 === 0 ? one : other)),
    );
    expect(outcomes.filter((exceeded) => exceeded === undefined)).toHaveLength(50);
    expect(outcomes.filter((exceeded) => exceeded?.began === true).map((exceeded) => exceeded?.index)).toEqual([1]);
  });

  it('are not reset when a process ends', async () => {
    const pair = limit();
    for (let count = 0; count < 4; count += 1) await attempt([pair]);
    await one.database.close();
    one.redis?.close();
    one = store.open();
    expect(await attemptsUntilLocked([pair])).toBe(1);
  });

  it('end with their window, which begins with the first attempt and is not prolonged by later ones', async () => {
    const pair = limit();
    await attempt([pair]);
    await store.pass(890);
    for (let count = 0; count < 4; count += 1) expect(await isAllowed([pair])).toBe(true);
    await store.pass(11);
    expect(await attemptsUntilLocked([pair])).toBe(5);
  });

  it('lock for the first lock from the attempt that was too many, however long the window still was', async () => {
    const pair = limit();
    await attempt([pair]);
    await store.pass(890);
    await attemptsUntilLocked([pair]);
    expect(await remainingSeconds([pair])).toBeCloseTo(900, 0);
    await store.pass(880);
    expect(await isAllowed([pair])).toBe(false);
    await store.pass(21);
    expect(await isAllowed([pair])).toBe(true);
  });

  it('are not locked longer by whoever tries on', async () => {
    const pair = limit();
    await attemptsUntilLocked([pair]);
    for (let minute = 1; minute <= 14; minute += 1) {
      await store.pass(60);
      expect(await remainingSeconds([pair], minute % 2 === 0 ? one : other)).toBeCloseTo(900 - minute * 60, -1);
    }
    await store.pass(61);
    expect(await isAllowed([pair])).toBe(true);
  });

  it('lock for twice as long the next time that day, up to the longest, and begin anew after a day', async () => {
    const pair = limit({ firstLockSeconds: 600, longestLockSeconds: 1800 });
    for (const seconds of [600, 1200, 1800, 1800]) {
      expect(await attemptsUntilLocked([pair])).toBe(5);
      expect(await remainingSeconds([pair])).toBeCloseTo(seconds, 0);
      await store.pass(seconds + 1);
    }
    await store.pass(LOCK_MEMORY_SECONDS);
    await attemptsUntilLocked([pair]);
    expect(await remainingSeconds([pair])).toBeCloseTo(600, 0);
  });

  it('count an attempt that one of them refuses on none after it, and one that finds a lock on none at all', async () => {
    const [pair, account] = [limit({ maximum: 3 }), limit({ maximum: 8 })];
    for (let count = 0; count < 20; count += 1) await attempt([pair, account]);
    // Three of the account's eight are gone; a locked account costs the caller nothing of theirs.
    expect(await attemptsUntilLocked([account])).toBe(5);
    const owner = limit();
    for (let count = 0; count < 20; count += 1) expect(await isAllowed([owner, account], other)).toBe(false);
    expect(await attemptsUntilLocked([owner])).toBe(5);
  });

  it('say of a lock to one attempt only that it began', async () => {
    const pair = limit();
    const told: boolean[] = [];
    for (let count = 0; count < 20; count += 1) {
      const exceeded = await attempt([pair], count % 2 === 0 ? one : other);
      if (exceeded !== undefined) told.push(exceeded.began);
    }
    expect(told).toEqual([true, ...Array(14).fill(false)]);
  });

  it('are cleared where they are the person’s own, and only given back where they are shared', async () => {
    const [pair, account] = [limit({ maximum: 4 }), limit({ maximum: 10 })];
    for (let count = 0; count < 4; count += 1) expect(await isAllowed([pair, account])).toBe(true);
    await one.counters.forgive({ tenantId: tenant, cleared: pair, returned: [account] });
    expect(await attemptsUntilLocked([pair])).toBe(4);
    expect(await attemptsUntilLocked([account])).toBe(7);
  });

  it('stay locked when an attempt is given back meanwhile', async () => {
    const account = limit();
    await attemptsUntilLocked([account]);
    for (let count = 0; count < 10; count += 1)
      await one.counters.forgive({ tenantId: tenant, cleared: undefined, returned: [account] });
    await store.pass(60);
    expect(await attempt([account], other)).toMatchObject({ began: false });
    expect(await remainingSeconds([account], one)).toBeCloseTo(840, 0);
  });

  it('are unlocked together with what is part of them, and with the memory of earlier locks', async () => {
    const account = limit();
    const pairs = [limit({ partOf: account.key }), limit({ partOf: account.key })];
    const stranger = limit({ partOf: sha256('somebody else') });
    for (const one of [account, stranger, ...pairs]) await attemptsUntilLocked([one]);
    await one.counters.unlock({ tenantId: tenant, key: account.key });
    for (const unlocked of [account, ...pairs]) {
      expect(await attemptsUntilLocked([unlocked])).toBe(5);
      expect(await remainingSeconds([unlocked])).toBeCloseTo(900, 0);
    }
    expect(await isAllowed([stranger])).toBe(false);
  });

  it('are unlocked for other processes too, within some seconds', async () => {
    const account = limit();
    await attemptsUntilLocked([account]);
    expect(await isAllowed([account], other)).toBe(false);
    await one.counters.unlock({ tenantId: tenant, key: account.key });
    await store.pass(3);
    expect(await isAllowed([account], other)).toBe(true);
  });

  it('are each tenant’s own', async () => {
    const account = limit();
    await attemptsUntilLocked([account]);
    const elsewhere = { tenantId: tenantId(randomUUID()), memorySeconds: LOCK_MEMORY_SECONDS, now };
    expect(await one.counters.try([account], elsewhere)).toBeUndefined();
    await one.counters.unlock({ tenantId: elsewhere.tenantId, key: account.key });
    expect(await isAllowed([account])).toBe(false);
  });

  it('do not make a flood of statements of a flood on a locked counter, and ask again after some seconds', async () => {
    const account = limit();
    await attemptsUntilLocked([account]);
    const asked = await workOf(name, one);
    for (let count = 0; count < 500; count += 1) expect(await isAllowed([account])).toBe(false);
    expect(await workOf(name, one)).toBe(asked);
    await store.pass(3);
    const afterwards = await workOf(name, one);
    for (let count = 0; count < 500; count += 1) expect(await isAllowed([account])).toBe(false);
    expect((await workOf(name, one)) - afterwards).toBeLessThanOrEqual(1);
  });
});

/** What a process has asked of its store: round trips, or scripts and reads that Redis has run. */
async function workOf(name: string, { database }: Process): Promise<number> {
  if (name === 'PostgreSQL') return database.roundTrips();
  const stats = await redisServer.admin.info('commandstats');
  return Number(/^cmdstat_get:calls=(\d+)/m.exec(stats)?.[1] ?? 0);
}
