/** API keys over HTTP: who may make one, what it opens, and how soon it opens nothing. */

import { createApiKey } from '#src/flows/access/manage_api_keys.ts';
import { createRole } from '#src/flows/access/manage_roles.ts';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { deleteMember, requestDeletion } from '#src/flows/people/leave_tenant.ts';
import { addMember, changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { changeTenantStatus, configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import { type ApiCall, type ApiCallAnswer, callApi, personToken } from '#test/support/api_calls.ts';
import { callServer } from '#test/support/installation.ts';
import { mailsOf } from '#test/support/mailbox.ts';
import { defaultPeopleSettings } from '#test/support/people_settings.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { createMovableClock, type MovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  callbackUri,
  createTestTenant,
  type NewPerson,
  type TestClient,
  type TestTenant,
} from '#test/support/world.ts';

let time: MovableClock;
let server: TestServer;
/** Another process, as far as caches go, on the same database. */
let other: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let outsider: TestClient;
let token: string;

beforeAll(async () => {
  time = createMovableClock();
  server = await startTestServer({ clock: time.clock });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  other = await startTestServer({ beside: server, clock: time.clock });
  for (const tenant of [acme, globex]) {
    const role = { name: 'reader', permissions: ['readings:read', 'roles:read'] };
    expect(await createRole(server.context, { tenantId: tenant.id, role })).toMatchObject({ outcome: 'created' });
  }
  const created = await createClient(server.context, {
    tenantId: acme.id,
    client: { name: 'outsider', type: 'web', redirectUris: [callbackUri], scopes: ['api_keys:manage'] },
  });
  if (created.outcome !== 'created') throw new Error(JSON.stringify(created));
  outsider = { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
  token = await personToken(server, acme);
});

afterAll(async () => {
  await other.close();
  await server.close();
});

let people = 0;

async function newReader(...tenants: readonly TestTenant[]): Promise<NewPerson> {
  people += 1;
  const email = `reader-${people}@people.test`;
  const password = `correct horse ${email}`;
  let person: NewPerson | undefined;
  for (const { id: tenantId } of tenants.length === 0 ? [acme] : tenants) {
    const added = await addMember(server.context, { tenantId, email, password, roles: ['reader'], verified: true });
    if (added.outcome === 'refused') throw new Error(added.reason);
    person = { id: added.userId, email, password };
  }
  if (person === undefined) throw new Error('nobody');
  return person;
}

const call = (path: string, options: ApiCall = {}, tenant = acme): Promise<ApiCallAnswer> =>
  callApi(tenant.issuer, path, options);

async function make(body: Record<string, unknown> = {}, by = token): Promise<ApiCallAnswer['json']> {
  const { status, json } = await call('/api-keys', { method: 'POST', token: by, body: { name: 'robot', ...body } });
  expect({ status, json }).toMatchObject({ status: 201 });
  return json;
}

const status = (key: unknown, tenant = acme): Promise<ApiCallAnswer> =>
  call('/service/status', { key: String(key) }, tenant);

/** At the other process, which answers under the same name. */
async function statusElsewhere(key: unknown): Promise<number> {
  const url = `${acme.issuer}/api/v1/service/status`;
  const headers = { 'x-api-key': String(key) };
  return (await callServer(other.config.http.port, url, { method: 'GET', headers })).status;
}

async function makeAs(person: NewPerson, body: Record<string, unknown> = {}): Promise<ApiCallAnswer['json']> {
  return make(body, await personToken(server, acme, { person }));
}

describe('an API key', () => {
  it('is shown once, and known to the database by its hash alone', async () => {
    const made = await make({ scopes: ['users:read'] });
    expect(made).toMatchObject({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      name: 'robot',
      key: expect.stringMatching(/^pk_[\w-]{43}$/),
      scopes: ['users:read'],
      last_used_at: null,
      uses: 0,
    });
    expect(String(made['key']).startsWith(String(made['prefix']))).toBe(true);
    const listed = await call('/api-keys', { token });
    expect(JSON.stringify(listed.json)).not.toContain(String(made['key']));
    expect(listed.json['data']).toEqual(
      expect.arrayContaining([expect.objectContaining({ id: made['id'], prefix: made['prefix'] })]),
    );
    for (const table of ['api_keys', 'events', 'mails']) {
      const rows = await queryAsSuperuser(server.database, `select row_to_json(t)::text as row from ${table} t`);
      expect(JSON.stringify(rows)).not.toContain(String(made['key']).slice(10));
    }
    const hashes = await queryAsSuperuser(server.database, 'select key_hash from api_keys where id = $1', [made['id']]);
    expect(hashes).toEqual([{ key_hash: sha256(String(made['key'])) }]);
  });

  it('opens the service endpoint of its tenant, and no other tenant’s', async () => {
    const { key, id } = await make({ scopes: ['users:read'] });
    const answer = await status(key);
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({
      status: 'ok',
      tenant: 'acme',
      key: { id, name: 'robot', scopes: ['users:read'], expires_at: expect.any(String) },
    });
    expect((await status(key, globex)).json['code']).toBe('invalid_api_key');
    const afterwards = await status(key, globex);
    expect(afterwards.json).toMatchObject({ status: 401, code: 'invalid_api_key' });
    for (const wrong of ['pk_', `${key}x`, String(key).slice(0, -1), `pk_${'A'.repeat(43)}`, 'at_'.padEnd(46, 'a')])
      expect((await status(wrong)).status).toBe(401);
  });

  it('is no access token, and an access token is no key', async () => {
    const { key } = await make();
    expect((await call('/api-keys', { token: String(key) })).status).toBe(401);
    expect((await status(token)).status).toBe(401);
  });

  it('tells its person by mail, and the history by name and never by value', async () => {
    const person = await newReader();
    const { id } = await makeAs(person, { name: 'night shift', scopes: ['readings:read'] });
    const mails = await mailsOf(server, acme);
    expect(
      mails
        .filter(({ to }) => to === person.email)
        .map((mail) => JSON.stringify(mail))
        .join(),
    ).toContain('night shift');
    const events = await queryAsSuperuser(
      server.database,
      `select type, actor_id, data from events where target_id = $1 and target_type = 'api_key'`,
      [id],
    );
    expect(events).toEqual([
      {
        type: 'api_key.created',
        actor_id: person.id,
        data: { name: 'night shift', scopes: ['readings:read'], expires_at: expect.any(String), user_id: person.id },
      },
    ]);
  });
});

describe('what a key may do', () => {
  it('is never more than its maker may', async () => {
    const person = await newReader();
    const by = await personToken(server, acme, { person });
    const ask = (scopes: readonly string[]) =>
      call('/api-keys', { method: 'POST', token: by, body: { name: 'x', scopes } });
    expect((await ask(['readings:read', 'permissions:check'])).status).toBe(201);
    const { status: refused, json } = await ask([
      'readings:read',
      'users:write',
      'introspect',
      'introspect:https://a.test',
    ]);
    expect({ refused, code: json['code'] }).toEqual({ refused: 403, code: 'beyond_your_own_rights' });
    expect((json['errors'] as readonly { pointer: string }[]).map(({ pointer }) => pointer)).toEqual([
      '#/scopes/1',
      '#/scopes/2',
      '#/scopes/3',
    ]);
    for (const scope of ['everything', '*', 'api_keys:manage', 'telemetry:write', 'a:b:c'])
      expect((await ask([scope])).json).toMatchObject({
        status: 400,
        errors: [{ pointer: '#/scopes/0', code: 'unknown' }],
      });
  });

  it('is never more than the application that asks was given', async () => {
    const asked = { client: outsider, scope: 'openid api_keys:manage' };
    const by = await personToken(server, acme, asked);
    const ask = (scopes: readonly string[]) =>
      call('/api-keys', { method: 'POST', token: by, body: { name: 'x', scopes } });
    expect((await ask([])).status).toBe(201);
    // Its person is an administrator; the application is not.
    expect((await ask(['users:read'])).json['code']).toBe('beyond_your_own_rights');
    const without = await personToken(server, acme, { client: outsider });
    expect((await call('/api-keys', { token: without })).json['code']).toBe('insufficient_scope');
  });

  it('shrinks when its maker may do less, within a second, and grows no further than it was made', async () => {
    const person = await newReader();
    const { key } = await makeAs(person, { scopes: ['readings:read'] });
    const scopes = async () => ((await status(key)).json['key'] as { scopes: unknown }).scopes;
    expect(await scopes()).toEqual(['readings:read']);
    const taken = 'delete from membership_roles where user_id = $1';
    await queryAsSuperuser(server.database, taken, [person.id]);
    time.advance(1);
    expect(await scopes()).toEqual([]);
    const given = `insert into membership_roles (tenant_id, user_id, role_id)
                   select tenant_id, $1, id from roles where tenant_id = $2 and name in ('reader', 'admin')`;
    await queryAsSuperuser(server.database, given, [person.id, acme.id]);
    time.advance(1);
    expect(await scopes()).toEqual(['readings:read']);
  });

  it('of the tenant itself is bounded by nobody’s rights', async () => {
    const made = await createApiKey(server.context, {
      tenantId: acme.id,
      userId: undefined,
      settings: defaultPeopleSettings,
      name: 'of the house',
      scopes: ['introspect'],
      expiresAt: undefined,
    });
    if (made.outcome !== 'created') throw new Error(made.outcome);
    expect((await status(made.key)).json).toMatchObject({ key: { scopes: ['introspect'] } });
  });
});

describe('whose a key is (C18, CVE-2025-61928)', () => {
  it('comes from the token and from nothing that was sent', async () => {
    const columns = await queryAsSuperuser<{ name: string }>(
      server.database,
      `select column_name::text as name from information_schema.columns where table_name = 'api_keys'`,
    );
    const names = columns.map(({ name }) => name).filter((name) => !['name', 'scopes', 'expires_at'].includes(name));
    expect(names.length).toBeGreaterThan(8);
    for (const name of [...names, 'userId', 'user', 'owner', 'tenant', 'prefix', 'key', 'is_active', 'permissions']) {
      const answer = await call('/api-keys', { method: 'POST', token, body: { name: 'x', [name]: globex.person.id } });
      expect({ name, json: answer.json }).toMatchObject({
        name,
        json: { status: 400, errors: [{ pointer: `#/${name}`, code: 'unknown' }] },
      });
    }
    const proto = await fetch(`${acme.issuer}/api/v1/api-keys`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: `{"name":"x","__proto__":{"user_id":"${globex.person.id}"}}`,
    });
    expect([201, 400]).toContain(proto.status);
    const foreign = await queryAsSuperuser(server.database, 'select id from api_keys where user_id = $1', [
      globex.person.id,
    ]);
    expect(foreign).toEqual([]);
  });

  it('decides who sees and deletes it: another member and another tenant find nothing', async () => {
    const person = await newReader(acme, globex);
    const { id, key } = await makeAs(person);
    const abroad = await callApi(globex.issuer, '/api-keys', {
      token: await personToken(server, globex, { person }),
    });
    expect(abroad.json).toEqual({ data: [], next_cursor: null });
    const strangers: readonly [TestTenant, string][] = [
      [acme, token],
      [globex, await personToken(server, globex, { person })],
    ];
    for (const [tenant, by] of strangers) {
      const answer = await call(`/api-keys/${id}`, { method: 'DELETE', token: by }, tenant);
      expect(answer.status).toBe(404);
    }
    expect((await call('/api-keys/x', { method: 'DELETE', token })).status).toBe(404);
    expect((await status(key)).status).toBe(200);
  });
});

describe('a key opens nothing any more', () => {
  it('from the moment it is deleted, in every process', async () => {
    const { id, key } = await make();
    expect((await status(key)).status).toBe(200);
    expect(await statusElsewhere(key)).toBe(200);
    expect((await call(`/api-keys/${id}`, { method: 'DELETE', token })).status).toBe(204);
    expect((await call(`/api-keys/${id}`, { method: 'DELETE', token })).status).toBe(404);
    // Announced as it was committed: the clock of these servers stands still meanwhile.
    while ((await status(key)).status !== 401);
    while ((await statusElsewhere(key)) !== 401);
    const listed = await call('/api-keys?limit=100', { token });
    expect(JSON.stringify(listed.json)).not.toContain(String(id));
  });

  it('when its time has come, to the second, cached or not', async () => {
    const ends = new Date(time.clock().getTime() + 600);
    const { key } = await make({ expires_at: ends.toISOString() });
    expect((await status(key)).status).toBe(200);
    time.advance(1);
    expect((await status(key)).status).toBe(401);
    expect(await statusElsewhere(key)).toBe(401);
  });

  // C12: nothing of a disabled person, membership, tenant or key goes on working on some path. C40: nothing of a deleted one.
  it.each([
    ['its maker’s membership is blocked', 'membership'],
    ['its maker is blocked', 'person'],
    ['its maker wants to leave', 'leaving'],
    ['its maker has left', 'left'],
    ['it is disabled itself', 'key'],
  ] as const)('within a second when %s (C12, C40)', async (_name, what) => {
    const person = await newReader();
    const { key, id } = await makeAs(person);
    const member = { tenantId: acme.id, userId: person.id };
    expect((await status(key)).status).toBe(200);
    const how = {
      membership: () =>
        changeMembershipStatus(server.context, { tenantId: acme.id, email: person.email, status: 'disabled' }),
      person: () =>
        queryAsSuperuser(server.database, `update users set status = 'disabled' where id = $1`, [person.id]),
      leaving: () => requestDeletion(server.context, { ...member, undoDays: 14, undoLink: `${acme.issuer}/account` }),
      left: () => deleteMember(server.context, member),
      key: () => queryAsSuperuser(server.database, 'update api_keys set revoked_at = now() where id = $1', [id]),
    };
    await how[what]();
    time.advance(1);
    expect((await status(key)).status).toBe(401);
    expect(await statusElsewhere(key)).toBe(401);
    const rows = await queryAsSuperuser(server.database, 'select id from api_keys where id = $1', [id]);
    expect(rows).toHaveLength(what === 'left' ? 0 : 1);
  });

  it('while its tenant is suspended, and opens again when that is over', async () => {
    const paused = await createTestTenant(server, 'paused');
    const by = await personToken(server, paused);
    const made = await call('/api-keys', { method: 'POST', token: by, body: { name: 'x' } }, paused);
    const { key } = made.json;
    const ask = async () => (await status(key, paused)).status;
    expect(await ask()).toBe(200);
    await changeTenantStatus(server.context, { id: paused.id, status: 'suspended' });
    while ((await ask()) !== 403);
    await changeTenantStatus(server.context, { id: paused.id, status: 'active' });
    while ((await ask()) !== 200);
  });
});

describe('what a tenant says of keys', () => {
  async function tenantWith(
    slug: string,
    changes: Parameters<typeof configureTenant>[1]['changes'],
  ): Promise<{ tenant: TestTenant; by: string }> {
    const tenant = await createTestTenant(server, slug);
    expect(await configureTenant(server.context, { id: tenant.id, changes })).toEqual({ outcome: 'changed' });
    return { tenant, by: await personToken(server, tenant) };
  }
  const makeAt = (tenant: TestTenant, by: string, body: object = {}) =>
    call('/api-keys', { method: 'POST', token: by, body: { name: 'x', ...body } }, tenant);

  it('is what they begin with and how long they are, and how long they live', async () => {
    const { tenant, by } = await tenantWith('review', [
      { name: 'api_keys.prefix', value: 'hr_' },
      { name: 'api_keys.random_bytes', value: 48 },
      { name: 'api_keys.maximum_days', value: 2 },
    ]);
    const { json } = await makeAt(tenant, by);
    expect(json['key']).toMatch(/^hr_[\w-]{64}$/);
    expect(new Date(String(json['expires_at'])).getTime()).toBe(
      new Date(String(json['created_at'])).getTime() + 2 * 86_400_000,
    );
    expect((await status(json['key'], tenant)).status).toBe(200);
    const late = new Date(time.clock().getTime() + 3 * 86_400_000).toISOString();
    expect((await makeAt(tenant, by, { expires_at: late })).json).toMatchObject({
      errors: [{ pointer: '#/expires_at', code: 'too_late' }],
    });
    expect((await makeAt(tenant, by, { expires_at: '2020-01-01T00:00:00Z' })).json).toMatchObject({
      errors: [{ pointer: '#/expires_at', code: 'past' }],
    });
    for (const wrong of ['soon', '2030-01-01', 5])
      expect((await makeAt(tenant, by, { expires_at: wrong })).status).toBe(400);
  });

  it('is how many one person may have, however many ask at once', async () => {
    const { tenant, by } = await tenantWith('few', [{ name: 'api_keys.maximum_per_person', value: 3 }]);
    const answers = await Promise.all(Array.from({ length: 8 }, () => makeAt(tenant, by)));
    expect(answers.filter(({ status: code }) => code === 201)).toHaveLength(3);
    expect(answers.filter(({ status: code }) => code === 409)).toHaveLength(5);
    const [first] = answers.filter(({ status: code }) => code === 201);
    await call(`/api-keys/${first?.json['id']}`, { method: 'DELETE', token: by }, tenant);
    expect((await makeAt(tenant, by)).status).toBe(201);
  });

  it('is who makes them', async () => {
    const { tenant, by } = await tenantWith('strict', [{ name: 'api_keys.makers', value: 'permitted' }]);
    expect((await makeAt(tenant, by)).status).toBe(201);
    const email = 'somebody@strict.test';
    const password = `correct horse ${email}`;
    await addMember(server.context, { tenantId: tenant.id, email, password, roles: ['user'], verified: true });
    const person = { email, password };
    expect((await makeAt(tenant, await personToken(server, tenant, { person }))).json['code']).toBe(
      'insufficient_permission',
    );
    const closed = await tenantWith('closed', [{ name: 'api_keys.makers', value: 'nobody' }]);
    expect((await makeAt(closed.tenant, closed.by)).status).toBe(403);
  });

  it('is how often each may be used, told with every answer', async () => {
    const { tenant, by } = await tenantWith('slow', [{ name: 'api_keys.requests_per_minute', value: 3 }]);
    const [one, another] = [await makeAt(tenant, by), await makeAt(tenant, by)].map(({ json }) => json['key']);
    const answers = await Promise.all(Array.from({ length: 5 }, () => status(one, tenant)));
    expect(answers.map(({ status: code }) => code).toSorted()).toEqual([200, 200, 200, 429, 429]);
    const limited = answers.find(({ status: code }) => code === 429);
    expect(limited?.json['code']).toBe('too_many_requests');
    expect(limited?.headers.get('retry-after')).toMatch(/^[1-9]\d?$/);
    expect(limited?.headers.get('ratelimit-policy')).toBe('"key";q=3;w=60');
    expect((await status(another, tenant)).headers.get('ratelimit')).toMatch(/^"key";r=2;t=\d+$/);
    time.advance(61);
    expect((await status(one, tenant)).status).toBe(200);
  });
});

describe('what a key was used for', () => {
  it('gathers, and is written together: when, from where, how often', async () => {
    const { key, id } = await make();
    await Promise.all(Array.from({ length: 7 }, () => status(key)));
    await server.server.apiKeys.flush();
    await statusElsewhere(key);
    await other.server.apiKeys.flush();
    const listed = (await call('/api-keys?limit=100', { token })).json['data'] as readonly Record<string, unknown>[];
    expect(listed.find((row) => row['id'] === id)).toMatchObject({
      uses: 8,
      last_used_at: expect.any(String),
      last_used_address: '127.0.0.1',
    });
  });

  it('is not counted for who is refused', async () => {
    const { key, id } = await make();
    await status(key, globex);
    await server.server.apiKeys.flush();
    const [row] = await queryAsSuperuser<{ uses: string }>(server.database, 'select uses from api_keys where id = $1', [
      id,
    ]);
    expect(row?.uses).toBe('0');
  });
});

describe('a list of keys', () => {
  it('comes in parts, in the order in which they were made', async () => {
    const person = await newReader();
    const by = await personToken(server, acme, { person });
    const made: unknown[] = [];
    for (let count = 0; count < 5; count += 1) made.push((await make({ name: `key ${count}` }, by))['id']);
    const seen: unknown[] = [];
    let path = '/api-keys?limit=2';
    for (let parts = 0; parts < 5 && path !== ''; parts += 1) {
      const { json } = await call(path, { token: by });
      seen.push(...(json['data'] as readonly { id: string }[]).map(({ id }) => id));
      path = json['next_cursor'] === null ? '' : `/api-keys?limit=2&cursor=${json['next_cursor']}`;
    }
    expect(seen).toEqual(made);
  });
});
