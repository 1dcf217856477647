/** Devices and their telemetry over HTTP: who sees and changes what, and what a device may say of itself. */

import { createClient } from '#src/flows/clients/manage_clients.ts';
import { changeDevice } from '#src/flows/devices/manage_devices.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { type ApiCall, type ApiCallAnswer, callApi, personToken } from '#test/support/api_calls.ts';
import { createPairer } from '#test/support/device_pairing.ts';
import { type PairedDevice, pairDevice } from '#test/support/fleet.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { callEndpoint, introspect, refresh } from '#test/support/user_agent.ts';
import { createTestTenant, type NewPerson, newPerson, type TestClient, type TestTenant } from '#test/support/world.ts';

const time = createMovableClock();

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let grace: NewPerson;
let sensor: TestClient;
/** Of an administrator, of a member, and of another tenant's administrator. */
let ada: string;
let graces: string;
let foreign: string;

beforeAll(async () => {
  server = await startTestServer({ clock: time.clock });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  grace = await newPerson(server, acme);
  sensor = await createSensor(acme);
  ada = await personToken(server, acme);
  graces = await personToken(server, acme, { person: grace });
  foreign = await personToken(server, globex);
});

afterAll(() => server.close());

async function createSensor({ id: tenantId }: TestTenant): Promise<TestClient> {
  const client = { name: 'sensor', type: 'device', firstParty: true, scopes: ['telemetry:write', 'devices:manage'] };
  const created = await createClient(server.context, { tenantId, client });
  if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
  return { clientId: created.clientId, clientSecret: '' };
}

const scope = 'openid offline_access telemetry:write';
const pair = (form: Readonly<Record<string, string>> = {}, person: NewPerson = acme.person): Promise<PairedDevice> =>
  pairDevice(server, acme, {
    client: sensor,
    form: { scope, device_name: 'Lamp', device_model: 'C3', device_firmware: '1', ...form },
    pairer: createPairer(server, acme, { person }),
  });
const call = (path: string, options: ApiCall = {}, tenant = acme): Promise<ApiCallAnswer> =>
  callApi(tenant.issuer, path, options);
const report = (device: PairedDevice, body: unknown): Promise<ApiCallAnswer> =>
  call('/devices/self/telemetry', { method: 'POST', token: device.accessToken, body });

describe('a person’s own devices', () => {
  it('are listed, shown, named, offered and removed by them alone', async () => {
    const device = await pair({}, grace);
    const path = `/user/devices/${device.deviceId}`;
    const list = await call('/user/devices?state=active&model=C3', { token: graces });
    expect(list).toMatchObject({ status: 200, json: { next_cursor: null } });
    expect(list.json['data']).toMatchObject([{ id: device.deviceId, name: 'Lamp', owner: { email: grace.email } }]);
    for (const token of [ada, foreign]) {
      const tenant = token === foreign ? globex : acme;
      for (const method of ['GET', 'DELETE', 'PATCH'] as const)
        expect(
          (await call(path, { token, method, ...(method === 'PATCH' ? { body: { name: 'mine' } } : {}) }, tenant))
            .status,
        ).toBe(404);
    }
    const renamed = await call(path, { token: graces, method: 'PATCH', body: { name: 'Bureaulamp' } });
    expect(renamed).toMatchObject({ status: 200, json: { name: 'Bureaulamp', state: 'active' } });
    for (const body of [{ state: 'quarantined' }, { owner: acme.person.id }, { name: '' }, { name: 'a\u202eb' }])
      expect((await call(path, { token: graces, method: 'PATCH', body })).status).toBe(400);
    const offered = await call(path, { token: graces, method: 'PATCH', body: { offer_to: acme.person.email } });
    expect(offered.json['offered_until']).toEqual(expect.any(String));
    const withdrawn = await call(path, { token: graces, method: 'PATCH', body: { offer_to: null } });
    expect(withdrawn.json['offered_until']).toBeNull();
    expect((await call(path, { token: graces, method: 'DELETE' })).status).toBe(204);
    expect((await call(path, { token: graces, method: 'DELETE' })).status).toBe(204);
    expect((await refresh(acme, sensor, device.refreshToken)).json).toMatchObject({ error: 'invalid_grant' });
    expect((await call(path, { token: graces })).json).toMatchObject({ state: 'retired' });
    expect((await call('/user/devices/not-a-uuid', { token: graces })).status).toBe(404);
  });

  it('are taken away all at once, and nobody else’s with them', async () => {
    const [mine, anothers] = [[await pair({}, grace), await pair({}, grace)], await pair()];
    expect((await call('/user/devices', { token: graces, method: 'DELETE' })).status).toBe(204);
    expect((await call('/user/devices?state=active', { token: graces })).json['data']).toEqual([]);
    for (const { refreshToken } of mine) expect((await refresh(acme, sensor, refreshToken)).status).toBe(400);
    expect((await refresh(acme, sensor, anothers.refreshToken)).status).toBe(200);
  });

  it('are not managed by a device, even one whose client has the scope', async () => {
    const device = await pair({ scope: `${scope} devices:manage` });
    expect(await call('/user/devices', { token: device.accessToken })).toMatchObject({
      status: 403,
      json: { code: 'wrong_kind_of_caller' },
    });
  });
});

describe('a tenant’s devices', () => {
  it('are for administrators, in pages, and of no other tenant', async () => {
    const [first, second] = [await pair({ device_model: 'page' }), await pair({ device_model: 'page' }, grace)];
    const page = await call('/admin/devices?model=page&limit=1', { token: ada });
    expect(page.json['data']).toMatchObject([{ id: second.deviceId }]);
    const next = await call(`/admin/devices?model=page&limit=1&cursor=${page.json['next_cursor']}`, { token: ada });
    expect(next.json).toMatchObject({ data: [{ id: first.deviceId }], next_cursor: null });
    const owned = await call(`/admin/devices?model=page&owner=${grace.id}`, { token: ada });
    expect(owned.json['data']).toMatchObject([{ id: second.deviceId }]);
    expect((await call('/admin/devices?colour=red', { token: ada })).status).toBe(400);
    const path = `/admin/devices/${first.deviceId}`;
    expect((await call(path, { token: graces })).json).toMatchObject({ code: 'insufficient_permission' });
    expect((await call(path, { token: foreign }, globex)).status).toBe(404);
    expect((await call(path, { token: foreign }, acme)).status).toBe(401);
    const events = await call(`${path}/events`, { token: ada });
    expect((events.json['data'] as { type: string }[]).map(({ type }) => type)).toContain('device.paired');
  });

  it('are stopped, released and ended, one by one and by their make', async () => {
    const device = await pair({ device_model: 'bad', device_firmware: '9' });
    const path = `/admin/devices/${device.deviceId}`;
    const state = async (wanted: string): Promise<ApiCallAnswer> =>
      call(path, { token: ada, method: 'PATCH', body: { state: wanted, reason: 'looked odd' } });
    expect((await state('quarantined')).json).toMatchObject({ state: 'quarantined' });
    expect((await report(device, { a: 1 })).status).toBe(401);
    expect((await state('active')).json).toMatchObject({ state: 'active' });
    expect((await report(device, { a: 1 })).status).toBe(204);
    expect((await state('retired')).status).toBe(400);
    const many = (body: object): Promise<ApiCallAnswer> => call('/admin/devices', { token: ada, method: 'POST', body });
    expect((await many({ change: 'revoke' })).status).toBe(400);
    expect((await many({ change: 'revoke', model: 'bad', firmware: '8' })).json).toEqual({ changed: 0, more: false });
    expect((await many({ change: 'revoke', model: 'bad', firmware: '9' })).json).toEqual({ changed: 1, more: false });
    expect((await state('active')).json).toMatchObject({ errors: [{ pointer: '#/state', code: 'retired' }] });
    expect((await report(device, { a: 1 })).status).toBe(401);
  });
});

describe('what a device reports', () => {
  it('is kept as its last word and a history, the latest first, and tells that it is there', async () => {
    const device = await pair();
    time.advance(5);
    expect((await report(device, { temperature: 20.5, firmware: '1.1' })).status).toBe(204);
    time.advance(5);
    expect((await report(device, { temperature: 21, battery: { volts: 3.7 } })).status).toBe(204);
    const path = `/user/devices/${device.deviceId}`;
    const all = await call(`${path}/telemetry`, { token: ada });
    expect(all.json).toMatchObject({
      last: { report: { temperature: 21, battery: { volts: 3.7 } } },
      data: [
        { report: { temperature: 21, battery: { volts: 3.7 } } },
        { report: { temperature: 20.5, firmware: '1.1' } },
      ],
      next_cursor: null,
    });
    const page = await call(`${path}/telemetry?limit=1`, { token: ada });
    const rest = await call(`${path}/telemetry?limit=1&cursor=${page.json['next_cursor']}`, { token: ada });
    expect(rest.json['data']).toMatchObject([{ report: { temperature: 20.5 } }]);
    await server.server.house.deviceNotes.flush();
    const shown = await call(path, { token: ada });
    expect(shown.json).toMatchObject({ firmware: '1.1', last_seen_address: expect.stringMatching(/^(127|::1)/) });
    expect((await call(`${path}/telemetry`, { token: graces })).status).toBe(404);
    expect((await call(`/admin/devices/${device.deviceId}/telemetry`, { token: foreign }, globex)).status).toBe(404);
  });

  it.each([
    ['no object', [1, 2]],
    ['no object', 'text'],
    ['an object that is too deep', { a: { b: { c: { d: { e: 1 } } } } }],
    ['too many members', Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`m${index}`, index]))],
    ['a name that is too long', { ['n'.repeat(65)]: 1 }],
    ['a text that is too long', { note: 'x'.repeat(1_001) }],
    ['a text that cannot be stored', { note: 'a\0b' }],
    ['a version that cannot be read', { firmware: 'a\nb' }],
  ])('is refused when it is %s', async (_name, body) => {
    const device = await pair();
    expect(await report(device, body)).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
  });

  it('is refused when a number is none, and when it is larger than the tenant takes', async () => {
    const device = await pair();
    const send = (text: string): Promise<Response> =>
      fetch(`${acme.issuer}/api/v1/devices/self/telemetry`, {
        method: 'POST',
        headers: { authorization: `Bearer ${device.accessToken}`, 'content-type': 'application/json' },
        body: text,
      });
    expect((await send('{"a":1e999}')).status).toBe(400);
    expect((await send('{"a":')).status).toBe(400);
    const large = Object.fromEntries(Array.from({ length: 5 }, (_, index) => [`m${index}`, 'x'.repeat(900)]));
    expect((await send(JSON.stringify(large))).status).toBe(413);
    expect((await send('{"a":1}')).status).toBe(204);
  });

  it('is taken so often in a minute and no more, of each device by itself', async () => {
    const [device, sibling] = [await pair(), await pair()];
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => report(device, { index })));
    expect(answers.filter(({ status }) => status === 204)).toHaveLength(12);
    const limited = answers.find(({ status }) => status === 429);
    expect(Number(limited?.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await report(sibling, { index: 1 })).status).toBe(204);
    time.advance(61);
    expect((await report(device, { index: 21 })).status).toBe(204);
  });

  it('is of a device with the scope, and of nobody else', async () => {
    const without = await pair({ scope: 'openid offline_access' });
    expect((await report(without, { a: 1 })).json).toMatchObject({ code: 'insufficient_scope' });
    const body = { a: 1 };
    const as = { method: 'POST', token: ada, body } as const;
    expect((await call('/devices/self/telemetry', as)).json).toMatchObject({ code: 'wrong_kind_of_caller' });
    const device = await pair();
    const elsewhere = { method: 'POST', token: device.accessToken, body } as const;
    expect((await call('/devices/self/telemetry', elsewhere, globex)).status).toBe(401);
  });

  it('leaves no history where a tenant keeps none, and the last word all the same', async () => {
    const initech = await createTestTenant(server, 'initech');
    const changes = [{ name: 'devices.telemetry_days', value: 0 } as const];
    expect(await configureTenant(server.context, { id: initech.id, changes })).toEqual({ outcome: 'changed' });
    const client = await createSensor(initech);
    const device = await pairDevice(server, initech, { client, form: { scope } });
    const sent = { method: 'POST', token: device.accessToken, body: { a: 1 } } as const;
    expect((await call('/devices/self/telemetry', sent, initech)).status).toBe(204);
    const token = await personToken(server, initech);
    const shown = await call(`/user/devices/${device.deviceId}/telemetry`, { token }, initech);
    expect(shown.json).toMatchObject({ last: { report: { a: 1 } }, data: [] });
    const text = 'select from device_telemetry where device_id = $1';
    expect(await queryAsSuperuser(server.database, text, [device.deviceId])).toEqual([]);
  });
});

describe('a device that was stopped', () => {
  const ways: Readonly<Record<string, (device: PairedDevice & { jwt: string }) => Promise<boolean>>> = {
    refresh: async ({ refreshToken }) => (await refresh(acme, sensor, refreshToken)).status === 200,
    'introspection of an opaque token': async ({ accessToken }) =>
      (await introspect(acme, sensor, accessToken)).json['active'] === true,
    userinfo: async ({ accessToken }) =>
      (await fetch(`${acme.issuer}/userinfo`, { headers: { authorization: `Bearer ${accessToken}` } })).status === 200,
    telemetry: async (device) => (await report(device, { a: 1 })).status === 204,
    'introspection of a JWT': async ({ jwt }) =>
      (await introspect(acme, acme.clients.resource_server, jwt)).json['active'] === true,
  };
  const openWays = async (device: PairedDevice & { jwt: string }): Promise<readonly string[]> => {
    const tried = Object.entries(ways).map(async ([name, isOpen]) => ((await isOpen(device)) ? [name] : []));
    return (await Promise.all(tried)).flat();
  };
  interface Both extends PairedDevice {
    readonly jwt: string;
    readonly deviceIds: readonly string[];
  }

  async function pairBoth(): Promise<Both> {
    const opaque = await pair();
    const jwt = await pairDevice(server, acme, {
      form: { resource: acme.jwtApi, scope: 'openid offline_access readings:read' },
    });
    return { ...opaque, jwt: jwt.accessToken, deviceIds: [opaque.deviceId, jwt.deviceId] };
  }

  it.each(['quarantine', 'revoke'] as const)(
    '(%s) is nobody on every way at once, and its siblings go on',
    async (change) => {
      const [device, sibling] = [await pairBoth(), await pairBoth()];
      expect(await openWays(device)).toHaveLength(Object.keys(ways).length);
      for (const deviceId of device.deviceIds)
        expect(await changeDevice(server.context, { tenantId: acme.id, deviceId, change })).toEqual({
          outcome: 'changed',
        });
      expect(await openWays(device)).toEqual([]);
      expect(await openWays(sibling)).toHaveLength(Object.keys(ways).length);
      const exchange = { grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange', subject_token: device.jwt };
      const form = { ...exchange, subject_token_type: 'urn:ietf:params:oauth:token-type:access_token' };
      expect((await callEndpoint(acme.issuer, '/token', { client: acme.clients.resource_server, form })).status).toBe(
        400,
      );
    },
  );
});
