/** Where a sign-in meets the edge of its browser: no cookies, two tabs, an address that is over (items 29 to 32 of docs/pages.md). */
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  callEndpoint,
  createUserAgent,
  type EndpointAnswer,
  type Page,
} from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

/** A browser that takes no cookies. */
async function withoutCookies(
  url: string,
): Promise<{ readonly status: number; readonly body: string; readonly url: string }> {
  const headers = { accept: 'text/html', 'accept-language': 'en' };
  const first = await fetch(url, { redirect: 'manual', headers });
  const location = first.headers.get('location');
  if (location === null) return { status: first.status, body: await first.text(), url };
  return withoutCookies(new URL(location, url).href);
}

describe('a browser that takes no cookies', () => {
  it('is told so, and not that its page has expired (item 31)', async () => {
    const { status, body } = await withoutCookies(authorizationRequest(acme, acme.clients.web).url);
    expect(status).toBe(400);
    expect(body).toContain('<h1>Your browser blocks cookies</h1>');
    expect(body).not.toContain('name="password"');
  });

  it('learns nothing about an address that is over or never was', async () => {
    const agent = createUserAgent(server.origin);
    const page = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
    await agent.submit(page, { email: acme.person.email, password: acme.person.password });
    for (const url of [page.url, `${acme.issuer}/interaction/never-was-one`]) {
      const { status, body } = await withoutCookies(url);
      expect([status, body.includes('<h1>This sign-in page has expired</h1>')]).toEqual([400, true]);
    }
  });

  it('is not what somebody has whose cookies are of another sign-in', async () => {
    const [mine, other] = [createUserAgent(server.origin), createUserAgent(server.origin)];
    const page = await mine.follow(authorizationRequest(acme, acme.clients.web).url);
    await other.follow(authorizationRequest(acme, acme.clients.web).url);
    const answer = await other.request(page.url, { headers: { cookie: 'poort_locale=en' } });
    expect(answer.body).toContain('<h1>This sign-in page has expired</h1>');
  });
});

describe('two tabs with two applications', () => {
  it('do not mix: each answer goes to its own, whichever is sent first (item 30)', async () => {
    const agent = createUserAgent(server.origin);
    const open = async (client: TestClient, state: string) => {
      const request = authorizationRequest(acme, client, { state });
      return { ...request, client, page: await agent.follow(request.url) };
    };
    const [first, second] = [await open(acme.clients.web, 'first'), await open(acme.clients.spa, 'second')];
    // The cookie of a step goes nowhere but to that step.
    const [one, other] = [agent.cookies(first.page.url), agent.cookies(second.page.url)];
    expect(one.filter((cookie) => other.includes(cookie) && cookie.includes('interaction'))).toEqual([]);

    const redeem = ({ url }: Page, { client, verifier }: typeof first): Promise<EndpointAnswer> =>
      callEndpoint(acme.issuer, '/token', {
        client,
        form: {
          grant_type: 'authorization_code',
          code: new URL(url).searchParams.get('code') ?? '',
          code_verifier: verifier,
          redirect_uri: callbackUri,
        },
      });
    const credentials = { email: acme.person.email, password: acme.person.password };
    for (const tab of [second, first]) {
      const answer = await agent.submit(tab.page, credentials);
      // What was open before the other tab signed in may have to begin again, but never ends at the other application.
      const arrived = answer.url.startsWith(callbackUri) ? answer : await agent.follow(tab.url);
      expect(new URL(arrived.url).searchParams.get('state')).toBe(tab === first ? 'first' : 'second');
      expect((await redeem(arrived, tab)).status).toBe(200);
    }
  });
});

describe('a page about a failure', () => {
  it('says when, under which number and for which application, with no stack; nobody is sent to an unknown address (item 32)', async () => {
    const agent = createUserAgent(server.origin, { 'accept-language': 'en' });
    const evil = 'https://evil.example/callback';
    const answer = await agent.request(authorizationRequest(acme, acme.clients.web, { redirect_uri: evil }).url);
    expect(answer.status).toBe(400);
    expect(answer.headers.get('location')).toBeNull();
    expect(answer.body).toContain(`<code>${answer.headers.get('x-request-id')}</code>`);
    expect(answer.body).toMatch(/<time datetime="20\d\d-/);
    expect(answer.body).toMatch(/<details>.*invalid_redirect_uri/s);
    expect(answer.body).not.toMatch(/evil\.example|\.ts:\d+|at .*\(file:/);
  });
});
