/** Sessions seen and ended from outside the browser: one, all of a person, all of a tenant; dead at once on every server. */
import { addMember } from '#src/flows/people/manage_people.ts';
import {
  listPersonSessions,
  revokePersonSessions,
  revokeSession,
  revokeTenantSessions,
} from '#src/flows/sessions/manage_sessions.ts';
import { callServer, type Installation, startInstallation } from '#test/support/installation.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import {
  authorizationRequest,
  authorize,
  createUserAgent,
  exchangeCode,
  readForm,
  refresh,
  type UserAgent,
} from '#test/support/user_agent.ts';
import { createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

let installation: Installation;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  installation = await startInstallation();
  acme = await createTestTenant(installation.first, 'acme');
  globex = await createTestTenant(installation.first, 'globex');
});

afterAll(() => installation.close());

interface SignedIn {
  readonly agent: UserAgent;
  readonly tenant: TestTenant;
  readonly client: TestClient;
  readonly accessToken: string;
  readonly refreshToken: string;
}

async function signIn(
  tenant: TestTenant,
  {
    client = tenant.clients.web,
    agent = createUserAgent(installation.first.origin),
    person = tenant.person,
  }: { client?: TestClient; agent?: UserAgent; person?: { email: string; password: string } } = {},
): Promise<SignedIn> {
  const tokens = await exchangeCode(tenant, client, await authorize(agent, { tenant, client, person }));
  expect(tokens.status).toBe(200);
  const { access_token: accessToken, refresh_token: refreshToken } = tokens.json;
  return { agent, tenant, client, accessToken: String(accessToken), refreshToken: String(refreshToken) };
}

/** What lives of a sign-in, asked at each server. */
async function lifeOf(signedIn: SignedIn): Promise<readonly boolean[]> {
  const { agent, tenant, client, accessToken } = signedIn;
  const cookie = agent.cookies().join('; ');
  const asked = installation.ports.map(async (port) => {
    const token = await callServer(port, `${tenant.issuer}/introspect`, { client, form: { token: accessToken } });
    const { url } = authorizationRequest(tenant, client, { prompt: 'none' });
    const headers = { cookie, accept: 'text/html' };
    const silent = await callServer(port, url, { method: 'GET', headers }).then(({ headers: answered }) =>
      String(answered.get('location')).includes('code='),
    );
    return [token.json['active'] === true, silent];
  });
  return (await Promise.all(asked)).flat();
}

const alive = [true, true, true, true];
const dead = [false, false, false, false];

async function isRefreshed({ tenant, client, refreshToken }: SignedIn): Promise<boolean> {
  return (await refresh(tenant, client, refreshToken)).status === 200;
}

const sessionsOf = (tenant: TestTenant, userId = tenant.person.id) =>
  listPersonSessions(installation.first.context, { tenantId: tenant.id, userId });

const endAll = (tenant: TestTenant) =>
  revokePersonSessions(installation.first.context, { tenantId: tenant.id, userId: tenant.person.id });

beforeEach(async () => {
  await endAll(acme);
});

describe('the sessions of a person', () => {
  it('tell browser, address, factors, applications and times (S120)', async () => {
    const agent = createUserAgent(installation.first.origin, { 'user-agent': `Firefox ${'x'.repeat(500)}` });
    await signIn(acme, { agent });
    const [first] = await sessionsOf(acme);
    await signIn(acme, { agent, client: acme.clients.third });
    const sessions = await sessionsOf(acme);
    expect(sessions).toHaveLength(1);
    const [session] = sessions;
    expect(session).toMatchObject({
      id: first?.id,
      createdAt: first?.createdAt,
      address: '127.0.0.1',
      factors: ['pwd'],
    });
    expect(session?.userAgent).toMatch(/^Firefox x{292}$/);
    expect(session?.applications.map(({ name }) => name)).toEqual(['Somebody else', 'web']);
    expect(Number(session?.lastUsedAt)).toBeGreaterThan(Number(session?.createdAt));
    expect(Number(session?.expiresAt) - Number(session?.lastUsedAt)).toBeCloseTo(259_200_000, -4);
  });

  it('hold no value that opens anything', async () => {
    const { agent } = await signIn(acme);
    const shown = JSON.stringify(await sessionsOf(acme));
    for (const cookie of agent.cookies()) expect(shown).not.toContain(cookie.split('=')[1]);
  });
});

describe('ending a session', () => {
  it('ends it and everything under it on every server at once, and nothing else (S093, S154)', async () => {
    const mine = await signIn(acme);
    const [session] = await sessionsOf(acme);
    const other = await signIn(acme);
    const atThird = await signIn(acme, { agent: mine.agent, client: acme.clients.third });
    expect([await lifeOf(mine), await lifeOf(atThird), await lifeOf(other)]).toEqual([alive, alive, alive]);
    const ended = await revokeSession(installation.first.context, { tenantId: acme.id, sessionId: session?.id ?? '' });
    expect(ended).toMatchObject({ outcome: 'revoked' });
    expect([await lifeOf(mine), await lifeOf(atThird), await lifeOf(other)]).toEqual([dead, dead, alive]);
    expect([await isRefreshed(mine), await isRefreshed(atThird), await isRefreshed(other)]).toEqual([
      false,
      false,
      true,
    ]);
    const events = await readEvents(installation.first.database, { tenantId: acme.id, types: ['session.revoked'] });
    expect(events.at(-1)).toMatchObject({ actor_type: 'operator', target_id: session?.id });
  });

  it('happens once, however many ask for it', async () => {
    await signIn(acme);
    const [session] = await sessionsOf(acme);
    const types = ['session.revoked'];
    const before = await readEvents(installation.first.database, { tenantId: acme.id, types });
    const end = () => revokeSession(installation.first.context, { tenantId: acme.id, sessionId: session?.id ?? '' });
    const outcomes = (await Promise.all(Array.from({ length: 12 }, end))).map(({ outcome }) => outcome);
    expect(outcomes.sort()).toEqual(['revoked', ...Array(11).fill('unknown')]);
    const after = await readEvents(installation.first.database, { tenantId: acme.id, types });
    expect(after.length - before.length).toBe(1);
  });

  it('of another tenant or another person answers as for a random one, and ends nothing', async () => {
    const mine = await signIn(acme);
    const [session] = await sessionsOf(acme);
    const sessionId = session?.id ?? '';
    const { context } = installation.first;
    for (const ask of [
      { tenantId: globex.id, sessionId },
      { tenantId: acme.id, sessionId, userId: globex.person.id },
      { tenantId: acme.id, sessionId: 'x'.repeat(43) },
    ])
      expect(await revokeSession(context, ask)).toEqual({ outcome: 'unknown' });
    expect(await listPersonSessions(context, { tenantId: globex.id, userId: acme.person.id })).toEqual([]);
    expect(await lifeOf(mine)).toEqual(alive);
  });

  it('is not outrun by a code that is being exchanged, a token that is being refreshed or a browser that comes back', async () => {
    for (let round = 0; round < 8; round += 1) {
      const mine = await signIn(acme);
      const authorized = await authorize(mine.agent, { tenant: acme, client: acme.clients.third });
      const cookie = mine.agent.cookies().join('; ');
      const [session] = await sessionsOf(acme);
      const again = authorizationRequest(acme, acme.clients.third);
      const comesBack = (): Promise<Response> => fetch(again.url, { headers: { cookie }, redirect: 'manual' });
      const [exchanged, refreshed, returned] = await Promise.all([
        exchangeCode(acme, acme.clients.third, authorized),
        refresh(acme, mine.client, mine.refreshToken),
        comesBack(),
        revokeSession(installation.first.context, { tenantId: acme.id, sessionId: session?.id ?? '' }),
      ]);
      expect([exchanged.status, refreshed.status, returned.status].filter((status) => status >= 500)).toEqual([]);
      for (const [answer, client] of [
        [exchanged, acme.clients.third],
        [refreshed, mine.client],
      ] as const) {
        const tried = { ...mine, client, accessToken: String(answer.json['access_token']) };
        expect(await lifeOf(tried)).toEqual(dead);
        const successor = { ...mine, client, refreshToken: String(answer.json['refresh_token']) };
        expect(await isRefreshed(successor)).toBe(false);
      }
      const code = new URL(returned.headers.get('location') ?? '', acme.issuer).searchParams.get('code');
      if (code !== null) {
        const late = { code, verifier: again.verifier, callback: new URL(acme.issuer) };
        expect((await exchangeCode(acme, acme.clients.third, late)).status).toBe(400);
      }
    }
    expect(await sessionsOf(acme)).toEqual([]);
  }, 60_000);

  it('ends grants that the session itself has lost sight of', async () => {
    const mine = await signIn(acme);
    const [session] = await sessionsOf(acme);
    // As a request leaves it whose session was saved by another one at the same moment.
    await queryAsSuperuser(
      installation.first.database,
      `update artifacts set payload = (payload::jsonb - 'authorizations')::json where kind = 'Session' and session_uid = $1`,
      [session?.id],
    );
    await revokeSession(installation.first.context, { tenantId: acme.id, sessionId: session?.id ?? '' });
    expect(await lifeOf(mine)).toEqual(dead);
    expect(await isRefreshed(mine)).toBe(false);
  });
});

describe('ending everything of a person', () => {
  it('also ends what outlived its session, and leaves other people alone', async () => {
    const mine = await signIn(acme);
    const grace = { email: 'grace@acme.test', password: 'correct horse grace' };
    await addMember(installation.first.context, { ...grace, tenantId: acme.id, roles: ['user'], verified: true });
    const others = await signIn(acme, { person: grace });
    const [session] = await sessionsOf(acme);
    await queryAsSuperuser(installation.first.database, 'delete from artifacts where session_uid = $1 and kind = $2', [
      session?.id,
      'Session',
    ]);
    expect((await lifeOf(mine)).filter(Boolean)).toHaveLength(2);
    expect(await endAll(acme)).toEqual({ sessions: 0, grants: 1 });
    expect(await lifeOf(mine)).toEqual(dead);
    expect(await isRefreshed(mine)).toBe(false);
    expect(await lifeOf(others)).toEqual(alive);
    const events = await readEvents(installation.first.database, { tenantId: acme.id, types: ['grant.revoked'] });
    expect(events.at(-1)).toMatchObject({ target_id: acme.person.id });
  });

  it('keeps the one session that is named, and what is under it', async () => {
    const kept = await signIn(acme);
    const [session] = await sessionsOf(acme);
    const others = [await signIn(acme), await signIn(acme, { client: acme.clients.spa })];
    const ended = await revokePersonSessions(installation.first.context, {
      tenantId: acme.id,
      userId: acme.person.id,
      keptSessionId: session?.id,
      reason: 'password_changed',
    });
    expect(ended.sessions).toBe(2);
    expect(await lifeOf(kept)).toEqual(alive);
    expect(await isRefreshed(kept)).toBe(true);
    for (const other of others) expect(await lifeOf(other)).toEqual(dead);
    expect((await sessionsOf(acme)).map(({ id }) => id)).toEqual([session?.id]);
    const events = await readEvents(installation.first.database, { tenantId: acme.id, types: ['session.revoked'] });
    expect(events.slice(-2).map(({ reason }) => reason)).toEqual(['password_changed', 'password_changed']);
  });

  it('ends a sign-in whose password was given and that is not a session yet', async () => {
    const agent = createUserAgent(installation.first.origin);
    const page = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
    const { action, hidden } = readForm(page);
    const answered = await agent.request(new URL(action, page.url).href, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: installation.first.origin },
      body: new URLSearchParams({ ...hidden, email: acme.person.email, password: acme.person.password }).toString(),
    });
    await endAll(acme);
    const resumed = await agent.request(answered.headers.get('location') ?? '');
    expect(resumed.status).toBe(400);
    expect(await sessionsOf(acme)).toEqual([]);
  });
});

describe('ending everything of a tenant', () => {
  it('leaves the other tenants alone', async () => {
    const mine = await signIn(acme);
    const theirs = await signIn(globex);
    const ended = await revokeTenantSessions(installation.first.context, { tenantId: acme.id });
    expect(ended.sessions).toBeGreaterThanOrEqual(1);
    expect(await lifeOf(mine)).toEqual(dead);
    expect(await lifeOf(theirs)).toEqual(alive);
    const again = await revokeTenantSessions(installation.first.context, { tenantId: acme.id });
    expect(again).toEqual({ people: 0, sessions: 0, grants: 0 });
  });
});
