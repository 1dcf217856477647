/**
 * Every page in every state, as it is served, in a real browser: both languages, both colour schemes, wide, 320 pixels narrow (which
 * is 1280 at 400 %), with spaced text, forced colours and reduced motion. One load of each state and language answers everything;
 * docs/pages.md says which item of the checklist is held where.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { jest } from '@jest/globals';
import { parse, wcagContrast } from 'culori';
import type { Browser, Page } from 'playwright-core';
import { presenters } from '#src/http/pages/kit/page_models.ts';
import { type Locale, locales } from '#src/http/pages/kit/translations.ts';
import { describeWithChromium, launchChromium } from '#test/support/browser.ts';
import { visit } from '#test/support/browser_visit.ts';
import { pageFixtures, pageStates, type Shown } from '#test/support/page_fixtures.ts';
import { type PageServer, startPageServer } from '#test/support/page_server.ts';

const ours = createRequire(import.meta.url);
// The engine that AxeBuilder brings: we inject it ourselves, once for each load instead of once for each question.
const { source: axeSource } = createRequire(ours.resolve('@axe-core/playwright'))('axe-core');
const inspection = readFileSync(new URL('../support/page_inspection.js', import.meta.url), 'utf8');

const axeTags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
// A scheme changes colours only: in the second one there is nothing else to look at again.
const colourRules = ['color-contrast', 'link-in-text-block'];
const wide = { width: 1280, height: 720 };
/** WCAG 2.2 1.4.10: 1280 by 1024 at 400 %. */
const narrow = { width: 320, height: 256 };
// As many as keep two cores busy: a page waits for the browser most of the time.
const atOnce = 3;

/** Bounds a hang on a busy machine. */
const slow = 420_000;
jest.setTimeout(60_000);

interface Report {
  readonly title: string;
  readonly faults: readonly string[];
}

describe('the fixtures', () => {
  it('know every page', () => {
    expect(Object.keys(pageFixtures).sort()).toEqual(Object.keys(presenters).sort());
  });
});

describeWithChromium('every page in Chromium', () => {
  const reports = new Map<string, Report>();
  const keyOf = ({ name }: Shown, locale: Locale) => `${name} ${locale}`;
  let browser: Browser;
  let server: PageServer;

  beforeAll(async () => {
    server = await startPageServer();
    browser = await launchChromium();
    const waiting = locales.flatMap((locale) => pageStates.map((shown) => ({ shown, locale })));
    await Promise.all(
      Array.from({ length: atOnce }, () =>
        visit(browser, { origins: [server.origin], viewport: wide }, async ({ page, complaints }) => {
          await page.context().addInitScript({ content: `${axeSource}\n;{${inspection}}` });
          for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
            const before = complaints.length;
            const report = await lookAt(page, next.shown, next.locale);
            const faults = [...report.faults, ...complaints.slice(before)];
            reports.set(keyOf(next.shown, next.locale), { ...report, faults });
          }
        }),
      ),
    );
  }, slow);

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  async function lookAt(page: Page, shown: Shown, locale: Locale): Promise<Report> {
    const faults: string[] = [];
    const blame = async (about: string, question: string) => {
      const found = (await page.evaluate(question)) as Findings; // what every answer of page_inspection.js and axe() looks like
      faults.push(...found.faults.map((fault) => `${about}: ${fault}`));
      // WCAG 2.2 1.4.11.
      const faint = found.rings?.filter(({ ring, behind }) => contrastOf(ring, behind) < 3) ?? [];
      faults.push(...faint.map(({ target }) => `${about}: a faint ring: ${target}`));
      return found;
    };

    await page.setViewportSize(wide);
    // Without motion, also because a colour on its way to another one would be judged halfway.
    await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce', forcedColors: null });
    await page.goto(server.addressOf(shown.name, locale));
    const light = await blame('wide', `poortInspection.wide('${locale}')`);
    await page.keyboard.press('Tab');

    // Narrow, because axe will not judge a colour in front of the arch that a wide page is drawn on; see the test of the tokens.
    await page.setViewportSize(narrow);
    await blame('narrow', 'poortInspection.narrow()');
    await blame('axe', axe({ type: 'tag', values: axeTags }));
    await page.emulateMedia({ colorScheme: 'dark' });
    const dark = await blame('dark', 'poortInspection.dark()');
    if (dark.background === light.background) faults.push('dark: looks like light');
    await blame('axe in the dark', axe({ type: 'rule', values: colourRules }));
    await page.emulateMedia({ forcedColors: 'active' });
    await blame('forced colours', 'poortInspection.forcedColours()');
    return { title: await page.title(), faults };
  }

  describe.each(locales)('in %s', (locale) => {
    it.each(pageStates)('is sound: $name (items 1–4, 6–11)', (shown) => {
      expect(reports.get(keyOf(shown, locale))?.faults).toEqual([]);
    });

    it('is told from every other by its title (item 1)', () => {
      const first = pageStates.filter(({ state }) => state === 'initial');
      const titles = first.map((shown) => reports.get(keyOf(shown, locale))?.title);
      expect(new Set(titles).size).toBe(first.length);
    });
  });
});

interface Findings {
  readonly faults: readonly string[];
  readonly background?: string;
  /** Around each thing that can have the focus. */
  readonly rings?: readonly { readonly target: string; readonly ring: string; readonly behind: string }[];
}

/** A colour that axe could not judge counts as wrong: silence about contrast would read as praise. */
function axe(runOnly: object): string {
  const options = JSON.stringify({ runOnly, resultTypes: ['violations', 'incomplete'] });
  return `axe.run(document, ${options}).then(({ violations, incomplete }) => ({
    faults: [...violations, ...incomplete.filter(({ id }) => ${JSON.stringify(colourRules)}.includes(id))]
      .flatMap(({ id, nodes }) => nodes.map(({ html, any }) => id + ': ' + html + ' ' + (any[0]?.message ?? ''))),
  }))`;
}

function contrastOf(one: string, other: string): number {
  const [first, second] = [parse(one), parse(other)];
  if (first === undefined || second === undefined) throw new Error(`not a colour: ${one} or ${other}`);
  return wcagContrast(first, second);
}
