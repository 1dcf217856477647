/**
 * The PostgreSQL that `npm start` and the tests bring along: one cluster per data directory, on 127.0.0.1 only, alive
 * exactly as long as the process that started it. Owns the cluster's files, its two passwords, its port and its life.
 * Knows nothing of migrations, tables or the runtime roles; a person who runs Poort in earnest sets
 * POORT_DATABASE_URL and never comes here.
 *
 * In the data directory:
 *   pg18/                            the cluster, 0700, belonging to whoever runs the server
 *   embedded_postgres.json           0600: both passwords, and where the cluster is when it cannot be here
 *   embedded_postgres_running.json   0600: who runs it now and on which port, while it runs
 *   embedded_postgres.lock           held by the running process, empty
 *   postgres.log                     0600: what the server said in its present life
 */
import { createHash, randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  type FileHandle,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import {
  canReach,
  chooseServerAccount,
  errorCode,
  type PostgresPrograms,
  providePostgresPrograms,
  runningAsRoot,
  type ServerAccount,
} from './embedded_postgres_binaries.ts';
import {
  describeEnding,
  type Ending,
  isAlive,
  type Job,
  processesOf,
  type Supervised,
  sendSignal,
  supervise,
} from './embedded_postgres_process.ts';

export interface EmbeddedPostgresConnection {
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly superuserPassword: string;
  readonly ownerPassword: string;
}

/** Connection URLs with the password in them: treat them as secrets. */
export interface EmbeddedPostgresUrls {
  readonly port: number;
  /** As `poort_owner`, who owns the database `poort` (the default) and can make roles, but is no superuser. */
  ownerUrl(database?: string): string;
  /** As `postgres`, the superuser; the default database is `postgres`. For tests and for `poort doctor`. */
  superuserUrl(database?: string): string;
}

/** A running server. Lives until `stop()`, until it fails, or until this process ends in whatever way. */
export interface EmbeddedPostgres extends Omit<EmbeddedPostgresUrls, 'port'> {
  readonly connection: EmbeddedPostgresConnection;
  /** Where the cluster's files are; below the data directory unless the server's account cannot reach that. */
  readonly clusterDirectory: string;
  /** Resolves (never rejects) once the server is gone, asked or not. */
  readonly exited: Promise<{ readonly reason: string }>;
  /** Ends every session, shuts down cleanly, resolves when the process is gone. May be called more than once. */
  stop(): Promise<void>;
}

export type EmbeddedPostgresStart =
  | { readonly outcome: 'started'; readonly server: EmbeddedPostgres }
  /** Another process (or this one, earlier) holds the data directory; nothing was touched. */
  | { readonly outcome: 'already_running'; readonly processId: number };

export interface EmbeddedPostgresOptions {
  /** Made when missing (0700; as root 0711, so that the server's account can pass). */
  readonly dataDirectory: string;
  /** Further settings of the server, as in postgresql.conf. They win over ours except for address, port and name. */
  readonly settings?: Readonly<Record<string, string>>;
}

const majorVersion = 18;
const ownerRole = 'poort_owner';
const ownerDatabase = 'poort';
const startTimeoutMilliseconds = 120_000;
const portAttempts = 5;
const onWindows = process.platform === 'win32';

/** The log is for start-up errors. Statements and details would carry passwords and e-mail addresses into it. */
const discreetLog = {
  log_error_verbosity: 'terse',
  log_min_error_statement: 'panic',
} satisfies Readonly<Record<string, string>>;

/** Small on purpose: this server shares a desk with everything else. */
const defaultSettings = {
  ...discreetLog,
  shared_buffers: '64MB',
  maintenance_work_mem: '32MB',
  max_parallel_workers_per_gather: '0', // parallel plans want /dev/shm, which is 64 MB in a container
  max_wal_senders: '0',
  io_method: 'sync', // without the three processes of the new asynchronous reader
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
} satisfies Readonly<Record<string, string>>;

const credentialsSchema = z.object({
  superuserPassword: z.string(),
  ownerPassword: z.string(),
  clusterHome: z.string().optional(),
});
type Credentials = z.infer<typeof credentialsSchema>;

const runningSchema = z.object({
  processId: z.number(),
  server: z.object({ processId: z.number(), port: z.number(), clusterName: z.string() }).optional(),
});
type Running = z.infer<typeof runningSchema>;

interface Cluster {
  readonly directory: string;
  /** Part of every process title of this cluster, so that its processes can be told from all others. */
  readonly name: string;
  readonly account: ServerAccount | undefined;
  readonly programs: PostgresPrograms;
  readonly log: FileHandle;
  readonly logFile: string;
}

/**
 * Starts the server of a data directory and resolves when it accepts connections: within a second or so the first
 * time, some 100 milliseconds later on. The first start makes the cluster, the role `poort_owner` and the database
 * `poort`. What an earlier life left behind (a stale pid file, a server whose owner was killed, a half-made cluster)
 * is cleared away first.
 *
 * @throws Error when the platform is not packaged or the server does not come up; the message has the server's words.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgresStart> {
  const dataDirectory = resolve(options.dataDirectory);
  await makeDataDirectory(dataDirectory);
  const lock = await acquireLock(dataDirectory);
  if (lock.outcome === 'held') return { outcome: 'already_running', processId: lock.processId };

  const logFile = join(dataDirectory, 'postgres.log');
  let log: FileHandle | undefined;
  const release = async (): Promise<void> => {
    await log?.close();
    await rm(join(dataDirectory, runningFile), { force: true });
    lock.release();
  };
  try {
    await writePrivately(join(dataDirectory, runningFile), { processId: process.pid } satisfies Running);
    log = await open(logFile, 'w', 0o600);
    const settings = options.settings ?? {};
    const { cluster, credentials } = await provideCluster({ dataDirectory, log, logFile, settings });
    const server = await startServer({ dataDirectory, cluster, credentials, settings, release });
    return { outcome: 'started', server };
  } catch (error) {
    await release();
    throw error;
  }
}

/**
 * The connection URLs of the server that another process runs on this data directory (or this process does), for a
 * command line beside `npm start`. Undefined when none is alive.
 *
 * @throws Error when the files are there but belong to another user.
 */
export async function readRunningEmbeddedPostgres(dataDirectory: string): Promise<EmbeddedPostgresUrls | undefined> {
  const running = await readPrivate(join(dataDirectory, runningFile), runningSchema);
  const credentials = await readPrivate(join(dataDirectory, credentialsFile), credentialsSchema);
  if (running?.server === undefined || credentials === undefined) return undefined;
  const { processId, clusterName } = running.server;
  const alive = onWindows ? isAlive(processId) : (await processesOf(clusterName)).includes(processId);
  return alive ? urls({ port: running.server.port, ...credentials }) : undefined;
}

const runningFile = 'embedded_postgres_running.json';
const credentialsFile = 'embedded_postgres.json';
const lockFile = 'embedded_postgres.lock';

/**
 * Its parents get the ordinary mode: a recursive mkdir with 0700 would close every folder that it makes on the way.
 * One that exists keeps its mode, it may be somebody's home.
 */
async function makeDataDirectory(dataDirectory: string): Promise<void> {
  await mkdir(dirname(dataDirectory), { recursive: true });
  try {
    await mkdir(dataDirectory, 0o700);
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return;
    throw error;
  }
  if (runningAsRoot()) await chmod(dataDirectory, 0o711);
}

type Lock =
  | { readonly outcome: 'acquired'; release(): void }
  | { readonly outcome: 'held'; readonly processId: number };

/**
 * The lock is the kernel's, so that it ends with its holder however that ends, and no pid needs to be believed. Node
 * offers file locks only through SQLite: an exclusive transaction on an empty file, never committed.
 * The file must not be opened in any other way in this process: closing it would drop the lock (POSIX, close(2)).
 */
async function acquireLock(dataDirectory: string): Promise<Lock> {
  const path = join(dataDirectory, lockFile);
  await writeFile(path, '', { flag: 'wx', mode: 0o600 }).catch((error: unknown) => {
    if (errorCode(error) !== 'EEXIST') throw error;
  });
  const deadline = performance.now() + 5_000;
  for (;;) {
    const database = new DatabaseSync(path, { timeout: 0 });
    try {
      database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
      return { outcome: 'acquired', release: () => database.close() };
    } catch (error) {
      database.close();
      if (!isBusy(error)) throw new Error(`Cannot lock ${path}`, { cause: error });
    }
    // The holder writes its name right after locking; a name from an earlier life may still be there until then.
    const holder = await readPrivate(join(dataDirectory, runningFile), runningSchema);
    if (holder !== undefined && isAlive(holder.processId)) return { outcome: 'held', processId: holder.processId };
    if (performance.now() > deadline) throw new Error(`${path} is locked by a process that does not say who it is`);
    await delay(10);
  }
}

function isBusy(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'errcode' in error && error.errcode === 5;
}

interface ClusterInput {
  readonly dataDirectory: string;
  readonly log: FileHandle;
  readonly logFile: string;
  readonly settings: Readonly<Record<string, string>>;
}

/** Finds the cluster of the data directory or makes it, with nobody else in it and with passwords that fit. */
async function provideCluster(input: ClusterInput): Promise<{ cluster: Cluster; credentials: Credentials }> {
  const recorded = await readPrivate(join(input.dataDirectory, credentialsFile), credentialsSchema);
  const { home, account } = await placeCluster(input.dataDirectory, recorded?.clusterHome);
  const directory = join(home, `pg${majorVersion}`);
  const cluster: Cluster = {
    directory,
    name: `poort_${createHash('sha256').update(directory).digest('hex').slice(0, 16)}`,
    account,
    programs: await providePostgresPrograms(account),
    log: input.log,
    logFile: input.logFile,
  };
  const credentials = recorded ?? {
    superuserPassword: randomBytes(24).toString('base64url'),
    ownerPassword: randomBytes(24).toString('base64url'),
    ...(home === input.dataDirectory ? {} : { clusterHome: home }),
  };
  // Before the cluster: a cluster whose passwords nobody knows would be of no use.
  if (recorded === undefined) await writePrivately(join(input.dataDirectory, credentialsFile), credentials);

  if (!(await exists(directory))) {
    await makeCluster(cluster, credentials, input.settings);
    return { cluster, credentials };
  }
  await endEarlierLife(cluster);
  if (recorded === undefined) await resetPasswords(cluster, credentials, input.settings);
  return { cluster, credentials };
}

/**
 * As an ordinary user the cluster is simply in the data directory. As root the server runs as another account, which
 * must be able to walk to the files: a data directory below a private home gets its cluster under /var/lib/poort.
 * (Not /var/tmp: what cleans old files there would take parts of a database that nobody read for a month.)
 * A cluster that exists is run by the account that owns it.
 */
async function placeCluster(
  dataDirectory: string,
  recordedHome: string | undefined,
): Promise<{ home: string; account: ServerAccount | undefined }> {
  const home = recordedHome ?? dataDirectory;
  const existing = await stat(join(home, `pg${majorVersion}`)).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (!runningAsRoot()) {
    if (existing !== undefined && process.getuid !== undefined && existing.uid !== process.getuid()) {
      throw new Error(`The database in ${home} belongs to uid ${existing.uid}: start as that user, or as root`);
    }
    return { home, account: undefined };
  }

  const owner = existing === undefined || existing.uid === 0 ? undefined : { uid: existing.uid, gid: existing.gid };
  const account = owner ?? (await chooseServerAccount());
  if (account === undefined || (await canReach(home, account))) return { home, account };
  if (existing !== undefined) {
    throw new Error(`The account of the database (uid ${account.uid}) cannot reach ${home}: chmod +x the way to it`);
  }
  if (await openForPassage(dataDirectory, account)) return { home, account };
  const parent = '/var/lib/poort';
  await mkdir('/var/lib', { recursive: true });
  await mkdir(parent).catch((error: unknown) => {
    if (errorCode(error) !== 'EEXIST') throw error;
  });
  await chmod(parent, 0o755);
  const key = createHash('sha256').update(dataDirectory).digest('hex').slice(0, 12);
  const elsewhere = await mkdtemp(join(parent, `${key}-`));
  await chmod(elsewhere, 0o711);
  // For a person who wonders whose this is. Nothing reads it, and nothing removes a cluster by guessing.
  await writeFile(join(elsewhere, 'belongs_to'), `${dataDirectory}\n`, { mode: 0o600 });
  return { home: elsewhere, account };
}

/**
 * A data directory that another part of Poort made first is 0700. It may be opened for passing (0711) when all that
 * is in it is closed by itself: then it shows nothing that it did not show before. False when that is not so, or when
 * it would not help because a folder above it is closed too.
 */
async function openForPassage(dataDirectory: string, account: ServerAccount): Promise<boolean> {
  const { uid, mode } = await stat(dataDirectory);
  if (uid !== process.getuid?.() || !(await canReach(dirname(dataDirectory), account))) return false;
  const entries = await Promise.all((await readdir(dataDirectory)).map((name) => lstat(join(dataDirectory, name))));
  if (entries.some((entry) => (entry.mode & 0o077) !== 0)) return false;
  await chmod(dataDirectory, (mode & 0o7777) | 0o011);
  return true;
}

/**
 * Makes the cluster beside its place and moves it there when it is complete, roles and database included: a cluster
 * that has its name is whole, and what a killed attempt left is removed here by the next one.
 */
async function makeCluster(
  cluster: Cluster,
  credentials: Credentials,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const home = dirname(cluster.directory);
  await mkdir(home, { recursive: true });
  const prefix = `pg${majorVersion}.initializing-`;
  for (const name of await readdir(home)) {
    if (name.startsWith(prefix)) await rm(join(home, name), { recursive: true, force: true, maxRetries: 20 });
  }
  const staging = await mkdtemp(join(home, prefix));
  if (cluster.account !== undefined) await chown(staging, cluster.account.uid, cluster.account.gid);

  const made = { ...cluster, directory: join(staging, 'cluster') };
  const passwordFile = join(staging, 'password');
  await writeForServer(made, passwordFile, `${credentials.superuserPassword}\n`);
  await runToEnd(made, {
    program: made.programs.initdb,
    arguments: [
      `--pgdata=${made.directory}`,
      '--username=postgres',
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale-provider=builtin',
      // Other systems' C libraries do not know C.UTF-8; the collation is the built-in one either way.
      ...(process.platform === 'linux' ? ['--locale=C.UTF-8'] : ['--locale=C', '--builtin-locale=C.UTF-8']),
      '--no-instructions',
      ...(settings['fsync'] === 'off' ? ['--no-sync'] : []),
    ],
  });
  const statements = [
    `CREATE ROLE ${ownerRole} LOGIN CREATEROLE NOSUPERUSER NOBYPASSRLS PASSWORD '${credentials.ownerPassword}'`,
    `CREATE DATABASE ${ownerDatabase} OWNER ${ownerRole}`,
  ];
  await runStatements(made, statements, settings);
  await rename(made.directory, cluster.directory);
  await rm(staging, { recursive: true, force: true });
}

/** The password file was lost and the cluster was not. Who owns the files owns the server: nothing is given away. */
async function resetPasswords(
  cluster: Cluster,
  credentials: Credentials,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const statements = [
    `ALTER ROLE postgres PASSWORD '${credentials.superuserPassword}'`,
    `ALTER ROLE ${ownerRole} PASSWORD '${credentials.ownerPassword}'`,
  ];
  await runStatements(cluster, statements, settings);
}

/** Runs statements, one line each, in a server without connections (single-user mode). One that fails ends it. */
async function runStatements(
  cluster: Cluster,
  statements: readonly string[],
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const effective = { ...discreetLog, fsync: settings['fsync'] ?? 'on', exit_on_error: 'on' };
  const inputFile = join(cluster.directory, 'poort_statements.sql');
  await rm(inputFile, { force: true });
  await writeForServer(cluster, inputFile, statements.map((statement) => `${statement};\n`).join(''));
  try {
    await runToEnd(cluster, {
      program: cluster.programs.postgres,
      arguments: ['--single', '-D', cluster.directory, ...settingArguments(effective), 'postgres'],
      inputFile,
    });
  } finally {
    await rm(inputFile, { force: true });
  }
}

/**
 * A server of an earlier life may still be there: its owner was killed a moment ago, or its supervising shell was too.
 * It is stopped and waited for, every one of its processes, before anything else touches the files. Then a pid file
 * that names a zombie or a stranger with the same number is removed, because PostgreSQL would take either for a live
 * server. In all other cases the pid file is left for PostgreSQL's own checks.
 */
async function endEarlierLife(cluster: Cluster): Promise<void> {
  const pidFile = join(cluster.directory, 'postmaster.pid');
  const earlier = await readPidFile(pidFile);
  if (earlier === undefined || onWindows) return;

  const askedAt = performance.now();
  let asked: NodeJS.Signals | undefined;
  for (;;) {
    const remaining = await processesOf(cluster.name);
    if (remaining.length === 0) break;
    const waitedMilliseconds = performance.now() - askedAt;
    if (waitedMilliseconds > 30_000) {
      throw new Error(`An earlier server of ${cluster.directory} does not end: processes ${remaining.join(', ')}`);
    }
    const signal = waitedMilliseconds > 15_000 ? 'SIGQUIT' : 'SIGINT'; // immediate, fast
    if (signal !== asked && remaining.includes(earlier.processId)) {
      sendSignal(earlier.processId, signal);
      asked = signal;
    }
    await delay(10);
  }
  if (isAlive(earlier.processId)) await rm(pidFile, { force: true });
}

interface ServerInput {
  readonly dataDirectory: string;
  readonly cluster: Cluster;
  readonly credentials: Credentials;
  readonly settings: Readonly<Record<string, string>>;
  /** Gives up lock, log and running file. */
  readonly release: () => Promise<void>;
}

async function startServer(input: ServerInput): Promise<EmbeddedPostgres> {
  const { cluster, credentials } = input;
  const { process: supervised, processId, port } = await launch(cluster, input.settings);
  const server = { processId, port, clusterName: cluster.name };
  let asked = false;
  const exited = supervised.ended.then(async (ending) => {
    // When the shell was killed rather than the server, closing its pipe still ends the server, a moment later.
    supervised.end();
    while ((await processesOf(cluster.name)).includes(processId)) await delay(10);
    const words = asked ? '' : await lastWords(cluster.logFile);
    await input.release();
    return {
      reason: asked ? 'stopped' : `The embedded PostgreSQL ended by itself (${describeEnding(ending)}). ${words}`,
    };
  });
  const stop = async (): Promise<void> => {
    asked = true;
    supervised.end();
    await exited;
  };

  try {
    const running = { processId: process.pid, server } satisfies Running;
    await writePrivately(join(input.dataDirectory, runningFile), running);
  } catch (error) {
    await stop();
    throw error;
  }
  const { superuserPassword, ownerPassword } = credentials;
  const { ownerUrl, superuserUrl } = urls({ port, ...credentials });
  return {
    connection: { host: '127.0.0.1', port, superuserPassword, ownerPassword },
    clusterDirectory: cluster.directory,
    ownerUrl,
    superuserUrl,
    exited,
    stop,
  };
}

/** Starts the server on a free port. Between our asking and its binding another may take it: then on the next one. */
async function launch(
  cluster: Cluster,
  settings: Readonly<Record<string, string>>,
): Promise<{ process: Supervised; processId: number; port: number }> {
  for (let attempt = 1; ; attempt += 1) {
    const port = await findFreePort();
    const beforeBytes = (await cluster.log.stat()).size;
    const pidFile = join(cluster.directory, 'postmaster.pid');
    const stale = await readPidFile(pidFile);
    const supervised = await supervise({
      output: cluster.log.fd,
      account: cluster.account,
      program: cluster.programs.postgres,
      arguments: ['-D', cluster.directory, ...serverArguments(cluster, settings, port)],
      stopSignal: 'INT', // fast shutdown: sessions are ended, the cluster is left clean
      stopCommand: [cluster.programs.pgCtl, 'stop', '-D', cluster.directory, '-m', 'fast', '-W'],
    });

    let ending: Ending | undefined;
    void supervised.ended.then((value) => {
      ending = value;
    });
    const deadline = performance.now() + startTimeoutMilliseconds;
    while (ending === undefined && performance.now() < deadline) {
      const state = await readPidFile(pidFile);
      if (state?.ready === true && state.identity !== stale?.identity) {
        return { process: supervised, processId: state.processId, port };
      }
      await delay(5);
    }

    supervised.end();
    const ended = await supervised.ended;
    const words = await lastWords(cluster.logFile, beforeBytes);
    if (words.includes('could not bind') && attempt < portAttempts) continue;
    const how = ending === undefined ? `not ready after ${startTimeoutMilliseconds / 1000} s` : describeEnding(ended);
    throw new Error(`The embedded PostgreSQL did not start (${how}). ${words}`, { cause: ended.fault });
  }
}

function serverArguments(
  cluster: Cluster,
  settings: Readonly<Record<string, string>>,
  port: number,
): readonly string[] {
  const effective: Readonly<Record<string, string>> = {
    ...defaultSettings,
    ...settings,
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    cluster_name: cluster.name,
    logging_collector: 'off',
  };
  return settingArguments(effective);
}

function settingArguments(settings: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

async function findFreePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((found, failed) => {
    server.once('error', failed).listen({ host: '127.0.0.1', port: 0, exclusive: true }, found);
  });
  const address = server.address();
  await new Promise<void>((closed) => server.close(() => closed()));
  if (address === null || typeof address === 'string') throw new Error('A listening server has no port');
  return address.port;
}

async function runToEnd(cluster: Cluster, job: Pick<Job, 'program' | 'arguments' | 'inputFile'>): Promise<void> {
  const beforeBytes = (await cluster.log.stat()).size;
  const ending = await (await supervise({ ...job, output: cluster.log.fd, account: cluster.account })).ended;
  if (ending.code === 0) return;
  const words = await lastWords(cluster.logFile, beforeBytes);
  throw new Error(`The embedded PostgreSQL cannot be prepared (${describeEnding(ending)}). ${words}`, {
    cause: ending.fault,
  });
}

/** The end of what the server said, for a person. */
async function lastWords(logFile: string, fromByte = 0): Promise<string> {
  const log = await readFile(logFile).catch(() => Buffer.alloc(0));
  const lines = log.subarray(fromByte).toString('utf8').trim().split('\n').slice(-12);
  return lines[0] === '' ? `It said nothing (${logFile}).` : `It said:\n${lines.join('\n')}`;
}

interface PidFile {
  readonly processId: number;
  readonly ready: boolean;
  /** Process id, start time and the like: differs between two lives even where process ids repeat. */
  readonly identity: string;
}

/** Line 1 is the process id, line 3 the start time, line 8 the state (PostgreSQL, miscadmin.h). */
async function readPidFile(pidFile: string): Promise<PidFile | undefined> {
  const text = await readFile(pidFile, 'utf8').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  const lines = text?.split('\n') ?? [];
  const processId = Number(lines[0]);
  if (!Number.isInteger(processId) || processId <= 0) return undefined;
  return { processId, ready: lines[7]?.trim() === 'ready', identity: lines.slice(0, 4).join(' ') };
}

function urls(input: { port: number; superuserPassword: string; ownerPassword: string }): EmbeddedPostgresUrls {
  const url = (role: string, password: string, database: string): string =>
    `postgres://${role}:${password}@127.0.0.1:${input.port}/${encodeURIComponent(database)}`;
  return {
    port: input.port,
    ownerUrl: (database = ownerDatabase) => url(ownerRole, input.ownerPassword, database),
    superuserUrl: (database = 'postgres') => url('postgres', input.superuserPassword, database),
  };
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => {
      if (errorCode(error) === 'ENOENT') return false;
      throw error;
    },
  );
}

async function readPrivate<Schema extends z.ZodType>(
  path: string,
  schema: Schema,
): Promise<z.infer<Schema> | undefined> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  return text === undefined ? undefined : schema.parse(JSON.parse(text));
}

/** Whole or not at all, on the disk before it has its name, and readable by nobody else at any moment. */
async function writePrivately(path: string, value: unknown): Promise<void> {
  const temporary = `${path}.${process.pid}`;
  await rm(temporary, { force: true });
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(value, undefined, 2)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

/** A file for the account of the server, who alone may read it. Through its handle: the folder is that account's. */
async function writeForServer(cluster: Cluster, path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    if (cluster.account !== undefined) await file.chown(cluster.account.uid, cluster.account.gid);
  } finally {
    await file.close();
  }
}
