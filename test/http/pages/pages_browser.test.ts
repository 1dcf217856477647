/** How the pages behave in a browser: what the small scripts add, and that nothing is missing without them. */
import { jest } from '@jest/globals';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { describeWithChromium, launchChromium } from '#test/support/browser.ts';
import { visit } from '#test/support/browser_visit.ts';
import { type PageServer, startPageServer } from '#test/support/page_server.ts';

jest.setTimeout(60_000);

describeWithChromium('a hosted page in Chromium', () => {
  let browser: Browser;
  let server: PageServer;
  const addressOf: PageServer['addressOf'] = (name, locale) => server.addressOf(name, locale);

  beforeAll(async () => {
    server = await startPageServer();
    browser = await launchChromium();
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  beforeEach(() => {
    server.posted.length = 0;
  });

  const open = (
    options: BrowserContextOptions,
    use: (page: Page, complaints: readonly string[]) => Promise<void>,
  ): Promise<void> =>
    visit(browser, { origins: [server.origin, server.application], ...options }, ({ page, complaints }) =>
      use(page, complaints),
    );

  it('shows the skip link to who comes by keyboard, before anything else (item 3)', async () => {
    await open({ javaScriptEnabled: false }, async (page) => {
      for (const name of ['sign_in error', 'consent initial', 'logout initial', 'problem initial']) {
        await page.goto(addressOf(name));
        await page.keyboard.press('Tab');
        const focused = page.locator(':focus');
        expect(await focused.getAttribute('href')).toBe('#main');
        expect((await focused.boundingBox())?.height).toBeGreaterThanOrEqual(24);
      }
    });
  });

  it('has no sideways scroll on a tablet and a wide screen', async () => {
    for (const width of [768, 1600]) {
      await open({ viewport: { width, height: 800 } }, async (page) => {
        await page.goto(addressOf('consent initial'));
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
      });
    }
  });

  it('shows deny as large as allow', async () => {
    await open({}, async (page) => {
      await page.goto(addressOf('consent initial'));
      const deny = await page.locator('[value=deny]').boundingBox();
      const allow = await page.locator('[value=allow]').boundingBox();
      expect([deny?.width, deny?.height]).toEqual([allow?.width, allow?.height]);
    });
  });

  it('takes the focus to what went wrong, and from there to the field', async () => {
    await open({}, async (page) => {
      await page.goto(addressOf('sign_in error', 'en'));
      expect(await page.locator(':focus').getAttribute('role')).toBe('alert');
      await page.locator('.summary a').click();
      expect(await page.locator(':focus').getAttribute('name')).toBe('password');
    });
  });

  it('offers to show the password only where a script can, says so, and hides it again on submit', async () => {
    await open({ javaScriptEnabled: false }, async (page) => {
      await page.goto(addressOf('sign_in initial'));
      expect(await page.locator('.toggle').isVisible()).toBe(false);
    });
    await open({}, async (page) => {
      await page.goto(addressOf('sign_in initial', 'en'));
      const toggle = page.getByRole('button', { name: 'Show password' });
      await toggle.click();
      expect(await page.locator('#password').getAttribute('type')).toBe('text');
      expect(await page.getByRole('status').textContent()).toBe('Your password is visible');
      expect(await page.getByRole('button', { name: 'Hide password' }).isVisible()).toBe(true);
      await page.evaluate(
        `document.querySelector('form').addEventListener('submit', (event) => event.preventDefault());
         document.querySelector('form').requestSubmit()`,
      );
      expect(await page.locator('#password').getAttribute('type')).toBe('password');
    });
  });

  it('sends one answer for two presses, with the value of the button that was pressed', async () => {
    await open({}, async (page) => {
      await page.goto(`${addressOf('consent initial', 'en')}&with_client=1`);
      const button = await page.evaluate(`(() => {
        const button = document.querySelector('[value=allow]');
        let sent = 0;
        button.form.addEventListener('submit', (event) => (sent += event.defaultPrevented ? 0 : 1));
        button.click();
        button.click();
        return [sent, button.getAttribute('aria-disabled'), button.disabled, button.textContent];
      })()`);
      expect(button).toEqual([1, 'true', false, 'One moment…']);
      await page.waitForURL(`${server.application}/**`);
      expect(server.posted).toEqual(['csrf=csrf-value&decision=allow']);
    });
  });

  it('reaches the application on another origin when the policy names it, without any script as well', async () => {
    for (const javaScriptEnabled of [true, false]) {
      await open({ javaScriptEnabled }, async (page, complaints) => {
        await page.goto(`${addressOf('sign_in initial')}&with_client=1`);
        await page.locator('#email').fill('ada@linde.example');
        await page.locator('#password').fill(' correct horse ');
        await page.keyboard.press('Enter');
        await page.waitForURL(`${server.application}/**`);
        expect(complaints).toEqual([]);
        expect(new URLSearchParams(server.posted.at(-1)).get('password')).toBe(' correct horse ');
      });
    }
  });

  it('is stopped on the way to an application that the policy does not name', async () => {
    await open({}, async (page) => {
      await page.goto(addressOf('sign_in initial'));
      const refusal = page.waitForEvent('console', (message) => message.text().includes('form-action'));
      await page.evaluate("document.querySelector('form').requestSubmit()");
      // The form itself was sent and answered: only the redirect is refused, after the code was made.
      expect((await refusal).text()).toContain('has been blocked');
      expect(server.posted).toHaveLength(1);
      expect(page.url()).toBe(addressOf('sign_in initial'));
    });
  });

  it('keeps the address but not the password when the language is changed by the form', async () => {
    await open({}, async (page) => {
      await page.goto(`${addressOf('sign_in whose language switch posts the form')}&with_client=1`);
      await page.locator('#email').fill('ada@linde.example');
      await page.locator('#password').fill('secret');
      await page.getByRole('button', { name: 'English' }).click();
      await page.waitForURL(`${server.application}/**`);
      expect(Object.fromEntries(new URLSearchParams(server.posted.at(-1)))).toEqual({
        csrf: 'csrf-value',
        email: 'ada@linde.example',
        password: '',
        ui_locales: 'en',
      });
    });
  });
});
