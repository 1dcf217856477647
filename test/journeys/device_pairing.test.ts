/** A person pairs a device (RFC 8628) at the pages, without JavaScript: the code, the sign-in, the comparison, the answer. */

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
  server = await startTestServer({ clock: time.clock });
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
    const events = await readEvents(server.database, {
      tenantId: acme.id,
      types: ['device.approved', 'device.paired'],
    });
    expect(events.map(({ type, target_id }) => [type, target_id])).toEqual([
      ['device.approved', row?.device_id],
      ['device.paired', row?.device_id],
    ]);
    const { mail } = await lastMailTo(server, acme, acme.person.email);
    expect(mail).toMatchObject({ kind: 'device_paired', device: 'Sensor slaapkamer', address: '127.0.0.1' });

    await pairer.agent.submit(await pairer.agent.follow(`${acme.issuer}/logout`), { logout: 'yes' });
    expect((await refresh(acme, acme.clients.device, String(json['refresh_token']))).status).toBe(200);
  });

  it('denies it, and the device hears that and nothing else', async () => {
    const begun = await beginPairing(acme);
    const done = await createPairer(server, acme).answer(begun.user_code, 'deny');
    expect(done.status).toBe(200);
    for (let turn = 0; turn < 2; turn += 1)
      expect(await pollFor(acme, begun)).toMatchObject({ status: 400, json: { error: 'access_denied' } });
  });
});
