/**
 * A real browser for the tests that need one. npm cannot bring Chromium, so it is looked for on the PATH (or named by
 * POORT_TEST_CHROMIUM); where there is none, such tests are skipped and their name says why.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const names = ['chromium', 'chromium-browser', 'google-chrome'];

/** The browser's executable: POORT_TEST_CHROMIUM, else the first of the usual names on the PATH; undefined without one. */
export function chromiumPath(): string | undefined {
  const named = process.env['POORT_TEST_CHROMIUM'];
  if (named !== undefined && named !== '') return isExecutable(named) ? named : undefined;
  const directories = (process.env['PATH'] ?? '').split(delimiter).filter((directory) => directory !== '');
  return names.flatMap((name) => directories.map((directory) => join(directory, name))).find(isExecutable);
}

/** A headless browser that talks to nobody but the pages it is sent to. Throws when there is none: ask chromiumPath first. */
export async function launchChromium(): Promise<Browser> {
  const executablePath = chromiumPath();
  if (executablePath === undefined) throw new Error(missing);
  return chromium.launch({
    executablePath,
    args: [
      '--no-sandbox', // tests also run as root, in containers, where the sandbox cannot start
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** `describe` where there is a Chromium; elsewhere one skipped test that tells how to get it run. */
export function describeWithChromium(name: string, body: () => void): void {
  if (chromiumPath() !== undefined) {
    describe(name, body);
    return;
  }
  describe(name, () => {
    it.skip(missing, () => undefined);
  });
}

const missing = 'skipped: Chromium is not on the PATH (set POORT_TEST_CHROMIUM)';

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
