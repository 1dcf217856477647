/**
 * `node bin/node.mjs bin/screenshots.ts`: draws every hosted page as a person first sees it, and after a mistake, into
 * docs/screenshots/, with a page that shows them. Needs Chromium, like the tests that look at pages.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { launchChromium } from '#test/support/browser.ts';
import { pageStates, type Shown } from '#test/support/page_fixtures.ts';
import { type PageServer, startPageServer } from '#test/support/page_server.ts';
import { smallPng } from '#test/support/small_png.ts';

const directory = new URL('../docs/screenshots/', import.meta.url);
// Small enough for a repository, large enough to read.
const deviceScaleFactor = 0.75;

const looks = [
  {
    name: 'nl',
    locale: 'nl',
    options: { viewport: { width: 1024, height: 640 }, colorScheme: 'light' },
  },
  {
    name: 'en-dark-360',
    locale: 'en',
    options: { viewport: { width: 360, height: 640 }, colorScheme: 'dark' },
  },
] as const satisfies readonly { name: string; locale: 'nl' | 'en'; options: BrowserContextOptions }[];

const shown = pageStates.filter(({ state }) => ['initial', 'error', 'success'].includes(state));

const browser = await launchChromium();
const server = await startPageServer();
try {
  mkdirSync(directory, { recursive: true });
  for (const name of readdirSync(directory)) if (name.endsWith('.png')) rmSync(new URL(name, directory));
  let bytes = 0;
  for (const look of looks) bytes += await draw(browser, server, look);
  writeFileSync(new URL('README.md', directory), gallery());
  console.log(`${shown.length * looks.length} pictures, ${Math.ceil(bytes / 1024)} KiB`);
} finally {
  await browser.close();
  await server.close();
}

async function draw(from: Browser, { addressOf }: PageServer, look: (typeof looks)[number]): Promise<number> {
  const context = await from.newContext({ ...look.options, deviceScaleFactor, reducedMotion: 'reduce' });
  const page = await context.newPage();
  const canvas = await context.newPage();
  let bytes = 0;
  for (const state of shown) {
    await page.goto(addressOf(state.name, look.locale));
    const picture = smallPng(await pixelsOf(canvas, await page.screenshot({ fullPage: true })));
    bytes += picture.length;
    writeFileSync(new URL(fileOf(state, look.name), directory), picture);
  }
  await context.close();
  return bytes;
}

/** The browser reads its own pictures: no decoder of ours. */
async function pixelsOf(
  canvas: Page,
  png: Buffer,
): Promise<{ readonly width: number; readonly height: number; readonly pixels: Buffer }> {
  const drawn = (await canvas.evaluate(`(async () => {
    const image = await createImageBitmap(await (await fetch('data:image/png;base64,${png.toString('base64')}')).blob());
    const context = new OffscreenCanvas(image.width, image.height).getContext('2d');
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    let text = '';
    for (let at = 0; at < data.length; at += 32768) text += String.fromCharCode(...data.subarray(at, at + 32768));
    return { width: image.width, height: image.height, data: btoa(text) };
  })()`)) as { width: number; height: number; data: string };
  return { width: drawn.width, height: drawn.height, pixels: Buffer.from(drawn.data, 'base64') };
}

function fileOf({ name }: Shown, look: string): string {
  return `${name.replaceAll(/[^a-z0-9]+/g, '-')}-${look}.png`;
}

function gallery(): string {
  const rows = shown.map((state) => {
    const cells = looks.map(({ name }) => `![${state.name}, ${name}](${fileOf(state, name)})`);
    return `| \`${state.name}\` | ${cells.join(' | ')} |`;
  });
  return [
    '# Every hosted page',
    '',
    'Drawn by `node bin/node.mjs bin/screenshots.ts` from the fixtures of the tests: in Dutch on a wide screen in the light, and in English on',
    'a telephone in the dark. What each page must be is in [the page about pages](../pages.md).',
    '',
    '| page and state | Dutch, light | English, dark, 360 pixels |',
    '| --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}
