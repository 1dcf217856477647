/** A person pairs a device (RFC 8628) at the pages, without JavaScript: the code, the sign-in, the comparison, the answer. */

import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { beginPairing, createPairer, deviceNameOn, pollFor } from '#test/support/device_pairing.ts';
import { lastMailTo } from '#test/support/mailbox.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { introspect, refresh } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const time = createMovableClock();

let server: TestServer;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer({ clock: time.clock, logLevel: 'info' });
  acme = await createTestTenant(server, 'acme');
}, 30_000);

afterAll(() => server.close());

describe('a person with a device', () => {
  it('types its code, signs in, compares and allows it: the device has tokens, a name and an owner', async () => {
    const begun = await beginPairing(acme, {
      form: {
        scope: 'openid offline_access readings:write',
        resource: acme.jwtApi,
        device_name: 'Sensor',
        device_model: 'C3',
        device_firmware: '1.4.2',
      },
    });
    const pairer = createPairer(server, acme);
    const page = await pairer.compare(begun.user_code);
    expect(page).toMatchObject({ status: 200, url: `${acme.issuer}/device/confirm` });
    expect(page.body).toContain(begun.user_code);
    for (const told of ['C3, 1.4.2', 'May readings:write', acme.person.email, '127.0.0.1'])
      expect(page.body).toContain(told);
    expect(page.body).not.toContain('readings:read');
    expect(deviceNameOn(page)).toBe('Sensor');
    expect(page.body.indexOf('class="warning"')).toBeLessThan(page.body.indexOf('<form'));
    expect(page.body.indexOf('value="deny"')).toBeLessThan(page.body.indexOf('value="allow"'));
    expect(page.body).not.toContain('autofocus');

    const done = await pairer.agent.submit(page, { decision: 'allow', device_name: ' Sensor  slaapkamer ' });
    expect(done).toMatchObject({ status: 200, url: `${acme.issuer}/device/confirm` });
    expect(done.body).toContain(`href="${acme.issuer}/account/devices"`);
    expect(done.body).not.toContain('<form method="post" action="http');

    const { status, json } = await pollFor(acme, begun);
    expect(status).toBe(200);
    const { json: token } = await introspect(acme, acme.clients.resource_server, String(json['access_token']));
    expect(token).toMatchObject({ active: true, sub: acme.person.id, scope: 'readings:write', amr: ['pwd'] });
    expect(token).not.toHaveProperty('sid');
    const [row] = await queryAsSuperuser<{ device_id: string }>(server.database, 'select * from devices');
    expect(row).toMatchObject({ device_id: token['device_id'], name: 'Sensor slaapkamer', user_id: acme.person.id });
    const types = ['device.approved', 'device.paired', 'consent.granted'];
    const events = await readEvents(server.database, { tenantId: acme.id, types });
    const said = { scopes: ['openid', 'offline_access', 'readings:write'], asked_from: '127.0.0.1' };
    for (const event of events.filter(({ type }) => type !== 'device.paired'))
      expect(event).toMatchObject({
        outcome: 'success',
        actor_id: acme.person.id,
        client_id: acme.clients.device.clientId,
        ip: '127.0.0.1',
        data: said,
      });
    const ofDevice = events.filter(({ type }) => type.startsWith('device.'));
    expect(ofDevice.map(({ type, target_id }) => [type, target_id])).toEqual([
      ['device.approved', row?.device_id],
      ['device.paired', row?.device_id],
    ]);
    expect(events.find(({ type }) => type === 'consent.granted')?.data).toMatchObject({ device_id: row?.device_id });
    const { mail } = await lastMailTo(server, acme, acme.person.email);
    expect(mail).toMatchObject({ kind: 'device_paired', device: 'Sensor slaapkamer', address: '127.0.0.1' });

    await pairer.agent.submit(await pairer.agent.follow(`${acme.issuer}/logout`), { logout: 'yes' });
    expect((await refresh(acme, acme.clients.device, String(json['refresh_token']))).status).toBe(200);
  });

  it('follows the address of a QR code, in capitals as well, and the log says nothing of the code', async () => {
    const begun = await beginPairing(acme);
    const { user_code: userCode, verification_uri_complete: complete } = begun;
    const { agent } = createPairer(server, acme);
    const page = await agent.follow(complete.replace('/d/', '/D/'));
    expect(page.url).toBe(`${acme.issuer}/device?user_code=${userCode.replace('-', '')}`);
    expect(page.body).toContain(`value="${userCode.replace('-', '')}"`);
    await agent.submit(page, { user_code: userCode });
    const lines = JSON.stringify(server.log);
    expect(lines).toContain('/d/…');
    for (const code of [userCode, userCode.replace('-', '')]) expect(lines).not.toContain(code);
  });

  it('changes the language at every step without losing what was typed', async () => {
    const { user_code: userCode } = await beginPairing(acme);
    const pairer = createPairer(server, acme);
    const { agent } = pairer;
    const english = await agent.submit(await agent.follow(`${acme.issuer}/device`), {
      user_code: userCode,
      ui_locales: 'en',
    });
    expect(english.body).toContain('Pair a device');
    expect(english.body).toContain(`value="${userCode}"`);
    const compared = await pairer.signIn(await agent.submit(english, { user_code: userCode }));
    expect(compared.body).toContain('Pair this device');
    const dutch = await agent.submit(compared, { device_name: 'Lamp op de gang', ui_locales: 'nl' });
    expect(dutch.body).toContain('Dit apparaat koppelen');
    expect(deviceNameOn(dutch)).toBe('Lamp op de gang');
    const done = await agent.submit(dutch, { decision: 'allow', device_name: deviceNameOn(dutch) });
    expect(done.body).toContain('Apparaat gekoppeld');
  });

  it('gives it a name that can be shown, or is asked for one again', async () => {
    const begun = await beginPairing(acme);
    const pairer = createPairer(server, acme);
    const page = await pairer.compare(begun.user_code);
    for (const name of ['', '   ', 'x'.repeat(61), 'a\u202eb', 'two\nlines']) {
      const again = await pairer.agent.submit(page, { decision: 'allow', device_name: name });
      expect(again.status).toBe(400);
      expect(again.body).toContain('href="#device_name"');
    }
    // Whoever refuses needs none.
    expect((await pairer.agent.submit(page, { decision: 'deny', device_name: '' })).status).toBe(200);
    expect((await pollFor(acme, begun)).json['error']).toBe('access_denied');
  });

  it('finds nothing of it where the tenant has switched it off', async () => {
    const off = await createTestTenant(server, 'without');
    const changes = [{ name: 'protocol.device_grant', value: false } as const];
    await configureTenant(server.context, { id: off.id, changes });
    for (const path of ['/device', '/device/confirm', '/device/signed-in'])
      expect((await createPairer(server, off).agent.request(off.issuer + path)).status).toBe(404);
  });

  it('denies it, and the device hears that and nothing else', async () => {
    const begun = await beginPairing(acme);
    const done = await createPairer(server, acme).answer(begun.user_code, 'deny');
    expect(done.status).toBe(200);
    for (let turn = 0; turn < 2; turn += 1)
      expect(await pollFor(acme, begun)).toMatchObject({ status: 400, json: { error: 'access_denied' } });
    const event = (await readEvents(server.database, { tenantId: acme.id, types: ['device.denied'] })).at(-1);
    expect(event).toMatchObject({ actor_id: acme.person.id, ip: '127.0.0.1', data: { asked_from: '127.0.0.1' } });
  });
});
