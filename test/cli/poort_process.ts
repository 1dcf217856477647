/**
 * `poort` as people run it: processes of their own on a data directory of their own, with the embedded database. Also the same
 * command line within this process, for the many cases where a process would only cost time.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { runCommandLine } from '#src/cli/program.ts';
import { testMasterKey } from '#test/support/cluster.ts';
import type { TestServer } from '#test/support/test_server.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

export interface Installation {
  readonly dataDirectory: string;
  /** Settings beside the data directory. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** The command line of an operator beside a server of the tests: its database, and a data directory of their own. */
export async function besideServer(server: TestServer): Promise<Installation> {
  return {
    dataDirectory: await mkdtemp(join(tmpdir(), 'poort-beside-')),
    environment: {
      POORT_ENV: 'test',
      POORT_DATABASE_URL: server.database.ownerUrl,
      POORT_MASTER_KEY: testMasterKey,
      POORT_PUBLIC_URL: server.origin,
      POORT_LOG_LEVEL: 'error',
    },
  };
}

function environmentOf({ dataDirectory, environment }: Installation): Readonly<Record<string, string>> {
  return { POORT_GRPC_PORT: '0', POORT_METRICS_PORT: '0', POORT_DATA_DIR: dataDirectory, ...environment };
}

/** Runs one command within this process: the same parser, settings, house and exit code. */
export async function callPoort(installation: Installation, commandLine: readonly string[]): Promise<Finished> {
  const streams = { input: new PassThrough().end(), output: new PassThrough(), errors: new PassThrough() };
  const world = {
    arguments: commandLine,
    environment: environmentOf(installation),
    workingDirectory: process.cwd(),
    ...streams,
  };
  const code = await runCommandLine(world);
  const read = (stream: PassThrough): string => String(stream.read() ?? '');
  return { code, output: read(streams.output), errors: read(streams.errors) };
}

function launch(installation: Installation, commandLine: readonly string[]): ChildProcess {
  return spawn(process.execPath, [main, ...commandLine], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], ...environmentOf(installation) },
  });
}

/** Runs one command to its end, as a process. */
export async function runPoort(
  installation: Installation,
  commandLine: readonly string[],
  input: string | Buffer = '',
): Promise<Finished> {
  const child = launch(installation, commandLine);
  const read = gather(child);
  // A command that does not read its input may be gone before all of it is written.
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(input);
  await once(child, 'close');
  return { code: child.exitCode, ...read() };
}

export interface RunningPoort {
  readonly processId: number;
  /** What it has printed so far. */
  printed(): string;
  /** Resolves to the exit code. */
  end(signal: 'SIGTERM' | 'SIGINT' | 'SIGKILL'): Promise<number | null>;
}

/** Starts a command that stays, and resolves once its standard output holds `sign`. */
export async function startPoort(
  installation: Installation,
  commandLine: readonly string[],
  sign: string,
): Promise<RunningPoort> {
  const child = launch(installation, commandLine);
  const read = gather(child);
  const gone = once(child, 'close');
  await new Promise<void>((resolve, reject) => {
    child.stdout?.on('data', () => {
      if (read().output.includes(sign)) resolve();
    });
    child.once('close', (code) => reject(new Error(`it ended with ${code}: ${read().output}${read().errors}`)));
  });
  return {
    processId: child.pid ?? 0,
    printed: () => read().output,
    async end(signal) {
      child.kill(signal);
      await gone;
      return child.exitCode;
    },
  };
}

function gather(child: ChildProcess): () => { output: string; errors: string } {
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => errors.push(chunk));
  return () => ({ output: Buffer.concat(output).toString('utf8'), errors: Buffer.concat(errors).toString('utf8') });
}
