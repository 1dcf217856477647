/** The person's own pages in a real browser, with scripts and without: every page does what it is for, and complains of nothing. */
import { readFile } from 'node:fs/promises';
import { jest } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { describeWithChromium, launchChromium } from '#test/support/browser.ts';
import { axeViolations, sidewaysScroll, signInAs, takeShots, visit } from '#test/support/browser_visit.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, createUserAgent } from '#test/support/user_agent.ts';
import { createTestTenant, newPerson, type TestTenant } from '#test/support/world.ts';

jest.setTimeout(90_000);

describeWithChromium('the account in Chromium', () => {
  let browser: Browser;
  let server: TestServer;
  let acme: TestTenant;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    browser = await launchChromium();
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  async function expectSound(page: Page, name: string): Promise<void> {
    await takeShots(page, name);
    expect({ name, violations: await axeViolations(page), scroll: await sidewaysScroll(page) }).toEqual({
      name,
      violations: [],
      scroll: 0,
    });
  }

  async function open(page: Page, area: string): Promise<void> {
    await page.getByRole('navigation', { name: 'Your account' }).getByRole('link', { name: area, exact: true }).click();
    await page.getByRole('heading', { level: 1, name: area }).waitFor();
  }

  it.each([true, false])('does what each page is for (scripts: %s)', async (javaScriptEnabled) => {
    const ada = await newPerson(server, acme);
    const elsewhere = createUserAgent(server.origin);
    const { third } = acme.clients;
    await authorize(elsewhere, { tenant: acme, client: third, person: ada, extra: { scope: 'openid email' } });
    const newPassword = 'seven violet otters at noon';
    const options = { origins: [server.origin], locale: 'en', javaScriptEnabled, acceptDownloads: true };

    await visit(browser, options, async ({ page, complaints }) => {
      await page.goto(`${acme.issuer}/account`);
      await signInAs(page, ada);
      await page.getByRole('heading', { name: 'Your account at Acme' }).waitFor();
      if (javaScriptEnabled) await expectSound(page, 'account-en');

      await open(page, 'Profile and language');
      await page.locator('#given_name').fill('Ada');
      await page.locator('#locale').selectOption('en');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.getByText('Your profile has been saved.').waitFor();

      await open(page, 'Connected apps');
      await page.getByRole('heading', { level: 2, name: 'Somebody else' }).waitFor();
      await page.getByRole('button', { name: 'Take access back' }).click();
      await page.getByText('Access has been taken back.').waitFor();

      await open(page, 'Where you are signed in');
      expect(await page.locator('.entry').count()).toBe(2);
      expect(await page.locator('.entry').first().textContent()).toContain('This device');
      if (javaScriptEnabled) await expectSound(page, 'account-sessions-en');
      await page.getByRole('button', { name: 'Sign out everywhere else' }).click();
      await page.getByText('You have been signed out everywhere else.').waitFor();
      expect(await page.locator('.entry').count()).toBe(1);

      await open(page, 'Password');
      await page.locator('#password').fill('not the password');
      await page.locator('#new_password').fill(newPassword);
      await page.getByRole('button', { name: 'Change password' }).click();
      await page.getByRole('alert').waitFor();
      await page.locator('#password').fill(ada.password);
      await page.locator('#new_password').fill(newPassword);
      await page.getByRole('button', { name: 'Change password' }).click();
      await page.getByText('Your password has been changed.').waitFor();

      await open(page, 'Activity');
      await page.getByRole('cell', { name: 'Password changed' }).waitFor();
      if (javaScriptEnabled) await expectSound(page, 'account-activity-en');

      await open(page, 'Download your data');
      const downloading = page.waitForEvent('download');
      await page.getByRole('button', { name: 'Download the file' }).click();
      const file = await readFile(await (await downloading).path(), 'utf8');
      expect(JSON.parse(file)).toMatchObject({ profile: { email: ada.email, given_name: 'Ada' } });

      await open(page, 'Delete account');
      await page.getByRole('button', { name: 'Delete account' }).click();
      await page.getByRole('alert').waitFor();
      await page.getByRole('checkbox').check();
      await page.getByRole('button', { name: 'Delete account' }).click();
      await page.getByRole('heading', { name: 'Your account will be deleted' }).waitFor();
      await page.getByRole('link', { name: 'Sign in and keep the account' }).click();
      await signInAs(page, { ...ada, password: newPassword });
      await page.getByRole('button', { name: 'Keep account' }).click();
      await page.getByText('Your account stays.').waitFor();
      expect(complaints).toEqual([]);
    });
  });

  it('sends one form, however often its button is pressed', async () => {
    const ada = await newPerson(server, acme);
    await visit(browser, { origins: [server.origin], locale: 'en' }, async ({ page, complaints }) => {
      await page.goto(`${acme.issuer}/account/delete`);
      await signInAs(page, ada);
      await page.getByRole('checkbox').check();
      const posts: string[] = [];
      page.on('request', (request) => {
        if (request.method() === 'POST') posts.push(request.url());
      });
      await page.getByRole('button', { name: 'Delete account' }).dblclick();
      await page.getByRole('heading', { name: 'Your account will be deleted' }).waitFor();
      expect(posts).toHaveLength(1);
      expect(complaints).toEqual([]);
    });
  });
});
