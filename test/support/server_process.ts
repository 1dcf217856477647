/** Poort as its users run it: a process of its own that can be killed. Its database is that of a test server. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type TestDatabase, testMasterKey } from './cluster.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface ServerProcess {
  /** SIGKILL: it learns nothing and finishes nothing. Resolves when it is gone. */
  killAtOnce(): Promise<void>;
  /** SIGTERM: it drains. Resolves to its exit code. */
  stop(): Promise<number | null>;
}

/**
 * `poort serve` on this database and port. Resolves when it serves. With `publicUrl` it is one of several servers of that
 * installation: ask it with that Host (test/support/installation.ts).
 */
export async function startServerProcess({
  database,
  port,
  publicUrl,
  environment,
}: {
  database: TestDatabase;
  port: number;
  publicUrl?: string;
  environment?: Readonly<Record<string, string>> | undefined;
}): Promise<ServerProcess> {
  return startProcess('serve', {
    says: 'Poort serves',
    environment: {
      POORT_PORT: String(port),
      ...(publicUrl === undefined ? {} : { POORT_PUBLIC_URL: publicUrl }),
      POORT_DATABASE_URL: database.ownerUrl,
      ...environment,
    },
  });
}

/** `poort worker` on this database. Resolves when it has done its first round; at once when that round is to be watched. */
export async function startWorkerProcess({
  database,
  publicUrl,
  egressAllow,
  smtpUrl,
  watched = false,
}: {
  database: TestDatabase;
  publicUrl: string;
  egressAllow?: string;
  smtpUrl?: string;
  watched?: boolean;
}): Promise<ServerProcess> {
  return startProcess('worker', {
    says: watched ? undefined : 'the worker is ready',
    environment: {
      POORT_PUBLIC_URL: publicUrl,
      ...(egressAllow === undefined ? {} : { POORT_EGRESS_ALLOW: egressAllow }),
      ...(smtpUrl === undefined ? {} : { POORT_SMTP_URL: smtpUrl }),
      POORT_DATABASE_URL: database.ownerUrl,
    },
  });
}

/** Resolves when it says what is waited for. */
async function startProcess(
  command: string,
  { says, environment }: { says: string | undefined; environment: Readonly<Record<string, string>> },
): Promise<ServerProcess> {
  const directory = await mkdtemp(join(tmpdir(), 'poort-process-'));
  const child = spawn(process.execPath, [main, command], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      POORT_ENV: 'test',
      POORT_GRPC_PORT: '0',
      POORT_METRICS_PORT: '0',
      POORT_DATA_DIR: directory,
      POORT_MASTER_KEY: testMasterKey,
      POORT_DEMO: 'off',
      POORT_LOG_FORMAT: 'json',
      ...environment,
    },
  });
  const gone = once(child, 'close').then(async () => rm(directory, { recursive: true, force: true }));
  if (says !== undefined) await untilItSays(child, says);
  return {
    async killAtOnce() {
      child.kill('SIGKILL');
      await gone;
    },
    async stop() {
      child.kill('SIGTERM');
      await gone;
      return child.exitCode;
    },
  };
}

function untilItSays(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = '';
    const read = (chunk: Buffer): void => {
      output += chunk.toString('utf8');
      if (output.includes(text)) resolve();
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.once('close', (code) => reject(new Error(`poort ended with ${code}: ${output}`)));
  });
}
