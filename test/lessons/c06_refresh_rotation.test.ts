/**
 * Row C6, refresh rotation: races, stale acceptance, reset after a restart (Keycloak CVE-2026-1035, CVE-2026-9802, better-auth
 * GHSA-392p-2q2v-4372, GHSA-pw9m-5jxm-xr6h). Two servers on one database; nothing about a chain is in a process's memory.
 */
import { randomUUID } from 'node:crypto';
import * as jose from 'jose';
import { callServer, type Installation, startInstallation } from '#test/support/installation.ts';
import { startServerProcess } from '#test/support/server_process.ts';
import { ageUsedValues, queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { createMovableClock, freePort, startTestServer } from '#test/support/test_server.ts';
import { authorize, createUserAgent, type EndpointAnswer, exchangeCode } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

let installation: Installation;
let acme: TestTenant;

beforeAll(async () => {
  installation = await startInstallation();
  acme = await createTestTenant(installation.first, 'acme');
});

afterAll(() => installation.close());

const portOf = (server: number): number => installation.ports[server % installation.ports.length] ?? 0;

async function signIn(client: TestClient = acme.clients.web): Promise<EndpointAnswer['json']> {
  const authorized = await authorize(createUserAgent(installation.first.origin), { tenant: acme, client });
  const tokens = await exchangeCode(acme, client, authorized);
  expect(tokens.status).toBe(200);
  return tokens.json;
}

function refreshAt(
  server: number,
  refreshToken: unknown,
  { client = acme.clients.web, tenant = acme, scope = '' } = {},
): Promise<EndpointAnswer> {
  return callServer(portOf(server), `${tenant.issuer}/token`, {
    client,
    form: {
      grant_type: 'refresh_token',
      refresh_token: String(refreshToken),
      ...(scope === '' ? {} : { scope }),
    },
  });
}

async function isActive(server: number, token: unknown): Promise<unknown> {
  const url = `${acme.issuer}/introspect`;
  const answer = await callServer(portOf(server), url, { client: acme.clients.web, form: { token: String(token) } });
  return answer.json['active'];
}

async function configureClient(client: TestClient, settings: object): Promise<void> {
  await queryAsSuperuser(
    installation.first.database,
    'update clients set settings = $3 where tenant_id = $1 and client_id = $2',
    [acme.id, client.clientId, JSON.stringify(settings)],
  );
}

/** Events of one grant's end; the sign-ins of a test have a session of their own. */
async function reuseEvents(): Promise<number> {
  const types = ['token.reuse_detected'];
  return (await readEvents(installation.first.database, { tenantId: acme.id, types })).length;
}

/** How many tokens of the same grant can be used next. */
async function leavesOf(refreshToken: unknown): Promise<number | undefined> {
  const rows = await queryAsSuperuser<{ n: number }>(
    installation.first.database,
    `select count(*)::int as n from artifacts where kind = 'RefreshToken' and consumed_at is null
        and grant_hash = (select grant_hash from artifacts where kind = 'RefreshToken' and id_hash = sha256($1))`,
    [Buffer.from(String(refreshToken))],
  );
  return rows[0]?.n;
}

describe('a refresh token', () => {
  it('gives one successor to a hundred parallel uses over two servers, and its family lives', async () => {
    const { refresh_token: first } = await signIn();
    const answers = await Promise.all(Array.from({ length: 100 }, (_, index) => refreshAt(index, first)));
    expect(answers.map(({ status, json }) => json['error'] ?? status)).toEqual(answers.map(() => 200));
    const successors = new Set(answers.map(({ json }) => json['refresh_token']));
    expect(successors.size).toBe(1);
    // Every answer's own access token is good, everywhere.
    expect(new Set(answers.map(({ json }) => json['access_token'])).size).toBe(100);
    expect(await isActive(1, answers[0]?.json['access_token'])).toBe(true);
    expect(await isActive(0, answers[99]?.json['access_token'])).toBe(true);
    expect(await leavesOf(first)).toBe(1);
    expect((await refreshAt(1, [...successors][0])).status).toBe(200);
  });

  it('that comes back after its grace ends everything, everywhere, and is told of once', async () => {
    const before = await reuseEvents();
    const tokens = await signIn();
    const second = (await refreshAt(0, tokens['refresh_token'])).json;
    const third = (await refreshAt(1, second['refresh_token'])).json;
    await ageUsedValues(installation.first.database, 11);
    const replays = await Promise.all(Array.from({ length: 16 }, (_, n) => refreshAt(n, tokens['refresh_token'])));
    expect(replays.map(({ status, json }) => [status, json['error']])).toEqual(
      replays.map(() => [400, 'invalid_grant']),
    );
    for (const server of [0, 1]) {
      expect(await isActive(server, tokens['access_token'])).toBe(false);
      expect(await isActive(server, third['access_token'])).toBe(false);
      expect(await isActive(server, third['refresh_token'])).toBe(false);
      expect((await refreshAt(server, third['refresh_token'])).json['error']).toBe('invalid_grant');
    }
    expect(await reuseEvents()).toBe(before + 1);
    // Whose it was, for who must act on it.
    const told = await queryAsSuperuser<Record<string, unknown>>(
      installation.first.database,
      `select type, actor_id, target_type, target_id, client_id, session_id, data ->> 'user' as "user" from events
        where type in ('token.reuse_detected', 'grant.revoked') order by occurred_at desc, id desc limit 2`,
    );
    const { clientId } = acme.clients.web;
    const session_id = jose.decodeJwt(String(tokens['id_token']))['sid'];
    const known = { actor_id: clientId, client_id: clientId, session_id };
    expect(told).toContainEqual(
      expect.objectContaining({
        ...known,
        type: 'token.reuse_detected',
        target_type: 'user',
        target_id: acme.person.id,
      }),
    );
    expect(told).toContainEqual(
      expect.objectContaining({ ...known, type: 'grant.revoked', target_type: 'grant', user: acme.person.id }),
    );
  });

  it('of a client that cannot authenticate tells nobody whether it was used', async () => {
    const { spa } = acme.clients;
    const { refresh_token: first } = await signIn(spa);
    const asked = { client: spa, form: { token: String(first), token_type_hint: 'refresh_token' } };
    const state = async (): Promise<unknown> => (await callServer(portOf(1), `${acme.issuer}/introspect`, asked)).json;
    // A thief would ask until the owner has rotated, and repeat the token in the owner's grace.
    const before = await state();
    expect((await refreshAt(0, first, { client: spa })).status).toBe(200);
    expect(await state()).toEqual(before);
    expect(before).toEqual({ active: false });
  });

  it('repeated within its grace gives the newest of its chain, however far the chain went on', async () => {
    const { refresh_token: first } = await signIn();
    let newest: unknown = first;
    for (let step = 0; step < 5; step += 1) newest = (await refreshAt(step, newest)).json['refresh_token'];
    for (const server of [0, 1]) {
      expect((await refreshAt(server, first)).json['refresh_token']).toBe(newest);
      expect(await isActive(server, first)).toBe(false);
    }
    expect((await refreshAt(0, newest)).status).toBe(200);
  });

  it('repeated with a narrower scope narrows the access token and leaves the chain as it is', async () => {
    const { refresh_token: first } = await signIn();
    const whole = (await refreshAt(0, first)).json;
    const narrow = (await refreshAt(1, first, { scope: 'openid' })).json;
    expect(narrow['scope']).toBe('openid');
    expect(narrow['refresh_token']).toBe(whole['refresh_token']);
    expect((await refreshAt(0, narrow['refresh_token'])).json['scope']).toBe('openid profile email');
  });

  it('can be repeated only by the client and in the tenant it was given to', async () => {
    const globex = await createTestTenant(installation.first, `globex-${randomUUID().slice(0, 8)}`);
    const { refresh_token: first } = await signIn();
    const { refresh_token: second } = (await refreshAt(0, first)).json;
    expect((await refreshAt(1, first, { client: acme.clients.third })).json['error']).toBe('invalid_grant');
    expect((await refreshAt(1, first, { client: acme.clients.spa })).json['error']).toBe('invalid_grant');
    expect((await refreshAt(1, first, { client: globex.clients.web, tenant: globex })).json['error']).toBe(
      'invalid_grant',
    );
    // A stranger who shows it costs the owner nothing.
    expect((await refreshAt(0, second)).status).toBe(200);
  });

  it('that is bound to a key is repeated with that key only', async () => {
    const { spa } = acme.clients;
    const keys = await Promise.all([jose.generateKeyPair('ES256'), jose.generateKeyPair('ES256')]);
    const proof = async (index: number): Promise<Readonly<Record<string, string>>> => {
      const { privateKey, publicKey } = keys[index] ?? keys[0];
      const dpop = await new jose.SignJWT({ htm: 'POST', htu: `${acme.issuer}/token` })
        .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: await jose.exportJWK(publicKey) })
        .setJti(randomUUID())
        .setIssuedAt()
        .sign(privateKey);
      return { dpop };
    };
    const { code, verifier } = await authorize(createUserAgent(installation.first.origin), {
      tenant: acme,
      client: spa,
    });
    const url = `${acme.issuer}/token`;
    const exchange = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: callbackUri };
    const tokens = await callServer(portOf(0), url, { client: spa, form: exchange, headers: await proof(0) });
    expect(tokens.json['token_type']).toBe('DPoP');
    const form = { grant_type: 'refresh_token', refresh_token: String(tokens.json['refresh_token']) };
    const first = await callServer(portOf(1), url, { client: spa, form, headers: await proof(0) });
    const stranger = await callServer(portOf(0), url, { client: spa, form, headers: await proof(1) });
    expect(stranger.json['error']).toBe('invalid_grant');
    expect((await callServer(portOf(0), url, { client: spa, form })).json['error']).toBe('invalid_grant');
    const again = await callServer(portOf(0), url, { client: spa, form, headers: await proof(0) });
    expect(again.json['refresh_token']).toBe(first.json['refresh_token']);
  });

  it('of a strict client is used once: of parallel uses one wins, and coming again ends the grant', async () => {
    const client = acme.clients.third;
    await configureClient(client, { refresh_grace_seconds: 0 });
    const { refresh_token: first } = await signIn(client);
    const answers = await Promise.all(Array.from({ length: 12 }, (_, n) => refreshAt(n, first, { client })));
    const winners = answers.filter(({ status }) => status === 200);
    expect(winners).toHaveLength(1);
    expect((await refreshAt(1, first, { client })).json['error']).toBe('invalid_grant');
    expect((await refreshAt(0, winners[0]?.json['refresh_token'], { client })).json['error']).toBe('invalid_grant');
    await configureClient(client, {});
  });

  it('has the grace that its client registered, up to a minute', async () => {
    const client = acme.clients.third;
    await configureClient(client, { refresh_grace_seconds: 60 });
    const { refresh_token: first } = await signIn(client);
    const { refresh_token: second } = (await refreshAt(0, first, { client })).json;
    await ageUsedValues(installation.first.database, 59);
    expect((await refreshAt(1, first, { client })).json['refresh_token']).toBe(second);
    await ageUsedValues(installation.first.database, 2);
    expect((await refreshAt(1, first, { client })).json['error']).toBe('invalid_grant');
    await configureClient(client, {});
  });

  it('whose successor was made and whose answer was lost with the server is repeated at another', async () => {
    const port = await freePort();
    const dying = await startServerProcess({
      database: installation.first.database,
      port,
      publicUrl: installation.first.origin,
    });
    const { refresh_token: first } = await signIn();
    const rotated = async (): Promise<boolean> => {
      const rows = await queryAsSuperuser<{ used: boolean }>(
        installation.first.database,
        `select consumed_at is not null as used from artifacts where kind = 'RefreshToken' and id_hash = sha256($1)`,
        [Buffer.from(String(first))],
      );
      return rows[0]?.used === true;
    };
    const lost = callServer(port, `${acme.issuer}/token`, {
      client: acme.clients.web,
      form: { grant_type: 'refresh_token', refresh_token: String(first) },
    }).catch(() => undefined);
    // The commit is in the database; whether the answer came through or not, it is treated as lost.
    while (!(await rotated()));
    await dying.killAtOnce();
    await lost;
    const again = await refreshAt(1, first);
    expect(again.status).toBe(200);
    expect((await refreshAt(0, again.json['refresh_token'])).status).toBe(200);
  });

  it('does not mind servers whose clocks are hours apart', async () => {
    const ahead = createMovableClock();
    ahead.advance(3 * 3600);
    const other = await startTestServer({ beside: installation.first, clock: ahead.clock });
    const port = other.config.http.port;
    const at = (url: string, refreshToken: unknown): Promise<EndpointAnswer> =>
      callServer(port, url, {
        client: acme.clients.web,
        form: { grant_type: 'refresh_token', refresh_token: String(refreshToken) },
      });
    try {
      const { refresh_token: first } = await signIn();
      const second = (await refreshAt(0, first)).json['refresh_token'];
      expect((await at(`${acme.issuer}/token`, first)).json['refresh_token']).toBe(second);
      const third = (await at(`${acme.issuer}/token`, second)).json['refresh_token'];
      expect((await refreshAt(0, second)).json['refresh_token']).toBe(third);
      await ageUsedValues(installation.first.database, 11);
      expect((await at(`${acme.issuer}/token`, first)).json['error']).toBe('invalid_grant');
    } finally {
      await other.close();
    }
  });
});
