/**
 * People of a tenant over the management API, as their administrator and as whoever would like to be more than that. What a person is
 * belongs to them: of somebody who is also another tenant's, an administrator changes the membership and nothing else.
 */
import { randomUUID } from 'node:crypto';
import { createApiKey } from '#src/flows/access/manage_api_keys.ts';
import { createRole } from '#src/flows/access/manage_roles.ts';
import { addMember } from '#src/flows/people/manage_people.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { type ApiCall, type ApiCallAnswer, callApi, personToken } from '#test/support/api_calls.ts';
import { lastMailTo, mailsOf } from '#test/support/mailbox.ts';
import { defaultPeopleSettings } from '#test/support/people_settings.ts';
import { giveTotp } from '#test/support/second_factor.ts';
import { eventually } from '#test/support/sql.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type NewPerson, newPerson, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let admin: string;
let editor: string;
let editing: NewPerson;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  admin = await personToken(server, acme);
  await configureTenant(server.context, { id: acme.id, changes: [{ name: 'people.usernames', value: true }] });
  // The server hears of it a moment later.
  const path = `/users/${acme.person.id}`;
  await eventually('people may be named', async () => (await patch(path, { username: 'ada' })).status === 200);
  editing = await withRole('editor');
  editor = await personToken(server, acme, { person: editing });
}, 30_000);

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

async function withRole(role: string, tenant = acme): Promise<NewPerson> {
  const person = await newPerson(server, tenant);
  await queryAsSuperuser(
    server.database,
    `insert into membership_roles (tenant_id, user_id, role_id) select tenant_id, $2, id from roles where tenant_id = $1 and name = $3`,
    [tenant.id, person.id, role],
  );
  return person;
}

function call(path: string, options: ApiCall = {}): Promise<ApiCallAnswer> {
  return callApi(acme.issuer, `/admin${path}`, { token: admin, ...options });
}

const get = (path: string, options: ApiCall = {}) => call(path, options);
const post = (path: string, body: unknown, options: ApiCall = {}) => call(path, { method: 'POST', body, ...options });
const patch = (path: string, body: unknown, options: ApiCall = {}) => call(path, { method: 'PATCH', body, ...options });
const remove = (path: string, options: ApiCall = {}) => call(path, { method: 'DELETE', ...options });
const emailsIn = ({ json }: ApiCallAnswer) => (json['data'] as readonly { email: string }[]).map(({ email }) => email);

/** Everything there is to know of a person and their memberships. */
async function everythingOf(id: string): Promise<string> {
  const rows = await queryAsSuperuser<{ everything: string }>(
    server.database,
    `select (select row_to_json(u)::text from users u where u.id = $1) || (select json_agg(m order by m.tenant_id)::text from memberships m where m.user_id = $1)
            || (select json_agg(t)::text from totp_factors t where t.user_id = $1) as everything`,
    [id],
  );
  return rows[0]?.everything ?? '';
}

describe('people of a tenant', () => {
  it('are found, in parts and in any order, and nobody else', async () => {
    for (const name of ['ann', 'ben', 'cas', 'dan'])
      await addMember(server.context, {
        tenantId: acme.id,
        email: `${name}@listed.test`,
        givenName: name,
        familyName: 'Listed',
        roles: [],
        verified: true,
      });
    await addMember(server.context, {
      tenantId: globex.id,
      email: 'eve@listed.test',
      familyName: 'Listed',
      roles: [],
      verified: true,
    });
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const next: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const answer = await get(`/users?q=listed&sort=-email&limit=3${next}`);
      expect(answer.status).toBe(200);
      seen.push(...emailsIn(answer));
      cursor = answer.json['next_cursor'] as string | null;
    }
    expect(seen).toEqual(['dan@listed.test', 'cas@listed.test', 'ben@listed.test', 'ann@listed.test']);
    expect(emailsIn(await get('/users?email=BEN@listed.test'))).toEqual(['ben@listed.test']);
    expect(emailsIn(await get('/users?role=editor'))).toEqual([editing.email]);
    expect(emailsIn(await get('/users?q=eve'))).toEqual([]);
    expect(emailsIn(await get('/users?created_after=2999-01-01T00:00:00Z'))).toEqual([]);
  });

  it.each([
    'sort=password_hash',
    'sort=email;drop table users',
    'status=everybody',
    'q=',
    'password_hash=x',
    'q=a&q=b',
    'limit=1000',
    'created_after=yesterday',
    `q=${encodeURIComponent('\0')}`,
  ])('are not looked for with %s', async (search) => {
    expect((await get(`/users?${search}`)).json).toMatchObject({ status: 400, code: 'invalid_request' });
  });

  it('are looked for from where a list ended, and not from somewhere else', async () => {
    const first = await get('/users?limit=1&sort=email');
    const cursor = String(first.json['next_cursor']);
    expect((await get(`/users?limit=1&sort=email&cursor=${cursor}`)).status).toBe(200);
    for (const search of [
      `sort=-email&cursor=${cursor}`,
      `sort=email&q=a&cursor=${cursor}`,
      `sort=email&cursor=${cursor}x`,
    ])
      expect((await get(`/users?${search}`)).json['code']).toBe('invalid_request');
  });

  it('are shown without anything that opens something', async () => {
    const { json, headers } = await get(`/users/${acme.person.id}`);
    expect(json).toMatchObject({ id: acme.person.id, email: acme.person.email, roles: ['admin'], status: 'active' });
    expect(headers.get('etag')).toMatch(/^"/);
    expect(Object.keys(json)).not.toEqual(expect.arrayContaining([expect.stringMatching(/hash|secret|password/)]));
  });

  it('of another tenant answer as if there were none', async () => {
    const stranger = await newPerson(server, globex);
    const paths = (id: string) =>
      [
        get(`/users/${id}`),
        patch(`/users/${id}`, { status: 'disabled' }),
        remove(`/users/${id}`),
        post(`/users/${id}/unlock`, undefined),
        post(`/users/${id}/password-reset`, undefined),
        post(`/users/${id}/second-factor-reset`, { reason: 'x' }),
        get(`/users/${id}/sessions`),
        remove(`/users/${id}/sessions`),
        get(`/users/${id}/consents`),
        remove(`/users/${id}/consents/x`),
        get(`/users/${id}/api-keys`),
      ] as const;
    const shown = async (id: string) =>
      (await Promise.all(paths(id))).map(({ status, json }) => ({
        status,
        json: { ...json, instance: undefined, request_id: undefined },
      }));
    const before = await everythingOf(stranger.id);
    const foreign = await shown(stranger.id);
    expect(foreign).toEqual(await shown(randomUUID()));
    expect(new Set(foreign.map(({ status }) => status))).toEqual(new Set([404]));
    expect(await everythingOf(stranger.id)).toBe(before);
    expect((await get('/users/not-an-id')).status).toBe(404);
  });
});

describe('making somebody a member', () => {
  it('makes an account whose owner chooses the password', async () => {
    const email = 'new.person@made.test';
    const { status, json } = await post('/users', { email, given_name: 'New', roles: ['editor'], locale: 'en' });
    expect(status).toBe(201);
    expect(json).toMatchObject({ email, email_verified: false, given_name: 'New', roles: ['editor'], locale: 'en' });
    expect((await get(`/users/${json['id']}`)).json).toEqual(json);
    expect((await lastMailTo(server, acme, email)).kind).toBe('reset_password');
    const [event] = await readEvents(server.database, { tenantId: acme.id, types: ['user.created'] }).then((all) =>
      all.slice(-1),
    );
    expect(event).toMatchObject({ target_id: json['id'], actor_type: 'user', actor_id: acme.person.id });
  });

  it('with a password has them prove the address', async () => {
    const email = 'with.password@made.test';
    expect((await post('/users', { email, password: 'short' })).json).toMatchObject({
      errors: [{ pointer: '#/password', code: 'too_short' }],
    });
    expect((await post('/users', { email, password: 'a long and unlikely sentence' })).status).toBe(201);
    expect((await lastMailTo(server, acme, email)).kind).toBe('verify_email');
  });

  it.each([
    ['email_verified', true],
    ['id', randomUUID()],
    ['tenant_id', randomUUID()],
    ['password_hash', '$argon2id$x'],
    ['status', 'active'],
    ['created_at', '2020-01-01T00:00:00Z'],
    ['permissions', ['users:write']],
  ])('takes no %s', async (field, value) => {
    const answer = await post('/users', { email: 'assigned@made.test', [field]: value });
    expect(answer.json).toMatchObject({ status: 400, errors: [{ pointer: `#/${field}`, code: 'unknown' }] });
    expect(emailsIn(await get('/users?email=assigned@made.test'))).toEqual([]);
  });

  it('gives no role that is more than the caller holds, and none that is not there', async () => {
    const email = 'climber@made.test';
    const climbed = await post('/users', { email, roles: ['admin'] }, { token: editor });
    expect(climbed.json).toMatchObject({ status: 403, code: 'beyond_your_own_rights' });
    expect((await post('/users', { email, roles: ['nothing'] })).json).toMatchObject({
      errors: [{ pointer: '#/roles', code: 'unknown' }],
    });
    expect(emailsIn(await get(`/users?email=${email}`))).toEqual([]);
    expect((await post('/users', { email, roles: ['viewer'] }, { token: editor })).status).toBe(201);
  });

  it('is refused for who is a member, and needs their consent where they have an account', async () => {
    expect((await post('/users', { email: acme.person.email })).json['code']).toBe('already_exists');
    const proven = await newPerson(server, globex);
    const unproven = await addMember(server.context, {
      tenantId: globex.id,
      email: 'unproven@made.test',
      password: 'a long and unlikely sentence',
      roles: [],
      verified: false,
    });
    if (unproven.outcome === 'refused') throw new Error(unproven.reason);
    for (const { id, email } of [proven, { id: unproven.userId, email: unproven.email }]) {
      const before = await everythingOf(id);
      const answer = await post('/users', { email, password: 'another long and unlikely one', given_name: 'Taken' });
      expect(answer.json).toMatchObject({ status: 409, code: 'invitation_needed' });
      expect(JSON.stringify(answer.json)).not.toContain('globex');
      expect(await everythingOf(id)).toBe(before);
    }
  });

  it('happens once, however many ask at the same moment', async () => {
    const email = 'raced@made.test';
    const answers = await Promise.all(Array.from({ length: 4 }, () => post('/users', { email })));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409]);
  });
});

describe('changing somebody', () => {
  it('changes the membership, and the person as long as they are nobody else’s', async () => {
    const person = await newPerson(server, acme);
    const { status, json } = await patch(`/users/${person.id}`, {
      given_name: 'Other',
      family_name: null,
      locale: 'en',
      username: 'other.name',
      status: 'disabled',
    });
    expect(status).toBe(200);
    expect(json).toMatchObject({
      given_name: 'Other',
      family_name: null,
      locale: 'en',
      username: 'other.name',
      status: 'disabled',
    });
    expect((await get(`/users/${person.id}`)).json).toEqual(json);
    const types = ['user.updated', 'user.disabled'];
    const events = (await readEvents(server.database, { tenantId: acme.id, types })).filter(
      ({ target_id: id }) => id === person.id,
    );
    expect(events).toHaveLength(2);
    expect((await patch(`/users/${person.id}`, { status: 'active' })).json['status']).toBe('active');
  });

  it('writes over nothing that was changed meanwhile', async () => {
    const person = await newPerson(server, acme);
    const seen = String((await get(`/users/${person.id}`)).headers.get('etag'));
    const headers = { 'if-match': seen };
    expect((await patch(`/users/${person.id}`, { given_name: 'First' }, { headers })).status).toBe(200);
    expect((await patch(`/users/${person.id}`, { given_name: 'Second' }, { headers })).json['code']).toBe(
      'changed_meanwhile',
    );
    expect((await remove(`/users/${person.id}`, { headers })).status).toBe(412);
    const etag = String((await get(`/users/${person.id}`)).headers.get('etag'));
    const race = await Promise.all(
      ['A', 'B', 'C'].map((name) =>
        patch(`/users/${person.id}`, { given_name: name }, { headers: { 'if-match': etag } }),
      ),
    );
    expect(race.map(({ status }) => status).sort()).toEqual([200, 412, 412]);
  });

  it.each([
    ['email', 'other@people.test'],
    ['email_verified', true],
    ['password', 'a long and unlikely sentence'],
    ['roles', ['admin']],
    ['id', randomUUID()],
    ['last_sign_in_at', null],
    ['deletion_due_at', null],
  ])('takes no %s', async (field, value) => {
    const before = await everythingOf(editing.id);
    expect((await patch(`/users/${editing.id}`, { [field]: value })).json).toMatchObject({
      status: 400,
      errors: [{ pointer: `#/${field}`, code: 'unknown' }],
    });
    expect(await everythingOf(editing.id)).toBe(before);
  });

  it('gives nobody a name to sign in with where the tenant has none', async () => {
    const token = await personToken(server, globex);
    const options = { token, method: 'PATCH', body: { username: 'ada' } } as const;
    const { json } = await callApi(globex.issuer, `/admin/users/${globex.person.id}`, options);
    expect(json['errors']).toEqual([expect.objectContaining({ pointer: '#/username' })]);
  });

  it('says which field is not as it has to be, and changes none', async () => {
    const person = await newPerson(server, acme);
    const wrong = await patch(`/users/${person.id}`, { given_name: 'Bank\u202e', username: '@', family_name: 'Good' });
    expect(wrong.json['errors']).toEqual([
      expect.objectContaining({ pointer: '#/given_name', code: 'unacceptable' }),
      expect.objectContaining({ pointer: '#/username', code: 'unacceptable' }),
    ]);
    const other = await newPerson(server, acme);
    await patch(`/users/${other.id}`, { username: 'mine' });
    const taken = await patch(`/users/${person.id}`, { username: 'MINE', family_name: 'Good' });
    expect(taken.json['errors']).toEqual([expect.objectContaining({ pointer: '#/username', code: 'taken' })]);
    expect((await get(`/users/${person.id}`)).json['family_name']).toBeNull();
  });
});

describe('somebody who also belongs to another tenant', () => {
  let shared: NewPerson;

  beforeAll(async () => {
    shared = await newPerson(server, acme, globex);
    await giveTotp(server, acme, shared.id);
  });

  it.each([
    ['a given name', { given_name: 'Taken' }],
    ['a family name', { family_name: 'Over' }],
    ['a language', { locale: 'en' }],
    ['a name beside what may be changed', { status: 'disabled', username: 'harmless', given_name: 'Taken' }],
  ])('does not have %s changed', async (_name, change) => {
    const before = await everythingOf(shared.id);
    const answer = await patch(`/users/${shared.id}`, change);
    expect(answer.json).toMatchObject({ status: 403, code: 'identity_not_yours' });
    expect(JSON.stringify(answer.json)).not.toMatch(/globex|tenant|elsewhere/i);
    expect(await everythingOf(shared.id)).toBe(before);
  });

  it('keeps their second factors', async () => {
    const before = await everythingOf(shared.id);
    const answer = await post(`/users/${shared.id}/second-factor-reset`, { reason: 'lost' });
    expect(answer.json).toMatchObject({ status: 403, code: 'identity_not_yours' });
    expect(await everythingOf(shared.id)).toBe(before);
  });

  it('is changed as a member, with everything else said as it is', async () => {
    const { json } = await get(`/users/${shared.id}`);
    const { given_name, family_name, locale } = json;
    const changed = await patch(`/users/${shared.id}`, {
      given_name,
      family_name,
      locale,
      username: 'shared',
      status: 'disabled',
    });
    expect(changed.json).toMatchObject({ username: 'shared', status: 'disabled' });
    const statuses = await queryAsSuperuser<{ status: string }>(
      server.database,
      'select status from memberships where user_id = $1 and tenant_id = $2',
      [shared.id, globex.id],
    );
    expect(statuses).toEqual([{ status: 'active' }]);
    await patch(`/users/${shared.id}`, { status: 'active' });
  });

  it('is not said to be so anywhere', async () => {
    const only = await newPerson(server, acme);
    const [one, other] = [await get(`/users/${shared.id}`), await get(`/users/${only.id}`)];
    expect(Object.keys(one.json)).toEqual(Object.keys(other.json));
    expect(JSON.stringify(one.json)).not.toContain(globex.id);
  });

  it('cannot come to be so while they are changed', async () => {
    for (let round = 0; round < 4; round += 1) {
      const person = await newPerson(server, acme);
      const [changed] = await Promise.all([
        patch(`/users/${person.id}`, { given_name: 'Raced' }),
        addMember(server.context, { tenantId: globex.id, email: person.email, roles: [], verified: true }),
      ]);
      expect([200, 403]).toContain(changed.status);
      const name = (await get(`/users/${person.id}`)).json['given_name'];
      expect(name).toBe(changed.status === 200 ? 'Raced' : null);
    }
  });

  it('stays at the other tenant when they are removed here', async () => {
    const person = await newPerson(server, acme, globex);
    expect((await remove(`/users/${person.id}`)).status).toBe(204);
    expect((await get(`/users/${person.id}`)).status).toBe(404);
    await personToken(server, globex, { person });
  });
});

describe('somebody who may do more than the caller', () => {
  it('is out of their reach', async () => {
    const { id } = acme.person;
    const by = { token: editor };
    const before = await everythingOf(id);
    const answers = await Promise.all([
      patch(`/users/${id}`, { status: 'disabled' }, by),
      patch(`/users/${id}`, { given_name: 'Lower' }, by),
      remove(`/users/${id}`, by),
      post(`/users/${id}/unlock`, undefined, by),
      post(`/users/${id}/password-reset`, undefined, by),
      post(`/users/${id}/second-factor-reset`, { reason: 'x' }, by),
      remove(`/users/${id}/sessions`, by),
      remove(`/users/${id}/consents/${acme.clients.web.clientId}`, by),
    ]);
    expect(answers.map(({ status, json }) => [status, json['code']])).toEqual(
      answers.map(() => [403, 'beyond_your_own_rights']),
    );
    expect(await everythingOf(id)).toBe(before);
  });

  it('by a role that is switched off, too', async () => {
    const role = { name: 'sleeping', permissions: ['keys:write'] };
    await createRole(server.context, { tenantId: acme.id, role });
    const person = await withRole('sleeping');
    await queryAsSuperuser(server.database, `update roles set is_active = false where name = 'sleeping'`);
    expect((await patch(`/users/${person.id}`, { status: 'disabled' }, { token: editor })).json['code']).toBe(
      'beyond_your_own_rights',
    );
  });

  it('does not hinder whoever may do as much', async () => {
    const other = await withRole('editor');
    expect((await patch(`/users/${other.id}`, { status: 'disabled' }, { token: editor })).status).toBe(200);
  });
});

describe('the last administrator', () => {
  it('is neither disabled nor removed, by themselves or by two at once', async () => {
    const tenant = await createTestTenant(server, 'lonely');
    const token = await personToken(server, tenant);
    const at = (path: string, options: ApiCall) => callApi(tenant.issuer, `/admin${path}`, { token, ...options });
    const disable = { method: 'PATCH', body: { status: 'disabled' } } as const;
    const { id } = tenant.person;
    expect((await at(`/users/${id}`, disable)).json['code']).toBe('last_administrator');
    expect((await at(`/users/${id}`, { method: 'DELETE' })).json['code']).toBe('last_administrator');
    const second = await withRole('admin', tenant);
    const theirs = await personToken(server, tenant, { person: second });
    const both = await Promise.all([
      at(`/users/${second.id}`, { method: 'DELETE' }),
      at(`/users/${id}`, { ...disable, token: theirs }),
    ]);
    expect(both.map(({ status }) => status)).toContainEqual(expect.any(Number));
    const admins = await queryAsSuperuser(
      server.database,
      `select from memberships m join membership_roles mr using (tenant_id, user_id) join roles r on r.tenant_id = m.tenant_id and r.id = mr.role_id
        where m.tenant_id = $1 and m.status = 'active' and r.name = 'admin'`,
      [tenant.id],
    );
    expect(admins).toHaveLength(1);
  });
});

describe('what hangs on a membership', () => {
  it('goes with it: tokens and sessions end at once', async () => {
    const person = await newPerson(server, acme);
    const token = await personToken(server, acme, { person });
    const alive = () => callApi(acme.issuer, '/user/devices', { token });
    expect((await alive()).status).toBe(200);
    const { json } = await get(`/users/${person.id}/sessions`);
    expect(json['data']).toMatchObject([{ user: { id: person.id, email: person.email } }]);
    expect((await remove(`/users/${person.id}/sessions`)).status).toBe(204);
    expect((await alive()).status).toBe(401);
    expect((await get(`/users/${person.id}/sessions`)).json['data']).toEqual([]);
    const again = await personToken(server, acme, { person });
    expect((await patch(`/users/${person.id}`, { status: 'disabled' })).status).toBe(200);
    expect((await callApi(acme.issuer, '/user/devices', { token: again })).status).toBe(401);
  });

  it('second factors are taken from who has lost them, and they are told why', async () => {
    const person = await newPerson(server, acme);
    await giveTotp(server, acme, person.id);
    expect((await post(`/users/${person.id}/second-factor-reset`, {})).status).toBe(400);
    const reset = await post(`/users/${person.id}/second-factor-reset`, { reason: 'phone under a tram' });
    expect(reset.json).toEqual({ had: true });
    expect((await lastMailTo(server, acme, person.email)).mail).toMatchObject({ reason: 'phone under a tram' });
    expect((await post(`/users/${person.id}/second-factor-reset`, { reason: 'again' })).json).toEqual({ had: false });
  });

  it('another password is theirs to choose, with a link to their mailbox and nowhere else', async () => {
    const person = await newPerson(server, acme);
    const answer = await post(`/users/${person.id}/password-reset`, undefined);
    expect([answer.status, answer.json]).toEqual([202, { mailed: true }]);
    expect((await lastMailTo(server, acme, person.email)).kind).toBe('reset_password');
    await patch(`/users/${person.id}`, { status: 'disabled' });
    const before = (await mailsOf(server, acme)).length;
    expect((await post(`/users/${person.id}/password-reset`, undefined)).json).toEqual({ mailed: false });
    expect((await mailsOf(server, acme)).length).toBe(before);
  });

  it('a lock is ended', async () => {
    const person = await newPerson(server, acme);
    expect((await post(`/users/${person.id}/unlock`, undefined)).status).toBe(204);
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['user.unlocked'] });
    expect(events.at(-1)).toMatchObject({ target_id: person.id, actor_id: acme.person.id });
  });

  it('what they allowed an application is seen and taken back', async () => {
    const person = await newPerson(server, acme);
    const token = await personToken(server, acme, { person, client: acme.clients.third });
    const { json } = await get(`/users/${person.id}/consents`);
    expect(json['data']).toMatchObject([{ client: { id: acme.clients.third.clientId, name: 'Somebody else' } }]);
    expect((await remove(`/users/${person.id}/consents/${acme.clients.third.clientId}`)).status).toBe(204);
    expect((await callApi(acme.issuer, '/user/devices', { token })).status).toBe(401);
    expect((await remove(`/users/${person.id}/consents/${acme.clients.third.clientId}`)).status).toBe(404);
  });

  it('their keys are listed and never shown', async () => {
    const made = await createApiKey(server.context, {
      tenantId: acme.id,
      userId: editing.id,
      settings: defaultPeopleSettings,
      name: 'robot',
      scopes: ['users:read'],
      expiresAt: undefined,
    });
    if (made.outcome !== 'created') throw new Error(made.outcome);
    const { json } = await get(`/users/${editing.id}/api-keys`);
    expect(json['data']).toMatchObject([{ id: made.summary.id, name: 'robot' }]);
    expect(JSON.stringify(json)).not.toContain(made.key);
  });
});

describe('sessions of a tenant', () => {
  it('are seen in parts and ended, and nobody else’s', async () => {
    const people = [await newPerson(server, acme), await newPerson(server, acme)];
    for (const person of people) await personToken(server, acme, { person });
    const stranger = await newPerson(server, globex);
    await personToken(server, globex, { person: stranger });
    const seen: { id: string; user: { id: string } }[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const { json }: ApiCallAnswer = await get(`/sessions?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
      seen.push(...(json['data'] as typeof seen));
      cursor = json['next_cursor'] as string | null;
    }
    expect(new Set(seen.map(({ id }) => id)).size).toBe(seen.length);
    const owners = seen.map(({ user }) => user.id);
    expect(owners.slice(0, 2)).toEqual(people.map(({ id }) => id).toReversed());
    expect(owners).not.toContain(stranger.id);
    const [mine] = seen;
    expect((await get(`/sessions/${mine?.id}`)).json).toEqual(mine);
    expect((await get(`/sessions?user_id=${people[0]?.id}`)).json['data']).toHaveLength(1);
    expect((await remove(`/sessions/${mine?.id}`)).status).toBe(204);
    expect((await get(`/sessions/${mine?.id}`)).status).toBe(404);
    expect((await remove(`/sessions/${mine?.id}`)).status).toBe(404);
  });

  it('of another tenant answer as if there were none, and stay', async () => {
    const stranger = await newPerson(server, globex);
    const token = await personToken(server, globex, { person: stranger });
    const [row] = await queryAsSuperuser<{ session_uid: string }>(
      server.database,
      `select session_uid from artifacts where account_id = $1 and kind = 'Session'`,
      [stranger.id],
    );
    for (const id of [row?.session_uid, randomUUID()]) {
      expect((await get(`/sessions/${id}`)).status).toBe(404);
      expect((await remove(`/sessions/${id}`)).status).toBe(404);
    }
    expect((await get(`/sessions?user_id=${stranger.id}`)).json['data']).toEqual([]);
    expect((await callApi(globex.issuer, '/user/devices', { token })).status).toBe(200);
  });

  it('of somebody who may do more are not ended', async () => {
    const { json } = await get(`/sessions?user_id=${acme.person.id}`);
    const [session] = json['data'] as readonly { id: string }[];
    expect((await remove(`/sessions/${session?.id}`, { token: editor })).json['code']).toBe('beyond_your_own_rights');
    expect((await get(`/sessions/${session?.id}`)).status).toBe(200);
  });
});

describe('invitations', () => {
  it('are made, seen, filtered and revoked', async () => {
    const made = await post('/invitations', { email: 'Guest@Invited.test', roles: ['viewer'], invited_by: 'Ada' });
    expect(made.json).toMatchObject({ email: 'Guest@invited.test', roles: ['viewer'], status: 'open', mailed: true });
    const { mailed: _mailed, ...shown } = made.json;
    const id = String(made.json['id']);
    expect((await get(`/invitations/${id}`)).json).toEqual(shown);
    expect((await get('/invitations?status=open&email=guest@invited.test')).json['data']).toEqual([shown]);
    expect((await get('/invitations?status=accepted')).json['data']).toEqual([]);
    expect((await lastMailTo(server, acme, 'guest@invited.test')).mail).toMatchObject({
      kind: 'invitation',
      invitedBy: 'Ada',
    });
    expect(JSON.stringify(made.json)).not.toContain('token');
    expect((await remove(`/invitations/${id}`)).status).toBe(204);
    expect((await get(`/invitations/${id}`)).json['status']).toBe('revoked');
    expect((await remove(`/invitations/${id}`)).status).toBe(404);
  });

  it('answer the same for whoever has an account and whoever has none', async () => {
    const known = await newPerson(server, globex);
    const [one, other] = [
      await post('/invitations', { email: known.email }),
      await post('/invitations', { email: 'nobody@invited.test' }),
    ];
    expect(one.status).toBe(201);
    const alike = ({ json }: ApiCallAnswer) => ({ ...json, id: '', email: '', created_at: '', expires_at: '' });
    expect(alike(one)).toEqual(alike(other));
  });

  it('give nothing that is more than the caller holds', async () => {
    const invited = await post('/invitations', { email: 'high@invited.test', roles: ['admin'] }, { token: editor });
    expect(invited.json).toMatchObject({ status: 403, code: 'beyond_your_own_rights' });
    expect(
      (await post('/invitations', { email: 'high@invited.test', roles: ['viewer'] }, { token: editor })).status,
    ).toBe(201);
    expect((await post('/invitations', { email: 'not an address' })).json['errors']).toMatchObject([
      { pointer: '#/email' },
    ]);
    expect((await post('/invitations', { email: 'a@invited.test', roles: ['nothing'] })).json['errors']).toMatchObject([
      { pointer: '#/roles', code: 'unknown' },
    ]);
  });

  it('of another tenant answer as if there were none', async () => {
    const theirs = await personToken(server, globex);
    const made = await callApi(globex.issuer, '/admin/invitations', {
      token: theirs,
      method: 'POST',
      body: { email: 'guest@globex.test' },
    });
    for (const id of [made.json['id'], randomUUID(), 'x']) {
      expect((await get(`/invitations/${id}`)).status).toBe(404);
      expect((await remove(`/invitations/${id}`)).status).toBe(404);
    }
    expect((await get('/invitations?email=guest@globex.test')).json['data']).toEqual([]);
  });
});
