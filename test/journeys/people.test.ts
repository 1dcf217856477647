import { hash as hashWithBcrypt } from '@node-rs/bcrypt';
import { addMember, changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { signIn } from '#src/flows/sign_in/sign_in.ts';
import { createPasswordHasher } from '#src/foundation/password_hashing.ts';
import { placeAt, signInServicesOf } from '#test/support/sign_in.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { createMovableClock, type MovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, createUserAgent, type Page, type UserAgent } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

interface Credentials {
  readonly email: string;
  readonly password: string;
}

describe('signing in', () => {
  let server: TestServer;
  let acme: TestTenant;
  let globex: TestTenant;
  let time: MovableClock;
  let lastAddress = 0;

  beforeAll(async () => {
    time = createMovableClock();
    server = await startTestServer({
      clock: time.clock,
      environment: { POORT_TRUSTED_PROXIES: '127.0.0.0/8,::1/128' },
    });
    acme = await createTestTenant(server, 'acme');
    globex = await createTestTenant(server, 'globex');
  });

  afterAll(() => server.close());

  /** Everybody in these tests comes from an address of their own, so that no test counts for another. */
  const newAddress = (): string => {
    lastAddress += 1;
    return `198.51.${Math.floor(lastAddress / 250)}.${(lastAddress % 250) + 1}`;
  };
  const browserAt = (address: string): UserAgent => createUserAgent(server.origin, { 'x-forwarded-for': address });
  const tryPassword = async (credentials: Credentials, address = newAddress()): Promise<Page> => {
    const agent = browserAt(address);
    const page = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
    return agent.submit(page, { email: credentials.email, password: credentials.password });
  };
  const isSignedIn = (page: Page): boolean => new URL(page.url).searchParams.get('code')?.startsWith('ac_') === true;
  const newMember = async (name: string, password = `password of ${name}`) => {
    const email = `${name}@people.test`;
    const added = await addMember(server.context, { tenantId: acme.id, email, password, roles: [], verified: true });
    if (added.outcome === 'refused') throw new Error(added.reason);
    return { id: added.userId, email, password };
  };
  const attemptEvents = () =>
    readEvents(server.database, { tenantId: acme.id, types: ['user.signed_in', 'user.sign_in_failed'] });
  const counts = async (): Promise<readonly number[]> => {
    const rows = await queryAsSuperuser<{ attempts: number }>(
      server.database,
      'select attempts from sign_in_attempts where tenant_id = $1 order by attempts desc',
      [acme.id],
    );
    return rows.map(({ attempts }) => attempts);
  };
  const forgetCounts = () => queryAsSuperuser(server.database, 'delete from sign_in_attempts');

  beforeEach(forgetCounts);

  describe('that fails', () => {
    it('looks the same whatever the reason', async () => {
      const disabled = await newMember('disabled');
      await changeMembershipStatus(server.context, { tenantId: acme.id, email: disabled.email, status: 'disabled' });
      const passwordless = await newMember('passwordless');
      await queryAsSuperuser(server.database, 'update users set password_hash = null where id = $1', [passwordless.id]);
      const disabledPerson = await newMember('disabled-person');
      await queryAsSuperuser(server.database, "update users set status = 'disabled' where id = $1", [
        disabledPerson.id,
      ]);

      const cases: Readonly<Record<string, Credentials>> = {
        'nobody has this address': { email: 'nobody@people.test', password: 'some password' },
        'the password is wrong': { email: acme.person.email, password: 'not the password' },
        'the membership is disabled': disabled,
        'the person is disabled': disabledPerson,
        'the person belongs to another tenant': globex.person,
        'the person has no password': { email: passwordless.email, password: 'anything at all' },
        'the address is none': { email: 'no address', password: 'some password' },
      };
      const answers = await Promise.all(
        Object.entries(cases).map(async ([name, credentials]) => {
          const { status, headers, body } = await tryPassword(credentials);
          return { name, status, headers: comparableHeaders(headers), body: comparableBody(body, credentials.email) };
        }),
      );
      const [first] = answers;
      expect(first?.status).toBe(400);
      expect(first?.body).toContain('name="password"');
      for (const { name, ...answer } of answers) expect({ name, ...answer }).toEqual({ ...first, name });
    });

    it('takes as long for an unknown address as for a known one', async () => {
      const known = await newMember('timed');
      const request = (email: string) => ({
        ...placeAt(acme, { origin: { ip: newAddress() } }),
        email,
        password: 'certainly wrong',
      });
      // The flow itself, with hashing as expensive as in production: over HTTP the rest would hide the difference.
      const services = {
        ...signInServicesOf(server),
        passwords: createPasswordHasher({ memoryKibibytes: 19_456, passes: 2, lanes: 1, queueLength: 64 }),
        settings: { ...server.config.signIn, maximumPerIdentifier: 1_000 },
      };
      const stored = await services.passwords.hash(known.password);
      await queryAsSuperuser(server.database, 'update users set password_hash = $2 where id = $1', [known.id, stored]);
      const timed = async (email: string): Promise<number> => {
        const startedAt = performance.now();
        const { outcome } = await signIn(services, request(email));
        expect(outcome).toBe('refused');
        return performance.now() - startedAt;
      };
      const times: { known: number[]; unknown: number[] } = { known: [], unknown: [] };
      for (let round = 0; round < 30; round += 1) {
        times.known.push(await timed(known.email));
        times.unknown.push(await timed(`nobody-${round}@people.test`));
      }
      const [forKnown, forUnknown] = [median(times.known), median(times.unknown)];
      expect(Math.abs(forKnown - forUnknown) / Math.max(forKnown, forUnknown)).toBeLessThan(0.3);
    });

    it('is recorded with its reason, the person where there is one, and nothing that was typed', async () => {
      const member = await newMember('recorded');
      const address = newAddress();
      await tryPassword({ email: 'stranger@people.test', password: 'typed-by-a-stranger' }, address);
      await tryPassword({ email: member.email, password: 'typed-by-the-person' }, address);
      await tryPassword(member, address);
      const events = (await attemptEvents()).filter(({ ip }) => ip === address);
      expect(events).toMatchObject([
        { type: 'user.sign_in_failed', outcome: 'failure', reason: 'unknown_account', target_id: null },
        { type: 'user.sign_in_failed', outcome: 'failure', reason: 'wrong_password', target_id: member.id },
        { type: 'user.signed_in', outcome: 'success', actor_id: member.id, data: { amr: ['pwd'] } },
      ]);
      for (const event of events) {
        expect(event.client_id).toBe(acme.clients.web.clientId);
        expect(JSON.stringify(event)).not.toMatch(/people\.test|typed-by|password of/);
      }
    });
  });

  describe('too often', () => {
    it.each([
      ['a person', 'throttled@people.test'],
      ['an address nobody has', 'no-such-person@people.test'],
    ])('is refused after five wrong tries for %s, also with the right password', async (_name, email) => {
      const known = email.startsWith('throttled') ? await newMember('throttled') : { email, password: 'right' };
      const address = newAddress();
      for (let attempt = 1; attempt <= 5; attempt += 1)
        expect((await tryPassword({ email, password: `wrong ${attempt}` }, address)).status).toBe(400);
      for (const password of ['wrong again', known.password]) {
        const refused = await tryPassword({ email, password }, address);
        expect(refused.status).toBe(429);
        expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
        expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(900);
        expect(isSignedIn(refused)).toBe(false);
      }
    });

    it('counts every spelling of one address together', async () => {
      const member = await newMember('spelled');
      const address = newAddress();
      for (const email of [
        'SPELLED@people.test',
        ' spelled@people.test ',
        'Spelled@People.Test',
        'ｓpelled@people.test',
      ])
        await tryPassword({ email, password: 'wrong' }, address);
      await tryPassword({ email: member.email, password: 'wrong' }, address);
      expect((await tryPassword(member, address)).status).toBe(429);
    });

    it('does not keep the same person out elsewhere', async () => {
      const member = await newMember('elsewhere');
      const address = newAddress();
      for (let attempt = 1; attempt <= 6; attempt += 1)
        await tryPassword({ email: member.email, password: 'wrong' }, address);
      expect((await tryPassword(member, address)).status).toBe(429);
      expect(isSignedIn(await tryPassword(member))).toBe(true);
    });

    it('is over when the window has passed, which tries in between do not prolong', async () => {
      const member = await newMember('patient');
      const address = newAddress();
      for (let attempt = 1; attempt <= 6; attempt += 1)
        await tryPassword({ email: member.email, password: 'wrong' }, address);
      time.advance(890);
      const refused = await tryPassword(member, address);
      expect(refused.status).toBe(429);
      expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(10);
      time.advance(11);
      expect(isSignedIn(await tryPassword(member, address))).toBe(true);
    });

    it('starts from nothing after a success', async () => {
      const member = await newMember('forgiven');
      const address = newAddress();
      for (let attempt = 1; attempt <= 4; attempt += 1)
        await tryPassword({ email: member.email, password: 'wrong' }, address);
      expect(await counts()).toEqual([4, 4, 4, 4]);
      expect(isSignedIn(await tryPassword(member, address))).toBe(true);
      // This person at this address is clear; what was tried before still counts for each of the two, and the tenant.
      expect(await counts()).toEqual([4, 4, 4]);
      for (let attempt = 1; attempt <= 5; attempt += 1)
        expect((await tryPassword({ email: member.email, password: 'wrong' }, address)).status).toBe(400);
    });

    it('is counted exactly when a hundred guesses come at once', async () => {
      const member = await newMember('guessed');
      const address = newAddress();
      const guess = (password: string) =>
        signIn(signInServicesOf(server), {
          ...placeAt(acme, { origin: { ip: address } }),
          email: member.email,
          password,
        });
      const outcomes = await Promise.all(Array.from({ length: 100 }, (_, index) => guess(`guess ${index}`)));
      expect(outcomes.filter(({ outcome }) => outcome === 'refused')).toHaveLength(5);
      expect(outcomes.filter(({ outcome }) => outcome === 'throttled')).toHaveLength(95);
      // Who is stopped goes on counting against nobody else: see the next test.
      expect(await counts()).toEqual([6, 5, 5, 5]);
      const reasons = (await attemptEvents()).filter(({ ip }) => ip === address).map(({ reason }) => reason);
      expect(reasons.filter((reason) => reason === 'wrong_password')).toHaveLength(5);
      // A flood is told of once for each lock, not once for each guess.
      expect(reasons.filter((reason) => reason === 'throttled')).toHaveLength(1);
      expect((await tryPassword(member, address)).status).toBe(429);
    });

    it('from one address keeps nobody out anywhere else', async () => {
      const member = await newMember('besieged');
      const attacker = newAddress();
      for (let guess = 0; guess < 60; guess += 1) await tryPassword({ ...member, password: 'wrong' }, attacker);
      expect((await tryPassword(member, attacker)).status).toBe(429);
      expect((await tryPassword(member, newAddress())).status).toBe(303);
    });

    it('is counted although the rest of the sign-in fails', async () => {
      const member = await newMember('interrupted');
      const address = newAddress();
      await queryAsSuperuser(server.database, 'revoke insert on events from poort_app');
      try {
        expect((await tryPassword(member, address)).status).toBe(500);
      } finally {
        await queryAsSuperuser(server.database, 'grant insert on events to poort_app');
      }
      expect(await counts()).toEqual([1, 1, 1, 1]);
      expect(isSignedIn(await tryPassword(member, address))).toBe(true);
    });
  });

  describe('with a password another product hashed', () => {
    it('succeeds, and the hash is one of ours from then on', async () => {
      const password = 'brought along from before';
      const member = await newMember('imported', password);
      const bcrypt = await hashWithBcrypt(password, { cost: 10 });
      await queryAsSuperuser(server.database, 'update users set password_hash = $2 where id = $1', [member.id, bcrypt]);
      const stored = async () =>
        (
          await queryAsSuperuser<{ password_hash: string }>(
            server.database,
            'select password_hash from users where id = $1',
            [member.id],
          )
        )[0]?.password_hash;

      expect(isSignedIn(await tryPassword({ ...member, password: 'something else' }))).toBe(false);
      expect(await stored()).toBe(bcrypt);
      expect(isSignedIn(await tryPassword(member))).toBe(true);
      const rehashed = await stored();
      expect(rehashed).toMatch(/^\$argon2id\$v=19\$/);
      expect(isSignedIn(await tryPassword(member))).toBe(true);
      expect(await stored()).toBe(rehashed);
    });
  });

  describe('to a tenant', () => {
    it('needs a membership there, and the same person may have several', async () => {
      const both = await newMember('both');
      expect(isSignedIn(await tryPassword(globex.person))).toBe(false);
      const agent = browserAt(newAddress());
      const page = await agent.follow(authorizationRequest(globex, globex.clients.web).url);
      expect((await agent.submit(page, { email: both.email, password: both.password })).status).toBe(400);

      await addMember(server.context, { tenantId: globex.id, email: both.email, roles: [], verified: false });
      expect(isSignedIn(await tryPassword(both))).toBe(true);
      const again = await agent.follow(authorizationRequest(globex, globex.clients.web).url);
      expect(isSignedIn(await agent.submit(again, { email: both.email, password: both.password }))).toBe(true);
    });
  });
});

describe('signing in to a busy server', () => {
  let server: TestServer;
  let acme: TestTenant;

  beforeAll(async () => {
    server = await startTestServer({
      environment: { POORT_TRUSTED_PROXIES: '127.0.0.0/8,::1/128' },
      change: (config) => ({
        ...config,
        passwordHashing: {
          ...config.passwordHashing,
          memoryKibibytes: 65_536,
          passes: 4,
          queueLength: 1,
          concurrency: 1,
        },
      }),
    });
    acme = await createTestTenant(server, 'acme');
  });

  afterAll(() => server.close());

  it('is answered with 503 and when to come back, and writes nothing but the count', async () => {
    const agents = Array.from({ length: 8 }, (_, index) =>
      createUserAgent(server.origin, { 'x-forwarded-for': `203.0.113.${index + 1}` }),
    );
    const pages = await Promise.all(
      agents.map((agent) => agent.follow(authorizationRequest(acme, acme.clients.web).url)),
    );
    const answers = await Promise.all(
      agents.map(async (agent, index) => ({
        address: `203.0.113.${index + 1}`,
        page: await agent.submit(pages[index] as Page, {
          email: acme.person.email,
          password: acme.person.password,
        }),
      })),
    );
    const busy = answers.filter(({ page }) => page.status === 503);
    const done = answers.filter(({ page }) => page.status === 303);
    expect(busy.length).toBeGreaterThan(0);
    expect(done.length).toBeGreaterThan(0);
    expect(busy.length + done.length).toBe(answers.length);
    for (const { page } of busy) {
      expect(Number(page.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(page.body).toContain('name="password"');
    }
    const events = await readEvents(server.database, {
      tenantId: acme.id,
      types: ['user.signed_in', 'user.sign_in_failed'],
    });
    expect(events.map(({ ip }) => ip).sort()).toEqual(done.map(({ address }) => address).sort());

    const [{ address } = { address: '' }] = busy;
    const agent = createUserAgent(server.origin, { 'x-forwarded-for': address });
    const page = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
    const after = await agent.submit(page, { email: acme.person.email, password: acme.person.password });
    expect(new URL(after.url).searchParams.get('code')).toMatch(/^ac_/);
  });
});

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Headers without those that differ from request to request for everybody. */
function comparableHeaders(headers: Headers): Readonly<Record<string, string>> {
  const ignored = new Set(['date', 'x-request-id', 'content-length', 'set-cookie']);
  return Object.fromEntries([...headers].filter(([name]) => !ignored.has(name)));
}

/** The page without what belongs to this one request: its interaction, tokens, request id and what was typed. */
function comparableBody(body: string, typed: string): string {
  return body
    .replaceAll(/\/interaction\/[\w-]+/g, '/interaction/…')
    .replaceAll(/\?interaction=[\w-]+/g, '?interaction=…')
    .replaceAll(/name="csrf" value="[^"]*"/g, 'name="csrf" value="…"')
    .replaceAll(/(&#34;challenge&#34;:&#34;)[\w-]+/g, '$1…')
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'request-id')
    .replaceAll(typed, 'typed');
}
