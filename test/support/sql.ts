/**
 * SQL as somebody: connections of the tests' own, as each role, for looking at a database from outside the product. Also what
 * can be observed of other connections. Nothing here knows a table.
 */
import pg from 'pg';
import { type DatabaseUrls, databaseUrls } from '#src/storage/database_roles.ts';
import { createTestSealer, type TestDatabase } from './cluster.ts';

export interface SqlOutcome<Row> {
  readonly rows: readonly Row[];
  readonly rowCount: number;
}

export interface SqlConnection {
  query<Row extends object>(text: string, values?: readonly unknown[]): Promise<SqlOutcome<Row>>;
  /** SQLSTATE of the refusal, or `done` when the statement was not refused; what it did is rolled back either way. */
  attempt(text: string, values?: readonly unknown[]): Promise<string>;
  /** Messages of the server, as `client_min_messages` lets them through. */
  readonly notices: readonly string[];
  /** Drops the connection on the floor, as a killed process does: nothing is said to the server. */
  vanish(): void;
  end(): Promise<void>;
}

/** How each role connects to this database. */
export function roleUrls(database: Pick<TestDatabase, 'ownerUrl'>): DatabaseUrls {
  return databaseUrls(database.ownerUrl, createTestSealer());
}

export async function connect(url: string): Promise<SqlConnection> {
  const client = new pg.Client({ connectionString: url, application_name: 'poort test' });
  const notices: string[] = [];
  client.on('notice', ({ message }) => void notices.push(message ?? ''));
  client.on('error', () => undefined);
  await client.connect();
  let savepoints = 0;

  async function query<Row extends object>(text: string, values: readonly unknown[] = []): Promise<SqlOutcome<Row>> {
    const { rows, rowCount } = await client.query<Row>(text, [...values]);
    return { rows, rowCount: rowCount ?? 0 };
  }

  return {
    query,
    notices,
    async attempt(text, values) {
      savepoints += 1;
      const name = `attempt_${savepoints}`;
      const inTransaction = await isInTransaction(client);
      await client.query(inTransaction ? `savepoint ${name}` : 'begin');
      try {
        await query(text, values);
        return 'done';
      } catch (fault) {
        if (fault instanceof pg.DatabaseError) return fault.code ?? 'unknown';
        throw fault;
      } finally {
        await client.query(inTransaction ? `rollback to savepoint ${name}` : 'rollback');
      }
    },
    vanish() {
      const { stream } = (client as unknown as { connection: { stream: { destroy(): void } } }).connection;
      stream.destroy();
    },
    end: () => client.end(),
  };
}

/** A transaction that began in an earlier statement is older than this one. */
async function isInTransaction(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ inside: boolean }>('select now() <> statement_timestamp() as inside');
  return rows[0]?.inside === true;
}

/** Connects, works, disconnects. */
export async function withConnection<Result>(
  url: string,
  work: (connection: SqlConnection) => Promise<Result>,
): Promise<Result> {
  const connection = await connect(url);
  try {
    return await work(connection);
  } finally {
    await connection.end();
  }
}

/**
 * Ends every connection of the product to this database as an operator would, and resolves when the server has let go of them.
 * @returns how many there were.
 */
export async function terminateProductConnections(superuserUrl: string, condition = 'true'): Promise<number> {
  return withConnection(superuserUrl, async (superuser) => {
    const { rows } = await superuser.query<{ pid: number }>(
      // In two steps: PostgreSQL may ask conditions in any order, and this one has consequences.
      `with chosen as materialized (
         select pid from pg_stat_activity
          where datname = current_database() and application_name = 'poort' and ${condition})
       select pid, pg_terminate_backend(pid, 5000) from chosen`,
    );
    return rows.length;
  });
}

/**
 * Resolves when the condition holds; rejects, naming it, when it does not within the time. The pause between two looks is no
 * guess about how long something takes: it only keeps the waiting from being busy.
 */
export async function eventually(
  name: string,
  condition: () => Promise<boolean> | boolean,
  withinMilliseconds = 10_000,
): Promise<void> {
  const deadline = performance.now() + withinMilliseconds;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMilliseconds} ms: ${name}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
  }
}
