/** `{origin}/api/v1/tenants`: what operators do, and what nobody else does, whatever they hold. */
import { tenantId } from '#src/domain/tenant.ts';
import { createApiKey } from '#src/flows/access/manage_api_keys.ts';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { addOperator, removeOperator } from '#src/flows/tenants/manage_operators.ts';
import { changeTenantStatus } from '#src/flows/tenants/manage_tenants.ts';
import { describeChain } from '#src/http/api/chains.ts';
import { callApi, personToken } from '#test/support/api_calls.ts';
import { platformRoutesOf } from '#test/support/api_routes.ts';
import { pairDevice } from '#test/support/fleet.ts';
import { lastMailTo, proofIn } from '#test/support/mailbox.ts';
import { defaultPeopleSettings } from '#test/support/people_settings.ts';
import { sendRaw } from '#test/support/raw_http.ts';
import { newPersonWithTotp, totpCode } from '#test/support/second_factor.ts';
import { eventually } from '#test/support/sql.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, callEndpoint, createUserAgent, refresh } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, newPerson, type TestClient, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
/** Where the operator is at home. */
let house: TestTenant;
let acme: TestTenant;
let token: string;

beforeAll(async () => {
  server = await startTestServer();
  house = await createTestTenant(server, 'house');
  acme = await createTestTenant(server, 'acme');
  await addOperator(server.context, { tenantId: house.id, userId: house.person.id });
  token = await personToken(server, house);
});

afterAll(() => server.close());

const call = (path: string, options: Parameters<typeof callApi>[2] = {}) =>
  callApi(server.origin, `/tenants${path}`, { token, ...options });
const post = (path: string, body?: object, options: Parameters<typeof callApi>[2] = {}) =>
  call(path, { method: 'POST', ...(body === undefined ? {} : { body }), ...options });

async function newClient(
  tenant: TestTenant,
  client: Parameters<typeof createClient>[1]['client'],
): Promise<TestClient> {
  const created = await createClient(server.context, { tenantId: tenant.id, client });
  if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
  return { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
}

/** Every process hears of it within a second, and never at a given moment. */
const settles = (status: number): Promise<void> =>
  eventually(`acme answers ${status}`, async () => (await fetch(`${acme.issuer}/jwks`)).status === status);

describe('the addresses of operators', () => {
  it('are these, and each is for operators', () => {
    const routes = platformRoutesOf(server);
    expect(routes.map(({ method, path, chain }) => `${method} ${path}: ${describeChain(chain)}`)).toEqual([
      'POST /api/v1/tenants: operator permission=tenants:write',
      'GET /api/v1/tenants: operator permission=tenants:read',
      'GET /api/v1/tenants/{id}: operator permission=tenants:read',
      'PATCH /api/v1/tenants/{id}: operator permission=tenants:write',
      'POST /api/v1/tenants/{id}/suspend: operator permission=tenants:write',
      'POST /api/v1/tenants/{id}/resume: operator permission=tenants:write',
      'DELETE /api/v1/tenants/{id}: operator permission=tenants:write',
      'POST /api/v1/tenants/{id}/restore: operator permission=tenants:write',
    ]);
  });

  it('are at the installation and below no issuer', async () => {
    expect((await callApi(house.issuer, '/tenants', { token })).status).toBe(404);
    expect((await callApi(server.origin, '/admin/devices', { token })).status).toBe(404);
  });
});

describe('an operator', () => {
  it('makes a tenant whose first administrator is invited, once for each key', async () => {
    const body = { slug: 'globex', name: 'Globex', locale: 'en', administrator: { email: 'hank@globex.test' } };
    const headers = { 'idempotency-key': 'make-globex' };
    const made = await post('', body, { headers });
    expect(made).toMatchObject({
      status: 201,
      json: { slug: 'globex', name: 'Globex', status: 'active', locale: 'en', administrator: { mailed: true } },
    });
    const { id, issuer } = made.json;
    expect(issuer).toBe(`${server.origin}/t/globex`);
    expect(made.headers.get('location')).toBe(`${server.origin}/api/v1/tenants/${id}`);
    const again = await post('', body, { headers });
    expect([again.status, again.json['id'], again.headers.get('idempotency-replayed')]).toEqual([201, id, 'true']);
    const mail = await lastMailTo(server, { id: tenantId(String(id)) }, 'hank@globex.test');
    expect(proofIn(mail).link).toMatch(new RegExp(`^${issuer}/invite\\?token=`));
    expect((await fetch(`${issuer}/.well-known/openid-configuration`)).status).toBe(200);
    const events = await readEvents(server.database, { tenantId: String(id), types: ['tenant.created'] });
    expect(events).toMatchObject([{ actor_type: 'operator', actor_id: house.person.id }]);
  });

  it.each([
    [{ slug: 'Bad', name: 'x' }, 400, '#/slug'],
    [{ slug: 'admin', name: 'x' }, 400, '#/slug'],
    [{ slug: 'fine', name: '' }, 400, '#/name'],
    [{ slug: 'fine', name: 'x', administrator: { email: 'nobody' } }, 400, '#/administrator/email'],
    [{ slug: 'fine', name: 'x', status: 'suspended' }, 400, '#/status'],
    [{ slug: 'fine', name: 'x', id: '00000000-0000-7000-8000-000000000001' }, 400, '#/id'],
    [{ slug: 'acme', name: 'x' }, 409, undefined],
  ])('is refused %j, and nothing is made', async (body, status, pointer) => {
    const refused = await post('', body);
    const errors = refused.json['errors'] as readonly { pointer: string }[] | undefined;
    expect([refused.status, errors?.[0]?.pointer]).toEqual([status, pointer]);
    expect((await call('/fine')).status).toBe(404);
  });

  it('lists tenants in parts, and finds them by status, slug and beginning', async () => {
    for (const slug of ['list-1', 'list-2', 'list-3']) await post('', { slug, name: slug });
    await post('/list-2/suspend');
    const slugs = ({ json }: Awaited<ReturnType<typeof call>>) =>
      (json['data'] as readonly { slug: string }[]).map(({ slug }) => slug);
    const first = await call('?q=list-&limit=2');
    expect(slugs(first)).toEqual(['list-1', 'list-2']);
    const second = await call(`?q=list-&limit=2&cursor=${first.json['next_cursor']}`);
    expect([slugs(second), second.json['next_cursor']]).toEqual([['list-3'], null]);
    expect(slugs(await call('?q=list-&status=suspended'))).toEqual(['list-2']);
    expect(slugs(await call('?slug=list-3'))).toEqual(['list-3']);
    expect(slugs(await call('?q=list_'))).toEqual([]);
    expect(slugs(await call(`?q=${encodeURIComponent('%')}`))).toEqual([]);
    expect((await call('?sort=name')).status).toBe(400);
  });

  it('shows, renames, suspends and resumes one, by its identifier or its slug', async () => {
    const shown = await call('/acme');
    expect(shown).toMatchObject({ status: 200, json: { id: acme.id, slug: 'acme', domain: null } });
    expect((await call(`/${acme.id}`)).json).toEqual(shown.json);
    const stale = { 'if-match': '"another state"' };
    expect((await call('/acme', { method: 'PATCH', body: { name: 'x' }, headers: stale })).status).toBe(412);
    expect((await post('/acme/suspend', undefined, { headers: stale })).status).toBe(412);
    expect((await call('/acme', { method: 'DELETE', headers: stale })).status).toBe(412);
    const current = { 'if-match': String(shown.headers.get('etag')) };
    const renamed = await call('/acme', { method: 'PATCH', body: { name: 'Acme AG' }, headers: current });
    expect(renamed).toMatchObject({ status: 200, json: { name: 'Acme AG' } });
    expect((await post('/acme/suspend')).json['status']).toBe('suspended');
    await settles(403);
    expect((await post('/acme/resume')).json['status']).toBe('active');
    await settles(200);
  });

  it('has one deleted, and thinks better of it', async () => {
    const deleted = await call('/acme', { method: 'DELETE' });
    expect(deleted).toMatchObject({ status: 202, json: { status: 'deleting' } });
    expect(Date.parse(String(deleted.json['deletion_due_at']))).toBeGreaterThan(Date.now() + 29 * 86_400_000);
    await settles(403);
    expect(await post('/acme/restore')).toMatchObject({
      status: 200,
      json: { status: 'active', deletion_due_at: null },
    });
    expect((await post('/acme/restore')).json['code']).toBe('not_deleting');
    await settles(200);
  });

  it('cannot shut out operators', async () => {
    for (const refused of [await post('/house/suspend'), await call('/house', { method: 'DELETE' })])
      expect([refused.status, refused.json['code']]).toEqual([409, 'home_of_operators']);
    expect((await call('/house')).json['status']).toBe('active');
  });

  it.each(['/no-such', '/00000000-0000-7000-8000-000000000000', '/%27', '/ACME', `/${'a'.repeat(80)}`])(
    'finds nothing at %s',
    async (path) => {
      expect((await call(path)).json['code']).toBe('not_found');
      expect((await post(`${path}/suspend`)).status).toBe(404);
    },
  );
});

describe('whoever is no operator', () => {
  async function isRefused(options: Parameters<typeof callApi>[2], code: string): Promise<void> {
    const before = await queryAsSuperuser(server.database, 'select id, status, name from tenants order by id');
    const tried = [
      await callApi(server.origin, '/tenants', options),
      await callApi(server.origin, '/tenants', { ...options, method: 'POST', body: { slug: 'taken-over', name: 'x' } }),
      await callApi(server.origin, '/tenants/acme', options),
      await callApi(server.origin, `/tenants/${acme.id}/suspend`, { ...options, method: 'POST' }),
      await callApi(server.origin, '/tenants/acme', { ...options, method: 'DELETE' }),
    ];
    for (const { json } of tried) expect(json['code']).toBe(code);
    expect(await queryAsSuperuser(server.database, 'select id, status, name from tenants order by id')).toEqual(before);
  }

  it('and shows nothing is told how to be known', async () => {
    await isRefused({}, 'unauthorized');
    const { headers } = await callApi(server.origin, '/tenants');
    expect(headers.get('www-authenticate')).toContain(`Bearer realm="${server.origin}"`);
  });

  it('cannot as the administrator of another tenant', async () => {
    await isRefused({ token: await personToken(server, acme) }, 'invalid_token');
  });

  it('cannot as an administrator of the very tenant that operators are at home in', async () => {
    const person = await newPerson(server, house);
    await queryAsSuperuser(
      server.database,
      `insert into membership_roles (tenant_id, user_id, role_id) select tenant_id, $2, id from roles where tenant_id = $1 and name = 'admin'`,
      [house.id, person.id],
    );
    await isRefused({ token: await personToken(server, house, { person }) }, 'insufficient_permission');
  });

  it('cannot with a key of an operator, nor with a machine or a device of their tenant', async () => {
    const key = await createApiKey(server.context, {
      tenantId: house.id,
      userId: house.person.id,
      settings: defaultPeopleSettings,
      name: 'key',
      scopes: ['clients:write'],
      expiresAt: undefined,
    });
    await isRefused({ key: key.outcome === 'created' ? key.key : '' }, 'unauthorized');
    const machine = await newClient(house, { name: 'm', type: 'machine', scopes: ['admin:users:read'] });
    const form = { grant_type: 'client_credentials', scope: 'admin:users:read' };
    const { json } = await callEndpoint(house.issuer, '/token', { client: machine, form });
    await isRefused({ token: String(json['access_token']) }, 'wrong_kind_of_caller');
    const device = await pairDevice(server, house);
    await isRefused({ token: device.accessToken }, 'wrong_kind_of_caller');
  });

  it('cannot as somebody else’s application that an operator signed in at, beyond what it was registered for', async () => {
    const plain = await newClient(house, { name: 'theirs', type: 'web', redirectUris: [callbackUri] });
    await isRefused({ token: await personToken(server, house, { client: plain }) }, 'insufficient_scope');
    const asking = { client: plain, scope: 'openid platform:tenants:write' };
    await expect(personToken(server, house, asking)).rejects.toThrow('invalid_scope');

    const scopes = ['platform:tenants:read'];
    const reader = await newClient(house, { name: 'reader', type: 'web', redirectUris: [callbackUri], scopes });
    const reading = await personToken(server, house, { client: reader, scope: 'openid platform:tenants:read' });
    expect((await call('/acme', { token: reading })).status).toBe(200);
    const refused = await call('/acme', { token: reading, method: 'PATCH', body: { name: 'x' } });
    expect(refused.json['code']).toBe('insufficient_scope');
    expect(refused.headers.get('www-authenticate')).toContain('scope="platform:tenants:write"');
  });

  it('cannot with an operator’s token that was made for an API', async () => {
    const extra = { resource: house.opaqueApi };
    const { token: forApi } = { token: await personToken(server, house, { scope: 'openid readings:read', extra }) };
    await isRefused({ token: forApi }, 'invalid_token');
  });

  it('is whoever was one, from the next call on', async () => {
    const person = await newPerson(server, house);
    await addOperator(server.context, { tenantId: house.id, userId: person.id });
    const theirs = await personToken(server, house, { person });
    expect((await call('/acme', { token: theirs })).status).toBe(200);
    await removeOperator(server.context, { tenantId: house.id, userId: person.id });
    await isRefused({ token: theirs }, 'insufficient_permission');
    await addOperator(server.context, { tenantId: house.id, userId: person.id });
    await changeMembershipStatus(server.context, { tenantId: house.id, email: person.email, status: 'disabled' });
    await isRefused({ token: theirs }, 'invalid_token');
  });

  it('is an operator of the same person at another tenant', async () => {
    const person = await newPerson(server, house, acme);
    await addOperator(server.context, { tenantId: house.id, userId: person.id });
    await isRefused({ token: await personToken(server, acme, { person }) }, 'invalid_token');
    await removeOperator(server.context, { tenantId: house.id, userId: person.id });
  });

  it('is every operator whose home is suspended', async () => {
    const home = await createTestTenant(server, 'second-house');
    await addOperator(server.context, { tenantId: home.id, userId: home.person.id });
    const theirs = await personToken(server, home);
    expect((await call('/acme', { token: theirs })).status).toBe(200);
    await changeTenantStatus(server.context, { id: home.id, status: 'suspended' });
    await eventually('it is shut', async () => (await fetch(`${home.issuer}/jwks`)).status === 403);
    await isRefused({ token: theirs }, 'invalid_token');
    expect((await call('/acme')).status).toBe(200);
    await queryAsSuperuser(server.database, 'delete from operators where tenant_id = $1', [home.id]);
  });

  it('is whoever calls another host', async () => {
    const answer = await sendRaw(server.config.http.port, {
      target: '/api/v1/tenants',
      headers: [
        ['Host', 'evil.example'],
        ['X-Forwarded-Host', new URL(server.origin).host],
        ['Authorization', `Bearer ${token}`],
      ],
    });
    expect(answer.status).toBe(421);
  });
});

describe('where both factors are asked for', () => {
  it('an operator with one is sent to sign in again, and with two is let in, also after a refresh', async () => {
    const strict = await startTestServer({
      change: (config) => ({ ...config, operators: { requireSecondFactor: true } }),
    });
    try {
      const home = await createTestTenant(strict, 'home');
      const { web } = home.clients;
      const person = await newPersonWithTotp(strict, home);
      for (const userId of [home.person.id, person.id])
        await addOperator(strict.context, { tenantId: home.id, userId });
      const ask = (by: unknown) => callApi(strict.origin, '/tenants/home', { token: String(by) });

      const refused = await ask(await personToken(strict, home));
      expect([refused.status, refused.json['code']]).toEqual([401, 'second_factor_needed']);
      expect(refused.headers.get('www-authenticate')).toContain(
        'error="insufficient_user_authentication", acr_values="urn:poort:acr:mfa"',
      );

      const agent = createUserAgent(strict.origin);
      const { url, verifier } = authorizationRequest(home, web);
      const second = await agent.submit(await agent.follow(url), { email: person.email, password: person.password });
      const page = await agent.submit(second, { code: totpCode(person.secret, new Date()) });
      const code = new URL(page.url).searchParams.get('code') ?? '';
      const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: callbackUri };
      const { json } = await callEndpoint(home.issuer, '/token', { client: web, form });
      expect((await ask(json['access_token'])).status).toBe(200);
      const refreshed = await refresh(home, web, String(json['refresh_token']));
      expect((await ask(refreshed.json['access_token'])).status).toBe(200);
    } finally {
      await strict.close();
    }
  });
});
