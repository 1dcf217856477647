import { createRole } from '#src/flows/access/manage_roles.ts';
import { createInvitation, listTenantInvitations, revokeInvitation } from '#src/flows/people/manage_invitations.ts';
import { changeMembershipStatus, showMember } from '#src/flows/people/manage_people.ts';
import { mailsOf } from '#test/support/mailbox.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createUserAgent } from '#test/support/user_agent.ts';
import { canSignIn, createVisitor, goodPassword, newAddress, proofFor, registered } from '#test/support/visitor.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const time = createMovableClock();
let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  server = await startTestServer({ clock: time.clock });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

function invite(email: string, roles: readonly string[] = ['viewer'], tenant = acme) {
  const context = { ...server.context, publicUrl: server.origin };
  return createInvitation(context, { tenant, policy: server.config.people, email, roles, locale: 'nl' });
}

async function accept(email: string, fields: Readonly<Record<string, string>>, tenant = acme) {
  const agent = createUserAgent(server.origin);
  const page = await agent.follow((await proofFor(server, tenant, email)).link);
  return page.status === 200 ? agent.submit(page, fields) : page;
}

const member = (email: string, tenant = acme) => showMember(server.context, { tenantId: tenant.id, email });

describe('an invitation', () => {
  it('makes an account with its roles for somebody new, whose address the link proves', async () => {
    const email = newAddress();
    expect(await invite(email, ['editor'])).toMatchObject({ outcome: 'created', mailed: true });
    expect(await member(email)).toBeUndefined();
    const done = await accept(email, { new_password: goodPassword, given_name: 'Grace', family_name: 'Hopper' });
    expect(done.url).toBe(`${acme.issuer}/invite?done=invited`);
    expect(await member(email)).toMatchObject({ email_verified: true, roles: ['editor'], given_name: 'Grace' });
    expect(await canSignIn(server, acme, { email, password: goodPassword })).toBe(true);
    const types = ['invitation.created', 'user.registered', 'email.verified', 'invitation.accepted', 'role.assigned'];
    const events = await readEvents(server.database, { tenantId: acme.id, types });
    expect(events.slice(-types.length).map(({ type }) => type)).toEqual(types);
  });

  it('gives somebody who is known a membership with its roles, and nothing else of theirs changes', async () => {
    const person = await registered(server, globex);
    await invite(person.email);
    const done = await accept(person.email, {});
    expect(done.url).toContain('done=invited');
    expect(await member(person.email)).toMatchObject({ roles: ['viewer'] });
    expect(await canSignIn(server, acme, person)).toBe(true);
  });

  it('does not take a password for somebody who is known', async () => {
    const person = await registered(server, globex);
    await invite(person.email);
    await accept(person.email, { new_password: 'quite another pass phrase', given_name: 'Mallory' });
    expect(await canSignIn(server, acme, person)).toBe(true);
    expect((await member(person.email))?.given_name).toBeNull();
  });

  it('is answered alike for a member, somebody of another tenant and nobody', async () => {
    const elsewhere = await registered(server, globex);
    for (const email of [acme.person.email, elsewhere.email, newAddress()]) {
      const { id, expiresAt, ...told } = (await invite(email)) as Extract<
        Awaited<ReturnType<typeof invite>>,
        { outcome: 'created' }
      >;
      expect(told).toEqual({ outcome: 'created', mailed: true });
      expect([typeof id, expiresAt instanceof Date]).toEqual(['string', true]);
    }
  });

  it('is good once, until it is revoked, replaced or expired', async () => {
    const [once, revoked, replaced, expired] = [newAddress(), newAddress(), newAddress(), newAddress()];
    await invite(once);
    const { link } = await proofFor(server, acme, once);
    await accept(once, { new_password: goodPassword });
    expect((await createUserAgent(server.origin).follow(link)).status).toBe(400);

    const made = await invite(revoked);
    const id = made.outcome === 'created' ? made.id : '';
    expect(await revokeInvitation(server.context, { tenantId: globex.id, id })).toEqual({ outcome: 'unknown' });
    expect(await revokeInvitation(server.context, { tenantId: acme.id, id })).toEqual({ outcome: 'revoked' });
    expect(await revokeInvitation(server.context, { tenantId: acme.id, id })).toEqual({ outcome: 'unknown' });
    expect((await accept(revoked, {})).status).toBe(400);

    await invite(replaced, ['admin']);
    const old = await proofFor(server, acme, replaced);
    await invite(replaced, ['viewer']);
    expect((await createUserAgent(server.origin).follow(old.link)).status).toBe(400);

    await invite(expired);
    time.advance(7 * 86_400 + 1);
    expect((await accept(expired, {})).status).toBe(400);
    const statuses = await listTenantInvitations(server.context, { tenantId: acme.id });
    const statusOf = (email: string) => statuses.filter((one) => one.email === email).map(({ status }) => status);
    expect([once, revoked, replaced, expired].map(statusOf)).toEqual([
      ['accepted'],
      ['revoked'],
      ['expired', 'replaced'],
      ['expired'],
    ]);
  });

  it('belongs to its tenant: at another it is nothing', async () => {
    const email = newAddress();
    await invite(email);
    const { link } = await proofFor(server, acme, email);
    expect((await createUserAgent(server.origin).follow(link.replace('/t/acme/', '/t/globex/'))).status).toBe(400);
  });

  it('gives the roles that the tenant still has', async () => {
    const role = { name: 'planner', permissions: ['plans:read'] };
    await createRole(server.context, { tenantId: acme.id, role });
    const email = newAddress();
    await invite(email, ['planner', 'viewer']);
    await queryAsSuperuser(server.database, `delete from roles where tenant_id = $1 and name = 'planner'`, [acme.id]);
    await accept(email, { new_password: goodPassword });
    expect((await member(email))?.roles).toEqual(['viewer']);
  });

  it('does not let somebody in again whom the tenant has shut out', async () => {
    const email = newAddress();
    await registered(server, acme, email);
    await changeMembershipStatus(server.context, { tenantId: acme.id, email, status: 'disabled' });
    await invite(email, ['admin']);
    const answer = await accept(email, {});
    expect(answer.status).toBe(400);
    expect(await member(email)).toMatchObject({ membership_status: 'disabled', roles: ['user'] });
  });

  it('is not made with a role that there is not, nor for what is no address', async () => {
    const before = await mailsOf(server, acme);
    expect(await invite(newAddress(), ['emperor'])).toEqual({
      outcome: 'refused',
      reason: 'unknown_role',
      roles: ['emperor'],
    });
    expect(await invite('nobody')).toEqual({ outcome: 'refused', reason: 'email' });
    expect(await mailsOf(server, acme)).toEqual(before);
  });

  it('tells why a password will not do, and stays open', async () => {
    const email = newAddress();
    await invite(email);
    const refused = await accept(email, { new_password: 'Welkom2026!' });
    expect(refused.status).toBe(400);
    expect(refused.body).toContain('href="#new_password"');
    expect((await accept(email, { new_password: goodPassword })).url).toContain('done=invited');
  });

  it('is accepted once by many who come at the same moment', async () => {
    const email = newAddress();
    await invite(email);
    const { link } = await proofFor(server, acme, email);
    const answers = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const visitor = createVisitor(server, acme);
        return visitor.agent.submit(await visitor.agent.follow(link), { new_password: goodPassword });
      }),
    );
    expect(answers.filter(({ url }) => url.includes('done=invited'))).toHaveLength(1);
  });
});
