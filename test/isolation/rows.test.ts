import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beginIdempotent } from '#src/flows/access/idempotency.ts';
import { createApiKey } from '#src/flows/access/manage_api_keys.ts';
import { addDetailsType } from '#src/flows/access/manage_authorization_details.ts';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { createInitialAccessToken, registerClient } from '#src/flows/clients/register_clients.ts';
import { queueMail } from '#src/flows/mail/send_mail.ts';
import { addMember } from '#src/flows/people/manage_people.ts';
import { eraseEndedTenants, requestTenantDeletion } from '#src/flows/tenants/delete_tenant.ts';
import { brandTenant } from '#src/flows/tenants/manage_branding.ts';
import { addOperator, removeOperator } from '#src/flows/tenants/manage_operators.ts';
import { sha256, uuidv7 } from '#src/foundation/identifiers.ts';
import { backUp } from '#src/storage/backup.ts';
import { type Database, openDatabase } from '#src/storage/database.ts';
import { eventRow } from '#src/storage/event_log.ts';
import { restore } from '#src/storage/restore.ts';
import { commitArtifacts } from '#src/storage/tables/artifacts.ts';
import { putPendingTotp, replaceBackupCodes } from '#src/storage/tables/factors.ts';
import { rememberPassword } from '#src/storage/tables/password_history.ts';
import { putPendingSignIn } from '#src/storage/tables/pending_sign_ins.ts';
import { insertPermission } from '#src/storage/tables/permissions.ts';
import { putProof } from '#src/storage/tables/proofs.ts';
import { storeTelemetry } from '#src/storage/tables/telemetry.ts';
import { listTenantTables, personTables } from '#test/support/catalogue.ts';
import { createTestSealer } from '#test/support/cluster.ts';
import { readContents } from '#test/support/contents.ts';
import { createEmptyDatabase } from '#test/support/empty_database.ts';
import { squarePng } from '#test/support/logos.ts';
import { defaultPeopleSettings } from '#test/support/people_settings.ts';
import {
  connect,
  eventually,
  roleUrls,
  type SqlConnection,
  terminateProductConnections,
  withConnection,
} from '#test/support/sql.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, createUserAgent, exchangeCode } from '#test/support/user_agent.ts';
import { createTestTenant, newPerson, type TestTenant } from '#test/support/world.ts';

/** PostgreSQL's word for "you may not". */
const refused = '42501';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let tables: readonly string[];
let superuser: SqlConnection;
let app: SqlConnection;
let platform: SqlConnection;
let owner: SqlConnection;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  // A real sign-in leaves something in every table.
  for (const tenant of [acme, globex]) {
    const { web } = tenant.clients;
    const authorized = await authorize(createUserAgent(server.origin), { tenant, client: web });
    expect((await exchangeCode(tenant, web, authorized)).status).toBe(200);
    await authorize(createUserAgent(server.origin), { tenant, client: tenant.clients.third });
    const branded = await brandTenant(server.context, { id: tenant.id, change: { logo: squarePng() } });
    expect(branded.outcome).toBe('branded');
    await oweLogout(server, tenant);
    await useExtensions(tenant);
    await keepFactors(server, tenant);
    await oweMail(server, tenant);
    await pairDevice(server, tenant);
    await makeKey(server, tenant);
    await askOnce(server, tenant);
    await describePermission(server, tenant);
    await addOperator(server.context, { tenantId: tenant.id, userId: tenant.person.id });
  }
  const urls = roleUrls(server.database);
  [superuser, app, platform, owner] = await Promise.all(
    [server.database.superuserUrl, urls.app, urls.platform, urls.owner].map(connect) as [
      Promise<SqlConnection>,
      Promise<SqlConnection>,
      Promise<SqlConnection>,
      Promise<SqlConnection>,
    ],
  );
  tables = await listTenantTables(superuser);
});

afterAll(async () => {
  await Promise.all([superuser, app, platform, owner].map((connection) => connection.end()));
  await server.close();
});

/** An application that is to hear of the end of a session. */
async function oweLogout({ context }: TestServer, tenant: TestTenant): Promise<void> {
  const client = {
    name: 'told',
    type: 'web',
    redirectUris: ['https://app.example/callback'],
    backchannelLogoutUri: 'https://app.example/logout',
  };
  const created = await createClient(context, { tenantId: tenant.id, client });
  if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
  await context.database.tenant(tenant.id).transaction(async (transaction) => {
    const enqueue = "select backchannel_logout_enqueue($1, $2, $3, 'sid')";
    await transaction.query(enqueue, [tenant.id, created.clientId, tenant.person.id]);
  });
}

/** A permission of the tenant's own. */
async function describePermission({ context }: TestServer, { id: tenantId }: TestTenant): Promise<void> {
  const permission = { tenantId, name: 'readings:read', description: '', isActive: true, now: context.clock() };
  const tenant = context.database.tenant(tenantId);
  expect(await tenant.transaction((transaction) => insertPermission(transaction, permission))).toBe(true);
}

/** A mail that waits. */
async function oweMail({ context }: TestServer, { id: tenantId, person }: TestTenant): Promise<void> {
  const mail = { kind: 'email_code', code: '123456' } as const;
  await context.database
    .tenant(tenantId)
    .transaction((transaction) => queueMail(context, transaction, { tenantId, to: person.email, locale: 'nl', mail }));
}

/** What a sign-in does not touch: a type of authorization details, an initial access token, and a client registered with one. */
async function useExtensions({ id: tenantId, jwtApi }: TestTenant): Promise<void> {
  const { context } = server;
  const type = { type: 'payment', audience: jwtApi, sentence: 'Pay {amount}' };
  expect(await addDetailsType(context, { tenantId, type })).toEqual({ outcome: 'added' });
  const policy = { types: ['machine'], scopes: [], uses: 2, lifetimeSeconds: 60 };
  const initial = await createInitialAccessToken(context, { tenantId, ...policy });
  const token = initial.outcome === 'created' ? initial.token : '';
  const metadata = { grant_types: ['client_credentials'] };
  expect(await registerClient(context, { tenantId, token, metadata })).toMatchObject({ outcome: 'registered' });
}

/** Factors of a person, a password they had before, and a sign-in that stopped half way. */
async function pairDevice({ context }: TestServer, { id, slug, person, clients }: TestTenant): Promise<void> {
  const now = context.clock();
  const device = {
    device_id: uuidv7(now),
    client_id: clients.device.clientId,
    user_id: person.id,
    name: 'Lamp',
    model: 'C3',
    firmware: '1',
    key_thumbprint: undefined,
    grant_id: sha256(slug).toString('hex'),
    scopes: [],
    address: '192.0.2.1',
    expires_at: now.toISOString(),
  };
  const event = eventRow({ type: 'device.paired', outcome: 'success' }, {}, now);
  await commitArtifacts(context.database.tenant(id), { operations: [], events: [], now, pairing: { device, event } });
  const { device_id: deviceId } = device;
  await storeTelemetry(context.database.tenant(id), {
    id: deviceId,
    deviceId,
    now,
    report: {},
    firmware: undefined,
    perMinute: 1,
    keepsHistory: true,
  });
}

/** A key of the person's. */
async function makeKey({ context }: TestServer, { id: tenantId, person }: TestTenant): Promise<void> {
  const key = { name: 'robot', scopes: [], expiresAt: undefined };
  const owner = { tenantId, userId: person.id, settings: defaultPeopleSettings };
  expect(await createApiKey(context, { ...owner, ...key })).toMatchObject({ outcome: 'created' });
}

async function askOnce({ context }: TestServer, { id: tenantId, slug }: TestTenant): Promise<void> {
  const wish = { tenantId, caller: slug, key: 'once', request: 'a wish', now: context.clock() };
  const begun = await beginIdempotent(context, wish);
  expect(begun.outcome).toBe('first');
  if (begun.outcome === 'first') await begun.keep({ status: 204, headers: {}, body: undefined });
}

async function keepFactors({ context }: TestServer, { id: tenantId, person, slug }: TestTenant): Promise<void> {
  const now = context.clock();
  const hash = sha256(slug);
  await context.database.tenant(tenantId).transaction(async (transaction) => {
    await putPendingTotp(transaction, { userId: person.id, secretSealed: hash, placeHash: hash, now });
    await replaceBackupCodes(transaction, { userId: person.id, codeHashes: [hash], now });
    await transaction.query(
      `insert into passkeys (user_id, credential_id, rp_id, public_key, sign_count, backed_up, name, created_at)
       values ($1, $2, 'localhost', $2, 0, false, 'key', $3)`,
      [person.id, hash, now],
    );
    const earlier = { id: uuidv7(now), hash: 'an earlier hash', kept: 3, now };
    await rememberPassword(transaction, { userId: person.id, ...earlier });
    await putProof(transaction, {
      tenantId,
      id: uuidv7(now),
      purpose: 'verification',
      address: person.email,
      userId: person.id,
      tokenHash: hash,
      handleHash: hash,
      codeMac: hash,
      payload: {},
      now,
      expiresAt: now,
      replaces: false,
    });
    await putPendingSignIn(transaction, {
      tenantId,
      keyHash: hash,
      clientId: 'client',
      userId: person.id,
      factors: [],
      wanted: 'second_factor',
      now,
      expiresAt: now,
    });
  });
}

async function asTenant<Result>(tenant: TestTenant, work: () => Promise<Result>, as = app): Promise<Result> {
  await as.query('begin');
  try {
    await as.query("select set_config('app.tenant_id', $1, true)", [tenant.id]);
    return await work();
  } finally {
    await as.query('rollback');
  }
}

/** Which tenant a row is of: its own column, the tenant itself, or (a person) the tenants they are a member of. */
function isOf(table: string, parameter = '$1'): string {
  if (table === 'tenants') return `id = ${parameter}`;
  const person = personTables[table];
  if (person !== undefined) return `${person} in (select user_id from memberships where tenant_id = ${parameter})`;
  return `tenant_id = ${parameter}`;
}

/** The column that says so. */
function ownerColumnOf(table: string): string {
  return table === 'tenants' ? 'id' : (personTables[table] ?? 'tenant_id');
}

async function countOf(connection: SqlConnection, text: string, values: readonly unknown[] = []): Promise<number> {
  const { rows } = await connection.query<{ n: number }>(`select count(*)::int as n from ${text}`, values);
  return rows[0]?.n ?? Number.NaN;
}

async function rowOf(table: string, tenant: TestTenant): Promise<string> {
  const { rows } = await superuser.query<{ row: string }>(
    `select to_json(t)::text as row from ${table} t where ${isOf(table)} limit 1`,
    [tenant.id],
  );
  return rows[0]?.row ?? 'none';
}

/** `$1` is a row as JSON. Columns that PostgreSQL fills in by itself cannot be written. */
async function insertInto(table: string): Promise<string> {
  const { rows } = await superuser.query<{ columns: string }>(
    `select string_agg(quote_ident(attname), ', ' order by attnum) as columns from pg_attribute
      where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = ''`,
    [table],
  );
  const columns = rows[0]?.columns ?? '';
  return `insert into ${table} (${columns}) select ${columns} from json_populate_record(null::${table}, $1)`;
}

describe('the world of these tests', () => {
  it('has rows of both tenants in every table', async () => {
    expect(tables).toEqual(expect.arrayContaining(['tenants', 'users', 'artifacts', 'events', 'sign_in_attempts']));
    for (const table of tables) {
      for (const tenant of [acme, globex]) {
        const rows = await countOf(superuser, `${table} where ${isOf(table)}`, [tenant.id]);
        expect({ table, tenant: tenant.slug, empty: rows === 0 }).toMatchObject({ empty: false });
      }
    }
  });
});

describe('the role that serves', () => {
  it('sees no row of any table without a tenant', async () => {
    for (const table of tables) expect({ table, rows: await countOf(app, table) }).toEqual({ table, rows: 0 });
  });

  it('sees no row when the tenant is empty, and none of a tenant that is not there', async () => {
    for (const value of ['', '00000000-0000-0000-0000-000000000000']) {
      await app.query('begin');
      await app.query("select set_config('app.tenant_id', $1, true)", [value]);
      for (const table of tables) expect({ table, rows: await countOf(app, table) }).toEqual({ table, rows: 0 });
      await app.query('rollback');
    }
  });

  it('sees every row of its tenant and none of another, in every table', async () => {
    for (const [mine, theirs] of [
      [acme, globex],
      [globex, acme],
    ] as const) {
      for (const table of tables) {
        const all = await countOf(superuser, `${table} where ${isOf(table)}`, [mine.id]);
        const seen = await asTenant(mine, () => countOf(app, table));
        const foreign = await asTenant(mine, () => countOf(app, `${table} where ${isOf(table)}`, [theirs.id]));
        expect({ table, seen, foreign }).toEqual({ table, seen: all, foreign: 0 });
      }
    }
  });

  it('adds no row to another tenant, in any table', async () => {
    for (const table of tables) {
      const row = await rowOf(table, globex);
      const insert = await insertInto(table);
      const outcome = await asTenant(acme, () => app.attempt(insert, [row]));
      expect({ table, outcome }).toEqual({ table, outcome: refused });
      // Not even as a question: "is it there already?"
      const asked = await asTenant(acme, () => app.attempt(`${insert} on conflict do nothing`, [row]));
      expect({ table, asked }).toEqual({ table, asked: refused });
    }
  });

  it('adds no row without a tenant, in any table', async () => {
    for (const table of tables) {
      const insert = await insertInto(table);
      expect({ table, outcome: await app.attempt(insert, [await rowOf(table, acme)]) }).toEqual({
        table,
        outcome: refused,
      });
    }
  });

  it('moves no row into another tenant, in any table', async () => {
    for (const table of tables) {
      const column = ownerColumnOf(table);
      const target = table in personTables ? globex.person.id : globex.id;
      const outcome = await asTenant(acme, () => app.attempt(`update ${table} set ${column} = $1`, [target]));
      expect({ table, outcome }).toEqual({ table, outcome: refused });
    }
  });

  it('changes and removes no row of another tenant, in any table', async () => {
    for (const table of tables) {
      const before = await rowsAsText(table);
      const column = ownerColumnOf(table);
      for (const change of [
        `update ${table} set ${column} = ${column} where ${isOf(table)}`,
        `delete from ${table} where ${isOf(table)}`,
      ]) {
        const changed = await asTenant(acme, async () => {
          if ((await app.attempt(change, [globex.id])) === refused) return 0;
          return (await app.query(change, [globex.id])).rowCount;
        });
        expect({ change, changed }).toEqual({ change, changed: 0 });
      }
      expect(await rowsAsText(table)).toBe(before);
    }
  });

  it('cannot become anybody else or step around row level security', async () => {
    const ways = [
      'set role poort_owner',
      'set role poort_platform',
      'set role poort_definer',
      'set session authorization poort_owner',
      'alter table artifacts disable row level security',
      'alter table artifacts no force row level security',
      'drop policy tenant_isolation on artifacts',
      'create policy mine on artifacts using (true)',
      'alter role poort_app bypassrls',
      'grant poort_owner to poort_app',
      'truncate artifacts',
      'create table public.mine (id int)',
      'create temporary table mine (id int)',
      'create function public.mine() returns int language sql as $$ select 1 $$',
      'select person_by_email(null)',
      'select * from pg_authid',
      "copy artifacts to program 'true'",
      "select pg_read_file('/etc/hostname')",
    ];
    for (const way of ways) expect({ way, outcome: await app.attempt(way) }).toEqual({ way, outcome: refused });
    for (const table of tables) {
      await app.query('begin');
      await app.query('set local row_security = off');
      expect({ table, outcome: await app.attempt(`select from ${table}`) }).toEqual({ table, outcome: refused });
      await app.query('rollback');
    }
  });
});

describe('the role of the platform', () => {
  it('sees the tenants and not one row of any other table', async () => {
    expect(await countOf(platform, 'tenants')).toBe(2);
    for (const table of tables.filter((name) => name !== 'tenants')) {
      expect({ table, outcome: await platform.attempt(`select from ${table}`) }).toEqual({ table, outcome: refused });
      await asTenant(
        acme,
        async () => {
          const outcome = await platform.attempt(`select from ${table}`);
          expect({ table, outcome }).toEqual({ table, outcome: refused });
        },
        platform,
      );
    }
  });

  it('changes nothing', async () => {
    for (const table of tables) {
      for (const change of [`delete from ${table}`, `truncate ${table}`]) {
        expect({ change, outcome: await platform.attempt(change) }).toEqual({ change, outcome: refused });
      }
    }
    expect(await platform.attempt("update tenants set status = 'suspended'")).toBe(refused);
    expect(await platform.attempt('set role poort_app')).toBe(refused);
  });

  it('asks across tenants only by the functions made for it, which tell an identifier and a number', async () => {
    const functions = await superuser.query<{ name: string }>(
      `select p.proname::text as name from pg_proc p
        where p.pronamespace = 'public'::regnamespace and has_function_privilege('poort_platform', p.oid, 'execute')
          and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e') order by 1`,
    );
    const names = functions.rows.map(({ name }) => name);
    expect(names).toEqual([
      'dead_logouts',
      'dead_mails',
      'mails_held_up',
      'memberships_to_delete',
      'person_by_email',
      'person_of_address',
      'sweep_expired',
      'sweep_half_done',
      'sweep_idempotency_keys',
      'sweep_logouts',
      'sweep_mails',
      'sweep_passkey_challenges',
      'sweep_proofs',
      'tenant_of_api_key',
      'tenant_of_user_code',
      'tenants_of_operators',
      'tenants_of_person',
      'tenants_sealed_otherwise',
      'tenants_with_devices',
      'tenants_with_due_logouts',
      'tenants_with_due_mails',
      'tenants_with_expired_sessions',
      'tenants_with_keys_due',
      'tenants_without_active_keys',
    ]);
    const due = await platform.query<{ id: string }>(
      "select tenants_with_due_logouts(now() + interval '1 hour', 10) as id",
    );
    expect(due.rows.map(({ id }) => id).sort()).toEqual([acme.id, globex.id].sort());
    const mails = await platform.query<{ id: string }>(
      "select tenants_with_due_mails(now() + interval '1 hour', 10) as id",
    );
    expect(mails.rows.map(({ id }) => id).sort()).toEqual([acme.id, globex.id].sort());
    const { rows } = await platform.query('select person_by_email($1) as id, tenants_without_active_keys() as n', [
      acme.person.email,
    ]);
    expect(rows).toEqual([{ id: acme.person.id, n: 0 }]);
  });
});

describe('history', () => {
  it.each([
    ['the role that serves', () => app],
    ['the platform', () => platform],
    ['the owner', () => owner],
    ['a superuser', () => superuser],
  ])('is not changed, removed or emptied by %s', async (_name, connection) => {
    const before = await rowsAsText('events');
    for (const change of ["update events set reason = 'other'", 'delete from events', 'truncate events']) {
      const outcome = await asTenant(acme, () => connection().attempt(change), connection());
      expect({ change, outcome }).toEqual({ change, outcome: refused });
    }
    expect(await rowsAsText('events')).toBe(before);
  });
});

describe('the owner of the tables', () => {
  it('sees no row without a tenant either', async () => {
    for (const table of tables) expect({ table, rows: await countOf(owner, table) }).toEqual({ table, rows: 0 });
  });
});

describe('a person', () => {
  it('is seen by both tenants they are a member of, and by no other', async () => {
    const grace = { email: 'grace@both.test', roles: ['user'], verified: true };
    const first = await addMember(server.context, { ...grace, tenantId: acme.id });
    const second = await addMember(server.context, { ...grace, tenantId: globex.id });
    expect(first).toMatchObject({ outcome: 'created' });
    expect(second).toMatchObject({ outcome: 'joined' });
    const initech = await createTestTenant(server, 'initech');

    const seenBy = async (tenant: TestTenant): Promise<readonly string[]> =>
      asTenant(tenant, async () => {
        const { rows } = await app.query<{ email: string }>('select email::text from users order by 1');
        return rows.map((row) => row.email);
      });
    expect(await seenBy(acme)).toEqual([acme.person.email, grace.email]);
    expect(await seenBy(globex)).toEqual([globex.person.email, grace.email]);
    expect(await seenBy(initech)).toEqual([initech.person.email]);
  });

  it('is not taken over by a tenant that makes itself a membership', async () => {
    // A tenant may add members whose identifier it was given; the identifier itself it cannot look up.
    const looked = await asTenant(acme, () =>
      countOf(app, 'users where email_canonical = $1', [globex.person.email.toLowerCase()]),
    );
    expect(looked).toBe(0);
    const inserted = await asTenant(acme, () =>
      app.attempt(
        `insert into users (id, email, email_canonical, created_at, updated_at)
         values (gen_random_uuid(), $1::text, $1::text, now(), now()) on conflict (email_canonical) do update set password_hash = 'mine'`,
        [globex.person.email],
      ),
    );
    expect(inserted).toBe(refused);
  });
});

describe('a transaction', () => {
  const insertRole = `insert into roles (tenant_id, id, name, created_at) values ($1, gen_random_uuid(), $2, now())`;

  it('whose client dies in the middle leaves nothing', async () => {
    const dying = await connect(roleUrls(server.database).app);
    const { rows } = await dying.query<{ pid: number }>('select pg_backend_pid() as pid');
    await dying.query('begin');
    await dying.query("select set_config('app.tenant_id', $1, true)", [acme.id]);
    expect((await dying.query(insertRole, [acme.id, 'half-done'])).rowCount).toBe(1);
    dying.vanish();
    await eventually('the server has noticed', async () => {
      return (await countOf(superuser, 'pg_stat_activity where pid = $1', [rows[0]?.pid])) === 0;
    });
    expect(await countOf(superuser, "roles where name = 'half-done'")).toBe(0);
  });

  it('whose connection is ended in the middle leaves nothing, and the next one works', async () => {
    const tenant = server.context.database.tenant(acme.id);
    const broken = tenant.transaction(async (transaction) => {
      await transaction.query(insertRole, [acme.id, 'half-done']);
      await terminateProductConnections(server.database.superuserUrl, "state = 'idle in transaction'");
      await transaction.query(insertRole, [acme.id, 'other-half']);
    });
    await expect(broken).rejects.toThrow(/connection/);
    expect(await countOf(superuser, "roles where name in ('half-done', 'other-half')")).toBe(0);
    const seen = await tenant.transaction((transaction) => transaction.query('select id from roles'));
    expect(seen.length).toBeGreaterThan(0);
  });
});

describe('the tenant of a connection', () => {
  const setting = `current_setting('app.tenant_id', true)`;
  /** One of each kind, so that what one use leaves behind meets the next. */
  let database: Database;

  beforeAll(() => {
    const { app: appUrl, platform: platformUrl } = roleUrls(server.database);
    const onFault = (fault: unknown): never => {
      throw fault;
    };
    database = openDatabase({ appUrl, platformUrl, readConnections: 1, writeConnections: 1, onFault });
  });

  afterAll(() => database.close());

  /** What a statement without a tenant of its own finds on the connection for reads, and on the one for writes. */
  async function leftBehind(): Promise<unknown> {
    const tenant = database.tenant(acme.id);
    const look = {
      name: 'left_behind',
      text: `select ${setting} as tenant, (select count(*)::int from artifacts) as rows from (select $1::uuid) x`,
    };
    const clean = (rows: readonly { tenant: string | null; rows: number }[]) =>
      rows.map((row) => ({ ...row, tenant: row.tenant ?? '' }));
    return { read: clean(await tenant.read(look, [])), write: clean(await tenant.write(look, [])) };
  }

  const nothing = { read: [{ tenant: '', rows: 0 }], write: [{ tenant: '', rows: 0 }] };
  const material = { name: 'material', text: 'select * from tenant_material($1)' };
  const failing = {
    name: 'failing',
    text: `select set_config('app.tenant_id', $1::text, true), 1 / (select count(*)::int * 0 from tenants)`,
  };

  it('is gone after a read and after a write', async () => {
    expect(await leftBehind()).toEqual(nothing);
    await database.tenant(acme.id).read(material, []);
    await database.tenant(acme.id).write(material, []);
    expect(await leftBehind()).toEqual(nothing);
  });

  it('is gone after a read and a write that fail', async () => {
    await expect(database.tenant(acme.id).read(failing, [])).rejects.toMatchObject({ code: '22012' });
    await expect(database.tenant(acme.id).write(failing, [])).rejects.toMatchObject({ code: '22012' });
    expect(await leftBehind()).toEqual(nothing);
  });

  it('is there in a transaction and gone after it, however it ends', async () => {
    const tenant = database.tenant(acme.id);
    const during = await tenant.transaction((transaction) => transaction.query(`select ${setting} as tenant`));
    expect(during).toEqual([{ tenant: acme.id }]);
    expect(await leftBehind()).toEqual(nothing);

    await expect(tenant.transaction((transaction) => transaction.query('select 1 / 0'))).rejects.toMatchObject({
      code: '22012',
    });
    expect(await leftBehind()).toEqual(nothing);

    const givenUp = tenant.transaction(async () => {
      throw new Error('changed my mind');
    });
    await expect(givenUp).rejects.toThrow('changed my mind');
    expect(await leftBehind()).toEqual(nothing);
  });

  it('is each one’s own when two tenants share the connections at the same time', async () => {
    const look = {
      name: 'whose',
      text: `select s.tenant, (select json_agg(distinct a.tenant_id) from artifacts a) as seen
               from (select set_config('app.tenant_id', $1::text, true) as tenant) s`,
    };
    const turns = Array.from({ length: 50 }, (_, turn) => (turn % 2 === 0 ? acme : globex));
    const answers = await Promise.all(
      turns.flatMap((tenant) => [
        database.tenant(tenant.id).read(look, []),
        database.tenant(tenant.id).write(look, []),
      ]),
    );
    const expected = turns.flatMap(({ id }) => Array.from({ length: 2 }, () => [{ tenant: id, seen: [id] }]));
    expect(answers).toEqual(expected);
    expect(await leftBehind()).toEqual(nothing);
  });
});

/** Last: there is no Acme any more after it. */
describe('a tenant that is deleted', () => {
  const history = 'events';

  it('leaves nothing in any table but its history and its slug, and touches no row of anybody else', async () => {
    const { context } = server;
    const shared = await newPerson(server, acme, globex);
    await removeOperator(context, { tenantId: acme.id, userId: acme.person.id });
    const theirs = await rowsOfOthers();
    const historyBefore = await countOf(superuser, `${history} where tenant_id = $1`, [acme.id]);
    const requested = await requestTenantDeletion(context, { id: acme.id, delayDays: 0 });
    expect(requested.outcome).toBe('requested');
    expect(await eraseEndedTenants(context)).toBeGreaterThan(tables.length - 10);

    for (const table of tables.filter((name) => name !== history && name !== 'tenants' && !(name in personTables))) {
      const rows = await countOf(superuser, `${table} where tenant_id = $1`, [acme.id]);
      expect({ table, rows }).toEqual({ table, rows: 0 });
    }
    for (const [table, column] of Object.entries(personTables)) {
      const rows = await countOf(superuser, `${table} where ${column} = $1`, [acme.person.id]);
      expect({ table, rows }).toEqual({ table, rows: 0 });
    }
    expect(await countOf(superuser, 'users where id = $1', [shared.id])).toBe(1);
    expect(await rowsOfOthers()).toEqual(theirs);
    expect(await countOf(superuser, `${history} where tenant_id = $1`, [acme.id])).toBe(historyBefore + 3);
    const left = await superuser.query(
      'select slug, name, status, domain, settings, brand from tenants where id = $1',
      [acme.id],
    );
    const bare = { name: 'acme', domain: null, settings: {}, brand: {} };
    expect(left.rows).toEqual([{ slug: 'acme', status: 'deleted', ...bare }]);
  });

  async function rowsOfOthers(): Promise<Readonly<Record<string, readonly string[]>>> {
    const others: Record<string, readonly string[]> = {};
    for (const table of tables) {
      const { rows } = await superuser.query<{ row: string }>(
        `select to_json(t)::text as row from ${table} t where ${isOf(table)} order by 1`,
        [globex.id],
      );
      others[table] = rows.map(({ row }) => row);
    }
    return others;
  }
});

function rowsAsText(table: string): Promise<string> {
  return withConnection(server.database.superuserUrl, async (connection) => {
    const { rows } = await connection.query<{ text: string }>(
      `select coalesce(json_agg(t order by t::text), '[]')::text as text from ${table} t`,
    );
    return rows[0]?.text ?? '';
  });
}

describe('a backup', () => {
  it('has every row of every table of every tenant, and gives it back as it was', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'poort-every-row-'));
    const database = await createEmptyDatabase();
    try {
      const file = join(folder, 'every-row.backup');
      const sealer = createTestSealer();
      await backUp({ ownerUrl: server.database.ownerUrl, sealer, file, now: server.context.clock() });
      await restore({ ownerUrl: database.ownerUrl, sealer, file });
      const [before, after] = await Promise.all(
        [server.database, database].map((one) => readContents(one.superuserUrl)),
      );
      expect(Object.keys(before?.tables ?? {})).toEqual(expect.arrayContaining([...tables]));
      expect(after).toEqual(before);
    } finally {
      await database.drop();
      await rm(folder, { recursive: true, force: true });
    }
  });
});
