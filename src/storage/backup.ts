/**
 * A backup: every row of every tenant as it stood at one moment, while servers go on serving. Nobody can see all tenants at once, and a
 * backup is no reason to change that: the platform lists the tenants, and the owner of the database reads one after the other, all in
 * one snapshot. The tables, their order and their columns are asked of the catalogue, so that a table cannot be forgotten; one that is
 * isolated in a way that is not known here stops the backup instead.
 *
 * Values travel as PostgreSQL writes them as text and reads them again, which is exact for every type. How a file is kept is for
 * backup_file.ts, the way back for restore.ts.
 */
import { createHash, type Hash } from 'node:crypto';
import pg from 'pg';
import { z } from 'zod';
import type { Sealer } from '#src/foundation/sealing.ts';
import { writeBackupFile } from './backup_file.ts';
import { databaseUrls, otherDatabaseUrls } from './database_roles.ts';
import { ledger } from './migrate.ts';

/** What stands at the beginning of a backup. */
export const manifestSchema = z.strictObject({
  /** In their order: a restore runs exactly these before it loads. */
  migrations: z.array(z.string()),
  postgres: z.string(),
  /** In an order in which each can be filled: what a row refers to is there already. */
  tables: z.array(
    z.strictObject({
      name: z.string(),
      columns: z.array(z.strictObject({ name: z.string(), type: z.string() })),
      partitions: z.array(z.strictObject({ name: z.string(), bounds: z.string() })),
    }),
  ),
  sequences: z.array(z.strictObject({ name: z.string(), last_value: z.string(), is_called: z.boolean() })),
});

export type BackupManifest = z.infer<typeof manifestSchema>;

/** The lines between which the rows of a table stand, and the one at the end. */
export const markSchema = z.union([
  z.strictObject({ begin: z.string() }),
  z.strictObject({ end: z.string(), rows: z.number(), sha256: z.string() }),
  z.strictObject({ tables: z.number(), rows: z.number() }),
]);

export interface TableProgress {
  readonly table: string;
  readonly rows: number;
}

export interface BackupReport {
  readonly tenants: number;
  readonly tables: number;
  readonly rows: number;
  readonly bytes: number;
  readonly migrations: number;
}

/** A table of which we could not tell whether we see all: a backup of the rest would look like one. */
export class BackupRefused extends Error {
  override readonly name = 'BackupRefused';
}

/** How values are written, whatever the database's own settings are. */
export const textForm = [
  `set local datestyle = 'ISO, YMD'`,
  `set local intervalstyle = 'postgres'`,
  `set local timezone = 'UTC'`,
  `set local bytea_output = 'hex'`,
  `set local extra_float_digits = 1`,
  `set local xmloption = 'content'`,
].join(';');

const rowsTogether = 500;
/** A change of the schema that is under way is waited for, and no longer than servers would wait for us. */
const lockMilliseconds = 10_000;

/**
 * Rejects with `BackupRefused`, and with `BackupExists` when there is a file of that name. Not in it: events of tenants that were
 * deleted, which nobody can see any more.
 */
export async function backUp({
  ownerUrl,
  sealer,
  file,
  now,
  onTable = () => undefined,
}: {
  readonly ownerUrl: string;
  readonly sealer: Sealer;
  readonly file: string;
  readonly now: Date;
  readonly onTable?: (progress: TableProgress) => void;
}): Promise<BackupReport> {
  const client = new pg.Client({ connectionString: ownerUrl, application_name: 'poort backup' });
  await client.connect();
  try {
    const manifest = await beginSnapshot(client);
    const tenants = await listTenantsIn(await exportSnapshot(client), { ownerUrl, sealer });
    const report = { tables: manifest.tables.length, rows: 0, migrations: manifest.migrations.length };
    const onRead = (progress: TableProgress): void => {
      report.rows += progress.rows;
      onTable(progress);
    };
    const lines = linesOf(client, { manifest, tenants, onTable: onRead });
    const { bytes } = await writeBackupFile(file, { sealer, now, lines });
    return { ...report, tenants: tenants.length, bytes };
  } finally {
    await client.query('rollback').catch(() => undefined);
    await client.end();
  }
}

/** What stands before the rows, and how each table is read. */
interface Snapshot extends BackupManifest {
  readonly tables: (BackupManifest['tables'][number] & Pick<Table, 'reach'>)[];
}

/** From here on everything is seen as it stood at this moment. */
async function beginSnapshot(client: pg.Client): Promise<Snapshot> {
  await client.query('begin isolation level repeatable read');
  await client.query(`${textForm}; set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0`);
  await client.query(`set local lock_timeout = ${lockMilliseconds}`);
  const tables = orderTables(await listTables(client));
  const names = tables.map(({ name }) => pg.escapeIdentifier(name)).join(', ');
  if (names === '') throw new BackupRefused('there is nothing in this database: it was never migrated');
  const odd = tables.filter(({ reach }) => reach === 'unknown').map(({ name }) => name);
  if (odd.length > 0) throw new BackupRefused(`these tables cannot be read whole: ${odd.join(', ')}`);
  await client.query(`lock table ${names} in access share mode`);
  const { rows: migrations } = await client.query<{ name: string }>(`select name from ${ledger} order by id`);
  const { rows: server } = await client.query<{ version: string }>(
    `select current_setting('server_version') as version`,
  );
  return {
    migrations: migrations.map(({ name }) => name),
    postgres: server[0]?.version ?? '',
    tables: tables.map(({ name, columns, partitions, reach }) => ({
      name,
      columns: [...columns],
      partitions: [...partitions],
      reach,
    })),
    sequences: await listSequences(client),
  };
}

async function exportSnapshot(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ id: string }>('select pg_export_snapshot() as id');
  return rows[0]?.id ?? '';
}

/** As the platform, which sees who there is and nothing of what they have; in the same snapshot. */
async function listTenantsIn(
  snapshot: string,
  { ownerUrl, sealer }: { readonly ownerUrl: string; readonly sealer: Sealer },
): Promise<readonly string[]> {
  const client = await connectAsPlatform(ownerUrl, sealer);
  try {
    await client.query('begin isolation level repeatable read read only');
    await client.query(`set transaction snapshot ${pg.escapeLiteral(snapshot)}`);
    const { rows } = await client.query<{ id: string }>('select id from tenants order by id');
    return rows.map(({ id }) => id);
  } finally {
    await client.end();
  }
}

/** With the password of whichever master key the role has just now. */
async function connectAsPlatform(ownerUrl: string, sealer: Sealer): Promise<pg.Client> {
  const others = otherDatabaseUrls(ownerUrl, sealer).map(({ platform }) => platform);
  const urls = [databaseUrls(ownerUrl, sealer).platform, ...others];
  for (const [index, connectionString] of urls.entries()) {
    const client = new pg.Client({ connectionString, application_name: 'poort backup' });
    try {
      await client.connect();
      return client;
    } catch (fault) {
      const isRefused = fault instanceof pg.DatabaseError && fault.code === passwordRefused;
      if (!isRefused || index === urls.length - 1) throw fault;
    }
  }
  throw new Error('there is no address to try');
}

const passwordRefused = '28P01';

interface Table {
  readonly name: string;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly partitions: readonly { readonly name: string; readonly bounds: string }[];
  /**
   * How all of it is seen: at once; tenant by tenant, by the column that names the tenant; or with the tenants of the people it is about,
   * by the column that names the person.
   */
  readonly reach: 'whole' | 'unknown' | { readonly tenant: string } | { readonly person: string };
  /** Tables that its rows refer to at once; a reference that is checked in the end only does not count. */
  readonly needs: readonly string[];
}

/** Without what the migrations keep of themselves: a restored database is migrated on its own. */
async function listTables(client: pg.Client): Promise<readonly Table[]> {
  const { rows } = await client.query<Omit<Table, 'reach'> & Isolation & { readonly isIsolated: boolean }>(
    `select c.relname as name,
            c.relrowsecurity as "isIsolated",
            (select pg_get_expr(p.polqual, p.polrelid) from pg_policy p
              where p.polrelid = c.oid and p.polpermissive and p.polcmd = '*' and p.polroles = '{0}' order by p.polname limit 1) as policy,
            (select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod)) order by a.attnum)
               from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '') as columns,
            coalesce((select json_agg(json_build_object('name', part.relname, 'bounds', pg_get_expr(part.relpartbound, part.oid))
                                      order by part.relname)
                        from pg_inherits i join pg_class part on part.oid = i.inhrelid where i.inhparent = c.oid), '[]') as partitions,
            coalesce((select json_agg(distinct other.relname)
                        from pg_constraint k join pg_class other on other.oid = k.confrelid
                       where k.conrelid = c.oid and k.contype = 'f' and not k.condeferred and k.confrelid <> c.oid), '[]') as needs
       from pg_class c
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
        and c.relname <> all ($1)
        and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
      order by c.relname`,
    [[ledger, `${ledger}_lock`]],
  );
  return rows.map(({ isIsolated, policy, ...table }) => ({
    ...table,
    reach: isIsolated ? reachOf({ name: table.name, policy }) : 'whole',
  }));
}

interface Isolation {
  /** What decides who sees a row. */
  readonly policy: string | null;
}

const tenantThatIsSet = String.raw`\(NULLIF\(current_setting\('app\.tenant_id'::text, true\), ''::text\)\)::uuid`;
const ofTenant = new RegExp(`^\\((\\w+) = ${tenantThatIsSet}\\)$`);
const ofPerson = new RegExp(
  `^\\( SELECT true(?: AS \\S+)?\\s+FROM memberships m\\s+WHERE \\(\\(m\\.tenant_id = ${tenantThatIsSet}\\) AND \\(m\\.user_id = (\\w+)\\.(\\w+)\\)\\)\\)$`,
);

function reachOf({ name, policy }: Isolation & { readonly name: string }): Table['reach'] {
  const [, tenant] = ofTenant.exec(policy ?? '') ?? [];
  if (tenant !== undefined) return { tenant };
  const [, table, person] = ofPerson.exec(policy ?? '') ?? [];
  return table === name && person !== undefined ? { person } : 'unknown';
}

function orderTables(tables: readonly Table[]): readonly Table[] {
  const ordered: Table[] = [];
  const names = new Set<string>();
  while (ordered.length < tables.length) {
    const next = tables.find(({ name, needs }) => !names.has(name) && needs.every((other) => names.has(other)));
    if (next === undefined) throw new BackupRefused('the tables refer to each other in a circle');
    ordered.push(next);
    names.add(next.name);
  }
  return ordered;
}

/** Those of the migrations' own ledger are not among them. */
async function listSequences(client: pg.Client): Promise<BackupManifest['sequences']> {
  const { rows } = await client.query<{ name: string }>(
    `select c.relname as name from pg_class c
      where c.relnamespace = 'public'::regnamespace and c.relkind = 'S'
        and not exists (select from pg_depend d join pg_class t on t.oid = d.refobjid
                         where d.objid = c.oid and d.refclassid = 'pg_class'::regclass and t.relname = any ($1))
      order by 1`,
    [[ledger, `${ledger}_lock`]],
  );
  const sequences: BackupManifest['sequences'] = [];
  for (const { name } of rows) {
    const state = await client.query<{ last_value: string; is_called: boolean }>(
      `select last_value::text, is_called from ${pg.escapeIdentifier(name)}`,
    );
    const [row] = state.rows;
    if (row !== undefined) sequences.push({ name, ...row });
  }
  return sequences;
}

async function* linesOf(
  client: pg.Client,
  {
    manifest,
    tenants,
    onTable,
  }: {
    readonly manifest: Snapshot;
    readonly tenants: readonly string[];
    readonly onTable: (progress: TableProgress) => void;
  },
): AsyncGenerator<string> {
  const tables = manifest.tables.map(({ reach: _reach, ...table }) => table);
  yield line({ ...manifest, tables } satisfies BackupManifest);
  let all = 0;
  for (const table of manifest.tables) {
    yield line({ begin: table.name });
    const digest = createHash('sha256');
    let count = 0;
    for await (const rows of rowsOf(client, table, tenants)) {
      const text = rows.map((row) => `${row}\n`).join('');
      addTo(digest, text);
      count += rows.length;
      yield text;
    }
    yield line({ end: table.name, rows: count, sha256: digest.digest('hex') });
    onTable({ table: table.name, rows: count });
    all += count;
  }
  yield line({ tables: manifest.tables.length, rows: all });
}

/** Never an empty list. A row that belongs to a person of several tenants comes with the first of them. */
async function* rowsOf(
  client: pg.Client,
  table: Snapshot['tables'][number],
  tenants: readonly string[],
): AsyncGenerator<readonly string[]> {
  const { reach } = table;
  if (typeof reach !== 'object') {
    yield* pagesOf(client, { table, tenant: undefined, reach: undefined }, () => true);
    return;
  }
  const had = new Set<string>();
  for (const tenant of tenants) {
    const here = new Set<string>();
    yield* pagesOf(client, { table, tenant, reach }, ({ person }) => {
      if (person === null || had.has(person)) return person === null;
      here.add(person);
      return true;
    });
    for (const person of here) had.add(person);
  }
}

/** What the policy says anyway, in a form that finds the rows by an index: everybody else's would be looked at for each tenant. */
function conditionOf(
  reach: { readonly tenant: string } | { readonly person: string } | undefined,
  tenant: string | undefined,
): string {
  if (reach === undefined || tenant === undefined) return '';
  const id = `${pg.escapeLiteral(tenant)}::uuid`;
  if ('tenant' in reach) return `where ${pg.escapeIdentifier(reach.tenant)} = ${id}`;
  return `where ${pg.escapeIdentifier(reach.person)} = any (array(select user_id from memberships where tenant_id = ${id}))`;
}

interface ReadRow {
  readonly row: string;
  /** Whose it is, where it is a person's and no tenant's. */
  readonly person: string | null;
}

async function* pagesOf(
  client: pg.Client,
  {
    table: { name, columns },
    tenant,
    reach,
  }: {
    readonly table: Snapshot['tables'][number];
    readonly tenant: string | undefined;
    readonly reach: { readonly tenant: string } | { readonly person: string } | undefined;
  },
  isWanted: (row: ReadRow) => boolean,
): AsyncGenerator<readonly string[]> {
  const texts = columns.map((column) => `${pg.escapeIdentifier(column.name)}::text`).join(', ');
  const person = reach !== undefined && 'person' in reach ? `${pg.escapeIdentifier(reach.person)}::text` : 'null::text';
  const fetch = `fetch ${rowsTogether} from every_row`;
  // One round trip for a tenant that has little in this table: there can be a thousand of them, and fifty tables.
  const first = [
    `select set_config('app.tenant_id', ${pg.escapeLiteral(tenant ?? '')}, true)`,
    `declare every_row no scroll cursor for
       select to_json(array[${texts}]::text[])::text as row, ${person} as person
         from ${pg.escapeIdentifier(name)} ${conditionOf(reach, tenant)}`,
    fetch,
  ].join(';');
  for (let text = first; ; text = fetch) {
    const answers: unknown = await client.query<ReadRow>(text);
    const last = [answers].flat().at(-1) as pg.QueryResult<ReadRow>; // pg answers several statements with a list
    const rows = last.rows.filter(isWanted).map(({ row }) => row);
    if (rows.length > 0) yield rows;
    if (last.rows.length < rowsTogether) break;
  }
  await client.query('close every_row');
}

/** What a table's checksum is of: its rows, each with its line break. */
export function addTo(digest: Hash, text: string): void {
  digest.update(text, 'utf8');
}

function line(content: object): string {
  return `${JSON.stringify(content)}\n`;
}
