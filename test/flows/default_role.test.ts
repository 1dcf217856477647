/** The role of whoever lets themselves in: a tenant's to choose, and never one that manages it. */
import { createRole, deleteRole, updateRole } from '#src/flows/access/manage_roles.ts';
import type { FlowContext } from '#src/flows/flow_context.ts';
import { showMember } from '#src/flows/people/manage_people.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createVisitor, newAddress, registered } from '#test/support/visitor.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const name = 'people.default_role';

let server: TestServer;
let acme: TestTenant;
let tenants = 0;

beforeAll(async () => {
  server = await startTestServer();
});

afterAll(() => server.close());

beforeEach(async () => {
  tenants += 1;
  acme = await createTestTenant(server, `acme-${tenants}`);
});

const choose = (value: string | undefined, context: FlowContext = server.context, by?: ReadonlySet<string>) =>
  configureTenant(context, { id: acme.id, changes: [{ name, value }], by });

async function newRole(role: Parameters<typeof createRole>[1]['role']): Promise<string> {
  const created = await createRole(server.context, { tenantId: acme.id, role });
  if (created.outcome !== 'created') throw new Error(created.outcome);
  return created.id;
}

/** Somebody who lets themselves in; the server hears of a setting a moment later. */
async function rolesOfNewcomer(expected: readonly string[]): Promise<void> {
  const { email } = await registered(server, acme);
  const member = await showMember(server.context, { tenantId: acme.id, email });
  expect(member?.roles).toEqual(expected);
}

/** Until a page of the tenant shows that its engine was built anew. */
async function heard(): Promise<void> {
  const marker = `https://terms.test/${newAddress().replace('@', '/')}`;
  await configureTenant(server.context, { id: acme.id, changes: [{ name: 'links.terms', value: marker }] });
  while (!(await createVisitor(server, acme).open('signup')).body.includes(marker));
}

describe('the default role', () => {
  it('is what the tenant says, and user where it says nothing', async () => {
    await rolesOfNewcomer(['user']);
    await newRole({ name: 'customer', permissions: ['orders:read'] });
    expect(await choose('customer')).toEqual({ outcome: 'changed' });
    await heard();
    await rolesOfNewcomer(['customer']);
    expect(await choose('')).toEqual({ outcome: 'changed' });
    await heard();
    await rolesOfNewcomer([]);
  });

  it('is none that is not there or manages the tenant, itself or by what it inherits', async () => {
    await newRole({ name: 'quiet-admin', permissions: [], inherits: 'admin' });
    const refused = (problem: string) => ({ outcome: 'refused', faults: [{ name, problem }] });
    expect(await choose('nothing')).toEqual(refused('unknown_role'));
    for (const role of ['admin', 'viewer', 'quiet-admin'])
      expect(await choose(role)).toEqual(refused('manages_the_tenant'));
  });

  it('is not set to more than whoever sets it holds', async () => {
    await newRole({ name: 'payer', permissions: ['invoices:pay'] });
    const person: FlowContext = { ...server.context, actor: { type: 'user', id: acme.person.id } };
    const refused = { outcome: 'refused', faults: [{ name, problem: 'beyond_your_own' }] };
    expect(await choose('payer', person, new Set(['settings:write']))).toEqual(refused);
    // Who does not say by which rights has none.
    expect(await choose('payer', person)).toEqual(refused);
    expect(await choose('payer', person, new Set(['settings:write', 'invoices:pay']))).toEqual({ outcome: 'changed' });
  });

  it('is not given once it has come to manage the tenant, or is gone', async () => {
    const id = await newRole({ name: 'customer', permissions: [] });
    await choose('customer');
    await heard();
    const change = { inherits: 'editor' };
    expect(await updateRole(server.context, { tenantId: acme.id, id, change })).toMatchObject({ outcome: 'updated' });
    await rolesOfNewcomer([]);
    expect(await deleteRole(server.context, { tenantId: acme.id, id })).toEqual({ outcome: 'deleted' });
    await rolesOfNewcomer([]);
  });
});
