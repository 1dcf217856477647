/**
 * Row C17, accounts taken over by an address that nobody had proven (CVE-2026-9092, GHSA-g38m-r43w-p2q7, CVE-2026-9087): an attacker is
 * first with a stranger's address. Whichever way the stranger comes later, the attacker has nothing: no password, factor, session,
 * token, remembered browser or mailed link of theirs opens anything at any tenant.
 */

import { type UserId, userId } from '#src/domain/user.ts';
import { requestEmailChange } from '#src/flows/people/change_email.ts';
import { createInvitation } from '#src/flows/people/manage_invitations.ts';
import type { VisitorContext } from '#src/flows/proofs/visitor_context.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { mailsOf } from '#test/support/mailbox.ts';
import { giveBackupCodes, giveTotp } from '#test/support/second_factor.ts';
import { signInServicesOf } from '#test/support/sign_in.ts';
import { eventually } from '#test/support/sql.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  callEndpoint,
  createUserAgent,
  exchangeCode,
  type UserAgent,
} from '#test/support/user_agent.ts';
import {
  canSignIn,
  createVisitor,
  goodPassword,
  newAddress,
  personOf,
  proofFor,
  registered,
} from '#test/support/visitor.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const attackers = 'zonnebloem fiets kwartaal';
let server: TestServer;
/** Does without verification. */
let lax: TestTenant;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  lax = await createTestTenant(server, 'lax');
  acme = await createTestTenant(server, 'acme');
  const changes = [{ name: 'people.email_verification', value: 'optional' }] as const;
  await configureTenant(server.context, { id: lax.id, changes });
  const probe = newAddress();
  await eventually('the tenant does without verification', async () => {
    await createVisitor(server, lax).signUp({ email: probe });
    return (
      (await personOf(server, probe)) !== undefined || (await createVisitor(server, lax).open('signup')).status !== 200
    );
  });
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

function visitorContext(): VisitorContext {
  const services = signInServicesOf(server);
  return { ...server.context, ...services, origin: {} };
}

interface Attack {
  readonly email: string;
  readonly id: UserId;
  readonly agent: UserAgent;
  readonly refreshToken: string;
  /** Of a change to an address of the attacker's own. */
  readonly handle: string;
  readonly code: string;
}

/** Somebody who has everything one can have with an address that is not theirs. */
async function beFirst(email: string): Promise<Attack> {
  const visitor = createVisitor(server, lax);
  await visitor.signUp({ email, password: attackers, given_name: 'Mallory' });
  const id = userId((await personOf(server, email))?.id ?? '');
  const agent = createUserAgent(server.origin);
  const client = lax.clients.web;
  const authorized = await authorize(agent, { tenant: lax, client, person: { email, password: attackers } });
  const tokens = await exchangeCode(lax, client, authorized);
  await giveTotp(server, lax, id);
  await giveBackupCodes(server, lax, id);
  await queryAsSuperuser(
    server.database,
    `update memberships set deletion_due_at = now() + interval '14 days', username = 'mallory', username_canonical = $1::text
      where user_id = $1::uuid`,
    [id],
  );
  await queryAsSuperuser(
    server.database,
    `insert into consents (tenant_id, user_id, client_id, client_type, scopes, granted_at, updated_at)
     values ($1, $2, $3, 'web', '{openid}', now(), now())`,
    [lax.id, id, lax.clients.third.clientId],
  );
  const own = newAddress();
  const tenant = { ...lax, name: 'Lax', policy: server.config.people, locale: 'nl' } as const;
  const change = await requestEmailChange(visitorContext(), { tenant, userId: id, newEmail: own });
  const { code } = await proofFor(server, lax, own);
  const handle = change.outcome === 'sent' ? change.handle : '';
  return { email, id, agent, refreshToken: String(tokens.json['refresh_token']), handle, code };
}

/** Nothing that the attacker set or holds is worth anything, at either tenant. */
async function expectNothingLeft(attack: Attack): Promise<void> {
  const { email, id, agent, refreshToken } = attack;
  for (const tenant of [lax, acme]) expect(await canSignIn(server, tenant, { email, password: attackers })).toBe(false);
  const client = lax.clients.web;
  const form = { grant_type: 'refresh_token', refresh_token: refreshToken };
  expect((await callEndpoint(lax.issuer, '/token', { client, form })).json).toMatchObject({ error: 'invalid_grant' });
  const again = await agent.follow(authorizationRequest(lax, client).url);
  expect(again.body).toContain('name="password"');
  const left = await queryAsSuperuser<Record<string, number>>(
    server.database,
    `select (select count(*)::int from totp_factors where user_id = $1) as totp,
            (select count(*)::int from backup_codes where user_id = $1) as codes,
            (select count(*)::int from passkeys where user_id = $1) as passkeys,
            (select count(*)::int from pending_sign_ins where user_id = $1) as pending,
            (select count(*)::int from memberships where user_id = $1 and deletion_due_at is not null) as leaving,
            (select count(*)::int from consents where user_id = $1) as consents,
            (select count(*)::int from memberships where user_id = $1 and username_canonical is not null) as names,
            (select count(*)::int from proofs where user_id = $1 and ended is null) as proofs,
            (select count(*)::int from remembered_devices where user_id = $1 and last_used_at < now() - interval '1 hour') as old`,
    [id],
  );
  expect(left).toEqual([
    { totp: 0, codes: 0, passkeys: 0, pending: 0, consents: 0, names: 0, proofs: 0, leaving: 0, old: 0 },
  ]);
  const browser = createVisitor(server, lax);
  const stolen = await browser.agent.request(`${lax.issuer}/verify`, {
    headers: { cookie: `poort_verify=${attack.handle}` },
  });
  expect(stolen.status).toBe(400);
  expect(await personOf(server, email)).toMatchObject({ id, email_verified: true });
}

describe('C17: an attacker who was first with somebody’s address', () => {
  it('has nothing once its owner registers at another tenant', async () => {
    const attack = await beFirst(newAddress());
    await registered(server, acme, attack.email);
    await expectNothingLeft(attack);
    expect(await canSignIn(server, acme, { email: attack.email, password: goodPassword })).toBe(true);
  });

  it('has nothing once its owner registers at the same tenant', async () => {
    const attack = await beFirst(newAddress());
    const visitor = createVisitor(server, lax);
    const page = await visitor.signUp({ email: attack.email });
    const { code } = await proofFor(server, lax, attack.email);
    const done = await visitor.agent.submit(page, { code });
    expect(done.url).toContain('done=registered');
    await expectNothingLeft(attack);
    expect(await canSignIn(server, lax, { email: attack.email, password: goodPassword })).toBe(true);
  });

  it('has nothing once its owner accepts an invitation', async () => {
    const attack = await beFirst(newAddress());
    const { email } = attack;
    const context = { ...server.context, publicUrl: server.origin };
    await createInvitation(context, {
      tenant: acme,
      policy: server.config.people,
      email,
      roles: ['admin'],
      locale: 'nl',
    });
    const agent = createUserAgent(server.origin);
    const page = await agent.follow((await proofFor(server, acme, email)).link);
    const done = await agent.submit(page, { new_password: goodPassword });
    expect(done.url).toContain('done=invited');
    await expectNothingLeft(attack);
    expect(await canSignIn(server, acme, { email, password: goodPassword })).toBe(true);
  });

  it('has nothing once its owner resets the password', async () => {
    const attack = await beFirst(newAddress());
    const visitor = createVisitor(server, lax);
    await visitor.send('forgot', { email: attack.email });
    const { link } = await proofFor(server, lax, attack.email);
    const done = await visitor.agent.submit(await visitor.agent.follow(link), { new_password: goodPassword });
    expect(done.url).toContain('done=reset');
    await expectNothingLeft(attack);
    expect(await canSignIn(server, lax, { email: attack.email, password: goodPassword })).toBe(true);
  });

  it('gains nothing by the owner’s click on the link that the attack had mailed', async () => {
    const email = newAddress();
    await createVisitor(server, lax).signUp({ email, password: attackers });
    const owner = createUserAgent(server.origin);
    const page = await owner.follow((await proofFor(server, lax, email)).link);
    expect((await owner.submit(page, {})).status).toBe(400);
    expect((await owner.submit(page, { password: goodPassword })).status).toBe(400);
    expect(await personOf(server, email)).toMatchObject({ email_verified: false });

    const other = newAddress();
    await createVisitor(server, acme).signUp({ email: other, password: attackers });
    const second = await owner.follow((await proofFor(server, acme, other)).link);
    expect((await owner.submit(second, {})).status).toBe(400);
    expect(await personOf(server, other)).toBeUndefined();
  });

  it('does not get an account of their own moved to the owner’s address by such a click', async () => {
    const attacker = await registered(server, acme);
    const id = userId((await personOf(server, attacker.email))?.id ?? '');
    const victim = newAddress();
    const tenant = { ...acme, name: 'Acme', policy: server.config.people, locale: 'nl' } as const;
    await requestEmailChange(visitorContext(), { tenant, userId: id, newEmail: victim });
    const owner = createUserAgent(server.origin);
    const page = await owner.follow((await proofFor(server, acme, victim)).link);
    expect((await owner.submit(page, {})).status).toBe(400);
    expect(await personOf(server, victim)).toBeUndefined();
    expect(await personOf(server, attacker.email)).toMatchObject({ id });
  });

  it('does not get the address by writing it otherwise', async () => {
    const { email } = await registered(server, acme);
    const before = (await mailsOf(server, acme)).length;
    const spellings = [
      email.toUpperCase(),
      ` ${email} `,
      email.replace('@', '\uff20'),
      email.replace('mailbox', 'm\uff41ilbox'),
    ];
    for (const spelling of spellings)
      await createVisitor(server, acme).signUp({ email: spelling, password: attackers });
    const kinds = (await mailsOf(server, acme)).slice(before).map(({ kind }) => kind);
    expect(kinds).toEqual(kinds.map(() => 'already_registered'));
    expect(kinds.length).toBeGreaterThan(0);
  });
});
