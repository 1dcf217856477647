/** A whole Poort in this process, on a database and a port of its own, with a clock that tests move. */

import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Config, loadConfig } from '#config/config.ts';
import type { FlowContext } from '#src/flows/flow_context.ts';
import type { PasswordJudges } from '#src/flows/people/judge_password.ts';
import type { Clock } from '#src/foundation/clock.ts';
import { createLogger } from '#src/foundation/logger.ts';
import { type RunningServer, startServer } from '#src/server.ts';
import { createTestDatabase, type TestDatabase, testMasterKey } from './cluster.ts';

export interface TestServer {
  readonly origin: string;
  readonly config: Config;
  readonly database: TestDatabase;
  readonly server: RunningServer;
  /** For flows called as the operator. */
  readonly context: FlowContext & PasswordJudges;
  /** Log lines, parsed: of level `warn` and above unless the options ask for more. */
  readonly log: readonly Readonly<Record<string, unknown>>[];
  close(): Promise<void>;
}

export interface TestServerOptions {
  /** Settings as environment variables. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly clock?: Clock;
  readonly logLevel?: Config['log']['level'];
  /** Another server of the same installation: same database. */
  readonly beside?: TestServer;
  readonly change?: (config: Config) => Config;
}

export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const database = options.beside?.database ?? (await createTestDatabase());
  const directory = await mkdtemp(join(tmpdir(), 'poort-server-'));
  const config = await testConfig(directory, database, options);
  const log: Record<string, unknown>[] = [];
  const logger = createLogger(
    { level: options.logLevel ?? 'warn', format: 'json' },
    { write: (line: string) => void log.push(JSON.parse(line)) },
  );
  const server = await startServer(config, {
    logger,
    ...(options.clock === undefined ? {} : { clock: options.clock }),
  });
  const { house } = server;
  return {
    origin: config.http.publicUrl,
    config,
    database,
    server,
    log,
    context: {
      database: house.database,
      clock: house.clock,
      sealer: house.sealer,
      passwords: house.passwords,
      breachedPasswords: house.breachedPasswords,
      egressAllow: config.egressAllow,
      mailBudgets: config.mail.budgets,
      actor: { type: 'operator', id: 'test' },
      origin: {},
    },
    async close() {
      await server.close();
      await rm(directory, { recursive: true, force: true });
      if (options.beside === undefined) await database.drop();
    },
  };
}

async function testConfig(directory: string, database: TestDatabase, options: TestServerOptions): Promise<Config> {
  const port = await freePort();
  const loaded = await loadConfig(
    {
      POORT_ENV: 'test',
      POORT_PORT: String(port),
      ...(options.beside === undefined ? {} : { POORT_PUBLIC_URL: options.beside.origin }),
      POORT_GRPC_PORT: '0',
      POORT_METRICS_PORT: '0',
      POORT_DATA_DIR: directory,
      POORT_DATABASE_URL: database.ownerUrl,
      POORT_MASTER_KEY: testMasterKey,
      POORT_DEMO: 'off',
      ...options.environment,
    },
    { workingDirectory: directory },
  );
  if (loaded.outcome === 'faulty') throw new Error(JSON.stringify(loaded.faults));
  // Hashing is real, but cheap: what it costs is tested in its own room.
  const passwordHashing = { ...loaded.config.passwordHashing, memoryKibibytes: 1024, passes: 2 };
  const http = { ...loaded.config.http, drainSeconds: 1 };
  const config = { ...loaded.config, passwordHashing, http };
  return options.change?.(config) ?? config;
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() =>
        typeof address === 'object' && address !== null ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}

export interface MovableClock {
  readonly clock: Clock;
  advance(seconds: number): void;
}

/** Passes time in the product's own clock. The engine reads `Date.now` itself: see `passTime`. */
export function createMovableClock(): MovableClock {
  let offsetMilliseconds = 0;
  const now = Date.now;
  return {
    clock: () => new Date(now() + offsetMilliseconds),
    advance(seconds) {
      offsetMilliseconds += seconds * 1000;
    },
  };
}
