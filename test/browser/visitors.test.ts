/** How somebody comes in and comes back, in a real browser, with scripts and without: registering, proving, recovering. */
import { jest } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { describeWithChromium, launchChromium } from '#test/support/browser.ts';
import { signInAs, visit } from '#test/support/browser_visit.ts';
import { newPersonWithTotp, totpCode } from '#test/support/second_factor.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest } from '#test/support/user_agent.ts';
import { goodPassword, newAddress, proofFor } from '#test/support/visitor.ts';
import { callbackUri, createTestTenant, type TestTenant } from '#test/support/world.ts';

jest.setTimeout(60_000);

const another = 'zeehond paraplu driehoek';

describeWithChromium('somebody who is not signed in, in Chromium', () => {
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

  const signInUrl = () => authorizationRequest(acme, acme.clients.web).url;
  const send = (page: Page): Promise<void> => page.locator('#step .button').click();

  /** Nobody listens at the application: that the browser was sent there is what counts. */
  async function arrives(page: Page, act: () => Promise<void>): Promise<void> {
    const arrived = page.waitForRequest((request) => request.url().startsWith(`${callbackUri}?code=`));
    await act();
    await arrived;
  }

  describe.each([
    ['with scripts', true],
    ['without scripts', false],
  ] as const)('%s', (_name, javaScriptEnabled) => {
    const options = { javaScriptEnabled, locale: 'nl-NL' };
    const here = () => ({ ...options, origins: [server.origin, new URL(callbackUri).origin] });

    it('registers from the sign-in page, types the code, and goes back to sign in', async () => {
      const email = newAddress();
      await visit(browser, here(), async ({ page, complaints }) => {
        await page.goto(signInUrl());
        await page.getByRole('link', { name: 'Account maken' }).click();
        await page.locator('#email').fill(email);
        await page.locator('#given_name').fill('Grace');
        await page.locator('#password').fill(goodPassword);
        await send(page);
        await page.waitForURL('**/verify');
        await page.locator('#code').fill((await proofFor(server, acme, email)).code);
        await send(page);
        await page.waitForURL('**/verify?done=registered&interaction=*');
        await page.getByRole('link', { name: 'Inloggen' }).click();
        await arrives(page, () => signInAs(page, { email, password: goodPassword }));
        expect(complaints.filter((complaint) => !complaint.includes('ERR_CONNECTION_REFUSED'))).toEqual([]);
      });
    });

    it('registers in one browser and proves the address by the link in another', async () => {
      const email = newAddress();
      await visit(browser, here(), async ({ page }) => {
        await page.goto(`${acme.issuer}/signup`);
        await page.locator('#email').fill(email);
        await page.locator('#password').fill(goodPassword);
        await send(page);
        await page.waitForURL('**/verify');
      });
      await visit(browser, here(), async ({ page, complaints }) => {
        await page.goto((await proofFor(server, acme, email)).link);
        await page.locator('#password').fill(goodPassword);
        await send(page);
        await page.waitForURL('**/verify?done=registered');
        expect(complaints).toEqual([]);
        await page.goto(signInUrl());
        await arrives(page, () => signInAs(page, { email, password: goodPassword }));
      });
    });

    it('chooses a new password by the link, and is still asked for the second factor', async () => {
      const person = await newPersonWithTotp(server, acme);
      await visit(browser, here(), async ({ page, complaints }) => {
        await page.goto(signInUrl());
        await page.getByRole('link', { name: 'Wachtwoord vergeten?' }).click();
        await page.locator('#email').fill(person.email);
        await send(page);
        await page.waitForURL('**/reset');
        await page.goto((await proofFor(server, acme, person.email)).link);
        await page.locator('#new_password').fill(another);
        await send(page);
        await page.waitForURL('**/reset?done=reset*');
        expect(complaints).toEqual([]);
        await page.getByRole('link', { name: 'Inloggen' }).click();
        await signInAs(page, { email: person.email, password: another });
        await page.locator('#code').fill(totpCode(person.secret, new Date()));
        await arrives(page, () => send(page));
      });
    });

    it('changes the language without losing what was typed', async () => {
      await visit(browser, here(), async ({ page }) => {
        await page.goto(`${acme.issuer}/signup`);
        await page.locator('#email').fill('ada@example.org');
        await page.locator('#family_name').fill('Lovelace');
        await page.getByRole('button', { name: 'English' }).click();
        await page.getByRole('heading', { name: 'Create an account' }).waitFor();
        expect(await page.locator('#email').inputValue()).toBe('ada@example.org');
        expect(await page.locator('#family_name').inputValue()).toBe('Lovelace');
      });
    });
  });
});
