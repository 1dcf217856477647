import type { TenantId } from '#src/domain/tenant.ts';
import { type Database, LostRace, openDatabase } from '#src/storage/database.ts';
import { eventRow } from '#src/storage/event_log.ts';
import { type ArtifactOperation, commitArtifacts, findArtifact } from '#src/storage/tables/artifacts.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/cluster.ts';
import { startSilentNetwork } from '#test/support/silent_network.ts';
import { connect, eventually, roleUrls, type SqlConnection, terminateProductConnections } from '#test/support/sql.ts';

const acme = '01900000-0000-7000-8000-00000000acde' as TenantId;
const now = new Date('2031-05-04T03:02:01.000Z');
const later = new Date('2031-05-04T04:02:01.000Z').toISOString();

let testDatabase: TestDatabase;
let superuser: SqlConnection;
let database: Database;
let faults: unknown[] = [];

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  superuser = await connect(testDatabase.superuserUrl);
});

beforeEach(() => {
  faults = [];
  database = open();
});

afterEach(() => database.close());

afterAll(async () => {
  await superuser.end();
  await testDatabase.drop();
});

function open({
  appUrl,
  platformUrl,
  otherUrls = [],
}: {
  appUrl?: string;
  platformUrl?: string;
  otherUrls?: readonly { app: string; platform: string }[];
} = {}): Database {
  const { app, platform } = roleUrls(testDatabase);
  return openDatabase({
    appUrl: appUrl ?? app,
    platformUrl: platformUrl ?? platform,
    otherUrls,
    readConnections: 2,
    writeConnections: 2,
    onFault: (fault) => void faults.push(fault),
  });
}

const whoAmI = { name: 'who_am_i', text: 'select $1::uuid as tenant, pg_backend_pid() as pid' };

function code(id: string, payload: Readonly<Record<string, unknown>> = {}): ArtifactOperation {
  return {
    do: 'insert',
    kind: 'AuthorizationCode',
    id,
    payload,
    account_id: undefined,
    client_id: undefined,
    grant_id: undefined,
    session_uid: undefined,
    user_code: undefined,
    expires_at: later,
  };
}

function commit(...operations: readonly ArtifactOperation[]): Promise<void> {
  return commitArtifacts(database.tenant(acme), { operations, events: [], now });
}

let made = 0;
function newId(): string {
  made += 1;
  return made.toString(16).padStart(64, '0');
}

async function isStored(id: string): Promise<boolean> {
  const found = await findArtifact(database.tenant(acme), {
    kind: 'AuthorizationCode',
    idHash: Buffer.from(id, 'hex'),
    withAccount: false,
  });
  return found !== undefined;
}

async function countEvents(): Promise<number> {
  const { rows } = await superuser.query<{ n: number }>('select count(*)::int as n from events');
  return rows[0]?.n ?? Number.NaN;
}

describe('a single-use value', () => {
  it('is consumed once; the second time is a lost race that names its kind', async () => {
    const id = newId();
    await commit(code(id));
    const consume = { do: 'consume', kind: 'AuthorizationCode', id } as const;
    await commit(consume);
    const second = commit(consume);
    await expect(second).rejects.toBeInstanceOf(LostRace);
    await expect(second).rejects.toMatchObject({ kind: 'AuthorizationCode' });
  });

  it('is consumed by exactly one of many at the same time', async () => {
    const id = newId();
    await commit(code(id));
    const attempts = Array.from({ length: 16 }, () => commit({ do: 'consume', kind: 'AuthorizationCode', id }));
    const outcomes = await Promise.allSettled(attempts);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(LostRace);
    }
  });

  it('with a grace is used again for the same successor, and never for another', async () => {
    const [id, successor, other] = [newId(), newId(), newId()];
    await commit(code(id));
    const using = (made: string, grace_seconds = 10) =>
      commitArtifacts(database.tenant(acme), {
        operations: [
          { do: 'consume', kind: 'AuthorizationCode', id, grace_seconds, successor: made, while_unused: false },
          { ...code(made), do: 'insert_if_absent' } as ArtifactOperation,
        ],
        events: [],
        now,
      });
    // Also by two in one commit, where the successor is not written when the second one asks.
    await Promise.all([using(successor), using(successor)]);
    await using(successor);
    await expect(using(other)).rejects.toBeInstanceOf(LostRace);
    expect(await isStored(other)).toBe(false);
    await expect(using(successor, 0)).rejects.toBeInstanceOf(LostRace);
    await superuser.query("update artifacts set consumed_at = consumed_at - interval '11 seconds'");
    await expect(using(successor)).rejects.toBeInstanceOf(LostRace);
  });

  it('refused in a commit of many takes nobody with it', async () => {
    const used = newId();
    await commit(code(used));
    await commit({ do: 'consume', kind: 'AuthorizationCode', id: used });
    const fresh = Array.from({ length: 6 }, newId);
    const before = await countEvents();
    const requests = fresh.map((id, index) =>
      commitArtifacts(database.tenant(acme), {
        operations: index % 2 === 0 ? [code(id)] : [{ do: 'consume', kind: 'AuthorizationCode', id: used }, code(id)],
        events: [eventRow({ type: 'token.issued', outcome: 'success' }, {}, now)],
        now,
      }),
    );
    const outcomes = await Promise.allSettled(requests);
    expect(outcomes.map(({ status }) => status)).toEqual(
      fresh.map((_, index) => (index % 2 === 0 ? 'fulfilled' : 'rejected')),
    );
    expect(await Promise.all(fresh.map(isStored))).toEqual(fresh.map((_, index) => index % 2 === 0));
    expect(await countEvents()).toBe(before + 3);
  });

  it('that was never there, or is past its time, is a lost race too', async () => {
    const consume = { do: 'consume', kind: 'AuthorizationCode', id: newId() } as const;
    await expect(commit(consume)).rejects.toBeInstanceOf(LostRace);
    await commit({ ...code(consume.id), expires_at: now.toISOString() } as ArtifactOperation);
    await expect(commit(consume)).rejects.toBeInstanceOf(LostRace);
  });

  it('takes everything of its request with it when the race is lost', async () => {
    const [used, token] = [newId(), newId()];
    await commit(code(used));
    const consume = { do: 'consume', kind: 'AuthorizationCode', id: used } as const;
    await commit(consume);
    const eventsBefore = await countEvents();
    const event = eventRow({ type: 'token.issued', outcome: 'success' }, {}, now);
    const request = commitArtifacts(database.tenant(acme), {
      operations: [code(token), consume],
      events: [event],
      now,
    });
    await expect(request).rejects.toBeInstanceOf(LostRace);
    expect(await isStored(token)).toBe(false);
    expect(await countEvents()).toBe(eventsBefore);
  });

  it('does not hide a fault of another kind', async () => {
    const id = newId();
    await commit(code(id));
    await expect(commit(code(id))).rejects.toMatchObject({ code: '23505' });
    await expect(commit(code('00'))).rejects.toMatchObject({ code: '23514' });
  });
});

describe('a read', () => {
  it('is answered although its connection was ended before', async () => {
    const before = await database.tenant(acme).read<{ pid: number }>(whoAmI, []);
    expect(await terminateProductConnections(testDatabase.superuserUrl)).toBe(1);
    const after = await database.tenant(acme).read<{ pid: number }>(whoAmI, []);
    expect(after).toEqual([{ tenant: acme, pid: expect.any(Number) }]);
    expect(after[0]?.pid).not.toBe(before[0]?.pid);
  });

  it('is answered although its connection is ended while it waits, once', async () => {
    const slow = { name: 'slow', text: 'select $1::uuid as tenant, pg_advisory_xact_lock($2::int)::text as locked' };
    await superuser.query('select pg_advisory_lock(41)');
    const waiting = database.tenant(acme).read<{ tenant: string }>(slow, [41]);
    await eventually('the read waits for the lock', async () => (await waitingForLock()) === 1);
    await terminateProductConnections(testDatabase.superuserUrl, "wait_event_type = 'Lock'");
    await eventually('it was sent again', async () => (await waitingForLock()) === 1);
    await superuser.query('select pg_advisory_unlock(41)');
    expect(await waiting).toMatchObject([{ tenant: acme }]);
  });

  it('that is wrong is not sent again', async () => {
    const before = database.roundTrips();
    const wrong = { name: 'wrong', text: 'select 1 / 0, $1::uuid' };
    await expect(database.tenant(acme).read(wrong, [])).rejects.toMatchObject({ code: '22012' });
    expect(database.roundTrips() - before).toBe(1);
  });

  it('does not suffer from the wrong one in front of it', async () => {
    const wrong = { name: 'wrong', text: 'select 1 / 0, $1::uuid' };
    const answers = await Promise.allSettled(
      Array.from({ length: 20 }, (_, turn) => database.tenant(acme).read(turn % 2 === 0 ? wrong : whoAmI, [])),
    );
    const { fulfilled, rejected } = Object.groupBy(answers, ({ status }) => status);
    expect([fulfilled?.length, rejected?.length]).toEqual([10, 10]);
  });
});

async function waitingForLock(): Promise<number> {
  const { rows } = await superuser.query<{ n: number }>(
    `select count(*)::int as n from pg_stat_activity
      where datname = current_database() and application_name = 'poort' and wait_event_type = 'Lock'`,
  );
  return rows[0]?.n ?? 0;
}

describe('a write', () => {
  it('works on the next connection after its own was ended while idle, and the process lives', async () => {
    await database.tenant(acme).write(whoAmI, []);
    expect(await terminateProductConnections(testDatabase.superuserUrl)).toBe(1);
    await eventually('the loss was noticed', () => faults.length > 0);
    expect(await database.tenant(acme).write(whoAmI, [])).toMatchObject([{ tenant: acme }]);
  });

  it('whose connection is ended while it waits is refused, never repeated, and leaves nothing', async () => {
    const id = newId();
    const locker = await connect(testDatabase.superuserUrl);
    await locker.query('begin');
    await locker.query('lock table artifacts in access exclusive mode');
    const waiting = commit(code(id));
    waiting.catch(() => undefined);
    await eventually('the write waits for the lock', async () => (await waitingForLock()) === 1);
    await terminateProductConnections(testDatabase.superuserUrl, "wait_event_type = 'Lock'");
    await locker.end();
    await expect(waiting).rejects.toThrow(/terminat/);
    expect(await isStored(id)).toBe(false);
  });
});

describe('a value that cannot be serialised', () => {
  const circular: Record<string, unknown> = {};
  circular['self'] = circular;
  const impossible: readonly (readonly [string, unknown])[] = [
    ['a circle', circular],
    ['a bigint in JSON', { count: 1n }],
  ];

  it.each(impossible)('writes nothing: %s', async (_name, value) => {
    const before = await countRoles();
    const insert = `insert into roles (tenant_id, id, name, permissions, created_at)
                    values ($1, gen_random_uuid(), 'half', '{}', coalesce($2::json ->> 'none', now()::text)::timestamptz)`;
    await expect(database.tenant(acme).write({ name: 'insert_role', text: insert }, [value])).rejects.toThrow();
    const both = database.tenant(acme).transaction(async (transaction) => {
      await transaction.query('select 1');
      await transaction.query(insert, [acme, value]);
    });
    await expect(both).rejects.toThrow();
    expect(await countRoles()).toBe(before);
    // And whoever comes next on that connection finds it in order.
    for (let turn = 0; turn < 4; turn += 1) {
      expect(await database.tenant(acme).write(whoAmI, [])).toMatchObject([{ tenant: acme }]);
      expect(await database.tenant(acme).read(whoAmI, [])).toMatchObject([{ tenant: acme }]);
    }
  });

  it('as a value of a read breaks nobody else’s read on the same connection', async () => {
    const impossibleRead = database.tenant(acme).read({ name: 'echo', text: 'select $1::uuid, $2::json' }, [circular]);
    const others = Promise.all(Array.from({ length: 6 }, () => database.tenant(acme).read(whoAmI, [])));
    await expect(impossibleRead).rejects.toThrow();
    expect(await others).toHaveLength(6);
  });

  it('a NUL byte, which PostgreSQL cannot keep, is refused and writes nothing', async () => {
    const id = newId();
    await expect(commit(code(id, { scope: 'a\0b' }), code(newId()))).rejects.toMatchObject({
      code: expect.stringMatching(/^22/),
    });
    expect(await isStored(id)).toBe(false);
  });
});

async function countRoles(): Promise<number> {
  const { rows } = await superuser.query<{ n: number }>('select count(*)::int as n from roles');
  return rows[0]?.n ?? Number.NaN;
}

describe('a transaction', () => {
  const insert = `insert into events (tenant_id, id, occurred_at, type, outcome)
                  values ($1, gen_random_uuid(), now(), 'test.happened', 'success')`;

  it('happens whole', async () => {
    const before = await countEvents();
    await database.tenant(acme).transaction(async (transaction) => {
      await transaction.query(insert, [acme]);
      await transaction.query(insert, [acme]);
    });
    expect(await countEvents()).toBe(before + 2);
  });

  it.each<readonly [string, (query: (text: string) => Promise<unknown>) => Promise<unknown>]>([
    ['a statement is wrong', (query) => query('select 1 / 0')],
    ['its work gives up', () => Promise.reject(new Error('changed my mind'))],
    ['a wrong statement is caught by its work', (query) => query('select 1 / 0').catch(() => query('select 1'))],
  ])('does not happen at all when %s', async (_name, goWrong) => {
    const before = await countEvents();
    const transaction = database.tenant(acme).transaction(async (work) => {
      await work.query(insert, [acme]);
      await goWrong((text) => work.query(text));
    });
    await expect(transaction).rejects.toThrow();
    expect(await countEvents()).toBe(before);
  });

  it('gives its result, and its connection back', async () => {
    for (let turn = 0; turn < 5; turn += 1) {
      const result = await database.tenant(acme).transaction(async (transaction) => {
        const [row] = await transaction.query<{ turn: number }>('select $1::int as turn', [turn]);
        return row?.turn;
      });
      expect(result).toBe(turn);
    }
  });
});

describe('round trips', () => {
  it('are counted: one for a read, a write and a question of the platform', async () => {
    const tenant = database.tenant(acme);
    expect(database.roundTrips()).toBe(0);
    await tenant.read(whoAmI, []);
    expect(database.roundTrips()).toBe(1);
    await tenant.write(whoAmI, []);
    expect(database.roundTrips()).toBe(2);
    await database.platform.query('select 1');
    expect(database.roundTrips()).toBe(3);
    await tenant.transaction((transaction) => transaction.query('select 1'));
    // Begin with the tenant, the statement, commit.
    expect(database.roundTrips()).toBe(6);
  });
});

describe('announcements', () => {
  const announce = (item: string): Promise<unknown> => superuser.query("select pg_notify('poort_changes', $1)", [item]);

  it('are heard, missed ones are admitted, and after an interruption they are heard again', async () => {
    const heard: string[] = [];
    let interruptions = 0;
    expect(database.isListening()).toBe(false);
    await database.listen({
      onChange: (payload) => void heard.push(payload),
      onInterrupted: () => {
        interruptions += 1;
      },
    });
    expect(database.isListening()).toBe(true);
    const interruptionsAtStart = interruptions;
    await announce('first');
    await eventually('the first is heard', () => heard.includes('first'));

    expect(await terminateProductConnections(testDatabase.superuserUrl)).toBe(1);
    await eventually('the interruption is noticed', () => !database.isListening());
    expect(interruptions).toBe(interruptionsAtStart + 1);

    await eventually('it listens again', () => database.isListening());
    // What was said meanwhile is lost, and the listener is told so before anything new.
    expect(interruptions).toBe(interruptionsAtStart + 2);
    await announce('second');
    await eventually('the second is heard', () => heard.includes('second'));
    expect(heard).toEqual(['first', 'second']);
    expect(faults.length).toBeGreaterThan(0);
  });

  it('are not believed while the network swallows them without a word, and are heard again afterwards', async () => {
    const network = await startSilentNetwork(roleUrls(testDatabase).app);
    const other = open({ appUrl: network.url });
    try {
      await other.listen({ onChange: () => undefined, onInterrupted: () => undefined });
      expect(other.isListening()).toBe(true);
      network.swallow(true);
      await eventually('the silence is noticed', () => !other.isListening());
      network.swallow(false);
      await eventually('it listens again', () => other.isListening());
    } finally {
      network.swallow(false);
      await other.close();
      await network.close();
    }
  });

  it('are not believed any more once the database is closed', async () => {
    const other = open();
    await other.listen({ onChange: () => undefined, onInterrupted: () => undefined });
    await other.close();
    expect(other.isListening()).toBe(false);
    await expect(other.tenant(acme).read(whoAmI, [])).rejects.toThrow(/closed/);
  });

  it('leave no connection behind when the database is closed while it begins to listen', async () => {
    const other = open();
    const listening = other.listen({ onChange: () => undefined, onInterrupted: () => undefined });
    await Promise.all([other.close(), listening]);
    expect(other.isListening()).toBe(false);
    await eventually('its connection is gone', async () => {
      const { rows } = await superuser.query(
        `select pid from pg_stat_activity where datname = current_database() and query like 'listen %'`,
      );
      return rows.length === 0;
    });
  });
});

describe('the password of a role', () => {
  const wrong = (url: string): string => {
    const other = new URL(url);
    other.password = 'that-of-another-master-key';
    return other.href;
  };

  it('may be the one that comes from any of the master keys, on every kind of connection', async () => {
    const { app, platform } = roleUrls(testDatabase);
    const urls = { appUrl: wrong(app), platformUrl: wrong(platform) };
    const changing = open({ ...urls, otherUrls: [{ app, platform }] });
    const tenant = changing.tenant(acme);
    const ask = (): Promise<readonly (readonly object[])[]> =>
      Promise.all([
        ...Array.from({ length: 3 }, () => tenant.read(whoAmI, [])),
        ...Array.from({ length: 3 }, () => tenant.write(whoAmI, [])),
        ...Array.from({ length: 3 }, () => changing.platform.query('select current_user as name')),
        tenant.transaction((transaction) => transaction.query('select current_user as name')),
      ]);
    expect((await ask()).map((rows) => rows.length)).toEqual(Array.from({ length: 10 }, () => 1));
    await changing.listen({ onChange: () => undefined, onInterrupted: () => undefined });
    expect(changing.isListening()).toBe(true);
    expect(await changing.platform.exclusively(1, async () => 'worked')).toBe('worked');
    await changing.close();
    expect(faults).toEqual([]);
  });

  it('that comes from none of them is refused', async () => {
    const { app, platform } = roleUrls(testDatabase);
    const urls = { appUrl: wrong(app), platformUrl: wrong(platform) };
    const locked = open({ ...urls, otherUrls: [{ app: wrong(app), platform: wrong(platform) }] });
    await expect(locked.tenant(acme).read(whoAmI, [])).rejects.toMatchObject({ code: '28P01' });
    await expect(locked.tenant(acme).write(whoAmI, [])).rejects.toMatchObject({ code: '28P01' });
    await expect(locked.platform.query('select 1')).rejects.toMatchObject({ code: '28P01' });
    await locked.close();
  });
});

describe('work under a lock', () => {
  const lock = 4711;

  it('is done by one of several, and by the next when the first is done or dies', async () => {
    const other = open();
    const [first, second] = await Promise.all([
      database.platform.exclusively(lock, async () => other.platform.exclusively(lock, async () => 'second')),
      database.platform.exclusively(lock + 1, async () => 'elsewhere'),
    ]);
    expect([first, second]).toEqual([undefined, 'elsewhere']);
    expect(await other.platform.exclusively(lock, async () => 'second')).toBe('second');

    await database.platform.exclusively(lock, async () => {
      await terminateProductConnections(testDatabase.superuserUrl, "query like '%pg_try_advisory_lock%'");
      expect(await other.platform.exclusively(lock, async () => 'second')).toBe('second');
    });
    await other.close();
    expect(faults).not.toEqual([]);
  });

  it('that fails gives the lock back', async () => {
    const failing = database.platform.exclusively(lock, () => Promise.reject(new Error('failed')));
    await expect(failing).rejects.toThrow('failed');
    expect(await database.platform.exclusively(lock, async () => 'worked')).toBe('worked');
  });
});
