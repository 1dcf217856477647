/**
 * OpenID Connect Back-Channel Logout 1.0, seen from the application: a real receiver, jose and openid-client as its eyes. Nobody
 * waits for time to pass: it is passed in.
 */
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { createClient, disableClient } from '#src/flows/clients/manage_clients.ts';
import { changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { createLogoutDelivery, type LogoutDelivery } from '#src/flows/sessions/deliver_backchannel_logouts.ts';
import {
  listBackchannelLogouts,
  listPersonSessions,
  requeueBackchannelLogouts,
  revokePersonSessions,
  revokeSession,
  revokeTenantSessions,
} from '#src/flows/sessions/manage_sessions.ts';
import { sweepDeliveredLogouts, sweepExpiredSessions } from '#src/flows/sweep.ts';
import { createEgress, type Egress } from '#src/gateways/egress.ts';
import { countDeadLogouts } from '#src/storage/tables/backchannel_logouts.ts';
import { createCertificateAuthority } from '#test/support/certificates.ts';
import { type LogoutReceiver, startLogoutReceiver } from '#test/support/logout_receiver.ts';
import { discoverAs, signInWith } from '#test/support/relying_party.ts';
import { startWorkerProcess } from '#test/support/server_process.ts';
import { eventually } from '#test/support/sql.ts';
import { ageUsedValues, queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { callEndpoint, createUserAgent, refresh, type UserAgent } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

const egressAllow = '127.0.0.1';
const time = createMovableClock();
let server: TestServer;
let beside: TestServer;
let acme: TestTenant;
const receivers: LogoutReceiver[] = [];

beforeAll(async () => {
  server = await startTestServer({ environment: { POORT_EGRESS_ALLOW: egressAllow } });
  beside = await startTestServer({ beside: server, environment: { POORT_EGRESS_ALLOW: egressAllow } });
  acme = await createTestTenant(server, 'acme');
});

afterAll(async () => {
  await Promise.all(receivers.map((receiver) => receiver.close()));
  await beside.close();
  await server.close();
});

const retry = { maximumAttempts: 12, firstRetrySeconds: 5, maximumRetrySeconds: 3600 };
const quick = { timeLimitSeconds: 5, maximumBodyBytes: 10_000, maximumPerHost: 8 };

function deliveryOf(
  at: TestServer,
  {
    egress = at.server.house.egress,
    settings = retry,
  }: { egress?: Pick<Egress, 'call'>; settings?: typeof retry } = {},
): LogoutDelivery {
  const { database, sealer } = at.server.house;
  return createLogoutDelivery({
    database,
    sealer,
    egress,
    settings,
    clock: time.clock,
    publicUrl: server.origin,
    random: () => 1,
  });
}

async function startReceiver(options?: Parameters<typeof startLogoutReceiver>[0]): Promise<LogoutReceiver> {
  const receiver = await startLogoutReceiver(options);
  receivers.push(receiver);
  return receiver;
}

async function registerAt(tenant: TestTenant, url: string): Promise<TestClient> {
  const created = await createClient(server.context, {
    tenantId: tenant.id,
    client: {
      name: `app ${url}`,
      type: 'web',
      firstParty: true,
      redirectUris: [callbackUri],
      postLogoutRedirectUris: ['http://localhost:9/signed-out'],
      backchannelLogoutUri: url,
    },
  });
  if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
  return { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
}

async function signIn(client: TestClient, agent = createUserAgent(server.origin), tenant = acme) {
  const configuration = await discoverAs(tenant, client);
  const { tokens } = await signInWith(configuration, { agent, person: tenant.person });
  return { agent, tokens, sid: tokens.claims()?.['sid'], refreshToken: tokens.refresh_token ?? '' };
}

/** A receiver, its client, and a person who is signed in there. */
async function signedInApplication(tenant = acme) {
  const receiver = await startReceiver();
  const client = await registerAt(tenant, receiver.url);
  return { receiver, client, ...(await signIn(client, createUserAgent(server.origin), tenant)) };
}

/** As an application must (§2.6). */
async function verified(token: string, client: TestClient, tenant = acme) {
  const keys = createRemoteJWKSet(new URL(`${tenant.issuer}/jwks`));
  const options = { issuer: tenant.issuer, audience: client.clientId, typ: 'logout+jwt', currentDate: time.clock() };
  return (await jwtVerify(token, keys, options)).payload;
}

const endAll = (tenant = acme) =>
  revokePersonSessions(server.context, { tenantId: tenant.id, userId: tenant.person.id });

const logoutsOf = async (client: TestClient) =>
  (await listBackchannelLogouts(server.context, { tenantId: acme.id })).filter(
    ({ client_id }) => client_id === client.clientId,
  );

async function signOut(agent: UserAgent, idToken: string): Promise<number> {
  const page = await agent.request(`${acme.issuer}/logout?id_token_hint=${idToken}`);
  return (await agent.submit(page, { logout: 'yes' })).status;
}

describe('a logout token (S214)', () => {
  it('is announced, sent after the person signed out, and says what the specification asks for', async () => {
    const { receiver, client, agent, tokens, sid } = await signedInApplication();
    const metadata = (await discoverAs(acme, client)).serverMetadata();
    expect(metadata).toMatchObject({ backchannel_logout_supported: true, backchannel_logout_session_supported: true });
    expect(await signOut(agent, tokens.id_token ?? '')).toBe(200);
    // Nobody waited for the application, and the engine told it nothing by itself.
    expect(receiver.tokens).toEqual([]);
    expect(await deliveryOf(server).deliverDue()).toEqual({ delivered: 1, postponed: 0, dead: 0 });
    const [token = ''] = receiver.tokens;
    const claims = await verified(token, client);
    expect(claims).toEqual({
      iss: acme.issuer,
      aud: client.clientId,
      sub: acme.person.id,
      sid,
      iat: expect.any(Number),
      exp: (claims.iat ?? 0) + 120,
      jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
      events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
    });
    const signedAs = ({ alg, kid }: { alg?: string; kid?: string }) => ({ alg, kid });
    expect(signedAs(decodeProtectedHeader(token))).toEqual(signedAs(decodeProtectedHeader(tokens.id_token ?? '')));
    expect(await deliveryOf(server).deliverDue()).toEqual({ delivered: 0, postponed: 0, dead: 0 });
    const types = ['backchannel_logout.delivered'];
    const events = await readEvents(server.database, { tenantId: acme.id, types });
    expect(events).toMatchObject([{ client_id: client.clientId, target_id: client.clientId, actor_type: 'system' }]);
  });

  it('goes to every application of the session, and to none of another session or tenant', async () => {
    const globex = await createTestTenant(server, 'globex', acme.person.email);
    const one = await signedInApplication();
    const two = await signedInApplication();
    const elsewhere = await signedInApplication(globex);
    const both = await signIn(two.client, one.agent);
    const [session] = await listPersonSessions(server.context, { tenantId: acme.id, userId: acme.person.id });
    const sessions = await listPersonSessions(server.context, { tenantId: acme.id, userId: acme.person.id });
    const shared = sessions.find(({ applications }) => applications.length === 2) ?? session;
    await revokeSession(server.context, { tenantId: acme.id, sessionId: shared?.id ?? '' });
    await deliveryOf(server).deliverDue();
    expect([one, two, elsewhere].map(({ receiver }) => receiver.tokens.length)).toEqual([1, 1, 0]);
    expect((await verified(one.receiver.tokens[0] ?? '', one.client))['sid']).toBe(one.sid);
    expect((await verified(two.receiver.tokens[0] ?? '', two.client))['sid']).toBe(both.sid);
    await endAll();
    await deliveryOf(server).deliverDue();
    expect(two.receiver.tokens).toHaveLength(2);
    expect((await verified(two.receiver.tokens[1] ?? '', two.client))['sid']).toBe(two.sid);
  });

  it.each<[string, (application: Awaited<ReturnType<typeof signedInApplication>>) => Promise<unknown>]>([
    ['an operator ended all of the person', () => endAll()],
    ['an operator ended all of the tenant', () => revokeTenantSessions(server.context, { tenantId: acme.id })],
    [
      'the person was disabled',
      async () => {
        const change = { tenantId: acme.id, email: acme.person.email };
        await changeMembershipStatus(server.context, { ...change, status: 'disabled' });
        await changeMembershipStatus(server.context, { ...change, status: 'active' });
      },
    ],
    [
      'a refresh token was used again',
      async ({ client, refreshToken }) => {
        expect((await refresh(acme, client, refreshToken)).status).toBe(200);
        await ageUsedValues(server.database, 3600);
        expect((await refresh(acme, client, refreshToken)).status).toBe(400);
      },
    ],
    [
      'the session expired',
      async () => {
        await queryAsSuperuser(
          server.database,
          `update artifacts set expires_at = now() - interval '6 minutes' where kind = 'Session' and tenant_id = $1`,
          [acme.id],
        );
        const { database, clock } = server.context;
        expect(await sweepExpiredSessions(database, clock)).toBe(1);
        expect(await sweepExpiredSessions(database, clock)).toBe(0);
      },
    ],
    [
      'all of the person ended after the session itself was gone',
      async () => {
        await queryAsSuperuser(server.database, `delete from artifacts where kind = 'Session'`);
        await endAll();
      },
    ],
  ])('is sent once when %s', async (_name, end) => {
    await endAll();
    await deliveryOf(server).deliverDue();
    const application = await signedInApplication();
    await end(application);
    await deliveryOf(server).deliverDue();
    expect(application.receiver.tokens).toHaveLength(1);
    expect((await verified(application.receiver.tokens[0] ?? '', application.client))['sid']).toBe(application.sid);
  });

  it('is not sent to an application that gave its own token back, and is to one that the person signed out of alone', async () => {
    const { client, receiver, agent, tokens, refreshToken, sid } = await signedInApplication();
    const revoked = await callEndpoint(acme.issuer, '/revoke', { client, form: { token: refreshToken } });
    expect(revoked.status).toBe(200);
    expect(await logoutsOf(client)).toEqual([]);
    const other = await signIn(client);
    const page = await other.agent.request(`${acme.issuer}/logout?id_token_hint=${other.tokens.id_token}`);
    await other.agent.submit(page, {});
    await deliveryOf(server).deliverDue();
    expect(receiver.tokens).toHaveLength(1);
    expect((await verified(receiver.tokens[0] ?? '', client))['sid']).toBe(other.sid);
    // And the first one when its session ends.
    await signOut(agent, tokens.id_token ?? '');
    await deliveryOf(server).deliverDue();
    expect((await verified(receiver.tokens[1] ?? '', client))['sid']).toBe(sid);
  });

  it('is owed once, however many endings come at the same time', async () => {
    const { client, receiver } = await signedInApplication();
    const sessions = await listPersonSessions(server.context, { tenantId: acme.id, userId: acme.person.id });
    const endings = [server, beside, server, beside].flatMap((at) =>
      sessions.map(({ id }) => revokeSession(at.context, { tenantId: acme.id, sessionId: id })),
    );
    await Promise.all([...endings, endAll(), endAll()]);
    expect(await logoutsOf(client)).toHaveLength(1);
    await Promise.all([deliveryOf(server).deliverDue(), deliveryOf(beside).deliverDue()]);
    expect(receiver.tokens).toHaveLength(1);
  });
});

describe('an application that does not answer', () => {
  it('is told when it is back, with the same jti, later and later', async () => {
    const { receiver, client } = await signedInApplication();
    receiver.behave((response) => void response.writeHead(503).end());
    await endAll();
    const delivery = deliveryOf(server);
    // With chance at its end the pauses are 5, 10, 20 and 40 s: tried at 0, 5, 15 and 35, and not in between.
    for (let second = 0; second < 60; second += 1) {
      await delivery.deliverDue();
      time.advance(1);
    }
    expect(receiver.tokens).toHaveLength(4);
    const [waiting] = await logoutsOf(client);
    expect(waiting).toMatchObject({ state: 'waiting', attempts: 4, problem: 'answered 503' });
    receiver.behave((response) => void response.writeHead(204).end());
    time.advance(40);
    expect(await delivery.deliverDue()).toEqual({ delivered: 1, postponed: 0, dead: 0 });
    const claims = await Promise.all(receiver.tokens.slice(-1).map((token) => verified(token, client)));
    expect(claims[0]?.jti).toBe(waiting?.id);
    const jtis = receiver.tokens.map((token) =>
      JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()),
    );
    expect(new Set(jtis.map(({ jti }) => jti))).toEqual(new Set([waiting?.id]));
  });

  it('is given up at last, which is seen, and can be tried again', async () => {
    const { receiver, client } = await signedInApplication();
    receiver.behave((response) => void response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end());
    await endAll();
    const delivery = deliveryOf(server, { settings: { ...retry, maximumAttempts: 3 } });
    for (let attempt = 1; attempt <= 5; attempt += 1) {
      await delivery.deliverDue();
      time.advance(3600);
    }
    expect(receiver.tokens).toHaveLength(3);
    expect(await logoutsOf(client)).toMatchObject([{ state: 'dead', attempts: 3, problem: 'answered 302' }]);
    expect(await countDeadLogouts(server.context.database)).toBe(1);
    const types = ['backchannel_logout.given_up'];
    expect(await readEvents(server.database, { tenantId: acme.id, types })).toMatchObject([
      { outcome: 'failure', reason: 'answered 302', client_id: client.clientId },
    ]);
    receiver.behave((response) => void response.end());
    expect(await requeueBackchannelLogouts(server.context, { tenantId: acme.id })).toBe(1);
    expect(await requeueBackchannelLogouts(server.context, { tenantId: acme.id })).toBe(0);
    expect(await delivery.deliverDue()).toMatchObject({ delivered: 1 });
    expect(await logoutsOf(client)).toMatchObject([{ state: 'delivered', attempts: 1, problem: null }]);
  });

  it('holds up no other one', async () => {
    const slow = await signedInApplication();
    const prompt = await signedInApplication();
    const hanging: (() => void)[] = [];
    slow.receiver.behave((response) => void hanging.push(() => void response.end()));
    for (let more = 0; more < 20; more += 1) await signIn(slow.client);
    await endAll();
    const delivery = deliveryOf(server);
    const runs = [delivery.deliverDue(), delivery.deliverDue()];
    await eventually('the prompt application has heard', () => prompt.receiver.tokens.length === 1);
    await eventually('the slow one is being called', () => hanging.length > 0);
    // Its messages hold a few places, and no run waits to fill more.
    expect(hanging.length).toBeLessThanOrEqual(4);
    const later = await signedInApplication();
    await endAll();
    runs.push(delivery.deliverDue());
    await eventually('another prompt one has heard', () => later.receiver.tokens.length === 1);
    slow.receiver.behave((response) => void response.end());
    for (const release of hanging) release();
    await Promise.all(runs);
    await delivery.deliverDue();
    expect((await logoutsOf(slow.client)).every(({ state }) => state === 'delivered')).toBe(true);
    expect(slow.receiver.tokens).toHaveLength(21);
  }, 30_000);

  it('is not called any more when it is disabled', async () => {
    const { receiver, client } = await signedInApplication();
    await endAll();
    await disableClient(server.context, { tenantId: acme.id, clientId: client.clientId });
    await deliveryOf(server).deliverDue();
    expect(receiver.tokens).toEqual([]);
    expect((await logoutsOf(client))[0]?.problem).toMatch(/disabled/);
  });

  it('is not called when its host may not be (any more)', async () => {
    const { receiver, client } = await signedInApplication();
    await endAll();
    await deliveryOf(server, { egress: createEgress({ ...quick, allowed: [] }) }).deliverDue();
    expect(receiver.tokens).toEqual([]);
    expect(await logoutsOf(client)).toMatchObject([{ state: 'waiting', problem: 'refused: special_address' }]);
  });
});

describe('delivery', () => {
  it('goes over https to a name, checked against the authorities it trusts', async () => {
    const authority = createCertificateAuthority();
    const receiver = await startReceiver({ host: 'app.example', certificate: authority.issue('app.example') });
    const client = await registerAt(acme, receiver.url);
    await signIn(client);
    await endAll();
    const settings = { ...quick, allowed: ['127.0.0.1/32'] };
    const resolve = async (): Promise<readonly string[]> => ['127.0.0.1'];
    await deliveryOf(server, { egress: createEgress(settings, { resolve }) }).deliverDue();
    expect((await logoutsOf(client))[0]?.problem).toMatch(/^untrusted_certificate/);
    expect(receiver.tokens).toEqual([]);
    time.advance(60);
    const egress = createEgress(settings, { resolve, certificateAuthorities: [authority.certificate] });
    await deliveryOf(server, { egress }).deliverDue();
    await verified(receiver.tokens[0] ?? '', client);
  });

  it('is shared by several workers, each logout told once', async () => {
    const applications = [await signedInApplication(), await signedInApplication(), await signedInApplication()];
    for (const { client } of applications) for (let more = 0; more < 10; more += 1) await signIn(client);
    await endAll();
    const counts = await Promise.all([server, beside, server, beside].map((at) => deliveryOf(at).deliverDue()));
    expect(counts.reduce((sum, { delivered }) => sum + delivered, 0)).toBe(33);
    for (const { receiver } of applications) {
      expect(receiver.tokens).toHaveLength(11);
      expect(new Set(receiver.tokens).size).toBe(11);
    }
  }, 30_000);

  it('loses nothing when a worker is killed in the middle', async () => {
    const { receiver, client } = await signedInApplication();
    receiver.behave(() => undefined);
    await endAll();
    // As late as the clock of these tests is, so that it is due by the worker's own.
    await queryAsSuperuser(server.database, `update backchannel_logouts set due_at = now() where state = 'waiting'`);
    const worker = await startWorkerProcess({
      database: server.database,
      publicUrl: server.origin,
      egressAllow,
      watched: true,
    });
    await eventually('the worker has it in hand', () => receiver.tokens.length === 1, 30_000);
    await worker.killAtOnce();
    receiver.behave((response) => void response.end());
    const [owed] = await logoutsOf(client);
    expect(owed).toMatchObject({ state: 'waiting', attempts: 1 });
    time.advance(300);
    expect(await deliveryOf(server).deliverDue()).toMatchObject({ delivered: 1 });
    expect((await verified(receiver.tokens[1] ?? '', client)).jti).toBe(owed?.id);
  }, 60_000);

  it('is what `poort worker` does by itself, and what it delivered is forgotten', async () => {
    const { receiver, client } = await signedInApplication();
    const worker = await startWorkerProcess({ database: server.database, publicUrl: server.origin, egressAllow });
    await endAll();
    await eventually('the application has heard', () => receiver.tokens.length === 1, 30_000);
    expect(await worker.stop()).toBe(0);
    expect(await logoutsOf(client)).toMatchObject([{ state: 'delivered' }]);
    await queryAsSuperuser(
      server.database,
      `update backchannel_logouts set expires_at = now() - interval '25 hours' where state = 'delivered'`,
    );
    expect(await sweepDeliveredLogouts(server.context.database)).toBeGreaterThan(0);
    expect(await logoutsOf(client)).toEqual([]);
  }, 60_000);

  it('of a worker that was away too long does not overwrite what another one did', async () => {
    const { receiver, client } = await signedInApplication();
    await endAll();
    const held: (() => void)[] = [];
    receiver.behave((response) => void held.push(() => void response.writeHead(500).end()));
    const first = deliveryOf(server).deliverDue();
    await eventually('the first worker waits', () => held.length === 1);
    time.advance(300);
    receiver.behave((response) => void response.end());
    expect(await deliveryOf(beside).deliverDue()).toMatchObject({ delivered: 1 });
    held[0]?.();
    expect(await first).toMatchObject({ postponed: 0 });
    expect(await logoutsOf(client)).toMatchObject([{ state: 'delivered', attempts: 2, problem: null }]);
  });
});
