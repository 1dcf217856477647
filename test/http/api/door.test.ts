/** Who gets through the door of the REST API, and what everybody else is told. Tokens are real, of a running server. */
import * as jose from 'jose';
import { z } from 'zod';
import type { ApiKeyVerification } from '#src/flows/access/api_keys.ts';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { changeTenantStatus } from '#src/flows/tenants/manage_tenants.ts';
import { anybody, bearer, describeChain, serviceKey } from '#src/http/api/chains.ts';
import { line } from '#src/http/api/input.ts';
import { answerList, listQuery } from '#src/http/api/pages_of_lists.ts';
import { route } from '#src/http/api/routes.ts';
import { type ApiServer, startApiServer } from '#test/support/api_server.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, callEndpoint, createUserAgent, exchangeCode } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

const allowance = { limit: 60, windowSeconds: 60, remaining: 12, resetSeconds: 7 };

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let api: ApiServer;
let outsider: TestClient;
let machine: TestClient;
let verification: ApiKeyVerification = { outcome: 'unknown' };

const routes = [
  route({ summary: 'x', method: 'GET', path: '/api/v1/open', chain: anybody(), handle: async () => ({ status: 204 }) }),
  route({
    statuses: [200],
    summary: 'x',
    method: 'GET',
    path: '/api/v1/caller',
    chain: bearer(),
    handle: async ({ caller }) => ({ status: 200, body: { ...caller, scopes: [...caller.scopes] } }),
  }),
  route({
    statuses: [200],
    summary: 'x',
    method: 'GET',
    path: '/api/v1/keys-of-mine',
    chain: bearer({ scope: 'api_keys:manage', kinds: ['user'] }),
    handle: async () => ({ status: 200, body: {} }),
  }),
  route({
    statuses: [200],
    summary: 'x',
    method: 'GET',
    path: '/api/v1/audit',
    chain: bearer({ permission: 'audit:read' }),
    handle: async () => ({ status: 200, body: {} }),
  }),
  route({
    statuses: [201],
    summary: 'x',
    method: 'POST',
    path: '/api/v1/things/{id}',
    chain: bearer(),
    body: z.strictObject({ name: line(5), tags: z.array(line(5)).max(2) }),
    handle: async ({ body, parameters }) => ({ status: 201, body: { ...body, id: parameters['id'] } }),
  }),
  route({
    statuses: [200],
    summary: 'x',
    method: 'GET',
    path: '/api/v1/things',
    chain: anybody(),
    query: listQuery.extend({ state: z.enum(['on', 'off']).optional() }),
    handle: async ({ query }) => {
      const ids = Array.from({ length: 5 }, (_, index) => `00000000-0000-7000-8000-00000000000${index}`);
      const from = query.cursor === undefined ? 0 : ids.indexOf(query.cursor) + 1;
      const rows = ids.slice(from, from + query.limit + 1).map((id) => ({ id }));
      return { status: 200, body: answerList(rows, query, (row) => row) };
    },
  }),
  route({
    statuses: [200],
    summary: 'x',
    method: 'GET',
    path: '/api/v1/service/thing',
    chain: serviceKey({ scope: 'things:read' }),
    handle: async ({ caller }) => ({ status: 200, body: { key: caller.name } }),
  }),
];

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  outsider = await newClient({
    name: 'outsider',
    type: 'web',
    redirectUris: [callbackUri],
    scopes: ['api_keys:manage'],
  });
  machine = await newClient({ name: 'robot', type: 'machine', scopes: ['api_keys:manage', 'readings:read'] });
  api = await startApiServer(server, { routes, verifyApiKey: async () => verification });
});

afterAll(async () => {
  await api.close();
  await server.close();
});

async function newClient(client: Parameters<typeof createClient>[1]['client']): Promise<TestClient> {
  const created = await createClient(server.context, { tenantId: acme.id, client });
  if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
  return { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
}

async function personToken(
  tenant: TestTenant,
  client: TestClient,
  extra: Record<string, string> = {},
): Promise<string> {
  const authorized = await authorize(createUserAgent(server.origin), { tenant, client, extra });
  const { json } = await exchangeCode(tenant, client, authorized);
  return String(json['access_token']);
}

const machineToken = (client: TestClient, form: Record<string, string> = {}) =>
  callEndpoint(acme.issuer, '/token', { client, form: { grant_type: 'client_credentials', ...form } });

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly json: Readonly<Record<string, unknown>>;
}

async function call(
  path: string,
  {
    token,
    method = 'GET',
    headers = {},
    body,
    tenant = 'acme',
  }: { token?: string; method?: string; headers?: Record<string, string>; body?: unknown; tenant?: string } = {},
): Promise<Answer> {
  const answer = await fetch(`${api.origin}/t/${tenant}/api/v1${path}`, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, json: text === '' ? {} : JSON.parse(text) };
}

describe('a caller of the REST API', () => {
  it('is the person behind the token, with what they may do now, found in one read', async () => {
    const token = await personToken(acme, acme.clients.web);
    await call('/caller', { token });
    const { json } = await call('/caller', { token });
    expect(json).toMatchObject({
      kind: 'user',
      userId: acme.person.id,
      clientId: acme.clients.web.clientId,
      firstParty: true,
      roles: expect.arrayContaining(['admin']),
      permissions: expect.arrayContaining(['audit:read']),
    });
  });

  it('is an application in its own name, with the scopes it is registered for', async () => {
    const issued = await machineToken(machine, { scope: 'api_keys:manage' });
    expect(issued.json).toMatchObject({ scope: 'api_keys:manage' });
    const { json } = await call('/caller', { token: String(issued.json['access_token']) });
    expect(json).toMatchObject({
      kind: 'client',
      clientId: machine.clientId,
      scopes: ['api_keys:manage'],
      roles: [],
      permissions: [],
    });
    expect(json).not.toHaveProperty('userId');
  });

  it('does not get a scope of ours that its client is not registered for', async () => {
    for (const client of [machine, acme.clients.machine]) {
      const { status, json } = await machineToken(client, { scope: 'devices:manage' });
      expect({ status, error: json['error'] }).toEqual({ status: 400, error: 'invalid_scope' });
    }
  });

  it('is told how to become one when it shows nothing, and of no mistake (RFC 6750 §3)', async () => {
    const { status, headers, json } = await call('/caller', { headers: { accept: 'text/html' } });
    expect({ status, code: json['code'] }).toEqual({ status: 401, code: 'unauthorized' });
    const challenge = headers.get('www-authenticate');
    expect(challenge).toContain(`Bearer realm="${acme.issuer}"`);
    expect(challenge).toContain(`DPoP realm="${acme.issuer}", algs="ES256 EdDSA"`);
    expect(challenge).not.toContain('error');
    expect(headers.get('content-type')).toContain('application/problem+json');
  });

  it('is the same nobody with a token that is unknown, another tenant’s, revoked, for an API, or of another kind', async () => {
    const revoked = await personToken(acme, acme.clients.web);
    await callEndpoint(acme.issuer, '/revoke', { client: acme.clients.web, form: { token: revoked } });
    const authorized = await authorize(createUserAgent(server.origin), { tenant: acme, client: acme.clients.web });
    const tokens = (await exchangeCode(acme, acme.clients.web, authorized)).json;
    const forApi = { scope: 'openid readings:read' };
    const bad = [
      'at_unknown',
      'x',
      await personToken(globex, globex.clients.web),
      revoked,
      await personToken(acme, acme.clients.web, { ...forApi, resource: acme.opaqueApi }),
      String((await machineToken(acme.clients.machine, { resource: acme.opaqueApi })).json['access_token']),
      String(tokens['refresh_token']),
    ];
    const answers = await Promise.all(bad.map((token) => call('/caller', { token })));
    for (const { status, json, headers } of answers) {
      expect({ status, code: json['code'] }).toEqual({ status: 401, code: 'invalid_token' });
      expect(headers.get('www-authenticate')).toContain('Bearer realm="');
      expect(headers.get('www-authenticate')).toContain('error="invalid_token"');
    }
    // A structured token is longer than any of ours: it is not even looked at.
    const jwt = await personToken(acme, acme.clients.web, { ...forApi, resource: acme.jwtApi });
    expect((await call('/caller', { token: jwt })).json['code']).toMatch(/^(invalid_token|unauthorized)$/);
  });

  it('needs the scope, unless it is a person at the tenant’s own application', async () => {
    const without = await personToken(acme, outsider, { scope: 'openid' });
    const refused = await call('/keys-of-mine', { token: without });
    expect({ status: refused.status, code: refused.json['code'] }).toEqual({ status: 403, code: 'insufficient_scope' });
    expect(refused.headers.get('www-authenticate')).toContain('error="insufficient_scope", scope="api_keys:manage"');
    const asked = await personToken(acme, outsider, { scope: 'openid api_keys:manage' });
    expect((await call('/keys-of-mine', { token: asked })).status).toBe(200);
    const own = await personToken(acme, acme.clients.web, { scope: 'openid' });
    expect((await call('/keys-of-mine', { token: own })).status).toBe(200);
    const robot = String((await machineToken(machine, { scope: 'api_keys:manage' })).json['access_token']);
    expect((await call('/keys-of-mine', { token: robot })).json['code']).toBe('wrong_kind_of_caller');
  });

  it('needs the permission itself, whatever the token says', async () => {
    expect((await call('/audit', { token: await personToken(acme, acme.clients.web) })).status).toBe(200);
    const robot = String((await machineToken(machine, { scope: 'api_keys:manage' })).json['access_token']);
    expect((await call('/audit', { token: robot })).json['code']).toBe('insufficient_permission');
  });

  it('with a bound token proves that it holds the key, for this request and once (RFC 9449 §7)', async () => {
    const keys = await jose.generateKeyPair('ES256', { extractable: true });
    const prove = async (htu: string, htm: string, token?: string): Promise<string> => {
      const ath = token === undefined ? undefined : await digest(token);
      const claims = { jti: crypto.randomUUID(), htm, htu, iat: Math.floor(Date.now() / 1000), ...(ath && { ath }) };
      return new jose.SignJWT(claims)
        .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: await jose.exportJWK(keys.publicKey) })
        .sign(keys.privateKey);
    };
    const { json } = await callEndpoint(acme.issuer, '/token', {
      client: machine,
      form: { grant_type: 'client_credentials', scope: 'api_keys:manage' },
      headers: { dpop: await prove(`${acme.issuer}/token`, 'POST') },
    });
    const token = String(json['access_token']);
    const there = `${acme.issuer}/api/v1/caller`;
    const withProof = (dpop: string) => call('/caller', { headers: { authorization: `DPoP ${token}`, dpop } });
    const proof = await prove(there, 'GET', token);
    expect((await withProof(proof)).status).toBe(200);
    const wrong = [
      await withProof(proof),
      await withProof(await prove(`${acme.issuer}/api/v1/audit`, 'GET', token)),
      await withProof(await prove(there, 'POST', token)),
      await withProof(await prove(there, 'GET', `${token}x`)),
      await call('/caller', { headers: { authorization: `DPoP ${token}` } }),
      await call('/caller', { token }),
    ];
    for (const { status, headers } of wrong) {
      expect(status).toBe(401);
      expect(headers.get('www-authenticate')).toMatch(/DPoP realm="[^"]+", error="invalid_(dpop_proof|token)"/);
    }
  });

  it('is looked for in headers alone: not in the address, not in a cookie', async () => {
    const token = await personToken(acme, acme.clients.web);
    for (const answer of [
      await call(`/caller?access_token=${token}`),
      await call('/caller', { headers: { cookie: `access_token=${token}` } }),
    ])
      expect(answer.status).toBe(401);
  });
});

async function digest(text: string): Promise<string> {
  return Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(text))).toString('base64url');
}

describe('what a call brings', () => {
  let token: string;
  const post = (body: unknown) => call('/things/7', { method: 'POST', token, body });

  beforeAll(async () => {
    token = await personToken(acme, acme.clients.web);
  });

  it('is read strictly, and every fault is told with its place', async () => {
    expect((await post({ name: ' lamp ', tags: [] })).json).toEqual({ id: '7', name: 'lamp', tags: [] });
    const { status, json } = await post({ name: '', tags: ['ok', 'far too long'], user_id: 'x' });
    expect(status).toBe(400);
    expect(json['code']).toBe('invalid_request');
    const faults = json['errors'] as readonly Record<string, unknown>[];
    expect(faults.map(({ pointer, code }) => [pointer, code])).toEqual(
      expect.arrayContaining([
        ['#/name', 'too_small'],
        ['#/tags/1', 'too_big'],
        ['#/user_id', 'unknown'],
      ]),
    );
  });

  it.each([['[]'], ['{'], ['"text"'], ['{"name":"a\\u0000b","tags":[]}']])('is refused when it is %s', async (text) => {
    const answer = await fetch(`${api.origin}/t/acme/api/v1/things/7`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: text,
    });
    expect(answer.status).toBe(400);
  });

  it('is looked at after the caller: a stranger does not learn what is expected', async () => {
    expect((await call('/things/7', { method: 'POST', body: { wrong: true } })).status).toBe(401);
    const form = { method: 'POST', token, headers: { 'content-type': 'text/plain' } };
    expect((await call('/things/7', form)).status).toBe(415);
  });

  it('in the query is known, or refused', async () => {
    expect((await call('/open?page=2')).json).toMatchObject({
      status: 400,
      errors: [{ parameter: 'page', code: 'unknown' }],
    });
    expect((await call('/things?limit=1&limit=2')).json).toMatchObject({
      errors: [{ parameter: 'limit', code: 'repeated' }],
    });
    for (const query of ['limit=0', 'limit=101', 'limit=1e1', 'cursor=x', 'state=maybe', '__proto__=x'])
      expect({ query, status: (await call(`/things?${query}`)).status }).toEqual({ query, status: 400 });
  });

  it('asks for a list in parts', async () => {
    const seen: unknown[] = [];
    let cursor: unknown = '';
    for (let parts = 0; cursor !== null && parts < 9; parts += 1) {
      const { json } = await call(`/things?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
      seen.push(...(json['data'] as unknown[]));
      cursor = json['next_cursor'];
    }
    expect(seen).toHaveLength(5);
    expect((await call('/things')).json).toMatchObject({ next_cursor: null });
  });
});

describe('an API key at the door', () => {
  const key = {
    id: 'id',
    tenantSlug: 'acme',
    name: 'robot',
    scopes: ['things:read'],
    userId: undefined,
    expiresAt: new Date(),
  };
  const withKey = () => call('/service/thing', { headers: { 'x-api-key': 'pk_x' } });

  it('opens what its scopes reach, and tells what is left of its allowance', async () => {
    verification = { outcome: 'valid', tenantId: acme.id, key: { ...key, tenantId: acme.id }, allowance };
    const answer = await withKey();
    expect({ status: answer.status, json: answer.json }).toEqual({ status: 200, json: { key: 'robot' } });
    expect(answer.headers.get('ratelimit-policy')).toBe('"key";q=60;w=60');
    expect(answer.headers.get('ratelimit')).toBe('"key";r=12;t=7');
  });

  it('is refused without its scope, when it is used up, when it is another tenant’s, and when it is none', async () => {
    verification = { outcome: 'valid', tenantId: acme.id, key: { ...key, tenantId: acme.id, scopes: [] }, allowance };
    expect((await withKey()).json['code']).toBe('insufficient_scope');
    verification = { outcome: 'limited', tenantId: acme.id, retryAfterSeconds: 7, allowance };
    const limited = await withKey();
    expect({ status: limited.status, retry: limited.headers.get('retry-after') }).toEqual({ status: 429, retry: '7' });
    const others: readonly ApiKeyVerification[] = [
      { outcome: 'unknown' },
      { outcome: 'valid', tenantId: globex.id, key: { ...key, tenantId: globex.id }, allowance },
      { outcome: 'limited', tenantId: globex.id, retryAfterSeconds: 7, allowance },
    ];
    for (verification of others) {
      const { status, json, headers } = await withKey();
      expect({ status, code: json['code'] }).toEqual({ status: 401, code: 'invalid_api_key' });
      expect(headers.get('ratelimit')).toBeNull();
    }
    const token = await personToken(acme, acme.clients.web);
    expect((await call('/service/thing', { token })).json['code']).toBe('unauthorized');
  });
});

describe('a browser of another origin', () => {
  const origin = new URL(callbackUri).origin;
  const preflight = (from: string, path = '/caller') =>
    call(path, { method: 'OPTIONS', headers: { origin: from, 'access-control-request-method': 'GET' } });

  it('may call when a client of the tenant is registered there, and never with cookies', async () => {
    const asked = await preflight(origin);
    expect(asked.status).toBe(204);
    expect(asked.headers.get('access-control-allow-origin')).toBe(origin);
    expect(asked.headers.get('access-control-allow-headers')).toContain('Authorization');
    const answer = await call('/caller', { headers: { origin } });
    expect(answer.headers.get('access-control-allow-origin')).toBe(origin);
    expect(answer.headers.get('access-control-allow-credentials')).toBeNull();
    expect(answer.headers.get('vary')).toMatch(/origin/i);
  });

  it('is told nothing when it is nobody’s, and never about API keys', async () => {
    for (const from of ['https://evil.test', 'null']) {
      for (const answer of [await preflight(from), await call('/caller', { headers: { origin: from } })])
        expect(answer.headers.get('access-control-allow-origin')).toBeNull();
    }
    expect((await preflight(origin, '/service/thing')).headers.get('access-control-allow-origin')).toBeNull();
  });
});

describe('a chain', () => {
  it('reads as what it demands', () => {
    expect(routes.map(({ chain }) => describeChain(chain))).toEqual([
      'public',
      'bearer',
      'bearer scope=api_keys:manage kinds=user',
      'bearer permission=audit:read',
      'bearer',
      'public',
      'serviceKey scope=things:read',
    ]);
  });

  it('is mounted once for each method of an address', async () => {
    const twice = [routes[0], routes[0]].flatMap((one) => (one === undefined ? [] : [one]));
    await expect(startApiServer(server, { routes: twice, verifyApiKey: async () => verification })).rejects.toThrow(
      'is served twice',
    );
  });
});

describe('the REST API', () => {
  it('answers programs, whatever they say they would read', async () => {
    const answer = await fetch(`${globex.issuer}/api/v1/nothing`, { headers: { accept: 'text/html' } });
    expect(answer.status).toBe(404);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
  });

  it('of a suspended tenant is closed', async () => {
    expect(await changeTenantStatus(server.context, { id: globex.id, status: 'suspended' })).toMatchObject({
      outcome: 'changed',
    });
    const ask = () => fetch(`${globex.issuer}/api/v1/nothing`);
    while ((await ask()).status !== 403);
    expect(await (await ask()).json()).toMatchObject({ code: 'tenant_suspended' });
  });
});
