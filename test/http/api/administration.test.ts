/** Clients, APIs, keys, settings and history over REST, as administrators use them and as somebody would who wants more than they have. */
import { createRole } from '#src/flows/access/manage_roles.ts';
import { addMember } from '#src/flows/people/manage_people.ts';
import { type ApiCall, callApi, personToken } from '#test/support/api_calls.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { callEndpoint } from '#test/support/user_agent.ts';
import { goodPassword } from '#test/support/visitor.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let token: string;
let foreign: string;
/** Administers clients, keys and settings, and has no other right. */
let limited: string;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  token = await personToken(server, acme);
  foreign = await personToken(server, globex);
  const permissions = ['clients:read', 'clients:write', 'api-keys:write', 'settings:read', 'settings:write'];
  await createRole(server.context, { tenantId: acme.id, role: { name: 'clerk', permissions } });
  const person = { email: 'clerk@acme.example', password: goodPassword };
  await addMember(server.context, { tenantId: acme.id, ...person, roles: ['clerk'], verified: true });
  limited = await personToken(server, acme, { person });
});

afterAll(() => server.close());

const call = (path: string, options: ApiCall = {}) => callApi(acme.issuer, `/admin${path}`, { token, ...options });

async function newClient(body: Readonly<Record<string, unknown>> = {}, by = token) {
  const machine = { name: 'robot', type: 'machine', ...body };
  return call('/clients', { method: 'POST', token: by, body: machine });
}

async function tokenOf({ client_id, client_secret }: Readonly<Record<string, unknown>>, form: Record<string, string>) {
  const client = { clientId: String(client_id), clientSecret: String(client_secret) };
  return callEndpoint(acme.issuer, '/token', { client, form: { grant_type: 'client_credentials', ...form } });
}

describe('a client over REST', () => {
  it('is made with a secret that is shown once, changed, and removed with its tokens', async () => {
    const made = await newClient({ scopes: ['readings:read'] });
    expect(made).toMatchObject({ status: 201, json: { name: 'robot', live_secrets: 1, status: 'active' } });
    const address = `/clients/${made.json['client_id']}`;
    const resource = { resource: acme.jwtApi, scope: 'readings:read' };
    expect((await tokenOf(made.json, resource)).status).toBe(200);
    const seen = await call(address);
    expect(seen.json).not.toHaveProperty('client_secret');
    const etag = seen.headers.get('etag') ?? '';
    const changed = await call(address, { method: 'PATCH', body: { name: 'R2' }, headers: { 'if-match': etag } });
    expect(changed).toMatchObject({ status: 200, json: { name: 'R2', scopes: ['readings:read'] } });
    const late = await call(address, { method: 'DELETE', headers: { 'if-match': etag } });
    expect(late.json['code']).toBe('changed_meanwhile');
    const second = await call(`${address}/secrets`, { method: 'POST' });
    expect(second).toMatchObject({ status: 201, json: { live_secrets: 2 } });
    expect(second.json['client_secret']).not.toBe(made.json['client_secret']);
    expect((await call(address, { method: 'DELETE' })).status).toBe(204);
    expect((await call(address)).status).toBe(404);
    while ((await tokenOf(made.json, resource)).status !== 401);
    const left = 'select 1 from client_secrets where client_id = $1';
    expect(await queryAsSuperuser(server.database, left, [made.json['client_id']])).toEqual([]);
  });

  it('can be nothing that registration refuses, and is told where', async () => {
    const refused = await newClient({ type: 'web', redirect_uris: ['https://x/*'], settings: { grant_types: ['x'] } });
    expect(refused).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
    const pointers = (refused.json['errors'] as { pointer: string }[]).map(({ pointer }) => pointer);
    expect(pointers).toEqual(['#/redirect_uris', '#/settings/grant_types']);
    const half = await newClient({ settings: { tls_client_auth_subject_dn: 'CN=\ud800' } });
    expect(half.status).toBe(400);
  });

  it('is worth no more than whoever decides about it', async () => {
    const beyond = { status: 403, json: { code: 'beyond_your_own_rights' } };
    expect(await newClient({ first_party: true }, limited)).toMatchObject(beyond);
    expect(await newClient({ scopes: ['admin:users:write'] }, limited)).toMatchObject(beyond);
    const plain = await newClient({ scopes: ['admin:clients:read'] }, limited);
    expect(plain.status).toBe(201);
    const own = `/clients/${plain.json['client_id']}`;
    const wider = { scopes: ['admin:users:write'] };
    expect(await call(own, { method: 'PATCH', token: limited, body: wider })).toMatchObject(beyond);
    expect(await call(own, { method: 'PATCH', token: limited, body: { first_party: true } })).toMatchObject(beyond);
    // The tenant's own application: a redirect address, or a secret, would be anybody's token.
    const console = `/clients/${acme.clients.web.clientId}`;
    const stolen = { redirect_uris: ['https://evil.example/cb'] };
    for (const [path, options] of [
      [console, { method: 'PATCH', body: stolen }],
      [console, { method: 'PATCH', body: { status: 'disabled' } }],
      [console, { method: 'DELETE' }],
      [`${console}/secrets`, { method: 'POST' }],
    ] as const)
      expect({ path, ...(await call(path, { ...options, token: limited })) }).toMatchObject({ path, ...beyond });
    expect((await call(own, { method: 'DELETE', token: limited })).status).toBe(204);
  });

  it('of another tenant is there for nobody', async () => {
    const theirs = `/clients/${globex.clients.web.clientId}`;
    for (const method of ['GET', 'DELETE'] as const) expect((await call(theirs, { method })).status).toBe(404);
    expect((await call(theirs, { method: 'PATCH', body: { name: 'x' } })).status).toBe(404);
    expect((await call(`${theirs}/secrets`, { method: 'POST' })).status).toBe(404);
    expect((await call('/clients', { token: foreign })).status).toBe(401);
  });

  it('is in a list that is read in parts, by what it is', async () => {
    const seen: unknown[] = [];
    let cursor: unknown = '';
    while (cursor !== null) {
      const search: string = cursor === '' ? '' : `&cursor=${String(cursor)}`;
      const { json } = await call(`/clients?limit=2&first_party=true${search}`);
      seen.push(...(json['data'] as { client_id: string }[]).map(({ client_id }) => client_id));
      cursor = json['next_cursor'];
    }
    const { third: _third, ...own } = acme.clients;
    expect(seen.toSorted()).toEqual(
      Object.values(own)
        .map(({ clientId }) => clientId)
        .sort(),
    );
  });
});

describe('an API over REST', () => {
  it('is made, changed and removed', async () => {
    const audience = 'https://api.acme.test/new';
    const made = await call('/apis', {
      method: 'POST',
      body: { audience, scopes: [{ name: 'a=b', description: '=' }] },
    });
    expect(made).toMatchObject({ status: 201, json: { audience, scopes: [{ name: 'a=b', description: '=' }] } });
    expect((await call('/apis', { method: 'POST', body: { audience } })).json['code']).toBe('already_exists');
    const address = `/apis/${made.json['id']}`;
    const changed = await call(address, { method: 'PATCH', body: { token_format: 'opaque', status: 'disabled' } });
    expect(changed).toMatchObject({ status: 200, json: { token_format: 'opaque', status: 'disabled' } });
    expect(changed.headers.get('etag')).toBe((await call(address)).headers.get('etag'));
    const reserved = { scopes: [{ name: 'admin:users:write' }] };
    expect((await call(address, { method: 'PATCH', body: reserved })).status).toBe(400);
    expect((await call(address, { method: 'DELETE' })).status).toBe(204);
    expect((await call(address)).status).toBe(404);
    expect((await call(`/apis/${Buffer.from(globex.jwtApi).toString('base64url')}`)).status).toBe(404);
  });
});

describe('keys over REST', () => {
  it('of the tenant are made within the rights of who makes them, seen by all and revoked', async () => {
    const body = { name: 'gateway', scopes: ['users:read'] };
    expect((await call('/api-keys', { method: 'POST', body, token: limited })).json['code']).toBe(
      'beyond_your_own_rights',
    );
    const made = await call('/api-keys', { method: 'POST', body });
    expect(made).toMatchObject({ status: 201, json: { user: null, scopes: ['users:read'] } });
    const listed = await call('/api-keys?status=active');
    expect(JSON.stringify(listed.json)).toContain(String(made.json['id']));
    expect(JSON.stringify(listed.json)).not.toContain(String(made.json['key']));
    expect((await call(`/api-keys/${made.json['id']}`, { method: 'DELETE' })).status).toBe(204);
    expect((await call('/api-keys?status=active')).json['data']).toEqual([]);
  });

  it('that sign are listed, rotated and retired', async () => {
    const before = (await call('/keys')).json['data'] as { kid: string; status: string }[];
    expect(before.map(({ status }) => status)).toEqual(['active', 'active', 'next', 'next']);
    const rotated = await call('/keys', { method: 'POST', body: { now: true } });
    expect(rotated.json['keys']).toMatchObject([{ rotated: true }, { rotated: true }]);
    const old = `/keys/${before[0]?.kid}`;
    expect((await call(old)).json['status']).toBe('retired');
    expect((await call(old, { method: 'DELETE' })).status).toBe(204);
    expect((await call(old)).status).toBe(404);
  });
});

describe('settings over REST', () => {
  const patch = (settings: object, by = token) => call('/settings', { method: 'PATCH', body: { settings }, token: by });

  it('show what holds and where it comes from', async () => {
    const changed = await patch({ 'password.history': 3, 'lifetimes.access_token_seconds': 300 });
    expect(changed.json['effective']).toMatchObject({
      'password.history': { value: 3, source: 'tenant', installation: 0 },
      'lifetimes.access_token_seconds': { value: 300, source: 'tenant', installation: 900 },
      'people.registration': { value: 'open', source: 'installation' },
    });
    let seconds: unknown;
    while (seconds !== 300) {
      const made = await newClient({ scopes: ['readings:read'] });
      seconds = (await tokenOf(made.json, { resource: acme.jwtApi })).json['expires_in'];
    }
    const back = await patch({ 'password.history': null, 'lifetimes.access_token_seconds': null });
    expect(back.json['settings']).toEqual({});
    expect(back.headers.get('etag')).toBe((await call('/settings')).headers.get('etag'));
  });

  it('refuse what is unknown, what is no such value, and what is laxer than the installation', async () => {
    const refused = await patch({ 'password.histroy': 1, 'password.history': 99 });
    expect(refused.json['errors']).toMatchObject([{ code: 'unknown_setting' }, { code: 'value' }]);
    const laxer = await patch({ 'lifetimes.access_token_seconds': 1000 });
    expect(laxer.json['errors']).toMatchObject([{ code: 'beyond_the_installation' }]);
  });

  it('say from where the tenant is managed and people sign in, and shut nobody out by mistake', async () => {
    const elsewhere = ['192.0.2.0/24'];
    expect((await patch({ 'access.management_addresses': elsewhere })).json['errors']).toMatchObject([
      { code: 'would_lock_you_out', pointer: '#/settings/access.management_addresses' },
    ]);
    const setting = (name: string) =>
      queryAsSuperuser(server.database, `update tenants set settings = settings || $2::jsonb where id = $1`, [
        acme.id,
        JSON.stringify({ access: { [name]: elsewhere } }),
      ]);
    await setting('management_addresses');
    while ((await call('/settings')).json['code'] !== 'address_not_allowed');
    await setting('sign_in_addresses');
    const pages = async () => (await fetch(`${acme.issuer}/authorize`)).status;
    while ((await pages()) !== 403);
    await expect(personToken(server, acme)).rejects.toThrow();
    const { email, password } = acme.person;
    const overRest = await callApi(acme.issuer, '/auth/login', { method: 'POST', body: { email, password } });
    expect(overRest.status).toBeGreaterThanOrEqual(400);
    expect(JSON.stringify(overRest.json)).not.toContain('at_');
    const nobody = `update tenants set settings = settings - 'access' where id = $1`;
    await queryAsSuperuser(server.database, nobody, [acme.id]);
    while ((await call('/settings')).status !== 200);
  });

  it('have a look as well', async () => {
    const branded = await call('/branding', { method: 'PATCH', body: { color: '#FFEE00' } });
    expect(branded.json).toMatchObject({ color: '#ffee00', logo: null });
    expect(branded.json['color_shown']).not.toBe('#ffee00');
    expect((await call('/branding', { method: 'PATCH', body: { color: null } })).json['color']).toBeNull();
    expect((await call('/branding', { method: 'PATCH', body: { logo: 'bm8=' } })).status).toBe(400);
  });
});

describe('the history over REST', () => {
  it('is asked by name, and answers with names', async () => {
    await newClient({ name: 'traced' });
    const { json } = await call(`/audit?type=client.created&actor=${acme.person.email}&target=traced`);
    expect(json['data']).toMatchObject([
      { type: 'client.created', actor: { name: acme.person.email }, target: { type: 'client', name: 'traced' } },
    ]);
    for (const search of ['type=nothing.happened', 'ip=x', 'since=yesterday', 'actor=', 'who=me', 'outcome=1'])
      expect({ search, status: (await call(`/audit?${search}`)).status }).toEqual({ search, status: 400 });
  });

  it('is streamed whole, as lines or for a spreadsheet', async () => {
    const at = (format: string) =>
      fetch(`${acme.issuer}/api/v1/admin/audit/export?format=${format}&type=client.created`, {
        headers: { authorization: `Bearer ${token}` },
      });
    const ndjson = await at('ndjson');
    expect(ndjson.headers.get('content-type')).toMatch(/^application\/x-ndjson/);
    const lines = (await ndjson.text()).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line).type)).toEqual(lines.map(() => 'client.created'));
    const csv = await at('csv');
    expect(csv.headers.get('content-disposition')).toBe('attachment; filename="acme-audit.csv"');
    expect((await csv.text()).split('\r\n')).toHaveLength(lines.length + 2);
  });

  it('is read no further for a reader who went away', async () => {
    await queryAsSuperuser(
      server.database,
      `insert into events (tenant_id, id, occurred_at, type, outcome, reason)
       select $1, ('01900000-' || lpad(to_hex(n / 65536), 4, '0') || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, now(), 'user.locked',
              'success', repeat('x', 500) from generate_series(1, 60000) n`,
      [acme.id],
    );
    const before = server.context.database.roundTrips();
    const abort = new AbortController();
    const answer = await fetch(`${acme.issuer}/api/v1/admin/audit/export`, {
      headers: { authorization: `Bearer ${token}` },
      signal: abort.signal,
    });
    const reader = answer.body?.getReader();
    await reader?.read();
    abort.abort();
    await reader?.read().catch(() => undefined);
    // Another export, whole, is longer than the one that nobody reads: by its end that one has stopped or never does.
    const whole = await fetch(`${acme.issuer}/api/v1/admin/audit/export?type=key.retired`, {
      headers: { authorization: `Bearer ${token}` },
    });
    await whole.text();
    const after = server.context.database.roundTrips();
    // Sixty parts of some four statements each; two exports would have been twice as many.
    expect(after - before).toBeLessThan(60 * 4 * 1.6);
  });
});
