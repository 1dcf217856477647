/**
 * Row C26, session fixation and stale sessions (Keycloak CVE-2026-7507, CVE-2024-7341): the identifier changes whenever somebody
 * signs in, also when they do so again, and what was valid before never is afterwards.
 */
import { newPersonWithTotp, totpCode } from '#test/support/second_factor.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, authorize, createUserAgent, type UserAgent } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
});

afterAll(() => server.close());

const sessionCookie = (agent: UserAgent): string =>
  agent
    .cookies()
    .filter((cookie) => cookie.startsWith('_session'))
    .join('; ');

/** Whether whoever has this cookie is signed in. */
async function isSignedIn(cookie: string): Promise<boolean> {
  const { url } = authorizationRequest(acme, acme.clients.web, { prompt: 'none' });
  const answer = await fetch(url, { headers: { cookie }, redirect: 'manual' });
  return new URL(answer.headers.get('location') ?? '').searchParams.has('code');
}

const signIn = (agent: UserAgent, extra: Readonly<Record<string, string>> = {}) =>
  authorize(agent, { tenant: acme, client: acme.clients.web, extra });

describe('C26: a session’s identifier', () => {
  it('from before the sign-in is worth nothing afterwards, whoever planted it', async () => {
    // A session of nobody: what an attacker can have before and leave in the browser of somebody else.
    const browser = createUserAgent(server.origin);
    await browser.request(`${acme.issuer}/logout?client_id=${acme.clients.web.clientId}`);
    const planted = sessionCookie(browser);
    expect(planted).toMatch(/^_session=/);
    await signIn(browser);
    expect([await isSignedIn(sessionCookie(browser)), await isSignedIn(planted)]).toEqual([true, false]);
    expect(sessionCookie(browser)).not.toContain(planted.split('; ')[0]);
    // Nor when the person comes back later: what was valid before stays dead.
    await signIn(browser, { prompt: 'login' });
    expect(await isSignedIn(planted)).toBe(false);
  });

  it('changes when the person proves again who they are, and the old one dies', async () => {
    const agent = createUserAgent(server.origin);
    const seen: string[] = [];
    for (const extra of [{}, { prompt: 'login' }, { max_age: '0' }]) {
      await signIn(agent, extra);
      seen.push(sessionCookie(agent));
    }
    expect(new Set(seen).size).toBe(3);
    expect(await Promise.all(seen.map(isSignedIn))).toEqual([false, false, true]);
  });

  it('changes when a session becomes stronger, and the weaker one dies', async () => {
    const { email, password, secret } = await newPersonWithTotp(server, acme);
    const agent = createUserAgent(server.origin);
    const first = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
    const asked = await agent.submit(first, { email, password });
    // Half way there is no session: nothing that could be planted, stolen or kept.
    expect(await isSignedIn(sessionCookie(agent))).toBe(false);
    await agent.submit(asked, { code: totpCode(secret, new Date()) });
    const before = sessionCookie(agent);
    // What was opened with a password alone and then is asked for more.
    await queryAsSuperuser(
      server.database,
      `update artifacts set payload = (payload::jsonb || '{"acr": "urn:poort:acr:password", "amr": ["pwd"]}')::json
        where kind = 'Session' and account_id = (select id from users where email = $1)`,
      [email],
    );
    const stepUp = await agent.follow(
      authorizationRequest(acme, acme.clients.web, { acr_values: 'urn:poort:acr:mfa' }).url,
    );
    expect(stepUp.body).not.toContain('name="password"');
    await agent.submit(stepUp, { code: totpCode(secret, new Date(Date.now() + 30_000)) });
    const after = sessionCookie(agent);
    expect(after).not.toBe(before);
    expect([await isSignedIn(before), await isSignedIn(after)]).toEqual([false, true]);
  });

  it('is not kept by the server: the database knows a hash', async () => {
    const agent = createUserAgent(server.origin);
    await signIn(agent);
    const value = /_session=([^;]+)/.exec(sessionCookie(agent))?.[1] ?? '';
    const rows = await queryAsSuperuser<{ text: string }>(server.database, 'select a::text as text from artifacts a');
    expect(rows.filter(({ text }) => text.includes(value))).toEqual([]);
  });
});

describe('a session', () => {
  const age = (seconds: number, field: 'loginTs' | 'exp') =>
    queryAsSuperuser(
      server.database,
      `update artifacts set payload = jsonb_set(payload::jsonb, array[$1], to_jsonb((payload ->> $1)::bigint - $2::bigint))::json
        where kind = 'Session' and account_id is not null`,
      [field, seconds],
    );

  it('is over when nobody has used it for the idle time', async () => {
    const agent = createUserAgent(server.origin);
    await signIn(agent);
    const { idleSeconds } = server.config.lifetimes.session;
    await age(idleSeconds - 60, 'exp');
    expect(await isSignedIn(sessionCookie(agent))).toBe(true);
    await age(idleSeconds + 60, 'exp');
    expect(await isSignedIn(sessionCookie(agent))).toBe(false);
  });

  it('is over at its absolute limit, however often it is used', async () => {
    const agent = createUserAgent(server.origin);
    await signIn(agent);
    const { absoluteSeconds } = server.config.lifetimes.session;
    await age(absoluteSeconds - 120, 'loginTs');
    expect(await isSignedIn(sessionCookie(agent))).toBe(true);
    // That use prolonged it to the limit, and no further.
    const [session] = await queryAsSuperuser<{ left: number }>(
      server.database,
      `select max(extract(epoch from expires_at - now()))::int as left from artifacts
        where kind = 'Session' and account_id is not null and expires_at < now() + interval '1 hour'`,
    );
    expect(session?.left).toBeGreaterThan(60);
    expect(session?.left).toBeLessThanOrEqual(120);
    await age(absoluteSeconds, 'exp');
    expect(await isSignedIn(sessionCookie(agent))).toBe(false);
  });
});
