/** A chain whose members were derived under different master keys, as while one is being replaced. */
import { createRefreshChain } from '#adapters/refresh_chain.ts';
import { hashOf, UnitOfWork } from '#adapters/unit_of_work.ts';
import { tenantId } from '#src/domain/tenant.ts';
import { systemClock } from '#src/foundation/clock.ts';
import { type Database, openDatabase } from '#src/storage/database.ts';
import { commitArtifacts } from '#src/storage/tables/artifacts.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/cluster.ts';
import { roleUrls } from '#test/support/sql.ts';

const [oldKey, newKey] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
const prefix = 'rt_';
const before = createRefreshChain({ keys: [oldKey], prefix });
const during = createRefreshChain({ keys: [newKey, oldKey], prefix });

let testDatabase: TestDatabase;
let database: Database;
const acme = tenantId('01900000-0000-7000-8000-000000000001');

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  const { app: appUrl, platform: platformUrl } = roleUrls(testDatabase);
  database = openDatabase({ appUrl, platformUrl, onFault: () => undefined });
});

afterAll(async () => {
  await database.close();
  await testDatabase.drop();
});

/** Stores these values as a chain: each but the last was used. */
async function storeChain(values: readonly string[]): Promise<void> {
  const expires_at = new Date(Date.now() + 60_000).toISOString();
  for (const value of values) {
    const row = { kind: 'RefreshToken', id: hashOf(value), payload: {}, expires_at };
    const nobody = { account_id: undefined, client_id: undefined, grant_id: undefined };
    const stored = { ...row, ...nobody, session_uid: undefined, user_code: undefined };
    const operations = [{ do: 'insert', ...stored } as const];
    await commitArtifacts(database.tenant(acme), { operations, events: [], now: new Date() });
    if (value === values.at(-1)) continue;
    const consume = { do: 'consume', kind: 'RefreshToken', id: hashOf(value) } as const;
    await commitArtifacts(database.tenant(acme), { operations: [consume], events: [], now: new Date() });
  }
}

const newUnit = (): UnitOfWork => new UnitOfWork({ tenant: database.tenant(acme), origin: {}, clock: systemClock });

describe('a chain of refresh tokens', () => {
  it('is derived: the same on every server, another for every value and key', () => {
    expect(before.successorOf('rt_a')).toBe(createRefreshChain({ keys: [oldKey], prefix }).successorOf('rt_a'));
    expect(before.successorOf('rt_a')).toMatch(/^rt_[A-Za-z0-9_-]{43}$/);
    expect(new Set(['rt_a', 'rt_b'].flatMap((value) => [before, during].map((c) => c.successorOf(value)))).size).toBe(
      4,
    );
  });

  it('is walked to its newest member, whichever master key made each', async () => {
    const second = before.successorOf('rt_walk');
    const third = during.successorOf(second);
    await storeChain(['rt_walk', second, third]);
    expect((await during.findSuccessor(newUnit(), 'rt_walk'))?.value).toBe(second);
    expect((await during.findNewest(newUnit(), 'rt_walk'))?.value).toBe(third);
  });

  it('cannot be walked on by a server that does not know the key: it finds none, and not an older one', async () => {
    const second = during.successorOf('rt_unknown');
    await storeChain(['rt_unknown', second]);
    expect(await before.findNewest(newUnit(), 'rt_unknown')).toBeUndefined();
  });

  it('that ended has no newest member', async () => {
    await storeChain(['rt_alone']);
    expect(await before.findNewest(newUnit(), 'rt_alone')).toBeUndefined();
    const longer = ['rt_long'];
    for (let step = 0; step < 70; step += 1) longer.push(before.successorOf(longer.at(-1) ?? ''));
    await storeChain(longer);
    expect(await before.findNewest(newUnit(), 'rt_long')).toBeUndefined();
    expect((await before.findNewest(newUnit(), longer[30] ?? ''))?.value).toBe(longer.at(-1));
  });

  it('needs a key', () => {
    expect(() => createRefreshChain({ keys: [], prefix })).toThrow('needs a key');
  });
});
