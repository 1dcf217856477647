/**
 * `npm run bench`: three servers, the same questions, one run. Starts PostgreSQL and each server as a process of its own,
 * lets every case come round on every server in short slices whose order rotates, counts Poort's round trips apart from
 * the clock, prints a table and writes bench/results.json. Exit 1 when a single answer was refused. docs/performance.md
 * tells how to read the figures.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#src/foundation/clock.ts';
import { basicAuthorization, type Case, createCases } from './cases.ts';
import { type BenchDatabase, startBenchDatabase } from './database.ts';
import type { HttpTarget } from './http_connection.ts';
import { carryOut, putLoad, type Script, type Slice } from './load.ts';
import { type CaseName, caseNames, type Options, parseOptions, type ServerName, usage } from './options.ts';
import { type Child, freePort, processorMilliseconds, projectDirectory, startChild } from './processes.ts';
import { formatResults, formatTable, judgeGoals, type MeasuredSlice, summarize } from './report.ts';
import { startCountingProxy } from './round_trips.ts';
import { startPoort } from './servers/poort.ts';
import type { Subject } from './subject.ts';

const leadInMilliseconds = 150;
const warmUpMilliseconds = 700;
/** The floor answers the same question in every case: half a slice is enough each time. */
const floorShareOfSlice = 0.5;
const codesAtLeast = 400;
const countedRequests = 50;
/** What a server may still have to write after its answer has left. */
const settlingMilliseconds = 300;
/** How long a Poort that nobody asks anything is watched. */
const idleMilliseconds = 2_000;

interface Contestant {
  readonly name: ServerName;
  readonly target: HttpTarget;
  readonly processId: number;
  readonly cases: Readonly<Record<CaseName, Case>>;
  /** The best requests per second of each case so far: how many codes the next slice may use up. */
  readonly rates: Map<CaseName, number>;
}

/** What was started, in order; ended in the opposite order, once. */
type Ending = () => Promise<void>;
const endings: Ending[] = [];
let interrupted = false;

async function endEverything(): Promise<void> {
  for (let ending = endings.pop(); ending !== undefined; ending = endings.pop()) {
    await ending().catch((error: unknown) => say(`while ending: ${error}`));
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    interrupted = true;
    say('\ninterrupted: ending the servers');
    void endEverything().then(() => process.exit(130));
  });
}

const parsed = parseOptions(process.argv.slice(2));
if (parsed.outcome === 'help') {
  process.stdout.write(usage);
} else if (parsed.outcome === 'refused') {
  process.stderr.write(`${parsed.reason}\n\n${usage}`);
  process.exitCode = 2;
} else {
  try {
    process.exitCode = await run(parsed.options);
  } catch (error) {
    // After a signal everything breaks because the servers end: that is no news.
    if (!interrupted) {
      process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
      process.exitCode = 1;
    }
  } finally {
    if (!interrupted) await endEverything();
  }
}

async function run(options: Options): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'poort-bench-'));
  endings.push(() => rm(directory, { recursive: true, force: true }));

  const needsDatabase = options.servers.includes('floor') || options.servers.includes('poort');
  const database = needsDatabase ? await startBenchDatabase(directory) : undefined;
  if (database !== undefined) endings.push(() => database.stop());

  const poort = { dataDirectory: join(directory, 'poort'), port: await freePort() };
  const roundTrips =
    database !== undefined && options.countRoundTrips && options.servers.includes('poort')
      ? await countRoundTrips(options, database, poort)
      : new Map<CaseName, number>();

  const contestants: Contestant[] = [];
  for (const server of options.servers) {
    say(`starting ${server}`);
    contestants.push(await enter(server, options, database, poort));
  }
  const slices = await measure(options, contestants);

  const figures = summarize(options, slices, roundTrips);
  const surroundings = {
    measuredAt: systemClock().toISOString(),
    processor: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    node: process.version,
    postgres: database?.version ?? 'none',
  };
  await writeFile(join(projectDirectory, 'bench/results.json'), formatResults({ surroundings, options, figures }));

  process.stdout.write(
    `\n${surroundings.processor}, ${surroundings.cores} cores; Node ${surroundings.node}; PostgreSQL ${surroundings.postgres}; ` +
      `${options.connections} connections, ${options.rounds} rounds of ${options.sliceSeconds} s\n\n` +
      `${formatTable(figures)}\n\n${judgeGoals(figures)
        .map((line) => `${line}\n`)
        .join('')}`,
  );
  const failures = figures.filter((one) => one.errors > 0);
  for (const one of failures) {
    process.stdout.write(`FAILED  ${one.case} on ${one.server}: ${one.errors} refused, first: ${one.firstError}\n`);
  }
  return failures.length > 0 ? 1 : 0;
}

async function enter(
  server: ServerName,
  options: Options,
  database: BenchDatabase | undefined,
  poort: { readonly dataDirectory: string; readonly port: number },
): Promise<Contestant> {
  const rates = new Map<CaseName, number>();
  switch (server) {
    case 'floor': {
      if (database === undefined) throw new Error('the floor needs a database');
      return { name: server, rates, ...(await enterFloor(database, options.connections)) };
    }
    case 'bare_engine': {
      const subject = await startBareEngine();
      return { name: server, rates, ...subject, cases: await createCases(subject, options.connections) };
    }
    case 'poort': {
      if (database === undefined) throw new Error('Poort needs a database');
      const { child, subject } = await startPoort({ ...poort, databaseUrl: database.poortUrl });
      endings.push(() => child.stop());
      return { name: server, rates, ...subject, cases: await createCases(subject, options.connections) };
    }
    default: {
      const never: never = server;
      throw new Error(`unknown server ${never}`);
    }
  }
}

async function enterFloor(database: BenchDatabase, connections: number): Promise<Omit<Contestant, 'name' | 'rates'>> {
  const floor = await database.prepareFloor();
  const target = { host: '127.0.0.1', port: await freePort() };
  const { tokens, clientSecret, ...settings } = floor;
  const child = startChild({
    name: 'the floor',
    script: 'bench/servers/floor.ts',
    arguments: [JSON.stringify({ ...settings, port: target.port })],
  });
  endings.push(() => child.stop());
  await child.ready;

  const authorization = basicAuthorization({ clientId: floor.clientId, clientSecret });
  let asked = 0;
  const script: Script = () => {
    asked += 1;
    const body = new URLSearchParams({ token: tokens[asked % tokens.length] ?? '' }).toString();
    return {
      request:
        `POST /introspect HTTP/1.1\r\nhost: localhost:${target.port}\r\nauthorization: ${authorization}\r\n` +
        `content-type: application/x-www-form-urlencoded\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      accepts: (response) => response.status === 200 && response.body.includes('"active":true'),
    };
  };
  const oneRead: Case = {
    prepare: async () => undefined,
    scripts: () => Array.from({ length: connections }, () => script),
  };
  const cases = Object.fromEntries(caseNames.map((name) => [name, oneRead])) as Record<CaseName, Case>;
  return { target, processId: child.processId, cases };
}

async function startBareEngine(): Promise<Subject> {
  const target = { host: '127.0.0.1', port: await freePort() };
  const child: Child = startChild({
    name: 'the bare engine',
    script: 'bench/servers/bare_engine.ts',
    arguments: [String(target.port)],
  });
  endings.push(() => child.stop());
  // Our own script wrote it: the shape is the one bare_engine.ts announces.
  const announced = (await child.ready) as unknown as Omit<Subject, 'target' | 'processId'>;
  return { ...announced, target, processId: child.processId };
}

/**
 * Every case on every contestant in every round. In each round the contestants of a case follow one another directly, and
 * who begins rotates, so that a machine that gets slower or busier does so to all of them.
 */
async function measure(options: Options, contestants: readonly Contestant[]): Promise<MeasuredSlice[]> {
  say('warming up');
  for (const caseName of options.cases) {
    for (const contestant of contestants) {
      await runSlice({ contestant, caseName, measuredMilliseconds: warmUpMilliseconds });
    }
  }
  const slices: MeasuredSlice[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    for (const [place, caseName] of options.cases.entries()) {
      say(`round ${round + 1} of ${options.rounds}: ${caseName}`);
      const first = (round + place) % contestants.length;
      for (const contestant of [...contestants.slice(first), ...contestants.slice(0, first)]) {
        const share = contestant.name === 'floor' ? floorShareOfSlice : 1;
        const measuredMilliseconds = options.sliceSeconds * 1000 * share;
        const slice = await runSlice({ contestant, caseName, measuredMilliseconds });
        slices.push({ ...slice, round, case: caseName, server: contestant.name });
      }
    }
  }
  return slices;
}

async function runSlice(input: {
  readonly contestant: Contestant;
  readonly caseName: CaseName;
  readonly measuredMilliseconds: number;
}): Promise<Slice & Pick<MeasuredSlice, 'processorMilliseconds' | 'answered'>> {
  const { contestant, caseName, measuredMilliseconds } = input;
  const chosenCase = contestant.cases[caseName];
  const seconds = (measuredMilliseconds + leadInMilliseconds) / 1000;
  const bestRate = contestant.rates.get(caseName) ?? 0;
  await chosenCase.prepare(Math.max(codesAtLeast, Math.ceil(bestRate * seconds * 1.3)));

  let answered = 0;
  const scripts = chosenCase.scripts().map((script): Script => {
    return () => {
      answered += 1;
      return script();
    };
  });
  const usedBefore = processorMilliseconds(contestant.processId);
  const slice = await putLoad({ target: contestant.target, scripts, leadInMilliseconds, measuredMilliseconds });
  const usedAfter = processorMilliseconds(contestant.processId);
  if (slice.completed > 0) {
    const rate = (slice.completed / slice.measuredMilliseconds) * 1000;
    contestant.rates.set(caseName, Math.max(bestRate, rate));
  }
  return {
    ...slice,
    answered,
    processorMilliseconds: usedBefore === undefined || usedAfter === undefined ? undefined : usedAfter - usedBefore,
  };
}

/**
 * A Poort of its own behind a counting proxy: one connection, one request after another, its caches warm. Answers round
 * trips per request, less what the server does by the clock in the same time.
 */
async function countRoundTrips(
  options: Options,
  database: BenchDatabase,
  poort: { readonly dataDirectory: string; readonly port: number },
): Promise<Map<CaseName, number>> {
  say('counting round trips to PostgreSQL');
  const proxy = await startCountingProxy(database.port);
  endings.push(() => proxy.stop());
  const proxied = new URL(database.poortUrl);
  proxied.host = `127.0.0.1:${proxy.port}`;
  const { child, subject } = await startPoort({ ...poort, databaseUrl: proxied.href });
  endings.push(() => child.stop());
  const cases = await createCases(subject, 1);

  const idleSince = performance.now();
  const idleBefore = proxy.roundTrips();
  await pause(idleMilliseconds);
  const idlePerMillisecond = (proxy.roundTrips() - idleBefore) / (performance.now() - idleSince);

  const perRequest = new Map<CaseName, number>();
  for (const caseName of options.cases) {
    const chosenCase = cases[caseName];
    const countFor = async (requests: number): Promise<{ readonly trips: number; readonly milliseconds: number }> => {
      await chosenCase.prepare(requests);
      await pause(settlingMilliseconds);
      const startedAt = performance.now();
      const before = proxy.roundTrips();
      await carryOut(subject.target, limited(chosenCase.scripts(), requests));
      await pause(settlingMilliseconds);
      return { trips: proxy.roundTrips() - before, milliseconds: performance.now() - startedAt };
    };
    await countFor(10);
    const counted = await countFor(countedRequests);
    perRequest.set(caseName, Math.max(0, counted.trips - idlePerMillisecond * counted.milliseconds) / countedRequests);
  }
  await child.stop();
  await proxy.stop();
  return perRequest;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function limited(scripts: readonly Script[], requests: number): Script[] {
  let left = requests;
  return scripts.map((script): Script => {
    return () => {
      if (left === 0) return undefined;
      left -= 1;
      return script();
    };
  });
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
