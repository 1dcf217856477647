import { createApi, disableClient } from '#src/flows/clients/manage_clients.ts';
import { changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { changeTenantStatus } from '#src/flows/tenants/manage_tenants.ts';
import { createTestEngines, type TestEngines } from '#test/support/engines.ts';
import { sendRaw } from '#test/support/raw_http.ts';
import { eventually, terminateProductConnections } from '#test/support/sql.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, callEndpoint, createUserAgent, exchangeCode, introspect } from '#test/support/user_agent.ts';
import { createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let initech: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  initech = await createTestTenant(server, 'initech');
});

afterAll(() => server.close());

describe('the engine of a tenant', () => {
  let engines: TestEngines;

  beforeEach(async () => {
    engines = createTestEngines(server, { maximumEngines: 2 });
    await engines.pool.start();
  });

  afterEach(() => engines.close());

  it('is built once, however many ask first', async () => {
    const before = engines.database.roundTrips();
    const asked = await Promise.all(Array.from({ length: 30 }, () => engines.engineOf('acme')));
    expect(new Set(asked).size).toBe(1);
    // Who it is, and what it is built from.
    expect(engines.database.roundTrips() - before).toBe(2);
    await engines.engineOf('acme');
    expect(engines.database.roundTrips() - before).toBe(2);
  });

  it('is its own: another issuer, other keys, other cookies', async () => {
    const [one, other] = [await engines.engineOf('acme'), await engines.engineOf('globex')];
    expect([one.provider.issuer, other.provider.issuer]).toEqual([acme.issuer, globex.issuer]);
    expect(one.provider).not.toBe(other.provider);
    expect((one.provider as unknown as { keys: unknown }).keys).not.toEqual(
      (other.provider as unknown as { keys: unknown }).keys,
    );
  });

  it('that was used longest ago makes room, and is built again when it is wanted', async () => {
    const first = await engines.engineOf('acme');
    const second = await engines.engineOf('globex');
    expect(await engines.engineOf('acme')).toBe(first);
    await engines.engineOf('initech');
    expect(await engines.engineOf('acme')).toBe(first);
    const again = await engines.engineOf('globex');
    expect(again).not.toBe(second);
    expect(again.provider.issuer).toBe(globex.issuer);
  });

  it.each(['not json', 'null', '[]', '{"table":1}', ''])(
    'is built anew after an announcement that nobody can read: %j',
    async (announcement) => {
      const before = await engines.engineOf('acme');
      await queryAsSuperuser(server.database, "select pg_notify('poort_changes', $1)", [announcement]);
      await eventually('the announcement is heard', async () => (await engines.engineOf('acme')) !== before);
      expect((await fetch(`${acme.issuer}/jwks`)).status).toBe(200);
    },
  );

  it('is asked for by an unknown name without being remembered', async () => {
    expect(await engines.pool.findTenant('nobody')).toBeUndefined();
    await createTestTenant(server, 'nobody');
    expect(await engines.pool.findTenant('nobody')).toMatchObject({ slug: 'nobody' });
  });

  it('that could not be built is built at the next request', async () => {
    const tenant = await engines.pool.findTenant('acme');
    if (tenant === undefined) throw new Error('no acme');
    const nobody = { ...tenant, id: 'no uuid' as typeof tenant.id };
    await expect(engines.pool.engineOf(nobody)).rejects.toMatchObject({ code: '22P02' });
    await expect(engines.pool.engineOf(nobody)).rejects.toMatchObject({ code: '22P02' });
    expect((await engines.pool.engineOf(tenant)).provider.issuer).toBe(acme.issuer);
  });

  it('is not believed for longer than a second while changes cannot be heard', async () => {
    const deaf = createTestEngines(server);
    const before = deaf.database.roundTrips();
    const first = await deaf.engineOf('acme');
    expect(await deaf.engineOf('acme')).toBe(first);
    expect(deaf.database.roundTrips() - before).toBe(2);
    await eventually('it is built again', async () => (await deaf.engineOf('acme')) !== first, 3_000);
    await deaf.close();
  });
});

describe('a change made at one process', () => {
  let other: TestServer;
  const aSecond = 1_000;

  beforeAll(async () => {
    other = await startTestServer({ beside: server });
  });

  afterAll(() => other.close());

  async function machineToken(
    { slug, jwtApi }: TestTenant,
    client: TestClient,
    resource = jwtApi,
  ): Promise<{ readonly status: number; readonly body: string }> {
    const form = { grant_type: 'client_credentials', resource, scope: 'readings:read' };
    return sendRaw(other.config.http.port, {
      method: 'POST',
      target: `/t/${slug}/token`,
      headers: [
        ['Host', new URL(server.origin).host],
        ['Content-Type', 'application/x-www-form-urlencoded'],
        ['Authorization', `Basic ${Buffer.from(`${client.clientId}:${client.clientSecret}`).toString('base64')}`],
      ],
      body: new URLSearchParams(form).toString(),
    });
  }

  it('a new API is usable within a second, there and at every other', async () => {
    const { machine } = globex.clients;
    const audience = 'https://api.globex.test/new';
    expect((await machineToken(globex, machine)).status).toBe(200);
    expect((await machineToken(globex, machine, audience)).status).toBe(400);
    const api = { audience, tokenFormat: 'jwt', scopes: ['readings:read=Read'] } as const;
    expect(await createApi(server.context, { tenantId: globex.id, api })).toMatchObject({ outcome: 'created' });
    const here = (): Promise<{ readonly status: number }> =>
      callEndpoint(globex.issuer, '/token', {
        client: machine,
        form: { grant_type: 'client_credentials', resource: audience, scope: 'readings:read' },
      });
    await eventually('this process knows the API', async () => (await here()).status === 200, aSecond);
    await eventually(
      'the other process knows the API',
      async () => (await machineToken(globex, machine, audience)).status === 200,
      aSecond,
    );
  });

  it('a client that was disabled is refused at every other within a second, and its tokens with it', async () => {
    const { machine, resource_server: api } = initech.clients;
    const issued = await machineToken(initech, machine, initech.opaqueApi);
    expect(issued.status).toBe(200);
    const token = String(JSON.parse(issued.body).access_token);
    expect((await introspect(initech, api, token)).json['active']).toBe(true);
    await disableClient(server.context, { tenantId: initech.id, clientId: machine.clientId });
    await eventually(
      'the other process refuses the client',
      async () => (await machineToken(initech, machine)).status === 401,
      aSecond,
    );
    expect((await introspect(initech, api, token)).json).toEqual({ active: false });
  });

  it('a member who was disabled has no token any more, wherever it is asked about', async () => {
    const { web } = acme.clients;
    const tokens = await exchangeCode(
      acme,
      web,
      await authorize(createUserAgent(server.origin), { tenant: acme, client: web }),
    );
    const token = String(tokens.json['access_token']);
    expect((await introspect(acme, web, token)).json['active']).toBe(true);
    await changeMembershipStatus(server.context, { tenantId: acme.id, email: acme.person.email, status: 'disabled' });
    expect((await introspect(acme, web, token)).json).toEqual({ active: false });
    const read = await fetch(`${acme.issuer}/userinfo`, { headers: { authorization: `Bearer ${token}` } });
    expect(read.status).toBe(401);
  });

  it('a tenant that was suspended serves nobody at any process within a second, until it is resumed', async () => {
    const { machine } = globex.clients;
    expect((await machineToken(globex, machine)).status).toBe(200);
    await changeTenantStatus(server.context, { id: globex.id, status: 'suspended' });
    await eventually(
      'the other process refuses the tenant',
      async () => (await machineToken(globex, machine)).status !== 200,
      aSecond,
    );
    const refused = await machineToken(globex, machine);
    expect(refused.status).toBeGreaterThanOrEqual(400);
    expect(refused.status).toBeLessThan(500);
    expect((await machineToken(acme, acme.clients.machine)).status).toBe(200);

    await changeTenantStatus(server.context, { id: globex.id, status: 'active' });
    await eventually(
      'the other process serves the tenant again',
      async () => (await machineToken(globex, machine)).status === 200,
      aSecond,
    );
  });

  it('is not missed by a process that could not hear it', async () => {
    const { machine } = acme.clients;
    expect((await machineToken(acme, machine)).status).toBe(200);
    // Everyone is deaf for a moment, and the change happens in it.
    await terminateProductConnections(server.database.superuserUrl, "query like 'listen %'");
    await disableClient(server.context, { tenantId: acme.id, clientId: machine.clientId });
    await eventually(
      'the other process refuses the client',
      async () => (await machineToken(acme, machine)).status === 401,
      aSecond,
    );
  });
});
