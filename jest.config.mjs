// Two projects: `pure` needs nothing but Node, `database` shares one PostgreSQL cluster for the whole run.
// Node runs our TypeScript as it is, so nothing is transformed; start jest through `npm test` (bin/test.mjs), which sets the flags.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const rootDir = fileURLToPath(new URL('.', import.meta.url));
const clusterSetup = `${rootDir}test/support/global_setup.ts`;
const clusterTeardown = `${rootDir}test/support/global_teardown.ts`;
const pureTests = '<rootDir>/test/(?:architecture\\.test\\.ts$|(?:domain|foundation|config)/)';

const shared = {
  rootDir,
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {},
  modulePathIgnorePatterns: ['<rootDir>/.poort/'],
};

export default {
  rootDir,
  // Here and not in the projects, where jest does not look for it.
  testTimeout: 30_000,
  maxWorkers: 2,
  reporters: [
    'default',
    ...(process.env.TEST_RESULTS_FILE
      ? [[`${rootDir}bin/test_reporter.mjs`, { file: process.env.TEST_RESULTS_FILE }]]
      : []),
  ],
  projects: [
    {
      ...shared,
      displayName: 'pure',
      testMatch: ['architecture.test.ts', '{domain,foundation,config}/**/*.test.ts'].map(
        (name) => `<rootDir>/test/${name}`,
      ),
    },
    {
      ...shared,
      displayName: 'database',
      testPathIgnorePatterns: ['/node_modules/', pureTests],
      ...(existsSync(clusterSetup) ? { globalSetup: clusterSetup } : {}),
      ...(existsSync(clusterTeardown) ? { globalTeardown: clusterTeardown } : {}),
    },
  ],
};
