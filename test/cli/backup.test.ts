import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTenant } from '#src/flows/tenants/manage_tenants.ts';
import { createSealer } from '#src/foundation/sealing.ts';
import { Secret } from '#src/foundation/secret.ts';
import { backUp } from '#src/storage/backup.ts';
import { listMigrations, migrate } from '#src/storage/migrate.ts';
import { restore } from '#src/storage/restore.ts';
import { findIsolationFaults } from '#test/support/catalogue.ts';
import { createTestSealer, type TestDatabase, testMasterKey } from '#test/support/cluster.ts';
import { readContents } from '#test/support/contents.ts';
import { createEmptyDatabase } from '#test/support/empty_database.ts';
import { describeWithPostgres15, type ScratchCluster, startPostgres15 } from '#test/support/postgres_15.ts';
import { roleUrls, withConnection } from '#test/support/sql.ts';
import { freePort, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, createUserAgent, exchangeCode, refresh } from '#test/support/user_agent.ts';
import { createTestTenant, newPerson, type TestTenant } from '#test/support/world.ts';
import { besideServer, callPoort, type Installation, startPoort } from './poort_process.ts';

const sealer = createTestSealer();
const now = new Date('2026-11-25T10:00:00Z');

let server: TestServer;
let operator: Installation;
let folder: string;
let acme: TestTenant;
let file: string;

beforeAll(async () => {
  server = await startTestServer();
  operator = await besideServer(server);
  folder = await mkdtemp(join(tmpdir(), 'poort-backups-'));
  acme = await createTestTenant(server, 'acme');
  // Somebody of both: their row is nobody's alone.
  await newPerson(server, acme, await createTestTenant(server, 'globex'));
  // More than one frame, also compressed.
  await withConnection(server.database.superuserUrl, (superuser) =>
    superuser.query(
      `insert into tenant_logos (tenant_id, version, media_type, body, updated_at) values ($1, $2, 'image/png', $3, now())`,
      [acme.id, '0'.repeat(32), randomBytes(150_000)],
    ),
  );
  file = join(folder, 'installation.backup');
  await backUp({ ownerUrl: server.database.ownerUrl, sealer, file, now });
});

afterAll(async () => {
  await server.close();
  for (const directory of [folder, operator.dataDirectory]) await rm(directory, { recursive: true, force: true });
});

async function inEmptyDatabase(work: (database: TestDatabase) => Promise<void>): Promise<void> {
  const database = await createEmptyDatabase();
  try {
    await work(database);
  } finally {
    await database.drop();
  }
}

async function answerOf(installation: Installation, commandLine: readonly string[]) {
  const { code, output } = await callPoort(installation, [...commandLine, '--json']);
  return { code, json: JSON.parse(output) as Readonly<Record<string, unknown>> };
}

const codeOf = (json: Readonly<Record<string, unknown>>) => (json['error'] as { code?: string } | undefined)?.code;

describe('a backup drill', () => {
  it('brings everybody back in another data directory, where they sign in and go on with the tokens they had', async () => {
    const { web } = acme.clients;
    const extra = { scope: 'openid offline_access', prompt: 'consent' };
    const authorized = await authorize(createUserAgent(server.origin), { tenant: acme, client: web, extra });
    const { json: tokens } = await exchangeCode(acme, web, authorized);
    const made = join(folder, 'drill.backup');
    const backup = await answerOf(operator, ['backup', made]);
    expect(backup).toMatchObject({ code: 0, json: { file: made, migrations: (await listMigrations()).length } });

    const dataDirectory = await mkdtemp(join(tmpdir(), 'poort-restored-'));
    const port = await freePort();
    const origin = `http://localhost:${port}`;
    const restored: Installation = {
      dataDirectory,
      environment: { POORT_MASTER_KEY: testMasterKey, POORT_PORT: String(port), POORT_DEMO: 'off' },
    };
    try {
      const looked = await answerOf(restored, ['restore', made, '--dry-run']);
      expect(looked).toMatchObject({ code: 0, json: { dry_run: true, restored: false } });
      const brought = await answerOf(restored, ['restore', made]);
      expect(brought).toMatchObject({ code: 0, json: { restored: true, rows: backup.json['rows'], migrated: [] } });
      expect(codeOf((await answerOf(restored, ['restore', made])).json)).toBe('not_empty');

      const serving = await startPoort(restored, ['serve'], 'Poort serves');
      try {
        const there = { ...acme, issuer: `${origin}/t/acme` };
        const again = await authorize(createUserAgent(origin), { tenant: there, client: web });
        const signedIn = await exchangeCode(there, web, again);
        expect(signedIn.status).toBe(200);
        const renewed = await refresh(there, web, String(tokens['refresh_token']));
        expect(renewed.status).toBe(200);
        const doctor = await answerOf(restored, ['doctor']);
        expect(
          (doctor.json['checks'] as readonly { name: string; state: string }[]).filter(
            ({ state }) => state === 'failed',
          ),
        ).toEqual([]);
      } finally {
        expect(await serving.end('SIGTERM')).toBe(0);
      }
    } finally {
      await rm(dataDirectory, { recursive: true, force: true });
    }
  });
});

describe('a backup', () => {
  it('comes back with the same rows, sequences, partitions and isolation', async () => {
    await inEmptyDatabase(async (database) => {
      // A day that no migration makes any more.
      await withConnection(server.database.ownerUrl, (owner) =>
        owner.query("select device_telemetry_day('2026-01-01')"),
      );
      const made = join(folder, 'same.backup');
      await backUp({ ownerUrl: server.database.ownerUrl, sealer, file: made, now });
      const report = await restore({ ownerUrl: database.ownerUrl, sealer, file: made });
      expect(report.createdAt).toBe(now.toISOString());
      const [before, after] = await Promise.all(
        [server.database, database].map((one) => readContents(one.superuserUrl)),
      );
      expect(Object.keys(before?.tables ?? {}).length).toBeGreaterThan(40);
      expect(after).toEqual(before);
      await withConnection(database.superuserUrl, async (superuser) => {
        expect(await findIsolationFaults(superuser)).toEqual([]);
        const { rows } = await superuser.query('select from pg_trigger where not tgisinternal and tgenabled <> $1', [
          'O',
        ]);
        expect(rows).toEqual([]);
      });
    });
  });

  it('shows one moment, whatever is written while it is made', async () => {
    const made = join(folder, 'moment.backup');
    const writes: Promise<unknown>[] = [];
    await backUp({
      ownerUrl: server.database.ownerUrl,
      sealer,
      file: made,
      now,
      onTable: ({ table }) => {
        if (writes.length === 0)
          writes.push(createTenant(server.context, { slug: `late-${table.length}`, name: 'Late' }));
      },
    });
    await Promise.all(writes);
    await inEmptyDatabase(async (database) => {
      await restore({ ownerUrl: database.ownerUrl, sealer, file: made });
      await withConnection(database.superuserUrl, async (superuser) => {
        const { rows } = await superuser.query<{ slug: string }>("select slug from tenants where slug like 'late%'");
        expect(rows).toEqual([]);
      });
    });
  });

  it('lets nobody else see what it sees, while it is made and afterwards', async () => {
    const seen: Promise<readonly object[]>[] = [];
    const urls = roleUrls(server.database);
    await backUp({
      ownerUrl: server.database.ownerUrl,
      sealer,
      file: join(folder, 'alone.backup'),
      now,
      onTable: () => {
        for (const url of [urls.owner, urls.app])
          seen.push(withConnection(url, async (other) => (await other.query('select id from users')).rows));
      },
    });
    for (const rows of await Promise.all(seen)) expect(rows).toEqual([]);
    await withConnection(server.database.superuserUrl, async (superuser) => {
      expect(await findIsolationFaults(superuser)).toEqual([]);
    });
  });

  it('can be read by its owner alone, and tells nothing to who has no master key', async () => {
    const { mode } = await stat(file);
    expect(mode & 0o777).toBe(0o600);
    const bytes = await readFile(file);
    const [header = ''] = bytes.toString('latin1').split('\n');
    expect(JSON.parse(header)).toMatchObject({ format: 'poort-backup', version: 1, created_at: now.toISOString() });
    for (const word of ['acme', acme.person.email, 'argon2id', 'tenants', testMasterKey])
      expect(bytes.includes(word)).toBe(false);
  });

  it('is never written over another file, and leaves none behind when it fails', async () => {
    const taken = join(folder, 'taken.backup');
    await writeFile(taken, 'mine');
    expect(codeOf((await answerOf(operator, ['backup', taken])).json)).toBe('file_exists');
    expect(await readFile(taken, 'utf8')).toBe('mine');
    await inEmptyDatabase(async ({ ownerUrl }) => {
      await expect(backUp({ ownerUrl, sealer, file: join(folder, 'nothing.backup'), now })).rejects.toThrow(
        'never migrated',
      );
    });
    await withConnection(server.database.superuserUrl, async (superuser) => {
      await superuser.query(
        'create table notes (tenant_id uuid); alter table notes enable row level security, owner to poort_owner; alter table notes force row level security; create policy odd on notes using (tenant_id is null)',
      );
      const partial = await answerOf(operator, ['backup', join(folder, 'partial.backup')]);
      await superuser.query('drop table notes');
      expect(codeOf(partial.json)).toBe('cannot_be_read_whole');
    });
    expect((await readdir(folder)).filter((name) => /^(nothing|partial)|\.part$/.test(name))).toEqual([]);
  });
});

describe('a restore', () => {
  it('refuses a file that was changed, cut, or put together from two, and touches nothing', async () => {
    const whole = await readFile(file);
    const start = whole.indexOf('\n') + 1;
    const other = join(folder, 'other.backup');
    await backUp({ ownerUrl: server.database.ownerUrl, sealer, file: other, now });
    const otherBytes = await readFile(other);
    const flipped = (at: number): Buffer => {
      const copy = Buffer.from(whole);
      copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
      return copy;
    };
    const bad: readonly Buffer[] = [
      flipped(start),
      flipped(start + 3),
      flipped(start + 4),
      flipped(whole.length - 1),
      flipped(Math.floor((start + whole.length) / 2)),
      whole.subarray(0, start),
      whole.subarray(0, whole.length - 1),
      whole.subarray(0, start + 4 + 65_536 + 16),
      Buffer.concat([whole, whole.subarray(start)]),
      Buffer.concat([whole, Buffer.from('x')]),
      Buffer.concat([otherBytes.subarray(0, otherBytes.indexOf('\n') + 1), whole.subarray(start)]),
      Buffer.from(whole.toString('latin1').replace('2026-11-25', '2026-11-24'), 'latin1'),
    ];
    await inEmptyDatabase(async ({ ownerUrl, superuserUrl }) => {
      for (const bytes of bad) {
        const damaged = join(folder, 'damaged.backup');
        await writeFile(damaged, bytes);
        await expect(restore({ ownerUrl, sealer, file: damaged })).rejects.toMatchObject({ fault: 'damaged' });
      }
      expect((await readContents(superuserUrl)).tables).toEqual({});
    });
  });

  it('refuses what is no backup, another format, another master key, and what is not there', async () => {
    const text = (await readFile(file)).toString('latin1');
    await inEmptyDatabase(async ({ ownerUrl, superuserUrl }) => {
      const tried = async (bytes: Buffer | string, keys = sealer): Promise<unknown> => {
        const odd = join(folder, 'odd.backup');
        await writeFile(odd, bytes);
        return restore({ ownerUrl, sealer: keys, file: odd }).then(
          () => 'restored',
          (fault: unknown) => (fault as { fault?: string }).fault,
        );
      };
      expect(await tried('')).toBe('not_a_backup');
      expect(await tried('{"format":"something else"}\n')).toBe('not_a_backup');
      expect(await tried(`{"format":"poort-backup"${' '.repeat(10_000)}`)).toBe('not_a_backup');
      expect(await tried(Buffer.from(text.replace('"version":1', '"version":2'), 'latin1'))).toBe('newer_format');
      const others = createSealer([new Secret(Buffer.alloc(32, 7).toString('base64'))]);
      expect(await tried(Buffer.from(text, 'latin1'), others)).toBe('other_master_key');
      await expect(restore({ ownerUrl, sealer, file: join(folder, 'nowhere') })).rejects.toMatchObject({
        fault: 'unreadable',
      });
      expect((await readContents(superuserUrl)).tables).toEqual({});
    });
  });

  it('opens a backup that an older master key of the list encrypted', async () => {
    const both = createSealer([new Secret(Buffer.alloc(32, 7).toString('base64')), new Secret(testMasterKey)]);
    await inEmptyDatabase(async ({ ownerUrl }) => {
      const report = await restore({ ownerUrl, sealer: both, file, dryRun: true });
      expect(report.rows).toBeGreaterThan(0);
    });
  });

  it('refuses a database in which there is anything, also when it was only migrated', async () => {
    const before = await readContents(server.database.superuserUrl);
    const { ownerUrl } = server.database;
    await expect(restore({ ownerUrl, sealer, file })).rejects.toMatchObject({ reason: 'not_empty' });
    expect(await readContents(server.database.superuserUrl)).toEqual(before);
    await inEmptyDatabase(async (database) => {
      await withConnection(database.ownerUrl, (owner) => owner.query('create table mine (id integer)'));
      await expect(restore({ ownerUrl: database.ownerUrl, sealer, file })).rejects.toMatchObject({
        reason: 'not_empty',
      });
    });
    await inEmptyDatabase(async (database) => {
      await migrate({ ownerUrl: database.ownerUrl, sealer });
      await expect(restore({ ownerUrl: database.ownerUrl, sealer, file })).rejects.toMatchObject({
        reason: 'not_empty',
      });
    });
  });

  it('refuses what a newer version made, and names it', async () => {
    await withConnection(server.database.superuserUrl, (superuser) =>
      superuser.query(
        "insert into schema_migrations (name, batch, migration_time) values ('9999_later.sql', 1, now())",
      ),
    );
    const newer = join(folder, 'newer.backup');
    await backUp({ ownerUrl: server.database.ownerUrl, sealer, file: newer, now });
    await withConnection(server.database.superuserUrl, (superuser) =>
      superuser.query("delete from schema_migrations where name = '9999_later.sql'"),
    );
    await inEmptyDatabase(async ({ ownerUrl, superuserUrl }) => {
      await expect(restore({ ownerUrl, sealer, file: newer })).rejects.toThrow('9999_later.sql');
      expect((await readContents(superuserUrl)).tables).toEqual({});
    });
  });
});

describeWithPostgres15('a backup of PostgreSQL 15', () => {
  let cluster: ScratchCluster;

  beforeAll(async () => {
    cluster = await startPostgres15();
  });

  afterAll(() => cluster.stop());

  it('comes back on 15, and one of 18 does too', async () => {
    const [first, second] = [await cluster.createDatabase('first'), await cluster.createDatabase('second')];
    await restore({ ownerUrl: first.ownerUrl, sealer, file });
    const again = join(folder, 'fifteen.backup');
    await backUp({ ownerUrl: first.ownerUrl, sealer, file: again, now });
    await restore({ ownerUrl: second.ownerUrl, sealer, file: again });
    expect(await readContents(second.superuserUrl)).toEqual(await readContents(first.superuserUrl));
  });
});
