/**
 * `npm run bench:grpc`: how many tokens a second a service can ask about over gRPC (`VerifyToken`, with an API key) and over REST
 * (`POST /introspect`, with a client secret), of opaque tokens and of JWTs. Round by round in turn, with as many calls under way, from one
 * process beside the server's own, so that what else the machine does cancels in the ratio. Exit 1 when the promise was not kept.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  credentials,
  type GrpcObject,
  loadPackageDefinition,
  Metadata,
  type ServiceClientConstructor,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { loadConfig } from '#config/config.ts';
import { createApiKey } from '#src/flows/access/manage_api_keys.ts';
import { createApi, createClient } from '#src/flows/clients/manage_clients.ts';
import { configureTenant, createTenant } from '#src/flows/tenants/manage_tenants.ts';
import { createLogger } from '#src/foundation/logger.ts';
import { protoOptions, protoPath } from '#src/grpc/grpc_server.ts';
import { openHouse } from '#src/server.ts';
import { startBenchDatabase } from './database.ts';
import { freePort, processorMilliseconds, startChild } from './processes.ts';
import { median } from './statistics.ts';

const rounds = 3;
const seconds = 4;
const underWay = 32;
const promised = 1.0;
const audience = 'https://api.bench.example/readings';
const scope = 'readings:read';
const endings: (() => Promise<unknown>)[] = [];

type Ask = () => Promise<boolean>;

interface Measured {
  readonly perSecond: number;
  readonly processorMilliseconds: number;
}

/** As many questions as can be asked in the time, so many at once. Throws when an answer is not the one that is true. */
async function measure(ask: Ask, processId: number): Promise<Measured> {
  const usedBefore = processorMilliseconds(processId) ?? Number.NaN;
  const startedAt = performance.now();
  let count = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() - startedAt < seconds * 1000) {
      if (!(await ask())) throw new Error('a good token was said to be none');
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: underWay }, worker));
  const elapsed = (performance.now() - startedAt) / 1000;
  const used = (processorMilliseconds(processId) ?? Number.NaN) - usedBefore;
  return { perSecond: count / elapsed, processorMilliseconds: used / count };
}

const agent = new Agent({ keepAlive: true, maxSockets: underWay });

function post(
  url: string,
  authorization: string,
  form: Readonly<Record<string, string>>,
): Promise<Readonly<Record<string, unknown>>> {
  const body = new URLSearchParams(form).toString();
  const headers = {
    authorization,
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': Buffer.byteLength(body),
  };
  return new Promise((resolve, reject) => {
    const asked = request(url, { method: 'POST', agent, headers }, (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => void parts.push(part));
      answer.on('error', reject);
      answer.on('end', () => resolve(JSON.parse(Buffer.concat(parts).toString('utf8'))));
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

async function run(directory: string): Promise<boolean> {
  const database = await startBenchDatabase(directory);
  endings.push(() => database.stop());
  const [port, grpcPort] = [await freePort(), await freePort()];
  const environment = {
    POORT_ENV: 'test',
    POORT_PORT: String(port),
    POORT_GRPC_PORT: String(grpcPort),
    POORT_METRICS_PORT: '0',
    POORT_DATA_DIR: directory,
    POORT_DATABASE_URL: database.poortUrl,
    POORT_MASTER_KEY: randomBytes(32).toString('base64'),
    POORT_DEMO: 'off',
    POORT_LOG_LEVEL: 'warn',
  };
  const child = startChild({ name: 'Poort', script: 'src/main.ts', arguments: ['serve'], environment });
  endings.push(() => child.stop());
  while ((await fetch(`http://localhost:${port}/health/ready`).catch(() => undefined))?.status !== 200);

  const loaded = await loadConfig(environment, { workingDirectory: directory });
  if (loaded.outcome === 'faulty') throw new Error(JSON.stringify(loaded.faults));
  const logger = createLogger({ level: 'warn', format: 'json' }, process.stderr);
  const house = await openHouse(loaded.config, { logger, migrate: false });
  endings.push(() => house.close());
  const context = {
    ...house,
    mailBudgets: loaded.config.mail.budgets,
    actor: { type: 'operator' },
    origin: {},
  } as const;
  const tenant = await createTenant(context, { slug: 'bench', name: 'Bench' });
  if (tenant.outcome !== 'created') throw new Error(JSON.stringify(tenant));
  const tenantId = tenant.id;
  await configureTenant(context, {
    id: tenantId,
    changes: [{ name: 'api_keys.requests_per_minute', value: 1_000_000 }],
  });
  for (const format of ['opaque', 'jwt'] as const) {
    const api = {
      audience: `${audience}/${format}`,
      tokenFormat: format,
      scopes: [`${scope}=Read`],
    };
    await createApi(context, { tenantId, api });
  }
  const clientOf = async (type: 'machine' | 'resource_server'): Promise<string> => {
    const scopes = type === 'machine' ? [scope] : [];
    const created = await createClient(context, { tenantId, client: { name: type, type, scopes } });
    if (created.outcome !== 'created') throw new Error(JSON.stringify(created));
    return `Basic ${Buffer.from(`${created.clientId}:${created.clientSecret ?? ''}`).toString('base64')}`;
  };
  const [machine, asker] = [await clientOf('machine'), await clientOf('resource_server')];
  const key = await createApiKey(context, {
    tenantId,
    userId: undefined,
    settings: loaded.config.people,
    name: 'bench',
    scopes: ['introspect'],
    expiresAt: undefined,
  });
  if (key.outcome !== 'created') throw new Error(JSON.stringify(key));

  const loadedProto = loadPackageDefinition(loadSync(protoPath, protoOptions));
  const Service = ['identity', 'v1', 'IdentityService'].reduce<unknown>(
    (node, name) => (node as GrpcObject)[name],
    loadedProto,
  );
  const service = new (Service as ServiceClientConstructor)(`127.0.0.1:${grpcPort}`, credentials.createInsecure());
  endings.push(async () => service.close());
  const metadata = new Metadata();
  metadata.set('x-api-key', key.key);

  const issuer = `http://localhost:${port}/t/bench`;
  let kept = true;
  for (const format of ['opaque', 'jwt'] as const) {
    const form = { grant_type: 'client_credentials', resource: `${audience}/${format}`, scope };
    const token = String((await post(`${issuer}/token`, machine, form))['access_token']);
    const rest: Ask = async () => (await post(`${issuer}/introspect`, asker, { token }))['active'] === true;
    const verify = service['VerifyToken'] as (
      r: object,
      m: Metadata,
      reply: (e: unknown, a: { active: boolean }) => void,
    ) => void;
    const grpc: Ask = () =>
      new Promise((resolve, reject) => {
        verify.call(service, { token }, metadata, (fault, answer) => (fault ? reject(fault) : resolve(answer.active)));
      });
    for (const ask of [rest, grpc]) await measure(ask, child.processId);
    const found: { rest: Measured; grpc: Measured }[] = [];
    for (let round = 0; round < rounds; round += 1)
      found.push({ rest: await measure(rest, child.processId), grpc: await measure(grpc, child.processId) });
    const ratio = median(found.map((each) => each.grpc.perSecond / each.rest.perSecond));
    const figures = (door: 'rest' | 'grpc'): string =>
      `${Math.round(median(found.map((each) => each[door].perSecond)))} a second, ${median(found.map((each) => each[door].processorMilliseconds)).toFixed(2)} ms of the server’s processor each`;
    kept &&= ratio >= promised;
    console.log(
      `${ratio >= promised ? 'kept   ' : 'missed '} ${format}: VerifyToken ${ratio.toFixed(2)} × introspection (gRPC ${figures('grpc')}; REST ${figures('rest')}), promised ≥ ${promised.toFixed(1)} ×`,
    );
  }
  return kept;
}

const directory = await mkdtemp(join(tmpdir(), 'poort-bench-'));
try {
  if (!(await run(directory))) process.exitCode = 1;
} finally {
  for (const end of endings.toReversed()) await end();
  agent.destroy();
  await rm(directory, { recursive: true, force: true });
}
