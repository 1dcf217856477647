#!/usr/bin/env node
// The `poort` command: makes sure that everything is installed, then hands its arguments to src/main.ts on Node 24.

import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { exitLikeChild, findNode, isRecentEnough, projectRoot, runNode, whenNpmIsGone } from './runtime.mjs';
import { setup } from './setup.mjs';

const main = path.join(projectRoot, 'src', 'main.ts');

// Also after an installation that was interrupted: then there is a folder, but no Node 24 in it.
if (!existsSync(path.join(projectRoot, 'node_modules')) || findNode() === undefined) await orExplain(setup());

if (isRecentEnough(process.versions.node)) {
  // No wrapper needed: this process becomes the program, as if `node src/main.ts …` had been typed.
  process.argv[1] = main;
  whenNpmIsGone(() => process.kill(process.pid, 'SIGTERM'));
  await import(pathToFileURL(main).href);
} else {
  exitLikeChild(await orExplain(runNode([main, ...process.argv.slice(2)])));
}

/** Says what went wrong in words, without a stack, and leaves. */
async function orExplain(work) {
  try {
    return await work;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}
