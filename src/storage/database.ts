/**
 * The cellar door: the only module that can get a connection to PostgreSQL. It hands out work that is already bound to one
 * tenant (`tenant`), or the few things the platform may do without one (`platform`). It knows no table.
 *
 * Three kinds of connections, each for a measured reason (docs/decisions/0004): a few shared, pipelined ones for reads; an
 * exclusive pool for durable writes, where a commit that waits for the disk must not hold up anyone else; one that listens.
 */
import pg from 'pg';
import type { TenantId } from '#src/domain/tenant.ts';
import { type Counters, createCounters } from './counters.ts';
import type { RedisConnection } from './redis.ts';

/** A named statement whose `$1` is always the tenant. Named, so that it is parsed once per connection. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

export interface Transaction {
  /** Runs one parametrised statement. Row level security is in force; nothing outside the tenant exists. */
  query<Row extends object>(text: string, values?: readonly unknown[]): Promise<readonly Row[]>;
}

export interface TenantDatabase {
  readonly tenantId: TenantId;
  /** One round trip on a shared connection. Only for functions that change nothing; retried once when a connection broke. */
  read<Row extends object>(statement: Statement, values: readonly unknown[]): Promise<readonly Row[]>;
  /** One round trip on an exclusive connection, durable when it resolves. Rejects with `LostRace` for SQLSTATE PT409. */
  write<Row extends object>(statement: Statement, values: readonly unknown[]): Promise<readonly Row[]>;
  /** Like `write`, on a connection that is kept for it: for the few commits that many requests share (group_commit.ts). */
  writeShared<Row extends object>(statement: Statement, values: readonly unknown[]): Promise<readonly Row[]>;
  /** Several statements that happen together or not at all. */
  transaction<Result>(work: (transaction: Transaction) => Promise<Result>): Promise<Result>;
}

export interface ChangeListener {
  /** Something that caches keep is another now. */
  readonly onChange?: (payload: string) => void;
  /** Something has ended. */
  readonly onSignal?: (payload: string) => void;
  /** Told whenever changes may have been missed: what was cached is worth nothing. */
  readonly onInterrupted: () => void;
}

export interface Database {
  tenant(tenantId: TenantId): TenantDatabase;
  /** As `poort_platform`: sees tenants, and other tables only through functions made for it. */
  readonly platform: {
    query<Row extends object>(text: string, values?: readonly unknown[]): Promise<readonly Row[]>;
    /** Works unless somebody does under the same lock, in any process: then undefined. A process that dies lets go of it. */
    exclusively<Result>(lock: number, work: () => Promise<Result>): Promise<Result | undefined>;
  };
  /** Listens for the announcements of migrations/0003 and 0032; resolves once listening. Reconnects by itself. */
  listen(listener: ChangeListener): Promise<void>;
  /** False while announcements cannot be heard: caches must not be believed then. */
  isListening(): boolean;
  /** Counts of attempts: here, or in Redis where there is one. */
  readonly counters: Counters;
  /** Round trips to PostgreSQL since the start. */
  roundTrips(): number;
  close(): Promise<void>;
}

/** A single-use value was already used by someone else: a refusal, never a fault. `kind` says which. */
export class LostRace extends Error {
  readonly kind: string;

  constructor(kind: string, cause: unknown) {
    super(`a ${kind} was already used`, { cause });
    this.name = 'LostRace';
    this.kind = kind;
  }
}

export interface DatabaseOptions {
  readonly appUrl: string;
  readonly platformUrl: string;
  /** Other passwords that the roles may have just now, see database_roles.ts. */
  readonly otherUrls?: readonly { readonly app: string; readonly platform: string }[];
  readonly readConnections?: number;
  readonly writeConnections?: number;
  readonly statementTimeoutMilliseconds?: number;
  /** Whoever opened it closes it. */
  readonly redis?: RedisConnection | undefined;
  /** Faults of idle connections, which no caller waits for. */
  readonly onFault: (fault: unknown) => void;
}

const raceLost = 'PT409';
const changesChannel = 'poort_changes';
const signalsChannel = 'poort_signals';
const reconnectMilliseconds = 250;
/** Twice this is how long a silent connection is believed: what changes must hold everywhere within a second. */
const watchMilliseconds = 400;
const looksUntilLost = 6;

const deadlockAttempts = 3;

/** Opens the pools lazily: nothing is connected before the first statement. */
export function openDatabase(options: DatabaseOptions): Database {
  const common = {
    pipeline: true,
    keepAlive: true,
    application_name: 'poort',
    statement_timeout: options.statementTimeoutMilliseconds ?? 5_000,
    idle_in_transaction_session_timeout: 10_000,
    connectionTimeoutMillis: 5_000,
  };
  const otherUrls = options.otherUrls ?? [];
  const appLogin = new Login(common, [options.appUrl, ...otherUrls.map((urls) => urls.app)]);
  const platformLogin = new Login(common, [options.platformUrl, ...otherUrls.map((urls) => urls.platform)]);
  let roundTrips = 0;
  const count = (): void => {
    roundTrips += 1;
  };

  const readers = new SharedConnections(appLogin, options.readConnections ?? 2, options.onFault);
  // As many as commits may be under way: none waits behind another's disk.
  const sharedWriters = new SharedConnections(appLogin, 2, options.onFault);
  let closing = false;
  const writers = appLogin.createPool({ max: options.writeConnections ?? 10, idleTimeoutMillis: 30_000 });
  const platform = platformLogin.createPool({ max: 2, idleTimeoutMillis: 10_000 });
  // A connection that is being put away may still hear that the database goes: nobody needs it any more.
  const onIdleFault = (fault: unknown): void => {
    if (!closing) options.onFault(fault);
  };
  for (const pool of [writers, platform]) pool.on('error', onIdleFault);
  const changes = new ChangesConnection(appLogin, options.onFault);

  const onWriter = <Result>(work: (client: pg.PoolClient) => Promise<Result>): Promise<Result> =>
    onConnectionOf(appLogin, writers, work);

  async function onConnectionOf<Result>(
    login: Login,
    pool: pg.Pool,
    work: (client: pg.PoolClient) => Promise<Result>,
  ): Promise<Result> {
    const client = await login.connect(() => pool.connect());
    let broken: Error | undefined;
    // A connection that breaks tells its statements, and itself: nobody listens to a client that is checked out but we, and an
    // error that nobody hears ends the process.
    const onError = (fault: Error): void => {
      broken = fault;
    };
    client.on('error', onError);
    try {
      return await work(client);
    } catch (fault) {
      if (isConnectionFault(fault)) broken = fault;
      throw translate(fault);
    } finally {
      client.release(broken);
      // Last: a broken connection may say so once more while it is put away.
      if (broken === undefined) client.off('error', onError);
    }
  }

  /** Begins anew, from nothing, when two waited for each other and this one was chosen to give way. */
  async function transactionOf<Result>(
    tenantId: TenantId,
    work: (transaction: Transaction) => Promise<Result>,
  ): Promise<Result> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await transactOnce(tenantId, work);
      } catch (fault) {
        if (attempt === deadlockAttempts || !isDeadlock(fault)) throw fault;
      }
    }
  }

  function transactOnce<Result>(
    tenantId: TenantId,
    work: (transaction: Transaction) => Promise<Result>,
  ): Promise<Result> {
    return onWriter(async (client) => {
      // Sent together with the first statement's wait: begin and tenant cost one round trip, and if either fails every
      // later statement fails with it.
      const begun = Promise.all([
        client.query('begin'),
        client.query("select set_config('app.tenant_id', $1, true)", [tenantId]),
      ]);
      count();
      try {
        await begun;
        const result = await work({
          async query<Row extends object>(text: string, values: readonly unknown[] = []) {
            count();
            return (await client.query<Row>(text, [...values])).rows;
          },
        });
        count();
        await client.query('commit');
        return result;
      } catch (fault) {
        if (!isConnectionFault(fault)) await client.query('rollback');
        throw fault;
      }
    });
  }

  const tenant = (tenantId: TenantId): TenantDatabase => ({
    tenantId,

    async read<Row extends object>(statement: Statement, values: readonly unknown[]) {
      const query = { name: statement.name, text: statement.text, values: [tenantId, ...values] };
      count();
      try {
        return (await readers.query<Row>(query)).rows;
      } catch (fault) {
        if (!isConnectionFault(fault)) throw fault;
        count();
        return (await readers.query<Row>(query)).rows;
      }
    },

    async write<Row extends object>(statement: Statement, values: readonly unknown[]) {
      count();
      return onWriter(async (client) => {
        const query = { name: statement.name, text: statement.text, values: [tenantId, ...values] };
        return (await client.query<Row>(query)).rows;
      });
    },

    async writeShared<Row extends object>(statement: Statement, values: readonly unknown[]) {
      count();
      const query = { name: statement.name, text: statement.text, values: [tenantId, ...values] };
      return (await sharedWriters.query<Row>(query)).rows;
    },

    transaction: (work) => transactionOf(tenantId, work),
  });

  return {
    tenant,
    counters: createCounters({ tenant, redis: options.redis }),

    platform: {
      async query<Row extends object>(text: string, values: readonly unknown[] = []) {
        count();
        return onConnectionOf(
          platformLogin,
          platform,
          async (client) => (await client.query<Row>(text, [...values])).rows,
        );
      },

      async exclusively<Result>(lock: number, work: () => Promise<Result>) {
        count();
        // A connection of its own, for as long as the work takes: the lock is the connection's.
        const client = await platformLogin.connect(async () => {
          const connection = new pg.Client(platformLogin.options());
          connection.on('error', options.onFault);
          await connection.connect();
          return connection;
        });
        try {
          const { rows } = await client.query<{ ours: boolean }>('select pg_try_advisory_lock($1) as ours', [lock]);
          return rows[0]?.ours === true ? await work() : undefined;
        } finally {
          await client.end();
        }
      },
    },

    listen: (listener) => changes.listen(listener),
    isListening: () => changes.listening,
    roundTrips: () => roundTrips,

    async close() {
      closing = true;
      await Promise.all([changes.close(), readers.close(), sharedWriters.close(), writers.end(), platform.end()]);
    },
  };
}

const passwordRefused = '28P01';

/**
 * How a role signs in to PostgreSQL: with the first of these addresses, or, when its password is refused, with the next one, which
 * is then believed until it is refused itself. While master keys are exchanged the role has the password of one or of the other.
 */
class Login {
  readonly #options: pg.ClientConfig;
  readonly #urls: readonly [string, ...string[]];
  readonly #pools: pg.Pool[] = [];
  #current = 0;

  constructor(options: pg.ClientConfig, urls: readonly [string, ...string[]]) {
    this.#options = options;
    this.#urls = urls;
  }

  options(): pg.ClientConfig {
    return { ...this.#options, connectionString: this.#urls[this.#current] };
  }

  createPool(size: { readonly max: number; readonly idleTimeoutMillis: number }): pg.Pool {
    const pool = new pg.Pool({ ...this.options(), ...size });
    this.#pools.push(pool);
    return pool;
  }

  async connect<Connection>(attempt: () => Promise<Connection>): Promise<Connection> {
    for (let refusals = 0; ; refusals += 1) {
      const tried = this.#current;
      try {
        return await attempt();
      } catch (fault) {
        const isRefused = fault instanceof pg.DatabaseError && fault.code === passwordRefused;
        if (!isRefused || refusals + 1 >= this.#urls.length) throw fault;
        // Another connection may have turned to the next one meanwhile.
        if (tried === this.#current) this.#turn();
      }
    }
  }

  #turn(): void {
    this.#current = (this.#current + 1) % this.#urls.length;
    for (const pool of this.#pools) Object.assign(pool.options, { connectionString: this.#urls[this.#current] });
  }
}

interface Slot {
  client?: pg.Client | undefined;
  connecting?: Promise<pg.Client> | undefined;
}

/** A few connections that all requests share: their statements travel in one pipeline and fewer wake-ups are needed. */
class SharedConnections {
  readonly #login: Login;
  readonly #onFault: (fault: unknown) => void;
  readonly #slots: readonly Slot[];
  #next = 0;
  #closed = false;

  constructor(login: Login, size: number, onFault: (fault: unknown) => void) {
    this.#login = login;
    this.#onFault = onFault;
    this.#slots = Array.from({ length: size }, () => ({}));
  }

  async query<Row extends object>(query: pg.QueryConfig): Promise<pg.QueryResult<Row>> {
    this.#next = (this.#next + 1) % this.#slots.length;
    const slot = this.#slots[this.#next];
    if (slot === undefined) throw new Error('there are no shared connections');
    const client = slot.client ?? (await this.#connect(slot));
    return client.query<Row>(query);
  }

  #connect(slot: Slot): Promise<pg.Client> {
    if (this.#closed) return Promise.reject(new Error('the database is closed'));
    slot.connecting ??= this.#login
      .connect(() => this.#open(slot))
      .finally(() => {
        slot.connecting = undefined;
      });
    return slot.connecting;
  }

  async #open(slot: Slot): Promise<pg.Client> {
    const client = new pg.Client(this.#login.options());
    const gone = (fault?: unknown): void => {
      if (slot.client === client) slot.client = undefined;
      if (fault !== undefined && !this.#closed) this.#onFault(fault);
    };
    client.on('error', gone);
    client.on('end', () => gone());
    await client.connect();
    slot.client = client;
    return client;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(
      this.#slots.map(async (slot) => {
        await slot.connecting?.catch(() => undefined);
        await slot.client?.end();
      }),
    );
  }
}

/** The one connection that hears of changes; while it is away, `listening` is false and everyone must look for themselves. */
class ChangesConnection {
  readonly #login: Login;
  readonly #onFault: (fault: unknown) => void;
  #client: pg.Client | undefined;
  #retry: NodeJS.Timeout | undefined;
  #connected: Promise<void> | undefined;
  readonly #listeners: ChangeListener[] = [];
  #closed = false;
  listening = false;

  constructor(login: Login, onFault: (fault: unknown) => void) {
    this.#login = login;
    this.#onFault = onFault;
  }

  async listen(listener: ChangeListener): Promise<void> {
    this.#listeners.push(listener);
    if (this.#listeners.length === 1) this.#connected = this.#connect();
    await this.#connected;
  }

  async #connect(): Promise<void> {
    const client = await this.#login.connect(() => this.#open());
    await client.query(`listen ${changesChannel}; listen ${signalsChannel}`);
    // Closed meanwhile: nobody else would end this one, and an open connection keeps the process alive.
    if (this.#closed) return client.end();
    this.#client = client;
    this.#interrupt();
    this.listening = true;
    this.#watch(client);
  }

  async #open(): Promise<pg.Client> {
    const client = new pg.Client({ ...this.#login.options(), pipeline: false, statement_timeout: 0 });
    client.on('notification', ({ channel, payload = '' }) => {
      for (const listener of this.#listeners) {
        if (channel === signalsChannel) listener.onSignal?.(payload);
        else listener.onChange?.(payload);
      }
    });
    client.on('error', (fault) => this.#lost(client, fault));
    client.on('end', () => this.#lost(client));
    await client.connect();
    return client;
  }

  /**
   * A network that swallows everything closes nothing. A connection that has not answered between two looks is not believed, and
   * nothing cached is, until it does; one that stays silent is lost. Most silences are a busy machine's, and worth no word.
   */
  #watch(client: pg.Client): void {
    let silentLooks = 0;
    const timer = setInterval(() => {
      if (this.#closed || this.#client !== client) {
        clearInterval(timer);
        return;
      }
      if (silentLooks === looksUntilLost) {
        clearInterval(timer);
        this.#lost(client, new Error('the connection that hears of changes does not answer'));
        client.end().catch(this.#onFault);
        return;
      }
      silentLooks += 1;
      if (silentLooks === 1) {
        client.query('select 1').then(
          () => {
            silentLooks = 0;
            if (this.#client === client) this.#believe(true);
          },
          () => undefined,
        );
      } else this.#believe(false);
    }, watchMilliseconds);
    timer.unref();
  }

  /** What was announced meanwhile has been heard, in its order, before the answer; what was cached in doubt is forgotten all the same. */
  #believe(listening: boolean): void {
    if (this.listening === listening) return;
    this.listening = listening;
    this.#interrupt();
  }

  #interrupt(): void {
    for (const listener of this.#listeners) listener.onInterrupted();
  }

  #lost(client: pg.Client, fault?: unknown): void {
    if (this.#closed || this.#client !== client) return;
    this.#client = undefined;
    this.listening = false;
    this.#interrupt();
    if (fault !== undefined) this.#onFault(fault);
    this.#reconnect();
  }

  #reconnect(): void {
    this.#retry = setTimeout(() => {
      if (this.#closed) return;
      this.#connect().catch((fault: unknown) => {
        this.#onFault(fault);
        this.#reconnect();
      });
    }, reconnectMilliseconds);
    this.#retry.unref();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.listening = false;
    clearTimeout(this.#retry);
    await this.#client?.end();
  }
}

function isConnectionFault(fault: unknown): fault is Error {
  if (!(fault instanceof Error)) return false;
  const code = 'code' in fault && typeof fault.code === 'string' ? fault.code : '';
  return (
    ['ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'ETIMEDOUT', '57P01', '57P02', '57P03'].includes(code) ||
    code.startsWith('08') ||
    /^(Connection terminated|Client has encountered a connection error|Client was closed)/.test(fault.message)
  );
}

/** Whether the database cannot be reached or has no room right now: trying again later may help, and nobody has to repair a thing. */
export function isUnavailable(fault: unknown): boolean {
  if (isConnectionFault(fault)) return true;
  if (!(fault instanceof Error)) return false;
  const { message } = fault as Error;
  const code = 'code' in fault ? String(fault.code) : '';
  return (
    unavailableStates.has(code) ||
    code.startsWith('53') ||
    /^(timeout exceeded when trying to connect|timeout expired)/.test(message)
  );
}

/** SQLSTATE deadlock_detected: all of this one was undone, and the other goes on. */
function isDeadlock(fault: unknown): boolean {
  return fault instanceof pg.DatabaseError && fault.code === '40P01';
}

/** No such database, and one that takes no connections: both while an operator restores or moves it. */
const unavailableStates: ReadonlySet<string> = new Set(['3D000', '55000']);

function translate(fault: unknown): unknown {
  if (!(fault instanceof pg.DatabaseError) || fault.code !== raceLost) return fault;
  return new LostRace(fault.detail ?? 'value', fault);
}
