import { checkPermission, readRights } from '#src/flows/access/check_permission.ts';
import { createRole } from '#src/flows/access/manage_roles.ts';
import { addMember, changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import type { TenantDatabase } from '#src/storage/database.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let database: TenantDatabase;
let clerk: string;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  database = server.context.database.tenant(acme.id);
  const role = { name: 'clerk', permissions: ['invoices:pay'], inherits: 'viewer' };
  expect(await createRole(server.context, { tenantId: acme.id, role })).toMatchObject({ outcome: 'created' });
  const added = await addMember(server.context, {
    tenantId: acme.id,
    email: 'clerk@acme.test',
    roles: ['clerk'],
    verified: true,
  });
  if (added.outcome !== 'created') throw new Error(added.outcome);
  clerk = added.userId;
});

afterAll(() => server.close());

const ask = async (subject: string, resource: string, action: string, tenant = database): Promise<boolean> =>
  (await checkPermission(tenant, { subject, resource, action })).allowed;

describe('a permission', () => {
  it('is had by whose role lists it, inherited ones too, and by nobody else', async () => {
    expect(await ask(clerk, 'invoices', 'pay')).toBe(true);
    expect(await ask(clerk, 'devices', 'read')).toBe(true);
    expect(await ask(clerk, 'devices', 'write')).toBe(false);
    expect(await ask(acme.person.id, 'invoices', 'pay')).toBe(false);
  });

  it.each([
    ['a wildcard', '*', '*'],
    ['two permissions in one', 'invoices:pay', 'x'],
    ['an empty word', '', 'pay'],
    ['another spelling', 'Invoices', 'pay'],
    ['a NUL', 'invoices\0', 'pay'],
  ])('that is %s nobody has', async (_what, resource, action) => {
    expect(await ask(clerk, resource, action)).toBe(false);
  });

  it.each(['nobody', '', "' or 1=1", '00000000-0000-7000-8000-000000000000', '\0'])(
    'is not had by %j, who is nobody',
    async (subject) => {
      expect(await ask(subject, 'invoices', 'pay')).toBe(false);
      expect(await readRights(database, subject)).toEqual({ roles: [], permissions: [] });
    },
  );

  it('is not told to another tenant', async () => {
    expect(await ask(clerk, 'invoices', 'pay', server.context.database.tenant(globex.id))).toBe(false);
  });

  it('is gone at once with the membership', async () => {
    const member = { tenantId: acme.id, email: 'clerk@acme.test' };
    await changeMembershipStatus(server.context, { ...member, status: 'disabled' });
    expect(await ask(clerk, 'invoices', 'pay')).toBe(false);
    await changeMembershipStatus(server.context, { ...member, status: 'active' });
    expect(await ask(clerk, 'invoices', 'pay')).toBe(true);
  });

  it('costs one round trip, and none for who cannot be anybody', async () => {
    const { database: house } = server.context;
    const before = house.roundTrips();
    await ask(clerk, 'invoices', 'pay');
    expect(house.roundTrips() - before).toBe(1);
    await ask('nobody', 'invoices', 'pay');
    expect(house.roundTrips() - before).toBe(1);
  });
});
