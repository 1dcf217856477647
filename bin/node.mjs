// `node bin/node.mjs <flags> <script> <arguments>`: the same as `node …`, on the Node that Poort needs.

import { exitLikeChild, findNode, isRecentEnough, runNode } from './runtime.mjs';

const nodeArguments = process.argv.slice(2);

if (isRecentEnough(process.versions.node) && typeof process.execve === 'function') {
  const node = findNode();
  process.execve(node, [node, ...nodeArguments], process.env);
}

try {
  exitLikeChild(await runNode(nodeArguments));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
