/** The programs of docs/integration, each on a client library as the world uses it: sign in, read claims, refresh, sign out. */
import { stripVTControlCharacters } from 'node:util';
import { jest } from '@jest/globals';
import * as jose from 'jose';
import { blocksOf, type DocumentedProgram, runDocumentedProgram } from '#test/support/documented_program.ts';
import { type NewClient, registerClient } from '#test/support/relying_parties.ts';
import { passPages } from '#test/support/relying_party.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createUserAgent, type Page, type UserAgent } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

// Bounds a hang: each program is a process that has to load its libraries.
jest.setTimeout(30_000);

/** What differs from one program to the next. */
interface Library {
  readonly page: string;
  readonly redirectPath: string;
  /** After the origin, as this library says it. */
  readonly afterSignOut: string;
  /** Has a key instead of a secret. */
  readonly keyed?: boolean;
  /** What a reader could get wrong, as the page says: replaces a piece of the program. */
  readonly mistakes?: readonly { readonly instead: string; readonly of: string }[];
  /** From a click to the authorization request, where the browser stands then. */
  begin(agent: UserAgent, origin: string): Promise<Page>;
  refresh(agent: UserAgent, origin: string): Promise<Page>;
  /** From a click to the page of Poort that asks, or to the redirect there. */
  signOut(agent: UserAgent, origin: string): Promise<Page>;
}

const get = (path: string) => (agent: UserAgent, origin: string) => agent.follow(origin + path);
const post = (path: string) => (agent: UserAgent, origin: string) => agent.request(origin + path, { method: 'POST' });

const authJs: Library = {
  page: 'docs/integration/auth-js.md',
  redirectPath: '/auth/callback/poort',
  afterSignOut: '/',
  mistakes: [{ instead: "clientSecret: 'wrong'", of: 'clientSecret: CLIENT_SECRET' }],
  begin: (agent, origin) => postToAuthJs(agent, origin, { action: 'signin/poort', callbackUrl: `${origin}/` }),
  refresh: post('/refresh'),
  async signOut(agent, origin) {
    const { signOut } = JSON.parse((await agent.request(`${origin}/`)).body);
    return postToAuthJs(agent, origin, { action: 'signout', callbackUrl: signOut });
  },
};

async function postToAuthJs(
  agent: UserAgent,
  origin: string,
  { action, callbackUrl }: { action: string; callbackUrl: string },
): Promise<Page> {
  const { csrfToken } = JSON.parse((await agent.request(`${origin}/auth/csrf`)).body);
  return agent.follow(`${origin}/auth/${action}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({ csrfToken, callbackUrl }).toString(),
  });
}

const expressOpenidConnect: Library = {
  page: 'docs/integration/express-openid-connect.md',
  redirectPath: '/callback',
  afterSignOut: '',
  mistakes: [{ instead: '', of: "response_type: 'code', " }],
  begin: get('/login'),
  refresh: post('/refresh'),
  signOut: get('/logout'),
};

const libraries: readonly Library[] = [
  authJs,
  expressOpenidConnect,
  {
    page: 'docs/integration/passport-openidconnect.md',
    redirectPath: '/callback',
    afterSignOut: '/',
    mistakes: [
      { instead: 'new OpenIDConnectStrategy(', of: 'new WithPkce(' },
      { instead: "clientSecret: 'wrong'", of: 'clientSecret: CLIENT_SECRET' },
    ],
    begin: get('/login'),
    refresh: post('/refresh'),
    signOut: get('/logout'),
  },
  {
    page: 'docs/integration/oauth4webapi.md',
    redirectPath: '/callback',
    afterSignOut: '/',
    begin: get('/login'),
    refresh: get('/refresh'),
    signOut: get('/logout'),
  },
  {
    page: 'docs/integration/openid-client.md',
    redirectPath: '/callback',
    afterSignOut: '/',
    keyed: true,
    begin: get('/login'),
    refresh: get('/refresh'),
    signOut: get('/logout'),
  },
];

describe('the program of a client library', () => {
  let server: TestServer;
  let acme: TestTenant;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
  });

  afterAll(() => server.close());

  /** Runs the program of a page as a new client, and closes it whatever happens. */
  async function withProgram(
    { page, redirectPath, afterSignOut, keyed = false }: Library,
    client: Partial<NewClient>,
    use: (program: DocumentedProgram) => Promise<void>,
    change?: (program: string) => string,
  ): Promise<void> {
    const prepare = async (origin: string) => {
      const pair = await jose.generateKeyPair('ES256', { extractable: true });
      const kid = 'its-key';
      const { clientId, clientSecret } = await registerClient(server, acme, {
        name: page,
        type: 'web',
        redirectUris: [origin + redirectPath],
        postLogoutRedirectUris: [origin + afterSignOut],
        ...(keyed ? { jwks: { keys: [{ ...(await jose.exportJWK(pair.publicKey)), kid, alg: 'ES256' }] } } : {}),
        ...client,
      });
      return {
        ISSUER: acme.issuer,
        CLIENT_ID: clientId,
        CLIENT_SECRET: clientSecret,
        CLIENT_KEY: JSON.stringify({ ...(await jose.exportJWK(pair.privateKey)), kid }),
        AUTH_SECRET: 'thirty-two bytes that sign cookies',
        SESSION_SECRET: 'thirty-two bytes that sign cookies',
      };
    };
    const program = await runDocumentedProgram(page, prepare, change);
    try {
      await use(program);
    } finally {
      await program.close();
    }
  }

  const json = (page: Page) => JSON.parse(page.body);

  /** Through Poort's pages and back, until the application has nowhere left to send the browser. */
  async function signIn(
    library: Library,
    { origin }: DocumentedProgram,
    { application, poort }: { application: UserAgent; poort: UserAgent },
    decision: 'allow' | 'deny' = 'allow',
  ): Promise<Page> {
    const request = await library.begin(application, origin);
    expect(request.url).toContain(`${acme.issuer}/authorize?`);
    const callback = await passPages(poort, request.url, { person: acme.person, decision });
    expect(callback.href).toContain(origin + library.redirectPath);
    return application.follow(callback.href);
  }

  const browser = (origin: string) => ({
    application: createUserAgent(origin),
    poort: createUserAgent(server.origin),
  });

  it.each(libraries.map((library) => [library.page, library] as const))(
    'signs in, knows the person, refreshes and signs out, here and at Poort: %s',
    async (_page, library) => {
      await withProgram(library, {}, async (program) => {
        const { origin } = program;
        const agents = browser(origin);
        const { application, poort } = agents;
        expect(json(await application.follow(`${origin}/`))).toMatchObject({ signedIn: false });

        await signIn(library, program, agents);
        const home = json(await application.follow(`${origin}/`));
        expect(home).toMatchObject({ signedIn: true, user: { email: acme.person.email } });
        expect(home.user.sub ?? home.user.id).toBe(acme.person.id);

        for (const _time of ['once', 'and with what the first time gave'])
          expect((await library.refresh(application, origin)).status).toBe(200);

        const leave = await library.signOut(application, origin);
        expect(leave.url).toContain(`${acme.issuer}/logout?`);
        const asked = await poort.follow(leave.url);
        const back = await poort.submit(asked, { logout: 'yes' });
        expect(back.url).toBe(origin + (library.afterSignOut || '/'));
        expect(json(await application.follow(`${origin}/`))).toMatchObject({ signedIn: false });
        const again = await poort.follow((await library.begin(application, origin)).url);
        expect(again.body).toContain('name="password"');
      });
    },
  );

  it.each(libraries.map((library) => [library.page, library] as const))(
    'signs nobody in who refused, nor with an answer that was used before, and says so in the words of %s',
    async (_page, library) => {
      const seen: string[] = [];
      await withProgram(library, { firstParty: false }, async (program) => {
        const { origin } = program;
        const agents = browser(origin);
        const signedIn = async (agent: UserAgent) => json(await agent.follow(`${origin}/`)).signedIn;
        seen.push((await signIn(library, program, agents, 'deny')).body);
        expect(await signedIn(agents.application)).toBe(false);

        const request = await library.begin(agents.application, origin);
        const callback = await passPages(agents.poort, request.url, { person: acme.person });
        const thief = createUserAgent(origin);
        seen.push((await thief.follow(callback.href)).body);
        expect(await signedIn(thief)).toBe(false);
        await agents.application.follow(callback.href);
        expect(await signedIn(agents.application)).toBe(true);
        seen.push((await agents.application.follow(callback.href)).body);
        seen.push(program.output());
      });
      for (const { instead, of } of library.mistakes ?? []) {
        const change = (text: string) => text.replace(of, () => instead);
        const attempt = async (program: DocumentedProgram) => {
          const { application, poort } = browser(program.origin);
          const request = await library.begin(application, program.origin);
          // A pushed request is refused before the browser leaves.
          const answer = request.url.startsWith(acme.issuer)
            ? await application.follow((await passPages(poort, request.url, { person: acme.person })).href)
            : request;
          expect(json(await application.follow(`${program.origin}/`)).signedIn).toBe(false);
          seen.push(answer.url, answer.body, program.output());
        };
        await withProgram(library, {}, attempt, change);
      }
      const lines = blocksOf(library.page, 'text').flatMap((block) => block.trimEnd().split('\n'));
      const errors = lines.map((line) => line.replace(/ {3,}\(.*$/, ''));
      const all = stripVTControlCharacters(seen.join('\n').replaceAll('&quot;', '"'));
      expect(errors.filter((error) => !all.includes(error))).toEqual([]);
    },
  );

  describe('express-openid-connect', () => {
    it('pushes its request (RFC 9126): the browser carries a reference and nothing else', async () => {
      await withProgram(expressOpenidConnect, {}, async ({ origin }) => {
        const { application } = browser(origin);
        const { searchParams } = new URL((await expressOpenidConnect.begin(application, origin)).url);
        expect([...searchParams.keys()].toSorted()).toEqual(['client_id', 'request_uri']);
      });
    });

    it('keeps the refresh token in a cookie that scripts cannot read, and another one after each use', async () => {
      await withProgram(expressOpenidConnect, {}, async (program) => {
        const { origin } = program;
        const agents = browser(origin);
        const { application } = agents;
        await signIn(expressOpenidConnect, program, agents);
        const userinfo = await application.request(`${origin}/userinfo`); // with the access token as a bearer token
        expect(json(userinfo)).toMatchObject({ sub: acme.person.id, email: acme.person.email });

        const sessionOf = () => application.cookies().filter((cookie) => cookie.startsWith('appSession'));
        const stolen = sessionOf().join('; ');
        const refreshed = await expressOpenidConnect.refresh(application, origin);
        const [cookie = ''] = refreshed.headers.getSetCookie().filter((line) => line.startsWith('appSession'));
        expect(cookie).toMatch(/; *httponly/i);
        expect(cookie).toMatch(/; *samesite=lax/i);
        expect(cookie).not.toContain('rt_');
        expect(sessionOf().join('; ')).not.toBe(stolen);

        // The thief comes when the grace for a lost answer is over; then the whole chain ends, the honest one's as well.
        await queryAsSuperuser(
          server.database,
          `update artifacts set consumed_at = consumed_at - interval '2 days' where kind = 'RefreshToken' and consumed_at is not null`,
        );
        const thief = await fetch(`${origin}/refresh`, { method: 'POST', headers: { cookie: stolen } });
        expect(thief.status).toBeGreaterThanOrEqual(400);
        expect((await application.request(`${origin}/userinfo`)).status).toBeGreaterThanOrEqual(400);
        expect((await expressOpenidConnect.refresh(application, origin)).status).toBeGreaterThanOrEqual(400);
      });
    });
  });
});
