/**
 * The benchmarks' PostgreSQL: the packaged binaries, in a directory of this run's own, used by the floor and by Poort
 * alike, so that like is compared with like. Also owns the floor's table: Poort's way of isolation (forced row-level
 * security, a transaction-local setting, a role that owns nothing) around a single indexed read.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import pg from 'pg';
import { startEmbeddedPostgres } from '#src/storage/embedded_postgres.ts';

export interface BenchDatabase {
  /** The owner's connection to the database Poort migrates and serves. */
  readonly poortUrl: string;
  /** Past row level security, into the same database: for filling it. */
  readonly superuserUrl: string;
  readonly port: number;
  readonly version: string;
  /** Makes the floor's database. Everything the floor server and its client need, fit to be handed on as JSON. */
  prepareFloor(): Promise<FloorData>;
  stop(): Promise<void>;
}

export interface FloorData {
  readonly databaseUrl: string;
  readonly tenantId: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly clientSecretHash: string;
  /** The values of tokens that exist: `token 1` … `token n`. */
  readonly tokens: readonly string[];
}

const tenants = 20;
const tokensPerTenant = 1_000;

const floorSchema = `
  create table tokens (
    tenant_id uuid not null,
    id_hash bytea not null,
    payload text not null,
    primary key (tenant_id, id_hash)
  );
  alter table tokens enable row level security;
  alter table tokens force row level security;
  create policy own_tenant on tokens
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
  grant select on tokens to bench_floor;

  create function find_token(wanted_tenant uuid, wanted_hash bytea) returns table (payload text)
  language plpgsql security invoker as $$
  begin
    perform set_config('app.tenant_id', wanted_tenant::text, true);
    return query select tokens.payload from tokens
      where tokens.tenant_id = wanted_tenant and tokens.id_hash = wanted_hash;
  end $$;
`;

/** Starts PostgreSQL below `directory`. Throws with the server's own words when it does not start. */
export async function startBenchDatabase(directory: string): Promise<BenchDatabase> {
  const started = await startEmbeddedPostgres({ dataDirectory: join(directory, 'database') });
  if (started.outcome !== 'started') throw new Error(`PostgreSQL did not start: ${JSON.stringify(started)}`);
  const { server } = started;
  const version = await withConnection(server.superuserUrl(), async (connection) => {
    const { rows } = await connection.query<{ readonly server_version: string }>('show server_version');
    return rows[0]?.server_version ?? 'unknown';
  });
  return {
    poortUrl: server.ownerUrl(),
    superuserUrl: inDatabaseOf(server.ownerUrl(), server.superuserUrl()),
    port: server.connection.port,
    version,
    prepareFloor: () => prepareFloor(server.superuserUrl()),
    stop: async () => {
      await server.stop();
    },
  };
}

function inDatabaseOf(other: string, url: string): string {
  const there = new URL(url);
  there.pathname = new URL(other).pathname;
  return there.href;
}

async function prepareFloor(superuserUrl: string): Promise<FloorData> {
  const password = randomBytes(24).toString('base64url');
  await withConnection(superuserUrl, async (connection) => {
    // DDL takes no parameters; the password is ours and holds no quote.
    await connection.query(`create role bench_floor login nosuperuser nobypassrls password '${password}'`);
    await connection.query('create database bench_floor');
  });
  const floorUrl = new URL(superuserUrl);
  floorUrl.pathname = '/bench_floor';
  const tenantIds = Array.from({ length: tenants }, () => randomUUID());
  await withConnection(floorUrl.href, async (connection) => {
    await connection.query(floorSchema);
    await connection.query(
      `insert into tokens
         select tenant_id, sha256(convert_to('token ' || n, 'UTF8')),
                json_build_object('sub', gen_random_uuid(), 'client_id', gen_random_uuid(), 'scope', 'openid profile email',
                                  'iat', 1700000000, 'exp', 4000000000, 'filling', repeat('x', 700))::text
           from unnest($1::uuid[]) tenant_id, generate_series(1, $2) n`,
      [tenantIds, tokensPerTenant],
    );
    await connection.query('vacuum analyze tokens');
  });
  floorUrl.username = 'bench_floor';
  floorUrl.password = password;
  const clientSecret = randomBytes(32).toString('base64url');
  return {
    databaseUrl: floorUrl.href,
    tenantId: tenantIds[0] ?? '',
    clientId: randomUUID(),
    clientSecret,
    clientSecretHash: createHash('sha256').update(clientSecret).digest('base64url'),
    tokens: Array.from({ length: tokensPerTenant }, (_, index) => `token ${index + 1}`),
  };
}

export async function withConnection<Result>(
  url: string,
  work: (connection: pg.Client) => Promise<Result>,
): Promise<Result> {
  const connection = new pg.Client({ connectionString: url });
  await connection.connect();
  try {
    return await work(connection);
  } finally {
    await connection.end();
  }
}
