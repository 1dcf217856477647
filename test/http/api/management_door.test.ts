/** What the management API promises at every route, on routes of this test's own. Callers, database and engines are real. */
import { z } from 'zod';
import { changeTenantSettings } from '#src/domain/tenant_settings.ts';
import { type OpenApiKeys, openApiKeys, verifyApiKey } from '#src/flows/access/api_keys.ts';
import { createApiKey } from '#src/flows/access/manage_api_keys.ts';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { sweep } from '#src/flows/sweep.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import { permitted } from '#src/http/api/chains.ts';
import { unchanged } from '#src/http/api/entity_tags.ts';
import { line } from '#src/http/api/input.ts';
import { answerList, listOf, listQuery } from '#src/http/api/pages_of_lists.ts';
import { route } from '#src/http/api/routes.ts';
import { ProblemRaised, problems } from '#src/http/problems.ts';
import { callApi, personToken } from '#test/support/api_calls.ts';
import { type ApiServer, startApiServer } from '#test/support/api_server.ts';
import { defaultPeopleSettings } from '#test/support/people_settings.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { callEndpoint } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let api: ApiServer;
let token: string;
let robot: TestClient;
let keys: OpenApiKeys;

/** What the routes of this test work on: one thing, and how often something was made. */
const thing = { id: '00000000-0000-7000-8000-000000000001', name: 'lamp', secret: 'must never go out' };
let made = 0;
let holdUp: Promise<void> | undefined;

const shownThing = z.object({ id: z.uuid(), name: z.string() });
const present = ({ id, name }: typeof thing) => ({ id, name });

const routes = [
  route({
    summary: 'A thing',
    method: 'GET',
    path: '/api/v1/admin/things/{id}',
    chain: permitted('users:read'),
    answers: shownThing,
    handle: async () => ({ status: 200, body: thing }),
  }),
  route({
    summary: 'Change a thing',
    method: 'PATCH',
    path: '/api/v1/admin/things/{id}',
    chain: permitted('users:write'),
    body: z.strictObject({ name: line(20) }),
    answers: shownThing,
    handle: async (request) => {
      unchanged(request, present)(thing);
      thing.name = request.body.name;
      return { status: 200, body: present(thing) };
    },
  }),
  route({
    summary: 'Make a thing',
    method: 'POST',
    path: '/api/v1/admin/things',
    chain: permitted('users:write'),
    body: z.strictObject({ name: line(20) }),
    statuses: [201],
    answers: shownThing.extend({ number: z.number() }),
    handle: async ({ body }) => {
      await holdUp;
      if (body.name === 'refused') throw new ProblemRaised(problems.tooManyThings(1));
      if (body.name === 'broken') throw new Error('the power went');
      made += 1;
      return { status: 201, headers: { location: '/somewhere' }, body: { ...thing, number: made } };
    },
  }),
  route({
    summary: 'Things',
    method: 'GET',
    path: '/api/v1/admin/things',
    chain: permitted('users:read'),
    query: listQuery.extend({ state: z.enum(['on', 'off']).optional() }),
    answers: listOf(z.object({ number: z.number() })),
    handle: async ({ query }) => {
      const from = Number(query.cursor ?? 0);
      const rows = [1, 2, 3, 4, 5].slice(from, from + query.limit + 1).map((number) => ({ number }));
      return {
        status: 200,
        body: answerList(
          rows,
          query,
          (row) => row,
          ({ number }) => String(number),
        ),
      };
    },
  }),
  route({
    summary: 'Says who calls',
    method: 'GET',
    path: '/api/v1/admin/caller',
    chain: permitted('audit:read'),
    statuses: [200],
    handle: async ({ caller }) => ({ status: 200, body: { ...caller, permissions: [...caller.permissions] } }),
  }),
];

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  token = await personToken(server, acme);
  robot = await newClient({ name: 'robot', type: 'machine', scopes: ['admin:users:read'] });
  const { database } = server.server.house;
  const { people } = server.config;
  keys = openApiKeys({ database, people, onFault: (fault) => expect(fault).toBeUndefined() });
  api = await startApiServer(server, { routes, verifyApiKey: (key) => verifyApiKey(keys.services, key) });
});

afterAll(async () => {
  await api?.close();
  await keys?.close();
  await server?.close();
});

async function newClient(client: Parameters<typeof createClient>[1]['client']): Promise<TestClient> {
  const created = await createClient(server.context, { tenantId: acme.id, client });
  if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
  return { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
}

async function newKey(scopes: readonly string[], owner: TestTenant['person'] | undefined): Promise<string> {
  const created = await createApiKey(server.context, {
    tenantId: acme.id,
    userId: owner?.id,
    settings: defaultPeopleSettings,
    name: 'key',
    scopes,
    expiresAt: undefined,
  });
  if (created.outcome !== 'created') throw new Error(created.outcome);
  return created.key;
}

const call = (path: string, options: Parameters<typeof callApi>[2] = { token }, tenant = acme) =>
  callApi(`${api.origin}/t/${tenant.slug}`, path, options);
const post = (name: string, key?: string, by = token) =>
  call('/admin/things', {
    token: by,
    method: 'POST',
    body: { name },
    headers: key === undefined ? {} : { 'idempotency-key': key },
  });

describe('who manages', () => {
  it('is a person at the tenant’s own application, with all that they may do', async () => {
    const { status, json } = await call('/admin/caller');
    expect(status).toBe(200);
    expect(json).toMatchObject({ actor: { type: 'user', id: acme.person.id }, userId: acme.person.id });
    expect(json['permissions']).toEqual(expect.arrayContaining(['audit:read', 'users:write']));
  });

  it('is a person at somebody else’s application as far as they let it', async () => {
    const scopes = ['admin:users:read'];
    const client = await newClient({ name: 'theirs', type: 'web', redirectUris: [callbackUri], scopes });
    const theirs = await personToken(server, acme, { client, scope: 'openid admin:users:read' });
    expect((await call('/admin/things/1', { token: theirs })).status).toBe(200);
    const refused = await call('/admin/things/1', { token: theirs, method: 'PATCH', body: { name: 'x' } });
    expect(refused.json).toMatchObject({ status: 403, code: 'insufficient_scope' });
    expect(refused.headers.get('www-authenticate')).toContain('scope="admin:users:write"');
  });

  it('is an application in its own name that is registered for it', async () => {
    const form = { grant_type: 'client_credentials', scope: 'admin:users:read' };
    const { json } = await callEndpoint(acme.issuer, '/token', { client: robot, form });
    const machine = String(json['access_token']);
    expect((await call('/admin/things/1', { token: machine })).status).toBe(200);
    expect((await call('/admin/caller', { token: machine })).json['code']).toBe('insufficient_scope');
  });

  it('is an API key with the permission, and what it does is recorded as its', async () => {
    const key = await newKey(['users:read', 'audit:read'], acme.person);
    expect((await call('/admin/things/1', { key })).status).toBe(200);
    const { json } = await call('/admin/caller', { key });
    expect(json).toMatchObject({ actor: { type: 'api_key' }, userId: acme.person.id });
    expect(json['permissions']).toEqual(['users:read', 'audit:read']);
    expect((await call('/admin/things', { key, method: 'POST', body: { name: 'x' } })).status).toBe(403);
  });

  it('is nobody of another tenant, by token or by key', async () => {
    expect((await call('/admin/things/1', { token }, globex)).status).toBe(401);
    const key = await newKey(['users:read'], undefined);
    expect((await call('/admin/things/1', { key }, globex)).json['code']).toBe('invalid_api_key');
  });

  it('has an allowance, and is told what is left of it', async () => {
    const changes = [{ name: 'rest.requests_per_minute', value: 3 }] as const;
    const slow = await createTestTenant(server, 'slow');
    await configureTenant(server.context, { id: slow.id, changes: [...changes] });
    expect(changeTenantSettings({ protocol: {}, people: {}, lifetimes: {} }, changes).people).toEqual({
      'rest.requests_per_minute': 3,
    });
    const theirs = await personToken(server, slow);
    const answers = [];
    for (let time = 0; time < 4; time += 1) answers.push(await call('/admin/things/1', { token: theirs }, slow));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 429]);
    expect(answers[0]?.headers.get('ratelimit')).toMatch(/^"caller";r=2;t=\d+$/);
    expect(answers[3]?.headers.get('ratelimit-policy')).toBe('"caller";q=3;w=60');
    expect(answers[3]?.headers.get('retry-after')).toMatch(/^\d+$/);
  });
});

describe('an answer', () => {
  it('is only what the route says it answers', async () => {
    expect((await call('/admin/things/1')).json).toEqual({ id: thing.id, name: thing.name });
  });

  it('names its state, and is not sent again to who has it', async () => {
    const { headers } = await call('/admin/things/1');
    const etag = headers.get('etag') ?? '';
    expect(etag).toMatch(/^"[\w-]{27}"$/);
    const again = await call('/admin/things/1', { token, headers: { 'if-none-match': etag } });
    expect({ status: again.status, json: again.json }).toEqual({ status: 304, json: {} });
  });

  it('is the base of a change: whoever has seen another state changes nothing', async () => {
    const etag = (await call('/admin/things/1')).headers.get('etag') ?? '';
    const change = (name: string) =>
      call('/admin/things/1', { token, method: 'PATCH', body: { name }, headers: { 'if-match': etag } });
    const first = await change('lantern');
    expect(first.status).toBe(200);
    expect(first.headers.get('etag')).not.toBe(etag);
    const late = await change('candle');
    expect(late.json).toMatchObject({ status: 412, code: 'changed_meanwhile' });
    expect(thing.name).toBe('lantern');
  });
});

describe('a list', () => {
  it('is read to its end by its cursors, and names the next part', async () => {
    const seen: unknown[] = [];
    let cursor: unknown = '';
    for (let part = 0; part < 5 && cursor !== null; part += 1) {
      const search = cursor === '' ? '?limit=2' : `?limit=2&cursor=${String(cursor)}`;
      const { json, headers } = await call(`/admin/things${search}`);
      seen.push(...(json['data'] as unknown[]));
      cursor = json['next_cursor'];
      if (cursor !== null) expect(headers.get('link')).toBe(`<?limit=2&cursor=${String(cursor)}>; rel="next"`);
    }
    expect(seen).toEqual([1, 2, 3, 4, 5].map((number) => ({ number })));
  });

  it('takes no cursor but its own: none that was made up, altered, of other filters or of another tenant', async () => {
    const given = String((await call('/admin/things?limit=2')).json['next_cursor']);
    const altered = `${given.slice(0, -1)}${given.endsWith('A') ? 'B' : 'A'}`;
    const madeUp = [Buffer.from('3').toString('base64url'), Buffer.from(`${'x'.repeat(16)}3`).toString('base64url')];
    for (const cursor of [...madeUp, altered, `${given}=`, "1' or '1'='1", '']) {
      const { status, json } = await call(`/admin/things?limit=2&cursor=${encodeURIComponent(cursor)}`);
      expect({ cursor, status, code: json['code'] }).toEqual({ cursor, status: 400, code: 'invalid_request' });
    }
    expect((await call(`/admin/things?state=on&cursor=${given}`)).status).toBe(400);
    const globexToken = await personToken(server, globex);
    const elsewhere = await call(`/admin/things?limit=2&cursor=${given}`, { token: globexToken }, globex);
    expect(elsewhere.json['code']).toBe('invalid_request');
    expect((await call(`/admin/things?cursor=${given}&cursor=${given}`)).status).toBe(400);
  });
});

describe('a wish under an Idempotency-Key', () => {
  it('is granted once, and answered the same again, also what is shown only once', async () => {
    const before = made;
    const first = await post('lamp', 'one');
    const again = await post('lamp', 'one');
    expect(first.status).toBe(201);
    expect({ status: again.status, json: again.json }).toEqual({ status: first.status, json: first.json });
    for (const name of ['etag', 'location']) expect(again.headers.get(name)).toBe(first.headers.get(name));
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(made).toBe(before + 1);
    const kept = await server.server.house.database
      .tenant(acme.id)
      .transaction((transaction) =>
        transaction.query<{ answer: string }>(`select encode(answer_sealed, 'escape') as answer from idempotency_keys`),
      );
    expect(kept).toHaveLength(1);
    for (const { answer } of kept) expect(answer).not.toContain('lamp');
  });

  it('is granted once of twenty at the same moment', async () => {
    const before = made;
    let release = (): void => undefined;
    holdUp = new Promise((resolve) => {
      release = resolve;
    });
    const all = Array.from({ length: 20 }, () => post('lamp', 'twenty'));
    const early = await Promise.race(all);
    expect(early.json).toMatchObject({ status: 409, code: 'request_under_way' });
    release();
    const answers = await Promise.all(all);
    holdUp = undefined;
    // Whoever came after it was granted hears the answer again.
    const granted = answers.filter(({ headers }) => headers.get('etag') !== null);
    expect(granted.filter(({ headers }) => headers.get('idempotency-replayed') === null)).toHaveLength(1);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201, 409]));
    expect(made).toBe(before + 1);
  });

  it('is another wish with another body, and another caller’s under the same key', async () => {
    const before = made;
    await post('lamp', 'shared');
    expect((await post('candle', 'shared')).json).toMatchObject({ status: 422, code: 'idempotency_key_reused' });
    const key = await newKey(['users:write'], acme.person);
    const headers = { 'idempotency-key': 'shared' };
    const byKey = await call('/admin/things', { key, method: 'POST', body: { name: 'lamp' }, headers });
    expect(byKey.headers.get('idempotency-replayed')).toBeNull();
    expect(made).toBe(before + 2);
  });

  it('is not shown to another application of the same person', async () => {
    const scopes = ['admin:users:write'];
    const client = await newClient({ name: 'curious', type: 'web', redirectUris: [callbackUri], scopes });
    const theirs = await personToken(server, acme, { client, scope: 'openid admin:users:write' });
    expect((await post('lamp', 'private')).status).toBe(201);
    const before = made;
    expect((await post('lamp', 'private', theirs)).headers.get('idempotency-replayed')).toBeNull();
    expect(made).toBe(before + 1);
  });

  it('may be asked again after a refusal, and is never granted twice after a fault', async () => {
    expect((await post('refused', 'better')).status).toBe(409);
    expect((await post('lamp', 'better')).status).toBe(201);
    expect((await post('broken', 'torn')).status).toBe(500);
    expect((await post('broken', 'torn')).json['code']).toBe('request_under_way');
  });

  it('is remembered for a day and swept after it', async () => {
    expect((await post('lamp', 'old')).status).toBe(201);
    const { database } = server.server.house;
    const count = () =>
      database
        .tenant(acme.id)
        .transaction((transaction) =>
          transaction.query<{ kept: number }>('select count(*)::int as kept from idempotency_keys'),
        );
    const before = (await count())[0]?.kept ?? 0;
    await database.tenant(acme.id).transaction(async (transaction) => {
      await transaction.query(
        `update idempotency_keys set created_at = created_at - interval '25 hours' where key_hash = $1`,
        [sha256('old')],
      );
    });
    await sweep(database);
    expect((await count())[0]?.kept).toBe(before - 1);
    expect((await post('lamp', 'old')).headers.get('idempotency-replayed')).toBeNull();
  });

  it('has a key that can be written', async () => {
    expect((await post('lamp', 'x'.repeat(256))).json['code']).toBe('invalid_request');
    expect((await post('lamp', 'two words')).json['code']).toBe('invalid_request');
  });
});
