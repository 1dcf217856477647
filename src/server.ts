/**
 * The composition root: builds the whole house and is the only file that sees every room. Opening a house gives storage and the
 * services around it (the command line needs no more); starting a server puts the engine and the public door on top.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from '#config/config.ts';
import { type OpenApiKeys, openApiKeys, verifyApiKey } from '#src/flows/access/api_keys.ts';
import { checkPermission, readRights } from '#src/flows/access/check_permission.ts';
import { createDevelopmentMailbox, createMailDelivery, type MailDelivery } from '#src/flows/mail/deliver_mails.ts';
import { createLogoutDelivery } from '#src/flows/sessions/deliver_backchannel_logouts.ts';
import type { TellOfLock } from '#src/flows/sign_in/account_lock.ts';
import { queueUnlockMail } from '#src/flows/sign_in/unlock.ts';
import { actsForInstallation } from '#src/flows/tenants/manage_operators.ts';
import { type Clock, systemClock } from '#src/foundation/clock.ts';
import { createPasswordHasher, type PasswordHasher } from '#src/foundation/password_hashing.ts';
import { relyingPartyOf } from '#src/foundation/relying_party.ts';
import { createSealer, type Sealer } from '#src/foundation/sealing.ts';
import { type BreachedPasswords, createBreachedPasswords } from '#src/gateways/breached_passwords.ts';
import { createEgress, type Egress } from '#src/gateways/egress.ts';
import { createMailServer, noMailServer } from '#src/gateways/mail_server.ts';
import type { GrpcOptions, GrpcServer } from '#src/grpc/grpc_server.ts';
import type { Operators } from '#src/http/api/callers.ts';
import { type Schedule, startSchedule } from '#src/jobs/schedule.ts';
import type { ProviderPool } from '#src/oidc/provider_pool.ts';
import { type Database, openDatabase } from '#src/storage/database.ts';
import { type DatabaseUrls, databaseUrls, otherDatabaseUrls } from '#src/storage/database_roles.ts';
import { createDeviceNotes, type DeviceNotes } from '#src/storage/device_notes.ts';
import { readRunningEmbeddedPostgres, startEmbeddedPostgres } from '#src/storage/embedded_postgres.ts';
import { MigrationRefused, migrate } from '#src/storage/migrate.ts';
import { openRedis, type RedisConnection } from '#src/storage/redis.ts';
import { listTenantsOfOperators } from '#src/storage/tables/operators.ts';

export interface StartupProblem {
  readonly setting: string;
  readonly problem: string;
  readonly fix: string;
}

/** What keeps the house from being opened, all of it at once, each with its fix. */
export class StartupProblems extends Error {
  readonly problems: readonly StartupProblem[];

  constructor(problems: readonly StartupProblem[], options?: ErrorOptions) {
    super(problems.map(({ setting, problem, fix }) => `${setting}: ${problem}. ${fix}`).join('\n'), options);
    this.name = 'StartupProblems';
    this.problems = problems;
  }
}

export interface House {
  readonly config: Config;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly sealer: Sealer;
  readonly passwords: PasswordHasher;
  readonly breachedPasswords: BreachedPasswords;
  readonly database: Database;
  readonly deviceNotes: DeviceNotes;
  readonly egress: Egress;
  readonly urls: DatabaseUrls;
  close(): Promise<void>;
}

export interface OpenHouseOptions {
  readonly logger: Logger;
  readonly migrate: boolean;
  readonly clock?: Clock;
  /** Serving needs the embedded database for itself; a command may use the one of a running server. */
  readonly attach?: boolean;
}

/**
 * Opens the database (the given one, or the embedded one: a running `npm start`'s, else its own for as long as the house is
 * open), migrates when asked and checks the roles. Throws `StartupProblems`.
 */
export async function openHouse(config: Config, options: OpenHouseOptions): Promise<House> {
  const { logger } = options;
  const clock = options.clock ?? systemClock;
  const sealer = createSealer(config.masterKeys);
  const source = await openDatabaseSource(config, options.attach ?? true);
  const redis = openRedisOf(config, logger);
  try {
    const urls = databaseUrls(source.ownerUrl, sealer);
    if (options.migrate) await migrateOrExplain(config, { ownerUrl: source.ownerUrl, sealer, logger });
    const database = openDatabase({
      appUrl: urls.app,
      platformUrl: urls.platform,
      otherUrls: otherDatabaseUrls(source.ownerUrl, sealer),
      redis,
      onFault: (fault) => logger.warn({ err: fault }, 'a connection to the database was lost'),
    });
    const onLostNotes = (fault: unknown): void =>
      logger.warn({ err: fault }, 'when devices were last seen could not be written: tried again');
    const deviceNotes = createDeviceNotes(database, { onFault: onLostNotes });
    const egress = createEgress({ allowed: config.egressAllow, ...config.egress });
    return {
      config:
        source.publicUrl === undefined ? config : { ...config, http: { ...config.http, publicUrl: source.publicUrl } },
      logger,
      clock,
      sealer,
      passwords: createPasswordHasher(config.passwordHashing),
      breachedPasswords: createBreachedPasswords({ egress, logger, largerListFile: config.breachedListFile }),
      database,
      deviceNotes,
      egress,
      urls,
      async close() {
        await deviceNotes.close();
        await database.close();
        redis?.close();
        await source.close();
      },
    };
  } catch (fault) {
    redis?.close();
    await source.close();
    throw fault;
  }
}

function openRedisOf({ redisUrl }: Config, logger: Logger): RedisConnection | undefined {
  if (redisUrl === undefined) return undefined;
  return openRedis({
    url: redisUrl.reveal(),
    onLost: (reason) => logger.warn({ reason }, 'Redis does not answer: attempts are counted in PostgreSQL meanwhile'),
    onBack: () => logger.info('Redis answers again: attempts are counted there'),
  });
}

const servedFile = 'served.json';

async function rememberServedUrl({ dataDirectory, http }: Config): Promise<void> {
  await writeFile(join(dataDirectory, servedFile), JSON.stringify({ public_url: http.publicUrl }), { mode: 0o600 });
}

/** Undefined when a server that is running has not said so yet. */
async function readServedUrl(dataDirectory: string): Promise<string | undefined> {
  try {
    const { public_url: publicUrl } = JSON.parse(await readFile(join(dataDirectory, servedFile), 'utf8')) as {
      public_url?: unknown;
    };
    return typeof publicUrl === 'string' ? publicUrl : undefined;
  } catch {
    return undefined;
  }
}

interface DatabaseSource {
  readonly ownerUrl: string;
  /** Where the server that runs this database is served: a command beside it must speak of the same addresses. */
  readonly publicUrl?: string | undefined;
  close(): Promise<void>;
}

async function openDatabaseSource(config: Config, attach: boolean): Promise<DatabaseSource> {
  const nothing = async (): Promise<void> => undefined;
  if (config.databaseUrl !== undefined) return { ownerUrl: config.databaseUrl.reveal(), close: nothing };
  if (attach) {
    const running = await readRunningEmbeddedPostgres(config.dataDirectory);
    if (running !== undefined) {
      return { ownerUrl: running.ownerUrl(), publicUrl: await readServedUrl(config.dataDirectory), close: nothing };
    }
  }
  const start = await startEmbeddedPostgres({ dataDirectory: config.dataDirectory }).catch((fault: unknown) => {
    throw new StartupProblems(
      [
        {
          setting: 'the embedded PostgreSQL',
          problem: fault instanceof Error ? fault.message : String(fault),
          fix: 'Set POORT_DATABASE_URL to a PostgreSQL of your own, or see docs/operations.md',
        },
      ],
      { cause: fault },
    );
  });
  if (start.outcome === 'already_running') {
    throw new StartupProblems([
      {
        setting: 'POORT_DATA_DIR',
        problem: `${config.dataDirectory} is in use by process ${start.processId}`,
        fix: 'Stop that process, or choose another directory',
      },
    ]);
  }
  return { ownerUrl: start.server.ownerUrl(), close: () => start.server.stop() };
}

async function migrateOrExplain(
  config: Config,
  { ownerUrl, sealer, logger }: { ownerUrl: string; sealer: Sealer; logger: Logger },
): Promise<void> {
  const setting = 'POORT_DATABASE_URL';
  const migrated = await migrate({ ownerUrl, sealer }).catch((fault: unknown) => {
    const problem = fault instanceof Error ? fault.message : String(fault);
    const fix =
      fault instanceof MigrationRefused
        ? 'See docs/operations.md'
        : 'Check the address, and that its role owns the database and may create roles';
    throw new StartupProblems([{ setting, problem, fix }], { cause: fault });
  });
  if (migrated.applied.length > 0) logger.info({ applied: migrated.applied.length }, 'the database was migrated');
  if (config.databaseUrl === undefined) return;
  const { owner } = migrated;
  if (!owner.superuser && !owner.bypassesRowLevelSecurity) return;
  const problem = `${owner.name} is ${owner.superuser ? 'a superuser' : 'a role that bypasses row level security'}`;
  const fix = 'Use a role that owns the database and may create roles, and nothing more';
  if (config.env === 'production') throw new StartupProblems([{ setting, problem, fix }]);
  logger.warn(`${problem}: ${fix}`);
}

/** The jobs of one process: `poort worker` has them, and `npm start`, which is everything at once. */
export function startJobs(house: House): Schedule {
  const { database, clock, sealer, egress, config } = house;
  const { http, backchannelLogout } = config;
  const delivery = { database, sealer, clock, egress, publicUrl: http.publicUrl, settings: backchannelLogout };
  const logoutDelivery = createLogoutDelivery(delivery);
  return startSchedule({ ...house, logoutDelivery, mailDelivery: deliveryOfMails(house) });
}

/** To the mail server of the settings; without one, outside production, into the development mailbox. */
function deliveryOfMails({ config, database, sealer, clock, logger }: House): MailDelivery {
  const { from, smtpUrl: url, timeLimitSeconds, retry: settings, developmentMailboxSize: mailboxSize } = config.mail;
  const { publicUrl } = config.http;
  const clientName = new URL(publicUrl).hostname;
  const server = url === undefined ? noMailServer : createMailServer({ url, clientName, timeLimitSeconds });
  return createMailDelivery({
    ...{ database, sealer, clock, logger, publicUrl, from, settings },
    // The words are loaded with the first mail: most commands write none.
    render: async (mail, setting) => (await import('#src/http/pages/kit/render_mail.ts')).renderMail(mail, setting),
    destination: showsMail(config) ? { kind: 'development', mailboxSize } : { kind: 'server', server },
  });
}

function showsMail({ env, mail }: Config): boolean {
  return env !== 'production' && mail.smtpUrl === undefined;
}

export interface RunningServer {
  readonly url: string;
  /** Where gRPC answers; undefined where it is off. */
  readonly grpcAddress: string | undefined;
  readonly house: House;
  readonly apiKeys: OpenApiKeys;
  /** Stops accepting, lets requests in flight finish, closes the house. */
  close(): Promise<void>;
}

/** The engine and the public door take half a second to load: a command that serves nothing does without them. */
async function loadServingRooms() {
  const [adapter, app, health, pages, pool, signals] = await Promise.all([
    import('#adapters/clients_adapter.ts'),
    import('#src/http/app.ts'),
    import('#src/http/health.ts'),
    import('#src/http/pages/kit/engine_pages.ts'),
    import('#src/oidc/provider_pool.ts'),
    import('#src/subscribers/signal_hub.ts'),
  ]);
  return {
    createClientsCache: adapter.createClientsCache,
    createApp: app.createApp,
    createHealth: health.createHealth,
    createEnginePages: pages.createEnginePages,
    createProviderPool: pool.createProviderPool,
    createSignalHub: signals.createSignalHub,
  };
}

export interface StartServerOptions {
  readonly logger: Logger;
  readonly clock?: Clock;
  /** What must be there before anyone can ask. */
  readonly prepare?: (house: House) => Promise<unknown>;
}

/** Serves until closed. Throws `StartupProblems`. */
export async function startServer(config: Config, options: StartServerOptions): Promise<RunningServer> {
  const house = await openHouse(config, { ...options, migrate: true, attach: config.databaseUrl !== undefined });
  try {
    await house.passwords.selfTest();
    await options.prepare?.(house);
    const rooms = await loadServingRooms();
    const { createClientsCache, createApp, createHealth, createEnginePages, createProviderPool } = rooms;
    const server = createServer({ maxHeaderSize: 16_384, requestTimeout: 30_000 });
    const { database, clock, logger, sealer, egress, deviceNotes } = house;
    const clients = createClientsCache(database);
    const pool = createProviderPool(
      { config, database, clients, sealer, clock, egress, deviceNotes, pages: createEnginePages({ clock }) },
      {
        onFault: (fault, ctx) =>
          logger.error(
            { err: fault, request_id: ctx.res.getHeader('x-request-id'), route: ctx.oidc?.route },
            'a request failed',
          ),
      },
    );
    // Told at the start rather than at the first sign-in, when it is not there.
    await database.counters.state();
    await pool.start();
    const signals = await rooms.createSignalHub(database);
    const apiKeys = openApiKeys({
      database,
      people: config.people,
      onFault: (fault) => logger.warn({ err: fault }, 'uses of API keys could not be noted'),
    });
    await apiKeys.listen();
    const mail = showsMail(config) ? 'development' : config.mail.smtpUrl === undefined ? 'not_configured' : 'sent';
    const health = createHealth({ database, clock, mail });
    const developmentMailbox = showsMail(config)
      ? createDevelopmentMailbox({ database, sealer, delivery: deliveryOfMails(house) })
      : undefined;
    const { passwords, breachedPasswords } = house;
    const limits = { mailBudgets: config.mail.budgets, proofs: config.proofs, settings: config.signIn };
    const services = { database, passwords, clock, sealer, publicUrl: config.http.publicUrl, ...limits };
    const tellOfLock: TellOfLock = (transaction, lock) => queueUnlockMail(services, transaction, lock);
    const relyingParty = relyingPartyOf(config.http.publicUrl);
    const signInServices = { ...services, tellOfLock, relyingParty };
    server.on(
      'request',
      createApp({
        config,
        pool,
        signals,
        sealer,
        clock,
        health,
        developmentMailbox,
        operators: operatorsOf(pool, database),
        logger,
        signInServices,
        accountServices: {
          database,
          clock,
          sealer,
          passwords: house.passwords,
          breachedPasswords: house.breachedPasswords,
          mailBudgets: config.mail.budgets,
        },
        visitorServices: { ...signInServices, breachedPasswords },
        verifyApiKey: (key) => verifyApiKey(apiKeys.services, key),
        deviceNotes,
        apiServices: {
          database,
          clock,
          sealer,
          passwords,
          mailBudgets: config.mail.budgets,
          egressAllow: config.egressAllow,
        },
        registrationServices: { database, clock, sealer, passwords: house.passwords, mailBudgets: config.mail.budgets },
      }),
    );
    const grpc = await startGrpc(config, {
      pool,
      clock,
      logger,
      verifyKey: (key) => verifyApiKey(apiKeys.services, key),
      permissions: {
        of: ({ tenantId, subject }) => readRights(database.tenant(tenantId), subject),
        check: ({ tenantId, ...question }) => checkPermission(database.tenant(tenantId), question),
      },
      isReady: async () => (await health.ready()).status === 'ready',
    });
    await listen(server, config).catch(async (fault: unknown) => {
      await grpc?.close();
      throw fault;
    });
    if (config.databaseUrl === undefined) await rememberServedUrl(config);
    return {
      url: config.http.publicUrl,
      grpcAddress: grpc?.address,
      house,
      apiKeys,
      async close() {
        health.drain();
        signals.close();
        await Promise.all([drain(server, config.http.drainSeconds), grpc?.close()]);
        await apiKeys.close();
        await house.close();
      },
    };
  } catch (fault) {
    await house.close();
    throw fault;
  }
}

/** Only at tenants that are served: whoever is shut out at home is shut out everywhere. */
function operatorsOf(pool: ProviderPool, database: Database): Operators {
  return {
    async homes() {
      const ids = await listTenantsOfOperators(database);
      const tenants = await Promise.all(ids.map((id) => pool.findTenantById(id)));
      const served = tenants.filter((tenant) => tenant?.status === 'active');
      return Promise.all(served.flatMap((tenant) => (tenant === undefined ? [] : [pool.engineOf(tenant)])));
    },
    has: (member) => actsForInstallation({ database }, member),
  };
}

/** Where a second `npm start` on one desk would stumble over a port that nobody chose. */
const usualGrpcPort = 50_051;

/** Undefined where gRPC is off. Throws `StartupProblems`. */
async function startGrpc(config: Config, options: Omit<GrpcOptions, 'config'>): Promise<GrpcServer | undefined> {
  const { env, grpc } = config;
  if (grpc.port === 0) return undefined;
  const { startGrpcServer } = await import('#src/grpc/grpc_server.ts');
  const started = await startGrpcServer({ ...options, config });
  if (started.outcome === 'listening') return started.server;
  const { outcome: _refused, ...problem } = started;
  if (env === 'production' || grpc.port !== usualGrpcPort || started.setting !== 'POORT_GRPC_PORT')
    throw new StartupProblems([problem]);
  options.logger.warn(`gRPC is off: ${problem.problem}. ${problem.fix} (POORT_GRPC_PORT).`);
  return undefined;
}

function listen(server: Server, { http }: Config): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (fault: NodeJS.ErrnoException) => {
      const problem = fault.code === 'EADDRINUSE' ? `port ${http.port} is in use` : fault.message;
      reject(
        new StartupProblems([{ setting: 'POORT_PORT', problem, fix: 'Stop what uses it, or choose another port' }], {
          cause: fault,
        }),
      );
    });
    server.listen(http.port, http.host, resolve);
  });
}

const idleCheckMilliseconds = 25;

async function drain(server: Server, seconds: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // A connection whose last request is answered would stay open for a next one that nobody will serve.
  const idle = setInterval(() => server.closeIdleConnections(), idleCheckMilliseconds);
  const timer = setTimeout(() => server.closeAllConnections(), seconds * 1000);
  await closed;
  clearInterval(idle);
  clearTimeout(timer);
}
