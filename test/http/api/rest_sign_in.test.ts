/**
 * Signing in over REST: an application of the tenant asks for the password itself, and what it gets is what everybody gets. Everything
 * that an attacker could hope to find a second way around: limits, second factors, tenants, clients, reuse, sign-out.
 */
import { restClientId } from '#adapters/artifacts_adapter.ts';
import { updateClient } from '#src/flows/clients/manage_clients.ts';
import { changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { callApi, personToken } from '#test/support/api_calls.ts';
import { callAuth, logIn, sessionIn } from '#test/support/rest.ts';
import { giveBackupCodes, newPersonWithTotp, totpCode } from '#test/support/second_factor.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  callEndpoint,
  createUserAgent,
  exchangeCode,
  introspect,
  refresh,
} from '#test/support/user_agent.ts';
import { createTestTenant, newPerson, type TestTenant } from '#test/support/world.ts';

const time = createMovableClock();
const restClient = { clientId: restClientId, clientSecret: '' };

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  server = await startTestServer({
    clock: time.clock,
    change: (config) => ({ ...config, signIn: { ...config.signIn, maximumPerAddress: 100_000 } }),
  });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

const codeOf = ({ json }: { readonly json: Readonly<Record<string, unknown>> }): unknown => json['code'];

function events(type: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
  return queryAsSuperuser(
    server.database,
    'select type, outcome, reason, client_id, session_id, data from events where type = $1 order by id',
    [type],
  );
}

describe('a sign-in over REST', () => {
  it('gives who it is, an access token and a refresh token, and nothing else', async () => {
    const person = await newPerson(server, acme);
    const answer = await callAuth(acme, '/login', { ...person, id: undefined, token_delivery: 'body' });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.json).toEqual({
      data: {
        user: expect.objectContaining({ id: person.id, email: person.email, roles: [], email_verified: true }),
        access_token: expect.stringMatching(/^at_/),
        token_type: 'Bearer',
        expires_in: 900,
        refresh_token: expect.stringMatching(/^rt_/),
      },
    });
    expect(JSON.stringify(answer.json)).not.toMatch(/hash|secret/);
  });

  it('is answered under the addresses of earlier services', async () => {
    const { email, password } = acme.person;
    const login = await fetch(`${acme.issuer}/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email, password, token_delivery: 'body' }),
    });
    const session = sessionIn({
      status: login.status,
      headers: login.headers,
      json: (await login.json()) as Record<string, unknown>,
    });
    const me = await fetch(`${acme.issuer}/auth/me`, { headers: { authorization: `Bearer ${session.accessToken}` } });
    expect(await me.json()).toMatchObject({ email, tenant: 'acme' });
    const lost = await fetch(`${acme.issuer}/auth/nowhere`, { headers: { accept: 'text/html' } });
    expect([lost.status, lost.headers.get('content-type')]).toEqual([404, 'application/problem+json; charset=utf-8']);
  });

  it('tells who you are, and how you signed in', async () => {
    const { accessToken } = await logIn(acme, acme.person);
    const me = await callApi(acme.issuer, '/auth/me', { token: accessToken });
    expect(me.json).toMatchObject({
      id: acme.person.id,
      name: 'Ada Lovelace',
      roles: expect.arrayContaining(['admin', 'user']),
      permissions: expect.arrayContaining(['users:write']),
      tenant: 'acme',
      client_id: restClientId,
      session: { amr: ['pwd'], acr: 'urn:poort:acr:password' },
      mfa_verified: false,
    });
  });

  it('takes a name instead of an address, where the tenant has names', async () => {
    const named = await createTestTenant(server, 'named');
    await configureTenant(server.context, { id: named.id, changes: [{ name: 'people.usernames', value: true }] });
    const person = await newPerson(server, named);
    const put = async (tenant: TestTenant) => {
      const { accessToken: token } = await logIn(tenant, tenant === named ? person : tenant.person);
      return callApi(tenant.issuer, '/user/profile', { token, method: 'PUT', body: { username: 'Grace' } });
    };
    expect((await put(named)).json).toMatchObject({ username: 'Grace' });
    expect((await put(acme)).json).toMatchObject({ errors: [{ pointer: '#/username', code: 'unknown' }] });
    const byName = await callAuth(named, '/login', { username: 'grace', password: person.password });
    expect(byName.json).toMatchObject({ data: { user: { id: person.id, username: 'Grace' } } });
    expect((await callAuth(acme, '/login', { username: 'grace', password: person.password })).status).toBe(401);
  });

  it('refuses an unknown address, a wrong password, a stranger and somebody shut out in the same words', async () => {
    const [stranger, shutOut, member] = [
      await newPerson(server, globex),
      await newPerson(server, acme),
      await newPerson(server, acme),
    ];
    await changeMembershipStatus(server.context, { tenantId: acme.id, email: shutOut.email, status: 'disabled' });
    const tried = [
      { email: 'nobody@acme.test', password: member.password },
      { email: member.email, password: 'not the password' },
      stranger,
      shutOut,
    ];
    const answers = [];
    for (const { email, password } of tried) {
      const trips = server.context.database.roundTrips();
      const { status, json, headers } = await callAuth(acme, '/login', { email, password });
      const { instance, request_id, ...said } = json;
      const names = [...headers.keys()].filter((name) => name !== 'content-length').sort();
      answers.push({ status, said, names, trips: server.context.database.roundTrips() - trips });
    }
    const [first] = answers;
    expect(first).toMatchObject({ status: 401, said: { code: 'invalid_credentials' } });
    for (const answer of answers) expect(answer).toEqual(first);
  });

  it('counts what was tried together with the hosted pages, and locks both', async () => {
    const person = await newPerson(server, acme);
    const agent = createUserAgent(server.origin);
    const page = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
    for (let tries = 0; tries < 3; tries += 1) await agent.submit(page, { email: person.email, password: 'wrong' });
    const tried = [];
    for (let tries = 0; tries < 3; tries += 1)
      tried.push((await callAuth(acme, '/login', { email: person.email, password: 'wrong' })).status);
    expect(tried).toEqual([401, 401, 429]);
    // The right password does not help: neither here nor there.
    const locked = await callAuth(acme, '/login', { email: person.email, password: person.password });
    expect([locked.status, codeOf(locked)]).toEqual([429, 'too_many_requests']);
    expect(Number(locked.headers.get('retry-after'))).toBeGreaterThan(600);
    const there = await agent.submit(page, { email: person.email, password: person.password });
    expect(there.status).toBe(429);
  });

  it.each([
    ['no name', { password: 'x' }, '#/email'],
    ['two names', { email: 'a@b.nl', username: 'a', password: 'x' }, '#/email'],
    ['no password', { email: 'a@b.nl' }, '#/password'],
    ['a number for a password', { email: 'a@b.nl', password: 1 }, '#/password'],
    ['what it does not know', { email: 'a@b.nl', password: 'x', roles: ['admin'] }, '#/roles'],
    ['NUL', { email: 'a\u0000@b.nl', password: 'x' }, '#/email'],
    ['another delivery', { email: 'a@b.nl', password: 'x', token_delivery: 'header' }, '#/token_delivery'],
  ])('refuses %s, and says where', async (_what, body, pointer) => {
    const answer = await callAuth(acme, '/login', body);
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ code: 'invalid_request', errors: [expect.objectContaining({ pointer })] });
  });

  it('takes nothing but JSON: no form of another site can be one', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
      const { email, password } = acme.person;
      const answer = await fetch(`${acme.issuer}/api/v1/auth/login`, {
        method: 'POST',
        headers: { 'content-type': type },
        body: JSON.stringify({ email, password }),
      });
      expect([type, answer.status]).toEqual([type, 415]);
    }
  });

  it('is not to be had where the tenant has switched it off, and what was given goes on to end', async () => {
    const shut = await createTestTenant(server, 'shut');
    const { email, password } = shut.person;
    const session = await logIn(shut, shut.person);
    await configureTenant(server.context, { id: shut.id, changes: [{ name: 'rest.sign_in', value: false }] });
    const calls = {
      '/login': { email, password },
      '/register': { email, password },
      '/mfa/verify': { mfa_token: 'x', code: '1' },
      '/refresh': { refresh_token: session.refreshToken },
      '/refresh-token': { refresh_token: session.refreshToken },
      '/password/forgot': { email },
      '/password/reset': { token: 'x', new_password: password },
      '/email/verify': { token: 'x' },
    };
    // The word goes round to every process.
    while ((await callAuth(shut, '/mfa/verify', calls['/mfa/verify'])).status !== 403);
    for (const [path, body] of Object.entries(calls)) {
      const answer = await callAuth(shut, path, body);
      expect([path, answer.status, codeOf(answer)]).toEqual([path, 403, 'switched_off']);
    }
    expect((await callAuth(shut, '/logout', undefined, { token: session.accessToken })).status).toBe(200);
    expect((await callApi(shut.issuer, '/auth/me', { token: session.accessToken })).status).toBe(401);
  });
});

describe('the application that somebody signs in at', () => {
  it('may be one of the tenant’s own: its tokens are that client’s', async () => {
    const { clientId } = acme.clients.spa;
    const session = await logIn(acme, acme.person, { client_id: clientId });
    const me = await callApi(acme.issuer, '/auth/me', { token: session.accessToken });
    expect(me.json).toMatchObject({ client_id: clientId });
    expect((await refresh(acme, acme.clients.spa, session.refreshToken)).status).toBe(200);
  });

  it('is never one of somebody else, of another tenant, or one without a person in front of it', async () => {
    const { email, password } = acme.person;
    const { third, device, machine, resource_server: api } = acme.clients;
    const ids = [third, device, machine, api, globex.clients.spa].map(({ clientId }) => clientId);
    for (const id of [...ids, 'poort.pages', 'nobody']) {
      const answer = await callAuth(acme, '/login', { email, password, client_id: id });
      expect([id, answer.status, codeOf(answer)]).toEqual([id, 401, 'client_not_allowed']);
    }
  });

  it('shows its secret when it has one: its name alone opens nothing', async () => {
    const { email, password } = acme.person;
    const { clientId, clientSecret } = acme.clients.web;
    const basic = (secret: string) => ({
      headers: { authorization: `Basic ${Buffer.from(`${clientId}:${secret}`).toString('base64')}` },
    });
    const body = { email, password, client_id: clientId, token_delivery: 'body' };
    for (const more of [{}, basic('wrong'), basic(acme.clients.third.clientSecret)])
      expect(codeOf(await callAuth(acme, '/login', body, more))).toBe('client_not_allowed');
    const session = sessionIn(await callAuth(acme, '/login', body, basic(clientSecret)));
    const renew = { refresh_token: session.refreshToken };
    expect((await callAuth(acme, '/refresh', renew)).status).toBe(401);
    expect((await callAuth(acme, '/refresh', renew, basic('wrong'))).status).toBe(401);
    expect((await callAuth(acme, '/refresh', renew, basic(clientSecret))).status).toBe(200);
  });

  it('takes tokens that are bound to nothing: one that promised a key goes the long way', async () => {
    const { clientId } = acme.clients.native;
    const bound = { clientId, changes: { settings: { dpop_bound_access_tokens: true } } };
    expect((await updateClient(server.context, { tenantId: acme.id, ...bound })).outcome).toBe('updated');
    const { email, password } = acme.person;
    const answer = await callAuth(acme, '/login', { email, password, client_id: clientId });
    expect(codeOf(answer)).toBe('client_not_allowed');
  });

  it('can begin nothing in the name that those without one have', async () => {
    const { origin } = server;
    const agent = createUserAgent(origin);
    const request = authorizationRequest(acme, restClient).url;
    for (const redirectUri of [`${acme.issuer}/account/signed-in`, `${origin}/`]) {
      const url = new URL(request);
      url.searchParams.set('redirect_uri', redirectUri);
      expect((await agent.request(url.href)).status).toBe(400);
    }
    const begun = await callEndpoint(acme.issuer, '/device_authorization', {
      client: restClient,
      form: { scope: 'openid' },
    });
    expect(begun.status).toBe(400);
    for (const grantType of ['client_credentials', 'password', 'authorization_code']) {
      const form = { grant_type: grantType, code: 'x', username: acme.person.email, password: acme.person.password };
      expect((await callEndpoint(acme.issuer, '/token', { client: restClient, form })).status).toBe(400);
    }
  });
});

describe('tokens of a session over REST', () => {
  it('are of the same chain: asked about, used at userinfo, refreshed at the token endpoint', async () => {
    const session = await logIn(acme, acme.person);
    expect((await introspect(acme, restClient, session.accessToken)).json).toMatchObject({
      active: true,
      sub: acme.person.id,
      client_id: restClientId,
      scope: 'openid profile email',
      tenant: 'acme',
      amr: ['pwd'],
    });
    expect((await introspect(acme, acme.clients.resource_server, session.accessToken)).json).toEqual({ active: false });
    const info = await fetch(`${acme.issuer}/userinfo`, {
      headers: { authorization: `Bearer ${session.accessToken}` },
    });
    expect(await info.json()).toMatchObject({ sub: acme.person.id, email: acme.person.email });

    const there = await refresh(acme, restClient, session.refreshToken);
    expect(there.status).toBe(200);
    const here = sessionIn(await callAuth(acme, '/refresh', { refresh_token: String(there.json['refresh_token']) }));
    expect((await callApi(acme.issuer, '/auth/me', { token: here.accessToken })).status).toBe(200);
  });

  it('rotate, forgive a repetition at once, and end when one is used again later', async () => {
    const first = await logIn(acme, acme.person);
    const renew = (refreshToken: string) => callAuth(acme, '/refresh', { refresh_token: refreshToken });
    const second = sessionIn(await renew(first.refreshToken));
    expect(second.refreshToken).not.toBe(first.refreshToken);
    expect(sessionIn(await renew(first.refreshToken)).refreshToken).toBe(second.refreshToken);
    const parallel = await Promise.all(Array.from({ length: 10 }, () => renew(second.refreshToken)));
    expect(new Set(parallel.map((answer) => sessionIn(answer).refreshToken)).size).toBe(1);

    await queryAsSuperuser(
      server.database,
      "update artifacts set consumed_at = consumed_at - interval '1 minute' where consumed_at is not null",
    );
    const thief = await renew(first.refreshToken);
    expect([thief.status, codeOf(thief)]).toEqual([401, 'invalid_refresh_token']);
    const [newest] = parallel;
    if (newest === undefined) throw new Error('nobody refreshed');
    expect((await renew(sessionIn(newest).refreshToken)).status).toBe(401);
    expect(await events('token.reuse_detected')).toContainEqual(expect.objectContaining({ client_id: restClientId }));
  });

  it('are refreshed by their own tenant alone', async () => {
    const session = await logIn(acme, acme.person);
    const elsewhere = await callAuth(globex, '/refresh', { refresh_token: session.refreshToken });
    expect([elsewhere.status, codeOf(elsewhere)]).toEqual([401, 'invalid_refresh_token']);
    expect((await callApi(globex.issuer, '/auth/me', { token: session.accessToken })).status).toBe(401);
    expect((await callAuth(globex, '/logout', { refresh_token: session.refreshToken })).status).toBe(200);
    expect((await callAuth(acme, '/refresh', { refresh_token: session.refreshToken })).status).toBe(200);
  });

  it('are not refreshed here for an application of somebody else', async () => {
    const { third } = acme.clients;
    const agent = createUserAgent(server.origin);
    const authorized = await authorize(agent, { tenant: acme, client: third });
    const { json } = await exchangeCode(acme, third, authorized);
    const authorization = `Basic ${Buffer.from(`${third.clientId}:${third.clientSecret}`).toString('base64')}`;
    const body = { refresh_token: json['refresh_token'] };
    expect((await callAuth(acme, '/refresh', body, { headers: { authorization } })).status).toBe(401);
    expect((await callAuth(acme, '/logout', body)).status).toBe(200);
    expect((await refresh(acme, third, String(json['refresh_token']))).status).toBe(200);
  });

  it('end with their person, at once', async () => {
    const person = await newPerson(server, acme);
    const session = await logIn(acme, person);
    await changeMembershipStatus(server.context, { tenantId: acme.id, email: person.email, status: 'disabled' });
    expect((await callApi(acme.issuer, '/auth/me', { token: session.accessToken })).status).toBe(401);
    expect((await callAuth(acme, '/refresh', { refresh_token: session.refreshToken })).status).toBe(401);
  });

  it.each(['what never was', 'an access token', 'nothing'])('are not given for %s', async (what) => {
    const { accessToken } = await logIn(acme, acme.person);
    const sent = { 'what never was': `rt_${'A'.repeat(43)}`, 'an access token': accessToken, nothing: undefined }[what];
    const answer = await callAuth(acme, '/refresh', sent === undefined ? undefined : { refresh_token: sent });
    expect([answer.status, codeOf(answer)]).toEqual([401, 'invalid_refresh_token']);
    expect(answer.headers.get('www-authenticate')).toContain('Bearer realm=');
  });
});

describe('a session over REST', () => {
  it('is in the list of sessions, and lives on with each refresh', async () => {
    const person = await newPerson(server, acme);
    const session = await logIn(acme, person);
    const list = async (token: string) =>
      (await callApi(acme.issuer, '/user/sessions', { token })).json['data'] as readonly Record<string, string>[];
    const [before] = await list(session.accessToken);
    expect(before).toMatchObject({ current: true, amr: ['pwd'], address: '127.0.0.1', applications: [] });
    time.advance(60);
    const renewed = sessionIn(await callAuth(acme, '/refresh', { refresh_token: session.refreshToken }));
    const [after] = await list(renewed.accessToken);
    expect(after).toMatchObject({ id: before?.['id'], created_at: before?.['created_at'] });
    expect(Date.parse(after?.['last_used_at'] ?? '')).toBeGreaterThan(
      Date.parse(before?.['last_used_at'] ?? '') + 59_000,
    );
    expect(Date.parse(after?.['expires_at'] ?? '')).toBeGreaterThan(Date.parse(before?.['expires_at'] ?? '') + 59_000);
  });

  it.each(['access token', 'refresh token'] as const)('ends everywhere when its %s signs out', async (by) => {
    const person = await newPerson(server, acme);
    const { clientId } = acme.clients.spa;
    const session = await logIn(acme, person, { client_id: clientId });
    const other = await logIn(acme, person);
    const renewed = sessionIn(await callAuth(acme, '/refresh', { refresh_token: session.refreshToken }));
    const out = await callAuth(
      acme,
      '/logout',
      by === 'access token' ? undefined : { refresh_token: renewed.refreshToken },
      by === 'access token' ? { token: renewed.accessToken } : {},
    );
    expect([out.status, out.json]).toEqual([200, { status: 'signed_out' }]);
    for (const token of [session.accessToken, renewed.accessToken]) {
      expect((await callApi(acme.issuer, '/auth/me', { token })).status).toBe(401);
      expect((await introspect(acme, acme.clients.spa, token)).json).toEqual({ active: false });
    }
    expect((await callAuth(acme, '/refresh', { refresh_token: renewed.refreshToken })).status).toBe(401);
    expect((await refresh(acme, acme.clients.spa, renewed.refreshToken)).status).toBe(400);
    // Another session of the same person is not this one.
    expect((await callApi(acme.issuer, '/auth/me', { token: other.accessToken })).status).toBe(200);
    expect(await events('user.signed_out')).toContainEqual(expect.objectContaining({ client_id: clientId }));
  });

  it('signs out of what it is a part of: the browser’s session at the hosted pages as well', async () => {
    const person = await newPerson(server, acme);
    const token = await personToken(server, acme, { person });
    expect((await callAuth(acme, '/logout', undefined, { token })).status).toBe(200);
    expect((await callApi(acme.issuer, '/auth/me', { token })).status).toBe(401);
    const { accessToken } = await logIn(acme, person);
    const { json } = await callApi(acme.issuer, '/user/sessions', { token: accessToken });
    expect(json['data']).toHaveLength(1);
  });

  it('ends also when its row has expired before its tokens', async () => {
    const person = await newPerson(server, acme);
    const session = await logIn(acme, person);
    const sql = "delete from artifacts where kind = 'Session' and account_id = $1";
    await queryAsSuperuser(server.database, sql, [person.id]);
    expect((await callAuth(acme, '/refresh', { refresh_token: session.refreshToken })).status).toBe(200);
    expect((await callAuth(acme, '/logout', { refresh_token: session.refreshToken })).status).toBe(200);
    expect((await callApi(acme.issuer, '/auth/me', { token: session.accessToken })).status).toBe(401);
  });

  it('is nobody’s to end who shows nothing, or what opens nothing', async () => {
    expect((await callAuth(acme, '/logout')).status).toBe(401);
    expect((await callAuth(acme, '/logout', undefined, { token: `at_${'A'.repeat(43)}` })).status).toBe(401);
    const third = await personToken(server, acme, { client: acme.clients.third });
    const refused = await callAuth(acme, '/logout', undefined, { token: third });
    expect([refused.status, codeOf(refused)]).toEqual([403, 'wrong_kind_of_caller']);
    // Signing out twice is no mistake of anybody's.
    const session = await logIn(acme, acme.person);
    for (let times = 0; times < 2; times += 1)
      expect((await callAuth(acme, '/logout', { refresh_token: session.refreshToken })).status).toBe(200);
  });

  it('is not opened when the password has been changed while it was being opened', async () => {
    const person = await newPerson(server, acme);
    const tenant = server.context.database.tenant(acme.id);
    // The password is another one at the very moment at which the session is written.
    const other = await server.context.passwords.hash('another password altogether');
    const trigger = `create function change_meanwhile() returns trigger language plpgsql security definer as $$
      begin update users set password_hash = '${other}' where id = '${person.id}'; return new; end $$;
      create trigger change_meanwhile before insert on artifacts for each row
        when (new.kind = 'Session') execute function change_meanwhile()`;
    await queryAsSuperuser(server.database, trigger);
    try {
      const answer = await callAuth(acme, '/login', { email: person.email, password: person.password });
      expect([answer.status, codeOf(answer)]).toEqual([401, 'sign_in_over']);
    } finally {
      await queryAsSuperuser(server.database, 'drop function change_meanwhile cascade');
    }
    const left = await tenant.transaction((transaction) =>
      transaction.query('select 1 from artifacts where account_id = $1', [person.id]),
    );
    expect(left).toEqual([]);
  });
});

describe('a second factor over REST', () => {
  const begin = async (tenant: TestTenant, { email, password }: { email: string; password: string }) => {
    const { status, json } = await callAuth(tenant, '/login', { email, password, token_delivery: 'body' });
    expect([status, Object.keys(json).sort()]).toEqual([200, ['methods', 'mfa_required', 'mfa_token']]);
    return { token: String(json['mfa_token']), methods: json['methods'] };
  };

  it('is asked for before anything is given, and proven by a code of the app', async () => {
    const person = await newPersonWithTotp(server, acme);
    const { token, methods } = await begin(acme, person);
    expect(methods).toEqual(['totp']);
    const code = totpCode(person.secret, time.clock());
    const answer = await callAuth(acme, '/mfa/verify', { mfa_token: token, code });
    const session = sessionIn(answer);
    expect((await callApi(acme.issuer, '/auth/me', { token: session.accessToken })).json).toMatchObject({
      mfa_verified: true,
      session: { amr: ['mfa', 'otp', 'pwd'], acr: 'urn:poort:acr:mfa' },
    });
    // Neither the token nor the code is good twice.
    expect(codeOf(await callAuth(acme, '/mfa/verify', { mfa_token: token, code }))).toBe('sign_in_over');
    const again = await begin(acme, person);
    expect(codeOf(await callAuth(acme, '/mfa/verify', { mfa_token: again.token, code }))).toBe('invalid_code');
  });

  it('is proven by a backup code, once', async () => {
    const person = await newPersonWithTotp(server, acme);
    const [code = ''] = await giveBackupCodes(server, acme, person.id);
    const { token, methods } = await begin(acme, person);
    expect(methods).toEqual(['totp', 'backup_code']);
    expect((await callAuth(acme, '/mfa/verify', { mfa_token: token, backup_code: code })).status).toBe(200);
    const again = await begin(acme, person);
    const used = await callAuth(acme, '/mfa/verify', { mfa_token: again.token, backup_code: code });
    expect([used.status, codeOf(used)]).toEqual([401, 'invalid_code']);
  });

  it('is finished by one of many who send the same code at the same moment', async () => {
    const person = await newPersonWithTotp(server, acme);
    const { token } = await begin(acme, person);
    const body = { mfa_token: token, code: totpCode(person.secret, time.clock()) };
    const statuses = await Promise.all(
      Array.from({ length: 5 }, async () => (await callAuth(acme, '/mfa/verify', body)).status),
    );
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
  });

  it('waits with its token alone: of another tenant, altered, or of nobody it is worth nothing', async () => {
    const person = await newPersonWithTotp(server, acme);
    const { token } = await begin(acme, person);
    const code = totpCode(person.secret, time.clock());
    const { clientId } = acme.clients.spa;
    const altered = [
      token.replace('.body.', '.cookie.'),
      token.replace(restClientId, clientId),
      `mfa_${'A'.repeat(43)}.body.${restClientId}`,
      'x',
    ];
    for (const tried of altered)
      expect(codeOf(await callAuth(acme, '/mfa/verify', { mfa_token: tried, code }))).toBe('sign_in_over');
    expect(codeOf(await callAuth(globex, '/mfa/verify', { mfa_token: token, code }))).toBe('sign_in_over');
    expect((await callAuth(acme, '/mfa/verify', { mfa_token: token, code })).status).toBe(200);
  });

  it('cannot be skipped: with its token nothing else opens', async () => {
    const person = await newPersonWithTotp(server, acme);
    const { token } = await begin(acme, person);
    expect((await callApi(acme.issuer, '/auth/me', { token })).status).toBe(401);
    expect((await callAuth(acme, '/refresh', { refresh_token: token })).status).toBe(401);
    expect((await callAuth(acme, '/mfa/verify', { mfa_token: token })).status).toBe(400);
    expect((await callAuth(acme, '/mfa/verify', { mfa_token: token, code: '' })).status).toBe(400);
    for (const path of ['/mfa/setup', '/mfa/confirm'])
      expect(
        codeOf(await callAuth(acme, path, { mfa_token: token, ...(path === '/mfa/confirm' ? { code: '1' } : {}) })),
      ).toBe('sign_in_over');
  });

  it('is guessed at five times in all, however often the sign-in begins anew', async () => {
    const person = await newPersonWithTotp(server, acme);
    const tried: number[] = [];
    for (let times = 0; times < 3; times += 1) {
      const { token } = await begin(acme, person);
      for (let guesses = 0; guesses < 2; guesses += 1)
        tried.push((await callAuth(acme, '/mfa/verify', { mfa_token: token, code: '000000' })).status);
    }
    expect(tried).toEqual([401, 401, 401, 401, 401, 429]);
    const { token } = await begin(acme, person);
    const right = await callAuth(acme, '/mfa/verify', {
      mfa_token: token,
      code: totpCode(person.secret, time.clock()),
    });
    expect(right.status).toBe(429);
  });

  it('has ten minutes', async () => {
    const person = await newPersonWithTotp(server, acme);
    const { token } = await begin(acme, person);
    time.advance(601);
    const code = totpCode(person.secret, time.clock());
    expect(codeOf(await callAuth(acme, '/mfa/verify', { mfa_token: token, code }))).toBe('sign_in_over');
  });
});
