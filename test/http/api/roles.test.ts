/** Roles over REST: made, changed, given and taken away, by people, applications and keys, each within what they hold. */
import { createRole } from '#src/flows/access/manage_roles.ts';
import { listRoles } from '#src/storage/tables/roles.ts';
import { callApi, personToken } from '#test/support/api_calls.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type NewPerson, newPerson, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let token: string;
let bob: NewPerson;
let ids: ReadonlyMap<string, string>;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  bob = await newPerson(server, acme);
  token = await personToken(server, acme);
  ids = await roleIds(acme);
});

afterAll(() => server.close());

async function roleIds(tenant: TestTenant): Promise<ReadonlyMap<string, string>> {
  const database = server.context.database.tenant(tenant.id);
  const roles = await database.transaction((transaction) => listRoles(transaction, tenant.id));
  return new Map(roles.map(({ name, id }) => [name, id]));
}

type Options = Parameters<typeof callApi>[2];
const call = (path: string, options: Options = {}) => callApi(acme.issuer, path, { token, ...options });
const post = (path: string, body: unknown, options: Options = {}) => call(path, { method: 'POST', body, ...options });
const patch = (path: string, body: unknown, options: Options = {}) => call(path, { method: 'PATCH', body, ...options });
const remove = (path: string, options: Options = {}) => call(path, { method: 'DELETE', ...options });

let made = 0;
async function newRole(more: Readonly<Record<string, unknown>> = {}): Promise<{ id: string; name: string }> {
  made += 1;
  const name = `role-${made}`;
  const { status, json } = await post('/admin/roles', { name, ...more });
  expect({ status, json }).toMatchObject({ status: 201 });
  return { id: String(json['id']), name };
}

const rightsOf = async (person: { readonly id: string }) => (await call(`/admin/users/${person.id}/permissions`)).json;

/** What the clock does, without waiting for it. */
const letEnd = (userId: string) =>
  queryAsSuperuser(
    server.database,
    `update membership_roles set expires_at = now() - interval '1 second' where user_id = $1`,
    [userId],
  );

describe('a role', () => {
  it('is made, shown, listed, changed and removed', async () => {
    const wanted = { name: 'clerk', description: 'Pays', permissions: ['invoices:pay', 'a:b'], inherits: 'viewer' };
    const { status, json } = await post('/admin/roles', wanted);
    const clerk = { ...wanted, permissions: ['a:b', 'invoices:pay'], built_in: false, is_active: true };
    expect({ status, json }).toMatchObject({ status: 201, json: clerk });
    const path = `/admin/roles/${String(json['id'])}`;
    expect((await call(path)).json).toEqual({ id: json['id'], ...clerk });
    expect((await call('/admin/roles')).json['data']).toContainEqual({ id: json['id'], ...clerk });

    const changed = await patch(path, { description: null, permissions: ['a:b'], inherits: null, is_active: false });
    const other = { ...clerk, description: '', permissions: ['a:b'], inherits: null, is_active: false };
    expect({ status: changed.status, json: changed.json }).toMatchObject({ status: 200, json: other });
    expect((await patch(path, {})).json).toMatchObject(other);
    expect((await remove(path)).status).toBe(204);
    expect((await call(path)).status).toBe(404);

    const types = ['role.created', 'role.updated', 'role.deleted'];
    const told = await readEvents(server.database, { tenantId: acme.id, types });
    const target_id = json['id'];
    expect(told.filter((event) => event.target_id === target_id)).toMatchObject([
      { type: 'role.created', actor_id: acme.person.id, data: { name: 'clerk', inherits: 'viewer' } },
      { type: 'role.updated', data: { name: 'clerk', removed: ['invoices:pay'], inherits: '', is_active: false } },
      { type: 'role.deleted', data: { name: 'clerk', holders: 0 } },
    ]);
  });

  it('that is built in stays as it is', async () => {
    for (const name of ['admin', 'editor', 'viewer', 'user']) {
      const path = `/admin/roles/${ids.get(name)}`;
      expect((await patch(path, { permissions: [] })).json).toMatchObject({ status: 409, code: 'built_in' });
      expect((await remove(path)).json).toMatchObject({ status: 409, code: 'built_in' });
    }
    expect((await post('/admin/roles', { name: 'admin' })).json).toMatchObject({ status: 400 });
  });

  it.each([
    ['a name that is taken', { name: 'taken' }, 409, undefined],
    ['a name with a space', { name: 'a b' }, 400, '#/name'],
    ['a wildcard', { name: 'x', permissions: ['*:*'] }, 400, '#/permissions'],
    ['a role to inherit that is not there', { name: 'x', inherits: 'nothing' }, 400, '#/inherits'],
    ['a field of the table', { name: 'x', built_in: true }, 400, '#/built_in'],
    ['another tenant', { name: 'x', tenant_id: '00000000-0000-7000-8000-000000000001' }, 400, '#/tenant_id'],
    ['an identifier of its own', { name: 'x', id: '00000000-0000-7000-8000-000000000001' }, 400, '#/id'],
  ])('is not made with %s', async (_what, body, status, pointer) => {
    if (status === 409)
      await createRole(server.context, { tenantId: acme.id, role: { name: 'taken', permissions: [] } });
    const { json } = await post('/admin/roles', body);
    expect(json).toMatchObject({ status, ...(pointer === undefined ? {} : { errors: [{ pointer }] }) });
  });

  it('inherits in no circle, however it is closed, also by two at once', async () => {
    const [one, two, three] = [await newRole(), await newRole(), await newRole()];
    const let_ = (heir: { id: string }, from: { name: string }) =>
      patch(`/admin/roles/${heir.id}`, { inherits: from.name });
    expect((await let_(one, one)).json).toMatchObject({ status: 400, errors: [{ pointer: '#/inherits' }] });
    expect((await let_(two, one)).status).toBe(200);
    expect((await let_(three, two)).status).toBe(200);
    expect((await let_(one, three)).json).toMatchObject({ errors: [{ pointer: '#/inherits', code: 'circle' }] });
    const [four, five] = [await newRole(), await newRole()];
    const both = await Promise.all([let_(four, five), let_(five, four)]);
    expect(both.map(({ status }) => status).sort()).toEqual([200, 400]);
  });

  it('that others inherit from is not removed, nor is one more put on a long line', async () => {
    let line = await newRole();
    const first = line;
    for (let depth = 2; depth <= 20; depth += 1) line = await newRole({ inherits: line.name });
    expect((await remove(`/admin/roles/${first.id}`)).json).toMatchObject({ status: 409, code: 'in_use' });
    const beyond = await post('/admin/roles', { name: 'beyond', inherits: line.name });
    expect(beyond.json).toMatchObject({ status: 400, errors: [{ code: 'too_deep' }] });
    const below = await newRole();
    // From below as well: the line grows at its other end.
    expect((await patch(`/admin/roles/${first.id}`, { inherits: below.name })).json).toMatchObject({ status: 400 });
  });

  it('is changed by who has seen it as it is', async () => {
    const { id } = await newRole();
    const path = `/admin/roles/${id}`;
    const etag = (await call(path)).headers.get('etag') ?? '';
    const headers = { 'if-match': etag };
    expect((await patch(path, { description: 'first' }, { headers })).status).toBe(200);
    expect((await patch(path, { description: 'second' }, { headers })).json['code']).toBe('changed_meanwhile');
    expect((await remove(path, { headers })).json['code']).toBe('changed_meanwhile');
    expect((await call(path)).json['description']).toBe('first');
  });

  it('of another tenant is like one that never was', async () => {
    const foreign = (await roleIds(globex)).get('viewer');
    const random = '0197d5c8-7a54-7c1e-b2d7-3f5a0c9e1b42';
    for (const id of [foreign, random, 'x']) {
      for (const answer of [
        await call(`/admin/roles/${id}`),
        await patch(`/admin/roles/${id}`, {}),
        await remove(`/admin/roles/${id}`),
      ])
        expect({ id, status: answer.status, code: answer.json['code'] }).toEqual({
          id,
          status: 404,
          code: 'not_found',
        });
    }
    const given = await post(`/admin/users/${bob.id}/roles`, { role_id: foreign });
    const unknown = await post(`/admin/users/${bob.id}/roles`, { role_id: random });
    expect({ ...given.json, request_id: '', instance: '' }).toEqual({ ...unknown.json, request_id: '', instance: '' });
  });
});

describe('a member’s role', () => {
  it('is given, told with the way it grants, and taken away', async () => {
    const person = await newPerson(server, acme);
    const path = `/admin/users/${person.id}/roles`;
    const role = await newRole({ permissions: ['invoices:pay'], inherits: 'viewer' });
    const given = await post(path, { role_id: role.id });
    const shown = { role_id: role.id, name: role.name, expires_at: null, in_force: true };
    expect({ status: given.status, json: given.json }).toEqual({ status: 201, json: shown });
    expect((await post(path, { role_id: role.id })).status).toBe(200);
    expect((await call(path)).json).toEqual({ data: [shown], next_cursor: null });
    const rights = await rightsOf(person);
    expect(rights['roles']).toEqual([role.name, 'user', 'viewer']);
    expect(rights['permissions']).toContainEqual({ permission: 'invoices:pay', through: [[role.name]] });
    expect(rights['permissions']).toContainEqual({ permission: 'roles:read', through: [[role.name, 'viewer']] });
    expect((await remove(`${path}/${role.id}`)).status).toBe(204);
    expect((await remove(`${path}/${role.id}`)).status).toBe(404);
    expect(await rightsOf(person)).toEqual({ user_id: person.id, roles: [], permissions: [] });
  });

  it('ends when it is to end', async () => {
    const person = await newPerson(server, acme);
    const path = `/admin/users/${person.id}/roles`;
    const viewer = ids.get('viewer');
    const expires_at = '2099-01-01T00:00:00.000Z';
    expect((await post(path, { role_id: viewer, expires_at })).json).toMatchObject({ expires_at, in_force: true });
    expect((await rightsOf(person))['roles']).toContain('viewer');
    await letEnd(person.id);
    expect((await call(path)).json['data']).toMatchObject([{ name: 'viewer', in_force: false }]);
    expect((await rightsOf(person))['roles']).toEqual([]);
    const past = await post(path, { role_id: viewer, expires_at: '2001-01-01T00:00:00Z' });
    expect(past.json).toMatchObject({ status: 400, errors: [{ pointer: '#/expires_at', code: 'past' }] });
    expect((await post(path, { role_id: viewer })).json).toMatchObject({ expires_at: null, in_force: true });
  });

  it('that is switched off gives nothing, and what inherits from it nothing of it', async () => {
    const person = await newPerson(server, acme);
    const base = await newRole({ permissions: ['base:read'] });
    const heir = await newRole({ permissions: ['heir:read'], inherits: base.name });
    await post(`/admin/users/${person.id}/roles`, { role_id: heir.id });
    await patch(`/admin/roles/${base.id}`, { is_active: false });
    expect(await rightsOf(person)).toMatchObject({ roles: [heir.name], permissions: [{ permission: 'heir:read' }] });
    await patch(`/admin/roles/${heir.id}`, { is_active: false });
    expect(await rightsOf(person)).toMatchObject({ roles: [], permissions: [] });
  });

  it('says the same in the database as in the answer', async () => {
    const person = await newPerson(server, acme);
    const role = await newRole({ permissions: ['one:x', 'two:x', 'three:x'], inherits: 'editor' });
    await post(`/admin/users/${person.id}/roles`, { role_id: role.id });
    await patch('/admin/permissions/two:x', { is_active: false });
    const rows = await server.context.database
      .tenant(acme.id)
      .transaction((transaction) =>
        transaction.query<{ roles: string[]; permissions: string[] }>('select * from effective_roles($1, $2)', [
          acme.id,
          person.id,
        ]),
      );
    const told = await rightsOf(person);
    const permissions = (told['permissions'] as { permission: string }[]).map(({ permission }) => permission);
    expect({ roles: told['roles'], permissions }).toEqual(rows[0]);
    expect(permissions).toContain('one:x');
    expect(permissions).not.toContain('two:x');
  });

  it('is nobody’s who is no member here', async () => {
    for (const id of [globex.person.id, '0197d5c8-7a54-7c1e-b2d7-3f5a0c9e1b42', 'x']) {
      const path = `/admin/users/${id}`;
      const viewer = { role_id: ids.get('viewer') };
      const answers = [
        await call(`${path}/roles`),
        await call(`${path}/permissions`),
        await post(`${path}/roles`, viewer),
        await remove(`${path}/roles/${ids.get('viewer')}`),
      ];
      expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404]);
    }
  });

  it('of the last administrator stays', async () => {
    const path = `/admin/users/${acme.person.id}/roles`;
    const admin = ids.get('admin');
    const stays = { status: 409, code: 'last_administrator' };
    expect((await remove(`${path}/${admin}`)).json).toMatchObject(stays);
    expect((await post(path, { role_id: admin, expires_at: '2099-01-01T00:00:00Z' })).json).toMatchObject(stays);
  });
});

describe('a permission of the tenant’s own', () => {
  it('is described, switched off and forgotten', async () => {
    const wanted = { name: 'reports:print', description: 'On paper', is_active: true };
    const shown = { ...wanted, resource: 'reports', action: 'print', built_in: false, roles: [] };
    const created = await post('/admin/permissions', wanted);
    expect({ status: created.status, json: created.json }).toEqual({ status: 201, json: shown });
    expect((await post('/admin/permissions', wanted)).json).toMatchObject({ status: 409, code: 'already_exists' });
    const path = '/admin/permissions/reports:print';
    expect((await call(path)).json).toEqual(shown);
    const off = { ...shown, is_active: false, description: '' };
    expect((await patch(path, { is_active: false, description: null })).json).toEqual(off);
    const role = await newRole({ permissions: ['reports:print'] });
    expect((await remove(path)).json).toMatchObject({ status: 409, code: 'in_use' });
    await post(`/admin/users/${bob.id}/roles`, { role_id: role.id });
    expect((await rightsOf(bob))['permissions']).toEqual([]);
    expect((await patch(path, { is_active: true })).json['roles']).toEqual([role.name]);
    expect((await rightsOf(bob))['permissions']).toMatchObject([{ permission: 'reports:print' }]);
    await remove(`/admin/roles/${role.id}`);
    expect((await remove(path)).status).toBe(204);
    expect((await call(path)).status).toBe(404);
  });

  it('is listed by name, with those that Poort asks for and those that only a role lists', async () => {
    const role = await newRole({ permissions: ['aaa:listed'] });
    const seen: unknown[] = [];
    let search = '?limit=7';
    for (let part = 0; part < 20; part += 1) {
      const { json } = await call(`/admin/permissions${search}`);
      seen.push(...(json['data'] as unknown[]));
      if (json['next_cursor'] === null) break;
      search = `?limit=7&cursor=${String(json['next_cursor'])}`;
    }
    const names = seen.map((permission) => (permission as { name: string }).name);
    expect(names).toEqual([...new Set(names)].sort());
    expect(seen).toContainEqual(expect.objectContaining({ name: 'aaa:listed', built_in: false, roles: [role.name] }));
    expect(seen).toContainEqual(expect.objectContaining({ name: 'roles:write', built_in: true, roles: ['admin'] }));
  });

  it('is none of Poort’s own, which nobody switches off', async () => {
    const path = '/admin/permissions/roles:write';
    expect((await patch(path, { is_active: false })).json).toMatchObject({ status: 409, code: 'built_in' });
    expect((await remove(path)).json).toMatchObject({ status: 409, code: 'built_in' });
    expect((await post('/admin/permissions', { name: 'users:write' })).json).toMatchObject({ code: 'built_in' });
    expect((await patch('/admin/permissions/nothing:here', { is_active: false })).status).toBe(404);
    expect((await post('/admin/permissions', { name: 'Not One' })).json).toMatchObject({
      errors: [{ pointer: '#/name' }],
    });
  });
});
