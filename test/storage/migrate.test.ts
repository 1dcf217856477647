import { createSealer } from '#src/foundation/sealing.ts';
import { Secret } from '#src/foundation/secret.ts';
import { listMigrations, MigrationRefused, migrate } from '#src/storage/migrate.ts';
import { findIsolationFaults } from '#test/support/catalogue.ts';
import { createTestSealer, testMasterKey } from '#test/support/cluster.ts';
import { createEmptyDatabase } from '#test/support/empty_database.ts';
import { describeWithPostgres15, type ScratchCluster, startPostgres15 } from '#test/support/postgres_15.ts';
import { connect, roleUrls, type SqlConnection, withConnection } from '#test/support/sql.ts';
import { startTestServer } from '#test/support/test_server.ts';
import {
  authorize,
  callEndpoint,
  createUserAgent,
  exchangeCode,
  introspect,
  refresh,
} from '#test/support/user_agent.ts';
import { createTestTenant } from '#test/support/world.ts';

interface EmptyDatabase {
  readonly ownerUrl: string;
  readonly superuserUrl: string;
  drop(): Promise<void>;
}

const sealer = createTestSealer();

async function inEmptyDatabase(
  work: (database: EmptyDatabase, superuser: SqlConnection) => Promise<void>,
): Promise<void> {
  const database = await createEmptyDatabase();
  const superuser = await connect(database.superuserUrl);
  try {
    await work(database, superuser);
  } finally {
    await superuser.end();
    await database.drop();
  }
}

async function ledger(superuser: SqlConnection): Promise<readonly string[]> {
  const { rows } = await superuser.query<{ name: string }>('select name from schema_migrations order by id');
  return rows.map((row) => row.name);
}

/** Everything there is, as the catalogue tells it. */
async function schema(superuser: SqlConnection): Promise<string> {
  const { rows } = await superuser.query<{ text: string }>(
    `select string_agg(format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default), ', '
                       order by table_name, ordinal_position) as text
       from information_schema.columns where table_schema = 'public' and table_name not like 'schema\\_migrations%'`,
  );
  return rows[0]?.text ?? '';
}

describe('a migration', () => {
  it('brings an empty database to this version, and a second one changes nothing', async () => {
    await inEmptyDatabase(async ({ ownerUrl }, superuser) => {
      const all = await listMigrations();
      const first = await migrate({ ownerUrl, sealer });
      expect(first).toEqual({
        applied: all,
        owner: { name: 'poort_owner', superuser: false, bypassesRowLevelSecurity: false },
      });
      expect(await ledger(superuser)).toEqual(all);
      expect(await findIsolationFaults(superuser)).toEqual([]);

      const before = await schema(superuser);
      expect(before).toContain('artifacts');
      expect((await migrate({ ownerUrl, sealer })).applied).toEqual([]);
      expect(await schema(superuser)).toBe(before);
      expect(await ledger(superuser)).toEqual(all);
    });
  });

  it('is done once when four processes start at the same moment', async () => {
    await inEmptyDatabase(async ({ ownerUrl }, superuser) => {
      const all = await listMigrations();
      const outcomes = await Promise.all(Array.from({ length: 4 }, () => migrate({ ownerUrl, sealer })));
      const applied = outcomes.map((outcome) => outcome.applied.length).sort((a, b) => b - a);
      expect(applied).toEqual([all.length, 0, 0, 0]);
      expect(await ledger(superuser)).toEqual(all);
    });
  });

  it('refuses a database that a newer version has migrated, and names what it does not know', async () => {
    await inEmptyDatabase(async ({ ownerUrl }, superuser) => {
      await migrate({ ownerUrl, sealer });
      await superuser.query(
        `insert into schema_migrations (name, batch, migration_time) values ('9999_later.sql', 2, now())`,
      );
      const refused = migrate({ ownerUrl, sealer });
      await expect(refused).rejects.toBeInstanceOf(MigrationRefused);
      await expect(refused).rejects.toThrow('9999_later.sql');
    });
  });

  it('refuses a master key that this database was not made with, before it touches anything', async () => {
    await inEmptyDatabase(async (database) => {
      await migrate({ ownerUrl: database.ownerUrl, sealer });
      const stranger = createSealer([new Secret(Buffer.alloc(32, 7).toString('base64'))]);
      const refused = migrate({ ownerUrl: database.ownerUrl, sealer: stranger });
      await expect(refused).rejects.toBeInstanceOf(MigrationRefused);
      await expect(refused).rejects.toThrow('another master key');
      // The serving roles still have the passwords that running servers know.
      await withConnection(roleUrls(database).app, (connection) => connection.query('select 1'));
    });
  });

  it('begins although a process that was killed left the lock of the ledger behind', async () => {
    await inEmptyDatabase(async ({ ownerUrl }, superuser) => {
      // As knex makes them, before it runs the first file.
      await withConnection(ownerUrl, (owner) =>
        owner.query(`
          create table schema_migrations (id serial primary key, name varchar(255), batch integer, migration_time timestamptz);
          create table schema_migrations_lock (index serial primary key, is_locked integer);
          insert into schema_migrations_lock (is_locked) values (1)`),
      );
      const all = await listMigrations();
      expect((await migrate({ ownerUrl, sealer })).applied).toEqual(all);
      expect(await ledger(superuser)).toEqual(all);
      const { rows } = await superuser.query('select is_locked from schema_migrations_lock');
      expect(rows).toEqual([{ is_locked: 0 }]);
    });
  });

  it('one file of which fails leaves nothing of any file, and can be done again', async () => {
    await inEmptyDatabase(async ({ ownerUrl }, superuser) => {
      // In the way of a table that the fourth file makes.
      await superuser.query('create table events (id int)');
      await expect(migrate({ ownerUrl, sealer })).rejects.toThrow(/events/);
      expect(await ledger(superuser)).toEqual([]);
      expect(await schema(superuser)).toBe('events.id integer YES ');
      await superuser.query('drop table events');
      expect((await migrate({ ownerUrl, sealer })).applied).toEqual(await listMigrations());
      expect(await findIsolationFaults(superuser)).toEqual([]);
    });
  });

  it('of two databases of one cluster lets both be served by the same roles', async () => {
    await inEmptyDatabase(async (one) => {
      await inEmptyDatabase(async (other) => {
        await Promise.all([one, other].map(({ ownerUrl }) => migrate({ ownerUrl, sealer })));
        for (const database of [one, other]) {
          for (const url of [roleUrls(database).app, roleUrls(database).platform]) {
            await withConnection(url, async (connection) => {
              const { rows } = await connection.query('select count(*)::int as tenants from tenants');
              expect(rows).toEqual([{ tenants: 0 }]);
            });
          }
        }
      });
    });
  });

  it('lets nobody else into the database', async () => {
    await inEmptyDatabase(async ({ ownerUrl, superuserUrl }, superuser) => {
      await migrate({ ownerUrl, sealer });
      const { rows } = await superuser.query(
        `select has_database_privilege('public', current_database(), 'connect') as connect,
                has_schema_privilege('public', 'public', 'usage') as usage`,
      );
      expect(rows).toEqual([{ connect: false, usage: false }]);
      const wrong = new URL(superuserUrl);
      wrong.username = 'poort_app';
      wrong.password = 'a guess';
      await expect(connect(wrong.href)).rejects.toMatchObject({ code: '28P01' });
    });
  });
});

describeWithPostgres15('on PostgreSQL 15', () => {
  let cluster: ScratchCluster;

  beforeAll(async () => {
    cluster = await startPostgres15();
  }, 60_000);

  afterAll(() => cluster.stop());

  it('a migration isolates every tenant', async () => {
    const { ownerUrl, superuserUrl } = await cluster.createDatabase('isolated');
    const all = await listMigrations();
    expect((await migrate({ ownerUrl, sealer })).applied).toEqual(all);
    await withConnection(superuserUrl, async (superuser) => {
      const { rows } = await superuser.query(`select current_setting('server_version_num')::int / 10000 as major`);
      expect(rows).toEqual([{ major: 15 }]);
      expect(await findIsolationFaults(superuser)).toEqual([]);
    });
    expect((await migrate({ ownerUrl, sealer })).applied).toEqual([]);
  });

  it('a master key in front of the old one changes the passwords of the roles', async () => {
    const { ownerUrl } = await cluster.createDatabase('rekeyed');
    await migrate({ ownerUrl, sealer });
    await withConnection(roleUrls({ ownerUrl }).app, (connection) => connection.query('select 1'));
    const keys = { old: new Secret(testMasterKey), other: new Secret(Buffer.alloc(32, 7).toString('base64')) };
    await migrate({ ownerUrl, sealer: createSealer([keys.other, keys.old]) });
    await expect(connect(roleUrls({ ownerUrl }).app)).rejects.toMatchObject({ code: '28P01' });
    await migrate({ ownerUrl, sealer: createSealer([keys.old, keys.other]) });
    await withConnection(roleUrls({ ownerUrl }).app, (connection) => connection.query('select 1'));
  });

  it('a person signs in, and their tokens are introspected, refreshed and revoked', async () => {
    const { ownerUrl } = await cluster.createDatabase('journey');
    const server = await startTestServer({ environment: { POORT_DATABASE_URL: ownerUrl } });
    try {
      const acme = await createTestTenant(server, 'acme');
      const { web } = acme.clients;
      const tokens = await exchangeCode(
        acme,
        web,
        await authorize(createUserAgent(server.origin), { tenant: acme, client: web }),
      );
      expect(tokens.status).toBe(200);
      const accessToken = String(tokens.json['access_token']);
      expect((await introspect(acme, web, accessToken)).json).toMatchObject({ active: true, sub: acme.person.id });
      expect((await refresh(acme, web, String(tokens.json['refresh_token']))).status).toBe(200);
      await callEndpoint(acme.issuer, '/revoke', { client: web, form: { token: accessToken } });
      expect((await introspect(acme, web, accessToken)).json).toEqual({ active: false });
      const machine = await callEndpoint(acme.issuer, '/token', {
        client: acme.clients.machine,
        form: { grant_type: 'client_credentials', resource: acme.jwtApi, scope: 'readings:read' },
      });
      expect(machine.status).toBe(200);
    } finally {
      await server.close();
    }
  });
});
