import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AxeBuilder } from '@axe-core/playwright';
import { jest } from '@jest/globals';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { contentSecurityPolicy, formActionSource } from '#src/http/pages/content_security_policy.ts';
import { assets } from '#src/http/pages/render.ts';
import { type Locale, locales } from '#src/http/pages/translations.ts';
import { describeWithChromium, launchChromium } from '#test/support/browser.ts';
import { pageStates, shellFor } from './page_fixtures.ts';

const axeTags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const colourRules = ['color-contrast', 'link-in-text-block'];
// A browser on a busy machine: these bound a hang, they measure nothing.
const slow = 180_000;

// The kinds of problem differ in their words, not in their markup: one of them stands for all.
const distinctStates = pageStates.filter(({ page, name }) => page !== 'problem' || /fault|oauth|throttled/u.test(name));

jest.setTimeout(60_000);

describeWithChromium('a hosted page in Chromium', () => {
  let browser: Browser;
  let server: Server;
  let relyingParty: Server;
  let origin: string;
  let relyingPartyOrigin: string;
  let posted: string[] = [];

  beforeAll(async () => {
    relyingParty = createServer((_request, response) => response.end('signed in at the application'));
    relyingPartyOrigin = await listen(relyingParty);
    server = createServer((request, response) => {
      const url = new URL(request.url ?? '/', 'http://localhost');
      const asset = assets.find(({ path }) => `/assets${path}` === url.pathname);
      if (asset !== undefined) {
        response.setHeader('Content-Type', asset.contentType).end(asset.body);
        return;
      }
      if (request.method === 'POST') {
        const parts: Buffer[] = [];
        request.on('data', (part) => parts.push(part));
        request.on('end', () => {
          posted.push(Buffer.concat(parts).toString());
          response.writeHead(303, { Location: `${relyingPartyOrigin}/callback?code=1` }).end();
        });
        return;
      }
      const state = pageStates.find(({ name }) => name === url.searchParams.get('state'));
      if (state === undefined) {
        response.writeHead(404).end();
        return;
      }
      const locale: Locale = url.searchParams.get('locale') === 'en' ? 'en' : 'nl';
      const client = url.searchParams.has('with_client')
        ? formActionSource(`${relyingPartyOrigin}/callback`)
        : undefined;
      response.setHeader('Content-Type', 'text/html; charset=utf-8');
      response.setHeader(
        'Content-Security-Policy',
        contentSecurityPolicy({ formActionOrigins: client === undefined ? [] : [client] }),
      );
      response.end(state.render(shellFor(locale)));
    });
    origin = await listen(server);
    browser = await launchChromium();
  });

  afterAll(async () => {
    await browser?.close();
    for (const open of [server, relyingParty]) {
      open?.closeAllConnections();
      open?.close();
    }
  });

  beforeEach(() => {
    posted = [];
  });

  const addressOf = (state: string, locale: Locale = 'nl') =>
    `${origin}/?locale=${locale}&state=${encodeURIComponent(state)}`;

  /** A page with its complaints: violated policies, script errors, and requests to anyone but us. */
  async function open<T>(
    options: BrowserContextOptions,
    use: (page: Page, complaints: readonly string[]) => Promise<T>,
  ): Promise<T> {
    const context = await browser.newContext(options);
    const complaints: string[] = [];
    const page = await context.newPage();
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('request', (request) => {
      if (![origin, relyingPartyOrigin].includes(new URL(request.url()).origin)) complaints.push(request.url());
    });
    try {
      return await use(page, complaints);
    } finally {
      await context.close();
    }
  }

  it.each(locales)(
    'has nothing for axe to report in %s, in any state and either scheme, and breaks no policy',
    async (locale) => {
      await open({}, async (page, complaints) => {
        for (const { name } of distinctStates) {
          await page.emulateMedia({ colorScheme: 'light' });
          await page.goto(addressOf(name, locale));
          const light = await new AxeBuilder({ page }).setLegacyMode(true).withTags(axeTags).analyze();
          await page.emulateMedia({ colorScheme: 'dark' });
          // A scheme changes colours only: in the second one there is nothing else to look at again.
          const dark = await new AxeBuilder({ page }).setLegacyMode(true).withRules(colourRules).analyze();
          const violations = [...light.violations, ...dark.violations].flatMap(({ id, nodes }) =>
            nodes.map(({ html }) => `${id}: ${html}`),
          );
          expect({ name, violations, complaints: [...complaints] }).toEqual({ name, violations: [], complaints: [] });
        }
      });
    },
    slow,
  );

  it('is drawn in the colours of its scheme', async () => {
    await open({ colorScheme: 'dark' }, async (page) => {
      await page.goto(addressOf('consent'));
      const background = () => page.evaluate('getComputedStyle(document.body).backgroundColor');
      const dark = await background();
      await page.emulateMedia({ colorScheme: 'light' });
      expect(await background()).not.toBe(dark);
    });
  });

  it('fits 320 pixels without scrolling sideways, also with more space between the letters', async () => {
    await open({ viewport: { width: 320, height: 640 }, bypassCSP: true }, async (page) => {
      for (const { name } of pageStates) {
        await page.goto(addressOf(name));
        // WCAG 2.2 1.4.12 text spacing.
        await page.addStyleTag({
          content:
            '* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important; }',
        });
        const width = await page.evaluate('document.documentElement.scrollWidth');
        expect({ name, width }).toEqual({ name, width: 320 });
      }
    });
  });

  it('has no sideways scroll on a tablet and a wide screen', async () => {
    for (const width of [768, 1600]) {
      await open({ viewport: { width, height: 800 } }, async (page) => {
        await page.goto(addressOf('consent'));
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
      });
    }
  });

  it('starts the tab order with the skip link, and shows it', async () => {
    await open({ javaScriptEnabled: false }, async (page) => {
      for (const name of ['sign_in after wrong credentials', 'consent', 'logout', 'problem fault', 'expired']) {
        await page.goto(addressOf(name));
        await page.keyboard.press('Tab');
        const focused = page.locator(':focus');
        expect(await focused.getAttribute('href')).toBe('#main');
        expect((await focused.boundingBox())?.height).toBeGreaterThanOrEqual(24);
      }
    });
  });

  it('has targets of 24 pixels at least, and buttons of 44', async () => {
    await open({ viewport: { width: 320, height: 640 } }, async (page) => {
      for (const { name } of pageStates) {
        await page.goto(addressOf(name));
        // Links inside a sentence are excepted (WCAG 2.2 2.5.8); everything else has its own height.
        const small = await page.evaluate(`
          [...document.querySelectorAll('main a, main button, main input:not([type=hidden]), summary, footer a, footer button')]
            .filter((target) => target.checkVisibility() && getComputedStyle(target).display !== 'inline')
            .filter((target) => target.getBoundingClientRect().height < (target.matches('.button') ? 44 : 24))
            .map((target) => target.outerHTML)`);
        expect({ name, small }).toEqual({ name, small: [] });
      }
    });
  });

  it('shows deny as large as allow', async () => {
    await open({}, async (page) => {
      await page.goto(addressOf('consent'));
      const deny = await page.locator('[value=deny]').boundingBox();
      const allow = await page.locator('[value=allow]').boundingBox();
      expect([deny?.width, deny?.height]).toEqual([allow?.width, allow?.height]);
    });
  });

  it('takes the focus to what went wrong, and from there to the field', async () => {
    await open({}, async (page) => {
      await page.goto(addressOf('sign_in after wrong credentials', 'en'));
      expect(await page.locator(':focus').getAttribute('role')).toBe('alert');
      await page.locator('.summary a').click();
      expect(await page.locator(':focus').getAttribute('name')).toBe('password');
    });
  });

  it('offers to show the password only where a script can, says so, and hides it again on submit', async () => {
    await open({ javaScriptEnabled: false }, async (page) => {
      await page.goto(addressOf('sign_in at first'));
      expect(await page.locator('.toggle').isVisible()).toBe(false);
    });
    await open({}, async (page) => {
      await page.goto(addressOf('sign_in at first', 'en'));
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
      await page.goto(`${addressOf('consent', 'en')}&with_client=1`);
      const button = await page.evaluate(`(() => {
        const button = document.querySelector('[value=allow]');
        let sent = 0;
        button.form.addEventListener('submit', (event) => (sent += event.defaultPrevented ? 0 : 1));
        button.click();
        button.click();
        return [sent, button.getAttribute('aria-disabled'), button.disabled, button.textContent];
      })()`);
      expect(button).toEqual([1, 'true', false, 'One moment…']);
      await page.waitForURL(`${relyingPartyOrigin}/**`);
      expect(posted).toEqual(['csrf=csrf-value&decision=allow']);
    });
  });

  it('reaches the application on another origin when the policy names it, without any script as well', async () => {
    for (const javaScriptEnabled of [true, false]) {
      await open({ javaScriptEnabled }, async (page, complaints) => {
        await page.goto(`${addressOf('sign_in at first')}&with_client=1`);
        await page.locator('#email').fill('ada@linde.example');
        await page.locator('#password').fill(' correct horse ');
        await page.keyboard.press('Enter');
        await page.waitForURL(`${relyingPartyOrigin}/**`);
        expect(complaints).toEqual([]);
        expect(new URLSearchParams(posted.at(-1)).get('password')).toBe(' correct horse ');
      });
    }
  });

  it('is stopped on the way to an application that the policy does not name', async () => {
    await open({}, async (page) => {
      await page.goto(addressOf('sign_in at first'));
      const refusal = page.waitForEvent('console', (message) => message.text().includes('form-action'));
      await page.evaluate("document.querySelector('form').requestSubmit()");
      // The form itself was sent and answered: only the redirect is refused, after the code was made.
      expect((await refusal).text()).toContain('has been blocked');
      expect(posted).toHaveLength(1);
      expect(page.url()).toBe(addressOf('sign_in at first'));
    });
  });

  it('keeps the address but not the password when the language is changed by the form', async () => {
    await open({}, async (page) => {
      await page.goto(`${addressOf('sign_in whose language switch posts the form')}&with_client=1`);
      await page.locator('#email').fill('ada@linde.example');
      await page.locator('#password').fill('secret');
      await page.getByRole('button', { name: 'English' }).click();
      await page.waitForURL(`${relyingPartyOrigin}/**`);
      expect(Object.fromEntries(new URLSearchParams(posted.at(-1)))).toEqual({
        csrf: 'csrf-value',
        email: 'ada@linde.example',
        password: '',
        ui_locales: 'en',
      });
    });
  });

  it('keeps its shapes in forced colours', async () => {
    await open({ forcedColors: 'active' }, async (page) => {
      await page.goto(addressOf('sign_in after wrong credentials'));
      const border = await page.evaluate("getComputedStyle(document.querySelector('.button')).borderTopWidth");
      expect(border).toBe('2px');
    });
  });
});

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A TCP server's address is always of this shape.
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
