/**
 * Row C40, deleted and still there (better-auth GHSA-2vg6-77g8-24mp): whatever somebody could come in with before they were deleted
 * opens nothing afterwards, and nothing of them is left in any table. The tables are read from the catalogue: a new
 * one that forgets to let go of people fails this test.
 */
import { offerDevice } from '#src/flows/devices/hand_over_device.ts';
import { deleteDueMembers, deleteMember, requestDeletion, withdrawDeletion } from '#src/flows/people/leave_tenant.ts';
import { addMember } from '#src/flows/people/manage_people.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import { createPairer } from '#test/support/device_pairing.ts';
import { pairDevice } from '#test/support/fleet.ts';
import { giveBackupCodes, giveTotp } from '#test/support/second_factor.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  createUserAgent,
  exchangeCode,
  introspect,
  refresh,
  type UserAgent,
} from '#test/support/user_agent.ts';
import { createTestTenant, type NewPerson, newPerson, type TestTenant } from '#test/support/world.ts';

let first: TestServer;
let second: TestServer;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  first = await startTestServer();
  second = await startTestServer({ beside: first });
  acme = await createTestTenant(first, 'acme');
  globex = await createTestTenant(first, 'globex');
});

afterAll(async () => {
  await second.close();
  await first.close();
});

const context = () => first.context;
const dayMilliseconds = 86_400_000;
const undo = { undoDays: 14, undoLink: 'https://id.example/t/acme/account/delete' };

/** What somebody holds who came in before. */
interface Holdings {
  readonly tenant: TestTenant;
  readonly person: NewPerson;
  readonly agent: UserAgent;
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly code: Awaited<ReturnType<typeof authorize>>;
}

async function comeIn(tenant: TestTenant, person: NewPerson): Promise<Holdings> {
  const agent = createUserAgent(first.origin);
  const asked = { tenant, client: tenant.clients.web, person };
  const { json } = await exchangeCode(tenant, tenant.clients.web, await authorize(agent, asked));
  return {
    tenant,
    person,
    agent,
    accessToken: String(json['access_token']),
    refreshToken: String(json['refresh_token']),
    code: await authorize(agent, asked),
  };
}

const ways: Readonly<Record<string, (holdings: Holdings) => Promise<boolean>>> = {
  'the access token': async ({ tenant, accessToken }) =>
    (await introspect(tenant, tenant.clients.web, accessToken)).json['active'] === true,
  'the refresh token': async ({ tenant, refreshToken }) =>
    (await refresh(tenant, tenant.clients.web, refreshToken)).status === 200,
  'the code': async ({ tenant, code }) => (await exchangeCode(tenant, tenant.clients.web, code)).status === 200,
  'the session': async ({ tenant, agent }) => {
    const { url } = authorizationRequest(tenant, tenant.clients.web, { prompt: 'none' });
    return new URL((await agent.follow(url)).url).searchParams.has('code');
  },
  'the password': async ({ tenant, person }) => {
    const agent = createUserAgent(first.origin);
    const page = await agent.follow(authorizationRequest(tenant, tenant.clients.web).url);
    return new URL((await agent.submit(page, { email: person.email, password: person.password })).url).searchParams.has(
      'code',
    );
  },
};

async function openWays(holdings: Holdings): Promise<readonly string[]> {
  const tried: string[] = [];
  for (const [name, isOpen] of Object.entries(ways)) if (await isOpen(holdings)) tried.push(name);
  return tried;
}

/** A link and a code for another address, which is not proven yet. */
async function askForAnotherAddress({ email, password }: NewPerson): Promise<void> {
  const agent = createUserAgent(first.origin);
  const page = await agent.submit(await agent.follow(`${acme.issuer}/account/email`), { email, password });
  const asked = await agent.submit(page, { email: `new-${email}` });
  expect(asked.url).toBe(`${acme.issuer}/verify`);
}

/** Every table but the history, which says what happened and not who it was, and what is to be told to applications. */
async function tablesThatName(id: string, tenant?: TestTenant): Promise<readonly string[]> {
  const { database } = first;
  const tables = await queryAsSuperuser<{ name: string }>(
    database,
    `select relname::text as name from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'
        and relname not in ('events', 'backchannel_logouts') order by 1`,
  );
  const found: string[] = [];
  for (const { name } of tables) {
    const rows = await queryAsSuperuser(
      database,
      `select from ${name} t where to_json(t)::text like $1 and ($2::text is null or to_json(t) ->> 'tenant_id' = $2) limit 1`,
      [`%${id}%`, tenant?.id ?? null],
    );
    if (rows.length > 0) found.push(name);
  }
  return found;
}

describe('somebody who is deleted', () => {
  it('is in no table any more, and nothing they held opens anything', async () => {
    const person = await newPerson(first, acme);
    const before = await comeIn(acme, person);
    const others = await comeIn(acme, acme.person);
    await askForAnotherAddress(person);
    const own = await pairDevice(first, acme, { pairer: createPairer(first, acme, { person }) });
    const offered = await pairDevice(first, acme);
    const offer = { tenantId: acme.id, deviceId: offered.deviceId, email: person.email };
    expect(await offerDevice(context(), offer)).toMatchObject({ outcome: 'offered' });
    await giveTotp(first, acme, person.id);
    await giveBackupCodes(first, acme, person.id);
    await context()
      .database.tenant(acme.id)
      .transaction((transaction) =>
        transaction.query(
          `insert into passkeys (user_id, credential_id, rp_id, public_key, sign_count, backed_up, name, created_at)
           values ($1, $2, 'localhost', $2, 0, false, 'key', now())`,
          [person.id, sha256(person.id)],
        ),
      );
    expect(await tablesThatName(person.id)).toEqual(
      expect.arrayContaining([
        'artifacts',
        'backup_codes',
        'devices',
        'memberships',
        'passkeys',
        'proofs',
        'remembered_devices',
        'users',
      ]),
    );

    expect(await deleteMember(context(), { tenantId: acme.id, userId: person.id })).toEqual({ outcome: 'deleted' });
    expect(await openWays(before)).toEqual([]);
    expect((await refresh(acme, acme.clients.device, own.refreshToken)).json).toMatchObject({ error: 'invalid_grant' });
    expect((await refresh(acme, acme.clients.device, offered.refreshToken)).status).toBe(200);
    expect(await tablesThatName(person.id)).toEqual([]);
    expect(await tablesThatName(person.email)).toEqual([]);
    // And nobody else went with them.
    expect(await openWays(others)).toEqual(Object.keys(ways));
    expect(await deleteMember(context(), { tenantId: acme.id, userId: person.id })).toEqual({ outcome: 'unknown' });

    const events = await readEvents(first.database, { tenantId: acme.id, types: ['user.deleted'] });
    expect(events).toMatchObject([{ target_id: person.id, outcome: 'success' }]);
    expect(JSON.stringify(events)).not.toContain(person.email);
  });

  it('stays who they are at another tenant, and is gone when they leave that too', async () => {
    const person = await newPerson(first, acme, globex);
    const atAcme = await comeIn(acme, person);
    await askForAnotherAddress(person);
    const atGlobex = await comeIn(globex, person);
    await deleteMember(context(), { tenantId: acme.id, userId: person.id });
    expect(await openWays(atAcme)).toEqual([]);
    expect(await openWays(atGlobex)).toEqual(Object.keys(ways));
    expect(await tablesThatName(person.id)).toContain('users');
    for (const text of [person.id, person.email]) expect(await tablesThatName(text, acme)).toEqual([]);

    await deleteMember(context(), { tenantId: globex.id, userId: person.id });
    expect(await tablesThatName(person.id)).toEqual([]);
  });

  it('is gone also when both tenants are left at the same moment', async () => {
    for (let round = 0; round < 5; round += 1) {
      const person = await newPerson(first, acme, globex);
      await Promise.all(
        [acme, globex].map((tenant) => deleteMember(context(), { tenantId: tenant.id, userId: person.id })),
      );
      expect(await tablesThatName(person.id)).toEqual([]);
    }
  });

  it('may join again and is a stranger with the same address', async () => {
    const person = await newPerson(first, acme);
    const before = await comeIn(acme, person);
    await deleteMember(context(), { tenantId: acme.id, userId: person.id });
    const again = await addMember(context(), { ...person, tenantId: acme.id, roles: [], verified: true });
    expect(again).toMatchObject({ outcome: 'created' });
    expect(again).not.toMatchObject({ userId: person.id });
    expect(await openWays(before)).toEqual(['the password']);
  });
});

describe('somebody who asks to be deleted', () => {
  it('is signed out at once, can sign in again, and is deleted when the days are over', async () => {
    const person = await newPerson(first, acme);
    const leaver = { tenantId: acme.id, userId: person.id };
    const before = await comeIn(acme, person);
    const requested = await requestDeletion(context(), { ...leaver, ...undo });
    expect(requested).toMatchObject({ outcome: 'requested' });
    expect(await openWays(before)).toEqual(['the password']);

    expect(await deleteDueMembers(context())).toBe(0);
    const later = { ...context(), clock: () => new Date(Date.now() + 15 * dayMilliseconds) };
    expect(await deleteDueMembers(later)).toBe(1);
    expect(await tablesThatName(person.id)).toEqual([]);
    expect(await deleteDueMembers(later)).toBe(0);
  });

  it('is told once, however often and however parallel they ask, and the first date holds', async () => {
    const person = await newPerson(first, acme);
    const leaver = { tenantId: acme.id, userId: person.id };
    const answers = await Promise.all(
      [1, 2, 3, 4].map((days) => requestDeletion(context(), { ...leaver, ...undo, undoDays: days })),
    );
    expect(answers.map(({ outcome }) => outcome).sort()).toEqual([
      'requested',
      'requested_before',
      'requested_before',
      'requested_before',
    ]);
    expect(new Set(answers.map((answer) => 'dueAt' in answer && answer.dueAt.getTime())).size).toBe(1);
    const { database } = first;
    const events = await readEvents(database, { tenantId: acme.id, types: ['user.deletion_requested'] });
    expect(events.filter(({ target_id: target }) => target === person.id)).toHaveLength(1);
    await withdrawDeletion(context(), leaver);
  });

  it('can think better of it, once, and stays', async () => {
    const person = await newPerson(first, acme);
    const leaver = { tenantId: acme.id, userId: person.id };
    await requestDeletion(context(), { ...leaver, ...undo });
    const outcomes = await Promise.all([1, 2].map(() => withdrawDeletion(context(), leaver)));
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual(['nothing_to_withdraw', 'withdrawn']);
    const later = { ...context(), clock: () => new Date(Date.now() + 100 * dayMilliseconds) };
    expect(await deleteDueMembers(later)).toBe(0);
    expect(await openWays(await comeIn(acme, person))).toEqual(Object.keys(ways));
  });

  it('is deleted by one of several workers, while the undo comes before or after and never in between', async () => {
    const later = { ...context(), clock: () => new Date(Date.now() + 15 * dayMilliseconds) };
    for (let round = 0; round < 5; round += 1) {
      const person = await newPerson(first, acme);
      const leaver = { tenantId: acme.id, userId: person.id };
      await requestDeletion(context(), { ...leaver, ...undo });
      const [one, other, undone] = await Promise.all([
        deleteDueMembers(later),
        deleteDueMembers({ ...second.context, clock: later.clock }),
        withdrawDeletion(context(), leaver),
      ]);
      const isGone = (await tablesThatName(person.id)).length === 0;
      expect([one + other, undone.outcome]).toEqual(isGone ? [1, 'unknown'] : [0, 'withdrawn']);
    }
  });

  it('is deleted at once where nobody is given time', async () => {
    const person = await newPerson(first, acme);
    const asked = { tenantId: acme.id, userId: person.id, ...undo, undoDays: 0 };
    expect(await requestDeletion(context(), asked)).toEqual({ outcome: 'deleted' });
    expect(await tablesThatName(person.id)).toEqual([]);
  });

  it('asks at their own tenant: another tenant has nobody of that name to delete', async () => {
    const person = await newPerson(first, acme);
    const foreign = { tenantId: globex.id, userId: person.id };
    expect(await requestDeletion(context(), { ...foreign, ...undo })).toEqual({ outcome: 'unknown' });
    expect(await deleteMember(context(), foreign)).toEqual({ outcome: 'unknown' });
    expect(await withdrawDeletion(context(), foreign)).toEqual({ outcome: 'unknown' });
    expect(await tablesThatName(person.id)).toContain('memberships');
  });
});
