/** examples/spa, that is oidc-client-ts, against the hosted pages from another origin in a real browser. */
import { jest } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { describeWithChromium, launchChromium } from '#test/support/browser.ts';
import { axeViolations, sidewaysScroll, signInAs, takeShots, visit } from '#test/support/browser_visit.ts';
import { type RunningApplication, startSpa, startWebApp } from '#test/support/relying_parties.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

jest.setTimeout(60_000);

describeWithChromium('a single page application in Chromium', () => {
  let browser: Browser;
  let server: TestServer;
  let acme: TestTenant;
  let spa: RunningApplication;
  let webApp: RunningApplication;
  let origins: readonly string[];

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    [spa, webApp] = await Promise.all([
      startSpa(server, acme),
      startWebApp(server, [{ tenant: acme, tokenFormat: 'jwt' }]),
    ]);
    origins = [server.origin, spa.origin, webApp.origin];
    browser = await launchChromium();
  });

  afterAll(async () => {
    await browser?.close();
    await Promise.all([spa?.close(), webApp?.close()]);
    await server?.close();
  });

  it('signs in, reads userinfo, refreshes, survives a reload and signs out', async () => {
    await visit(browser, { origins, locale: 'en-GB' }, async ({ page, complaints }) => {
      const status = page.locator('#status');
      const statusBecomes = (text: string) => page.locator('#status', { hasText: text }).waitFor();
      await page.goto(spa.origin);
      await page.locator('#sign-in').click();
      await signInAs(page, acme.person);
      await page.waitForURL(`${spa.origin}/`);
      await statusBecomes(`Signed in as ${acme.person.email}`);
      await takeShots(page, 'spa-signed-in');
      expect({ violations: await axeViolations(page), scroll: await sidewaysScroll(page) }).toEqual({
        violations: [],
        scroll: 0,
      });

      await page.locator('#userinfo').click();
      await page.locator('#answer', { hasText: 'Ada Lovelace' }).waitFor();
      await page.locator('#refresh').click();
      await page.locator('#answer', { hasText: '"new refresh token": true' }).waitFor();
      expect(await page.locator('#answer').textContent()).toContain('"new access token": true');

      await page.reload();
      await statusBecomes(`Signed in as ${acme.person.email}`);
      await page.locator('#sign-out').click();
      await page.locator('[name=logout]').click();
      await page.waitForURL(`${spa.origin}/**`);
      await statusBecomes('Not signed in');
      expect(await status.textContent()).toBe('Not signed in');
      expect(complaints).toEqual([]);
    });
  });

  it('renews by itself with its refresh token before the access token expires, until it is signed out elsewhere', async () => {
    await visit(browser, { origins, locale: 'en-GB' }, async ({ page, complaints }) => {
      const renewals: string[] = [];
      page.on('requestfinished', (request) => {
        const form = new URLSearchParams(request.postData() ?? '');
        if (form.get('grant_type') === 'refresh_token') renewals.push(form.get('refresh_token') ?? '');
      });
      const renewed = () =>
        page.waitForResponse(
          (response) => response.url() === `${acme.issuer}/token` && response.request().method() === 'POST',
        );
      // The page's clock is the test's: fifteen minutes pass at once.
      await page.clock.install();
      await page.goto(spa.origin);
      await page.locator('#sign-in').click();
      await signInAs(page, acme.person);
      await page.locator('#status', { hasText: 'Signed in as' }).waitFor();
      for (let round = 1; round <= 2; round += 1) {
        const answer = renewed();
        await page.clock.fastForward('14:30');
        expect((await answer).status()).toBe(200);
        await page.locator('#status', { hasText: 'Signed in as' }).waitFor();
      }
      expect(new Set(renewals).size).toBe(2);
      expect(page.frames()).toHaveLength(1);

      const elsewhere = await page.context().newPage();
      await elsewhere.goto(`${acme.issuer}/logout`);
      await elsewhere.locator('[name=logout]').click();
      await elsewhere.waitForLoadState();
      const refused = renewed();
      await page.clock.fastForward('14:30');
      expect((await refused).status()).toBe(400);
      await page.locator('#status', { hasText: 'Renewing failed' }).waitFor();
      expect(complaints).toEqual([]);
    });
  });

  it('shares the session with another application in another tab, and neither takes the other one for itself', async () => {
    await visit(browser, { origins, locale: 'en-GB' }, async ({ page, complaints }) => {
      const other = await page.context().newPage();
      // Both leave for the sign-in page before either comes back.
      await page.goto(spa.origin);
      await page.locator('#sign-in').click();
      await page.locator('#password').waitFor();
      await other.goto(webApp.origin);
      await other.getByRole('button', { name: 'Sign in' }).click();
      await other.locator('#password').waitFor();
      expect(await page.locator('.intro').textContent()).toContain('Single page application');
      expect(await other.locator('.intro').textContent()).toContain('Web app');

      await signInAs(page, acme.person);
      await page.locator('#status', { hasText: 'Signed in as' }).waitFor();
      await signInAs(other, acme.person);
      await other.waitForURL(`${webApp.origin}/session/acme`);
      expect(await other.locator('h1 + p code').textContent()).toBe(acme.person.id);

      await other.getByRole('button', { name: 'Userinfo' }).click();
      expect(await other.locator('#last-action .notice').textContent()).toContain('good for userinfo');
      await page.locator('#userinfo').click();
      await page.locator('#answer', { hasText: acme.person.email }).waitFor();
      expect(complaints).toEqual([]);
    });
  });
});
