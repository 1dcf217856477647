/** Roles given and taken away: for how long, by whom, and never so that nobody administers the tenant. */
import {
  type AssignRoleOutcome,
  assignRole,
  memberBeyond,
  rolesBeyond,
  unassignRole,
} from '#src/flows/access/assign_roles.ts';
import { readRights } from '#src/flows/access/check_permission.ts';
import { createRole } from '#src/flows/access/manage_roles.ts';
import type { FlowContext } from '#src/flows/flow_context.ts';
import { deleteMember, requestDeletion } from '#src/flows/people/leave_tenant.ts';
import { changeMembershipStatus, showMember } from '#src/flows/people/manage_people.ts';
import { listHeldRoles, listRoles } from '#src/storage/tables/roles.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type NewPerson, newPerson, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  globex = await createTestTenant(server, 'globex');
});

afterAll(() => server.close());

let tenants = 0;
// Each with a tenant of its own: who its administrators are is what these are about.
beforeEach(async () => {
  tenants += 1;
  acme = await createTestTenant(server, `acme-${tenants}`);
});

const hour = 3_600_000;
const soon = () => new Date(server.context.clock().getTime() + hour);
const asPerson = (id: string): FlowContext => ({ ...server.context, actor: { type: 'user', id } });
const inAcme = () => server.context.database.tenant(acme.id);
const rightsOf = (id: string) => readRights(inAcme(), id);

async function roleId(name: string, tenant = acme): Promise<string> {
  const roles = await server.context.database
    .tenant(tenant.id)
    .transaction((transaction) => listRoles(transaction, tenant.id));
  return roles.find((role) => role.name === name)?.id ?? '';
}

async function give(person: NewPerson, role: string, expiresAt?: Date): Promise<AssignRoleOutcome> {
  const wanted = { tenantId: acme.id, userId: person.id, roleId: await roleId(role), expiresAt };
  return assignRole(server.context, { ...wanted, by: 'operator' });
}

const take = async (userId: NewPerson['id'], role: string) =>
  unassignRole(server.context, { tenantId: acme.id, userId, roleId: await roleId(role), by: 'operator' });

/** What the clock does, without waiting for it. */
const letEnd = (userId: string) =>
  queryAsSuperuser(
    server.database,
    `update membership_roles set expires_at = now() - interval '1 second' where user_id = $1`,
    [userId],
  );

describe('a role that is given', () => {
  it('is theirs from then on, with all that it inherits, until it is taken away, and both are recorded', async () => {
    const bob = await newPerson(server, acme);
    expect(await give(bob, 'editor')).toEqual({ outcome: 'assigned' });
    expect(await give(bob, 'editor')).toEqual({ outcome: 'unchanged' });
    const rights = await rightsOf(bob.id);
    expect(rights.roles).toEqual(['editor', 'user', 'viewer']);
    expect(rights.permissions).toContain('devices:read');
    expect(await take(bob.id, 'viewer')).toEqual({ outcome: 'not_held' });
    expect(await take(bob.id, 'editor')).toEqual({ outcome: 'unassigned' });
    expect(await rightsOf(bob.id)).toEqual({ roles: [], permissions: [] });
    const events = await readEvents(server.database, {
      tenantId: acme.id,
      types: ['role.assigned', 'role.unassigned'],
    });
    const target = { target_id: bob.id };
    expect(events).toMatchObject([
      { type: 'role.assigned', ...target, data: { roles: ['editor'] } },
      { type: 'role.unassigned', ...target, data: { roles: ['editor'] } },
    ]);
  });

  it('until some moment gives nothing from that moment on', async () => {
    const bob = await newPerson(server, acme);
    expect(await give(bob, 'editor', soon())).toEqual({ outcome: 'assigned' });
    expect((await rightsOf(bob.id)).roles).toContain('editor');
    expect((await showMember(server.context, { tenantId: acme.id, email: bob.email }))?.roles).toEqual(['editor']);
    await letEnd(bob.id);
    expect(await rightsOf(bob.id)).toEqual({ roles: [], permissions: [] });
    expect((await showMember(server.context, { tenantId: acme.id, email: bob.email }))?.roles).toEqual([]);
    // And begins anew when it is given anew.
    expect(await give(bob, 'editor')).toEqual({ outcome: 'assigned' });
    expect((await rightsOf(bob.id)).roles).toContain('editor');
  });

  it('is not given until a moment that has passed', async () => {
    const bob = await newPerson(server, acme);
    expect(await give(bob, 'editor', server.context.clock())).toEqual({ outcome: 'past' });
    expect(
      await inAcme().transaction((transaction) => listHeldRoles(transaction, { tenantId: acme.id, userId: bob.id })),
    ).toEqual([]);
  });

  it('is of this tenant, and so is whoever gets it', async () => {
    const bob = await newPerson(server, acme);
    const by = 'operator' as const;
    const foreign = { tenantId: acme.id, userId: bob.id, roleId: await roleId('admin', globex), by };
    expect(await assignRole(server.context, foreign)).toEqual({ outcome: 'unknown_role' });
    const stranger = { tenantId: acme.id, userId: globex.person.id, roleId: await roleId('admin'), by };
    expect(await assignRole(server.context, stranger)).toEqual({ outcome: 'unknown_user' });
    expect(await unassignRole(server.context, stranger)).toEqual({ outcome: 'unknown_user' });
  });
});

describe('what exceeds the rights of whoever asks', () => {
  const held = new Set(['roles:write', 'users:read']);

  it('is not given, given another end, or taken away', async () => {
    const bob = await newPerson(server, acme);
    const admin = { tenantId: acme.id, roleId: await roleId('admin'), by: held };
    for (const userId of [bob.id, acme.person.id]) {
      const refused = {
        outcome: 'beyond_your_own',
        permissions: expect.arrayContaining(['keys:write', 'users:write']),
      };
      expect(await assignRole(server.context, { ...admin, userId })).toMatchObject(refused);
      expect(await assignRole(server.context, { ...admin, userId, expiresAt: soon() })).toMatchObject(refused);
      expect(await unassignRole(server.context, { ...admin, userId })).toMatchObject(refused);
    }
    expect((await rightsOf(bob.id)).roles).toEqual([]);
    expect((await rightsOf(acme.person.id)).roles).toContain('admin');
  });

  it('is told to whoever gives roles by name, or acts on people', async () => {
    const bob = await newPerson(server, acme);
    await give(bob, 'user');
    const told = await inAcme().transaction(async (transaction) => ({
      user: await rolesBeyond(transaction, { tenantId: acme.id, names: ['user', 'nothing'], by: held }),
      viewer: await rolesBeyond(transaction, { tenantId: acme.id, names: ['user', 'viewer'], by: held }),
      bob: await memberBeyond(transaction, {
        tenantId: acme.id,
        userId: bob.id,
        by: held,
        now: server.context.clock(),
      }),
      ada: await memberBeyond(transaction, {
        tenantId: acme.id,
        userId: acme.person.id,
        by: held,
        now: server.context.clock(),
      }),
    }));
    expect(told).toMatchObject({ user: [], bob: [], viewer: expect.arrayContaining(['devices:read']) });
    expect(told.ada).toContain('settings:write');
  });
});

describe('the last administrator', () => {
  const ada = () => ({ tenantId: acme.id, userId: acme.person.id });
  const leave = { undoDays: 14, undoLink: 'https://acme.test/account/delete' };
  const disable = () =>
    changeMembershipStatus(asPerson('somebody'), { tenantId: acme.id, email: acme.person.email, status: 'disabled' });

  const ways: Readonly<Record<string, () => Promise<{ readonly outcome: string } | undefined>>> = {
    'the role is taken away': () => take(acme.person.id, 'admin'),
    'the role gets an end': async () =>
      assignRole(server.context, { ...ada(), roleId: await roleId('admin'), expiresAt: soon(), by: 'operator' }),
    'somebody disables them': disable,
    'they want to leave': () => requestDeletion(asPerson(acme.person.id), { ...ada(), ...leave }),
    'they leave at once': () => requestDeletion(asPerson(acme.person.id), { ...ada(), ...leave, undoDays: 0 }),
    'somebody removes them': () => deleteMember(asPerson('somebody'), ada()),
  };

  it.each(Object.entries(ways))('stays when %s, and goes when there is another', async (_way, goes) => {
    const bob = await newPerson(server, acme);
    await give(bob, 'admin', soon());
    // Bob's ends by itself, so it does not count.
    expect(await goes()).toEqual({ outcome: 'last_administrator' });
    expect((await rightsOf(acme.person.id)).roles).toContain('admin');
    await give(bob, 'admin');
    expect(await goes()).not.toMatchObject({ outcome: 'last_administrator' });
  });

  it('is not somebody who is disabled, or leaving', async () => {
    const [bob, eve] = [await newPerson(server, acme), await newPerson(server, acme)];
    await give(bob, 'admin');
    await give(eve, 'admin');
    await changeMembershipStatus(server.context, { tenantId: acme.id, email: bob.email, status: 'disabled' });
    expect(await requestDeletion(asPerson(eve.id), { tenantId: acme.id, userId: eve.id, ...leave })).toMatchObject({
      outcome: 'requested',
    });
    expect(await take(acme.person.id, 'admin')).toEqual({ outcome: 'last_administrator' });
  });

  it('may have the role through another that inherits it', async () => {
    const role = { name: 'owner', permissions: [], inherits: 'admin' };
    expect(await createRole(server.context, { tenantId: acme.id, role })).toMatchObject({ outcome: 'created' });
    await give({ ...acme.person }, 'owner');
    expect(await take(acme.person.id, 'admin')).toEqual({ outcome: 'unassigned' });
    expect(await take(acme.person.id, 'owner')).toEqual({ outcome: 'last_administrator' });
  });

  it('is one of several who go at the same moment, in whatever way', async () => {
    const people = [
      acme.person,
      await newPerson(server, acme),
      await newPerson(server, acme),
      await newPerson(server, acme),
    ];
    for (const person of people) await give(person, 'admin');
    const [first, second, third, fourth] = people;
    const member = (person = first) => ({ tenantId: acme.id, userId: person?.id ?? acme.person.id });
    const outcomes = await Promise.all([
      take(member(first).userId, 'admin'),
      requestDeletion(asPerson('x'), { ...member(second), ...leave }),
      deleteMember(asPerson('x'), member(third)),
      changeMembershipStatus(asPerson('x'), { tenantId: acme.id, email: fourth?.email ?? '', status: 'disabled' }),
    ]);
    expect(outcomes.filter((outcome) => outcome?.outcome === 'last_administrator')).toHaveLength(1);
  });

  it('can be closed out by an operator, who can make another', async () => {
    const closed = { tenantId: acme.id, email: acme.person.email, status: 'disabled' } as const;
    expect(await changeMembershipStatus(server.context, closed)).toMatchObject({ outcome: 'changed' });
  });

  it('keeps nobody from anything in a tenant that has none', async () => {
    const bob = await newPerson(server, acme);
    await changeMembershipStatus(server.context, { tenantId: acme.id, email: acme.person.email, status: 'disabled' });
    expect(await deleteMember(asPerson('x'), { tenantId: acme.id, userId: bob.id })).toEqual({ outcome: 'deleted' });
  });
});
