/**
 * Every way to ask the history, explained as the role that serves, in a long one: nine of ten events are issued tokens, as in life. Under
 * row level security only leakproof operators may use an index, so a plan that is fine for the owner can be a scan for `poort_app`.
 */
import type { AuditFilter } from '#src/domain/audit.ts';
import { type TenantId, tenantId as toTenantId } from '#src/domain/tenant.ts';
import { eventsStatement, type PreparedStatement, scanStatement } from '#src/storage/tables/audit.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/cluster.ts';
import { connect, roleUrls, type SqlConnection } from '#test/support/sql.ts';

const tenants = 20;
const perTenant = 5_000;
const acme: TenantId = toTenantId('00000000-0000-7000-8000-000000000001');

let database: TestDatabase;
let app: SqlConnection;

beforeAll(async () => {
  database = await createTestDatabase();
  const superuser = await connect(database.superuserUrl);
  await superuser.query(
    `insert into events (tenant_id, id, occurred_at, type, outcome, actor_type, actor_id, target_type, target_id, client_id, ip, request_id)
     select ('00000000-0000-7000-8000-' || lpad(t::text, 12, '0'))::uuid, ('01900000-' || lpad(to_hex(n), 4, '0') || '-7000-8000-000000000000')::uuid,
            now(), case when n % 10 > 0 then 'token.issued' when n % 500 = 0 then 'user.locked' else 'user.signed_in' end,
            'success', 'user', 'person-' || n % 1000, 'user', 'person-' || n % 1000, 'client-' || n % 100, '192.0.2.' || n % 200, 'request-' || n
       from generate_series(1, ${tenants}) t, generate_series(1, ${perTenant}) n`,
  );
  await superuser.query('analyze events');
  await superuser.end();
  app = await connect(roleUrls(database).app);
});

afterAll(async () => {
  await app.end();
  await database.drop();
});

async function planOf({ text, values }: PreparedStatement): Promise<string> {
  await app.query('begin');
  try {
    await app.query("select set_config('app.tenant_id', $1, true)", [acme]);
    const { rows } = await app.query<Record<string, string>>(
      `explain (analyze, costs off, timing off) ${text}`,
      values,
    );
    return rows.map((row) => row['QUERY PLAN']).join('\n');
  } finally {
    await app.query('rollback');
  }
}

const inVain = (plan: string): number =>
  Math.max(0, ...[...plan.matchAll(/Rows Removed by Filter: (\d+)/g)].map((match) => Number(match[1])));

const questions: readonly (readonly [name: string, filter: AuditFilter, index: RegExp])[] = [
  ['by whom', { actorIds: ['person-10'] }, /events_by_actor/],
  ['by one of several', { actorIds: ['person-10', 'ada@acme.test'] }, /events_by_actor/],
  ['to what', { targetIds: ['person-10'] }, /events_by_target/],
  ['what', { types: ['user.locked'] }, /events_by_type/],
  ['for which client', { clientId: 'client-10' }, /events_by_client/],
  ['from where', { ip: '192.0.2.10' }, /events_by_address/],
  ['in which request', { requestId: 'request-10' }, /events_by_request/],
  ['by whom, and what', { actorIds: ['person-10'], types: ['user.locked'] }, /events_by_(actor|type)/],
];

describe('the history', () => {
  it.each(questions)('is found %s in an index, and nothing is read in vain', async (_name, filter, index) => {
    const plan = await planOf(eventsStatement({ tenantId: acme, filter, limit: 26 }));
    expect(plan).toMatch(index);
    expect(plan).not.toContain('Seq Scan');
    expect(inVain(plan)).toBeLessThanOrEqual(10);
  });

  it('is shown from the latest on without being sorted, and goes on where it stopped', async () => {
    for (const beyond of [undefined, '01900000-0800-7000-8000-000000000000']) {
      const plan = await planOf(eventsStatement({ tenantId: acme, filter: {}, beyond, limit: 26 }));
      expect(plan).not.toMatch(/Seq Scan|Sort/);
      expect(inVain(plan)).toBeLessThanOrEqual(26 * 10);
    }
  });

  it.each(['forward', 'backward'] as const)(
    'is read %s in parts that have an end, whatever is asked',
    async (direction) => {
      const scan = { tenantId: acme, direction, scan: 500, limit: 26 } as const;
      const plan = await planOf(scanStatement({ ...scan, filter: { requestId: 'nobody', since: new Date(0) } }));
      expect(plan).toMatch(/events_pkey/);
      expect(plan).not.toContain('Seq Scan');
      // As many as were read, and none before them.
      expect(inVain(plan)).toBeLessThanOrEqual(500);
    },
  );
});
