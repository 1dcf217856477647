/** A person and their API keys, on the pages of the account and without JavaScript. */
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { callApi } from '#test/support/api_calls.ts';
import { openOwnPage } from '#test/support/own_pages.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createUserAgent, type Page, readForm } from '#test/support/user_agent.ts';
import { createTestTenant, newPerson, type TestTenant } from '#test/support/world.ts';

const time = createMovableClock();
let server: TestServer;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer({ clock: time.clock });
  acme = await createTestTenant(server, 'acme');
});

afterAll(() => server.close());

const shownKey = (page: Page): string | undefined => /<code id="api-key">([^<]+)</.exec(page.body)?.[1];
const open = (path: string, person: { email: string; password: string } = acme.person) =>
  openOwnPage(server, acme, { person, path: `/account${path}`, agent: createUserAgent(server.origin) });
const use = async (key: string | undefined) => callApi(acme.issuer, '/service/status', { key: String(key) });

describe('a person', () => {
  it('makes a key that is shown once, sees what it was used for, and deletes it', async () => {
    const { agent, page } = await open('/api-keys/new');
    const made = await agent.submit(page, { name: 'Nachtdienst', scopes: 'users:read  roles:read', days: '30' });
    const key = shownKey(made);
    expect(made.status).toBe(200);
    expect(key).toMatch(/^pk_[\w-]{43}$/);
    expect((await use(key)).json).toMatchObject({ key: { name: 'Nachtdienst', scopes: ['users:read', 'roles:read'] } });
    await server.server.apiKeys.flush();
    const list = await agent.follow(`${acme.issuer}/account/api-keys`);
    expect(list.body).toContain('Nachtdienst');
    expect(list.body).toContain('users:read, roles:read');
    expect(list.body).toContain('127.0.0.1');
    expect(list.body).not.toContain(String(key));
    const deleted = await agent.submit(list, {});
    expect(deleted.url).toBe(`${acme.issuer}/account/api-keys?done=deleted`);
    expect(deleted.body).not.toContain('Nachtdienst');
    while ((await use(key)).status !== 401);
    expect((await agent.submit(list, {})).url).toContain('done=gone');
  });

  it('who sends the form twice has one key', async () => {
    const { agent, page } = await open('/api-keys/new', await newPerson(server, acme));
    const fields = { name: 'once', scopes: '', days: '1' };
    const answers = await Promise.all([agent.submit(page, fields), agent.submit(page, fields)]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 400]);
    expect(answers.filter((answer) => shownKey(answer) !== undefined)).toHaveLength(1);
  });

  it('is told what is wrong, and keeps what they typed', async () => {
    const { agent, page } = await open('/api-keys/new', await newPerson(server, acme));
    for (const [fields, ids] of [
      [{ name: '', scopes: '', days: '1' }, ['name']],
      [{ name: 'x', scopes: 'users:write nonsense', days: '1' }, ['scopes']],
      [{ name: 'x', scopes: '', days: '366' }, ['days']],
      [{ name: 'x', scopes: 'nonsense', days: 'soon' }, ['scopes', 'days']],
    ] as const) {
      const refused = await agent.submit(page, fields);
      expect(refused.status).toBe(400);
      for (const id of ids) expect(refused.body).toContain(`href="#${id}"`);
      expect(shownKey(refused)).toBeUndefined();
      if (fields.scopes !== '') expect(refused.body).toContain(`value="${fields.scopes}"`);
    }
  });

  it('deletes nobody else’s', async () => {
    const owner = await newPerson(server, acme);
    const made = await open('/api-keys/new', owner);
    const key = shownKey(await made.agent.submit(made.page, { name: 'theirs', scopes: '', days: '1' }));
    const list = await made.agent.follow(`${acme.issuer}/account/api-keys`);
    const id = readForm(list).hidden['key'] ?? '';
    const stranger = await open('/api-keys/new', await newPerson(server, acme));
    await stranger.agent.submit(stranger.page, { name: 'mine', scopes: '', days: '1' });
    const mine = await stranger.agent.follow(`${acme.issuer}/account/api-keys`);
    expect((await stranger.agent.submit(mine, { key: id })).url).toContain('done=gone');
    expect((await use(key)).status).toBe(200);
  });

  it('of a tenant where nobody makes keys is not offered to, and cannot', async () => {
    const closed = await createTestTenant(server, 'closed');
    const changes = [{ name: 'api_keys.makers', value: 'nobody' } as const];
    expect(await configureTenant(server.context, { id: closed.id, changes })).toEqual({ outcome: 'changed' });
    const visit = (path: string) => openOwnPage(server, closed, { person: closed.person, path: `/account${path}` });
    const { page: list } = await visit('/api-keys');
    expect(list.body).not.toContain('/account/api-keys/new');
    const { agent, page } = await visit('/api-keys/new');
    const refused = await agent.submit(page, { name: 'x', scopes: '', days: '1' });
    expect({ status: refused.status, key: shownKey(refused) }).toEqual({ status: 400, key: undefined });
  });

  // Last: the clock of the server does not go back.
  it('signs in anew before making one, and not before looking at them', async () => {
    const person = await newPerson(server, acme);
    const { agent, page } = await open('/api-keys/new', person);
    time.advance(301);
    const asked = await agent.submit(page, { name: 'x', scopes: '', days: '1' });
    expect(asked.body).toContain('name="password"');
    const list = await agent.follow(`${acme.issuer}/account/api-keys`);
    expect(list.url).toBe(`${acme.issuer}/account/api-keys`);
    expect(list.body).not.toContain('name="key"');
  });
});
