/**
 * Row C39, what a sign-out is (Dex PR #4945, better-auth #10472), and of row C25 what concerns it (Casdoor CVE-2023-34927). The
 * cookie is the authority; an `id_token_hint` only names the application; what ends is said on the page, and nothing else ends.
 */
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  createUserAgent,
  exchangeCode,
  introspect,
  readForm,
  refresh,
  type UserAgent,
} from '#test/support/user_agent.ts';
import { createTestTenant, postLogoutUri, type TestClient, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
});

afterAll(() => server.close());

interface SignedIn {
  readonly agent: UserAgent;
  readonly client: TestClient;
  readonly tenant: TestTenant;
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly idToken: string;
}

async function signIn(
  client = acme.clients.web,
  agent = createUserAgent(server.origin),
  tenant = acme,
): Promise<SignedIn> {
  const { json } = await exchangeCode(tenant, client, await authorize(agent, { tenant, client }));
  const text = (name: string): string => String(json[name]);
  const [accessToken, refreshToken] = [text('access_token'), text('refresh_token')];
  return { agent, client, tenant, accessToken, refreshToken, idToken: text('id_token') };
}

async function isBrowserSignedIn({ agent, client, tenant }: SignedIn): Promise<boolean> {
  const page = await agent.follow(authorizationRequest(tenant, client, { prompt: 'none' }).url);
  return new URL(page.url).searchParams.has('code');
}

async function areTokensAlive({ tenant, client, accessToken }: SignedIn): Promise<boolean> {
  return (await introspect(tenant, client, accessToken)).json['active'] === true;
}

const logoutUrl = (tenant: TestTenant, parameters: Readonly<Record<string, string>> = {}): string =>
  `${tenant.issuer}/logout?${new URLSearchParams(parameters)}`;

describe('C39: a sign-out', () => {
  it('ends the session of the cookie with its tokens, refresh tokens too, and no other session’s', async () => {
    const mine = await signIn();
    const alsoMine = await signIn(acme.clients.third, mine.agent);
    const elsewhere = await signIn();
    const page = await mine.agent.request(logoutUrl(acme, { id_token_hint: mine.idToken }));
    await mine.agent.submit(page, { logout: 'yes' });
    expect(await Promise.all([mine, alsoMine, elsewhere].map(areTokensAlive))).toEqual([false, false, true]);
    expect([await isBrowserSignedIn(mine), await isBrowserSignedIn(elsewhere)]).toEqual([false, true]);
    expect((await refresh(acme, mine.client, mine.refreshToken)).status).toBe(400);
    expect((await refresh(acme, alsoMine.client, alsoMine.refreshToken)).status).toBe(400);
    expect((await refresh(acme, elsewhere.client, elsewhere.refreshToken)).status).toBe(200);
  });

  it('is nobody’s for whoever has only an ID token, however often it is shown', async () => {
    const victim = await signIn();
    for (const cookies of [createUserAgent(server.origin), createUserAgent(server.origin)]) {
      const url = logoutUrl(acme, { id_token_hint: victim.idToken, post_logout_redirect_uri: postLogoutUri });
      const answer = await cookies.request(url);
      // Nobody is signed in there: it ends where a sign-out ends, and has ended nothing.
      expect([answer.status, answer.headers.get('location')]).toEqual([303, postLogoutUri]);
    }
    expect([await isBrowserSignedIn(victim), await areTokensAlive(victim)]).toEqual([true, true]);
  });

  it('asks first, with a hint and without, and shown somebody else’s token ends the session of the cookie at most', async () => {
    const victim = await signIn();
    const mine = await signIn();
    for (const parameters of [{}, { client_id: acme.clients.web.clientId }, { id_token_hint: victim.idToken }]) {
      const page = await mine.agent.request(logoutUrl(acme, parameters));
      expect(page.status).toBe(200);
      expect(page.body).toContain('name="logout"');
      expect([await isBrowserSignedIn(mine), await areTokensAlive(mine)]).toEqual([true, true]);
    }
    await mine.agent.submit(await mine.agent.request(logoutUrl(acme, { id_token_hint: victim.idToken })), {
      logout: 'yes',
    });
    expect([await areTokensAlive(mine), await areTokensAlive(victim)]).toEqual([false, true]);
    expect(await isBrowserSignedIn(victim)).toBe(true);
  });

  it('does not believe a token of another tenant or one that was changed', async () => {
    const mine = await signIn();
    const foreign = await signIn(globex.clients.web, createUserAgent(server.origin), globex);
    const [header, , signature] = mine.idToken.split('.');
    const claims = Buffer.from(JSON.stringify({ iss: acme.issuer, aud: mine.client.clientId, sub: 'x' })).toString(
      'base64url',
    );
    for (const hint of [foreign.idToken, `${header}.${claims}.${signature}`, 'garbage']) {
      const answer = await mine.agent.request(logoutUrl(acme, { id_token_hint: hint }));
      expect(answer.status).toBe(400);
    }
    expect(await isBrowserSignedIn(mine)).toBe(true);
  });

  it('of one application ends what that application has, and nothing of the others', async () => {
    const mine = await signIn();
    const other = await signIn(acme.clients.third, mine.agent);
    const page = await mine.agent.request(logoutUrl(acme, { id_token_hint: mine.idToken }));
    await mine.agent.submit(page, {});
    expect([await areTokensAlive(mine), await areTokensAlive(other)]).toEqual([false, true]);
    expect((await refresh(acme, mine.client, mine.refreshToken)).status).toBe(400);
    expect((await refresh(acme, other.client, other.refreshToken)).status).toBe(200);
    expect(await isBrowserSignedIn(other)).toBe(true);
  });
});

describe('C25: the form of a sign-out', () => {
  it.each<[string, Readonly<Record<string, string>>]>([
    ['without its secret', { logout: 'yes' }],
    ['with a wrong secret', { logout: 'yes', xsrf: 'x'.repeat(43) }],
    ['of one application, without its secret', { xsrf: '' }],
  ])('that comes %s ends nothing, neither the session nor a token', async (_name, form) => {
    const mine = await signIn();
    const page = await mine.agent.request(logoutUrl(acme, { id_token_hint: mine.idToken }));
    const { action } = readForm(page);
    const answer = await mine.agent.request(action, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: server.origin },
      body: new URLSearchParams(form).toString(),
    });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect([await isBrowserSignedIn(mine), await areTokensAlive(mine)]).toEqual([true, true]);
    expect((await refresh(acme, mine.client, mine.refreshToken)).status).toBe(200);
  });

  it('with another session’s secret ends neither', async () => {
    const mine = await signIn();
    const attacker = await signIn();
    const theirs = readForm(await attacker.agent.request(logoutUrl(acme)));
    await mine.agent.request(logoutUrl(acme));
    const answer = await mine.agent.request(theirs.action, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: server.origin },
      body: new URLSearchParams({ ...theirs.hidden, logout: 'yes' }).toString(),
    });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect([await areTokensAlive(mine), await areTokensAlive(attacker)]).toEqual([true, true]);
  });

  it('that another site sends ends nothing', async () => {
    const mine = await signIn();
    const { action, hidden } = readForm(await mine.agent.request(logoutUrl(acme)));
    const answer = await mine.agent.request(action, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        origin: 'https://evil.example',
        'sec-fetch-site': 'cross-site',
      },
      body: new URLSearchParams({ ...hidden, logout: 'yes' }).toString(),
    });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect([await isBrowserSignedIn(mine), await areTokensAlive(mine)]).toEqual([true, true]);
  });
});
