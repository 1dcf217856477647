/** A person at the pages of their devices: from a code to a name, to another owner, to the end. In a browser without script. */
import { createPairer } from '#test/support/device_pairing.ts';
import { pairDevice } from '#test/support/fleet.ts';
import { openOwnPage } from '#test/support/own_pages.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createUserAgent, type Page, refresh, type UserAgent } from '#test/support/user_agent.ts';
import { createTestTenant, type NewPerson, newPerson, type TestTenant } from '#test/support/world.ts';

const time = createMovableClock();
const path = '/account/devices';

let server: TestServer;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer({ clock: time.clock });
  acme = await createTestTenant(server, 'acme');
});

afterAll(() => server.close());

async function at(person: NewPerson): Promise<{ readonly agent: UserAgent; readonly page: Page }> {
  return openOwnPage(server, acme, { person, path, agent: createUserAgent(server.origin) });
}

/** What a button sends. */
async function press(agent: UserAgent, page: Page, fields: Readonly<Record<string, string>>): Promise<Page> {
  const csrf = /name="csrf" value="([^"]+)"/.exec(page.body)?.[1] ?? '';
  return agent.follow(`${acme.issuer}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', origin: server.origin },
    body: new URLSearchParams({ csrf, ...fields }).toString(),
  });
}

it('somebody without devices is told how to get one', async () => {
  const { page } = await at(await newPerson(server, acme));
  expect(page.status).toBe(200);
  expect(page.body).toContain(`href="/t/acme/device"`);
  expect(page.body).toContain('Typ die code in');
});

it('a device is found, looked at, named, and removed with all it had', async () => {
  const person = await newPerson(server, acme);
  const form = { scope: 'openid offline_access', device_name: 'Lamp', device_model: 'C3' };
  const device = await pairDevice(server, acme, { pairer: createPairer(server, acme, { person }), form });
  const { agent, page } = await at(person);
  expect(page.body).toContain('Lamp');
  const shown = await agent.follow(`${acme.issuer}${path}?device=${device.deviceId}`);
  expect(shown.body).toContain('C3');
  const wrong = await press(agent, shown, { device: device.deviceId, name: '\u202e' });
  expect(wrong.status).toBe(400);
  const named = await press(agent, shown, { device: device.deviceId, name: 'Bureaulamp' });
  expect(named.body).toContain('Bureaulamp');
  const removed = await press(agent, shown, { device: device.deviceId, remove: 'yes' });
  expect(removed.url).toContain('done=removed');
  expect(removed.body).not.toContain('Bureaulamp');
  expect((await refresh(acme, acme.clients.device, device.refreshToken)).json).toMatchObject({
    error: 'invalid_grant',
  });
});

it('another person’s device is not there, whatever is sent', async () => {
  const device = await pairDevice(server, acme);
  const person = await newPerson(server, acme);
  const own = await pairDevice(server, acme, { pairer: createPairer(server, acme, { person }) });
  const { agent } = await at(person);
  const page = await agent.follow(`${acme.issuer}${path}?device=${own.deviceId}`);
  expect((await agent.follow(`${acme.issuer}${path}?device=${device.deviceId}`)).status).toBe(404);
  for (const deed of [
    { name: 'mine' },
    { remove: 'yes' },
    { withdraw: 'yes' },
    { accept: 'yes' },
    { decline: 'yes' },
  ]) {
    const fields = { device: device.deviceId, ...deed } as Readonly<Record<string, string>>;
    expect((await press(agent, page, fields)).url).toContain('done=gone');
  }
  expect((await refresh(acme, acme.clients.device, device.refreshToken)).status).toBe(200);
});

it('a device goes to somebody who accepts it, freshly signed in', async () => {
  const [giver, taker] = [await newPerson(server, acme), await newPerson(server, acme)];
  const device = await pairDevice(server, acme, { pairer: createPairer(server, acme, { person: giver }) });
  const owner = await at(giver);
  const offered = await press(
    owner.agent,
    await owner.agent.follow(`${acme.issuer}${path}?device=${device.deviceId}`),
    {
      device: device.deviceId,
      offer_to: taker.email,
    },
  );
  expect(offered.url).toContain('done=offered');
  const other = await at(taker);
  expect(other.page.body).toContain(giver.email);
  time.advance(301);
  const asked = await press(other.agent, other.page, { device: device.deviceId, accept: 'yes' });
  expect(asked.body).toContain('name="password"');
  // The engine's own clock, by which somebody signs in, stands still.
  time.advance(-301);
  const back = await other.agent.submit(asked, { email: taker.email, password: taker.password });
  const accepted = await press(other.agent, back, { device: device.deviceId, accept: 'yes' });
  expect(accepted.url).toContain('done=accepted');
  expect((await owner.agent.follow(`${acme.issuer}${path}?device=${device.deviceId}`)).status).toBe(404);
  expect((await other.agent.follow(`${acme.issuer}${path}?device=${device.deviceId}`)).status).toBe(200);
});
