/** Devices as things: who sees and changes them, what ends with them, and what goes over to a new owner. On the real server. */
import * as jose from 'jose';
import { AUTHENTICATION_CONTEXTS } from '#src/domain/authentication.ts';
import { peopleSettingsOf } from '#src/domain/people_settings.ts';
import type { UserId } from '#src/domain/user.ts';
import { acceptDevice, listOffers, offerDevice, withdrawOffer } from '#src/flows/devices/hand_over_device.ts';
import {
  changeDevice,
  changeDevices,
  deviceTimeline,
  forecastDevices,
  listDevices,
  renameDevice,
  showDevice,
} from '#src/flows/devices/manage_devices.ts';
import { reportTelemetry } from '#src/flows/devices/report_telemetry.ts';
import { tidyFleet } from '#src/flows/devices/tidy_devices.ts';
import { deleteMember } from '#src/flows/people/leave_tenant.ts';
import { createPairer } from '#test/support/device_pairing.ts';
import { type PairedDevice, pairDevice } from '#test/support/fleet.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { callEndpoint, type EndpointAnswer, introspect, refresh } from '#test/support/user_agent.ts';
import { createTestTenant, type NewPerson, newPerson, type TestTenant } from '#test/support/world.ts';

const time = createMovableClock();
const daySeconds = 86_400;

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let grace: NewPerson;

beforeAll(async () => {
  server = await startTestServer({ clock: time.clock });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  grace = await newPerson(server, acme);
});

afterAll(() => server.close());

let moved = 0;

/** Until the end of the test: a device's code would be over by the engine's own clock. */
function advance(seconds: number): void {
  moved += seconds;
  time.advance(seconds);
}

afterEach(() => advance(-moved));

const lamp = { scope: 'openid offline_access', device_name: 'Lamp', device_model: 'C3', device_firmware: '1.0' };

function pair(form: Readonly<Record<string, string>> = {}): Promise<PairedDevice> {
  return pairDevice(server, acme, { form: { ...lamp, ...form } });
}

function pairForApi(form: Readonly<Record<string, string>> = {}): Promise<PairedDevice> {
  return pair({ resource: acme.jwtApi, scope: 'openid offline_access readings:read', ...form });
}

const one = ({ deviceId }: PairedDevice) => ({ tenantId: acme.id, deviceId });
const refreshed = ({ refreshToken }: PairedDevice): Promise<EndpointAnswer> =>
  refresh(acme, acme.clients.device, refreshToken);
const isActive = async (token: string): Promise<unknown> =>
  (await introspect(acme, acme.clients.resource_server, token)).json['active'];
const isActiveOpaque = async (token: string): Promise<unknown> =>
  (await introspect(acme, acme.clients.device, token)).json['active'];

describe('a list of devices', () => {
  it('is of one tenant, the latest first, in pages, and by what is asked', async () => {
    const first = await pair({ device_model: 'list-1' });
    const second = await pair({ device_model: 'list-2' });
    const all = await listDevices(server.context, { tenantId: acme.id, filter: {}, limit: 1 });
    expect(all.devices.map(({ device_id: id }) => id)).toEqual([second.deviceId]);
    const older = await listDevices(server.context, { tenantId: acme.id, filter: {}, before: all.next, limit: 1 });
    expect(older.devices.map(({ device_id: id }) => id)).toEqual([first.deviceId]);
    const by = async (filter: Parameters<typeof listDevices>[1]['filter']): Promise<readonly string[]> =>
      (await listDevices(server.context, { tenantId: acme.id, filter, limit: 50 })).devices.map((d) => d.device_id);
    expect(await by({ model: 'list-1' })).toEqual([first.deviceId]);
    expect(await by({ model: 'list-1', firmware: '2' })).toEqual([]);
    expect(await by({ userId: grace.id })).toEqual([]);
    expect(await by({ clientId: acme.clients.web.clientId })).toEqual([]);
    expect(await by({ states: ['quarantined'], model: 'list-1' })).toEqual([]);
    expect(await by({ seenBefore: new Date(0) })).toEqual([]);
    const elsewhere = await listDevices(server.context, { tenantId: globex.id, filter: {}, limit: 50 });
    expect(elsewhere.devices).toEqual([]);
  });

  it('shows one device to its own tenant and owner, and nobody else’s is there', async () => {
    const device = await pair();
    expect(await showDevice(server.context, one(device))).toMatchObject({
      name: 'Lamp',
      model: 'C3',
      firmware: '1.0',
      state: 'active',
      owner_email: acme.person.email,
      client_name: 'device',
    });
    expect(await showDevice(server.context, { ...one(device), userId: grace.id })).toBeUndefined();
    expect(await showDevice(server.context, { ...one(device), tenantId: globex.id })).toBeUndefined();
    for (const other of [{ userId: grace.id }, { tenantId: globex.id }]) {
      const foreign = { ...one(device), ...other };
      expect(await renameDevice(server.context, { ...foreign, name: 'Mine' })).toEqual({ outcome: 'unknown' });
      for (const change of ['quarantine', 'release', 'revoke'] as const)
        expect(await changeDevice(server.context, { ...foreign, change })).toEqual({ outcome: 'unknown' });
      const offer = { ...foreign, email: grace.email };
      expect(await offerDevice(server.context, offer)).toEqual({ outcome: 'unknown' });
      expect(await deviceTimeline(server.context, { ...foreign, limit: 5 })).toBeUndefined();
    }
    expect(await refreshed(device)).toMatchObject({ status: 200 });
  });
});

describe('a device', () => {
  it('is called what its owner calls it, and nothing that cannot be read', async () => {
    const device = await pair();
    expect(await renameDevice(server.context, { ...one(device), name: '  Lamp  boven ' })).toEqual({
      outcome: 'renamed',
    });
    expect(await showDevice(server.context, one(device))).toMatchObject({ name: 'Lamp boven' });
    for (const name of ['', ' ', 'x'.repeat(61), 'a\u202eb', 'a\nb', 'a\0b'])
      expect(await renameDevice(server.context, { ...one(device), name })).toEqual({ outcome: 'invalid_name' });
    expect(await showDevice(server.context, one(device))).toMatchObject({ name: 'Lamp boven' });
  });

  it('is nobody while it is quarantined, keeps its token, and goes on when it is released; its sibling notices nothing', async () => {
    const [device, sibling] = [await pairForApi(), await pairForApi()];
    const quarantine = { ...one(device), change: 'quarantine' } as const;
    const outcomes = await Promise.all([1, 2, 3].map(() => changeDevice(server.context, quarantine)));
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual(['changed', 'made_already', 'made_already']);
    expect(await isActive(device.accessToken)).toBe(false);
    expect((await refreshed(device)).json).toMatchObject({ error: 'access_denied' });
    expect(await isActive(sibling.accessToken)).toBe(true);
    expect(await changeDevice(server.context, { ...one(device), change: 'release' })).toEqual({ outcome: 'changed' });
    expect(await isActive(device.accessToken)).toBe(true);
    expect((await refreshed(device)).status).toBe(200);
    const types = ['device.quarantined', 'device.released'];
    const events = await readEvents(server.database, { tenantId: acme.id, types });
    expect(events.filter(({ target_id: id }) => id === device.deviceId).map(({ type }) => type)).toEqual(types);
  });

  it('ends for ever when it is revoked, with every token of either form, once however many ask', async () => {
    const [device, sibling] = [await pairForApi(), await pairForApi()];
    const newer = await refreshed(device);
    const revoke = { ...one(device), change: 'revoke', reason: 'stolen' } as const;
    const outcomes = await Promise.all([1, 2, 3].map(() => changeDevice(server.context, revoke)));
    expect(outcomes.filter(({ outcome }) => outcome === 'changed')).toHaveLength(1);
    for (const token of [device.accessToken, newer.json['access_token']])
      expect(await isActive(String(token))).toBe(false);
    for (const refreshToken of [device.refreshToken, String(newer.json['refresh_token'])])
      expect((await refreshed({ ...device, refreshToken })).json).toMatchObject({ error: 'invalid_grant' });
    expect(await showDevice(server.context, one(device))).toMatchObject({ state: 'retired' });
    expect(await changeDevice(server.context, { ...one(device), change: 'release' })).toEqual({ outcome: 'retired' });
    expect(await changeDevice(server.context, { ...one(device), change: 'quarantine' })).toEqual({
      outcome: 'retired',
    });
    expect(await renameDevice(server.context, { ...one(device), name: 'again' })).toEqual({ outcome: 'retired' });
    expect((await refreshed(sibling)).status).toBe(200);
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['device.revoked'] });
    expect(events.filter(({ target_id: id }) => id === device.deviceId)).toMatchObject([{ reason: 'stolen' }]);
  });
});

describe('many devices at once', () => {
  it('are stopped by model, firmware or client, in one event that says how many and which; others go on', async () => {
    const bad = await Promise.all([1, 2, 3].map(() => pairForApi({ device_model: 'K9', device_firmware: '6.6' })));
    const good = await pairForApi({ device_model: 'K9', device_firmware: '6.7' });
    const make = { model: 'K9', firmware: '6.6' };
    const change = (what: 'quarantine' | 'release' | 'revoke') =>
      changeDevices(server.context, { tenantId: acme.id, change: what, make });
    expect(await change('quarantine')).toEqual({ outcome: 'changed', count: 3, more: false });
    expect(await change('quarantine')).toEqual({ outcome: 'changed', count: 0, more: false });
    for (const device of bad) expect(await isActive(device.accessToken)).toBe(false);
    expect(await isActive(good.accessToken)).toBe(true);
    expect(await change('release')).toMatchObject({ count: 3 });
    for (const device of bad) expect(await isActive(device.accessToken)).toBe(true);
    expect(await change('revoke')).toMatchObject({ count: 3 });
    for (const device of bad) {
      expect(await isActive(device.accessToken)).toBe(false);
      expect((await refreshed(device)).json).toMatchObject({ error: 'invalid_grant' });
      expect(await showDevice(server.context, one(device))).toMatchObject({ state: 'retired' });
    }
    expect((await refreshed(good)).status).toBe(200);
    const types = ['devices.quarantined', 'devices.released', 'devices.revoked'];
    const events = await readEvents(server.database, { tenantId: acme.id, types });
    expect(events.map(({ type, data }) => [type, data])).toEqual(types.map((type) => [type, { count: 3, ...make }]));
    const [bulk] = bad;
    const timeline = bulk && (await deviceTimeline(server.context, { ...one(bulk), limit: 20 }));
    expect(timeline?.events.map(({ type }) => type)).toEqual(expect.arrayContaining(types));
    const other = await deviceTimeline(server.context, { ...one(good), limit: 20 });
    expect(other?.events.map(({ type }) => type)).not.toContain('devices.quarantined');
  });

  it('are never a whole tenant by mistake, nor another tenant’s', async () => {
    const device = await pair({ device_model: 'K10' });
    const change = { change: 'revoke', make: {} } as const;
    expect(await changeDevices(server.context, { tenantId: acme.id, ...change })).toEqual({ outcome: 'no_filter' });
    const foreign = { tenantId: globex.id, change: 'revoke', make: { model: 'K10' } } as const;
    expect(await changeDevices(server.context, foreign)).toMatchObject({ count: 0 });
    expect((await refreshed(device)).status).toBe(200);
  });

  it('are revoked while they refresh, and none lives on', async () => {
    const devices = await Promise.all([1, 2, 3, 4].map(() => pairForApi({ device_model: 'K11' })));
    const change = { tenantId: acme.id, change: 'revoke', make: { model: 'K11' } } as const;
    const [, ...answers] = await Promise.all([changeDevices(server.context, change), ...devices.map(refreshed)]);
    for (const { json } of answers.filter(({ status }) => status === 200)) {
      expect(await isActive(String(json['access_token']))).toBe(false);
      const again = await refresh(acme, acme.clients.device, String(json['refresh_token']));
      expect(again.json).toMatchObject({ error: 'invalid_grant' });
    }
  });
});

const freshly = (at: Date) => ({
  amr: ['pwd'],
  acr: AUTHENTICATION_CONTEXTS.password,
  authTime: at.getTime() / 1000,
});

function accept(device: PairedDevice, by: UserId, changed: Partial<Parameters<typeof acceptDevice>[1]> = {}) {
  const settings = peopleSettingsOf(server.config.people, {});
  const authentication = freshly(time.clock());
  return acceptDevice(server.context, { ...one(device), userId: by, settings, authentication, ...changed });
}

const offer = (device: PairedDevice, email = grace.email) => offerDevice(server.context, { ...one(device), email });

describe('a device that is given to somebody else', () => {
  it('speaks for the new owner from its next refresh on, and nothing of the first one lives on', async () => {
    const device = await pairForApi();
    const opaque = await pair();
    const before = await refreshed(device);
    for (const offered of [device, opaque]) {
      expect(await offer(offered)).toMatchObject({ outcome: 'offered' });
      expect(
        (await listOffers(server.context, { tenantId: acme.id, userId: grace.id })).map((d) => d.device_id),
      ).toContain(offered.deviceId);
      expect(await accept(offered, grace.id)).toEqual({ outcome: 'accepted' });
    }
    // What it had is dead at once, in both forms.
    for (const token of [device.accessToken, before.json['access_token']])
      expect(await isActive(String(token))).toBe(false);
    expect(await isActiveOpaque(opaque.accessToken)).toBe(false);
    const headers = { authorization: `Bearer ${opaque.accessToken}` };
    expect((await fetch(`${acme.issuer}/userinfo`, { headers })).status).toBe(401);

    const next = await refresh(acme, acme.clients.device, String(before.json['refresh_token']));
    expect(next.status).toBe(200);
    const claims = jose.decodeJwt(String(next.json['access_token']));
    expect(claims).toMatchObject({ sub: grace.id, device_id: device.deviceId, roles: [], amr: ['pwd'] });
    expect(jose.decodeJwt(String(next.json['id_token']))).toMatchObject({ sub: grace.id });
    expect(await isActive(String(next.json['access_token']))).toBe(true);
    const rows = await queryAsSuperuser<{ row: string }>(
      server.database,
      `select row_to_json(a)::text as row from artifacts a join devices d on d.grant_hash in (a.grant_hash, a.id_hash)
        where d.device_id = $1 and a.kind <> 'AccessToken'`,
      [device.deviceId],
    );
    expect(JSON.stringify(rows)).not.toContain(acme.person.id);
    expect(await showDevice(server.context, { ...one(device), userId: acme.person.id })).toBeUndefined();
    expect(await showDevice(server.context, { ...one(device), userId: grace.id })).toMatchObject({ offered_to: null });
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['device.transferred'] });
    expect(events.find(({ target_id: id }) => id === device.deviceId)?.data).toEqual({
      user_id: grace.id,
      from_user_id: acme.person.id,
    });
  });

  it('is not lost when it refreshes at that very moment, and its old owner is nobody there', async () => {
    for (let round = 0; round < 6; round += 1) {
      const device = await pairForApi();
      await offer(device);
      const [accepted, racing] = await Promise.all([accept(device, grace.id), refreshed(device)]);
      expect(accepted).toEqual({ outcome: 'accepted' });
      expect(racing.status).toBe(200);
      const token = String(racing.json['access_token']);
      if (jose.decodeJwt(token).sub === acme.person.id) expect(await isActive(token)).toBe(false);
      const next = await refresh(acme, acme.clients.device, String(racing.json['refresh_token']));
      expect(next.status).toBe(200);
      expect(jose.decodeJwt(String(next.json['access_token'])).sub).toBe(grace.id);
    }
  });

  it('is accepted by whom it was offered to, once, in time, and by nobody else', async () => {
    const device = await pair();
    expect(await accept(device, grace.id)).toEqual({ outcome: 'unknown' });
    await offer(device);
    expect(await accept(device, acme.person.id)).toEqual({ outcome: 'unknown' });
    const outcomes = await Promise.all([1, 2, 3].map(() => accept(device, grace.id)));
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual(['accepted', 'unknown', 'unknown']);

    const late = await pair();
    await offer(late);
    advance(7 * daySeconds);
    expect(await accept(late, grace.id)).toEqual({ outcome: 'unknown' });
    advance(-7 * daySeconds);
    const withdrawn = await pair();
    await offer(withdrawn);
    expect(await withdrawOffer(server.context, one(withdrawn))).toEqual({ outcome: 'withdrawn' });
    expect(await accept(withdrawn, grace.id)).toEqual({ outcome: 'unknown' });
    const ended = await pair();
    await offer(ended);
    await changeDevice(server.context, { ...one(ended), change: 'revoke' });
    expect(await accept(ended, grace.id)).toEqual({ outcome: 'unknown' });
    expect(await offer(ended)).toEqual({ outcome: 'retired' });
  });

  it('tells its owner nothing of who is a member', async () => {
    const device = await pair();
    for (const email of [grace.email, 'nobody@nowhere.test']) {
      expect(await offer(device, email)).toEqual({ outcome: 'offered', until: expect.any(Date) });
      expect(await showDevice(server.context, one(device))).toMatchObject({ offered_until: expect.any(Date) });
    }
    // The later offer took the place of the earlier one.
    expect(await accept(device, grace.id)).toEqual({ outcome: 'unknown' });
    expect(await offer(device, acme.person.email)).toEqual({ outcome: 'owner_already' });
  });

  it('is accepted on the terms on which devices are paired', async () => {
    const device = await pair();
    await offer(device);
    const base = server.config.people;
    const roles = peopleSettingsOf(base, { 'devices.approval_roles': ['admin'] });
    expect(await accept(device, grace.id, { settings: roles })).toEqual({ outcome: 'role' });
    const factor = peopleSettingsOf(base, { 'devices.approval_second_factor': true });
    expect(await accept(device, grace.id, { settings: factor })).toEqual({ outcome: 'second_factor' });
    const few = peopleSettingsOf(base, { 'devices.maximum_per_person': 1 });
    expect(await accept(device, grace.id, { settings: few })).toEqual({ outcome: 'too_many' });
    expect((await refreshed(device)).status).toBe(200);
    expect(await accept(device, grace.id)).toEqual({ outcome: 'accepted' });
  });
});

describe('what is known of a device', () => {
  it('is when and from where it was last heard of, and why it was turned away', async () => {
    const device = await pairForApi();
    const paired = await showDevice(server.context, one(device));
    await queryAsSuperuser(
      server.database,
      `update devices set expires_at = expires_at - interval '1 day' where device_id = $1`,
      [device.deviceId],
    );
    advance(300);
    const next = await refreshed(device);
    await server.server.house.deviceNotes.flush();
    const seen = await showDevice(server.context, one(device));
    const sinceThen = (at: Date | null | undefined): number =>
      ((at?.getTime() ?? 0) - (paired?.paired_at.getTime() ?? 0)) / 1000;
    expect(sinceThen(seen?.last_seen_at)).toBeGreaterThanOrEqual(300);
    expect(seen?.last_seen_address).toMatch(/^(127\.0\.0\.1|::1)$/);
    expect(sinceThen(seen?.expires_at)).toBeGreaterThanOrEqual(sinceThen(paired?.expires_at));

    advance(60);
    await isActive(String(next.json['access_token']));
    await server.server.house.deviceNotes.flush();
    expect(sinceThen((await showDevice(server.context, one(device)))?.last_seen_at)).toBeGreaterThanOrEqual(360);

    await changeDevice(server.context, { ...one(device), change: 'quarantine' });
    const refreshToken = String(next.json['refresh_token']);
    await refreshed({ ...device, refreshToken });
    await server.server.house.deviceNotes.flush();
    const refusedDevice = await showDevice(server.context, one(device));
    expect(refusedDevice?.refused_because).toBe('quarantined');
    expect(sinceThen(refusedDevice?.refused_at)).toBeGreaterThanOrEqual(360);
  });

  it('is its history: who paired it, what it was given, that its token was used twice', async () => {
    const device = await pairForApi();
    const next = await refreshed(device);
    await refresh(acme, acme.clients.device, String(next.json['refresh_token']));
    // The first one again, after its successor was used: one of two holders stole it.
    expect((await refreshed(device)).json).toMatchObject({ error: 'invalid_grant' });
    const timeline = await deviceTimeline(server.context, { ...one(device), limit: 50 });
    const types = timeline?.events.map(({ type }) => type) ?? [];
    expect(types.slice(0, 2).sort()).toEqual(['grant.revoked', 'token.reuse_detected']);
    expect(types.filter((type) => type === 'token.issued')).toHaveLength(3);
    expect(types).toEqual(expect.arrayContaining(['device.paired', 'device.approved']));
    expect(timeline?.device.state).toBe('retired');
    const page = await deviceTimeline(server.context, { ...one(device), limit: 2 });
    const rest = await deviceTimeline(server.context, { ...one(device), before: page?.next, limit: 50 });
    expect([...(page?.events ?? []), ...(rest?.events ?? [])].map(({ id }) => id)).toEqual(
      timeline?.events.map(({ id }) => id),
    );
  });

  it('is when it will fall silent', async () => {
    const absoluteSeconds = server.config.lifetimes.refreshToken.absoluteSeconds.device;
    const { deviceId } = await pair();
    const forecast = async (days: number) => {
      const rows = await forecastDevices(server.context, { tenantId: acme.id, days, absoluteSeconds });
      return rows.find(({ device }) => device.device_id === deviceId)?.reason;
    };
    expect(await forecast(89)).toBeUndefined();
    expect(await forecast(91)).toBe('silent');
    await queryAsSuperuser(
      server.database,
      `update devices set paired_at = paired_at - make_interval(secs => $2 - 86400), expires_at = paired_at + interval '1 day' where device_id = $1`,
      [deviceId, absoluteSeconds],
    );
    expect(await forecast(2)).toBe('end');
  });
});

describe('the janitor', () => {
  const tidy = () =>
    tidyFleet(server.context, { installation: server.config.people, ownerUrl: server.server.house.urls.owner });

  it('retires what fell silent and forgets it later; what still has a token is not silent', async () => {
    const [silent, living] = [await pair(), await pair()];
    // What was noted of them must not be written after what this test writes.
    await server.server.house.deviceNotes.flush();
    for (const { deviceId } of [silent, living])
      await queryAsSuperuser(
        server.database,
        `update devices set expires_at = $2::timestamptz - interval '2 days' where device_id = $1`,
        [deviceId, time.clock()],
      );
    await queryAsSuperuser(
      server.database,
      `delete from artifacts where kind = 'RefreshToken' and grant_hash = (select grant_hash from devices where device_id = $1)`,
      [silent.deviceId],
    );
    expect(await tidy()).toMatchObject({ silent_devices: 1 });
    expect(await tidy()).toMatchObject({ silent_devices: 0 });
    expect(await showDevice(server.context, one(silent))).toMatchObject({ state: 'retired' });
    expect(await isActiveOpaque(silent.accessToken)).toBe(false);
    expect((await refreshed(living)).status).toBe(200);
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['device.expired'] });
    expect(events.map(({ target_id: id }) => id)).toEqual([silent.deviceId]);
    await queryAsSuperuser(
      server.database,
      `update devices set state_changed_at = $2::timestamptz - interval '91 days' where device_id = $1`,
      [silent.deviceId, time.clock()],
    );
    expect(await tidy()).toMatchObject({ forgotten_devices: 1 });
    expect(await showDevice(server.context, one(silent))).toBeUndefined();
  });

  it('keeps the days of telemetry: those to come are there, and those nobody keeps are gone', async () => {
    const days = async (): Promise<readonly string[]> =>
      (
        await queryAsSuperuser<{ name: string }>(
          server.database,
          `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = 'device_telemetry'::regclass order by 1`,
        )
      ).map(({ name }) => name);
    await tidy();
    const day = (later: number): string =>
      `device_telemetry_${new Date(time.clock().getTime() + later * daySeconds * 1000).toISOString().slice(0, 10).replaceAll('-', '')}`;
    expect(await days()).toEqual(expect.arrayContaining([0, 1, 7].map(day)));
    const old = day(-8);
    await queryAsSuperuser(server.database, `select device_telemetry_day('${old.slice(-8)}')`);
    expect(await days()).toContain(old);
    await tidy();
    expect(await days()).not.toContain(old);
    expect(await days()).toContain(day(0));
  });
});

describe('the owner of devices', () => {
  it('takes them along, with everything they reported', async () => {
    const person = await newPerson(server, acme);
    const device = await pairDevice(server, acme, { pairer: createPairer(server, acme, { person }), form: lamp });
    const settings = peopleSettingsOf(server.config.people, {});
    const report = { ...one(device), report: { battery: 3 }, settings };
    expect(await reportTelemetry(server.context, report)).toEqual({ outcome: 'taken' });
    expect(await deleteMember(server.context, { tenantId: acme.id, userId: person.id })).toEqual({
      outcome: 'deleted',
    });
    for (const table of ['devices', 'device_reports', 'device_telemetry'])
      expect(
        await queryAsSuperuser(server.database, `select from ${table} where device_id = $1`, [device.deviceId]),
      ).toEqual([]);
    expect(
      (
        await callEndpoint(acme.issuer, '/token', {
          client: acme.clients.device,
          form: { grant_type: 'refresh_token', refresh_token: device.refreshToken },
        })
      ).json,
    ).toMatchObject({ error: 'invalid_grant' });
  });
});
