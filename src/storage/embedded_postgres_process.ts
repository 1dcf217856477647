/**
 * The processes of the embedded PostgreSQL: starting a program so that it cannot outlive us, and finding those that an
 * earlier life left behind. Knows no file of a cluster, and not what the programs do.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { open, readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { errorCode, type ServerAccount } from './embedded_postgres_binaries.ts';

const onWindows = process.platform === 'win32';
const run = promisify(execFile);

/** A program to run, and how to end it. */
export interface Job {
  readonly program: string;
  readonly arguments: readonly string[];
  readonly inputFile?: string;
  readonly stopSignal?: 'INT' | 'TERM';
  /** The file descriptor that takes what the program says. */
  readonly output: number;
  /** The account it runs as; undefined is ours. */
  readonly account: ServerAccount | undefined;
  /** Windows has no signals: the program that ends this one, with its arguments. */
  readonly stopCommand?: readonly [program: string, ...string[]];
}

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly fault?: Error;
}

export interface Supervised {
  readonly ended: Promise<Ending>;
  /** Asks it to end; `ended` tells when it has. */
  end(): void;
}

/**
 * Runs the program ($3…, input $1) and, beside it, waits on our pipe. The pipe ends when we close it and when we die,
 * kill -9 included, because the kernel closes it then; either way the program gets the signal $2.
 */
const supervisor = `
exec 3<&0
input=$1 signal=$2
shift 2
"$@" <"$input" 3<&- &
program=$!
{ read -r _ <&3; kill -s "$signal" "$program"; } 2>/dev/null &
watcher=$!
exec 3<&-
wait "$program"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
`;

/**
 * Starts a job. It ends when it is done, when `end()` is called, and when this process dies in whatever way.
 */
export async function supervise(job: Job): Promise<Supervised> {
  const { program, output, inputFile = onWindows ? 'NUL' : '/dev/null', stopSignal = 'TERM' } = job;
  if (onWindows) {
    // Node puts its children into a job object that ends them with it, so that no shell is needed.
    const input = await open(inputFile, 'r');
    const child = spawn(program, job.arguments, { stdio: [input.fd, output, output], windowsHide: true });
    await input.close();
    const [stopProgram, ...stopArguments] = job.stopCommand ?? [];
    const end = (): void => {
      if (stopProgram === undefined) child.kill();
      else void run(stopProgram, stopArguments).catch(() => child.kill());
    };
    return { ended: endOf(child), end };
  }
  const child = spawn('/bin/sh', ['-c', supervisor, 'sh', inputFile, stopSignal, program, ...job.arguments], {
    // A session of its own: Ctrl-C in the terminal is for us, who still have requests to finish.
    detached: true,
    stdio: ['pipe', output, output],
    // Not ours: where the account may not go, and PGDATA, PGPORT and LC_* that were meant for another server.
    cwd: '/',
    env: { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
    ...job.account,
  });
  child.stdin?.on('error', () => undefined); // EPIPE: it is gone already, which `ended` tells
  return { ended: endOf(child), end: () => void child.stdin?.end() };
}

function endOf(child: ChildProcess): Promise<Ending> {
  return new Promise((ended) => {
    child.once('error', (fault) => ended({ code: null, signal: null, fault }));
    child.once('exit', (code, signal) => ended({ code, signal }));
  });
}

/** An ending in words, for an error message. */
export function describeEnding(ending: Ending): string {
  if (ending.fault !== undefined) return ending.fault.message;
  return ending.signal === null ? `exit code ${ending.code}` : `signal ${ending.signal}`;
}

/**
 * The processes of one cluster, by their command lines: all of them carry the cluster's name, and anybody may read
 * command lines, while the working directory of another account's process is hidden from root in a container.
 * A zombie has no command line any more, so it does not count.
 */
export async function processesOf(clusterName: string): Promise<readonly number[]> {
  const belongs = (command: string): boolean =>
    command.startsWith(`postgres: ${clusterName}: `) || command.includes(`cluster_name=${clusterName}`);
  if (onWindows) return [];
  if (process.platform !== 'linux') {
    const { stdout } = await run('ps', ['-axww', '-o', 'pid=,command='], { maxBuffer: 32 * 1024 * 1024 });
    return stdout.split('\n').flatMap((line) => {
      const [, processId, command = ''] = /^\s*(\d+)\s+(.*)$/.exec(line) ?? [];
      return belongs(command) ? [Number(processId)] : [];
    });
  }
  const processIds = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const commands = await Promise.all(
    processIds.map(async (processId) => {
      const command = await readFile(`/proc/${processId}/cmdline`, 'utf8').catch(() => '');
      return belongs(command) ? [Number(processId)] : [];
    }),
  );
  return commands.flat();
}

/** Zombies included: this is what another program that asks the kernel would think. */
export function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return errorCode(error) === 'EPERM';
  }
}

/** A process that is gone already is no error. */
export function sendSignal(processId: number, signal: NodeJS.Signals): void {
  try {
    process.kill(processId, signal);
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error;
  }
}
