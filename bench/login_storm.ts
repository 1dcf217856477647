/**
 * `npm run bench:login-storm`: what becomes of everybody else when many people sign in at once? In one run and on one machine: how
 * many argon2 hashes it makes in a second with nothing else to do; then, with the crowd signing in through the hosted pages, how many
 * sign-ins that leaves, and what introspection and the signing of tokens cost beside it; then more people than the queue takes. Prints
 * what it found beside what is promised; docs/performance.md holds the figures. Exit 1 when an answer was refused that should not be.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { createPasswordHasher } from '#src/foundation/password_hashing.ts';
import { createCases } from './cases.ts';
import type { CrowdInput, CrowdReport } from './crowd.ts';
import { type BenchDatabase, startBenchDatabase, withConnection } from './database.ts';
import { HttpConnection } from './http_connection.ts';
import type { Exchange } from './load.ts';
import { freePort, processorMilliseconds } from './processes.ts';
import { startPoort } from './servers/poort.ts';
import { median, percentile } from './statistics.ts';
import { readEndpoints, type Subject } from './subject.ts';

const { values: options } = parseArgs({
  options: {
    people: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '3' },
    strangers: { type: 'boolean', default: false },
  },
});
const [people, seconds, rounds] = [options.people, options.seconds, options.rounds].map(Number) as [
  number,
  number,
  number,
];

/** As config/default.yaml has it. */
const hashing = { memoryKibibytes: 19_456, passes: 2, lanes: 1, queueLength: 64 };
const password = randomBytes(18).toString('base64url');
/** One request of each kind every so often, whatever the last one took: a crowd must not be able to slow down its own measuring. */
const probeEveryMilliseconds = 20;
const probed = ['introspection', 'client_credentials_jwt'] as const;
type Probed = (typeof probed)[number];

const endings: (() => Promise<unknown>)[] = [];

interface Verdict {
  readonly what: string;
  readonly found: string;
  readonly promised: string;
  readonly kept: boolean;
}

/** People of the tenant the benchmarks sign in at, all with one password. */
async function fillPeople(
  { superuserUrl }: BenchDatabase,
  subject: Subject,
  count: number,
): Promise<readonly string[]> {
  const hash = await createPasswordHasher(hashing).hash(password);
  const slug = subject.issuer.split('/').at(-1);
  const rows = Array.from({ length: count }, (_, index) => ({ id: randomUUID(), email: `p${index}@storm.test` }));
  await withConnection(superuserUrl, async (connection) => {
    await connection.query(
      `insert into users (id, email, email_canonical, email_verified, password_hash, created_at, updated_at)
       select r.id, r.email, r.email, true, $2, now(), now() from json_to_recordset($1) as r (id uuid, email text)`,
      [JSON.stringify(rows), hash],
    );
    await connection.query(
      `insert into memberships (tenant_id, user_id, created_at)
       select (select id from tenants where slug = $2), r.id, now() from json_to_recordset($1) as r (id uuid)`,
      [JSON.stringify(rows), slug],
    );
  });
  return rows.map(({ email }) => email);
}

interface Raw {
  /** Hashes a second. */
  readonly rate: number;
  /** Of the processor, for one. */
  readonly milliseconds: number;
}

/** As many at a time as the product lets run. */
async function hashAlone(milliseconds: number): Promise<Raw> {
  const hasher = createPasswordHasher({ ...hashing, queueLength: people });
  const endsAt = performance.now() + milliseconds;
  let done = 0;
  const startedAt = performance.now();
  const used = process.cpuUsage();
  const work = async (): Promise<void> => {
    while (performance.now() < endsAt) {
      await hasher.hash(password);
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  const { user, system } = process.cpuUsage(used);
  return { rate: (done / (performance.now() - startedAt)) * 1000, milliseconds: (user + system) / 1000 / done };
}

const concurrency = Math.min(2, Math.max(1, availableParallelism() - 1));

interface Probes {
  /** Ends the probing. In milliseconds, ascending. */
  stop(): Promise<Readonly<Record<Probed, readonly number[]>>>;
}

/** Asks for something else than a sign-in, at a fixed pace. Throws in `stop` when an answer was not the right one. */
async function startProbes(subject: Subject, exchanges: Readonly<Record<Probed, () => Exchange>>): Promise<Probes> {
  let stopped = false;
  const probe = async (name: Probed): Promise<readonly number[]> => {
    const connection = await HttpConnection.open(subject.target);
    const latencies: number[] = [];
    let next = performance.now();
    while (!stopped) {
      const exchange = exchanges[name]();
      const response = await connection.exchange(exchange.request);
      // From when it was due: whoever waits behind a slow answer has waited too.
      const now = performance.now();
      if (!exchange.accepts(response)) throw new Error(`${name}: ${response.status} ${response.body.slice(0, 200)}`);
      latencies.push(now - next);
      next += probeEveryMilliseconds;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - performance.now())));
      next = Math.max(next, performance.now() - probeEveryMilliseconds * 50);
    }
    connection.close();
    return latencies.toSorted((one, other) => one - other);
  };
  const running = Promise.all(probed.map(async (name) => [name, await probe(name)] as const));
  running.catch(() => undefined);
  return {
    async stop() {
      stopped = true;
      return Object.fromEntries(await running) as Readonly<Record<Probed, readonly number[]>>;
    },
  };
}

function runCrowd(input: CrowdInput): Promise<CrowdReport> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./crowd.ts', import.meta.url), { workerData: input });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

/** The most memory a process has had at any look, in MB. */
function watchMemory(processId: number): { stop(): number } {
  let peak = residentMegabytes(processId);
  const timer = setInterval(() => {
    peak = Math.max(peak, residentMegabytes(processId));
  }, 100);
  return {
    stop() {
      clearInterval(timer);
      return peak;
    },
  };
}

function residentMegabytes(processId: number): number {
  const status = readFileSync(`/proc/${processId}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) / 1024;
}

interface Round {
  /** Sign-ins a second. */
  readonly rate: number;
  /** Hashes a second, with nothing else to do. */
  readonly raw: number;
  /** 99th percentiles in milliseconds. */
  readonly idle: Readonly<Record<Probed, number>>;
  readonly storm: Readonly<Record<Probed, number>>;
  /** From opening the page to the code, in milliseconds. */
  readonly latency: number;
  /** Milliseconds of the processor that one hash takes. */
  readonly hash: number;
}

async function run(directory: string): Promise<readonly Verdict[]> {
  const database = await startBenchDatabase(directory);
  endings.push(() => database.stop());
  const { child, subject } = await startPoort({
    dataDirectory: join(directory, 'poort'),
    databaseUrl: database.poortUrl,
    port: await freePort(),
    environment: { POORT_TRUSTED_PROXIES: '127.0.0.0/8,::1' },
  });
  endings.push(() => child.stop());
  const beyond = 4 * (hashing.queueLength + concurrency);
  const emails = await fillPeople(database, subject, Math.max(people, beyond));
  const endpoints = await readEndpoints(subject);
  const cases = await createCases(subject, 2);
  const exchangeOf = (name: Probed) => {
    const [script] = cases[name].scripts();
    return (): Exchange => {
      const exchange = script?.();
      if (exchange === undefined) throw new Error(`${name} has nothing to ask`);
      return exchange;
    };
  };
  const exchanges = {
    introspection: exchangeOf('introspection'),
    client_credentials_jwt: exchangeOf('client_credentials_jwt'),
  };
  const crowd = (change: Partial<CrowdInput>): Promise<CrowdReport> =>
    runCrowd({
      issuer: subject.issuer,
      authorization: endpoints.authorization,
      clientId: subject.webClient.clientId,
      redirectUri: subject.webClient.redirectUri,
      emails: emails.slice(0, people),
      password,
      milliseconds: seconds * 1000,
      once: false,
      strangers: options.strangers,
      ...change,
    });

  say('warming up');
  await crowd({ milliseconds: 3_000 });
  // Without probes, and everybody once: what a sign-in costs holds still where what a second brings does not.
  const usedBefore = processorMilliseconds(subject.processId) ?? Number.NaN;
  const { signedIn } = await crowd({ once: true });
  const processor = ((processorMilliseconds(subject.processId) ?? Number.NaN) - usedBefore) / signedIn;
  const restingMegabytes = residentMegabytes(subject.processId);

  const found: Round[] = [];
  const memory = watchMemory(subject.processId);
  for (let round = 1; round <= rounds; round += 1) {
    say(`round ${round} of ${rounds}: idle`);
    const idleProbes = await startProbes(subject, exchanges);
    await pause((seconds * 1000) / 2);
    const idle = await idleProbes.stop();
    say(`round ${round} of ${rounds}: argon2 alone, before and after ${people} people`);
    const before = await hashAlone((seconds * 1000) / 4);
    const stormProbes = await startProbes(subject, exchanges);
    const report = await crowd({});
    const storm = await stormProbes.stop();
    // On both sides, so that a machine that is slowing down does not speak for or against the crowd.
    const after = await hashAlone((seconds * 1000) / 4);
    if (report.firstRefusal !== undefined) throw new Error(report.firstRefusal);
    if (people <= hashing.queueLength + concurrency && report.toldToComeBack > 0)
      throw new Error(`${report.toldToComeBack} of ${people} people were told to come back`);
    const p99 = (latencies: Readonly<Record<Probed, readonly number[]>>): Record<Probed, number> => ({
      introspection: percentile(latencies.introspection, 0.99),
      client_credentials_jwt: percentile(latencies.client_credentials_jwt, 0.99),
    });
    found.push({
      rate: report.signedIn / report.seconds,
      raw: (before.rate + after.rate) / 2,
      idle: p99(idle),
      storm: p99(storm),
      latency: median(report.latenciesMilliseconds),
      hash: (before.milliseconds + after.milliseconds) / 2,
    });
  }
  say(`${beyond} people at once`);
  const overload = await crowd({ emails: emails.slice(0, beyond), once: true });
  if (overload.firstRefusal !== undefined) throw new Error(overload.firstRefusal);
  const peakMegabytes = memory.stop();

  const share = median(found.map(({ rate, raw }) => rate / raw));
  const rates = `${median(found.map(({ rate }) => rate)).toFixed(1)} of ${median(found.map(({ raw }) => raw)).toFixed(1)} a second`;
  const costs = `${processor.toFixed(0)} ms of the server’s processor each, of which ${median(found.map((one) => one.hash)).toFixed(0)} are argon2`;
  const mostAtOnce = hashing.queueLength + concurrency;
  return [
    {
      what: `${people} people: sign-ins for each hash of argon2 alone, ${concurrency} at a time`,
      found: `${share.toFixed(2)} (${rates}; ${costs})`,
      promised: '≥ 0.8',
      kept: share >= 0.8,
    },
    {
      what: `${people} people: from opening the page to being signed in, in the middle`,
      found: `${median(found.map(({ latency }) => latency)).toFixed(0)} ms`,
      promised: 'as long as the queue is',
      kept: true,
    },
    ...probed.map((name) => {
      const ratio = median(found.map(({ idle, storm }) => storm[name] / idle[name]));
      const [idle, storm] = [found.map((one) => one.idle[name]), found.map((one) => one.storm[name])].map(median);
      return {
        what: `${name} beside it, p99 of the idle one’s`,
        found: `${ratio.toFixed(1)} × (${idle?.toFixed(1)} ms, ${storm?.toFixed(1)} ms)`,
        promised: '≤ 4 ×',
        kept: ratio <= 4,
      };
    }),
    {
      what: `${beyond} people at once, ${mostAtOnce} of whom fit`,
      found: `${overload.signedIn} signed in, ${overload.toldToComeBack} were told when to come back (503, Retry-After)`,
      promised: 'every one of them one or the other',
      kept:
        overload.signedIn >= mostAtOnce &&
        overload.signedIn + overload.toldToComeBack === beyond &&
        overload.toldToComeBack > 0,
    },
    {
      what: 'resident memory of the server, at the most',
      found: `${peakMegabytes.toFixed(0)} MB, ${restingMegabytes.toFixed(0)} MB before`,
      promised: '≤ 128 MB more',
      kept: peakMegabytes - restingMegabytes <= 128,
    },
  ];
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

const directory = await mkdtemp(join(tmpdir(), 'poort-storm-'));
endings.push(() => rm(directory, { recursive: true, force: true }));
try {
  process.stdout.write(`${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores; Node ${process.version}\n`);
  for (const { what, found, promised, kept } of await run(directory))
    process.stdout.write(`${kept ? 'kept  ' : 'MISSED'}  ${what}: ${found}, promised ${promised}\n`);
} finally {
  for (const end of endings.toReversed()) await end().catch((fault: unknown) => say(`while ending: ${fault}`));
}
