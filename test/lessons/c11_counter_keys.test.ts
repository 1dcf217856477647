/**
 * Row C11, counters under the wrong key: another spelling of the account (Authelia CVE-2025-24806, CVE-2026-47203), of the address
 * (better-auth CVE-2026-45364, #10203) or of the route (#10004) must not be a new allowance, a count is a number (Logto: '10' + 1), and
 * a lock is not prolonged by trying on (casdoor 5eec173f8, Keycloak CVE-2024-4629).
 */
import { randomUUID } from 'node:crypto';
import { addMember } from '#src/flows/people/manage_people.ts';
import { sendRaw } from '#test/support/raw_http.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, createUserAgent, type Page, readForm } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const time = createMovableClock();
let server: TestServer;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer({ clock: time.clock, environment: { POORT_TRUSTED_PROXIES: '127.0.0.0/8,::1/128' } });
  acme = await createTestTenant(server, 'acme');
});

afterAll(() => server.close());

const newMember = async (name: string) => {
  const member = { email: `${name}@people.test`, password: 'the right password' };
  const added = await addMember(server.context, { tenantId: acme.id, ...member, roles: [], verified: true });
  if (added.outcome === 'refused') throw new Error(added.reason);
  return member;
};

async function tryPassword(email: string, address: string, password = 'wrong'): Promise<Page> {
  const agent = createUserAgent(server.origin, { 'x-forwarded-for': address });
  const page = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
  return agent.submit(page, { email, password });
}

const statusesOf = async (
  tries: readonly (readonly [email: string, address: string])[],
): Promise<readonly number[]> => {
  const statuses: number[] = [];
  for (const [email, address] of tries) statuses.push((await tryPassword(email, address)).status);
  return statuses;
};

const five = [400, 400, 400, 400, 400];

describe('C11: an account', () => {
  it('is one, however it is spelled', async () => {
    const spellings = [
      'ada.spelled@people.test',
      'ADA.Spelled@People.Test',
      '  ada.spelled@people.test ',
      'ａda.spelled@people.test',
      'ada.spelled＠people.test',
      'Ada.SpelleD@PEOPLE.TEST',
    ];
    expect(await statusesOf(spellings.map((email) => [email, '192.0.2.1']))).toEqual([...five, 429]);
  });

  it('is counted whether or not there is one, with the same answer', async () => {
    const member = await newMember('known');
    const answers = await Promise.all(
      [member.email, 'unknown@people.test'].map(async (email, index) => {
        const address = `192.0.2.${index + 10}`;
        await statusesOf(Array.from({ length: 5 }, () => [email, address]));
        const { status, headers, body } = await tryPassword(email, address, member.password);
        const text = body.replaceAll(email, 'typed').replaceAll(/value="[^"]*"|[\w-]{36,}/g, '');
        return { status, type: headers.get('content-type'), retryAfter: headers.has('retry-after'), text };
      }),
    );
    expect(answers[0]).toEqual(answers[1]);
    expect(answers[0]).toMatchObject({ status: 429, retryAfter: true });
  });
});

describe('C11: an account under attack', () => {
  it('is open to its owner in a browser that was theirs before, and to nobody in another one', async () => {
    const member = await newMember('besieged');
    const owner = createUserAgent(server.origin, { 'x-forwarded-for': '192.0.2.60' });
    const signIn = async (password: string, agent = owner): Promise<Page> => {
      const request = authorizationRequest(acme, acme.clients.web, { prompt: 'login' });
      return agent.submit(await agent.follow(request.url), { email: member.email, password });
    };
    const isSignedIn = (page: Page): boolean => new URL(page.url).searchParams.has('code');
    expect(isSignedIn(await signIn(member.password))).toBe(true);
    const crowd = Array.from({ length: 51 }, (_, index) => [member.email, `203.0.113.${index + 1}`] as const);
    expect((await statusesOf(crowd)).at(-1)).toBe(429);

    const elsewhere = createUserAgent(server.origin, { 'x-forwarded-for': '192.0.2.61' });
    expect((await signIn(member.password, elsewhere)).status).toBe(429);
    expect((await signIn('wrong')).status).toBe(400);
    expect(isSignedIn(await signIn(member.password))).toBe(true);
    // Somebody else's browser is none of hers, and a cookie that was made up is none at all.
    const stranger = await newMember('stranger');
    const theirs = createUserAgent(server.origin, { 'x-forwarded-for': '192.0.2.62' });
    const request = authorizationRequest(acme, acme.clients.web, { prompt: 'login' });
    const own = { email: stranger.email, password: stranger.password };
    expect(isSignedIn(await theirs.submit(await theirs.follow(request.url), own))).toBe(true);
    expect((await signIn(member.password, theirs)).status).toBe(429);
    const forging = createUserAgent(server.origin, {
      'x-forwarded-for': '192.0.2.63',
      cookie: owner
        .cookies()
        .map((cookie) => cookie.replace(/=.*/, `=${'A'.repeat(43)}`))
        .join('; '),
    });
    expect((await signIn(member.password, forging)).status).not.toBe(303);
  });

  it('is one account under its address and its name', async () => {
    const member = await newMember('named');
    await queryAsSuperuser(
      server.database,
      `update memberships m set username = 'Naamloos', username_canonical = 'naamloos' from users u
        where u.id = m.user_id and u.email_canonical = $1`,
      [member.email],
    );
    const typed = [member.email, 'naamloos', 'NAAMLOOS', member.email, 'Naamloos'];
    expect(await statusesOf(typed.map((email) => [email, '192.0.2.70']))).toEqual(five);
    for (const email of [member.email, 'naamloos'])
      expect((await tryPassword(email, '192.0.2.70', member.password)).status).toBe(429);
  });
});

describe('C11: an address', () => {
  it('is one IPv6 network, and an IPv4 address in whatever form', async () => {
    const network = Array.from(
      { length: 6 },
      (_, host) => ['v6@people.test', `2001:db8:7:7:${host}::${host}`] as const,
    );
    expect(await statusesOf(network)).toEqual([...five, 429]);
    const forms = ['192.0.2.20', '::ffff:192.0.2.20', '::FFFF:c000:214', '192.0.2.20', '[::ffff:192.0.2.20]:443'];
    const tries = [...forms, '192.0.2.20'].map((address) => ['v4@people.test', address] as const);
    expect(await statusesOf(tries)).toEqual([...five, 429]);
  });

  it('is what the nearest proxy of ours says, whatever stands before it', async () => {
    const chains = Array.from({ length: 6 }, (_, index) => `203.0.113.${index}, 10.0.0.${index}, 192.0.2.30`);
    expect(await statusesOf(chains.map((chain) => ['chain@people.test', chain]))).toEqual([...five, 429]);
  });

  it('is that of the connection where nobody is believed', async () => {
    const alone = await startTestServer();
    const tenant = await createTestTenant(alone, 'globex');
    const statuses: number[] = [];
    for (let index = 0; index < 6; index += 1) {
      const agent = createUserAgent(alone.origin, {
        'x-forwarded-for': `203.0.113.${index}`,
        forwarded: `for=203.0.113.${index}`,
      });
      const page = await agent.follow(authorizationRequest(tenant, tenant.clients.web).url);
      statuses.push((await agent.submit(page, { email: tenant.person.email, password: 'wrong' })).status);
    }
    await alone.close();
    expect(statuses).toEqual([...five, 429]);
  });
});

describe('C11: a route', () => {
  const countedAttempts = async (): Promise<number> => {
    const [row] = await queryAsSuperuser<{ n: number }>(
      server.database,
      'select coalesce(sum(attempts), 0)::int as n from sign_in_attempts',
    );
    return row?.n ?? Number.NaN;
  };

  /** Of one path: everything that a lenient router might take for it. */
  const spellingsOf = (path: string): readonly string[] => {
    const uid = path.split('/').at(-1) ?? '';
    return [
      `/${path}`,
      path.replace('/interaction/', '//interaction/'),
      path.replace('/interaction/', '/interaction//'),
      path.replace('/t/', '//t/'),
      `${path}/`,
      `${path}//`,
      `${path}/.`,
      `${path}/x/..`,
      path.replace('/interaction', '/Interaction'),
      path.replace('/t/', '/T/'),
      path.replace('/acme/', '/ACME/'),
      path.replace('interaction', '%69nteraction'),
      path.replace('/interaction/', '%2Finteraction/'),
      path.replace('/interaction/', '/interaction%2F'),
      path.replace('/interaction/', '/./interaction/'),
      path.replace('/interaction/', '/x/../interaction/'),
      path.replace('/interaction/', '/interaction;a=b/'),
      `${path};jsessionid=1`,
      `${path}.html`,
      `${path}%20`,
      `${path}%23`,
      path.replace('/interaction/', '\\interaction\\'),
      path.replace(uid, `%${(uid.codePointAt(0) ?? 0).toString(16)}${uid.slice(1)}`),
    ];
  };

  it('leads to the sign-in by one spelling only; by another it judges no password that was not counted', async () => {
    const member = await newMember('routed');
    const agent = createUserAgent(server.origin, { 'x-forwarded-for': '192.0.2.40' });
    const page = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
    const form = readForm(page);
    const { pathname } = new URL(form.action, page.url);
    const cookie = agent.cookies(form.action).join('; ');
    const body = new URLSearchParams({ ...form.hidden, email: member.email, password: 'wrong' }).toString();
    const post = (target: string) =>
      sendRaw(server.config.http.port, {
        method: 'POST',
        target,
        headers: [
          ['Host', new URL(server.origin).host],
          ['Cookie', cookie],
          ['Origin', server.origin],
          ['Sec-Fetch-Site', 'same-origin'],
          ['X-Forwarded-For', '192.0.2.40'],
          ['Content-Type', 'application/x-www-form-urlencoded'],
        ],
        body,
      });
    const before = await countedAttempts();
    for (const target of spellingsOf(pathname)) {
      const counted = await countedAttempts();
      const { status, body: text } = await post(target);
      const judged = status === 200 || status === 303 || text.includes('name="password"');
      // One that is served after all (an escaped letter of the identifier) is the same page, and counts.
      expect({ target, uncounted: judged && (await countedAttempts()) === counted }).toEqual({
        target,
        uncounted: false,
      });
    }
    expect((await post(pathname)).status).toBe(400);
    expect(await countedAttempts()).toBeGreaterThan(before);
  });
});

describe('C11: a count', () => {
  it('is a number, in the database and above ten', async () => {
    const rows = await queryAsSuperuser<{ type: string }>(
      server.database,
      `select distinct data_type as type from information_schema.columns
        where table_name = 'sign_in_attempts' and column_name in ('attempts', 'locks')`,
    );
    expect(rows).toEqual([{ type: 'integer' }]);
    // Were '10' + 1 a hundred and one, the eleventh address would find the account locked.
    const email = `${randomUUID()}@people.test`;
    const statuses = await statusesOf(Array.from({ length: 15 }, (_, index) => [email, `192.0.2.${100 + index}`]));
    expect(new Set(statuses)).toEqual(new Set([400]));
  });
});

describe('C11: a lock', () => {
  it('is not prolonged by whoever tries on, and the next one is longer', async () => {
    const member = await newMember('patient');
    const address = '192.0.2.50';
    const lockedFor = async (): Promise<number> => {
      const { status, headers } = await tryPassword(member.email, address, member.password);
      return status === 429 ? Number(headers.get('retry-after')) : 0;
    };
    await statusesOf(Array.from({ length: 6 }, () => [member.email, address]));
    for (const remaining of [900, 600, 300]) {
      const told = await lockedFor();
      expect(told).toBeGreaterThan(remaining - 10);
      expect(told).toBeLessThanOrEqual(remaining);
      time.advance(300);
    }
    time.advance(1);
    // It was over: five more tries, and then twice as long.
    expect(await statusesOf(Array.from({ length: 6 }, () => [member.email, address]))).toEqual([...five, 429]);
    const told = await lockedFor();
    expect(told).toBeGreaterThan(1_790);
    expect(told).toBeLessThanOrEqual(1_800);
    time.advance(1_801);
    expect(await lockedFor()).toBe(0);
  });
});
