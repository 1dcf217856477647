/**
 * This file owns the master key that a machine without settings makes for itself: `development-secrets.json` in the data
 * directory. It is made once and kept, because whatever was sealed with it (signing keys, above all) is lost without it.
 * Production never uses it; there it is only read, to refuse a key that was copied from it.
 */

import { randomBytes, randomUUID } from 'node:crypto';
import { chmod, constants, copyFile, link, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { z } from 'zod';
import { type SettingsFault, systemErrorCode } from './faults.ts';
import { masterKeyList } from './setting_values.ts';

const secretsFile = z.looseObject({ master_key: masterKeyList });

/** The outcome of asking for the generated keys. */
export type DevelopmentSecrets =
  | { readonly outcome: 'present'; readonly masterKeys: readonly string[] }
  | { readonly outcome: 'faulty'; readonly fault: SettingsFault };

/** Where the generated secrets of a data directory are. */
export function developmentSecretsPath(dataDirectory: string): string {
  return join(dataDirectory, 'development-secrets.json');
}

/**
 * Returns the generated master keys of this data directory and makes them, and the directory, when there are none.
 * Processes that start at the same time agree on one key. File mode 0600 and directory mode 0700 are restored when
 * somebody widened them; parents of the directory are left as they are.
 * @returns a fault when the directory or the file cannot be used; an unreadable file is never overwritten.
 */
export async function ensureDevelopmentSecrets(
  dataDirectory: string,
  workingDirectory: string,
): Promise<DevelopmentSecrets> {
  const path = developmentSecretsPath(dataDirectory);
  try {
    await ensurePrivateDirectory(dataDirectory, workingDirectory);
    await createOnce(path);
    await chmod(path, 0o600);
  } catch (error) {
    return { outcome: 'faulty', fault: directoryFault(dataDirectory, error) };
  }
  return (
    (await readDevelopmentSecrets(dataDirectory)) ?? {
      outcome: 'faulty',
      fault: damagedFault(path, 'vanished while it was read'),
    }
  );
}

/** Returns the generated master keys of this data directory, or undefined when none were ever made. Changes nothing. */
export async function readDevelopmentSecrets(dataDirectory: string): Promise<DevelopmentSecrets | undefined> {
  const path = developmentSecretsPath(dataDirectory);
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    return systemErrorCode(error) === 'ENOENT'
      ? undefined
      : { outcome: 'faulty', fault: damagedFault(path, `cannot be read (${systemErrorCode(error) ?? String(error)})`) };
  }
  const result = secretsFile.safeParse(parseJson(content));
  return result.success
    ? { outcome: 'present', masterKeys: result.data.master_key }
    : { outcome: 'faulty', fault: damagedFault(path, 'holds no master key') };
}

/** Makes the file with all its content or not at all: a name appears by a hard link, which fails when it exists. */
async function createOnce(path: string): Promise<void> {
  if (await exists(path)) {
    return;
  }
  const content = {
    about:
      'Made by Poort on its first run, for this machine only. Without master_key nothing sealed can be opened again.',
    master_key: randomBytes(32).toString('base64'),
  };
  const draft = `${path}.${randomUUID()}`;
  try {
    await writeFile(draft, `${JSON.stringify(content, undefined, 2)}\n`, { mode: 0o600, flag: 'wx', flush: true });
    await link(draft, path).catch((error: unknown) => {
      if (!['EPERM', 'ENOTSUP', 'ENOSYS', 'EOPNOTSUPP'].includes(systemErrorCode(error) ?? '')) {
        throw error;
      }
      // A file system without hard links: as exclusive, though not in one step.
      return copyFile(draft, path, constants.COPYFILE_EXCL);
    });
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') {
      throw error; // EEXIST: another process was first, and its key is the one.
    }
  } finally {
    await rm(draft, { force: true });
  }
}

async function ensurePrivateDirectory(directory: string, workingDirectory: string): Promise<void> {
  if (!(await exists(directory))) {
    // In two steps: a recursive mkdir would give the mode to every parent it makes.
    await mkdir(dirname(directory), { recursive: true });
    await mkdir(directory, { mode: 0o700 }).catch((error: unknown) => {
      if (systemErrorCode(error) !== 'EEXIST') {
        throw error;
      }
    });
  }
  const { mode, uid } = await stat(directory);
  // A directory that others share (/tmp, or one that holds the project itself) is not ours to close; the file is private
  // in any case. Passing through (0711) is left: the embedded database may run as another user.
  const isShared = (mode & 0o1000) !== 0 || `${workingDirectory}${sep}`.startsWith(`${directory}${sep}`);
  if ((mode & 0o066) !== 0 && !isShared && uid === process.getuid?.()) {
    await chmod(directory, 0o700);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') {
      return false;
    }
    throw error;
  }
}

function parseJson(content: string): unknown {
  try {
    return JSON.parse(content);
  } catch {
    return undefined;
  }
}

function directoryFault(dataDirectory: string, error: unknown): SettingsFault {
  return {
    setting: 'POORT_DATA_DIR',
    problem: `the master key cannot be kept in ${dataDirectory} (${systemErrorCode(error) ?? String(error)})`,
    fix: 'Set POORT_DATA_DIR to a directory that this process may write, or give POORT_MASTER_KEY.',
  };
}

function damagedFault(path: string, what: string): SettingsFault {
  return {
    setting: 'POORT_MASTER_KEY',
    problem: `${path} ${what}`,
    fix: 'Restore the file, or remove the whole data directory and begin anew: what was sealed cannot be opened without it.',
  };
}
