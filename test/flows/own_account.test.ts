/** What people do with their own account, as the flows see it: names, history, and everything that is known of them. */

import type { FlowContext } from '#src/flows/flow_context.ts';
import { exportPerson } from '#src/flows/people/export_person.ts';
import { addMember } from '#src/flows/people/manage_people.ts';
import { showActivity } from '#src/flows/people/show_activity.ts';
import { updateProfile } from '#src/flows/people/update_profile.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { pairDevice } from '#test/support/fleet.ts';
import { giveBackupCodes, giveTotp } from '#test/support/second_factor.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, createUserAgent } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
});

afterAll(() => server.close());

const ada = () => ({ tenantId: acme.id, userId: acme.person.id });
const asAda = (): FlowContext => ({ ...server.context, actor: { type: 'user', id: acme.person.id } });
const empty = { givenName: '', familyName: '', locale: '' } as const;

async function profileOf(tenant: TestTenant): Promise<unknown> {
  const [row] = await queryAsSuperuser(
    server.database,
    `select u.given_name, u.family_name, u.locale, m.username, m.username_canonical from users u
       join memberships m on m.user_id = u.id where m.tenant_id = $1 and u.id = $2`,
    [tenant.id, tenant.person.id],
  );
  return row;
}

describe('a profile', () => {
  it('takes names, a language and a name to sign in with, and the history says what changed but not into what', async () => {
    const change = { ...ada(), givenName: '  Augusta ', familyName: 'King', locale: 'en', username: 'Ada.L' } as const;
    expect(await updateProfile(asAda(), change)).toEqual({ outcome: 'updated' });
    expect(await profileOf(acme)).toEqual({
      given_name: 'Augusta',
      family_name: 'King',
      locale: 'en',
      username: 'Ada.L',
      username_canonical: 'ada.l',
    });
    expect(await updateProfile(asAda(), change)).toEqual({ outcome: 'unchanged' });
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['user.updated'] });
    expect(events).toMatchObject([
      { actor_id: acme.person.id, data: { changed: ['given_name', 'family_name', 'locale', 'username'] } },
    ]);
    expect(JSON.stringify(events)).not.toContain('Augusta');
  });

  it('lets everything be taken away, and leaves the name to sign in with alone where there is none', async () => {
    expect(await updateProfile(asAda(), { ...ada(), ...empty })).toEqual({ outcome: 'updated' });
    expect(await profileOf(acme)).toMatchObject({
      given_name: null,
      family_name: null,
      locale: null,
      username: 'Ada.L',
    });
    expect(await updateProfile(asAda(), { ...ada(), ...empty, username: '' })).toEqual({ outcome: 'updated' });
    expect(await profileOf(acme)).toMatchObject({ username: null, username_canonical: null });
  });

  it.each([
    ['given_name', { givenName: 'a'.repeat(101) }],
    ['family_name', { familyName: 'Bank\u202e' }],
    ['username', { username: 'ada@acme.test' }],
  ])('says what is wrong with the %s and changes nothing', async (field, typed) => {
    const before = await profileOf(acme);
    expect(await updateProfile(asAda(), { ...ada(), ...empty, ...typed })).toEqual({
      outcome: 'refused',
      faults: [{ field, reason: 'unacceptable' }],
    });
    expect(await profileOf(acme)).toEqual(before);
  });

  it('shares no name to sign in with: of two who ask at the same moment one has it, and another tenant has its own', async () => {
    const grace = await addMember(server.context, {
      tenantId: acme.id,
      email: 'grace@acme.test',
      roles: [],
      verified: true,
    });
    if (grace.outcome === 'refused') throw new Error(grace.reason);
    const asked = [acme.person.id, grace.userId].map((userId) =>
      updateProfile(asAda(), {
        ...ada(),
        userId,
        ...empty,
        givenName: 'X',
        username: userId === grace.userId ? 'PIKE' : 'pike',
      }),
    );
    const taken = { outcome: 'refused', faults: [{ field: 'username', reason: 'taken' }] };
    const outcomes = await Promise.all(asked);
    expect(outcomes).toContainEqual({ outcome: 'updated' });
    expect(outcomes).toContainEqual(taken);
    const elsewhere = { tenantId: globex.id, userId: globex.person.id, ...empty, username: 'pike' };
    expect(await updateProfile(asAda(), elsewhere)).toEqual({ outcome: 'updated' });
  });

  it('is not found at a tenant the person does not belong to', async () => {
    const before = await profileOf(globex);
    const change = { ...ada(), userId: globex.person.id, ...empty, givenName: 'Mallory' };
    expect(await updateProfile(asAda(), change)).toEqual({ outcome: 'unknown' });
    expect(await profileOf(globex)).toEqual(before);
  });
});

async function tellOf(tenant: TestTenant, at: Date, type: 'user.signed_in' | 'user.locked'): Promise<void> {
  const database = server.context.database.tenant(tenant.id);
  const event = { type, outcome: 'success', target: { type: 'user', id: tenant.person.id } } as const;
  await database.transaction((transaction) =>
    appendEvent(transaction, { tenant: database, event, origin: { ip: '192.0.2.7' }, now: at }),
  );
}

describe('somebody’s history', () => {
  it('is told page by page, the latest first, ninety days back, of this tenant alone', async () => {
    const now = new Date();
    const daysAgo = (days: number): Date => new Date(now.getTime() - days * 86_400_000);
    for (const days of [91, 3, 2, 1]) await tellOf(acme, daysAgo(days), 'user.locked');
    await tellOf(globex, daysAgo(1), 'user.locked');
    const wanted = { ...ada(), types: ['user.locked'], limit: 2 };
    const first = await showActivity(asAda(), wanted);
    expect(first.events.map(({ occurred_at: at }) => at)).toEqual([daysAgo(1), daysAgo(2)]);
    const second = await showActivity(asAda(), { ...wanted, before: first.next });
    expect(second.events.map(({ occurred_at: at }) => at)).toEqual([daysAgo(3)]);
    expect(second.next).toBeUndefined();
    const foreign = await showActivity(asAda(), { ...wanted, userId: globex.person.id });
    expect(foreign.events).toEqual([]);
  });

  it('has what was done to somebody’s session by others, and no token that was issued', async () => {
    const agent = createUserAgent(server.origin, { 'user-agent': 'Lynx' });
    await authorize(agent, { tenant: acme, client: acme.clients.web });
    const [session] = await queryAsSuperuser<{ session_uid: string }>(
      server.database,
      "select session_uid from artifacts where kind = 'Session' and account_id = $1",
      [acme.person.id],
    );
    const database = server.context.database.tenant(acme.id);
    const event = {
      type: 'session.revoked',
      outcome: 'success',
      actor: { type: 'operator', id: 'x' },
      target: { type: 'session', id: session?.session_uid ?? '' },
      data: { user_id: acme.person.id },
    } as const;
    await database.transaction((transaction) =>
      appendEvent(transaction, { tenant: database, event, origin: {}, now: new Date() }),
    );
    const types = ['session.revoked', 'user.signed_in', 'token.issued'];
    const { events } = await showActivity(asAda(), { ...ada(), types, limit: 100 });
    expect(events.map(({ type }) => type)).toEqual(['session.revoked', 'user.signed_in']);
    expect(events[1]).toMatchObject({ client_name: 'web', user_agent: 'Lynx', ip: '127.0.0.1' });
  });
});

describe('everything that is known of somebody', () => {
  const toExport = () => ({ ...ada(), tenantName: 'Acme', issuer: acme.issuer });

  it('is given to them without what opens anything (S056), and that it was given is written down', async () => {
    await authorize(createUserAgent(server.origin), { tenant: acme, client: acme.clients.web });
    const { deviceId } = await pairDevice(server, acme, { form: { device_name: 'Lamp' } });
    const secret = await giveTotp(server, acme, acme.person.id);
    const codes = await giveBackupCodes(server, acme, acme.person.id);
    const exported = await exportPerson(asAda(), toExport());
    expect(exported).toMatchObject({
      tenant: { name: 'Acme', issuer: acme.issuer },
      profile: { sub: acme.person.id, email: acme.person.email, email_verified: true },
      membership: { roles: ['admin'] },
      second_factors: expect.arrayContaining([expect.objectContaining({ kind: 'totp' })]),
      sessions: expect.arrayContaining([expect.objectContaining({ address: '127.0.0.1' })]),
      devices: [expect.objectContaining({ id: deviceId, name: 'Lamp', state: 'active' })],
      events_complete: true,
    });
    const text = JSON.stringify(exported);
    // Everything of this person that the database has hashed or sealed, and what it was made from.
    const hidden = await queryAsSuperuser<{ value: string }>(
      server.database,
      `select password_hash as value from users where id = $1
       union all select encode(secret_sealed, 'hex') from totp_factors where user_id = $1
       union all select encode(code_hash, 'hex') from backup_codes where user_id = $1
       union all select encode(token_hash, 'hex') from remembered_devices where user_id = $1
       union all select encode(id_hash, 'hex') from artifacts where account_id = $1
       union all select payload ->> 'jti' from artifacts where account_id = $1 and payload ->> 'jti' is not null`,
      [acme.person.id],
    );
    expect(hidden.length).toBeGreaterThan(12);
    for (const value of [...hidden.map((row) => row.value), secret, ...codes, acme.person.password])
      expect({ value, given: text.includes(value) }).toEqual({ value, given: false });
    expect(text).not.toMatch(/argon2|password_hash|secret|token_hash|public_key|\b(at|rt|ac)_/);
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['user.exported'] });
    expect(events).toMatchObject([{ actor_id: acme.person.id, target_id: acme.person.id }]);
  });

  it('is of this tenant alone, and nothing of who is no member', async () => {
    await authorize(createUserAgent(server.origin), { tenant: globex, client: globex.clients.web });
    expect(await exportPerson(asAda(), { ...toExport(), userId: globex.person.id })).toBeUndefined();
    const text = JSON.stringify(await exportPerson(asAda(), toExport()));
    expect(text).not.toContain('globex');
  });
});
