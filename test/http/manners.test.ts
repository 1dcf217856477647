/** What every answer carries and what no answer tells: headers, request ids, problems, faults, and what health says about them. */

import { sendRaw } from '#test/support/raw_http.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createUserAgent } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

describe('the manners of the public door', () => {
  let server: TestServer;
  let acme: TestTenant;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
  });

  afterAll(() => server.close());

  const get = (path: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> =>
    fetch(server.origin + path, { headers, redirect: 'manual' });

  function askForToken(headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    const { clientId, clientSecret } = acme.clients.machine;
    const authorization = `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`;
    const body = new URLSearchParams({ grant_type: 'client_credentials' });
    return fetch(`${acme.issuer}/token`, { method: 'POST', headers: { authorization, ...headers }, body });
  }

  it('says at its own address what it is', async () => {
    const answer = await get('/', { 'accept-language': 'en' });
    expect(answer.status).toBe(200);
    expect(await answer.text()).toContain('This is where you sign in');
  });

  describe('the security headers', () => {
    it.each([
      ['a page', '/t/acme'],
      ['metadata', '/t/acme/.well-known/openid-configuration'],
      ['health', '/health/live'],
      ['what is not there', '/nowhere'],
      ['a refusal of the engine', '/t/acme/userinfo'],
    ])('are on %s', async (_name, path) => {
      const { headers } = await get(path);
      expect(headers.get('content-security-policy')).toMatch(/^default-src 'none'; .*frame-ancestors 'none'/);
      expect(headers.get('content-security-policy')).not.toContain('unsafe');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('x-frame-options')).toBe('DENY');
      expect(headers.get('referrer-policy')).toBe('same-origin');
      expect(headers.get('x-powered-by')).toBeNull();
    });

    it('demand TLS for the future where the public address has it, and only there', async () => {
      expect((await get('/health/live')).headers.get('strict-transport-security')).toBeNull();
      const secure = await startTestServer({ environment: { POORT_PUBLIC_URL: 'https://id.acme.example' } });
      try {
        const headers = [['Host', 'id.acme.example']] as const;
        const answer = await sendRaw(secure.config.http.port, { target: '/health/live', headers });
        expect(answer.header('strict-transport-security')).toMatch(/^max-age=\d{8}$/);
      } finally {
        await secure.close();
      }
    });
  });

  describe('the request id', () => {
    it('is made up for who brings none, a new one each time', async () => {
      const ids = await Promise.all([1, 2].map(async () => (await get('/health/live')).headers.get('x-request-id')));
      for (const id of ids) expect(id).toMatch(/^[0-9a-f-]{36}$/);
      expect(ids[0]).not.toBe(ids[1]);
    });

    it("is the caller's own, or the trace it belongs to (W3C Trace Context)", async () => {
      const own = await get('/health/live', { 'x-request-id': 'order-4711-retry' });
      expect(own.headers.get('x-request-id')).toBe('order-4711-retry');
      const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
      const traceparent = `00-${trace}-00f067aa0ba902b7-01`;
      expect(
        (await get('/health/live', { traceparent, 'x-request-id': 'order-4711' })).headers.get('x-request-id'),
      ).toBe(trace);
    });

    it.each([
      ['x-request-id', 'short'],
      ['x-request-id', `<script>alert(1)</script>`],
      ['x-request-id', 'x'.repeat(65)],
      ['traceparent', '00-00000000000000000000000000000000-00f067aa0ba902b7-01'],
    ])('is not taken from %s: %s', async (header, value) => {
      const { headers } = await get('/health/live', { [header]: value });
      expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    });

    it('follows a request into the event that it caused', async () => {
      const answer = await askForToken({ 'x-request-id': 'to-be-found-again' });
      expect(answer.status).toBe(200);
      const events = await queryAsSuperuser<{ type: string }>(
        server.database,
        "select type from events where request_id = 'to-be-found-again'",
      );
      expect(events).toEqual([{ type: 'token.issued' }]);
    });
  });

  describe('a refusal', () => {
    it('is a problem of RFC 9457 for a program, with a type that explains it', async () => {
      const answer = await get('/nowhere', { 'x-request-id': 'where-am-i' });
      expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
      const problem = (await answer.json()) as Record<string, unknown>;
      expect(problem).toMatchObject({ status: 404, code: 'not_found', request_id: 'where-am-i' });
      expect(problem).toEqual({ ...problem, title: expect.any(String), detail: expect.any(String) });
      const explanation = await fetch(String(problem['type']));
      expect(explanation.status).toBe(200);
      expect(await explanation.text()).toContain('not_found');
    });

    it('is a page with the same request id for a person', async () => {
      const answer = await get('/nowhere', { accept: 'text/html', 'x-request-id': 'where-am-i' });
      expect(answer.status).toBe(404);
      expect(answer.headers.get('content-type')).toMatch(/^text\/html/);
      expect(await answer.text()).toContain('where-am-i');
    });

    it('of the engine keeps the body of RFC 6749', async () => {
      const answer = await fetch(`${acme.issuer}/token`, { method: 'POST', body: new URLSearchParams() });
      expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
      expect(await answer.json()).toEqual({ error: expect.any(String), error_description: expect.any(String) });
    });
  });

  describe('a fault', () => {
    /** The database refuses what the product needs, in words that nobody outside may read. */
    async function whileEventsCannotBeWritten(act: () => Promise<void>): Promise<void> {
      await queryAsSuperuser(server.database, 'revoke insert on events from poort_app');
      try {
        await act();
      } finally {
        await queryAsSuperuser(server.database, 'grant insert on events to poort_app');
      }
    }

    const faultsOf = (requestId: string) =>
      server.log.filter((line) => line['level'] === 'error' && line['request_id'] === requestId);

    it('tells a program nothing of what is inside, and the log all of it, once', async () => {
      await whileEventsCannotBeWritten(async () => {
        const answer = await askForToken({ 'x-request-id': 'fault-of-a-token' });
        expect(answer.status).toBe(500);
        const body = await answer.text();
        expect(JSON.parse(body)).toEqual({ error: 'server_error', error_description: expect.any(String) });
        expect(body).not.toMatch(/permission|events|poort_app|\bat\b.*\.ts/);
      });
      expect(faultsOf('fault-of-a-token')).toHaveLength(1);
      expect(JSON.stringify(faultsOf('fault-of-a-token'))).toContain('permission denied for table events');
    });

    it('tells a person the request id and nothing of what is inside', async () => {
      await whileEventsCannotBeWritten(async () => {
        const agent = createUserAgent(server.origin, { 'x-request-id': 'fault-of-a-person' });
        const asked = new URLSearchParams({
          client_id: acme.clients.web.clientId,
          response_type: 'code',
          redirect_uri: 'http://localhost:9/callback',
          scope: 'openid',
          code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
          code_challenge_method: 'S256',
        });
        const page = await agent.follow(`${acme.issuer}/authorize?${asked}`);
        const after = await agent.submit(page, { email: acme.person.email, password: acme.person.password });
        expect(after.status).toBe(500);
        expect(after.body).toContain('fault-of-a-person');
        expect(after.body).not.toMatch(/permission denied|poort_app|\.ts:/);
      });
      expect(faultsOf('fault-of-a-person')).toHaveLength(1);
    });
  });

  describe('health', () => {
    const readiness = async () => {
      const answer = await get('/health/ready');
      return { status: answer.status, body: (await answer.json()) as { checks: Record<string, { status: string }> } };
    };

    it('says that the process lives', async () => {
      const answer = await get('/health/live');
      expect({ status: answer.status, body: await answer.json() }).toEqual({ status: 200, body: { status: 'live' } });
    });

    it('says that it is ready, and the state of each thing that it needs', async () => {
      expect(await readiness()).toEqual({
        status: 200,
        body: {
          status: 'ready',
          checks: {
            database: { status: 'ok' },
            keys: { status: 'ok' },
            limiter: { status: 'ok', store: 'postgresql' },
            mail: { status: 'development' },
            migrations: { status: 'ok' },
          },
        },
      });
    });

    it('is answered to a probe that asks by number', async () => {
      const headers = [['Host', '10.1.2.3:3000']] as const;
      const answer = await sendRaw(server.config.http.port, { target: '/health/ready', headers });
      expect(answer.status).toBe(200);
    });

    it('is not ready for a database that lacks a migration', async () => {
      const last = '(select max(name) from schema_migrations)';
      await queryAsSuperuser(
        server.database,
        `update schema_migrations set name = name || '.other' where name = ${last}`,
      );
      try {
        expect(await readiness()).toMatchObject({
          status: 503,
          body: { checks: { migrations: { status: 'failed' } } },
        });
      } finally {
        await queryAsSuperuser(
          server.database,
          `update schema_migrations set name = replace(name, '.other', '') where name like '%.other'`,
        );
      }
      expect((await readiness()).status).toBe(200);
    });

    it('is not ready while a tenant has no key to sign with', async () => {
      const change = (from: string, to: string): Promise<unknown> =>
        queryAsSuperuser(
          server.database,
          `update signing_keys set status = '${to}' where alg = 'ES256' and status = '${from}'`,
        );
      await change('active', 'retired');
      try {
        expect(await readiness()).toMatchObject({ status: 503, body: { checks: { keys: { status: 'failed' } } } });
      } finally {
        await change('retired', 'active');
      }
    });
  });
});
