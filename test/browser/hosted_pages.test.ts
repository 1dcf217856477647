/** The hosted pages as the product serves them, in a real browser, for applications on another site. */
import { createHash } from 'node:crypto';
import { jest } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { addMember } from '#src/flows/people/manage_people.ts';
import { describeWithChromium, launchChromium } from '#test/support/browser.ts';
import { axeViolations, sidewaysScroll, signInAs, takeShots, visit } from '#test/support/browser_visit.ts';
import { type RunningApplication, registerClient, startForeignSite } from '#test/support/relying_parties.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { callEndpoint } from '#test/support/user_agent.ts';
import { createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

jest.setTimeout(60_000);

const verifier = 'a-code-verifier-of-at-least-forty-three-characters';
const privateUse = 'com.example.meter:/callback';

describeWithChromium('the hosted pages in Chromium', () => {
  let browser: Browser;
  let server: TestServer;
  let acme: TestTenant;
  let site: RunningApplication;
  let house: TestClient;
  let foreign: TestClient;
  /** Nobody has agreed to it yet. */
  let unknown: TestClient;
  let native: TestClient;
  let origins: readonly string[];
  let callback: string;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    site = await startForeignSite();
    callback = `${site.origin}/callback`;
    const web = {
      type: 'web',
      redirectUris: [callback],
      postLogoutRedirectUris: [`${site.origin}/signed-out`],
    } as const;
    house = await registerClient(server, acme, { name: 'Meter readings', ...web });
    foreign = await registerClient(server, acme, { name: 'Energy <b>Saver</b>', firstParty: false, ...web });
    unknown = await registerClient(server, acme, { name: 'Energy <b>Saver</b>', firstParty: false, ...web });
    native = await registerClient(server, acme, {
      name: 'Meter on your phone',
      type: 'native',
      firstParty: false,
      redirectUris: [privateUse],
    });
    origins = [server.origin, site.origin];
    browser = await launchChromium();
  });

  afterAll(async () => {
    await browser?.close();
    await site?.close();
    await server?.close();
  });

  function authorizationUrl(client: TestClient, extra: Readonly<Record<string, string>> = {}): string {
    const parameters = new URLSearchParams({
      client_id: client.clientId,
      response_type: 'code',
      redirect_uri: callback,
      scope: 'openid profile email',
      state: 'the-state',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
      ...extra,
    });
    return `${acme.issuer}/authorize?${parameters}`;
  }

  async function arrived(page: Page): Promise<URLSearchParams> {
    await page.waitForURL(`${callback}?**`);
    return new URL(page.url()).searchParams;
  }

  async function idTokenFor(client: TestClient, code: string): Promise<string> {
    const { json } = await callEndpoint(acme.issuer, '/token', {
      client,
      form: { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: callback },
    });
    return String(json['id_token']);
  }

  /** What every page must be, whatever it is about; with pictures for who asked for them. */
  async function expectSound(page: Page, name: string): Promise<void> {
    await takeShots(page, name);
    expect({ name, violations: await axeViolations(page), scroll: await sidewaysScroll(page) }).toEqual({
      name,
      violations: [],
      scroll: 0,
    });
  }

  describe('sign-in', () => {
    it.each(['nl', 'en'])(
      'tells in %s what went wrong, takes the focus there, keeps the address and forgets the password',
      async (locale) => {
        await visit(browser, { origins, locale }, async ({ page, complaints }) => {
          await page.goto(authorizationUrl(house));
          expect(await page.locator('html').getAttribute('lang')).toBe(locale);
          expect(await page.locator(':focus').getAttribute('name')).toBe('email');
          if (locale === 'nl') await expectSound(page, 'sign-in-nl');

          await signInAs(page, { email: acme.person.email, password: 'not the password' });
          await page.locator('.summary').waitFor();
          expect(await page.title()).toMatch(locale === 'nl' ? /^Fout:/ : /^Error:/);
          expect(await page.locator(':focus').getAttribute('role')).toBe('alert');
          expect(await page.locator('#email').inputValue()).toBe(acme.person.email);
          expect(await page.locator('#password').inputValue()).toBe('');
          if (locale === 'en') await expectSound(page, 'sign-in-error-en');

          await page.locator('#password').fill(acme.person.password);
          await page.keyboard.press('Enter');
          expect((await arrived(page)).get('code')).toBeTruthy();
          expect(complaints).toEqual([]);
        });
      },
    );

    it('changes the language without losing what was typed, and keeps it for the next page', async () => {
      await visit(browser, { origins, locale: 'nl' }, async ({ page, complaints }) => {
        await page.goto(authorizationUrl(foreign, { prompt: 'consent' }));
        await page.locator('#email').fill(acme.person.email);
        await page.getByRole('button', { name: 'English' }).click();
        await page.locator('html[lang=en]').waitFor();
        expect(await page.locator('#email').inputValue()).toBe(acme.person.email);
        await signInAs(page, acme.person);
        await page.locator('[value=deny]').waitFor();
        expect(await page.locator('html').getAttribute('lang')).toBe('en');
        await page.getByRole('link', { name: 'Nederlands' }).click();
        await page.locator('html[lang=nl]').waitFor();
        await page.locator('[value=allow]').click();
        expect((await arrived(page)).get('code')).toBeTruthy();
        expect(complaints).toEqual([]);
      });
    });

    it('needs nothing but the keyboard', async () => {
      await visit(browser, { origins, locale: 'en' }, async ({ page, complaints }) => {
        await page.goto(authorizationUrl(foreign, { prompt: 'consent' }));
        await page.keyboard.type(acme.person.email);
        await page.keyboard.press('Tab');
        await page.keyboard.type(acme.person.password);
        await page.keyboard.press('Enter');
        await page.locator('[value=allow]').waitFor();
        for (let presses = 0; presses < 10; presses += 1) {
          await page.keyboard.press('Tab');
          if ((await page.locator(':focus').getAttribute('value')) === 'allow') break;
        }
        await page.keyboard.press('Enter');
        expect((await arrived(page)).get('code')).toBeTruthy();
        expect(complaints).toEqual([]);
      });
    });
  });

  describe('consent', () => {
    it('names who asks, who is asked and what for; refusing tells the application, allowing gives it', async () => {
      await visit(browser, { origins, locale: 'en' }, async ({ page, complaints }) => {
        const asked = { scope: 'openid profile email readings:read', resource: acme.jwtApi };
        await page.goto(authorizationUrl(unknown, asked));
        await signInAs(page, acme.person);
        await page.locator('[value=deny]').waitFor();
        expect(await page.locator('h1').textContent()).toBe('Energy <b>Saver</b> asks for access to your account');
        expect(await page.locator('.account').textContent()).toContain(acme.person.email);
        expect(await page.locator('.right').allInnerTexts()).toEqual([
          expect.stringContaining('see that it is you'),
          expect.stringContaining('see your name and profile'),
          expect.stringContaining('see your email address'),
          expect.stringContaining('May readings:read'),
          // It will be given a refresh token, whether it asked for one or not.
          expect.stringContaining('keep access while you are away'),
        ]);
        expect(await page.locator('.host').textContent()).toBe(new URL(site.origin).host);
        await expectSound(page, 'consent-en');

        await page.locator('[value=deny]').click();
        const refused = await arrived(page);
        expect(Object.fromEntries(refused)).toMatchObject({ error: 'access_denied', state: 'the-state' });

        await page.goto(authorizationUrl(unknown, asked));
        await page.locator('[value=allow]').click();
        expect((await arrived(page)).get('code')).toBeTruthy();

        // Given once, it is not asked again, until something new is wanted: then only about that.
        await page.goto(authorizationUrl(unknown, asked));
        expect((await arrived(page)).get('code')).toBeTruthy();
        await page.goto(authorizationUrl(unknown, { ...asked, scope: `${asked.scope} readings:write` }));
        await page.locator('[value=allow]').waitFor();
        expect(await page.locator('.right').allInnerTexts()).toEqual([expect.stringContaining('May readings:write')]);
        await page.locator('[value=allow]').click();
        expect((await arrived(page)).get('code')).toBeTruthy();
        expect(complaints).toEqual([]);
      });
    });

    it('lets somebody else sign in for this request, and asks them (item 49)', async () => {
      const eve = { email: 'eve@acme.test', password: 'correct horse of eve' };
      await addMember(server.context, { tenantId: acme.id, ...eve, roles: [], verified: true });
      await visit(browser, { origins, locale: 'en' }, async ({ page, complaints }) => {
        await page.goto(authorizationUrl(foreign, { prompt: 'consent' }));
        await signInAs(page, acme.person);
        await page.getByRole('link', { name: 'Use another account' }).click();
        await signInAs(page, { ...eve, password: 'wrong' });
        await page.locator('.summary').waitFor();
        await page.locator('#password').fill(eve.password);
        await page.keyboard.press('Enter');
        await page.locator('[value=allow]').waitFor();
        expect(await page.locator('.account').textContent()).toContain(eve.email);
        await page.locator('[value=allow]').click();
        expect((await arrived(page)).get('code')).toBeTruthy();
        expect(complaints).toEqual([]);
      });
    });

    it('sends an installed application its answer by its own scheme', async () => {
      await visit(browser, { origins, locale: 'nl' }, async ({ page, complaints }) => {
        await page.goto(authorizationUrl(native, { redirect_uri: privateUse }));
        await signInAs(page, acme.person);
        await page.locator('[value=allow]').waitFor();
        expect(await page.locator('.host').textContent()).toBe('com.example.meter');
        await takeShots(page, 'consent-native-nl');
        // Nobody here owns the scheme, so it ends there; a redirect that the policy forbids is never tried.
        const left = page.waitForEvent('requestfailed', (request) => request.url().startsWith(privateUse));
        await page.locator('[value=allow]').click();
        expect(new URL((await left).url()).searchParams.get('code')).toBeTruthy();
        expect(complaints).toEqual([]);
      });
    });
  });

  describe('an address that is over', () => {
    it('is a friendly page with a way back, after the back button, from a bookmark and for a stranger', async () => {
      await visit(browser, { origins, locale: 'nl' }, async ({ page, complaints }) => {
        await page.goto(authorizationUrl(house));
        const bookmark = page.url();
        await signInAs(page, acme.person);
        await arrived(page);

        for (const again of [() => page.goBack(), () => page.goto(bookmark)]) {
          const answer = await again();
          expect(answer?.status()).toBe(400);
          expect(await page.locator('h1').textContent()).toBe('Deze inlogpagina is verlopen');
          expect(await page.locator('main a.button').getAttribute('href')).toBe(`${site.origin}/`);
        }
        await expectSound(page, 'expired-nl');
        await page.locator('main a.button').click();
        await page.waitForURL(`${site.origin}/`);

        await page.goto(bookmark.replace(/[^/]+$/, 'never-was-one'));
        expect(await page.locator('h1').textContent()).toBe('Deze inlogpagina is verlopen');
        expect(await page.locator('main a.button').count()).toBe(0);
        expect(complaints).toEqual([]);
      });
    });

    it('takes no second answer from a page that stayed open in another tab', async () => {
      await visit(browser, { origins, locale: 'en' }, async ({ page, complaints }) => {
        await page.goto(authorizationUrl(house));
        const other = await page.context().newPage();
        await other.goto(page.url());
        await signInAs(page, acme.person);
        await arrived(page);
        await signInAs(other, acme.person);
        await other.getByRole('heading', { name: 'This sign-in page has expired' }).waitFor();
        await other.getByRole('link', { name: 'Back to Meter readings' }).click();
        await other.waitForURL(`${site.origin}/`);
        expect(complaints).toEqual([]);
      });
    });
  });

  describe('logout', () => {
    it('goes back to the application it came from, also when there is no session left', async () => {
      for (const javaScriptEnabled of [true, false]) {
        await visit(browser, { origins, locale: 'en', javaScriptEnabled }, async ({ page, complaints }) => {
          await page.goto(authorizationUrl(house));
          await signInAs(page, acme.person);
          const code = (await arrived(page)).get('code') ?? '';
          const parameters = new URLSearchParams({
            id_token_hint: await idTokenFor(house, code),
            post_logout_redirect_uri: `${site.origin}/signed-out`,
            state: 'bye',
          });
          const logout = `${acme.issuer}/logout?${parameters}`;
          await page.goto(logout);
          if (javaScriptEnabled) await expectSound(page, 'logout-en');
          await page.locator('[name=logout]').click();
          await page.waitForURL(`${site.origin}/signed-out?state=bye`);

          await page.goto(logout);
          await page.waitForURL(`${site.origin}/signed-out?state=bye`);
          expect(complaints).toEqual([]);
        });
      }
    });

    it('without a hint stays here and says what ended, or that nothing did', async () => {
      await visit(browser, { origins, locale: 'nl' }, async ({ page, complaints }) => {
        await page.goto(authorizationUrl(house));
        await signInAs(page, acme.person);
        await arrived(page);

        await page.goto(`${acme.issuer}/logout`);
        await page.getByRole('button', { name: 'Ingelogd blijven' }).click();
        await page.getByRole('heading', { name: 'U bent ingelogd gebleven' }).waitFor();
        await takeShots(page, 'stayed-nl');

        await page.goto(`${acme.issuer}/logout?${new URLSearchParams({ client_id: house.clientId })}`);
        await page.getByRole('button', { name: 'Ingelogd blijven' }).click();
        await page.getByRole('heading', { name: 'U bent uitgelogd bij Meter readings' }).waitFor();
        await takeShots(page, 'logged-out-of-application-nl');

        // The address is not a secret, so it is not believed: without parameters it belongs to nobody.
        await page.goto(`${acme.issuer}/logout?post_logout_redirect_uri=${encodeURIComponent(site.origin)}`);
        await page.locator('[name=logout]').click();
        await page.getByRole('heading', { name: 'U bent uitgelogd', exact: true }).waitFor();
        await expectSound(page, 'logged-out-nl');
        await page.goto(`${acme.issuer}/logout`);
        await page.getByRole('heading', { name: 'U bent uitgelogd', exact: true }).waitFor();
        expect(complaints).toEqual([]);
      });
    });
  });

  it('that are about a request leading nowhere are sound, tell their reference, and never leave', async () => {
    const unknown = { clientId: 'nobody', clientSecret: '' };
    await visit(browser, { origins, locale: 'nl' }, async ({ page, complaints }) => {
      await page.goto(authorizationUrl(house, { redirect_uri: 'https://evil.example/callback' }));
      expect(await page.locator('h1').textContent()).toBe('Wij sturen u niet door');
      expect(await page.locator('main a').count()).toBe(0);
      await expectSound(page, 'problem-redirect-nl');
      const answer = await page.goto(authorizationUrl(unknown));
      expect(await page.locator('.facts').first().textContent()).toContain(answer?.headers()['x-request-id']);
      await takeShots(page, 'problem-client-nl');
      await page.goto(`${server.origin}/nothing-here`);
      await takeShots(page, 'problem-nobodys-nl');
      expect(await page.locator('.tenant').count()).toBe(0);
      await page.goto(`${acme.issuer}/nothing-here`);
      expect(await page.locator('.tenant').textContent()).toBe('Acme');
      await takeShots(page, 'problem-not-found-nl');
      await page.goto(acme.issuer);
      await expectSound(page, 'home-nl');
      expect(complaints).toEqual([]);
    });
    await visit(browser, { origins, locale: 'en' }, async ({ page, complaints }) => {
      await page.goto(authorizationUrl(unknown));
      expect(await page.locator('h1').textContent()).toBe('We do not know this app');
      await takeShots(page, 'problem-client-en');
      expect(complaints).toEqual([]);
    });
  });
});
