/** Alive, ready, draining, gone: what whoever starts, watches and stops this process can see of it. */
import { openInteraction } from '#test/support/attack_surface.ts';
import { openConnection, type RawAnswer, type RawConnection, sendRaw } from '#test/support/raw_http.ts';
import { eventually, terminateProductConnections, withConnection } from '#test/support/sql.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, callEndpoint, createUserAgent, exchangeCode } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const hostOf = (server: TestServer): readonly [string, string] => ['Host', new URL(server.origin).host];
const get = (server: TestServer, target: string, accept = 'application/json'): Promise<RawAnswer> =>
  sendRaw(server.config.http.port, { target, headers: [hostOf(server), ['Accept', accept]] });

describe('health', () => {
  it('is live and ready, with a state for each part, and names nothing secret', async () => {
    const server = await startTestServer();
    try {
      await createTestTenant(server, 'acme');
      const live = await get(server, '/health/live');
      expect([live.status, JSON.parse(live.body)]).toEqual([200, { status: 'live' }]);
      const ready = await get(server, '/health/ready');
      expect([ready.status, JSON.parse(ready.body)]).toEqual([
        200,
        {
          status: 'ready',
          checks: {
            database: { status: 'ok' },
            keys: { status: 'ok' },
            limiter: { status: 'ok', store: 'postgresql' },
            mail: { status: 'development' },
            migrations: { status: 'ok' },
          },
        },
      ]);
    } finally {
      await server.close();
    }
  });

  it('is not ready when a tenant cannot sign, or a migration is missing', async () => {
    const server = await startTestServer();
    try {
      const acme = await createTestTenant(server, 'acme');
      await withConnection(server.database.superuserUrl, async (superuser) => {
        await superuser.query('update signing_keys set status = $2 where tenant_id = $1', [acme.id, 'retired']);
        await superuser.query('delete from schema_migrations where name = (select max(name) from schema_migrations)');
      });
      const ready = await get(server, '/health/ready');
      expect(ready.status).toBe(503);
      expect(JSON.parse(ready.body)).toMatchObject({
        status: 'unavailable',
        checks: { database: { status: 'ok' }, keys: { status: 'failed' }, migrations: { status: 'failed' } },
      });
    } finally {
      await server.close();
    }
  });
});

describe('a database that goes away', () => {
  let server: TestServer;
  let acme: TestTenant;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
  });

  afterAll(() => server.close());

  /** Nobody gets in and who is in is thrown out, as when it is restored or moved. */
  async function setReachable(reachable: boolean): Promise<void> {
    const { pathname } = new URL(server.database.superuserUrl);
    const elsewhere = new URL(server.database.superuserUrl);
    elsewhere.pathname = '/postgres';
    await withConnection(elsewhere.href, async (superuser) => {
      await superuser.query(`alter database ${pathname.slice(1)} allow_connections ${reachable}`);
      if (reachable) return;
      await superuser.query('select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1', [
        pathname.slice(1),
      ]);
    });
  }

  it('makes the server say so, at once and to everyone, and is forgotten when it is back', async () => {
    const agent = createUserAgent(server.origin);
    const { web } = acme.clients;
    const tokens = await exchangeCode(acme, web, await authorize(agent, { tenant: acme, client: web }));
    const opened = await openInteraction(server, { tenant: acme });

    await setReachable(false);
    try {
      const live = await get(server, '/health/live');
      expect(live.status).toBe(200);
      const ready = await get(server, '/health/ready');
      expect(ready.status).toBe(503);
      expect(JSON.parse(ready.body)).toMatchObject({
        status: 'unavailable',
        checks: { database: { status: 'failed' }, keys: { status: 'failed' }, limiter: { status: 'failed' } },
      });

      const page = await get(server, `/t/acme/interaction/${opened.uid}`, 'text/html');
      expect([page.status, page.header('content-type')]).toEqual([503, 'text/html; charset=utf-8']);
      expect(Number(page.header('retry-after'))).toBeGreaterThan(0);
      const program = await get(server, '/t/unheard-of/token');
      expect([program.status, JSON.parse(program.body).code]).toEqual([503, 'temporarily_unavailable']);
      expect(Number(program.header('retry-after'))).toBeGreaterThan(0);

      const introspection = await callEndpoint(acme.issuer, '/introspect', {
        client: web,
        form: { token: String(tokens.json['access_token']) },
      });
      expect(introspection.status).toBeGreaterThanOrEqual(500);
      // Never "inactive": an API would throw out everybody because of us.
      expect(introspection.json).not.toHaveProperty('active');
      expect(String(introspection.json['error'] ?? introspection.json['code'])).toMatch(
        /^(server_error|temporarily_unavailable)$/,
      );
      const text = JSON.stringify([ready.body, page.body, program.body, introspection.json]);
      expect(text).not.toMatch(/postgres|SQLSTATE|55000|poort_app|password|127\.0\.0\.1/i);
    } finally {
      await setReachable(true);
    }

    await eventually('ready again', async () => (await get(server, '/health/ready')).status === 200);
    const introspection = await callEndpoint(acme.issuer, '/introspect', {
      client: web,
      form: { token: String(tokens.json['access_token']) },
    });
    expect(introspection.json['active']).toBe(true);
    expect((await authorize(createUserAgent(server.origin), { tenant: acme, client: web })).code).toMatch(/^ac_/);
  });

  it('for a moment is not noticed by readers', async () => {
    const { web } = acme.clients;
    await callEndpoint(acme.issuer, '/introspect', { client: web, form: { token: 'at_x' } });
    await terminateProductConnections(server.database.superuserUrl);
    const answers = await Promise.all(
      Array.from({ length: 8 }, () =>
        callEndpoint(acme.issuer, '/introspect', { client: web, form: { token: 'at_x' } }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200));
  });

  it('for good does not hang anybody', async () => {
    const lost = await startTestServer();
    try {
      await createTestTenant(lost, 'acme');
      await lost.database.drop();
      const answers = await Promise.all(
        ['/health/ready', '/t/acme/jwks', '/t/acme', '/t/other'].map((target) => get(lost, target)),
      );
      expect(answers.map(({ status }) => status)).toEqual([503, 503, 503, 503]);
      expect((await get(lost, '/health/live')).status).toBe(200);
    } finally {
      // Its own database is gone already.
      await lost.close().catch(() => undefined);
    }
  });
});

describe('a server that is stopped', () => {
  /** A request whose body is still on its way. */
  async function beginSignIn(
    server: TestServer,
    tenant: TestTenant,
  ): Promise<{ connection: RawConnection; rest: string }> {
    const { path, cookie, csrf } = await openInteraction(server, { tenant });
    const { email, password } = tenant.person;
    const body = new URLSearchParams({ csrf, email, password }).toString();
    const connection = await openConnection(server.config.http.port);
    connection.write(
      `POST ${path} HTTP/1.1\r\nHost: ${new URL(server.origin).host}\r\nCookie: ${cookie}\r\nExpect: 100-continue\r\n` +
        `Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 10)}`,
    );
    // Only now it is certain that the server is working on it.
    await connection.until(/^HTTP\/1\.1 100 /);
    return { connection, rest: body.slice(10) };
  }

  const refusesConnections = async (server: TestServer): Promise<boolean> => {
    const connection = await openConnection(server.config.http.port).catch(() => undefined);
    connection?.destroy();
    return connection === undefined;
  };

  it('finishes what it has begun, takes nothing new, and says that it is draining', async () => {
    const server = await startTestServer({
      change: (config) => ({ ...config, http: { ...config.http, drainSeconds: 20 } }),
    });
    const acme = await createTestTenant(server, 'acme');
    const { connection, rest } = await beginSignIn(server, acme);
    let isClosed = false;
    const closed = server.close().then(() => {
      isClosed = true;
    });
    await eventually('no new connections', () => refusesConnections(server));
    expect(isClosed).toBe(false);

    // Who still has a connection is told to go elsewhere.
    connection.write(`${rest}GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n`);
    await connection.until(/"draining"/);
    expect(connection.received).toMatch(/^HTTP\/1\.1 303 /m);
    expect(connection.received).toContain(`${acme.issuer}/authorize/`);
    const [, told = ''] = connection.received.split('HTTP/1.1 503');
    expect(told).toMatch(/connection: close/i);
    await connection.closed;
    await closed;
    expect(server.log).toEqual([]);
  });

  it('waits no longer than it was told for those who never finish', async () => {
    const server = await startTestServer({
      change: (config) => ({ ...config, http: { ...config.http, drainSeconds: 0.2 } }),
    });
    const acme = await createTestTenant(server, 'acme');
    const { connection } = await beginSignIn(server, acme);
    await server.close();
    await connection.closed;
    expect(connection.received).not.toMatch(/HTTP\/1\.1 303/);
  });

  it('does not wait for the next request of a connection that has just been answered', async () => {
    const server = await startTestServer({
      change: (config) => ({ ...config, http: { ...config.http, drainSeconds: 20 } }),
    });
    const acme = await createTestTenant(server, 'acme');
    const { connection, rest } = await beginSignIn(server, acme);
    const closed = server.close();
    await eventually('no new connections', () => refusesConnections(server));
    connection.write(rest);
    const answeredAt = connection.until(/^HTTP\/1\.1 303 /m).then(() => performance.now());
    await closed;
    // Far below the five seconds for which Node keeps an idle connection.
    expect(performance.now() - (await answeredAt)).toBeLessThan(3_000);
  });

  it('lets go of idle connections at once', async () => {
    const server = await startTestServer({
      change: (config) => ({ ...config, http: { ...config.http, drainSeconds: 20 } }),
    });
    const idle = await openConnection(server.config.http.port);
    idle.write(`GET /health/live HTTP/1.1\r\nHost: ${new URL(server.origin).host}\r\n\r\n`);
    await idle.until(/"live"/);
    const started = performance.now();
    await server.close();
    await idle.closed;
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});
