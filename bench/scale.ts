/**
 * `npm run bench:scale`: does Poort stay as it is when there is much of everything? Two questions, each answered by two servers in
 * one run, so that the machine's mood cancels: a table of artifacts with a million living and a million expired rows against an
 * empty one; an installation of ten thousand tenants, of which a thousand are in use, against one of two. Prints what it found
 * beside what is promised; docs/performance.md holds the figures. Exit 1 when an answer was refused.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { basicAuthorization, createCases } from './cases.ts';
import { type BenchDatabase, startBenchDatabase, withConnection } from './database.ts';
import { HttpConnection } from './http_connection.ts';
import { putLoad } from './load.ts';
import type { CaseName } from './options.ts';
import { freePort } from './processes.ts';
import { startPoort } from './servers/poort.ts';
import { median } from './statistics.ts';
import type { Subject } from './subject.ts';
import { createKeyGiver } from './tenant_keys.ts';

const { values: options } = parseArgs({
  options: {
    artifacts: { type: 'string', default: '1000000' },
    tenants: { type: 'string', default: '10000' },
    used: { type: 'string', default: '1000' },
    rounds: { type: 'string', default: '7' },
  },
});
const [artifacts, tenants, used, rounds] = [options.artifacts, options.tenants, options.used, options.rounds].map(
  Number,
) as [number, number, number, number];

const masterKey = randomBytes(32).toString('base64');
const connections = 4;
const sliceMilliseconds = 1_000;
const leadInMilliseconds = 150;
/** Waits for the disk, and nothing else, would hide what the table costs. */
const cases = ['introspection', 'refresh', 'code_exchange', 'userinfo'] as const satisfies readonly CaseName[];

const endings: (() => Promise<unknown>)[] = [];

interface Installation {
  readonly database: BenchDatabase;
  readonly subject: Subject;
}

async function install(
  directory: string,
  name: string,
  fill?: (database: BenchDatabase) => Promise<void>,
): Promise<Installation> {
  const database = await startBenchDatabase(join(directory, name));
  endings.push(() => database.stop());
  const poort = {
    dataDirectory: join(directory, name, 'poort'),
    databaseUrl: database.poortUrl,
    port: await freePort(),
    environment: { POORT_MASTER_KEY: masterKey },
  };
  if (fill !== undefined) {
    // Migrates and makes the demo; what is filled in afterwards is met by a server that has cached nothing.
    const { child } = await startPoort(poort);
    await child.stop();
    await fill(database);
  }
  const { child, subject } = await startPoort(poort);
  endings.push(() => child.stop());
  return { database, subject };
}

/** A living and an expired row for each number, a hundredth of them the demo's own, the rest of 200 tenants. */
async function fillArtifacts({ superuserUrl }: BenchDatabase): Promise<void> {
  say(`filling a table with ${artifacts} living and ${artifacts} expired artifacts`);
  await withConnection(superuserUrl, async (connection) => {
    await connection.query(
      `with others as (select array_agg(gen_random_uuid()) as ids from generate_series(1, 200)),
            demo as (select id from tenants order by created_at limit 1)
       insert into artifacts (tenant_id, kind, id_hash, payload, account_id, client_id, grant_hash, session_uid, created_at, expires_at)
       select case when n % 100 = 0 then demo.id else others.ids[1 + n % 200] end,
              -- Expired ones of kinds that stay for a day: what is swept at once would be swept while we measure.
              (case when living then array['AccessToken', 'RefreshToken', 'Grant', 'AccessToken', 'ReplayDetection']
                    else array['RefreshToken', 'Grant', 'AuthorizationCode', 'Interaction', 'RefreshToken'] end)[1 + n % 5],
              sha256(convert_to(n::text || living::text, 'UTF8')),
              json_build_object('iat', 1700000000, 'filling', repeat('x', 500)),
              gen_random_uuid(), 'client-' || n % 1000, sha256(convert_to((n / 4)::text, 'UTF8')), 'uid-' || n || living,
              now() - interval '1 hour', now() + case when living then interval '10 days' else interval '-30 minutes' end
         from others, demo, generate_series(1, $1::int) n, (values (true), (false)) as l (living)`,
      [artifacts],
    );
    await connection.query('vacuum analyze artifacts');
  });
}

interface MadeTenant {
  readonly slug: string;
  readonly clientId: string;
}

const clientSecret = randomBytes(32).toString('base64url');
const slugOf = (number: number): string => `made-${number}`;

/** Tenants as `poort tenant create` makes them, but with a few key pairs for all: making 20,000 would take an hour. */
async function fillTenants({ superuserUrl }: BenchDatabase): Promise<void> {
  say(`making ${tenants} tenants`);
  const giveKeys = await createKeyGiver(masterKey);
  const secretHash = createHash('sha256').update(clientSecret).digest();
  await withConnection(superuserUrl, async (connection) => {
    const batch = 500;
    for (let from = 0; from < tenants; from += batch) {
      const rows = Array.from({ length: Math.min(batch, tenants - from) }, (_, index) => ({
        id: randomUUID(),
        slug: slugOf(from + index),
      }));
      await connection.query(
        `insert into tenants (id, slug, name, created_at, updated_at)
         select t.id, t.slug, t.slug, now(), now() from json_to_recordset($1) as t (id uuid, slug text)`,
        [JSON.stringify(rows)],
      );
      await giveKeys(
        connection,
        rows.map(({ id }) => id),
      );
      await connection.query(
        `insert into apis (tenant_id, audience, scopes, created_at)
         select t.id, 'urn:made:readings', '[{"name": "readings:read", "description": ""}]', now()
           from json_to_recordset($1) as t (id uuid)`,
        [JSON.stringify(rows)],
      );
      await connection.query(
        `insert into clients (tenant_id, client_id, name, type, scopes, token_endpoint_auth_method, created_at, updated_at)
         select t.id, 'machine', 'machine', 'machine', '{readings:read}', 'client_secret_basic', now(), now()
           from json_to_recordset($1) as t (id uuid)`,
        [JSON.stringify(rows)],
      );
      await connection.query(
        `insert into client_secrets (tenant_id, client_id, slot, secret_hash, created_at)
         select t.id, 'machine', 1, $2, now() from json_to_recordset($1) as t (id uuid)`,
        [JSON.stringify(rows), secretHash],
      );
    }
    await connection.query('vacuum analyze');
  });
}

interface Verdict {
  readonly what: string;
  readonly found: string;
  readonly promised: string;
  readonly kept: boolean;
}

/** The same cases on both, slice by slice; the ratio of the medians of each round. */
async function compare(name: string, bare: Installation, full: Installation, promised: number): Promise<Verdict[]> {
  const contestants = await Promise.all(
    [bare, full].map(async ({ subject }) => ({ subject, cases: await createCases(subject, connections) })),
  );
  const verdicts: Verdict[] = [];
  for (const caseName of cases) {
    const medians: number[][] = [[], []];
    for (let round = 0; round < rounds; round += 1) {
      say(`${name}: ${caseName}, round ${round + 1} of ${rounds}`);
      for (const index of round % 2 === 0 ? [0, 1] : [1, 0]) {
        const contestant = contestants[index];
        if (contestant === undefined) continue;
        const one = contestant.cases[caseName];
        await one.prepare(3_000);
        const slice = await putLoad({
          target: contestant.subject.target,
          scripts: one.scripts(),
          leadInMilliseconds,
          measuredMilliseconds: sliceMilliseconds,
        });
        if (slice.firstRefusal !== undefined) throw new Error(slice.firstRefusal);
        medians[index]?.push(median(slice.latenciesMilliseconds));
      }
    }
    const [before, after] = medians.map(median) as [number, number];
    const ratio = median((medians[0] ?? []).map((value, index) => (medians[1]?.[index] ?? Number.NaN) / value));
    verdicts.push({
      what: `${name}: ${caseName}, p50`,
      found: `${ratio.toFixed(2)} × (${before.toFixed(2)} ms, ${after.toFixed(2)} ms)`,
      promised: `≤ ${promised} ×`,
      kept: ratio <= promised,
    });
  }
  return verdicts;
}

/** A first and then a second token of every tenant, one request at a time. */
async function useTenants({ subject }: Installation): Promise<Verdict[]> {
  say(`using ${used} tenants`);
  const connection = await HttpConnection.open(subject.target);
  const { host } = new URL(subject.issuer);
  const authorization = basicAuthorization({ clientId: 'machine', clientSecret });
  const body = new URLSearchParams({
    grant_type: 'client_credentials',
    resource: 'urn:made:readings',
    scope: 'readings:read',
  }).toString();
  const ask = async ({ slug }: MadeTenant): Promise<number> => {
    const startedAt = performance.now();
    const response = await connection.exchange(
      `POST /t/${slug}/token HTTP/1.1\r\nhost: ${host}\r\nauthorization: ${authorization}\r\n` +
        `content-type: application/x-www-form-urlencoded\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    if (!response.body.includes('"access_token"'))
      throw new Error(`${slug}: ${response.status} ${response.body.slice(0, 200)}`);
    return performance.now() - startedAt;
  };
  const [cold, warm]: [number[], number[]] = [[], []];
  // Spread over all of them, as users would.
  for (let index = 0; index < used; index += 1) {
    const tenant = { slug: slugOf(Math.floor((index * tenants) / used)), clientId: 'machine' };
    cold.push(await ask(tenant));
    warm.push(await ask(tenant));
  }
  connection.close();
  const residentMegabytes = readResident(subject.processId) / 1024;
  const penalty = median(cold) - median(warm);
  const worst = cold.toSorted((one, other) => one - other)[Math.floor(cold.length * 0.99)] ?? Number.NaN;
  return [
    {
      what: `${used} tenants in use: resident memory of the server`,
      found: `${residentMegabytes.toFixed(0)} MB`,
      promised: '≤ 450 MB',
      kept: residentMegabytes <= 450,
    },
    {
      what: 'a cold tenant’s first answer, beyond a warm one (median)',
      found: `${penalty.toFixed(1)} ms (warm ${median(warm).toFixed(1)} ms, cold p99 ${worst.toFixed(1)} ms)`,
      promised: '≤ 15 ms',
      kept: penalty <= 15,
    },
  ];
}

/** Kilobytes, as the kernel says. */
function readResident(processId: number): number {
  const status = readFileSync(`/proc/${processId}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN);
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

const directory = await mkdtemp(join(tmpdir(), 'poort-scale-'));
endings.push(() => rm(directory, { recursive: true, force: true }));
try {
  const bare = await install(directory, 'bare');
  const full = await install(directory, 'full', fillArtifacts);
  const many = await install(directory, 'many', fillTenants);
  const verdicts = [
    ...(await compare('two million artifacts', bare, full, 1.2)),
    ...(await compare(`${tenants} tenants`, bare, many, 1.2)),
    ...(await useTenants(many)),
    ...(await compare(`${used} tenants in use`, bare, many, 1.2)),
  ];
  for (const { what, found, promised, kept } of verdicts)
    process.stdout.write(`${kept ? 'kept  ' : 'MISSED'}  ${what}: ${found}, promised ${promised}\n`);
} finally {
  for (const end of endings.toReversed()) await end().catch((fault: unknown) => say(`while ending: ${fault}`));
}
