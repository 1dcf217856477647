/**
 * What each request costs in round trips to PostgreSQL, with the caches warm. Latency of a network multiplies with them, so a
 * budget is kept: a change that needs one more must say so here.
 */
import { callApi } from '#test/support/api_calls.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  callEndpoint,
  createUserAgent,
  type EndpointAnswer,
  exchangeCode,
  introspect,
  refresh,
  type UserAgent,
} from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let agent: UserAgent;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  agent = createUserAgent(server.origin);
  await tokensOf();
});

afterAll(() => server.close());

async function tokensOf(extra: Readonly<Record<string, string>> = {}): Promise<EndpointAnswer['json']> {
  const { web } = acme.clients;
  const tokens = await exchangeCode(acme, web, await authorize(agent, { tenant: acme, client: web, extra }));
  expect(tokens.status).toBe(200);
  return tokens.json;
}

/** Does it once to warm what is cached, then counts. */
async function roundTripsOf(request: () => Promise<{ readonly status: number }>, status = 200): Promise<number> {
  expect((await request()).status).toBe(status);
  const before = server.server.house.database.roundTrips();
  expect((await request()).status).toBe(status);
  return server.server.house.database.roundTrips() - before;
}

async function get(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  const response = await fetch(url, { headers });
  await response.arrayBuffer();
  return response;
}

const machineToken = (resource: string): Promise<EndpointAnswer> =>
  callEndpoint(acme.issuer, '/token', {
    client: acme.clients.machine,
    form: { grant_type: 'client_credentials', resource, scope: 'readings:read' },
  });

describe('a round trip to PostgreSQL is taken', () => {
  it('at most once for introspecting a person’s opaque access token (budget 1)', async () => {
    const token = String((await tokensOf())['access_token']);
    expect((await introspect(acme, acme.clients.web, token)).json['active']).toBe(true);
    expect(await roundTripsOf(() => introspect(acme, acme.clients.web, token))).toBeLessThanOrEqual(1);
  });

  it('at most once for introspecting a client’s own opaque access token (budget 1)', async () => {
    const token = String((await machineToken(acme.opaqueApi)).json['access_token']);
    const { resource_server: api } = acme.clients;
    expect((await introspect(acme, api, token)).json['active']).toBe(true);
    expect(await roundTripsOf(() => introspect(acme, api, token))).toBeLessThanOrEqual(1);
  });

  it('at most once for introspecting a refresh token (budget 1)', async () => {
    const token = String((await tokensOf())['refresh_token']);
    expect((await introspect(acme, acme.clients.web, token)).json['active']).toBe(true);
    expect(await roundTripsOf(() => introspect(acme, acme.clients.web, token))).toBeLessThanOrEqual(1);
  });

  it('at most once for introspecting a person’s JWT access token (budget 1)', async () => {
    const extra = { resource: acme.jwtApi, scope: 'openid readings:read' };
    const token = String((await tokensOf(extra))['access_token']);
    for (const reader of [acme.clients.web, acme.clients.resource_server]) {
      expect((await introspect(acme, reader, token)).json['active']).toBe(true);
      expect(await roundTripsOf(() => introspect(acme, reader, token))).toBeLessThanOrEqual(1);
    }
  });

  it('at most once for introspecting a client’s own JWT access token (budget 1)', async () => {
    const token = String((await machineToken(acme.jwtApi)).json['access_token']);
    const { resource_server: api } = acme.clients;
    expect((await introspect(acme, api, token)).json['active']).toBe(true);
    expect(await roundTripsOf(() => introspect(acme, api, token))).toBeLessThanOrEqual(1);
  });

  it('never for introspecting a JWT that is not signed by the tenant (budget 0)', async () => {
    const token = `${String((await machineToken(acme.jwtApi)).json['access_token']).slice(0, -8)}AAAAAAAA`;
    expect(await roundTripsOf(() => introspect(acme, acme.clients.web, token))).toBe(0);
  });

  it.each(['opaque', 'jwt'] as const)(
    'at most twice for revoking a client’s own %s token (budget 2)',
    async (format) => {
      const resource = format === 'jwt' ? acme.jwtApi : acme.opaqueApi;
      const issued = [await machineToken(resource), await machineToken(resource)];
      const tokens = issued.map(({ json }) => String(json['access_token']));
      const revoke = (): Promise<EndpointAnswer> =>
        callEndpoint(acme.issuer, '/revoke', { client: acme.clients.machine, form: { token: tokens.pop() ?? '' } });
      expect(await roundTripsOf(revoke)).toBeLessThanOrEqual(2);
    },
  );

  it('never for introspecting what cannot be a token (budget 0)', async () => {
    expect(await roundTripsOf(() => introspect(acme, acme.clients.web, 'nothing of ours'))).toBe(0);
  });

  it('at most once for client credentials with an opaque token (budget 1)', async () => {
    expect(await roundTripsOf(() => machineToken(acme.opaqueApi))).toBeLessThanOrEqual(1);
  });

  it('at most once for client credentials with a JWT (budget 1)', async () => {
    expect(await roundTripsOf(() => machineToken(acme.jwtApi))).toBeLessThanOrEqual(1);
  });

  it.each(['opaque', 'jwt'] as const)(
    'at most twice for the exchange of a code for %s tokens (budget 4)',
    async (format) => {
      const { web } = acme.clients;
      const resource = format === 'jwt' ? acme.jwtApi : acme.opaqueApi;
      const extra = { resource, scope: 'openid email readings:read' };
      const codes = [
        await authorize(agent, { tenant: acme, client: web, extra }),
        await authorize(agent, { tenant: acme, client: web, extra }),
      ];
      const exchange = async (): Promise<EndpointAnswer> => {
        const code = codes.pop();
        if (code === undefined) throw new Error('more exchanges than codes');
        return exchangeCode(acme, web, code);
      };
      expect(await roundTripsOf(exchange)).toBeLessThanOrEqual(2);
    },
  );

  it('at most twice for a refresh (budget 4)', async () => {
    let token = String((await tokensOf())['refresh_token']);
    const next = async (): Promise<EndpointAnswer> => {
      const answer = await refresh(acme, acme.clients.web, token);
      token = String(answer.json['refresh_token']);
      return answer;
    };
    expect(await roundTripsOf(next)).toBeLessThanOrEqual(2);
  });

  it('at most once for userinfo (budget 5)', async () => {
    const authorization = `Bearer ${(await tokensOf())['access_token']}`;
    expect(await roundTripsOf(() => get(`${acme.issuer}/userinfo`, { authorization }))).toBeLessThanOrEqual(1);
  });

  it('at most once for whoever calls our own REST API with an access token (budget 1)', async () => {
    const token = String((await tokensOf())['access_token']);
    // Refused before anything is read of the list: a transaction of its own would be four.
    const ask = () => callApi(acme.issuer, '/api-keys?limit=0', { token });
    expect(await roundTripsOf(ask, 400)).toBeLessThanOrEqual(1);
  });

  it('at most once for an API key, and never again for one that is known (budget 1)', async () => {
    const token = String((await tokensOf())['access_token']);
    const { json } = await callApi(acme.issuer, '/api-keys', { method: 'POST', token, body: { name: 'robot' } });
    const ask = () => callApi(acme.issuer, '/service/status', { key: String(json['key']) });
    const { database } = server.server.house;
    const before = database.roundTrips();
    expect((await ask()).status).toBe(200);
    expect(database.roundTrips() - before).toBeLessThanOrEqual(1);
    expect(await roundTripsOf(ask)).toBe(0);
  });

  it('once for a key that never was, and never for what cannot be one', async () => {
    const ask = (key: string) => () => callApi(acme.issuer, '/service/status', { key });
    expect(await roundTripsOf(ask(`pk_${'A'.repeat(43)}`), 401)).toBe(1);
    expect(await roundTripsOf(ask('nothing of ours'), 401)).toBe(0);
  });

  it('at most 3 times for an authorization request with a session (budget 5)', async () => {
    const { url } = authorizationRequest(acme, acme.clients.web);
    expect(await roundTripsOf(() => agent.request(url), 303)).toBeLessThanOrEqual(3);
  });

  it('at most 3 times for an application that was agreed to, in that browser or another (budget 5)', async () => {
    const client = acme.clients.third;
    await authorize(agent, { tenant: acme, client });
    const { url } = authorizationRequest(acme, client);
    expect(await roundTripsOf(() => agent.request(url), 303)).toBeLessThanOrEqual(3);
    const others = [createUserAgent(server.origin), createUserAgent(server.origin)];
    for (const other of others) await authorize(other, { tenant: acme, client: acme.clients.web });
    const elsewhere = async (): Promise<{ status: number }> => {
      const page = await (others.pop() ?? agent).request(url);
      expect(page.headers.get('location')).toContain('code=');
      return page;
    };
    expect(await roundTripsOf(elsewhere, 303)).toBeLessThanOrEqual(4);
  });

  it('at most once for an authorization request without a session (budget 5)', async () => {
    const { url } = authorizationRequest(acme, acme.clients.web);
    const stranger = (): Promise<{ status: number }> => createUserAgent(server.origin).request(url);
    expect(await roundTripsOf(stranger, 303)).toBeLessThanOrEqual(1);
  });

  it('at most twice for a revocation (budget 5)', async () => {
    const tokens = [await tokensOf(), await tokensOf()].map((issued) => String(issued['access_token']));
    const revoke = (): Promise<EndpointAnswer> =>
      callEndpoint(acme.issuer, '/revoke', { client: acme.clients.web, form: { token: tokens.pop() ?? '' } });
    expect(await roundTripsOf(revoke)).toBeLessThanOrEqual(2);
  });

  it('at most once for a pushed authorization request (budget 5)', async () => {
    const push = (): Promise<EndpointAnswer> =>
      callEndpoint(acme.issuer, '/par', {
        client: acme.clients.web,
        form: Object.fromEntries(new URL(authorizationRequest(acme, acme.clients.web).url).searchParams),
      });
    expect(await roundTripsOf(push, 201)).toBeLessThanOrEqual(1);
  });

  it.each(['/.well-known/openid-configuration', '/jwks'])('never for %s (budget 0)', async (path) => {
    expect(await roundTripsOf(() => get(acme.issuer + path))).toBe(0);
  });

  it('never for a client whose secret is wrong (budget 0)', async () => {
    const client = { ...acme.clients.machine, clientSecret: 'wrong' };
    const attempt = (): Promise<EndpointAnswer> =>
      callEndpoint(acme.issuer, '/token', { client, form: { grant_type: 'client_credentials' } });
    expect(await roundTripsOf(attempt, 401)).toBe(0);
  });
});
