/**
 * Brings a database to the state this version needs: the roles, then every file of migrations/ that the ledger lacks, all of
 * them in one transaction, under an advisory lock. Forward only. knex runs the files and keeps the ledger; it is loaded only
 * when there is something to run, because a warm start should not wait for it.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Knex } from 'knex';
import pg from 'pg';
import { SealBroken, type Sealer } from '#src/foundation/sealing.ts';
import { databaseUrls, rolePassword, type ServingRole } from './database_roles.ts';
import { checkMasterKey, rememberMasterKey } from './installation.ts';

export interface Migrated {
  readonly applied: readonly string[];
  /** Who connects as the owner, for the checks of a production start. */
  readonly owner: { readonly name: string; readonly superuser: boolean; readonly bypassesRowLevelSecurity: boolean };
}

/** The database is not one this version can serve; `problem` is for the operator. */
export class MigrationRefused extends Error {
  override readonly name = 'MigrationRefused';
}

const migrationsDirectory = join(import.meta.dirname, '../../migrations');
export const ledger = 'schema_migrations';
/** Held while the schema changes, also by a restore. */
export const migrationLock = 7_067_678;
export const oldestSupportedMajor = 15;

/** The names of all migrations, in the order in which they run. */
export async function listMigrations(): Promise<readonly string[]> {
  return (await readdir(migrationsDirectory)).filter((name) => name.endsWith('.sql')).sort();
}

/**
 * Migrates as the owner. Safe to call from several processes at once: one works, the others wait and find nothing to do.
 * @param options.wanted These alone, for a database that is to become what another one was.
 */
export async function migrate({
  ownerUrl,
  sealer,
  wanted,
}: {
  ownerUrl: string;
  sealer: Sealer;
  wanted?: readonly string[];
}): Promise<Migrated> {
  const client = new pg.Client({ connectionString: ownerUrl, application_name: 'poort migrate' });
  await client.connect();
  try {
    await client.query('select pg_advisory_lock($1)', [migrationLock]);
    const owner = await readOwner(client);
    await refuseOtherMasterKey(client, sealer);
    await ensureRoles(client, { ownerUrl, sealer });
    const all = wanted ?? (await listMigrations());
    const pending = await pendingMigrations(client, all);
    if (pending.length > 0) await runMigrations(ownerUrl, all);
    await rememberMasterKey(client, sealer);
    return { applied: pending, owner };
  } finally {
    await client.end();
  }
}

async function readOwner(client: pg.Client): Promise<Migrated['owner']> {
  const { rows } = await client.query<{ name: string; superuser: boolean; bypasses: boolean; version: number }>(
    `select rolname as name, rolsuper as superuser, rolbypassrls as bypasses,
            current_setting('server_version_num')::int / 10000 as version
       from pg_roles where rolname = current_user`,
  );
  const [row] = rows;
  if (row === undefined) throw new MigrationRefused('the database does not tell who is connected');
  if (row.version < oldestSupportedMajor) {
    throw new MigrationRefused(`PostgreSQL ${row.version} is too old: ${oldestSupportedMajor} or later is needed`);
  }
  return { name: row.name, superuser: row.superuser, bypassesRowLevelSecurity: row.bypasses };
}

/** Refuses before anything is touched when this database was sealed with a key that is not configured. */
async function refuseOtherMasterKey(client: pg.Client, sealer: Sealer): Promise<void> {
  try {
    await checkMasterKey(client, sealer);
  } catch (fault) {
    if (!(fault instanceof SealBroken)) throw fault;
    const problem = 'this database was made with another master key';
    const fix =
      'give back the POORT_MASTER_KEY it was made with; to change it, put the new key in front and keep the old one behind';
    throw new MigrationRefused(`${problem}: ${fix}`, { cause: fault });
  }
}

async function ensureRoles(
  client: pg.Client,
  { ownerUrl, sealer }: { ownerUrl: string; sealer: Sealer },
): Promise<void> {
  const urls = databaseUrls(ownerUrl, sealer);
  await ensureRole(client, 'poort_definer', 'nologin');
  for (const [role, url] of [
    ['poort_app', urls.app],
    ['poort_platform', urls.platform],
  ] as const) {
    await ensureRole(client, role, 'login');
    if (!(await canConnect(url))) await setPassword(client, role, rolePassword(sealer, role));
  }
  const database = (await client.query<{ name: string }>('select current_database() as name')).rows[0]?.name ?? '';
  await client.query(`revoke all on database ${pg.escapeIdentifier(database)} from public`);
  await client.query(`grant connect on database ${pg.escapeIdentifier(database)} to poort_app, poort_platform`);
}

async function ensureRole(client: pg.Client, role: string, login: 'login' | 'nologin'): Promise<void> {
  // Another database of the same cluster may make the role at this very moment: that is as good as ours.
  await client.query(
    `do $$ begin
       create role ${role} ${login} nosuperuser nocreatedb nocreaterole nobypassrls noreplication;
     exception when duplicate_object or unique_violation then null; end $$`,
  );
  const { rows } = await client.query<{ dangerous: boolean }>(
    'select rolsuper or rolbypassrls or rolcreaterole as dangerous from pg_roles where rolname = $1',
    [role],
  );
  if (rows[0]?.dangerous !== false) {
    throw new MigrationRefused(`the role ${role} may be no superuser and may not bypass row level security`);
  }
}

async function setPassword(client: pg.Client, role: ServingRole, password: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await client.query(`alter role ${role} login password ${pg.escapeLiteral(password)}`);
      return;
    } catch (fault) {
      // Two databases of one cluster setting the same password at the same moment.
      const concurrent = fault instanceof pg.DatabaseError && fault.message.includes('concurrently updated');
      if (!concurrent || attempt === 5) throw fault;
    }
  }
}

async function canConnect(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  try {
    await client.connect();
    return true;
  } catch (fault) {
    const refused = fault instanceof pg.DatabaseError && ['28P01', '28000', '42501'].includes(fault.code ?? '');
    if (!refused) throw fault;
    // 42501 is "no CONNECT on this database yet": the password was right.
    return fault.code === '42501';
  } finally {
    await client.end();
  }
}

async function pendingMigrations(client: pg.Client, all: readonly string[]): Promise<readonly string[]> {
  const exists = await client.query<{ there: boolean }>(`select to_regclass('public.${ledger}') is not null as there`);
  if (exists.rows[0]?.there !== true) return all;
  const { rows } = await client.query<{ name: string }>(`select name from ${ledger}`);
  const applied = new Set(rows.map((row) => row.name));
  const unknown = [...applied].filter((name) => !all.includes(name));
  if (unknown.length > 0) {
    throw new MigrationRefused(`the database is newer than this version of Poort: it has ${unknown.join(', ')}`);
  }
  return all.filter((name) => !applied.has(name));
}

async function runMigrations(ownerUrl: string, names: readonly string[]): Promise<void> {
  const { default: createKnex } = await import('knex');
  // What knex would print on its own is in the error it throws, which somebody catches and logs once.
  const say = (): void => undefined;
  const log = { debug: say, deprecate: say, error: say, warn: say };
  const knex = createKnex({ client: 'pg', connection: ownerUrl, pool: { min: 0, max: 2 }, log });
  const configuration = { tableName: ledger, migrationSource: new PlainSqlMigrations(names) };
  try {
    // A process that was killed may have left knex's own lock behind. The advisory lock is ours, so nobody else migrates.
    await knex.migrate.forceFreeMigrationsLock(configuration).catch(() => undefined);
    await knex.migrate.latest(configuration);
    await knex.raw(`grant select on ${ledger} to poort_platform`);
  } finally {
    await knex.destroy();
  }
}

class PlainSqlMigrations implements Knex.MigrationSource<string> {
  readonly #names: readonly string[];

  constructor(names: readonly string[]) {
    this.#names = names;
  }

  async getMigrations(): Promise<string[]> {
    return [...this.#names];
  }

  getMigrationName(name: string): string {
    return name;
  }

  async getMigration(name: string): Promise<Knex.Migration> {
    const sql = await readFile(join(migrationsDirectory, name), 'utf8');
    return {
      // Through the driver itself: knex rewrites the jsonb operator `?`.
      async up(transaction: Knex) {
        const connection: pg.Client = await transaction.client.acquireConnection();
        await connection.query(sql);
      },
      async down() {
        throw new Error('migrations only go forward');
      },
    };
  }
}
