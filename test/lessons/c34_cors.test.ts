/**
 * Row C34, reflected origins (Keycloak CVE-2026-37977; the engine refused `null` only from 9.11.4 on): which page may read an answer
 * comes from the registration of a client, never from the request, and `null` is nobody. Every endpoint, every kind of origin.
 */

import { updateClient } from '#src/flows/clients/manage_clients.ts';
import { registerAs } from '#test/support/protocol.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, createUserAgent, exchangeCode } from '#test/support/user_agent.ts';
import { createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

const spaOrigin = 'http://localhost:5173';
const namedOrigin = 'https://preview.app.test';
const webOrigin = 'https://web.app.test';

const foreign = [
  'null',
  'https://evil.test',
  'http://localhost:5174',
  'https://localhost:5173',
  'http://localhost',
  'http://LOCALHOST:5173',
  'http://localhost:5173/',
  'http://localhost:5173.evil.test',
  'https://preview.app.test.evil.test',
  'https://app.test',
  'http://preview.app.test',
  'https://preview.app.test:8443',
  `${spaOrigin}, https://evil.test`,
  'file://',
  '*',
] as const;

const endpoints = [
  ['/token', 'POST'],
  ['/introspect', 'POST'],
  ['/revoke', 'POST'],
  ['/par', 'POST'],
  ['/userinfo', 'GET'],
  ['/userinfo', 'POST'],
] as const;

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let spa: TestClient;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  spa = await registerAs(server, acme, {
    name: 'App',
    type: 'spa',
    firstParty: true,
    redirectUris: [`${spaOrigin}/callback`, 'http://localhost:9/callback'],
    settings: { allowed_origins: [namedOrigin] },
  });
  await registerAs(server, acme, { name: 'Web', type: 'web', redirectUris: [`${webOrigin}/callback`] });
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

function corsHeaders(answer: Response): Record<string, string> {
  return Object.fromEntries([...answer.headers].filter(([name]) => name.startsWith('access-control-')));
}

function preflight(url: string, origin: string, method = 'POST'): Promise<Response> {
  return fetch(url, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': method,
      'access-control-request-headers': 'authorization,dpop,content-type',
    },
  });
}

const form = { 'content-type': 'application/x-www-form-urlencoded' };

describe('C34: a preflight', () => {
  it.each(endpoints)('of %s (%s) allows the origins of clients and no other', async (path, method) => {
    for (const origin of [spaOrigin, namedOrigin]) {
      const answer = await preflight(acme.issuer + path, origin, method);
      expect(corsHeaders(answer)).toMatchObject({ 'access-control-allow-origin': origin });
      expect(corsHeaders(answer)).not.toHaveProperty('access-control-allow-credentials');
      expect(answer.headers.get('vary')).toMatch(/origin/i);
    }
    for (const origin of foreign) {
      expect({ origin, headers: corsHeaders(await preflight(acme.issuer + path, origin, method)) }).toEqual({
        origin,
        headers: {},
      });
    }
    // What is registered at one tenant means nothing at another.
    expect(corsHeaders(await preflight(globex.issuer + path, spaOrigin, method))).toEqual({});
  });

  it.each(['/authorize', '/logout', '/logout/confirm', '/interaction/x', '/nowhere'])(
    'of %s, where a browser goes and no script, is answered with nothing',
    async (path) => {
      for (const origin of [spaOrigin, 'https://evil.test', 'null']) {
        expect(corsHeaders(await preflight(acme.issuer + path, origin))).toEqual({});
      }
    },
  );
});

describe('C34: an answer', () => {
  it.each(endpoints)('of %s (%s) that knows no client is read by the origins of clients only', async (path, method) => {
    for (const [origin, allowed] of [
      [spaOrigin, true],
      [namedOrigin, true],
      ...foreign.map((other) => [other, false] as const),
    ] as const) {
      const headers = { origin, ...(method === 'POST' ? form : {}), authorization: 'Bearer at_nobody' };
      const answer = await fetch(acme.issuer + path, { method, headers });
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect({ origin, acao: answer.headers.get('access-control-allow-origin') }).toEqual({
        origin,
        acao: allowed ? origin : null,
      });
    }
  });

  it('to a public client is read at its own origins, and refused at any other', async () => {
    const ask = (origin: string): Promise<Response> =>
      fetch(`${acme.issuer}/token`, {
        method: 'POST',
        headers: { origin, ...form },
        body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: 'rt_x', client_id: spa.clientId }),
      });
    for (const origin of [spaOrigin, namedOrigin]) {
      const answer = await ask(origin);
      expect(answer.headers.get('access-control-allow-origin')).toBe(origin);
      expect(await answer.json()).toMatchObject({ error: 'invalid_grant' });
    }
    for (const origin of [...foreign, webOrigin]) {
      const answer = await ask(origin);
      expect({ origin, headers: corsHeaders(answer), body: await answer.json() }).toMatchObject({
        origin,
        headers: {},
        body: { error: 'invalid_request' },
      });
    }
  });

  it('to a confidential client is read by no page, not even its own', async () => {
    const { clientId, clientSecret } = await registerAs(server, acme, {
      name: 'Shop',
      type: 'web',
      redirectUris: [`${spaOrigin}/shop`],
    });
    const authorization = `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`;
    for (const path of ['/token', '/introspect', '/revoke', '/par']) {
      const answer = await fetch(acme.issuer + path, {
        method: 'POST',
        headers: { origin: spaOrigin, authorization, ...form },
        body: 'token=x&grant_type=client_credentials',
      });
      expect({ path, status: answer.status, headers: corsHeaders(answer) }).toEqual({ path, status: 400, headers: {} });
    }
  });

  it('of userinfo goes by the client of a living token; a forged one names nobody', async () => {
    const tokens = await exchangeCode(
      acme,
      spa,
      await authorize(createUserAgent(server.origin), { tenant: acme, client: spa }),
    );
    const ask = (origin: string, token: unknown): Promise<Response> =>
      fetch(`${acme.issuer}/userinfo`, { headers: { origin, authorization: `Bearer ${token}` } });
    const { access_token: token } = tokens.json;
    const own = await ask(spaOrigin, token);
    expect([own.status, own.headers.get('access-control-allow-origin')]).toEqual([200, spaOrigin]);
    for (const origin of [...foreign, webOrigin]) {
      const answer = await ask(origin, token);
      expect([origin, answer.status, corsHeaders(answer)]).toEqual([origin, 400, {}]);
    }
    // The claim of a token nobody signed, in the shape of one of ours.
    const claims = {
      iss: acme.issuer,
      client_id: spa.clientId,
      azp: spa.clientId,
      'allowed-origins': ['https://evil.test'],
    };
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const forged = `${part({ alg: 'none', typ: 'at+jwt' })}.${part(claims)}.`;
    const refused = await ask('https://evil.test', forged);
    expect([refused.status, corsHeaders(refused)]).toEqual([401, {}]);
  });

  it.each(['/jwks', '/.well-known/openid-configuration', '/.well-known/oauth-authorization-server'])(
    'of %s is the same for everyone, and names nobody',
    async (path) => {
      for (const origin of [spaOrigin, 'https://evil.test', 'null']) {
        const answer = await fetch(acme.issuer + path, { headers: { origin } });
        expect(answer.headers.get('access-control-allow-origin')).toBe('*');
        const asked = await preflight(acme.issuer + path, origin, 'GET');
        expect(asked.headers.get('access-control-allow-origin')).toBe('*');
      }
    },
  );
});

describe('C34: a registration that changes', () => {
  it('is what counts at once', async () => {
    const url = `${globex.issuer}/token`;
    expect(corsHeaders(await preflight(url, 'https://new.app.test'))).toEqual({});
    const changes = { settings: { allowed_origins: ['https://new.app.test'] } };
    const { clientId } = globex.clients.spa;
    expect(await updateClient(server.context, { tenantId: globex.id, clientId, changes })).toMatchObject({
      outcome: 'updated',
    });
    const until = async (allowed: boolean): Promise<void> => {
      for (;;) {
        const { headers } = await preflight(url, 'https://new.app.test');
        if (headers.has('access-control-allow-origin') === allowed) return;
      }
    };
    await until(true);
    await updateClient(server.context, {
      tenantId: globex.id,
      clientId,
      changes: { settings: { allowed_origins: null } },
    });
    await until(false);
  });
});
