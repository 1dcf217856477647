/** `poort device …` against the database of a running server. */
import { rm } from 'node:fs/promises';
import { pairDevice } from '#test/support/fleet.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { introspect, refresh } from '#test/support/user_agent.ts';
import { createTestTenant, type NewPerson, newPerson, type TestTenant } from '#test/support/world.ts';
import { besideServer, callPoort, type Finished, type Installation } from './poort_process.ts';

let server: TestServer;
let acme: TestTenant;
let grace: NewPerson;
let installation: Installation;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  await createTestTenant(server, 'globex');
  grace = await newPerson(server, acme);
  installation = await besideServer(server);
});

afterAll(async () => {
  await rm(installation.dataDirectory, { recursive: true, force: true });
  await server.close();
});

const poort = (...commandLine: string[]): Promise<Finished> => callPoort(installation, ['device', ...commandLine]);

async function answered(...commandLine: string[]): Promise<Record<string, unknown>> {
  const { code, output, errors } = await poort(...commandLine, '--json');
  expect({ code, errors }).toEqual({ code: 0, errors: '' });
  return JSON.parse(output);
}

async function refused(...commandLine: string[]): Promise<string> {
  const { code, output } = await poort(...commandLine, '--json');
  expect(code).not.toBe(0);
  return (JSON.parse(output) as { error: { code: string } }).error.code;
}

const form = { scope: 'openid offline_access', device_name: 'Lamp', device_model: 'C3', device_firmware: '1.0' };
const tenant = ['--tenant', 'acme'] as const;

describe('poort device', () => {
  it('lists, shows, names and offers devices', async () => {
    const { deviceId } = await pairDevice(server, acme, { form });
    const { devices } = await answered('list', ...tenant, '--model', 'C3', '--owner', acme.person.email);
    expect(devices).toMatchObject([{ id: deviceId, name: 'Lamp', state: 'active', owner: acme.person.email }]);
    expect((await poort('list', ...tenant)).output).toContain('C3 1.0');
    expect((await poort('list', '--tenant', 'globex')).output).toContain('no such devices');
    expect(await answered('rename', deviceId, ...tenant, '--name', 'Bureaulamp')).toMatchObject({ name: 'Bureaulamp' });
    const shown = await answered('show', deviceId, ...tenant);
    expect(shown).toMatchObject({ name: 'Bureaulamp', events: expect.arrayContaining([expect.any(Object)]) });
    expect((await poort('show', deviceId, ...tenant)).output).toContain('device.paired');
    const offered = await answered('transfer', deviceId, ...tenant, '--to', grace.email);
    expect(offered).toMatchObject({ offered_to: grace.email });
    expect(await refused('transfer', deviceId, ...tenant, '--to', acme.person.email)).toBe('owner_already');
    expect(await refused('rename', deviceId, ...tenant, '--name', ' ')).toBe('invalid_name');
    expect(await refused('show', deviceId, '--tenant', 'globex')).toBe('unknown_device');
    expect(await refused('show', 'nothing', ...tenant)).toBe('unknown_device');
  });

  it('stops, releases and ends them, one or all of a make, and says how many', async () => {
    const { deviceId, accessToken, refreshToken } = await pairDevice(server, acme, {
      form: { ...form, device_model: 'K9' },
    });
    const isActive = async () => (await introspect(acme, acme.clients.device, accessToken)).json['active'];
    expect(await answered('quarantine', deviceId, ...tenant, '--reason', 'odd')).toMatchObject({ changed: true });
    expect(await answered('quarantine', deviceId, ...tenant)).toMatchObject({ changed: false });
    expect(await isActive()).toBe(false);
    expect(await answered('release', ...tenant, '--model', 'K9')).toMatchObject({ changed: 1 });
    expect(await isActive()).toBe(true);
    expect(await answered('revoke', ...tenant, '--model', 'K9', '--firmware', '1.0')).toMatchObject({ changed: 1 });
    expect((await refresh(acme, acme.clients.device, refreshToken)).json).toMatchObject({ error: 'invalid_grant' });
    expect(await refused('release', deviceId, ...tenant)).toBe('retired');
    expect(await refused('revoke', ...tenant)).toBe('wrong_usage');
    expect(await refused('revoke', deviceId, ...tenant, '--model', 'K9')).toBe('wrong_usage');
  });

  it('tells which will fall silent', async () => {
    const { deviceId } = await pairDevice(server, acme, { form });
    expect((await answered('forecast', ...tenant, '--days', '30'))['devices']).toEqual([]);
    const { devices } = await answered('forecast', ...tenant, '--days', '91');
    expect(devices).toEqual(expect.arrayContaining([expect.objectContaining({ id: deviceId, reason: 'silent' })]));
  });
});
