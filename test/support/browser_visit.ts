/** One person at one browser: a context of their own, and everything the browser had to complain about meanwhile. */
import { AxeBuilder } from '@axe-core/playwright';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';

export interface BrowserVisit {
  readonly page: Page;
  /** Broken policies, script errors, console errors, and requests to anyone who was not invited. */
  readonly complaints: readonly string[];
}

/** Where screenshots go, for people who want to look; nowhere unless it is set. */
const shotsDirectory = process.env['POORT_TEST_SCREENSHOTS'];

// An answer such as 400 is what a refusing page must have; the browser calls each of them an error.
const refusedPage = /^Failed to load resource: the server responded with a status of 4\d\d/;

/** Runs `use` in a fresh browser context that may talk to `origins` only, and closes it. */
export async function visit<Result>(
  browser: Browser,
  { origins, ...options }: BrowserContextOptions & { readonly origins: readonly string[] },
  use: (visit: BrowserVisit) => Promise<Result>,
): Promise<Result> {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(20_000); // bounds a hang on a busy machine
  const complaints: string[] = [];
  context.on('console', (message) => {
    if (message.type() !== 'error' || refusedPage.test(message.text())) return;
    complaints.push(message.text());
  });
  context.on('weberror', (error) => complaints.push(error.error().message));
  context.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    if (protocol.startsWith('http') && !origins.includes(origin)) complaints.push(`foreign request: ${request.url()}`);
  });
  await context.addInitScript(`document.addEventListener('securitypolicyviolation', (event) => {
    console.error('securitypolicyviolation: ' + event.violatedDirective + ' ' + event.blockedURI);
  })`);
  try {
    return await use({ page: await context.newPage(), complaints });
  } finally {
    await context.close();
  }
}

/** Fills in the sign-in page and sends it. */
export async function signInAs(page: Page, { email, password }: { email: string; password: string }): Promise<void> {
  await page.locator('#email').fill(email);
  await page.locator('#password').fill(password);
  await page.locator('#step .button').click();
}

/** Axe in both colour schemes: each violation as its rule and the element. */
export async function axeViolations(page: Page): Promise<readonly string[]> {
  const found: string[] = [];
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    const axe = new AxeBuilder({ page }).setLegacyMode(true);
    // A scheme changes colours only: in the second one there is nothing else to look at again.
    if (colorScheme === 'dark') axe.withRules(['color-contrast', 'link-in-text-block']);
    else axe.withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']);
    const { violations } = await axe.analyze();
    found.push(...violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${colorScheme} ${id}: ${html}`)));
  }
  await page.emulateMedia({ colorScheme: 'light' });
  return found;
}

/** How far a page of 320 pixels would have to be scrolled sideways (WCAG 2.2 1.4.10). */
export async function sidewaysScroll(page: Page): Promise<number> {
  const before = page.viewportSize();
  await page.setViewportSize({ width: 320, height: 640 });
  const width = Number(await page.evaluate('document.documentElement.scrollWidth'));
  if (before !== null) await page.setViewportSize(before);
  return width - 320;
}

/** Keeps pictures of a page when POORT_TEST_SCREENSHOTS names a directory: light, dark and narrow. */
export async function takeShots(page: Page, name: string): Promise<void> {
  if (shotsDirectory === undefined) return;
  const before = page.viewportSize();
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: `${shotsDirectory}/${name}-${colorScheme}.png`, fullPage: true });
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width: 320, height: 640 });
  await page.screenshot({ path: `${shotsDirectory}/${name}-narrow.png`, fullPage: true });
  if (before !== null) await page.setViewportSize(before);
}
