/** The third door: the same answers as REST by the same policy, to services that hold an API key of a tenant. */
import { jest } from '@jest/globals';
import { createApiKey, revokeApiKey } from '#src/flows/access/manage_api_keys.ts';
import { createRole } from '#src/flows/access/manage_roles.ts';
import { addMember, changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { changeTenantStatus, configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { callApi } from '#test/support/api_calls.ts';
import { beginPairing, createPairer, pollFor } from '#test/support/device_pairing.ts';
import { connectGrpc, type GrpcAnswer, type GrpcClient } from '#test/support/grpc_client.ts';
import { defaultPeopleSettings } from '#test/support/people_settings.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { freePort, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, callEndpoint, createUserAgent, exchangeCode, introspect } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

// The sign-ins and the pairing of a device at the beginning.
jest.setTimeout(30_000);

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let client: GrpcClient;
let key: string;
let tokens: Readonly<Record<string, string>>;
let clerk: string;

beforeAll(async () => {
  const port = await freePort();
  server = await startTestServer({ environment: { POORT_GRPC_PORT: String(port) } });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  client = connectGrpc(server.server.grpcAddress ?? '');
  key = await makeKey(acme, ['introspect', 'permissions:check']);
  const role = { name: 'clerk', permissions: ['invoices:pay'] };
  expect(await createRole(server.context, { tenantId: acme.id, role })).toMatchObject({ outcome: 'created' });
  const added = await addMember(server.context, {
    tenantId: acme.id,
    email: 'clerk@acme.test',
    roles: ['clerk'],
    verified: true,
  });
  if (added.outcome !== 'created') throw new Error(added.outcome);
  clerk = added.userId;
  tokens = await tokensOf(acme);
});

afterAll(async () => {
  client.close();
  await server.close();
});

async function makeKey(tenant: TestTenant, scopes: readonly string[]): Promise<string> {
  const made = await createApiKey(server.context, {
    tenantId: tenant.id,
    userId: undefined,
    settings: defaultPeopleSettings,
    name: 'service',
    scopes,
    expiresAt: undefined,
  });
  if (made.outcome !== 'created') throw new Error(JSON.stringify(made));
  return made.key;
}

/** Every kind of token there is, and texts that are none. */
async function tokensOf(tenant: TestTenant): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = { 'what is none': 'at_nothing', 'no text of ours': 'x.y.z' };
  const { web, machine } = tenant.clients;
  for (const [format, resource] of [
    ['jwt', tenant.jwtApi],
    ['opaque', tenant.opaqueApi],
  ] as const) {
    const agent = createUserAgent(server.origin);
    const extra = { scope: 'openid readings:read', resource };
    const person = await exchangeCode(tenant, web, await authorize(agent, { tenant, client: web, extra }));
    found[`a person’s, ${format}`] = String(person.json['access_token']);
    found[`a refresh token, ${format}`] = String(person.json['refresh_token']);
    const form = { grant_type: 'client_credentials', resource, scope: 'readings:read' };
    const own = await callEndpoint(tenant.issuer, '/token', { client: machine, form });
    found[`a machine’s, ${format}`] = String(own.json['access_token']);
    const begun = await beginPairing(tenant, { form: { scope: 'openid offline_access readings:read', resource } });
    await createPairer(server, tenant).answer(begun.user_code, 'allow');
    const paired = await pollFor(tenant, begun);
    found[`a device’s, ${format}`] = String(paired.json['access_token']);
  }
  const userinfo = await exchangeCode(
    tenant,
    web,
    await authorize(createUserAgent(server.origin), { tenant, client: web }),
  );
  found['a person’s, for no API'] = String(userinfo.json['access_token']);
  found['an ID token'] = String(userinfo.json['id_token']);
  const revoked = String(
    (
      await callEndpoint(tenant.issuer, '/token', {
        client: machine,
        form: { grant_type: 'client_credentials', resource: tenant.jwtApi, scope: 'readings:read' },
      })
    ).json['access_token'],
  );
  await callEndpoint(tenant.issuer, '/revoke', { client: machine, form: { token: revoked } });
  found['what was revoked'] = revoked;
  return found;
}

const verify = (token: string, more: { key?: string | undefined; audience?: string } = {}): Promise<GrpcAnswer> => {
  const { key: by = key, audience } = more;
  return client.call('VerifyToken', { token, ...(audience === undefined ? {} : { audience }) }, { key: by });
};

/** REST's names for what the proto calls otherwise, and how each is written there. */
function asRest(response: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  if (response['active'] !== true) return { active: false };
  const {
    subject,
    scopes,
    audience,
    issuer,
    issued_at,
    expires_at,
    session_id,
    permissions,
    roles,
    amr,
    kind,
    ...rest
  } = response;
  const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
  const aud = list(audience);
  const said = Object.entries(rest).filter(([name, value]) => value !== '' && !name.startsWith('_') && value !== null);
  return {
    ...Object.fromEntries(said),
    ...(subject === '' ? {} : { sub: subject }),
    scope: list(scopes).join(' '),
    ...(aud.length === 0 ? {} : { aud: aud.length === 1 ? aud[0] : aud }),
    iss: issuer,
    iat: issued_at,
    exp: expires_at,
    ...(session_id === undefined ? {} : { sid: session_id }),
    ...(kind === 'SUBJECT_KIND_CLIENT' ? {} : { roles: list(roles), permissions: list(permissions), amr: list(amr) }),
  };
}

describe('VerifyToken', () => {
  it('says of every kind of token exactly what introspection says to a resource server', async () => {
    const seen: string[] = [];
    for (const [name, token] of Object.entries(tokens)) {
      const { json } = await introspect(acme, acme.clients.resource_server, token);
      const { status, response } = await verify(token);
      expect({ name, status, ...asRest(response) }).toEqual({ name, status: 'OK', ...json });
      if (json['active'] === true) seen.push(String(response['kind']));
    }
    expect([...new Set(seen)].sort()).toEqual(['SUBJECT_KIND_CLIENT', 'SUBJECT_KIND_DEVICE', 'SUBJECT_KIND_USER']);
  });

  it('costs one round trip at most', async () => {
    for (const name of ['a person’s, jwt', 'a person’s, opaque']) {
      await verify(tokens[name] ?? '');
      const before = server.context.database.roundTrips();
      expect((await verify(tokens[name] ?? '')).response['active']).toBe(true);
      expect(server.context.database.roundTrips() - before).toBeLessThanOrEqual(1);
    }
  });

  it('learns for one API alone, when the key or the call says so', async () => {
    const one = await makeKey(acme, [`introspect:${acme.jwtApi}`]);
    const [jwt, opaque] = [tokens['a person’s, jwt'] ?? '', tokens['a person’s, opaque'] ?? ''];
    const active = async (answer: Promise<GrpcAnswer>): Promise<unknown> => (await answer).response['active'];
    expect(await active(verify(jwt, { key: one }))).toBe(true);
    expect(await active(verify(opaque, { key: one }))).toBe(false);
    expect(await active(verify(jwt, { audience: acme.opaqueApi }))).toBe(false);
    expect(await active(verify(jwt, { audience: acme.jwtApi }))).toBe(true);
    expect(await active(verify(jwt, { key: one, audience: acme.opaqueApi }))).toBe(false);
    const none = await makeKey(acme, ['permissions:check']);
    expect(await active(verify(jwt, { key: none }))).toBe(false);
  });

  it('knows nothing of another tenant’s tokens', async () => {
    const theirs = await makeKey(globex, ['introspect']);
    for (const token of Object.values(tokens))
      expect((await verify(token, { key: theirs })).response['active']).toBe(false);
  });

  it('is over at once for a person who was shut out, and a tenant that was suspended', async () => {
    const tenant = await createTestTenant(server, 'initech');
    const own = await makeKey(tenant, ['introspect']);
    const { web } = tenant.clients;
    const extra = { scope: 'openid readings:read', resource: tenant.jwtApi };
    const { json } = await exchangeCode(
      tenant,
      web,
      await authorize(createUserAgent(server.origin), { tenant, client: web, extra }),
    );
    const active = async (): Promise<unknown> =>
      (await verify(String(json['access_token']), { key: own })).response['active'];
    expect(await active()).toBe(true);
    const member = { tenantId: tenant.id, email: tenant.person.email };
    await changeMembershipStatus(server.context, { ...member, status: 'disabled' });
    expect(await active()).toBe(false);
    await changeMembershipStatus(server.context, { ...member, status: 'active' });
    const status = await changeTenantStatus(server.context, { id: tenant.id, status: 'suspended' });
    expect(status.outcome).toBe('changed');
    let refused = await verify('x', { key: own });
    while (refused.status === 'OK') refused = await verify('x', { key: own });
    expect(['PERMISSION_DENIED', 'UNAUTHENTICATED']).toContain(refused.status);
  });
});

describe('a call', () => {
  it.each([
    ['no key', undefined],
    ['a text that is no key', 'anything'],
    ['a key that nobody has', `pk_${'a'.repeat(43)}`],
  ])('with %s is not answered', async (_what, presented) => {
    const answer = await client.call('VerifyToken', { token: 'x' }, { key: presented });
    expect(answer).toMatchObject({ status: 'UNAUTHENTICATED', trailers: { 'x-request-id': expect.any(String) } });
  });

  it('with two keys is not answered: nobody chooses which counts', async () => {
    const other = await makeKey(globex, ['introspect']);
    const answer = await client.call('VerifyToken', { token: 'x' }, { metadata: { 'x-api-key': [key, other] } });
    expect(answer.status).toBe('UNAUTHENTICATED');
  });

  it('with a key that was revoked is not answered', async () => {
    const tenant = await createTestTenant(server, 'umbrella');
    const own = await makeKey(tenant, ['introspect']);
    expect((await verify('x', { key: own })).status).toBe('OK');
    const [{ id = '' } = {}] = await queryAsSuperuser<{ id: string }>(
      server.database,
      'select id from api_keys where tenant_id = $1',
      [tenant.id],
    );
    expect(await revokeApiKey(server.context, { tenantId: tenant.id, id })).toEqual({ outcome: 'revoked' });
    let answer = await verify('x', { key: own });
    while (answer.status === 'OK') answer = await verify('x', { key: own });
    expect(answer.status).toBe('UNAUTHENTICATED');
  });

  it('too many in a minute are told when to come back, as official clients understand it', async () => {
    const tenant = await createTestTenant(server, 'hooli');
    const changes = [{ name: 'api_keys.requests_per_minute', value: 5 } as const];
    expect(await configureTenant(server.context, { id: tenant.id, changes })).toEqual({ outcome: 'changed' });
    const own = await makeKey(tenant, ['introspect']);
    const answers = [];
    for (let count = 0; count < 6; count += 1) answers.push(await verify('x', { key: own }));
    expect(answers.map(({ status }) => status)).toEqual([...Array(5).fill('OK'), 'RESOURCE_EXHAUSTED']);
    const trailers = answers[5]?.trailers;
    expect(Number(trailers?.['grpc-retry-pushback-ms'])).toBeGreaterThan(0);
    expect(trailers?.['grpc-status-details-bin']?.toString()).toContain('google.rpc.RetryInfo');
  });

  it.each([
    ['VerifyToken', { token: '' }, 'INVALID_ARGUMENT'],
    ['GetUserPermissions', { subject: 'ada' }, 'INVALID_ARGUMENT'],
    ['CheckPermission', { subject: '', resource: 'a', action: 'b' }, 'INVALID_ARGUMENT'],
    [
      'CheckPermission',
      { subject: '00000000-0000-7000-8000-000000000000', resource: '', action: 'b' },
      'INVALID_ARGUMENT',
    ],
    ['VerifyToken', { token: 'x'.repeat(70_000) }, 'RESOURCE_EXHAUSTED'],
  ])('of %s that breaks a rule is told which (%#)', async (method, request, status) => {
    expect((await client.call(method, request, { key })).status).toBe(status);
  });

  it('carries its id, and that of whoever called before it', async () => {
    const answer = await client.call(
      'VerifyToken',
      { token: '' },
      { key, metadata: { 'x-request-id': 'request-of-theirs' } },
    );
    expect(answer.trailers['x-request-id']).toBe('request-of-theirs');
    const forged = await client.call('VerifyToken', { token: '' }, { key, metadata: { 'x-request-id': 'short' } });
    expect(forged.trailers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('has an end, its own', async () => {
    const answer = await client.call('VerifyToken', { token: 'x' }, { key, deadline: new Date(Date.now() - 1) });
    expect(answer.status).toBe('DEADLINE_EXCEEDED');
  });
});

describe('CheckPermission and GetUserPermissions', () => {
  const check = async (subject: string, resource: string, action: string): Promise<unknown> =>
    (await client.call('CheckPermission', { subject, resource, action }, { key })).response['allowed'];

  it('answer what REST answers to the same question', async () => {
    const questions = [
      [clerk, 'invoices', 'pay', true],
      [clerk, 'invoices', 'burn', false],
      [acme.person.id, 'invoices', 'pay', false],
      ['00000000-0000-7000-8000-000000000000', 'invoices', 'pay', false],
    ] as const;
    for (const [subject, resource, action, allowed] of questions) {
      expect({ resource, action, allowed: await check(subject, resource, action) }).toEqual({
        resource,
        action,
        allowed,
      });
      const rest = await callApi(acme.issuer, '/permissions/check', {
        key,
        method: 'POST',
        body: { subject, resource, action },
      });
      expect({ status: rest.status, json: rest.json }).toEqual({ status: 200, json: { allowed } });
    }
  });

  it('tell a person’s roles and permissions, and nothing of who is nobody or somebody else’s', async () => {
    const of = async (subject: string, by = key): Promise<unknown> =>
      (await client.call('GetUserPermissions', { subject }, { key: by })).response;
    expect(await of(clerk)).toMatchObject({ subject: clerk, roles: ['clerk'], permissions: ['invoices:pay'] });
    const theirs = await makeKey(globex, ['permissions:check']);
    expect(await of(clerk, theirs)).toMatchObject({ subject: clerk, roles: [], permissions: [] });
  });

  it('are for keys that may ask', async () => {
    const own = await makeKey(acme, ['introspect']);
    for (const method of ['CheckPermission', 'GetUserPermissions']) {
      const answer = await client.call(method, { subject: clerk, resource: 'invoices', action: 'pay' }, { key: own });
      expect(answer.status).toBe('PERMISSION_DENIED');
    }
  });
});
