/**
 * Row C9, the half that counts: a failed attempt is written in a transaction of its own, so that nothing rolls it back (CVE-2026-35597),
 * codes have counters apart from passwords (Keycloak #46164, #50316), and a hundred guesses at once are counted exactly, over two
 * server processes that know of each other only what their store tells them. The same from PostgreSQL and from a real Redis.
 */
import { randomUUID } from 'node:crypto';
import { addMember } from '#src/flows/people/manage_people.ts';
import { countAttempt } from '#src/flows/sign_in/attempts.ts';
import { callServer, type Installation, startInstallation } from '#test/support/installation.ts';
import { type RedisServer, startRedisServer } from '#test/support/redis_server.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { authorizationRequest, createUserAgent, readForm } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const proxies = { POORT_TRUSTED_PROXIES: '127.0.0.0/8,::1/128' };

describe.each(['PostgreSQL', 'Redis'])('C9: guesses at two processes that count in %s', (store) => {
  let installation: Installation;
  let redis: RedisServer | undefined;
  let acme: TestTenant;

  beforeAll(async () => {
    redis = store === 'Redis' ? await startRedisServer() : undefined;
    const environment = { ...proxies, ...(redis === undefined ? {} : { POORT_REDIS_URL: redis.url }) };
    installation = await startInstallation({ environment });
    acme = await createTestTenant(installation.first, 'acme');
  });

  afterAll(async () => {
    await installation.close();
    await redis?.stop();
  });

  const newMember = async (): Promise<{ readonly email: string; readonly password: string }> => {
    const member = { email: `${randomUUID()}@people.test`, password: 'the right password' };
    const added = await addMember(installation.first.context, {
      tenantId: acme.id,
      ...member,
      roles: [],
      verified: true,
    });
    if (added.outcome === 'refused') throw new Error(added.reason);
    return member;
  };

  /** One browser with the sign-in page open, which any of the servers may be asked to judge. */
  async function openSignIn(address: string) {
    const agent = createUserAgent(installation.first.origin, { 'x-forwarded-for': address });
    const page = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
    const form = readForm(page);
    const url = new URL(form.action, page.url).href;
    const headers = {
      cookie: agent.cookies(url).join('; '),
      origin: installation.first.origin,
      'sec-fetch-site': 'same-origin',
      'x-forwarded-for': address,
    };
    return (port: number, email: string, password: string) =>
      callServer(port, url, { headers, form: { ...form.hidden, email, password } });
  }

  const port = (index: number): number => installation.ports[index % installation.ports.length] ?? Number.NaN;

  it.each(['a member', 'nobody'])(
    'are five for %s when a hundred come at once, and not the right password after',
    async (who) => {
      const address = who === 'nobody' ? '198.51.100.2' : '198.51.100.1';
      const { email, password } =
        who === 'nobody' ? { email: 'nobody@people.test', password: 'any' } : await newMember();
      const guess = await openSignIn(address);
      const answers = await Promise.all(
        Array.from({ length: 100 }, (_, index) => guess(port(index), email, `guess ${index}`)),
      );
      const statuses = answers.map(({ status }) => status);
      expect(statuses.filter((status) => status === 400)).toHaveLength(5);
      expect(statuses.filter((status) => status === 429)).toHaveLength(95);
      for (const at of [0, 1]) {
        const refused = await guess(port(at), email, password);
        expect(refused.status).toBe(429);
        expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(890);
        expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(900);
      }
      // Five were looked at, and the lock was told once.
      const types = ['user.sign_in_failed', 'user.locked'];
      const events = (await readEvents(installation.first.database, { tenantId: acme.id, types })).filter(
        ({ ip }) => ip === address,
      );
      expect(events.filter(({ reason }) => reason === 'throttled')).toHaveLength(1);
      expect(events.filter(({ type }) => type === 'user.locked')).toHaveLength(who === 'nobody' ? 0 : 1);
      expect(
        events.filter(({ type, reason }) => type === 'user.sign_in_failed' && reason !== 'throttled'),
      ).toHaveLength(5);
    },
  );

  it('are counted although what follows is rolled back', async () => {
    const { email, password } = await newMember();
    const guess = await openSignIn('198.51.100.3');
    await queryAsSuperuser(installation.first.database, 'revoke insert on events from poort_app');
    try {
      for (let count = 0; count < 5; count += 1) expect((await guess(port(count), email, password)).status).toBe(500);
    } finally {
      await queryAsSuperuser(installation.first.database, 'grant insert on events to poort_app');
    }
    expect((await guess(port(0), email, password)).status).toBe(429);
  });

  it('at codes have counters apart from those of passwords, and the other way round', async () => {
    const { context, config } = installation.first;
    const services = { database: context.database, settings: config.signIn };
    const identifier = `${randomUUID()}@people.test`;
    const attempt = { tenantId: acme.id, identifier, address: '198.51.100.4', now: context.clock() };
    for (let count = 0; count < 6; count += 1) await countAttempt(services, { ...attempt, kind: 'code' });
    expect((await countAttempt(services, { ...attempt, kind: 'code' })).outcome).toBe('throttled');
    expect((await countAttempt(services, { ...attempt, kind: 'password' })).outcome).toBe('allowed');
    expect((await countAttempt(services, { ...attempt, kind: 'backup_code' })).outcome).toBe('allowed');
  });

  it('are where they should be', async () => {
    const rows = await queryAsSuperuser(installation.first.database, 'select from sign_in_attempts');
    expect(rows.length > 0).toBe(store === 'PostgreSQL');
    if (redis !== undefined) expect(await redis.admin.dbsize()).toBeGreaterThan(0);
  });
});
