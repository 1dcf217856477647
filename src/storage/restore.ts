/**
 * The way back: a database becomes what a backup says, and nothing but an empty one will do. The file is read to its end before
 * anything is touched, then the migrations that the backup knew are run, all rows are loaded in one transaction, and the migrations that
 * came since follow. The result has the same rows, partitions, sequences and isolation, and opens with the same master key.
 */
import { createHash } from 'node:crypto';
import pg from 'pg';
import type { Sealer } from '#src/foundation/sealing.ts';
import { addTo, type BackupManifest, manifestSchema, markSchema, type TableProgress, textForm } from './backup.ts';
import { BackupUnusable, readBackupFile, readHeader } from './backup_file.ts';
import { listMigrations, migrate, migrationLock } from './migrate.ts';

export interface RestoreReport {
  readonly createdAt: string;
  readonly tables: number;
  readonly rows: number;
  /** Migrations that came after the backup was made. */
  readonly migrated: readonly string[];
}

/** Nothing was touched. */
export class RestoreRefused extends Error {
  override readonly name = 'RestoreRefused';
  readonly reason: 'not_empty' | 'backup_is_newer';

  constructor(reason: 'not_empty' | 'backup_is_newer', message: string) {
    super(message);
    this.reason = reason;
  }
}

export interface RestoreOptions {
  readonly ownerUrl: string;
  readonly sealer: Sealer;
  readonly file: string;
  /** Looks at the file and at the database, and touches neither. */
  readonly dryRun?: boolean;
  readonly onTable?: (progress: TableProgress) => void;
}

/** Rejects with `RestoreRefused` or `BackupUnusable` before it has changed anything. */
export async function restore(options: RestoreOptions): Promise<RestoreReport> {
  const { ownerUrl, sealer, file, dryRun = false, onTable = () => undefined } = options;
  const { header } = await readHeader(file);
  const checked = await readBackupFile(file, { sealer, use: (lines) => readAll(lines, ignoring) });
  const known = await listMigrations();
  const unknown = checked.manifest.migrations.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new RestoreRefused('backup_is_newer', `the backup has ${unknown.join(', ')}`);
  const migrated = known.filter((name) => !checked.manifest.migrations.includes(name));
  const report = { createdAt: header.created_at, tables: checked.tables, rows: checked.rows, migrated };

  const client = new pg.Client({ connectionString: ownerUrl, application_name: 'poort restore' });
  await client.connect();
  try {
    await refuseNonEmpty(client);
    if (dryRun) return report;
    await migrate({ ownerUrl, sealer, wanted: checked.manifest.migrations });
    await client.query('select pg_advisory_lock($1)', [migrationLock]);
    await readBackupFile(file, { sealer, use: (lines) => load(client, lines, onTable) });
    await client.query('select pg_advisory_unlock($1)', [migrationLock]);
    await migrate({ ownerUrl, sealer });
    await client.query('analyze');
    return report;
  } finally {
    await client.end();
  }
}

async function refuseNonEmpty(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') and n.nspname !~ '^pg_(temp|toast_temp)_'
        and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
        and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
      union all
     select p.oid::regprocedure::text from pg_proc p
      where p.pronamespace = 'public'::regnamespace
        and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
      order by 1 limit 3`,
  );
  if (rows.length === 0) return;
  const names = rows.map(({ name }) => name).join(', ');
  throw new RestoreRefused('not_empty', `there is something in this database already: ${names}`);
}

/** What is done with the parts of a backup, in their order. */
interface Reader {
  readonly begin: (manifest: BackupManifest) => Promise<void>;
  /** Rows as they stand in the file, each an array in JSON. */
  readonly rows: (table: BackupManifest['tables'][number], rows: readonly string[]) => Promise<void>;
  readonly end: (progress: TableProgress) => Promise<void>;
}

const ignoring: Reader = {
  begin: async () => undefined,
  rows: async () => undefined,
  end: async () => undefined,
};

const maximumRowsTogether = 500;
const maximumCharactersTogether = 4_000_000;

/** Reads a backup to its end, and sees that it is whole: every table that it announced, with its rows and their checksum. */
async function readAll(
  lines: AsyncIterable<string>,
  reader: Reader,
): Promise<{ readonly manifest: BackupManifest; readonly tables: number; readonly rows: number }> {
  const damaged = (): BackupUnusable => new BackupUnusable('damaged');
  let manifest: BackupManifest | undefined;
  let isOver = false;
  let done = 0;
  let all = 0;
  let count = 0;
  let digest = createHash('sha256');
  let batch: string[] = [];
  let characters = 0;
  let table: BackupManifest['tables'][number] | undefined;

  const flush = async (): Promise<void> => {
    if (table !== undefined && batch.length > 0) await reader.rows(table, batch);
    batch = [];
    characters = 0;
  };

  for await (const text of lines) {
    if (manifest === undefined) {
      manifest = manifestSchema.parse(JSON.parse(text));
      await reader.begin(manifest);
      continue;
    }
    if (isOver) throw damaged();
    if (text.startsWith('[')) {
      if (table === undefined) throw damaged();
      addTo(digest, `${text}\n`);
      count += 1;
      characters += text.length;
      batch.push(text);
      if (batch.length >= maximumRowsTogether || characters >= maximumCharactersTogether) await flush();
      continue;
    }
    const mark = markSchema.parse(JSON.parse(text));
    if ('begin' in mark) {
      const next = manifest.tables[done];
      if (table !== undefined || next?.name !== mark.begin) throw damaged();
      table = next;
      count = 0;
      digest = createHash('sha256');
    } else if ('end' in mark) {
      await flush();
      if (table?.name !== mark.end || mark.rows !== count || mark.sha256 !== digest.digest('hex')) throw damaged();
      await reader.end({ table: table.name, rows: count });
      table = undefined;
      done += 1;
      all += count;
    } else {
      if (table !== undefined || mark.tables !== done || mark.rows !== all) throw damaged();
      isOver = true;
    }
  }
  if (manifest === undefined || !isOver || done !== manifest.tables.length) throw damaged();
  return { manifest, tables: done, rows: all };
}

/** All of it in one transaction. Nobody else is in this database. */
async function load(
  client: pg.Client,
  lines: AsyncIterable<string>,
  onTable: (progress: TableProgress) => void,
): Promise<void> {
  await client.query('begin');
  try {
    await client.query(
      `${textForm}; set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0`,
    );
    let loaded: BackupManifest | undefined;
    await readAll(lines, {
      async begin(manifest) {
        loaded = manifest;
        await openTables(client, manifest);
      },
      rows: (table, rows) => insertRows(client, table, rows),
      end: async (progress) => onTable(progress),
    });
    if (loaded !== undefined) await closeTables(client, loaded);
    await client.query('commit');
  } catch (fault) {
    await client.query('rollback');
    throw fault;
  }
}

/** Rows come in as they were: no trigger makes others of them, and the owner may write those of every tenant meanwhile. */
async function openTables(client: pg.Client, { tables }: BackupManifest): Promise<void> {
  for (const { name, partitions } of tables) {
    const table = pg.escapeIdentifier(name);
    for (const partition of partitions) await makePartition(client, { table, ...partition });
    await client.query(`alter table ${table} no force row level security`);
    await client.query(`alter table ${table} disable trigger user`);
  }
  // What the migrations put there is in the backup too, as it was.
  await client.query(`truncate ${tables.map(({ name }) => pg.escapeIdentifier(name)).join(', ')}`);
}

async function makePartition(
  client: pg.Client,
  { table, name, bounds }: { readonly table: string; readonly name: string; readonly bounds: string },
): Promise<void> {
  const { rows } = await client.query<{ there: boolean }>('select to_regclass($1) is not null as there', [
    `public.${pg.escapeIdentifier(name)}`,
  ]);
  if (rows[0]?.there === true) return;
  const partition = pg.escapeIdentifier(name);
  await client.query(`create table ${partition} partition of ${table} ${bounds}`);
  await client.query('select isolate_by_tenant($1::regclass)', [`public.${partition}`]);
}

async function insertRows(
  client: pg.Client,
  { name, columns }: BackupManifest['tables'][number],
  rows: readonly string[],
): Promise<void> {
  const names = columns.map((column) => pg.escapeIdentifier(column.name)).join(', ');
  const values = columns.map(({ type }, index) => `(one ->> ${index})::${type}`).join(', ');
  const inserted = await client.query(
    `insert into ${pg.escapeIdentifier(name)} (${names}) overriding system value
     select ${values} from json_array_elements($1::json) as one`,
    [`[${rows.join(',')}]`],
  );
  if (inserted.rowCount !== rows.length) throw new Error(`${name} took ${inserted.rowCount} of ${rows.length} rows`);
}

async function closeTables(client: pg.Client, { tables, sequences }: BackupManifest): Promise<void> {
  for (const { name, last_value, is_called } of sequences)
    await client.query('select setval($1::regclass, $2::bigint, $3)', [
      `public.${pg.escapeIdentifier(name)}`,
      last_value,
      is_called,
    ]);
  // References that are checked in the end: now, because a table with checks to come cannot be altered.
  await client.query('set constraints all immediate');
  const { rows } = await client.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = 'public'::regnamespace and relrowsecurity and relkind in ('r', 'p') and not relispartition`,
  );
  const isolated = new Set(rows.map((row) => row.name));
  for (const { name } of tables) {
    const table = pg.escapeIdentifier(name);
    await client.query(`alter table ${table} enable trigger user`);
    if (isolated.has(name)) await client.query(`alter table ${table} force row level security`);
  }
}
