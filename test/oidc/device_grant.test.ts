/**
 * The device grant (RFC 8628) at the engine: what a device is told, how its pace is kept, the device that comes of a redemption and
 * the redemption that can be repeated. The person is a shortcut here; test/journeys and test/lessons go through the pages.
 */
import * as jose from 'jose';
import * as client from 'openid-client';
import { reference } from '#adapters/artifacts_adapter.ts';
import { UnitOfWork } from '#adapters/unit_of_work.ts';
import { DEVICE_CODE_SECONDS, DEVICE_POLL_INTERVAL_SECONDS, deviceGrantType } from '#src/domain/device_grant.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { uuidv7 } from '#src/foundation/identifiers.ts';
import { createTestEngines, type TestEngines } from '#test/support/engines.ts';
import { discoverAs } from '#test/support/relying_party.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { callEndpoint, type EndpointAnswer, introspect, refresh } from '#test/support/user_agent.ts';
import { createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

const time = createMovableClock();

let server: TestServer;
let acme: TestTenant;
let engines: TestEngines;

beforeAll(async () => {
  server = await startTestServer({ clock: time.clock });
  acme = await createTestTenant(server, 'acme');
  engines = createTestEngines(server);
});

afterAll(async () => {
  await engines.close();
  await server.close();
});

type Form = Readonly<Record<string, string>>;

async function begin(form: Form = {}, by: TestClient = acme.clients.device): Promise<EndpointAnswer['json']> {
  const { status, json } = await callEndpoint(acme.issuer, '/device_authorization', {
    client: by,
    form: { scope: 'openid offline_access', ...form },
  });
  expect({ status, error: json['error'] }).toEqual({ status: 200, error: undefined });
  return json;
}

function poll(
  { device_code: code }: EndpointAnswer['json'],
  by: TestClient = acme.clients.device,
): Promise<EndpointAnswer> {
  return callEndpoint(acme.issuer, '/token', {
    client: by,
    form: { grant_type: deviceGrantType, device_code: String(code) },
  });
}

const errorOf = async (answer: Promise<EndpointAnswer>): Promise<unknown> => (await answer).json['error'];

/** What the page does once the person has agreed. Resolves to the device's identifier. */
async function approve({ user_code: userCode }: EndpointAnswer['json'], resource?: string): Promise<string> {
  const { provider, tenant } = await engines.engineOf('acme');
  const deviceId = uuidv7(time.clock());
  const unit = new UnitOfWork({ tenant: engines.database.tenant(tenant.id), origin: {}, clock: time.clock });
  await unit.run(async () => {
    const found = await unit.findByUserCode(String(userCode).replaceAll('-', ''));
    const idHash = found?.idHash ?? '';
    unit.open('DeviceCode', idHash);
    const code = await provider.DeviceCode.find(reference(idHash));
    if (code === undefined) throw new Error('no such code');
    const grant = new provider.Grant({ clientId: acme.clients.device.clientId, accountId: acme.person.id });
    Object.assign(grant, { deviceId });
    grant.addOIDCScope('openid offline_access');
    if (resource !== undefined) grant.addResourceScope(resource, 'readings:read');
    const grantId = await grant.save();
    const scope = resource === undefined ? 'openid offline_access' : 'openid offline_access readings:read';
    Object.assign(code, { accountId: acme.person.id, grantId, scope, authTime: 1, amr: ['pwd'], resource });
    await (code as unknown as { save(): Promise<string> }).save();
    await unit.commit();
  });
  return deviceId;
}

async function quarantine(deviceId: string, state: 'quarantined' | 'active'): Promise<void> {
  await queryAsSuperuser(server.database, 'update devices set state = $1 where device_id = $2', [state, deviceId]);
}

const keyPair = (): Promise<jose.GenerateKeyPairResult> => jose.generateKeyPair('ES256', { extractable: true });

async function prove({ publicKey, privateKey }: jose.GenerateKeyPairResult, htu: string): Promise<string> {
  const claims = { jti: crypto.randomUUID(), htm: 'POST', htu, iat: Math.floor(Date.now() / 1000) };
  return new jose.SignJWT(claims)
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: await jose.exportJWK(publicKey) })
    .sign(privateKey);
}

interface Paired {
  readonly deviceId: string;
  readonly code: EndpointAnswer['json'];
  readonly tokens: EndpointAnswer['json'];
}

async function pair(form: Form = {}, resource?: string): Promise<Paired> {
  const code = await begin({
    ...form,
    ...(resource === undefined ? {} : { resource, scope: `openid offline_access readings:read` }),
  });
  const deviceId = await approve(code, resource);
  const { status, json } = await poll(code);
  expect({ status, error: json['error'] }).toEqual({ status: 200, error: undefined });
  return { deviceId, code, tokens: json };
}

describe('a device that begins', () => {
  it('is told everything it needs, with addresses from the configuration and one that fits a small display', async () => {
    const answer = await begin();
    expect(answer).toEqual({
      device_code: expect.stringMatching(/^dc_[\w-]{43}$/),
      user_code: expect.stringMatching(/^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/),
      verification_uri: `${acme.issuer}/device`,
      verification_uri_complete: `${server.origin}/d/${String(answer['user_code']).replaceAll('-', '')}`,
      expires_in: DEVICE_CODE_SECONDS,
      interval: DEVICE_POLL_INTERVAL_SECONDS,
    });
  });

  it('is refused when its client is none of devices', async () => {
    for (const other of [acme.clients.web, acme.clients.machine, acme.clients.native]) {
      const { status, json } = await callEndpoint(acme.issuer, '/device_authorization', {
        client: other,
        form: { scope: 'openid' },
      });
      expect({ status, error: json['error'] }).toEqual({ status: 400, error: 'invalid_request' });
    }
  });

  it('leaves no value in the database that opens anything', async () => {
    const answer = await begin();
    const rows = await queryAsSuperuser(
      server.database,
      `select row_to_json(a)::text as row from artifacts a where kind = 'DeviceCode'`,
    );
    for (const name of ['device_code', 'user_code']) expect(JSON.stringify(rows)).not.toContain(String(answer[name]));
  });

  it('finds nothing where its tenant has switched it off', async () => {
    const off = await createTestTenant(server, 'globex');
    const changes = [{ name: 'protocol.device_grant', value: false } as const];
    expect(await configureTenant(server.context, { id: off.id, changes })).toEqual({ outcome: 'changed' });
    const call = (): Promise<Response> => fetch(`${off.issuer}/device_authorization`, { method: 'POST' });
    while ((await call()).status !== 404);
    const discovered = (await (await fetch(`${off.issuer}/.well-known/openid-configuration`)).json()) as object;
    expect(discovered).not.toHaveProperty('device_authorization_endpoint');
  });
});

describe('an empty secret (RFC 6749 §2.3.1)', () => {
  const basic = (text: string): Readonly<Record<string, string>> => ({
    authorization: `Basic ${Buffer.from(text).toString('base64')}`,
  });
  const ask = (path: string, headers: Readonly<Record<string, string>>, form: Form): Promise<EndpointAnswer> =>
    callEndpoint(acme.issuer, path, { headers, form });

  it('is none: a client without one that sends it is who it says', async () => {
    const { clientId } = acme.clients.device;
    const begun = await ask('/device_authorization', basic(`${clientId}:`), { scope: 'openid offline_access' });
    expect(begun.status).toBe(200);
    const form = { grant_type: deviceGrantType, device_code: String(begun.json['device_code']) };
    expect(await errorOf(ask('/token', basic(`${clientId}:`), form))).toBe('authorization_pending');
  });

  it('opens nothing to who has one, whatever else is said', async () => {
    const { machine, device } = acme.clients;
    const form = { grant_type: 'client_credentials' };
    expect((await ask('/token', basic(`${machine.clientId}:`), form)).status).toBe(401);
    expect((await ask('/token', basic(`${machine.clientId}:`), { ...form, client_secret: '' })).status).toBe(401);
    expect((await ask('/introspect', basic(`${acme.clients.resource_server.clientId}:`), { token: 'x' })).status).toBe(
      401,
    );
    const two = await ask('/token', basic(`${device.clientId}:`), { ...form, client_id: machine.clientId });
    expect({ status: two.status, error: two.json['error'] }).toEqual({ status: 400, error: 'invalid_request' });
    const known = await ask('/token', basic(`${device.clientId}:`), {
      ...form,
      client_id: machine.clientId,
      client_secret: machine.clientSecret,
    });
    expect(known.status).toBe(400);
  });
});

describe('a device that polls', () => {
  it('waits while nobody has decided, in one statement', async () => {
    const code = await begin();
    expect(await errorOf(poll(code))).toBe('authorization_pending');
    time.advance(DEVICE_POLL_INTERVAL_SECONDS);
    const before = server.server.house.database.roundTrips();
    expect(await errorOf(poll(code))).toBe('authorization_pending');
    expect(server.server.house.database.roundTrips() - before).toBe(1);
  });

  it('is slowed down by five more seconds each time it is too early, to a minute at most (RFC 8628 §3.5)', async () => {
    const code = await begin();
    expect(await errorOf(poll(code))).toBe('authorization_pending');
    time.advance(2);
    expect(await errorOf(poll(code))).toBe('slow_down');
    time.advance(6);
    expect(await errorOf(poll(code))).toBe('slow_down');
    time.advance(7);
    expect(await errorOf(poll(code))).toBe('authorization_pending');
    for (let count = 0; count < 20; count += 1) expect(await errorOf(poll(code))).toBe('slow_down');
    time.advance(58);
    expect(await errorOf(poll(code))).toBe('slow_down');
    time.advance(1);
    expect(await errorOf(poll(code))).toBe('authorization_pending');
  });

  it('is let through once when it asks many times at the same moment', async () => {
    const code = await begin();
    const errors = await Promise.all(Array.from({ length: 8 }, () => errorOf(poll(code))));
    expect(errors.filter((error) => error === 'authorization_pending')).toHaveLength(1);
    expect(errors.filter((error) => error === 'slow_down')).toHaveLength(7);
  });

  it('is not slowed down by another client that has its code, and that client learns nothing', async () => {
    const code = await begin();
    const other = acme.clients.web;
    expect(await errorOf(poll(code, other))).toMatch(/^(invalid_grant|invalid_request)$/);
    expect(await errorOf(poll(code))).toBe('authorization_pending');
  });

  it('hears that its code has expired', async () => {
    const code = await begin();
    await queryAsSuperuser(
      server.database,
      `update artifacts set expires_at = now() - interval '1 second',
              payload = jsonb_set(payload::jsonb, '{exp}', to_jsonb(extract(epoch from now())::int - 1))::json
        where kind = 'DeviceCode'`,
    );
    expect(await errorOf(poll(code))).toBe('expired_token');
    expect(await errorOf(poll({ device_code: 'dc_nothing' }))).toBe('invalid_grant');
  });
});

describe('a device that was approved', () => {
  it('is a row of its own with its first tokens, and every token says which device it is', async () => {
    const claims = { device_name: ' Lamp  op de gang', device_model: 'C3', device_firmware: '1.0.2' };
    const { deviceId, tokens } = await pair(claims, acme.jwtApi);
    const [row] = await queryAsSuperuser<Readonly<Record<string, unknown>>>(
      server.database,
      'select * from devices where device_id = $1',
      [deviceId],
    );
    expect(row).toMatchObject({
      tenant_id: acme.id,
      client_id: acme.clients.device.clientId,
      user_id: acme.person.id,
      name: 'Lamp op de gang',
      model: 'C3',
      firmware: '1.0.2',
      state: 'active',
      scopes: ['openid', 'offline_access', 'readings:read'],
    });
    expect(jose.decodeJwt(String(tokens['access_token']))).toMatchObject({ device_id: deviceId, sub: acme.person.id });
    const seen = await introspect(acme, acme.clients.resource_server, String(tokens['access_token']));
    expect(seen.json).toMatchObject({ active: true, device_id: deviceId });
    const next = await refresh(acme, acme.clients.device, String(tokens['refresh_token']));
    expect(jose.decodeJwt(String(next.json['access_token']))).toMatchObject({ device_id: deviceId });
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['device.paired'] });
    expect(events.filter(({ target_id: target }) => target === deviceId)).toHaveLength(1);
  });

  it('gets what it may have with a standard library (openid-client)', async () => {
    const configuration = await discoverAs(acme, acme.clients.device);
    const begun = await client.initiateDeviceAuthorization(configuration, { scope: 'openid offline_access' });
    await approve({ user_code: begun.user_code });
    const tokens = await client.pollDeviceAuthorizationGrant(configuration, { ...begun, interval: 0.01 });
    expect(tokens).toMatchObject({
      access_token: expect.stringMatching(/^at_/),
      refresh_token: expect.stringMatching(/^rt_/),
    });
  });

  it('that never heard the answer asks again and has the same chain, however often and however parallel', async () => {
    const { deviceId, code, tokens } = await pair();
    const again = await Promise.all(Array.from({ length: 6 }, () => poll(code)));
    for (const { status, json } of again)
      expect({ status, description: json['error_description'], refresh: json['refresh_token'] }).toEqual({
        status: 200,
        refresh: tokens['refresh_token'],
      });
    const rows = await queryAsSuperuser(
      server.database,
      `select from artifacts where kind = 'RefreshToken' and grant_hash = (select grant_hash from devices where device_id = $1)`,
      [deviceId],
    );
    expect(rows).toHaveLength(1);
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['device.paired'] });
    expect(events.filter(({ target_id: target }) => target === deviceId)).toHaveLength(1);
  });

  it('gives the same answer again to the holder of its key alone (RFC 9449), and keeps the key’s thumbprint', async () => {
    const [own, other] = [await keyPair(), await keyPair()];
    const code = await begin();
    const deviceId = await approve(code);
    const redeem = async (key: jose.GenerateKeyPairResult): Promise<EndpointAnswer> =>
      callEndpoint(acme.issuer, '/token', {
        client: acme.clients.device,
        form: { grant_type: deviceGrantType, device_code: String(code['device_code']) },
        headers: { dpop: await prove(key, `${acme.issuer}/token`) },
      });
    const first = await redeem(own);
    expect({ status: first.status, type: first.json['token_type'] }).toEqual({ status: 200, type: 'DPoP' });
    expect(await errorOf(redeem(other))).toBe('invalid_grant');
    expect(await errorOf(poll(code))).toBe('invalid_grant');
    const again = await redeem(own);
    expect(again.json['refresh_token']).toBe(first.json['refresh_token']);
    const [row] = await queryAsSuperuser<{ key_thumbprint: string; state: string }>(
      server.database,
      'select key_thumbprint, state from devices where device_id = $1',
      [deviceId],
    );
    const thumbprint = await jose.calculateJwkThumbprint(await jose.exportJWK(own.publicKey));
    expect(row).toEqual({ key_thumbprint: thumbprint, state: 'active' });
  });

  it('redeems once in one race, and both who ran hold one chain', async () => {
    const code = await begin();
    await approve(code);
    const [one, other] = await Promise.all([poll(code), poll(code)]);
    expect([one.status, other.status]).toEqual([200, 200]);
    expect(one.json['refresh_token']).toBe(other.json['refresh_token']);
  });

  it('whose code comes back after its chain went on was robbed: the grant ends, and the device is retired', async () => {
    const { deviceId, code, tokens } = await pair();
    const next = await refresh(acme, acme.clients.device, String(tokens['refresh_token']));
    expect(next.status).toBe(200);
    expect(await errorOf(poll(code))).toBe('invalid_grant');
    expect(await errorOf(refresh(acme, acme.clients.device, String(next.json['refresh_token'])))).toBe('invalid_grant');
    const [row] = await queryAsSuperuser<{ state: string }>(
      server.database,
      'select state from devices where device_id = $1',
      [deviceId],
    );
    expect(row?.state).toBe('retired');
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['token.reuse_detected'] });
    expect(events).toHaveLength(1);
  });
});

describe('a device in quarantine', () => {
  it('is nobody at once, with every kind of token, keeps its chain and goes on when it is released; its siblings notice nothing', async () => {
    const [first, sibling] = [await pair(), await pair()];
    const jwt = await pair({}, acme.jwtApi);
    const { device, resource_server: api } = acme.clients;
    const alive = async ({ tokens }: Paired, by: TestClient): Promise<unknown> =>
      (await introspect(acme, by, String(tokens['access_token']))).json['active'];
    const userinfo = async ({ tokens }: Paired): Promise<number> =>
      (
        await fetch(`${acme.issuer}/userinfo`, {
          headers: { authorization: `Bearer ${String(tokens['access_token'])}` },
        })
      ).status;
    expect([await alive(first, device), await alive(jwt, api), await userinfo(first)]).toEqual([true, true, 200]);
    await quarantine(first.deviceId, 'quarantined');
    await quarantine(jwt.deviceId, 'quarantined');
    expect([await alive(first, device), await alive(jwt, api), await userinfo(first)]).toEqual([false, false, 401]);
    const refused = await refresh(acme, device, String(first.tokens['refresh_token']));
    expect({ status: refused.status, error: refused.json['error'] }).toEqual({ status: 400, error: 'access_denied' });
    expect([await alive(sibling, device), await userinfo(sibling)]).toEqual([true, 200]);
    await quarantine(first.deviceId, 'active');
    expect((await refresh(acme, device, String(first.tokens['refresh_token']))).status).toBe(200);
  });
});
