/**
 * One PostgreSQL cluster for the whole run and a database of its own for each test file, cloned from a migrated template. The
 * cluster is the embedded one; POORT_TEST_DATABASE_URL names another (its superuser), so that the same tests run on PostgreSQL 15.
 */
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { createSealer, type Sealer } from '#src/foundation/sealing.ts';
import { Secret } from '#src/foundation/secret.ts';
import { startEmbeddedPostgres } from '#src/storage/embedded_postgres.ts';
import { migrate } from '#src/storage/migrate.ts';

const clusterVariable = 'POORT_TEST_CLUSTER';
const template = 'poort_test_template';

/** The same for every test database of the cluster: the serving roles belong to the cluster, and so do their passwords. */
export const testMasterKey = Buffer.from('a key for tests, of 32 bytes...!').toString('base64');

export function createTestSealer(): Sealer {
  return createSealer([new Secret(testMasterKey)]);
}

interface Cluster {
  /** Any database of the cluster, as its superuser. */
  readonly superuserUrl: string;
  readonly ownerUrl: string;
}

/** Starts the cluster and migrates the template. Returns what ends it. */
export async function startCluster(): Promise<() => Promise<void>> {
  const given = process.env['POORT_TEST_DATABASE_URL'];
  const { cluster, stop } = given === undefined ? await startOwnCluster() : await useCluster(given);
  const superuser = new pg.Client({ connectionString: cluster.superuserUrl });
  await superuser.connect();
  await superuser.query(`drop database if exists ${template}`);
  await superuser.query(`create database ${template} owner poort_owner`);
  await superuser.end();
  await migrate({ ownerUrl: inDatabase(cluster.ownerUrl, template), sealer: createTestSealer() });
  process.env[clusterVariable] = JSON.stringify(cluster);
  return stop;
}

async function startOwnCluster(): Promise<{ cluster: Cluster; stop: () => Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), 'poort-cluster-'));
  // As root the server runs under another account, which must be able to pass.
  await chmod(directory, 0o711);
  const settings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '300' };
  const start = await startEmbeddedPostgres({ dataDirectory: directory, settings });
  if (start.outcome !== 'started') throw new Error('the test cluster is running already');
  const { server } = start;
  return {
    cluster: { superuserUrl: server.superuserUrl(), ownerUrl: server.ownerUrl() },
    async stop() {
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function useCluster(superuserUrl: string): Promise<{ cluster: Cluster; stop: () => Promise<void> }> {
  const password = randomBytes(16).toString('hex');
  const superuser = new pg.Client({ connectionString: superuserUrl });
  await superuser.connect();
  await superuser.query(
    `do $$ begin create role poort_owner; exception when duplicate_object then null; end $$;
     alter role poort_owner login createrole nosuperuser nobypassrls password '${password}'`,
  );
  await superuser.end();
  const ownerUrl = new URL(superuserUrl);
  ownerUrl.username = 'poort_owner';
  ownerUrl.password = password;
  return { cluster: { superuserUrl, ownerUrl: ownerUrl.href }, stop: async () => undefined };
}

export interface TestDatabase {
  readonly ownerUrl: string;
  readonly superuserUrl: string;
  drop(): Promise<void>;
}

/** A fresh, migrated database. Parallel tests never meet. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const cluster = JSON.parse(process.env[clusterVariable] ?? 'null') as Cluster | null;
  if (cluster === null) throw new Error('no test cluster: test/support/global_setup.ts starts it');
  const name = `poort_test_${randomBytes(6).toString('hex')}`;
  await asSuperuser(cluster, `create database ${name} template ${template} owner poort_owner`);
  await asSuperuser(cluster, `grant connect on database ${name} to poort_app, poort_platform`);
  return {
    ownerUrl: inDatabase(cluster.ownerUrl, name),
    superuserUrl: inDatabase(cluster.superuserUrl, name),
    drop: () => asSuperuser(cluster, `drop database ${name} with (force)`),
  };
}

async function asSuperuser(cluster: Cluster, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: cluster.superuserUrl });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

function inDatabase(url: string, database: string): string {
  const other = new URL(url);
  other.pathname = `/${database}`;
  return other.href;
}
