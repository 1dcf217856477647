/**
 * Row C20, the delegated administrator who makes themselves a greater one (Keycloak CVE-2026-9099, -11986, -3121; better-auth CVE-2026-41427,
 * GHSA-gv74-j8m3-fg5f): whoever may manage roles gives, assigns, changes and takes away what they hold themselves and nothing else, by
 * every credential that opens the management API. The rules themselves are tried on made-up tenants in test/domain/role_lattice.test.ts.
 */
import { assignRole } from '#src/flows/access/assign_roles.ts';
import { createRole } from '#src/flows/access/manage_roles.ts';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { listRoles } from '#src/storage/tables/roles.ts';
import { callApi, personToken } from '#test/support/api_calls.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { callEndpoint } from '#test/support/user_agent.ts';
import {
  callbackUri,
  createTestTenant,
  type NewPerson,
  newPerson,
  type TestClient,
  type TestTenant,
} from '#test/support/world.ts';

/** What they hold: enough to manage roles, and one permission of the tenant's own. */
const held = ['roles:read', 'roles:write', 'api-keys:read', 'invoices:read'];

let server: TestServer;
let acme: TestTenant;
let ids: ReadonlyMap<string, string>;
let manager: NewPerson;
let accomplice: NewPerson;
let credentials: Readonly<Record<string, { readonly token?: string; readonly key?: string }>>;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  manager = await newPerson(server, acme);
  accomplice = await newPerson(server, acme);
  await newRole({ name: 'manager', permissions: held });
  await newRole({ name: 'payer', permissions: ['invoices:pay'] });
  await newRole({ name: 'reader', permissions: ['invoices:read'] });
  await newRole({ name: 'above', permissions: ['invoices:read'], inherits: 'admin' });
  ids = await roleIds();
  for (const role of ['manager'])
    await assignRole(server.context, { tenantId: acme.id, userId: manager.id, roleId: idOf(role), by: 'operator' });
  const own = await personToken(server, acme, { person: manager });
  const made = await callApi(acme.issuer, '/api-keys', {
    method: 'POST',
    token: own,
    body: { name: 'key', scopes: ['roles:read', 'roles:write', 'invoices:read'] },
  });
  credentials = {
    'the tenant’s own application': { token: own },
    'somebody else’s application, which was let in': { token: await throughThird(manager) },
    'an application that may do more than its person': {
      token: await throughThird(manager, ['admin:users:write', 'admin:settings:write']),
    },
    'an application in its own name': { token: await machineToken() },
    'an API key of theirs': { key: String(made.json['key']) },
  };
});

afterAll(() => server.close());

async function newRole(role: Parameters<typeof createRole>[1]['role']): Promise<void> {
  expect(await createRole(server.context, { tenantId: acme.id, role })).toMatchObject({ outcome: 'created' });
}

async function roleIds(): Promise<ReadonlyMap<string, string>> {
  const database = server.context.database.tenant(acme.id);
  const roles = await database.transaction((transaction) => listRoles(transaction, acme.id));
  return new Map(roles.map(({ name, id }) => [name, id]));
}

function idOf(name: string): string {
  return ids.get(name) ?? '';
}

const managing = ['admin:roles:read', 'admin:roles:write'];

async function newClient(client: Parameters<typeof createClient>[1]['client']): Promise<TestClient> {
  const created = await createClient(server.context, { tenantId: acme.id, client });
  if (created.outcome !== 'created') throw new Error(JSON.stringify(created));
  return { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
}

async function throughThird(person: NewPerson, more: readonly string[] = []): Promise<string> {
  const scopes = [...managing, ...more];
  const client = await newClient({ name: 'third', type: 'web', redirectUris: [callbackUri], scopes });
  const scope = ['openid', ...scopes].join(' ');
  return personToken(server, acme, { client, person, scope, extra: { prompt: 'consent' } });
}

async function machineToken(): Promise<string> {
  const client = await newClient({ name: 'robot', type: 'machine', scopes: managing });
  const form = { grant_type: 'client_credentials', scope: managing.join(' ') };
  return String((await callEndpoint(acme.issuer, '/token', { client, form })).json['access_token']);
}

/** Everything about roles and who has them, as it stands in the database. */
const everything = async () =>
  JSON.stringify([
    await queryAsSuperuser(server.database, 'select * from roles order by tenant_id, id'),
    await queryAsSuperuser(server.database, 'select * from membership_roles order by tenant_id, user_id, role_id'),
    await queryAsSuperuser(server.database, 'select * from permissions order by tenant_id, name'),
  ]);

type Attempt = readonly [method: 'POST' | 'PATCH' | 'DELETE', path: string, body?: object];

/** Every way to come to more, or to take more away, than a manager of roles holds. */
const attempts = (): Readonly<Record<string, Attempt>> => {
  const [me, friend, ada] = [manager.id, accomplice.id, acme.person.id];
  return {
    'gives themselves the greatest role': ['POST', `/admin/users/${me}/roles`, { role_id: idOf('admin') }],
    'gives themselves a role above their own': ['POST', `/admin/users/${me}/roles`, { role_id: idOf('editor') }],
    'gives an accomplice a role above their own': ['POST', `/admin/users/${friend}/roles`, { role_id: idOf('viewer') }],
    'gives one that only inherits more': ['POST', `/admin/users/${friend}/roles`, { role_id: idOf('above') }],
    'gives a permission of the tenant’s that they lack': [
      'POST',
      `/admin/users/${me}/roles`,
      { role_id: idOf('payer') },
    ],
    'puts an end to an administrator': [
      'POST',
      `/admin/users/${ada}/roles`,
      { role_id: idOf('admin'), expires_at: '2099-01-01T00:00:00Z' },
    ],
    'dismisses an administrator': ['DELETE', `/admin/users/${ada}/roles/${idOf('admin')}`],
    'makes a role with more': ['POST', '/admin/roles', { name: 'boss', permissions: ['users:write'] }],
    'makes a role that inherits more': ['POST', '/admin/roles', { name: 'boss', inherits: 'viewer' }],
    'makes a role with a permission nobody has yet': [
      'POST',
      '/admin/roles',
      { name: 'boss', permissions: ['vault:open'] },
    ],
    'adds more to their own role': [
      'PATCH',
      `/admin/roles/${idOf('manager')}`,
      { permissions: [...held, 'settings:write'] },
    ],
    'lets their own role inherit more': ['PATCH', `/admin/roles/${idOf('manager')}`, { inherits: 'admin' }],
    'lets it inherit one that only inherits more': ['PATCH', `/admin/roles/${idOf('manager')}`, { inherits: 'above' }],
    'makes a greater role smaller': ['PATCH', `/admin/roles/${idOf('above')}`, { inherits: null }],
    'makes it small enough to give, and greater again': ['PATCH', `/admin/roles/${idOf('payer')}`, { permissions: [] }],
    'switches a greater role off': ['PATCH', `/admin/roles/${idOf('above')}`, { is_active: false }],
    'renames what a greater role is for': ['PATCH', `/admin/roles/${idOf('above')}`, { description: 'harmless' }],
    'removes a greater role': ['DELETE', `/admin/roles/${idOf('above')}`],
    'describes a permission they lack': ['POST', '/admin/permissions', { name: 'invoices:pay' }],
    'switches a permission off that they lack': ['PATCH', '/admin/permissions/invoices:pay', { is_active: false }],
  };
};

describe.each([
  'the tenant’s own application',
  'somebody else’s application, which was let in',
  'an application that may do more than its person',
  'an application in its own name',
  'an API key of theirs',
])('a manager of roles, by %s,', (by) => {
  it('comes to nothing more, and takes nothing greater away', async () => {
    const before = await everything();
    for (const [attempt, [method, path, body]] of Object.entries(attempts())) {
      const { status, json } = await callApi(acme.issuer, path, { ...credentials[by], method, body });
      expect({ attempt, status, code: json['code'] }).toEqual({ attempt, status: 403, code: 'beyond_your_own_rights' });
    }
    expect(await everything()).toBe(before);
  });
});

describe('a manager of roles', () => {
  const call = (method: Attempt[0], path: string, body?: object) =>
    callApi(acme.issuer, path, { ...credentials['the tenant’s own application'], method, body });

  it('manages what they hold', async () => {
    const made = await call('POST', '/admin/roles', {
      name: 'junior',
      permissions: ['roles:read'],
      inherits: 'reader',
    });
    expect(made.status).toBe(201);
    const path = `/admin/users/${accomplice.id}/roles`;
    expect((await call('POST', path, { role_id: made.json['id'] })).status).toBe(201);
    expect((await call('DELETE', `${path}/${String(made.json['id'])}`)).status).toBe(204);
    expect((await call('DELETE', `/admin/roles/${String(made.json['id'])}`)).status).toBe(204);
  });

  it('holds no more of what was taken from them a moment ago', async () => {
    const late = await newPerson(server, acme);
    const given = { tenantId: acme.id, userId: late.id, roleId: idOf('manager'), by: 'operator' } as const;
    await assignRole(server.context, given);
    const token = await personToken(server, acme, { person: late });
    const give = () =>
      callApi(acme.issuer, `/admin/users/${late.id}/roles`, {
        token,
        method: 'POST',
        body: { role_id: idOf('reader') },
      });
    expect((await give()).status).toBe(201);
    const ended = `update membership_roles set expires_at = now() - interval '1 second' where user_id = $1 and role_id = $2`;
    await queryAsSuperuser(server.database, ended, [late.id, idOf('manager')]);
    expect((await give()).json['code']).toBe('insufficient_permission');
  });

  it('cannot make themselves more by many calls at once', async () => {
    const before = await everything();
    const all = Object.values(attempts()).flatMap((attempt) => [attempt, attempt, attempt]);
    const answers = await Promise.all(all.map(([method, path, body]) => call(method, path, body)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([403]));
    expect(await everything()).toBe(before);
  });
});

describe('who reads and changes people', () => {
  it('comes to no roles at all: an editor’s permissions are not those of roles', async () => {
    const editor = await newPerson(server, acme);
    await assignRole(server.context, { tenantId: acme.id, userId: editor.id, roleId: idOf('editor'), by: 'operator' });
    const token = await personToken(server, acme, { person: editor });
    for (const [attempt, [method, path, body]] of Object.entries(attempts())) {
      const { json } = await callApi(acme.issuer, path, { token, method, body });
      expect({ attempt, code: json['code'] }).toEqual({ attempt, code: 'insufficient_permission' });
    }
  });
});
