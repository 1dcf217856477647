/** A new password, and the end of everything the old one opened: all of it or nothing, and once. */
import { changePassword, type PasswordChange } from '#src/flows/people/change_password.ts';
import { addMember } from '#src/flows/people/manage_people.ts';
import { listPersonSessions } from '#src/flows/sessions/manage_sessions.ts';
import { createPasswordHasher, type PasswordHasher } from '#src/foundation/password_hashing.ts';
import { defaultPeopleSettings } from '#test/support/people_settings.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, createUserAgent, exchangeCode, introspect, refresh } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const fresh = 'kapotte lantaarn eet vrijdags rood';

let server: TestServer;
let acme: TestTenant;
let tenants = 0;

beforeAll(async () => {
  server = await startTestServer({ logLevel: 'trace' });
});

beforeEach(async () => {
  tenants += 1;
  acme = await createTestTenant(server, `acme-${tenants}`);
});

afterAll(async () => {
  // Whatever happened, no password and no hash was written anywhere that an operator reads.
  expect(JSON.stringify(server.log)).not.toMatch(/lantaarn|\$argon2id/);
  await server.close();
});

const change = (more: Partial<PasswordChange> = {}, passwords: PasswordHasher = server.context.passwords) =>
  changePassword(
    { ...server.context, passwords },
    {
      tenantId: acme.id,
      userId: acme.person.id,
      password: fresh,
      settings: defaultPeopleSettings,
      hasSecondFactor: false,
      event: 'password.changed',
      ...more,
    },
  );

const hashNow = async (): Promise<string | null> =>
  (
    await queryAsSuperuser<{ password_hash: string | null }>(
      server.database,
      'select password_hash from users where id = $1',
      [acme.person.id],
    )
  )[0]?.password_hash ?? null;

async function signIn(password = acme.person.password, tenant = acme) {
  const { web } = tenant.clients;
  const agent = createUserAgent(server.origin);
  const person = { ...acme.person, password };
  const tokens = await exchangeCode(tenant, web, await authorize(agent, { tenant, client: web, person }));
  expect(tokens.status).toBe(200);
  return { accessToken: String(tokens.json['access_token']), refreshToken: String(tokens.json['refresh_token']) };
}

const mailed = async (): Promise<readonly string[]> =>
  (
    await queryAsSuperuser<{ kind: string }>(
      server.database,
      `select kind from mails where tenant_id = $1 and kind <> 'new_device'`,
      [acme.id],
    )
  ).map(({ kind }) => kind);

const isAlive = async (accessToken: string): Promise<unknown> =>
  (await introspect(acme, acme.clients.web, accessToken)).json['active'];

describe('a change of password', () => {
  it('ends every session and token of the old one, and is written down without it', async () => {
    const first = await signIn();
    const second = await signIn();
    expect(await change()).toEqual({ outcome: 'changed', ended: { sessions: 2, grants: 2 } });

    for (const { accessToken, refreshToken } of [first, second]) {
      expect(await isAlive(accessToken)).toBe(false);
      expect((await refresh(acme, acme.clients.web, refreshToken)).status).toBe(400);
    }
    expect(await mailed()).toEqual(['password_changed']);
    await expect(signIn()).rejects.toThrow();
    expect(await isAlive((await signIn(fresh)).accessToken)).toBe(true);

    const types = ['password.changed', 'session.revoked'];
    const events = await readEvents(server.database, { tenantId: acme.id, types });
    expect(events.map(({ type }) => type).sort()).toEqual(['password.changed', 'session.revoked', 'session.revoked']);
    expect(events.filter(({ type }) => type === 'session.revoked')).toMatchObject([
      { reason: 'password_changed' },
      { reason: 'password_changed' },
    ]);
    expect(JSON.stringify(events)).not.toMatch(/lantaarn|argon2/);
  });

  it('keeps the session it is made in, and no other', async () => {
    await signIn();
    const kept = await signIn();
    const [latest] = await listPersonSessions(server.context, { tenantId: acme.id, userId: acme.person.id });
    expect(await change({ keptSessionId: latest?.id })).toMatchObject({ ended: { sessions: 1 } });
    expect(await isAlive(kept.accessToken)).toBe(true);
    const left = await listPersonSessions(server.context, { tenantId: acme.id, userId: acme.person.id });
    expect(left.map(({ id }) => id)).toEqual([latest?.id]);
  });

  it('without the old one is a reset', async () => {
    await signIn();
    expect(await change({ event: 'password.reset' })).toMatchObject({ outcome: 'changed' });
    const events = await readEvents(server.database, {
      tenantId: acme.id,
      types: ['password.reset', 'password.changed', 'session.revoked'],
    });
    expect(events.map(({ type }) => type).sort()).toEqual(['password.reset', 'session.revoked']);
  });

  it.each([
    ['Welkom2026!!', 'breached'],
    ['short', 'too_short'],
    ['AdaLovelace1852!', 'own_name'],
    ['Acme-acme-acme', 'own_name'],
    ['maandagdinsdag', 'too_weak'],
  ])('to %j is refused, and nothing ends', async (password, reason) => {
    const { accessToken } = await signIn();
    const before = await hashNow();
    expect(await change({ password })).toEqual({ outcome: 'unacceptable', reason });
    expect(await mailed()).toEqual([]);
    expect(await hashNow()).toBe(before);
    expect(await isAlive(accessToken)).toBe(true);
  });

  it('that is not judged keeps to what can be hashed', async () => {
    const refused = { outcome: 'unacceptable', reason: 'too_short' };
    expect(await change({ isUnjudged: true, password: 'short' })).toEqual(refused);
    expect(await change({ isUnjudged: true, password: 'Welkom01' })).toMatchObject({ outcome: 'changed' });
  });

  it('ends what the old one opened at every tenant of the person, and keeps a session only where it is made', async () => {
    const globex = await createTestTenant(server, `globex-${tenants}`);
    const both = { tenantId: globex.id, email: acme.person.email, roles: [], verified: false };
    expect(await addMember(server.context, both)).toMatchObject({ outcome: 'joined' });
    await signIn();
    const there = await signIn(acme.person.password, globex);
    const [here] = await listPersonSessions(server.context, { tenantId: acme.id, userId: acme.person.id });
    expect(await change({ keptSessionId: here?.id })).toMatchObject({ ended: { sessions: 1 } });
    expect((await introspect(globex, globex.clients.web, there.accessToken)).json).toEqual({ active: false });
    expect(await listPersonSessions(server.context, { tenantId: acme.id, userId: acme.person.id })).toHaveLength(1);
    const types = ['session.revoked', 'password.changed'];
    expect(await readEvents(server.database, { tenantId: globex.id, types })).toMatchObject([
      { type: 'session.revoked', reason: 'password_changed' },
    ]);
    expect(await readEvents(server.database, { tenantId: acme.id, types })).toMatchObject([
      { type: 'password.changed' },
    ]);
  });

  it('of somebody who is no member is unknown', async () => {
    const globex = await createTestTenant(server, 'globex');
    expect(await change({ userId: globex.person.id })).toEqual({ outcome: 'unknown' });
    expect(await change({ tenantId: globex.id })).toEqual({ outcome: 'unknown' });
  });
});

describe('earlier passwords', () => {
  const remembering = (count: number) => ({ ...defaultPeopleSettings, 'password.history': count });
  const setTo = async (password: string, count = 2): Promise<string> => {
    const outcome = await change({ password, settings: remembering(count) });
    return outcome.outcome === 'unacceptable' ? outcome.reason : outcome.outcome;
  };
  const kept = () =>
    queryAsSuperuser<{ password_hash: string }>(
      server.database,
      'select password_hash from password_history where user_id = $1 order by id',
      [acme.person.id],
    );

  it('do not come back while they are remembered, and no more of them are kept', async () => {
    const words = ['een', 'twee', 'drie', 'vier'].map((word) => `kapotte lantaarn eet ${word} paraplu's`);
    const [one = '', two = '', three = '', four = ''] = words;
    expect([await setTo(one), await setTo(two), await setTo(three)]).toEqual(['changed', 'changed', 'changed']);
    // The one in use and the two before it.
    expect([await setTo(three), await setTo(two), await setTo(one)]).toEqual([
      'used_before',
      'used_before',
      'used_before',
    ]);
    expect(await setTo(four)).toBe('changed');
    expect(await kept()).toHaveLength(2);
    expect(await setTo(one)).toBe('changed');
  });

  it('are not kept where nobody wishes it', async () => {
    expect(await setTo(`${fresh} one`, 0)).toBe('changed');
    expect(await setTo(`${fresh} two`, 0)).toBe('changed');
    expect(await kept()).toEqual([]);
    expect(await setTo(`${fresh} one`, 0)).toBe('changed');
  });

  it('are remembered for an operator’s reset as well, and not by a change that fails', async () => {
    await change({ isUnjudged: true, settings: remembering(3), password: 'Welkom01' });
    expect(await setTo(acme.person.password, 3)).not.toBe('changed');
    await change({ settings: remembering(3), proof: async () => false });
    expect(await kept()).toHaveLength(1);
    expect((await kept())[0]?.password_hash).toMatch(/^\$argon2id\$/);
  });

  it('are as many as a tenant may ask for, one after the other through the same gate', async () => {
    const hashes = await Promise.all(
      Array.from({ length: 24 }, (_, index) => server.context.passwords.hash(`${fresh} ${index}`)),
    );
    await queryAsSuperuser(
      server.database,
      `insert into password_history (user_id, id, password_hash, replaced_at)
       select $1, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, h, now() from unnest($2::text[]) with ordinality as x (h, n)`,
      [acme.person.id, hashes],
    );
    let most = 0;
    const { passwords } = server.context;
    const watching: PasswordHasher = {
      ...passwords,
      verify(hash, password) {
        const answer = passwords.verify(hash, password);
        most = Math.max(most, passwords.statistics().running + passwords.statistics().waiting);
        return answer;
      },
    };
    expect(await change({ password: `${fresh} 0`, settings: remembering(24) }, watching)).toEqual({
      outcome: 'unacceptable',
      reason: 'used_before',
    });
    expect(most).toBe(1);
  });
});

describe('many changes at once', () => {
  it('with the same old password are one change', async () => {
    const verifiedHash = (await hashNow()) ?? undefined;
    const outcomes = await Promise.all(
      Array.from({ length: 6 }, (_, index) => change({ verifiedHash, password: `${fresh} ${index}` })),
    );
    expect(outcomes.filter(({ outcome }) => outcome === 'changed')).toHaveLength(1);
    expect(outcomes.filter(({ outcome }) => outcome === 'lost_race')).toHaveLength(5);
    expect(await mailed()).toEqual(['password_changed']);
    const types = ['password.changed'];
    expect(await readEvents(server.database, { tenantId: acme.id, types })).toHaveLength(1);
  });

  it('are refused when the old password was verified against a hash that is gone', async () => {
    const verifiedHash = (await hashNow()) ?? undefined;
    await change();
    expect(await change({ verifiedHash, password: `${fresh} again` })).toEqual({ outcome: 'lost_race' });
  });

  it('beyond the queue are told when to come back, and change nothing', async () => {
    const narrow = createPasswordHasher({
      memoryKibibytes: 64,
      passes: 1,
      lanes: 1,
      queueLength: 0,
      concurrency: 1,
    });
    const before = await hashNow();
    const busy = narrow.verify(undefined, 'keeps the only place for a moment');
    const hashing = narrow.hash(fresh);
    await expect(hashing).rejects.toMatchObject({ name: 'PasswordHashingBusy' });
    await busy;
    const always: PasswordHasher = { ...narrow, hash: () => hashing };
    expect(await change({}, always)).toEqual({ outcome: 'busy', retryAfterSeconds: expect.any(Number) });
    expect(await hashNow()).toBe(before);
  });
});

describe('a proof', () => {
  it('is consumed with the change, and left good by a password that is refused', async () => {
    let consumed = 0;
    const proof = async (): Promise<boolean> => {
      consumed += 1;
      return true;
    };
    expect(await change({ proof, password: 'Welkom2026!!' })).toMatchObject({ outcome: 'unacceptable' });
    expect(consumed).toBe(0);
    expect(await change({ proof })).toMatchObject({ outcome: 'changed' });
    expect(consumed).toBe(1);
  });

  it('that fails changes nothing', async () => {
    const { accessToken } = await signIn();
    const before = await hashNow();
    expect(await change({ proof: async () => false })).toEqual({ outcome: 'not_proven' });
    expect(await hashNow()).toBe(before);
    expect(await isAlive(accessToken)).toBe(true);
  });

  it('is rolled back with a change that loses the race', async () => {
    const proof: PasswordChange['proof'] = async (transaction) => {
      await transaction.query('update memberships set last_sign_in_at = $1 where user_id = $2', [
        new Date('2001-01-01T00:00:00Z'),
        acme.person.id,
      ]);
      // Somebody else changes the password at this very moment.
      await transaction.query("update users set password_hash = 'gone' where id = $1", [acme.person.id]);
      return true;
    };
    const before = await hashNow();
    expect(await change({ proof })).toEqual({ outcome: 'lost_race' });
    expect(await hashNow()).toBe(before);
    const rows = await queryAsSuperuser<{ last_sign_in_at: Date | null }>(
      server.database,
      'select last_sign_in_at from memberships where user_id = $1',
      [acme.person.id],
    );
    expect(rows).toEqual([{ last_sign_in_at: null }]);
  });
});
