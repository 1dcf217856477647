/**
 * The one row that tells which master key this database is sealed with: it opens with no other, so that a lost or foreign key is
 * noticed before anything is changed. Read and written on the owner's connection; no role that serves sees it.
 */
import pg from 'pg';
import { type Sealer, sealedBy } from '#src/foundation/sealing.ts';

export interface MasterKeyInUse {
  /** The first key of the list sealed the row. */
  readonly isFirst: boolean;
  /** Since when the key that sealed it seals; undefined when that was before anybody wrote it down. */
  readonly since: Date | undefined;
}

const sealContext = 'installation';

/** Throws `SealBroken` when this database was sealed with a key that is not configured. */
export async function checkMasterKey(client: pg.Client, sealer: Sealer): Promise<void> {
  const sealed = await readSealCheck(client);
  if (sealed !== undefined) sealer.open(sealed, sealContext);
}

/** Seals with the first key of the list. Needs the tables of this version. */
export async function rememberMasterKey(client: pg.Client, sealer: Sealer): Promise<void> {
  const sealed = await readSealCheck(client);
  const [first] = sealer.keyIds;
  if (sealed !== undefined && first !== undefined && sealedBy(sealed)?.equals(first) === true) return;
  await client.query(
    `insert into installation (seal_check, sealed_since) values ($1, now())
     on conflict (singleton) do update set seal_check = excluded.seal_check, sealed_since = excluded.sealed_since`,
    [sealer.seal('', sealContext)],
  );
}

/** Like `rememberMasterKey`, on a connection of its own; and says what is so afterwards. */
export async function resealInstallation(ownerUrl: string, sealer: Sealer): Promise<MasterKeyInUse> {
  return asOwner(ownerUrl, async (client) => {
    await rememberMasterKey(client, sealer);
    return readInUse(client, sealer);
  });
}

export async function readMasterKeyInUse(ownerUrl: string, sealer: Sealer): Promise<MasterKeyInUse> {
  return asOwner(ownerUrl, (client) => readInUse(client, sealer));
}

async function readInUse(client: pg.Client, { keyIds: [first] }: Sealer): Promise<MasterKeyInUse> {
  const { rows } = await client.query<{ seal_check: Buffer; sealed_since: Date | null }>(
    'select seal_check, sealed_since from installation',
  );
  const [row] = rows;
  if (row === undefined || first === undefined) return { isFirst: false, since: undefined };
  return { isFirst: sealedBy(row.seal_check)?.equals(first) === true, since: row.sealed_since ?? undefined };
}

async function readSealCheck(client: pg.Client): Promise<Buffer | undefined> {
  const exists = await client.query<{ there: boolean }>(
    `select to_regclass('public.installation') is not null as there`,
  );
  if (exists.rows[0]?.there !== true) return undefined;
  return (await client.query<{ seal_check: Buffer }>('select seal_check from installation')).rows[0]?.seal_check;
}

async function asOwner<Result>(ownerUrl: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ connectionString: ownerUrl, application_name: 'poort' });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
