/** The API reference as somebody reads it: drawn from the description, by this server alone, under a policy that nothing breaks. */
import { jest } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { personToken } from '#test/support/api_calls.ts';
import { describeWithChromium, launchChromium } from '#test/support/browser.ts';
import { takeShots, visit } from '#test/support/browser_visit.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

jest.setTimeout(60_000);

describeWithChromium('the API reference', () => {
  let server: TestServer;
  let acme: TestTenant;
  let browser: Browser;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    browser = await launchChromium();
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  it('shows every route, loads nothing from anywhere else, and breaks no policy', async () => {
    await visit(browser, { origins: [server.origin] }, async ({ page, complaints }) => {
      await page.goto(`${server.origin}/docs?tenant=acme`);
      const operation = page.locator('[id="operations-api-keys-get_api_keys"]');
      await operation.waitFor();
      expect(await page.locator('.opblock').count()).toBeGreaterThan(15);
      await takeShots(page, 'api_reference');
      expect(complaints).toEqual([]);
    });
  });

  it('calls the API with a token that its reader pastes', async () => {
    const token = await personToken(server, acme);
    await visit(browser, { origins: [server.origin] }, async ({ page, complaints }) => {
      await page.goto(`${server.origin}/docs?tenant=acme`);
      await page.locator('.btn.authorize').first().click();
      await page.locator('.auth-container:has-text("The same token, pasted") input').first().fill(token);
      await page.locator('.auth-container:has-text("The same token, pasted") .authorize').click();
      await page.locator('.btn-done').first().click();
      const operation = page.locator('[id="operations-api-keys-get_api_keys"]');
      await operation.locator('.opblock-summary-control').first().click();
      await operation.locator('.try-out__btn').click();
      await operation.locator('.execute').click();
      const answer = operation.locator('.live-responses-table .response-col_status').last();
      await answer.waitFor();
      expect(await answer.textContent()).toContain('200');
      expect(complaints).toEqual([]);
    });
  });

  it('takes no description from its address, and names no tenant that cannot be one', async () => {
    for (const search of [
      '?url=https://evil.example/x.json',
      '?tenant=../../x',
      '?tenant="><script>',
      '?configUrl=//evil.example',
    ]) {
      const html = await (await fetch(`${server.origin}/docs${search}`)).text();
      expect(html).toContain('data-description="/api/v1/openapi.json"');
      await visit(browser, { origins: [server.origin] }, async ({ page, complaints }) => {
        await page.goto(`${server.origin}/docs${search}`);
        await page.locator('.opblock').first().waitFor();
        expect(complaints).toEqual([]);
      });
    }
  });
});
