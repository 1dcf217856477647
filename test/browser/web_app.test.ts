/** examples/web-app against the real product in a real browser: two tenants, with and without JavaScript, in two languages. */
import { jest } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { addMember } from '#src/flows/people/manage_people.ts';
import { describeWithChromium, launchChromium } from '#test/support/browser.ts';
import { axeViolations, sidewaysScroll, signInAs, takeShots, visit } from '#test/support/browser_visit.ts';
import { type RunningApplication, startWebApp } from '#test/support/relying_parties.ts';
import { ageUsedValues } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const grace = { email: 'grace@acme.test', password: 'correct horse of another person' };

// A browser on a busy machine: this bounds a hang, it measures nothing.
jest.setTimeout(60_000);

describeWithChromium('a web application in Chromium', () => {
  let browser: Browser;
  let server: TestServer;
  let acme: TestTenant;
  let globex: TestTenant;
  let application: RunningApplication;
  let origins: readonly string[];

  beforeAll(async () => {
    server = await startTestServer();
    [acme, globex] = await Promise.all([createTestTenant(server, 'acme'), createTestTenant(server, 'globex')]);
    const person = {
      tenantId: acme.id,
      ...grace,
      roles: ['user'],
      verified: true,
      givenName: 'Grace',
      familyName: 'H',
    };
    await addMember(server.context, person);
    application = await startWebApp(server, [
      { tenant: acme, tokenFormat: 'jwt' },
      { tenant: globex, tokenFormat: 'opaque' },
    ]);
    origins = [server.origin, application.origin];
    browser = await launchChromium();
  });

  afterAll(async () => {
    await browser?.close();
    await application?.close();
    await server?.close();
  });

  async function press(page: Page, name: string): Promise<string> {
    await page.getByRole('button', { name, exact: true }).click();
    await page.locator('#last-action').waitFor();
    return `${await page.locator('#last-action-title').textContent()}: ${await page.locator('#last-action .notice').textContent()}`;
  }

  const lastAnswer = (page: Page) => page.locator('#last-action details[open] .answer').textContent();

  async function begin(page: Page, tenant: TestTenant): Promise<void> {
    await page.goto(application.origin);
    await page.locator(`section[aria-labelledby=tenant-${tenant.slug}] button`).click();
  }

  it.each([
    { javaScriptEnabled: true, locale: 'en-GB', tokenFormat: 'jwt' },
    { javaScriptEnabled: false, locale: 'nl-NL', tokenFormat: 'opaque' },
  ] as const)(
    'does everything with $tokenFormat tokens for its API ($locale, JavaScript: $javaScriptEnabled)',
    async ({ javaScriptEnabled, locale, tokenFormat }) => {
      const tenant = tokenFormat === 'jwt' ? acme : globex;
      await visit(browser, { origins, javaScriptEnabled, locale }, async ({ page, complaints }) => {
        await begin(page, tenant);
        expect(await page.locator('html').getAttribute('lang')).toBe(locale.slice(0, 2));
        await signInAs(page, tenant.person);
        await page.waitForURL(`${application.origin}/session/${tenant.slug}`);
        expect(await page.locator('h1').textContent()).toContain('Signed in at');

        expect(await press(page, 'Userinfo')).toContain('good for userinfo');
        expect(await lastAnswer(page)).toContain(tenant.person.email);
        expect(await press(page, 'Introspect')).toContain('the token was issued to it');
        expect(await lastAnswer(page)).toContain('"active": true');
        expect(await press(page, 'Refresh')).toContain('A fresh access token, and a successor');
        expect(await press(page, 'Userinfo')).toContain('good for userinfo');

        // A second authorization request: there and back without a password.
        expect(await press(page, 'Get a token for the API')).toContain(
          'the session at the authorization server was enough',
        );
        expect(await press(page, 'Call the API')).toContain(tokenFormat === 'jwt' ? 'by itself' : 'still lives');
        expect(await lastAnswer(page)).toContain('readings:read');
        if (tokenFormat === 'jwt') {
          expect(await press(page, 'Call as admin')).toContain('by itself');
          if (javaScriptEnabled) await takeShots(page, `web-app-session-${locale.slice(0, 2)}`);
        } else {
          expect(await press(page, 'Introspect as the API')).toContain('it is the audience');
          expect(await lastAnswer(page)).toContain(tenant.opaqueApi);
        }
        expect(await press(page, 'Get a fresh one')).toContain('for the same audience');
        expect(await press(page, 'Call the API')).toContain('The API');
        expect(await press(page, 'Userinfo')).toContain('good for userinfo');

        expect(await press(page, 'Revoke')).toContain('The grant is gone');
        expect(await press(page, 'Userinfo')).toContain('invalid_token');
        expect(await press(page, 'Introspect')).toContain('Not active');
        expect(await press(page, 'Refresh')).toContain('invalid_grant');

        await page.getByRole('button', { name: 'Log out' }).click();
        await page.locator('[name=logout]').click();
        await page.waitForURL(`${application.origin}/?state=signed_out`);
        expect(await page.getByRole('status').textContent()).toBe('You are signed out of this application.');
        await begin(page, tenant);
        expect(await page.locator('#password').isVisible()).toBe(true);
        expect(complaints).toEqual([]);
      });
    },
  );

  it('is given the same again when an answer got lost, and is told when a used refresh token comes back later', async () => {
    await visit(browser, { origins, locale: 'en-GB' }, async ({ page, complaints }) => {
      await begin(page, acme);
      await signInAs(page, acme.person);
      await press(page, 'Refresh');
      expect(await press(page, 'Present the previous one again')).toContain('the same successor');
      await ageUsedValues(server.database, 11);
      expect(await press(page, 'Present the previous one again')).toContain('ended the whole grant');
      await takeShots(page, 'web-app-replay');
      expect(await press(page, 'Userinfo')).toContain('invalid_token');
      expect(complaints).toEqual([]);
    });
  });

  it('takes no tokens for its API that are about somebody else', async () => {
    await visit(browser, { origins, locale: 'en-GB' }, async ({ page, complaints }) => {
      await begin(page, acme);
      await signInAs(page, acme.person);
      await page.locator('#last-action').waitFor();
      // Meanwhile, in another tab, one person leaves and another one comes.
      await page.context().clearCookies({ name: /^_/ });
      await page.getByRole('button', { name: 'Get a token for the API' }).click();
      await signInAs(page, grace);
      await page.getByText('The tokens are about another person').waitFor();
      expect(await page.locator('h1 + p code').textContent()).toBe(acme.person.id);
      expect(await page.getByRole('button', { name: 'Call the API' }).count()).toBe(0);
      expect(complaints).toEqual([]);
    });
  });

  it('may push its request, and may ask for consent, which is then asked with everything it asked for', async () => {
    await visit(browser, { origins, locale: 'en-GB' }, async ({ page, complaints }) => {
      for (const again of [false, true]) {
        await page.goto(application.origin);
        const card = page.locator('section[aria-labelledby=tenant-acme]');
        await card.locator('[name=pushed]').check();
        await card.locator('[name=ask_consent]').check();
        const request = page.waitForRequest((sent) => sent.url().startsWith(`${acme.issuer}/authorize`));
        await card.getByRole('button', { name: 'Sign in' }).click();
        expect([...new URL((await request).url()).searchParams.keys()].sort()).toEqual(['client_id', 'request_uri']);
        if (!again) await signInAs(page, acme.person);
        await page.locator('[value=allow]').waitFor();
        const rights = await page.locator('.right').allTextContents();
        expect(rights.join()).toContain('see your email address');
        expect(rights.join()).toContain('keep access while you are away');
        await page.locator('[value=allow]').click();
        await page.waitForURL(`${application.origin}/session/acme`);
      }
      expect(complaints).toEqual([]);
    });
  });

  it('keeps two tenants in one browser apart, and signs in at each once', async () => {
    await visit(browser, { origins }, async ({ page, complaints }) => {
      for (const tenant of [acme, globex]) {
        await begin(page, tenant);
        await signInAs(page, tenant.person);
        await page.waitForURL(`${application.origin}/session/${tenant.slug}`);
      }
      for (const tenant of [acme, globex]) {
        await begin(page, tenant);
        await page.waitForURL(`${application.origin}/session/${tenant.slug}`);
        expect(await page.locator('h1 + p code').textContent()).toBe(tenant.person.id);
      }
      await page.goto(`${application.origin}/session/acme`);
      await page.getByRole('button', { name: 'Log out' }).click();
      await page.locator('[name=logout]').click();
      await page.waitForURL(`${application.origin}/?state=signed_out`);
      // Signed out of one tenant: the other one does not notice.
      await begin(page, globex);
      await page.waitForURL(`${application.origin}/session/globex`);
      await begin(page, acme);
      expect(await page.locator('#password').isVisible()).toBe(true);
      expect(complaints).toEqual([]);
    });
  });

  it('has nothing for axe to report, and fits 320 pixels', async () => {
    await visit(browser, { origins, locale: 'en-GB' }, async ({ page, complaints }) => {
      await page.goto(application.origin);
      await takeShots(page, 'web-app-home');
      expect({ violations: await axeViolations(page), scroll: await sidewaysScroll(page) }).toEqual({
        violations: [],
        scroll: 0,
      });
      await begin(page, acme);
      await signInAs(page, acme.person);
      await press(page, 'Get a token for the API');
      expect({ violations: await axeViolations(page), scroll: await sidewaysScroll(page) }).toEqual({
        violations: [],
        scroll: 0,
      });
      await page.goto(`${application.origin}/callback/acme?state=unknown&code=x`);
      expect(await page.locator('h1').textContent()).toBe('This attempt is over');
      await takeShots(page, 'web-app-problem');
      expect({ violations: await axeViolations(page), scroll: await sidewaysScroll(page) }).toEqual({
        violations: [],
        scroll: 0,
      });
      expect(complaints).toEqual([]);
    });
  });
});
