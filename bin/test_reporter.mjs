// A jest reporter that counts for `bin/test.mjs` and keeps the skipped tests with their reasons. It prints nothing: what a
// person reads at the end is printed after jest is gone, so that nothing can come after it.
// A reason is what follows "skipped: " in the title: "a sign-in page skipped: Chromium is not on the PATH (…)".

import { writeFileSync } from 'node:fs';
import path from 'node:path';

export default class TestReporter {
  #globalConfig;
  #file;

  constructor(globalConfig, { file }) {
    this.#globalConfig = globalConfig;
    this.#file = file;
  }

  onRunComplete(_contexts, results) {
    const { testNamePattern, rootDir } = this.#globalConfig;
    const chosen = testNamePattern ? new RegExp(testNamePattern, 'i') : undefined;
    const count = { passed: 0, failed: 0, skipped: [] };
    for (const suite of results.testResults) {
      const file = path.relative(rootDir, suite.testFilePath);
      // A suite that cannot be loaded has no tests to fail; it counts as one.
      if (suite.testExecError) count.failed += 1;
      if (suite.skipped && suite.testResults.length === 0)
        count.skipped.push({ file, title: '(the whole file)', reason: 'no reason given' });
      for (const test of suite.testResults) {
        if (test.status === 'passed') count.passed += 1;
        else if (test.status === 'failed') count.failed += 1;
        // `-t` leaves the other tests out on request: that is a choice, not a skip.
        else if (chosen === undefined || chosen.test(test.fullName)) count.skipped.push(asSkipped(file, test));
      }
    }
    if (results.wasInterrupted) count.failed += 1;
    writeFileSync(this.#file, JSON.stringify(count));
  }
}

function asSkipped(file, test) {
  if (test.status === 'todo') return { file, title: test.fullName, reason: 'not written yet' };
  const reason = /\bskipped: (.+)$/.exec(test.fullName)?.[1];
  return { file, title: test.fullName, reason: reason ?? 'no reason given' };
}
