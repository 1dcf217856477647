// `npm test`: runs jest on Node 24, then says what was skipped and why, and ends with one plain line:
// `N passed, N failed, N skipped`. Every argument goes to jest (`npm test -- test/domain -t rotation`), except `--no-skips`,
// which makes a skip a failure, as the environment variable CI does: where everything is installed, nothing may be skipped.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { exitLikeChild, projectRoot, runNode } from './runtime.mjs';

const isContinuousIntegration = !['', '0', 'false', undefined].includes(process.env.CI);
const skipsAreFailures = isContinuousIntegration || process.argv.includes('--no-skips');
const jestArguments = process.argv.slice(2).filter((argument) => argument !== '--no-skips');

const folder = mkdtempSync(path.join(tmpdir(), 'poort-test-'));
const resultsFile = path.join(folder, 'results.json');

try {
  const outcome = await runJest();
  const results = readResults(outcome);
  report(results);
  if (outcome.signal !== null) exitLikeChild(outcome);
  else
    process.exitCode = results.failed > 0 || (skipsAreFailures && results.skipped.length > 0) ? outcome.code || 1 : 0;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  console.log('0 passed, 1 failed, 0 skipped');
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function runJest() {
  process.chdir(projectRoot);
  return runNode(
    [
      '--experimental-vm-modules',
      '--disable-warning=ExperimentalWarning',
      path.join(projectRoot, 'node_modules', 'jest', 'bin', 'jest.js'),
      '--config',
      path.join(projectRoot, 'jest.config.mjs'),
      ...jestArguments,
    ],
    { environment: { ...process.env, NODE_ENV: 'test', TEST_RESULTS_FILE: resultsFile } },
  );
}

/** What the reporter counted; where jest fell over before that, or for another reason, one failure that says so. */
function readResults(outcome) {
  const isClean = outcome.signal === null && outcome.code === 0;
  try {
    const results = JSON.parse(readFileSync(resultsFile, 'utf8'));
    return !isClean && results.failed === 0 ? { ...results, failed: 1 } : results;
  } catch {
    // `--listTests`, `--help` and the like end well without a result.
    return { passed: 0, failed: isClean ? 0 : 1, skipped: [] };
  }
}

function report({ passed, failed, skipped }) {
  const byReason = groupByReason(skipped);
  if (skipped.length > 0) console.log(`\nSkipped${skipsAreFailures ? ', which counts as a failure here' : ''}:`);
  for (const [reason, tests] of byReason) {
    console.log(`  ${reason}`);
    for (const test of tests) console.log(`    ${test.file}: ${test.title}`);
  }
  console.log(`${passed} passed, ${failed} failed, ${skipped.length} skipped`);
}

function groupByReason(skipped) {
  const groups = new Map();
  for (const test of skipped) groups.set(test.reason, [...(groups.get(test.reason) ?? []), test]);
  return groups;
}
