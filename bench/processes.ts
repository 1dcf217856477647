/**
 * The benchmarks' child processes: started, listened to, and ended by their ids whatever happens here. A child dies in
 * four ways, each enough by itself: `stop`, the `exit` handler of this process, `endEverything` on a signal, and, when
 * this process is killed outright, the end of the child's standard input (servers/end_with_parent.ts).
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const endWithParent = new URL('./servers/end_with_parent.ts', import.meta.url).href;
export const projectDirectory = fileURLToPath(new URL('..', import.meta.url));

/** Longer than a server's own drain (10 s), so that only one that hangs is killed. */
const patienceMilliseconds = 12_000;
const outputKeptCharacters = 8_000;

export interface Child {
  readonly name: string;
  readonly processId: number;
  /** The first line of standard output that is a JSON object with `ready`. Rejects when the child ends before. */
  readonly ready: Promise<Readonly<Record<string, unknown>>>;
  /** Resolves when the process is gone. */
  readonly ended: Promise<void>;
  hasEnded(): boolean;
  /** The last words of the child, for the error message when something went wrong. */
  lastWords(): string;
  /** SIGTERM, then SIGKILL for one that does not drain. Resolves when the process is gone. */
  stop(): Promise<void>;
}

const running = new Set<ChildProcessByStdio<Writable, Readable, Readable>>();

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/**
 * Starts `script` (relative to the project) on the Node that runs us. `environment` is all the child gets besides PATH:
 * settings of the developer's own shell (POORT_REDIS_URL, NODE_OPTIONS …) must not change what is measured.
 */
export function startChild(input: {
  readonly name: string;
  readonly script: string;
  readonly arguments?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}): Child {
  const child = spawn(process.execPath, ['--import', endWithParent, input.script, ...(input.arguments ?? [])], {
    cwd: projectDirectory,
    env: { PATH: process.env['PATH'] ?? '', ...input.environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  running.add(child);
  // Writing to a child that just died is no fault of ours.
  child.stdin.on('error', () => undefined);

  let output = '';
  let unfinishedLine = '';
  const announced = Promise.withResolvers<Readonly<Record<string, unknown>>>();
  announced.promise.catch(() => undefined);
  const keep = (text: string): void => {
    output = (output + text).slice(-outputKeptCharacters);
  };
  child.stderr.setEncoding('utf8').on('data', keep);
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    keep(text);
    const lines = (unfinishedLine + text).split('\n');
    unfinishedLine = lines.pop() ?? '';
    for (const line of lines) {
      const announcement = readAnnouncement(line);
      if (announcement !== undefined) announced.resolve(announcement);
    }
  });

  const { promise: ended, resolve: markEnded } = Promise.withResolvers<void>();
  let gone = false;
  const bury = (reason: string): void => {
    gone = true;
    running.delete(child);
    announced.reject(new Error(`${input.name} ended before it was ready (${reason})\n${output}`));
    markEnded();
  };
  child.once('exit', (code, signal) => bury(`exit ${signal ?? code}`));
  child.once('error', (error) => bury(error.message));

  return {
    name: input.name,
    processId: child.pid ?? 0,
    ready: announced.promise,
    ended,
    hasEnded: () => gone,
    lastWords: () => output.trim(),
    stop: async () => {
      if (gone) return;
      child.kill('SIGTERM');
      const impatience = setTimeout(() => child.kill('SIGKILL'), patienceMilliseconds);
      await ended;
      clearTimeout(impatience);
    },
  };
}

function readAnnouncement(line: string): Readonly<Record<string, unknown>> | undefined {
  if (!line.startsWith('{"ready":')) return undefined;
  return JSON.parse(line) as Record<string, unknown>;
}

/** A port of the loopback interface that is free now. */
export async function freePort(): Promise<number> {
  const { promise: listening, resolve, reject } = Promise.withResolvers<void>();
  const server = createServer().once('error', reject).listen(0, '127.0.0.1', resolve);
  await listening;
  const address = server.address();
  const closed = Promise.withResolvers<void>();
  server.close(() => closed.resolve());
  await closed.promise;
  if (address === null || typeof address === 'string') throw new Error('a listening TCP server has no port');
  return address.port;
}

/**
 * Processor time a process has used so far, in milliseconds, or undefined where the kernel does not say (it is read
 * from /proc). It holds still where requests per second do not: when other work shares the machine.
 */
export function processorMilliseconds(processId: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${processId}/stat`, 'latin1');
    // The second field is the command in brackets and may hold spaces; utime and stime are fields 14 and 15.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = Number(fields[11]) + Number(fields[12]);
    return Number.isFinite(ticks) ? ticks * 10 : undefined;
  } catch {
    return undefined;
  }
}
