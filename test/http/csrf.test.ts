/**
 * A form counts in the browser it was made for, and once. That it counts only from our own page, and with its own token, is shown
 * for every form at once by test/lessons/c25_cross_site_requests.test.ts.
 */
import { countRows, formType, type OpenedInteraction, openInteraction } from '#test/support/attack_surface.ts';
import { type HeaderList, type RawAnswer, sendRaw } from '#test/support/raw_http.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, createUserAgent, readForm, type UserAgent } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestTenant } from '#test/support/world.ts';

describe('a form', () => {
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

  const credentials = (): { email: string; password: string } => ({
    email: acme.person.email,
    password: acme.person.password,
  });
  const isCallback = (location: string | undefined): boolean => location?.startsWith(callbackUri) === true;

  function post(target: string, form: Readonly<Record<string, string>>, headers: HeaderList): Promise<RawAnswer> {
    return sendRaw(server.config.http.port, {
      method: 'POST',
      target,
      headers: [['Host', new URL(server.origin).host], formType, ['Accept', 'text/html'], ...headers],
      body: new URLSearchParams(form).toString(),
    });
  }

  /** The same by a browser, which sends each cookie only where it belongs. */
  async function postAs(
    agent: UserAgent,
    path: string,
    form: Readonly<Record<string, string>>,
    headers: HeaderList = [],
  ): Promise<{ status: number; location: string | null }> {
    const answer = await agent.request(server.origin + path, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...Object.fromEntries(headers) },
      body: new URLSearchParams(form).toString(),
    });
    return { status: answer.status, location: answer.headers.get('location') };
  }

  const cookieOf = (agent: UserAgent): readonly [string, string] => ['Cookie', agent.cookies().join('; ')];

  /** The consent page of an application of somebody else, for a person who has just signed in. */
  async function openConsent(): Promise<OpenedInteraction> {
    const agent = createUserAgent(server.origin);
    const extra = { prompt: 'consent' };
    const signIn = await openInteraction(server, { tenant: acme, client: acme.clients.third, agent, extra });
    const page = await agent.submit(signIn.page, credentials());
    expect(page.body).toContain('name="decision"');
    const path = new URL(page.url).pathname;
    const csrf = readForm(page).hidden['csrf'] ?? '';
    return { agent, page, url: page.url, path, csrf, uid: path.split('/').at(-1) ?? '', cookie: cookieOf(agent)[1] };
  }

  describe('to sign in', () => {
    it('is believed from our own page', async () => {
      const { path, cookie, csrf } = await openInteraction(server, { tenant: acme });
      const answer = await post(path, { csrf, ...form() }, [
        ['Cookie', cookie],
        ['Origin', server.origin],
        ['Sec-Fetch-Site', 'same-origin'],
      ]);
      expect(answer.status).toBe(303);
      expect(answer.header('location')).toContain('/authorize/');
    });

    it('is refused with the token of the same page at another tenant', async () => {
      const globex = await createTestTenant(server, 'globex');
      const theirs = await openInteraction(server, { tenant: globex });
      const mine = await openInteraction(server, { tenant: acme });
      const answer = await post(mine.path, { csrf: theirs.csrf, ...form() }, [['Cookie', mine.cookie]]);
      expect(answer.status).toBe(403);
      // Nor does an interaction of one tenant exist at the other, with everything its browser has.
      const moved = await post(mine.path.replace('/t/acme/', '/t/globex/'), { csrf: mine.csrf, ...form() }, [
        ['Cookie', mine.cookie],
      ]);
      expect(moved.status).toBe(400);
      expect(moved.body).not.toContain('name="password"');
    });

    it('shows what was typed again after a refusal, but never the password', async () => {
      const { path, cookie } = await openInteraction(server, { tenant: acme });
      const answer = await post(path, { csrf: 'x', ...form() }, [['Cookie', cookie]]);
      expect(answer.body).toContain(credentials().email);
      expect(answer.body).not.toContain(credentials().password);
    });

    it('signs nobody in to the interaction of an attacker: without its cookie there is nothing', async () => {
      const attacker = await openInteraction(server, { tenant: acme });
      const before = await countRows(server.database);
      for (const headers of [[], [['Cookie', '_interaction=x']]] as const satisfies readonly HeaderList[]) {
        const answer = await post(attacker.path, { csrf: attacker.csrf, ...form() }, headers);
        expect(answer.status).toBe(400);
        expect(answer.body).not.toContain('name="password"');
      }
      expect(await countRows(server.database)).toEqual(before);
    });

    it('belongs to its browser: the cookie of another interaction does not open it', async () => {
      const one = await openInteraction(server, { tenant: acme });
      const other = await openInteraction(server, { tenant: acme });
      const answer = await post(one.path, { csrf: one.csrf, ...form() }, [['Cookie', other.cookie]]);
      expect(answer.status).toBe(400);
      expect(answer.body).not.toContain('name="password"');
    });

    it('is not believed when its cookie was changed', async () => {
      const { path, cookie, csrf } = await openInteraction(server, { tenant: acme });
      const other = await openInteraction(server, { tenant: acme });
      const forged = cookie.replace(/_interaction=[^;]*/, `_interaction=${other.uid}`);
      const answer = await post(other.path, { csrf: other.csrf, ...form() }, [['Cookie', forged]]);
      expect(answer.status).toBe(400);
      expect((await post(path, { csrf, ...form() }, [['Cookie', cookie]])).status).toBe(303);
    });

    it('sent twice at the same time, as by a double click, still leads home and nowhere else', async () => {
      const opened = await openInteraction(server, { tenant: acme });
      const answers = await Promise.all(
        [1, 2].map(() => post(opened.path, { csrf: opened.csrf, ...form() }, [['Cookie', opened.cookie]])),
      );
      expect(answers.map(({ status }) => status)).toEqual([303, 303]);
      const ends = await Promise.all(
        answers.map(({ header }) => opened.agent.follow(new URL(header('location') ?? '', server.origin).href)),
      );
      expect(ends.filter(({ url }) => isCallback(url) && url.includes('code=')).length).toBeGreaterThanOrEqual(1);
      for (const { status, url } of ends) expect(isCallback(url) || status === 400).toBe(true);
    });

    it('cannot be sent again once the sign-in is over: the page says so and leads back to the application', async () => {
      const { agent, page, path, csrf, cookie } = await openInteraction(server, { tenant: acme });
      const callback = await agent.submit(page, credentials());
      expect(isCallback(callback.url)).toBe(true);

      const back = await agent.request(page.url);
      expect(back.status).toBe(400);
      expect(back.body).not.toContain('name="password"');
      expect(back.body).toContain(`href="${new URL(callbackUri).origin}/"`);

      const again = await post(path, { csrf, ...form() }, [['Cookie', cookie]]);
      expect(again.status).toBe(400);
      expect(again.body).toContain(`href="${new URL(callbackUri).origin}/"`);
    });

    it('of a bookmark that never was leads nowhere, without an error of ours', async () => {
      const answer = await createUserAgent(server.origin).request(`${acme.issuer}/interaction/${'a'.repeat(43)}`);
      expect(answer.status).toBe(400);
      expect(answer.body).not.toMatch(/<a [^>]*href="http/);
    });

    it('is not resumed by another browser', async () => {
      const { path, cookie, csrf } = await openInteraction(server, { tenant: acme });
      const answered = await post(path, { csrf, ...form() }, [['Cookie', cookie]]);
      const resume = new URL(answered.header('location') ?? '', server.origin).href;
      const stranger = await createUserAgent(server.origin).follow(resume);
      expect(stranger.status).toBe(400);
      expect(isCallback(stranger.url)).toBe(false);
    });

    const form = (): Record<string, string> => ({ email: credentials().email, password: credentials().password });
  });

  describe('to consent', () => {
    it.each([
      ['nothing', {}],
      ['something else', { decision: 'maybe' }],
      ['credentials', { email: 'ada@acme.test', password: 'x' }],
    ])('that says %s decides nothing', async (_name, fields) => {
      const { path, agent, csrf } = await openConsent();
      const before = await countRows(server.database);
      const answer = await postAs(agent, path, { csrf, ...fields });
      expect(answer.status).toBe(400);
      expect(await countRows(server.database)).toEqual(before);
    });

    it('that refuses gives the application access_denied and no code', async () => {
      const { agent, page } = await openConsent();
      const callback = new URL((await agent.submit(page, { decision: 'deny' })).url);
      expect(callback.searchParams.get('error')).toBe('access_denied');
      expect(callback.searchParams.get('code')).toBeNull();
      expect(callback.searchParams.get('state')).toBe('the-state');
    });

    it('cannot be given for somebody else: another person’s browser has no such page', async () => {
      const { path, csrf } = await openConsent();
      const eve = createUserAgent(server.origin);
      await eve.submit((await openInteraction(server, { tenant: acme, agent: eve })).page, credentials());
      const answer = await postAs(eve, path, { csrf, decision: 'allow' });
      expect(answer.status).toBe(400);
    });
  });

  describe('to sign out', () => {
    async function openLogout(): Promise<{ agent: UserAgent; xsrf: string }> {
      const agent = createUserAgent(server.origin);
      await agent.submit((await openInteraction(server, { tenant: acme, agent })).page, credentials());
      const page = await agent.request(`${acme.issuer}/logout`);
      return { agent, xsrf: readForm(page).hidden['xsrf'] ?? '' };
    }
    const isSignedIn = async (agent: UserAgent): Promise<boolean> =>
      isCallback((await agent.follow(authorizationRequest(acme, acme.clients.web).url)).url);

    it('is never done by an address alone', async () => {
      const { agent } = await openLogout();
      await agent.request(`${acme.issuer}/logout?logout=yes`);
      await agent.request(`${acme.issuer}/logout/success`);
      expect((await agent.request(`${acme.issuer}/logout/confirm?logout=yes`)).status).toBe(405);
      expect(await isSignedIn(agent)).toBe(true);
    });

    it('signs out when it comes from our page', async () => {
      const { agent, xsrf } = await openLogout();
      const answer = await post('/t/acme/logout/confirm', { xsrf, logout: 'yes' }, [
        cookieOf(agent),
        ['Origin', server.origin],
        ['Sec-Fetch-Site', 'same-origin'],
      ]);
      expect(answer.status).toBe(303);
      expect(await isSignedIn(agent)).toBe(false);
    });
  });

  it('to begin a sign-in may come from the application, and finds the person signed in', async () => {
    const agent = createUserAgent(server.origin);
    await agent.submit((await openInteraction(server, { tenant: acme, agent })).page, credentials());
    const { search } = new URL(authorizationRequest(acme, acme.clients.web).url);
    const request = Object.fromEntries(new URLSearchParams(search));
    // No cookies: a browser leaves them out of what another site posts.
    const answer = await post('/t/acme/authorize', request, [
      ['Origin', 'http://localhost:9'],
      ['Sec-Fetch-Site', 'cross-site'],
    ]);
    expect(answer.status).toBe(303);
    const link = answer.header('location') ?? '';
    expect(Object.fromEntries(new URL(link).searchParams)).toEqual(request);
    const end = await agent.follow(link);
    expect(isCallback(end.url)).toBe(true);
    expect(end.url).toContain('code=');
  });
});
