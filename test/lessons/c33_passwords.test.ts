/**
 * Row C33, denial of service by the size and shape of what is sent (Keycloak CVE-2024-11734, Auth.js GHSA-xmf8-cvqr-rfgj, Logto
 * c98403862a), for what people type as a password: however long or strange, it costs one bounded piece of work, is never cut off, is
 * answered like any wrong one, and the queue in front of the hashing has an end.
 */
import { judgePassword } from '#src/flows/people/judge_password.ts';
import { scorePassword } from '#src/foundation/password_strength.ts';
import { defaultPeopleSettings } from '#test/support/people_settings.ts';
import { processorTime } from '#test/support/processor_time.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, createUserAgent, introspect, type Page, readForm } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let addresses = 0;

beforeAll(async () => {
  server = await startTestServer({
    logLevel: 'trace',
    environment: { POORT_TRUSTED_PROXIES: '127.0.0.0/8,::1/128' },
    // Slow enough that a crowd meets itself, and a queue of two.
    change: (config) => ({
      ...config,
      passwordHashing: {
        ...config.passwordHashing,
        memoryKibibytes: 65_536,
        passes: 3,
        queueLength: 2,
        concurrency: 1,
      },
    }),
  });
  acme = await createTestTenant(server, 'acme');
});

afterAll(() => server.close());

function newBrowser() {
  addresses += 1;
  return createUserAgent(server.origin, { 'x-forwarded-for': `198.18.${addresses >> 8}.${addresses & 255}` });
}

async function tryPassword(password: string, email = acme.person.email): Promise<Page> {
  const agent = newBrowser();
  const page = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
  return agent.submit(page, { email, password });
}

/** Without what is another one on every page. */
const shown = ({ body }: Page): string =>
  body.replaceAll(/name="csrf" value="[^"]*"|\/interaction\/[\w-]+|interaction=[\w-]+|nonce-[\w-]+|nonce="[^"]*"/g, '');

const isSignedIn = (page: Page): boolean => new URL(page.url).searchParams.has('code');

describe('C33: a password that is typed', () => {
  it.each([
    ['of 1024 bytes', 'x'.repeat(1024)],
    ['of more bytes than are hashed', 'x'.repeat(1025)],
    ['of characters that are hashed as eighteen each', '\ufdfa'.repeat(341)],
    ['of combining marks', `a${'\u0301'.repeat(500)}`],
  ])('%s is answered like any wrong one', async (_what, password) => {
    const wrong = await tryPassword('certainly wrong');
    const strange = await tryPassword(password);
    expect([strange.status, shown(strange)]).toEqual([wrong.status, shown(wrong)]);
    expect(strange.body).not.toContain(password.slice(0, 100));
  });

  it.each([
    ['that no hash is made of', 'x'.repeat(60_000)],
    ['with a NUL', 'correct horse\0battery'],
  ])('%s is refused as no sensible form, for whomever it is', async (_what, password) => {
    for (const email of [acme.person.email, 'nobody@acme.test']) {
      const page = await tryPassword(password, email);
      expect([page.status, page.body.includes('The form is not as expected: password.')]).toEqual([400, true]);
      expect(page.body).not.toContain(password.slice(0, 14));
    }
  });

  it('beyond the size of a request is refused before it is read', async () => {
    const agent = newBrowser();
    const page = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
    const { action, hidden } = readForm(page);
    const answer = await agent.request(new URL(action, page.url).href, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        origin: server.origin,
        'sec-fetch-site': 'same-origin',
      },
      body: new URLSearchParams({ ...hidden, email: acme.person.email, password: 'x'.repeat(2_000_000) }).toString(),
    });
    expect(answer.status).toBe(413);
    expect(server.server.house.passwords.statistics()).toEqual({ running: 0, waiting: 0 });
  });

  it('is not the right one because it begins with it', async () => {
    expect(isSignedIn(await tryPassword(`${acme.person.password}${'x'.repeat(1024)}`))).toBe(false);
    expect(isSignedIn(await tryPassword(`${acme.person.password} `))).toBe(false);
    expect(isSignedIn(await tryPassword(acme.person.password))).toBe(true);
  });

  it('by a crowd waits in a queue with an end; beyond it people are told when to come back, and nobody else waits', async () => {
    const before = process.memoryUsage().rss;
    const browsers = Array.from({ length: 24 }, newBrowser);
    const pages = await Promise.all(
      browsers.map((agent) => agent.follow(authorizationRequest(acme, acme.clients.web).url)),
    );
    let waited = 0;
    const answers = Promise.all(
      browsers.map(async (agent, index) => {
        const page = pages[index];
        if (page === undefined) throw new Error('a page for each');
        const answer = await agent.submit(page, { email: `nobody-${index}@acme.test`, password: 'certainly wrong' });
        waited = Math.max(waited, server.server.house.passwords.statistics().waiting);
        return answer;
      }),
    );
    // Beside the crowd, a resource server is answered.
    expect((await introspect(acme, acme.clients.web, 'at_unknown')).status).toBe(200);
    const statuses = (await answers).map(({ status, headers }) => [status, headers.get('retry-after') !== null]);
    const told = statuses.filter(([status]) => status === 503);
    expect(told.length).toBeGreaterThan(0);
    expect(statuses.filter(([status]) => status === 400).length).toBeGreaterThanOrEqual(3);
    expect(statuses.every(([status, retryAfter]) => (status === 503) === retryAfter)).toBe(true);
    expect(statuses.every(([status]) => status === 503 || status === 400)).toBe(true);
    expect(waited).toBeLessThanOrEqual(2);
    expect(server.server.house.passwords.statistics()).toEqual({ running: 0, waiting: 0 });
    // One hash at a time is one piece of memory; 24 of them would be a gigabyte and a half.
    expect(process.memoryUsage().rss - before).toBeLessThan(512 * 1024 * 1024);
  });

  it('stands in no log and no event', async () => {
    const events = await queryAsSuperuser<{ row: string }>(
      server.database,
      'select to_json(e)::text as row from events e where tenant_id = $1',
      [acme.id],
    );
    const written = JSON.stringify(server.log) + events.map(({ row }) => row).join();
    expect(events.length).toBeGreaterThan(5);
    expect(written).not.toMatch(/certainly wrong|correct horse|x{100}|\$argon2id/);
  });
});

describe('C33: a password that is to be set', () => {
  // The dictionaries, which are loaded once.
  beforeAll(() => scorePassword('anything', []));

  it.each(['p4ssw0rd', '1l|!', '0123456789', '@4$5!1|', '01/02/1999', 'qwertyuiop[]', '\ufdfa', 'a'])(
    'is judged soon, however it is made to take time: %j over and over',
    async (unit) => {
      const judging = () =>
        judgePassword(server.context, {
          settings: { ...defaultPeopleSettings, 'password.minimum_strength': 4 },
          person: {
            email: `${'a.b4.c'.repeat(10)}@${'l33t.'.repeat(40)}test`,
            givenName: 'p4ss '.repeat(20),
            familyName: 'w0rd '.repeat(20),
            username: unit.repeat(12),
          },
          tenant: { name: unit.repeat(8), slug: 'acme' },
          password: unit.repeat(1024).slice(0, 341),
          hasSecondFactor: false,
        });
      // A tenth of a second; without the bounds two seconds and more.
      expect(await processorTime(judging)).toBeLessThan(1500);
    },
  );
});
