/**
 * `node bin/node.mjs bench/administration.ts`: an installation of a thousand tenants with a hundred thousand people, half of them in one
 * tenant. How long do its administrators wait for a list of people and for what they look for? Every way of looking, at the large tenant
 * and at small ones, four requests at a time, through the server's own door. Exit 1 when one of a hundred waits longer than is promised.
 * docs/performance.md holds the figures.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { randomValue, sha256 } from '#src/foundation/identifiers.ts';
import { fillInstallation } from '#test/support/many_members.ts';
import { startBenchDatabase, withConnection } from './database.ts';
import { putLoad, type Script } from './load.ts';
import { freePort } from './processes.ts';
import { startPoort } from './servers/poort.ts';
import { percentile } from './statistics.ts';
import type { Subject } from './subject.ts';
import { createKeyGiver } from './tenant_keys.ts';

const { values: options } = parseArgs({
  options: {
    tenants: { type: 'string', default: '1000' },
    people: { type: 'string', default: '100000' },
    seconds: { type: 'string', default: '2' },
    connections: { type: 'string', default: '4' },
  },
});
const [tenants, people, seconds, connections] = [
  options.tenants,
  options.people,
  options.seconds,
  options.connections,
].map(Number) as [number, number, number, number];

const promisedMilliseconds = 100;
const largest = Math.floor(people / 2);
const key = randomValue('pk_');

/** What an administrator asks; `{n}` is another number each time, so that no answer is the last one's. */
const questions = [
  ['the newest', 'limit=25'],
  ['a hundred by address', 'sort=email&limit=100'],
  ['one letter', 'q=a'],
  ['one letter by address', 'q=j&sort=email'],
  ['the beginning of an address', 'q=ada.{n}'],
  ['a family name', 'q=van%20der%20berg&sort=name'],
  ['its last word', 'q=vries'],
  ['nobody', 'q=nobody{n}&sort=email'],
  ['an address', 'email=ada.{n}@example1.test'],
  ['the disabled by name', 'status=disabled&sort=name'],
  ['the active', 'status=active'],
  ['a role that all have', 'role=user&sort=email'],
  ['a role that few have', 'role=editor&sort=name'],
  ['a role that very few have, and a letter', 'role=admin&q=a'],
  ['newcomers by address', 'created_after=2020-02-01T00:00:00Z&sort=email'],
] as const;

/** Every tenant has a key of its own that may read its people. */
async function fill(superuserUrl: string, masterKey: string): Promise<void> {
  await withConnection(superuserUrl, async (connection) => {
    const { rows: before } = await connection.query('select id from tenants');
    const superuser = {
      query: async <Row extends object>(text: string, values: readonly unknown[] = []) => {
        const { rows, rowCount } = await connection.query(text, [...values]);
        return { rows: rows as readonly Row[], rowCount: rowCount ?? 0 };
      },
    };
    await fillInstallation(superuser, { tenants, largest, others: people - largest });
    const known = new Set(before.map(({ id }: { id: string }) => id));
    const { rows } = await connection.query('select id from tenants');
    const made = rows.map(({ id }: { id: string }) => id).filter((id) => !known.has(id));
    await (await createKeyGiver(masterKey))(connection, made);
    const unlimited = JSON.stringify({ api_keys: { requests_per_minute: 1_000_000 } });
    await connection.query('update tenants set settings = $1 where id = any ($2)', [unlimited, made]);
    await connection.query(
      `insert into api_keys (tenant_id, id, key_hash, beginning, name, scopes, created_at, expires_at)
       select k.tenant_id, k.id, decode(k.hash, 'hex'), 'pk_', 'bench', '{users:read}', now(), now() + interval '1 day'
         from json_to_recordset($1) as k (tenant_id uuid, id uuid, hash text)`,
      [
        JSON.stringify(
          made.map((id) => ({ tenant_id: id, id: randomUUID(), hash: sha256(keyOf(id)).toString('hex') })),
        ),
      ],
    );
    await connection.query('vacuum analyze');
  });
}

/** A value for each tenant, of the one that this run has made up. */
function keyOf(tenantId: string): string {
  return `pk_${sha256(`${key} ${tenantId}`).toString('base64url')}`;
}

const idOf = (number: number): string => `00000000-0000-7000-8000-${String(number).padStart(12, '0')}`;

function scriptsOf(subject: Subject, { tenant, search }: { tenant: () => number; search: string }): readonly Script[] {
  const { host } = new URL(subject.issuer);
  let n = 0;
  return Array.from({ length: connections }, () => () => {
    n += 1;
    const number = tenant();
    const path = `/t/made-${number}/api/v1/admin/users?${search.replace('{n}', String(1 + ((n * 9_973) % largest)))}`;
    return {
      request: `GET ${path} HTTP/1.1\r\nhost: ${host}\r\nx-api-key: ${keyOf(idOf(number))}\r\n\r\n`,
      accepts: ({ status, body }) => status === 200 && body.includes('"data"'),
    };
  });
}

const endings: (() => Promise<unknown>)[] = [];
const directory = await mkdtemp(join(tmpdir(), 'poort-administration-'));
endings.push(() => rm(directory, { recursive: true, force: true }));
try {
  const masterKey = randomBytes(32).toString('base64');
  const database = await startBenchDatabase(directory);
  endings.push(() => database.stop());
  const poort = {
    dataDirectory: join(directory, 'poort'),
    databaseUrl: database.poortUrl,
    port: await freePort(),
    environment: { POORT_MASTER_KEY: masterKey },
  };
  // Migrates; what is filled in afterwards is met by a server that has cached nothing.
  const { child: first } = await startPoort(poort);
  await first.stop();
  process.stderr.write(`making ${tenants} tenants with ${people} people\n`);
  await fill(database.superuserUrl, masterKey);
  const { child, subject } = await startPoort(poort);
  endings.push(() => child.stop());

  let next = 0;
  const places = [
    [`the tenant of ${largest}`, () => 1],
    // Two hundred of the others, one after another.
    ['small tenants', () => 2 + (next++ % Math.min(200, tenants - 1))],
  ] as const;
  for (const [place, tenant] of places) {
    for (const [question, search] of questions) {
      const slice = await putLoad({
        target: subject.target,
        scripts: scriptsOf(subject, { tenant, search }),
        leadInMilliseconds: 500,
        measuredMilliseconds: seconds * 1000,
      });
      if (slice.firstRefusal !== undefined) throw new Error(slice.firstRefusal);
      const sorted = slice.latenciesMilliseconds.toSorted((one, other) => one - other);
      const [p50, p99] = [percentile(sorted, 0.5), percentile(sorted, 0.99)];
      const kept = p99 <= promisedMilliseconds;
      if (!kept) process.exitCode = 1;
      const found = `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, ${sorted.length} answers`;
      process.stdout.write(`${kept ? 'kept  ' : 'MISSED'}  ${place}, ${question}: ${found}\n`);
    }
  }
} finally {
  for (const end of endings.toReversed())
    await end().catch((fault: unknown) => process.stderr.write(`while ending: ${fault}\n`));
}
