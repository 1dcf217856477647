/**
 * `npm run bench:fleet`: two thousand devices. They ask to be paired and poll for a minute at their interval; then all are approved and
 * come for their tokens; then the server is gone for some seconds, and all of them refresh in the moment it is back. Told: how long a
 * poll takes and how many round trips to PostgreSQL it costs, how many were sent away in the storm and for how long, and whether every
 * device ends with a token that works. The server is a process of its own; the devices share the machine with it. Exit 1 when a
 * promise was not kept. docs/performance.md holds the figures.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { reference } from '#adapters/artifacts_adapter.ts';
import { createClientsCache } from '#adapters/clients_adapter.ts';
import { UnitOfWork } from '#adapters/unit_of_work.ts';
import { loadConfig } from '#config/config.ts';
import { DEVICE_POLL_INTERVAL_SECONDS, deviceGrantType } from '#src/domain/device_grant.ts';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { addMember } from '#src/flows/people/manage_people.ts';
import { createTenant } from '#src/flows/tenants/manage_tenants.ts';
import { uuidv7 } from '#src/foundation/identifiers.ts';
import { createLogger } from '#src/foundation/logger.ts';
import { createEnginePages } from '#src/http/pages/kit/engine_pages.ts';
import { createProviderPool } from '#src/oidc/provider_pool.ts';
import { type House, openHouse } from '#src/server.ts';
import { startBenchDatabase } from './database.ts';
import { type Child, freePort, startChild } from './processes.ts';
import { startCountingProxy } from './round_trips.ts';
import { percentile } from './statistics.ts';

const { values: options } = parseArgs({
  options: {
    devices: { type: 'string', default: '2000' },
    seconds: { type: 'string', default: '60' },
  },
});
const [count, seconds] = [options.devices, options.seconds].map(Number) as [number, number];
const scope = 'openid offline_access';
const patienceSeconds = 180;
const endings: (() => Promise<unknown>)[] = [];
const agent = new Agent({ keepAlive: true, maxSockets: count });
const say = (line: string): void => void process.stderr.write(`${line}\n`);
const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

interface Device {
  readonly index: number;
  code: string;
  userCode: string;
  accessToken: string;
  refreshToken: string;
}

interface Answer {
  readonly status: number;
  readonly retryAfter: number;
  readonly json: Readonly<Record<string, unknown>>;
}

function post(url: string, form: Readonly<Record<string, string>>): Promise<Answer> {
  const body = new URLSearchParams(form).toString();
  return new Promise((resolve, reject) => {
    const asked = request(
      url,
      {
        method: 'POST',
        agent,
        headers: { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(body) },
      },
      (answer) => {
        const parts: Buffer[] = [];
        answer.on('data', (part: Buffer) => void parts.push(part));
        answer.on('error', reject);
        answer.on('end', () => {
          const text = Buffer.concat(parts).toString('utf8');
          const json = text.startsWith('{') ? (JSON.parse(text) as Answer['json']) : {};
          resolve({ status: answer.statusCode ?? 0, retryAfter: Number(answer.headers['retry-after'] ?? 0), json });
        });
      },
    );
    asked.on('error', reject);
    asked.end(body);
  });
}

interface Verdict {
  readonly what: string;
  readonly found: string;
  readonly promised: string;
  readonly kept: boolean;
}

async function run(directory: string): Promise<readonly Verdict[]> {
  const database = await startBenchDatabase(directory);
  endings.push(() => database.stop());
  const proxy = await startCountingProxy(database.port);
  endings.push(() => proxy.stop());
  const port = await freePort();
  const counted = new URL(database.poortUrl);
  counted.port = String(proxy.port);
  const environment = {
    POORT_ENV: 'test',
    POORT_PORT: String(port),
    POORT_GRPC_PORT: '0',
    POORT_METRICS_PORT: '0',
    POORT_DATA_DIR: directory,
    POORT_MASTER_KEY: randomBytes(32).toString('base64'),
    POORT_DEMO: 'off',
    POORT_LOG_LEVEL: 'warn',
  };
  const start = async (): Promise<Child> => {
    const input = { directory, environment: { ...environment, POORT_DATABASE_URL: counted.href } };
    const child = startChild({ name: 'Poort', script: 'bench/servers/fleet.ts', arguments: [JSON.stringify(input)] });
    await child.ready;
    return child;
  };
  let child = await start();
  endings.push(() => child.stop());

  // The person's side, in this process: what is measured is the device's.
  const loaded = await loadConfig(
    { ...environment, POORT_DATABASE_URL: database.poortUrl },
    { workingDirectory: directory },
  );
  if (loaded.outcome === 'faulty') throw new Error(JSON.stringify(loaded.faults));
  const logger = createLogger({ level: 'warn', format: 'json' }, process.stderr);
  const house = await openHouse(loaded.config, { logger, migrate: false });
  endings.push(() => house.close());
  const world = await createWorld(house);
  const issuer = `http://localhost:${port}/t/fleet`;
  const poll = (device: Device): Promise<Answer> =>
    post(`${issuer}/token`, { client_id: world.clientId, grant_type: deviceGrantType, device_code: device.code });

  say(`${count} devices begin`);
  const devices: Device[] = [];
  for (let first = 0; first < count; first += 50)
    devices.push(
      ...(await Promise.all(
        Array.from({ length: Math.min(50, count - first) }, async (_, offset) => {
          const { status, json } = await post(`${issuer}/device_authorization`, { client_id: world.clientId, scope });
          if (status !== 200) throw new Error(`device_authorization: ${status} ${JSON.stringify(json)}`);
          const [code, userCode] = [String(json['device_code']), String(json['user_code']).replaceAll('-', '')];
          return { index: first + offset, code, userCode, accessToken: '', refreshToken: '' };
        }),
      )),
    );

  say(`they poll for ${seconds} s, load ${loadavg()[0]?.toFixed(1)}`);
  const intervalMilliseconds = DEVICE_POLL_INTERVAL_SECONDS * 1000;
  const latencies: number[] = [];
  const wrong: string[] = [];
  const before = proxy.roundTrips();
  const endsAt = performance.now() + seconds * 1000;
  await Promise.all(
    devices.map(async (device) => {
      // Switched on at different moments, like any thousand devices.
      let due = performance.now() + (device.index / count) * intervalMilliseconds;
      while (due < endsAt) {
        await pause(Math.max(0, due - performance.now()));
        const askedAt = performance.now();
        const { status, json } = await poll(device);
        latencies.push(performance.now() - askedAt);
        if (json['error'] !== 'authorization_pending') wrong.push(`${status} ${String(json['error'])}`);
        due = askedAt + intervalMilliseconds;
      }
    }),
  );
  // Jobs of the server's own, looking for changes above all, are counted with the polls.
  const roundTrips = proxy.roundTrips() - before;
  latencies.sort((one, other) => one - other);

  say('they are approved, and come for their tokens');
  await approveAll(house, world, devices);
  const keep = (device: Device, { json }: Answer): void => {
    device.accessToken = String(json['access_token']);
    device.refreshToken = String(json['refresh_token']);
  };
  await Promise.all(
    devices.map((device) =>
      untilTaken(
        () => poll(device),
        (answer) => keep(device, answer),
      ),
    ),
  );

  say('the server goes away, and comes back');
  await child.stop();
  await pause(2_000);
  child = await start();

  const startedAt = performance.now();
  const storm = await Promise.all(
    devices.map(async (device) => {
      const form = { client_id: world.clientId, grant_type: 'refresh_token', refresh_token: device.refreshToken };
      const told = await untilTaken(
        () => post(`${issuer}/token`, form),
        (answer) => keep(device, answer),
      );
      return { ...told, milliseconds: performance.now() - startedAt };
    }),
  );
  const lasted = (performance.now() - startedAt) / 1000;

  let working = 0;
  for (const device of devices) {
    const headers = { authorization: `Bearer ${device.accessToken}` };
    if ((await fetch(`${issuer}/userinfo`, { headers })).status === 200) working += 1;
  }
  const sentAway = storm.reduce((total, { retries }) => total + retries.length, 0);
  const waits = new Set(storm.flatMap(({ retries }) => retries));
  const broken = storm.reduce((total, one) => total + one.broken, 0);
  const done = storm.map(({ milliseconds }) => milliseconds).sort((one, other) => one - other);
  const p99 = percentile(latencies, 0.99);
  const perPoll = roundTrips / latencies.length;
  const at = (share: number): string => `${(percentile(done, share) / 1000).toFixed(1)} s`;
  return [
    {
      what: `polls of ${count} devices`,
      found: `${latencies.length} in ${seconds} s, ${wrong.length} answered otherwise${wrong.length > 0 ? ` (${wrong[0]})` : ''}`,
      promised: 'none otherwise',
      kept: wrong.length === 0,
    },
    {
      what: 'a poll, p50 and p99',
      found: `${percentile(latencies, 0.5).toFixed(1)} ms and ${p99.toFixed(1)} ms`,
      promised: 'p99 < 250 ms',
      kept: p99 < 250,
    },
    {
      what: 'round trips of a poll',
      found: perPoll.toFixed(3),
      promised: '1, and the server’s own',
      kept: perPoll < 1.02,
    },
    {
      what: 'the storm after the outage',
      found: `${sentAway} sent away with ${waits.size} different Retry-After, ${broken} connections lost`,
      promised: 'spread',
      kept: sentAway === 0 || waits.size > 1,
    },
    {
      what: 'refreshed after, p50 and all',
      found: `${at(0.5)} and ${lasted.toFixed(1)} s`,
      promised: 'all',
      kept: true,
    },
    {
      what: 'devices with a token that works',
      found: String(working),
      promised: String(count),
      kept: working === count,
    },
  ];
}

interface World {
  readonly tenantId: Parameters<House['database']['tenant']>[0];
  readonly userId: string;
  readonly clientId: string;
}

async function createWorld(house: House): Promise<World> {
  const context = {
    ...house,
    mailBudgets: house.config.mail.budgets,
    actor: { type: 'operator', id: 'bench' },
    origin: {},
  } as const;
  const tenant = await createTenant(context, { slug: 'fleet', name: 'Fleet' });
  if (tenant.outcome !== 'created') throw new Error(tenant.outcome);
  const email = 'ada@fleet.test';
  const member = await addMember(context, { tenantId: tenant.id, email, roles: [], verified: true });
  if (member.outcome === 'refused') throw new Error(member.reason);
  const client = await createClient(context, {
    tenantId: tenant.id,
    client: { name: 'Sensor', type: 'device', firstParty: true },
  });
  if (client.outcome !== 'created') throw new Error(client.outcome);
  return { tenantId: tenant.id, userId: member.userId, clientId: client.clientId };
}

/** What the page does once a person has agreed, for each of them. */
async function approveAll(house: House, world: World, devices: readonly Device[]): Promise<void> {
  const { config, database, sealer, clock, egress, deviceNotes } = house;
  const onFault = (fault: unknown): never => {
    throw fault;
  };
  const pages = createEnginePages({ clock });
  const clients = createClientsCache(database);
  const pool = createProviderPool(
    { config, database, clients, sealer, clock, egress, pages, deviceNotes },
    { onFault },
  );
  const tenant = await pool.findTenant('fleet');
  if (tenant === undefined) throw new Error('there is no tenant');
  const { provider } = await pool.engineOf(tenant);
  for (const { userCode } of devices) {
    const unit = new UnitOfWork({ tenant: database.tenant(world.tenantId), origin: {}, clock });
    await unit.run(async () => {
      const found = await unit.findByUserCode(userCode);
      const idHash = found?.idHash ?? '';
      unit.open('DeviceCode', idHash);
      const code = await provider.DeviceCode.find(reference(idHash));
      if (code === undefined) throw new Error('no such code');
      const grant = new provider.Grant({ clientId: world.clientId, accountId: world.userId });
      Object.assign(grant, { deviceId: uuidv7(clock()) });
      grant.addOIDCScope(scope);
      Object.assign(code, { accountId: world.userId, grantId: await grant.save(), scope, authTime: 1, amr: ['pwd'] });
      await (code as unknown as { save(): Promise<string> }).save();
      await unit.commit();
    });
  }
}

/** As a device does it: whoever is told to come back comes back then, and a lost connection is tried again after a while. */
async function untilTaken(
  ask: () => Promise<Answer>,
  take: (answer: Answer) => void,
): Promise<{ readonly retries: readonly number[]; readonly broken: number }> {
  const retries: number[] = [];
  let broken = 0;
  const givesUpAt = performance.now() + patienceSeconds * 1000;
  while (performance.now() < givesUpAt) {
    const answer = await ask().catch(() => undefined);
    if (answer?.status === 200) {
      take(answer);
      return { retries, broken };
    }
    if (answer === undefined) {
      broken += 1;
      await pause(1_000 + Math.random() * 4_000);
    } else if (answer.status === 503 || answer.status === 429) {
      retries.push(answer.retryAfter);
      await pause(answer.retryAfter * 1000);
    } else if (answer.json['error'] === 'slow_down') await pause(2 * DEVICE_POLL_INTERVAL_SECONDS * 1000);
    else throw new Error(`refused: ${answer.status} ${JSON.stringify(answer.json)}`);
  }
  return { retries, broken };
}

const directory = await mkdtemp(join(tmpdir(), 'poort-fleet-'));
try {
  const verdicts = await run(directory);
  say('');
  for (const { what, found, promised, kept } of verdicts)
    process.stdout.write(`${kept ? 'kept  ' : 'BROKEN'}  ${what.padEnd(34)}  ${found.padEnd(66)}  (${promised})\n`);
  const load = loadavg().map((value) => value.toFixed(1));
  process.stdout.write(`on ${cpus().length} processors, load ${load.join(' ')}\n`);
  process.exitCode = verdicts.every(({ kept }) => kept) ? 0 : 1;
} finally {
  agent.destroy();
  for (const end of endings.reverse()) await end().catch((fault: unknown) => say(String(fault)));
  await rm(directory, { recursive: true, force: true });
}
