import { addMember, changeMembershipStatus, showMember } from '#src/flows/people/manage_people.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

describe('a member', () => {
  let server: TestServer;
  let acme: TestTenant;
  let globex: TestTenant;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    globex = await createTestTenant(server, 'globex');
  });

  afterAll(() => server.close());

  const add = (tenant: TestTenant, email: string, more: Partial<Parameters<typeof addMember>[1]> = {}) =>
    addMember(server.context, { tenantId: tenant.id, email, roles: [], verified: false, ...more });
  const personByEmail = async (email: string) =>
    (
      await queryAsSuperuser<{ id: string; email: string; password_hash: string | null; given_name: string | null }>(
        server.database,
        'select id, email::text, password_hash, given_name from users where email_canonical = $1',
        [email],
      )
    )[0];

  it('is created with the e-mail address as written, roles and an event without the address', async () => {
    const added = await add(acme, 'Grace.Hopper@People.Test', {
      password: 'a long enough password',
      roles: ['editor', 'user'],
      givenName: 'Grace',
    });
    expect(added).toMatchObject({ outcome: 'created', email: expect.stringContaining('Grace.Hopper@') });
    const member = await showMember(server.context, { tenantId: acme.id, email: 'grace.hopper@people.test' });
    expect(member).toMatchObject({ roles: ['editor', 'user'], membership_status: 'active', given_name: 'Grace' });
    expect((await personByEmail('grace.hopper@people.test'))?.password_hash).toMatch(/^\$argon2id\$/);
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['user.created'] });
    const own = events.find(({ target_id }) => target_id === member?.id);
    expect(own).toMatchObject({ actor_type: 'operator', data: { roles: ['editor', 'user'] } });
    expect(JSON.stringify(events)).not.toMatch(/@|a long enough password/);
  });

  it.each([
    ['an address that is none', 'nobody at all', {}, 'email'],
    ['a password that is too short', 'short@people.test', { password: 'short' }, 'password_too_short'],
    ['a password with a NUL', 'nul@people.test', { password: 'long enough\0but' }, 'password_forbidden_character'],
    ['a role that is none', 'role@people.test', { roles: ['emperor'] }, 'unknown_role'],
    ['a name of two lines', 'name@people.test', { givenName: 'A\nB' }, 'name'],
  ])('is refused with %s, and nothing remains', async (_what, email, more, reason) => {
    expect(await add(acme, email, more)).toMatchObject({ outcome: 'refused', reason });
    expect(await personByEmail(email)).toBeUndefined();
  });

  it('is added once, however the address is spelled and however many try', async () => {
    const spellings = ['twice@people.test', 'TWICE@people.test', ' Twice@People.Test', 'twice@PEOPLE.test'];
    const outcomes = await Promise.all(spellings.map((email) => add(acme, email)));
    expect(outcomes.filter(({ outcome }) => outcome === 'created')).toHaveLength(1);
    for (const outcome of outcomes.filter((each) => each.outcome === 'refused'))
      expect(outcome).toMatchObject({ reason: 'already_a_member' });
  });

  it('who is known elsewhere joins as the person they are: nothing of theirs changes', async () => {
    const before = await personByEmail(acme.person.email);
    const joined = await add(globex, acme.person.email, { roles: ['viewer'], givenName: 'Not Ada', verified: true });
    expect(joined).toEqual({
      outcome: 'joined',
      userId: acme.person.id,
      email: acme.person.email,
      passwordMatches: undefined,
    });
    expect(await personByEmail(acme.person.email)).toEqual(before);
    const there = await showMember(server.context, { tenantId: globex.id, email: acme.person.email });
    const here = await showMember(server.context, { tenantId: acme.id, email: acme.person.email });
    expect(there?.roles).toEqual(['viewer']);
    expect(here?.roles).toEqual(['admin']);
    expect(await readEvents(server.database, { tenantId: globex.id, types: ['membership.added'] })).toHaveLength(1);
  });

  it('who is known elsewhere keeps their password, and the caller is told', async () => {
    await add(acme, 'kept@people.test', { password: 'the first password', verified: true });
    const before = await personByEmail('kept@people.test');
    expect(await add(globex, 'kept@people.test', { password: 'another password' })).toMatchObject({
      outcome: 'joined',
      passwordMatches: false,
    });
    expect(await personByEmail('kept@people.test')).toEqual(before);
  });

  it('whose address nobody has proven is made anew for another tenant: what was set before opens nothing', async () => {
    await add(acme, 'early@people.test', { password: 'of whoever was first', givenName: 'Mallory' });
    const before = await personByEmail('early@people.test');
    const added = await add(globex, 'early@people.test', { password: 'another password', verified: true });
    expect(added).toMatchObject({ outcome: 'created', userId: before?.id });
    const after = await personByEmail('early@people.test');
    expect(after?.given_name).toBeNull();
    expect(after?.password_hash).not.toBe(before?.password_hash);
  });

  it('is not to be seen from another tenant', async () => {
    await add(acme, 'hidden@people.test');
    expect(await showMember(server.context, { tenantId: globex.id, email: 'hidden@people.test' })).toBeUndefined();
    const change = { tenantId: globex.id, email: 'hidden@people.test', status: 'disabled' } as const;
    expect(await changeMembershipStatus(server.context, change)).toBeUndefined();
    const member = await showMember(server.context, { tenantId: acme.id, email: 'hidden@people.test' });
    expect(member?.membership_status).toBe('active');
  });

  it('is disabled in one tenant and stays what they are in the other', async () => {
    await add(acme, 'two@people.test');
    await add(globex, 'two@people.test');
    const change = { tenantId: acme.id, email: 'TWO@people.test', status: 'disabled' } as const;
    expect(await changeMembershipStatus(server.context, change)).toMatchObject({ outcome: 'changed' });
    expect(await changeMembershipStatus(server.context, change)).toMatchObject({ outcome: 'unchanged' });
    const status = async (tenant: TestTenant) =>
      (await showMember(server.context, { tenantId: tenant.id, email: 'two@people.test' }))?.membership_status;
    expect([await status(acme), await status(globex)]).toEqual(['disabled', 'active']);
    expect(await readEvents(server.database, { tenantId: acme.id, types: ['user.disabled'] })).toHaveLength(1);
    expect(await changeMembershipStatus(server.context, { ...change, status: 'active' })).toMatchObject({
      outcome: 'changed',
    });
    expect(await changeMembershipStatus(server.context, { ...change, email: 'no@people.test' })).toBeUndefined();
  });
});
