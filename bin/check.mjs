// `npm run check`: format and lint, types, the floors and the pure tests, in seconds and without a server. Stops at the first
// step that fails, with its exit code.

import path from 'node:path';
import { exitLikeChild, projectRoot, runNode } from './runtime.mjs';

const inModules = (...parts) => path.join(projectRoot, 'node_modules', ...parts);

const steps = [
  [
    'format and lint',
    [
      inModules('@biomejs', 'biome', 'bin', 'biome'),
      'ci',
      '--error-on-warnings',
      `--colors=${process.stdout.isTTY ? 'force' : 'off'}`,
      '.',
    ],
  ],
  ['types', [inModules('typescript', 'bin', 'tsc'), '-p', '.']],
  [
    'floors and rules',
    [
      path.join(projectRoot, 'bin', 'test.mjs'),
      '--selectProjects',
      'pure',
      '--testPathPatterns',
      'test/(architecture|domain)',
    ],
  ],
];

process.chdir(projectRoot);
for (const [name, nodeArguments] of steps) {
  const startedAt = Date.now();
  const outcome = await runNode(nodeArguments);
  const seconds = ((Date.now() - startedAt) / 1_000).toFixed(1);
  const isDone = outcome.signal === null && outcome.code === 0;
  console.log(`${isDone ? '✔' : '✘'} ${name} (${seconds} s)`);
  if (isDone) continue;
  exitLikeChild(outcome);
  break;
}
