/**
 * This file owns what the settings tests arrange: a private working directory with a copy of the product's YAML files in
 * `config/`, and a production environment in which nothing is wrong.
 */

import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Config, type ConfigResult, loadConfig } from '#config/config.ts';
import type { SettingsFault } from '#config/faults.ts';

const projectRoot = fileURLToPath(new URL('../../', import.meta.url));

/** A key that passes for random; `first` makes several of them different. */
export function masterKey(first = 1): string {
  return Buffer.from(
    Array.from({ length: 32 }, (_, index) => (first * 41 + index * index * 7 + index * 3) % 256),
  ).toString('base64');
}

/** An environment that production accepts. */
export const goodProduction = {
  POORT_ENV: 'production',
  POORT_PUBLIC_URL: 'https://id.example.org',
  POORT_DATABASE_URL: 'postgres://owner:hunter2@db.example.org/poort',
  POORT_MASTER_KEY: masterKey(),
} as const;

/** A directory of one test, with its own copy of the YAML files. */
export interface Workspace {
  readonly directory: string;
  load(environment?: Readonly<Record<string, string | undefined>>): Promise<ConfigResult>;
  /** Loads and expects no fault. */
  config(environment?: Readonly<Record<string, string | undefined>>): Promise<Config>;
  /** Loads and expects faults. */
  faults(environment?: Readonly<Record<string, string | undefined>>): Promise<readonly SettingsFault[]>;
  /** Writes a file below the directory and returns its path. */
  write(name: string, content: string): Promise<string>;
  remove(): Promise<void>;
}

export async function createWorkspace(): Promise<Workspace> {
  const directory = await mkdtemp(join(tmpdir(), 'poort-settings-'));
  for (const name of ['default', 'development', 'production']) {
    await cp(join(projectRoot, 'config', `${name}.yaml`), join(directory, 'config', `${name}.yaml`));
  }
  const load = (environment: Readonly<Record<string, string | undefined>> = {}): Promise<ConfigResult> =>
    loadConfig(environment, { workingDirectory: directory, configDirectory: 'config' });
  return {
    directory,
    load,
    async config(environment) {
      const result = await load(environment);
      if (result.outcome === 'faulty') {
        throw new Error(`unexpected faults: ${JSON.stringify(result.faults, undefined, 2)}`);
      }
      return result.config;
    },
    async faults(environment) {
      const result = await load(environment);
      return result.outcome === 'faulty' ? result.faults : [];
    },
    async write(name, content) {
      const path = join(directory, name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, content);
      return path;
    },
    async remove() {
      await rm(directory, { recursive: true, force: true });
    },
  };
}
