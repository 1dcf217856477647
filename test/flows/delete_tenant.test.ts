import { createClient } from '#src/flows/clients/manage_clients.ts';
import { eraseEndedTenants, requestTenantDeletion, withdrawTenantDeletion } from '#src/flows/tenants/delete_tenant.ts';
import { addOperator } from '#src/flows/tenants/manage_operators.ts';
import { changeTenantStatus } from '#src/flows/tenants/manage_tenants.ts';
import { connect } from '#test/support/sql.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, newPerson, type TestTenant } from '#test/support/world.ts';

const time = createMovableClock();
const daySeconds = 86_400;

let server: TestServer;
let number = 0;

beforeAll(async () => {
  server = await startTestServer({ clock: time.clock });
});

afterAll(() => server.close());

const context = () => server.context;

function newTenant(): Promise<TestTenant> {
  number += 1;
  return createTestTenant(server, `tenant-${number}`);
}

const end = (tenant: TestTenant, delayDays = 30) => requestTenantDeletion(context(), { id: tenant.id, delayDays });
const undo = (tenant: TestTenant) => withdrawTenantDeletion(context(), { id: tenant.id });
const statusOf = async (tenant: TestTenant): Promise<number> =>
  (await fetch(`${tenant.issuer}/.well-known/openid-configuration`)).status;

async function leftOf(tenant: TestTenant): Promise<number> {
  const rows = await queryAsSuperuser<{ n: number }>(
    server.database,
    `select (select count(*) from memberships where tenant_id = $1) + (select count(*) from clients where tenant_id = $1)
          + (select count(*) from signing_keys where tenant_id = $1) as n`,
    [tenant.id],
  );
  return Number(rows[0]?.n);
}

const eventsOf = async (tenant: TestTenant) =>
  (
    await readEvents(server.database, {
      tenantId: tenant.id,
      types: [
        'tenant.deletion_requested',
        'tenant.suspended',
        'tenant.resumed',
        'tenant.deletion_withdrawn',
        'tenant.deleted',
      ],
    })
  ).map(({ type }) => type);

describe('a tenant whose end was asked for', () => {
  it('is shut at once, keeps everything until the day, and is gone after it', async () => {
    const acme = await newTenant();
    expect(await end(acme)).toMatchObject({ outcome: 'requested' });
    expect(await statusOf(acme)).toBe(403);
    time.advance(29.9 * daySeconds);
    expect(await eraseEndedTenants(context())).toBe(0);
    expect(await leftOf(acme)).toBeGreaterThan(0);
    time.advance(0.2 * daySeconds);
    expect(await eraseEndedTenants(context())).toBeGreaterThan(0);
    expect([await statusOf(acme), await leftOf(acme)]).toEqual([404, 0]);
    expect(await undo(acme)).toEqual({ outcome: 'unknown' });
    expect(await end(acme)).toEqual({ outcome: 'unknown' });
    expect(await eventsOf(acme)).toEqual(['tenant.deletion_requested', 'tenant.suspended', 'tenant.deleted']);
  });

  it('comes back as it was: suspended when it was suspended', async () => {
    const acme = await newTenant();
    await changeTenantStatus(context(), { id: acme.id, status: 'suspended' });
    await end(acme);
    expect(await undo(acme)).toEqual({ outcome: 'withdrawn' });
    expect(await statusOf(acme)).toBe(403);
    await changeTenantStatus(context(), { id: acme.id, status: 'active' });
    await end(acme);
    // Neither is a way around the other.
    await changeTenantStatus(context(), { id: acme.id, status: 'suspended' });
    await changeTenantStatus(context(), { id: acme.id, status: 'active' });
    expect(await statusOf(acme)).toBe(403);
    expect(await undo(acme)).toEqual({ outcome: 'withdrawn' });
    expect(await undo(acme)).toEqual({ outcome: 'nothing_to_withdraw' });
    expect(await statusOf(acme)).toBe(200);
  });

  it('keeps the earlier day, and is asked for once by twenty who ask at once', async () => {
    const acme = await newTenant();
    const asked = await Promise.all(Array.from({ length: 20 }, () => end(acme)));
    expect(asked.filter(({ outcome }) => outcome === 'requested')).toHaveLength(1);
    expect(new Set(asked.map((each) => ('dueAt' in each ? each.dueAt.getTime() : 0))).size).toBe(1);
    expect(await end(acme, 60)).toMatchObject({ outcome: 'requested_before' });
    expect(await end(acme, 1)).toMatchObject({ outcome: 'requested' });
    await undo(acme);
  });

  it('is not where operators are at home, nor suspended over their heads', async () => {
    const home = await newTenant();
    await addOperator(context(), { tenantId: home.id, userId: home.person.id });
    const refused = { outcome: 'refused', reason: 'home_of_operators' };
    expect(await end(home)).toEqual(refused);
    const wish = { id: home.id, status: 'suspended', sparesOperators: true } as const;
    expect(await changeTenantStatus(context(), wish)).toEqual(refused);
    expect(await statusOf(home)).toBe(200);
    await queryAsSuperuser(server.database, 'delete from operators');
  });

  it('stays whole when somebody thinks better of it while it is about to go', async () => {
    const acme = await newTenant();
    await end(acme, 0);
    await undo(acme);
    expect(await eraseEndedTenants(context())).toBe(0);
    expect(await statusOf(acme)).toBe(200);
  });
});

describe('erasing', () => {
  it('goes on where it was stopped, looks once more, and then no more', async () => {
    const acme = await newTenant();
    await queryAsSuperuser(
      server.database,
      `insert into artifacts (tenant_id, kind, id_hash, payload, created_at, expires_at)
       select $1, 'AccessToken', sha256(i::text::bytea), '{}', now(), now() + interval '1 hour' from generate_series(1, 2500) i`,
      [acme.id],
    );
    await end(acme, 0);
    const stopping = new AbortController();
    await eraseEndedTenants(context(), { signal: stopping.signal, onProgress: () => stopping.abort() });
    expect(await leftOf(acme)).toBeGreaterThan(0);
    expect(await statusOf(acme)).toBe(404);
    expect(await eraseEndedTenants(context())).toBeGreaterThan(1000);
    expect(await leftOf(acme)).toBe(0);
    // What a request that was under way wrote after all.
    await queryAsSuperuser(
      server.database,
      "insert into sign_in_attempts (tenant_id, key_hash, attempts, window_started_at) values ($1, sha256('late'), 1, now())",
      [acme.id],
    );
    time.advance(120);
    expect(await eraseEndedTenants(context())).toBe(1);
    const row = 'select erased_at is not null as done from tenants where id = $1';
    expect(await queryAsSuperuser(server.database, row, [acme.id])).toEqual([{ done: true }]);
    expect(await eraseEndedTenants(context())).toBe(0);
  });

  it('takes along who belongs to this tenant alone, and nobody else', async () => {
    const [acme, globex] = [await newTenant(), await newTenant()];
    const alone = await newPerson(server, acme);
    const both = await newPerson(server, acme, globex);
    await end(acme, 0);
    await eraseEndedTenants(context());
    const people = await queryAsSuperuser<{ id: string }>(server.database, 'select id from users where id = any($1)', [
      [alone.id, both.id, acme.person.id, globex.person.id],
    ]);
    expect(people.map(({ id }) => id).sort()).toEqual([both.id, globex.person.id].sort());
    expect(await leftOf(globex)).toBeGreaterThan(0);
    expect(await statusOf(globex)).toBe(200);
  });

  it('touches no tenant that lives, whoever asks', async () => {
    const acme = await newTenant();
    const app = await connect(server.server.house.urls.app);
    for (const status of ['active', 'suspended']) {
      await queryAsSuperuser(server.database, 'update tenants set status = $2 where id = $1', [acme.id, status]);
      await expect(app.query('select tenant_erase($1, 10)', [acme.id])).rejects.toThrow('only a deleted tenant');
    }
    await app.end();
    expect(await leftOf(acme)).toBeGreaterThan(0);
  });

  it('is done by one process at a time', async () => {
    const acme = await newTenant();
    await end(acme, 0);
    const before = await leftOf(acme);
    const runs = await Promise.all(Array.from({ length: 5 }, () => eraseEndedTenants(context())));
    expect(before).toBeGreaterThan(0);
    expect(runs.filter((rows) => rows > 0)).toHaveLength(1);
    expect(await leftOf(acme)).toBe(0);
  });
});

describe('a scope that reaches beyond the tenant', () => {
  const client = {
    name: 'console',
    type: 'web',
    redirectUris: ['https://console.example/callback'],
    scopes: ['platform:tenants:write'],
  };

  it('is given by operators, and by nobody of a tenant', async () => {
    const acme = await newTenant();
    expect(await createClient(context(), { tenantId: acme.id, client })).toMatchObject({ outcome: 'created' });
    const admin = { ...context(), actor: { type: 'user', id: acme.person.id } } as const;
    expect(await createClient(admin, { tenantId: acme.id, client })).toMatchObject({
      outcome: 'refused',
      problems: [{ field: 'scopes', problem: 'for_operators', value: 'platform:tenants:write' }],
    });
  });

  it('is for people alone', async () => {
    const acme = await newTenant();
    const machine = { name: 'robot', type: 'machine', scopes: ['platform:tenants:read'] };
    expect(await createClient(context(), { tenantId: acme.id, client: machine })).toMatchObject({
      outcome: 'refused',
      problems: [{ field: 'scopes', problem: 'needs_a_person' }],
    });
  });
});
