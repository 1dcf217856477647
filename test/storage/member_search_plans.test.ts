/**
 * Every search for members, explained as the role that serves, in an installation of many tenants of which one is large. Under row level
 * security only leakproof operators may use an index, and `users` is everybody's: a search that began there would read all of it.
 */
import { tenantId } from '#src/domain/tenant.ts';
import {
  MEMBER_ORDERS,
  type MemberFilter,
  memberSearchStatement,
  readIndexesOnly,
} from '#src/storage/tables/members.ts';
import { listTenantTables } from '#test/support/catalogue.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/cluster.ts';
import { fillInstallation, madeTenant } from '#test/support/many_members.ts';
import { connect, roleUrls, type SqlConnection } from '#test/support/sql.ts';

const large = madeTenant(1);
const small = madeTenant(2);
const someone = '00000000-0000-7000-9000-000000004321';

let database: TestDatabase;
let app: SqlConnection;
let tables: readonly string[];
let roles: Readonly<Record<string, string>>;

beforeAll(async () => {
  database = await createTestDatabase();
  const superuser = await connect(database.superuserUrl);
  await fillInstallation(superuser, { tenants: 100, largest: 9_000, others: 6_000 });
  tables = await listTenantTables(superuser);
  const { rows } = await superuser.query<{ name: string; id: string }>(
    'select name, id from roles where tenant_id = $1',
    [large],
  );
  roles = Object.fromEntries(rows.map(({ name, id }) => [name, id]));
  await superuser.end();
  app = await connect(roleUrls(database).app);
}, 120_000);

afterAll(async () => {
  await app.end();
  await database.drop();
});

const filters: Readonly<Record<string, MemberFilter>> = {
  everybody: {},
  'an address': { emailCanonical: 'ada.11@example11.test' },
  'a beginning that many have': { text: 'a', textCanonical: 'a' },
  'a beginning that few have': { text: 'ada.11', textCanonical: 'ada.11' },
  'a beginning that nobody has': { text: 'xyz', textCanonical: 'xyz' },
  'the disabled': { status: 'disabled' },
  'the active': { status: 'active' },
  newcomers: { createdAfter: new Date('2030-01-01') },
  elders: { createdBefore: new Date('2001-01-01') },
  'a beginning among the disabled': { status: 'disabled', text: 'a', textCanonical: 'a' },
};

async function planOf(search: Parameters<typeof memberSearchStatement>[0]): Promise<string> {
  await app.query("select set_config('app.tenant_id', $1, false)", [search.tenantId]);
  const { text, values } = memberSearchStatement(search);
  await app.query('begin');
  await app.query(readIndexesOnly);
  const { rows } = await app.query<Record<string, string>>(`explain (analyze, costs off, timing off) ${text}`, values);
  await app.query('commit');
  return rows.map((row) => row['QUERY PLAN']).join('\n');
}

function scansIn(plan: string): readonly string[] {
  return [...plan.matchAll(/Seq Scan on (?:public\.)?(\w+)/g)]
    .map((match) => match[1] ?? '')
    .filter((table) => tables.includes(table));
}

describe('a search for members', () => {
  it('is made as the role that serves', async () => {
    const { rows } = await app.query('select current_user as role');
    expect(rows).toEqual([{ role: 'poort_app' }]);
  });

  describe.each([
    ['a tenant of thousands', large],
    ['a tenant of a few', small],
  ])('in %s', (_tenant, id) => {
    it.each(Object.entries(filters))('for %s reads no table from end to end, in any order', async (_name, filter) => {
      for (const order of MEMBER_ORDERS) {
        const value = order.endsWith('created_at') ? '2020-06-01T00:00:00Z' : 'm';
        for (const after of [undefined, { value, id: someone }]) {
          const plan = await planOf({ tenantId: tenantId(id), filter, order, after, limit: 26 });
          expect({ order, after, scans: scansIn(plan), plan: scansIn(plan).length > 0 ? plan : '' }).toEqual({
            order,
            after,
            scans: [],
            plan: '',
          });
          expect(plan).toMatch(/Index/);
        }
      }
    });

    it.each(['user', 'editor', 'admin'])('for %s reads no table from end to end, in any order', async (role) => {
      for (const order of MEMBER_ORDERS) {
        const plan = await planOf({ tenantId: tenantId(id), filter: { roleId: roles[role] }, order, limit: 26 });
        expect(scansIn(plan)).toEqual([]);
      }
    });
  });

  it('would be noticed here if it began at the people', async () => {
    const { rows } = await app.query<Record<string, string>>(`explain select from users where given_name like 'A%'`);
    expect(scansIn(rows.map((row) => row['QUERY PLAN']).join('\n'))).not.toEqual([]);
  });
});
