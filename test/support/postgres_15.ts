/**
 * A cluster of PostgreSQL 15, the oldest one Poort serves from, for as long as a test file runs. npm cannot bring it, so it is
 * looked for where Debian puts it (or in the directory that POORT_TEST_POSTGRES_15 names); where there is none, such tests are
 * skipped and their name says why. It shares nothing with a PostgreSQL that runs on the machine.
 */
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, withConnection } from './sql.ts';
import { freePort } from './test_server.ts';

export interface ScratchCluster {
  /** The database `postgres`, as the superuser. */
  readonly superuserUrl: string;
  /** Makes a database that belongs to `poort_owner`, an ordinary role, as an operator would. */
  createDatabase(name: string): Promise<{ readonly ownerUrl: string; readonly superuserUrl: string }>;
  stop(): Promise<void>;
}

const debianDirectory = '/usr/lib/postgresql/15/bin';
const missing = 'skipped: no PostgreSQL 15 (Debian: postgresql-15; or set POORT_TEST_POSTGRES_15 to its bin directory)';

/** The directory of `initdb` and `postgres`; undefined without one. */
export function postgres15Directory(): string | undefined {
  const named = process.env['POORT_TEST_POSTGRES_15'];
  const directory = named === undefined || named === '' ? debianDirectory : named;
  try {
    for (const program of ['initdb', 'postgres']) accessSync(join(directory, program), constants.X_OK);
    return directory;
  } catch {
    return undefined;
  }
}

/** `describe` where there is a PostgreSQL 15; elsewhere one skipped test that tells how to get it run. */
export function describeWithPostgres15(name: string, body: () => void): void {
  if (postgres15Directory() !== undefined) {
    describe(name, body);
    return;
  }
  describe(name, () => {
    it.skip(missing, () => undefined);
  });
}

export async function startPostgres15(): Promise<ScratchCluster> {
  const binaries = postgres15Directory();
  if (binaries === undefined) throw new Error(missing);
  const directory = await mkdtemp(join(tmpdir(), 'poort-postgres-15-'));
  const password = randomBytes(16).toString('hex');
  const passwordFile = join(directory, 'password');
  await writeFile(passwordFile, password);
  const account = serverAccount();
  await chmod(directory, 0o700);
  if (account !== undefined) for (const path of [directory, passwordFile]) await chown(path, account.uid, account.gid);

  const data = join(directory, 'data');
  const asServer = { ...account, cwd: directory, env: { LC_ALL: 'C.UTF-8' } };
  execFileSync(
    join(binaries, 'initdb'),
    ['-D', data, '-U', 'postgres', '-A', 'scram-sha-256', '-E', 'UTF8', '--no-sync', `--pwfile=${passwordFile}`],
    { ...asServer, stdio: 'pipe' },
  );
  const port = await freePort();
  const server = [join(binaries, 'postgres'), '-D', data, '-k', directory, '-h', '127.0.0.1', '-p', String(port), '-F'];
  // The shell waits on a pipe of ours: however this process ends, the server ends with it.
  const supervisor = spawn(
    '/bin/sh',
    ['-c', '"$@" & server=$!; read -r _; kill -INT $server; wait $server', 'sh', ...server],
    {
      ...asServer,
      stdio: ['pipe', 'ignore', 'ignore'],
    },
  );
  const ended = new Promise<void>((resolve) => supervisor.once('exit', () => resolve()));
  const superuserUrl = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`;
  await eventually(
    'PostgreSQL 15 accepts connections',
    async () => {
      if (supervisor.exitCode !== null) throw new Error('PostgreSQL 15 ended at its start');
      return withConnection(superuserUrl, async () => true).catch(() => false);
    },
    30_000,
  );

  return {
    superuserUrl,
    async createDatabase(name) {
      await withConnection(superuserUrl, async (superuser) => {
        await superuser.query(`do $$ begin create role poort_owner; exception when duplicate_object then null; end $$`);
        await superuser.query(`alter role poort_owner login createrole nosuperuser nobypassrls password '${password}'`);
        await superuser.query(`create database ${name} owner poort_owner`);
      });
      const inDatabase = superuserUrl.replace(/\/postgres$/, `/${name}`);
      return { superuserUrl: inDatabase, ownerUrl: inDatabase.replace('//postgres:', '//poort_owner:') };
    },
    async stop() {
      supervisor.stdin.end('stop\n');
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** PostgreSQL does not run as root: then as `postgres`, whom Debian's package brings. */
function serverAccount(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (option: string): number => Number(execFileSync('id', [option, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}
