/**
 * Somebody is asked at another device (OpenID Connect CIBA Core 1.0, poll mode): with a strict client library and a person at the hosted
 * page; and everything that must not work.
 */
import * as jose from 'jose';
import * as client from 'openid-client';
import {
  POLL_INTERVAL_SECONDS,
  REQUEST_LIFETIME_SECONDS,
  REQUEST_LIMITS,
} from '#src/domain/backchannel_authentication.ts';
import { createClient, disableClient } from '#src/flows/clients/manage_clients.ts';
import { addMember, changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { callServer } from '#test/support/installation.ts';
import { discoverAs } from '#test/support/relying_party.ts';
import { type EventSeen, queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorize,
  callEndpoint,
  createUserAgent,
  type EndpointAnswer,
  exchangeCode,
  introspect,
  type Page,
  readForm,
  refresh,
  type UserAgent,
} from '#test/support/user_agent.ts';
import { apiScopes, callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

const grantType = 'urn:openid:params:grant-type:ciba';
const time = createMovableClock();

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let helpDesk: TestClient;
let lastClient = 0;

beforeAll(async () => {
  server = await startTestServer({ clock: time.clock });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  for (const { id } of [acme, globex]) {
    const changes = [{ name: 'protocol.ciba', value: true } as const];
    expect(await configureTenant(server.context, { id, changes })).toEqual({ outcome: 'changed' });
  }
  await eventuallyOn(acme);
  await eventuallyOn(globex);
  helpDesk = await register(acme);
}, 30_000);

afterAll(() => server.close());

/** The server hears of a changed tenant a moment later. */
async function eventuallyOn({ issuer }: TestTenant): Promise<void> {
  while ((await fetch(`${issuer}/bc-authorize`, { method: 'POST' })).status === 404);
}

async function register(
  tenant: TestTenant,
  settings: object = { backchannel_token_delivery_mode: 'poll' },
): Promise<TestClient> {
  lastClient += 1;
  const created = await createClient(server.context, {
    tenantId: tenant.id,
    client: {
      name: `Help desk ${lastClient}`,
      type: 'web',
      redirectUris: [callbackUri],
      scopes: [...apiScopes],
      settings,
    },
  });
  if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
  return { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
}

type Form = Readonly<Record<string, string>>;

function ask(form: Form = {}, by = helpDesk, tenant = acme): Promise<EndpointAnswer> {
  const hint = 'id_token_hint' in form ? {} : { login_hint: tenant.person.email };
  return callEndpoint(tenant.issuer, '/bc-authorize', { client: by, form: { scope: 'openid', ...hint, ...form } });
}

async function askFor(form: Form = {}, by = helpDesk, tenant = acme): Promise<string> {
  const { status, json } = await ask(form, by, tenant);
  expect({ status, error: json['error'] }).toEqual({ status: 200, error: undefined });
  return String(json['auth_req_id']);
}

function poll(authReqId: string, by = helpDesk, tenant = acme): Promise<EndpointAnswer> {
  return callEndpoint(tenant.issuer, '/token', {
    client: by,
    form: { grant_type: grantType, auth_req_id: authReqId },
  });
}

const errorOf = async (answer: Promise<EndpointAnswer>): Promise<unknown> => (await answer).json['error'];

/** A person at the hosted page, signed in through the tenant's ordinary sign-in. */
async function openApprovals(
  tenant = acme,
  person: { readonly email: string; readonly password: string } = tenant.person,
): Promise<{ agent: UserAgent; page: Page }> {
  const agent = createUserAgent(server.origin);
  const page = await agent.follow(`${tenant.issuer}/approvals`);
  expect(page.body).toContain('name="password"');
  return { agent, page: await agent.submit(page, { email: person.email, password: person.password }) };
}

function consentEvents(...types: readonly string[]): Promise<readonly EventSeen[]> {
  const all = ['consent.requested', 'consent.granted', 'consent.denied'];
  return readEvents(server.database, { tenantId: acme.id, types: types.length === 0 ? all : types });
}

async function approve(decision: 'allow' | 'deny' = 'allow'): Promise<UserAgent> {
  const { agent, page } = await openApprovals();
  await agent.submit(page, { decision });
  return agent;
}

/** Leaves nothing for the next test to stumble over. */
afterEach(async () => {
  await queryAsSuperuser(server.database, `delete from artifacts where kind in ('BackchannelAuthenticationRequest')`);
  await queryAsSuperuser(server.database, 'delete from sign_in_attempts');
});

describe('a person who is asked at another device', () => {
  it('is shown who asks for what, allows it, and the application gets tokens (openid-client)', async () => {
    const configuration = await discoverAs(acme, helpDesk);
    const request = await client.initiateBackchannelAuthentication(configuration, {
      scope: 'openid email readings:read',
      resource: acme.jwtApi,
      login_hint: ` ${acme.person.email.toUpperCase()}`,
      binding_message: 'Zonnebloem 4711',
    });
    expect(request).toMatchObject({
      auth_req_id: expect.stringMatching(/^ar_[\w-]{43}$/),
      expires_in: REQUEST_LIFETIME_SECONDS,
      interval: POLL_INTERVAL_SECONDS,
    });
    const { agent, page } = await openApprovals();
    expect(page.url).toBe(`${acme.issuer}/approvals`);
    expect(page.body).toContain('Zonnebloem 4711');
    expect(page.body).toContain('Help desk 1');
    expect(page.body).toContain('May readings:read');
    expect(page.body).not.toContain('readings:write');
    expect(page.body.indexOf('value="deny"')).toBeLessThan(page.body.indexOf('value="allow"'));
    const answered = await agent.submit(page, { decision: 'allow' });
    expect(answered.url).toBe(`${acme.issuer}/approvals?answered=allowed`);
    expect(answered.body).not.toContain('Zonnebloem 4711');

    const tokens = await client.pollBackchannelAuthenticationGrant(configuration, { ...request, interval: 0 });
    expect(tokens.claims()).toMatchObject({
      sub: acme.person.id,
      aud: helpDesk.clientId,
      acr: 'urn:poort:acr:password',
    });
    const { json } = await introspect(acme, helpDesk, tokens.access_token);
    expect(json).toMatchObject({
      active: true,
      sub: acme.person.id,
      aud: acme.jwtApi,
      scope: 'readings:read',
      amr: ['pwd'],
      tenant: 'acme',
    });
    const events = await consentEvents();
    for (const type of ['consent.requested', 'consent.granted'])
      expect(events.filter((event) => event.type === type)).toContainEqual(
        expect.objectContaining({ outcome: 'success', client_id: helpDesk.clientId }),
      );
    expect((await refresh(acme, helpDesk, tokens.refresh_token ?? '')).status).toBe(200);
  });

  it('is named by an ID token as well', async () => {
    const agent = createUserAgent(server.origin);
    const signedIn = await exchangeCode(acme, helpDesk, await authorize(agent, { tenant: acme, client: helpDesk }));
    const authReqId = await askFor({ id_token_hint: String(signedIn.json['id_token']) });
    // Signed in already: no second sign-in.
    const page = await agent.follow(`${acme.issuer}/approvals`);
    await agent.submit(page, { decision: 'allow' });
    expect((await poll(authReqId)).status).toBe(200);
  });

  it('refuses, and the application gets that and nothing else, as often as it asks', async () => {
    const authReqId = await askFor();
    await approve('deny');
    for (let turn = 0; turn < 2; turn += 1) expect(await errorOf(poll(authReqId))).toBe('access_denied');
    const events = await consentEvents();
    expect(events.filter(({ type }) => type === 'consent.denied')).toHaveLength(1);
  });

  it('ends what came of it by signing out where they allowed it, and by the grant', async () => {
    const authReqId = await askFor();
    const agent = await approve();
    const { json } = await poll(authReqId);
    const token = String(json['access_token']);
    expect((await introspect(acme, helpDesk, token)).json['active']).toBe(true);
    await agent.submit(await agent.follow(`${acme.issuer}/logout`), { logout: 'yes' });
    expect((await introspect(acme, helpDesk, token)).json).toEqual({ active: false });
    expect(await errorOf(refresh(acme, helpDesk, String(json['refresh_token'])))).toBe('invalid_grant');
  });
});

describe('a request', () => {
  it.each([
    ['the binding message has a control character', { binding_message: 'one\ntwo' }, 'invalid_binding_message'],
    ['the binding message turns the reading direction', { binding_message: 'a\u202eb' }, 'invalid_binding_message'],
    ['the binding message is too long', { binding_message: 'x'.repeat(101) }, 'invalid_binding_message'],
    ['it asks for single claims', { claims: '{"id_token":{"email":null}}' }, 'invalid_request'],
    ['it asks without openid', { scope: 'email' }, 'invalid_request'],
    ['it asks for an API that is not there', { resource: 'https://elsewhere.example' }, 'invalid_target'],
    ['two hints name somebody', { login_hint_token: 'x' }, 'invalid_request'],
    ['its expiry is no number', { requested_expiry: '-1' }, 'invalid_request'],
  ])('is refused when %s', async (_name, form: Form, error) => {
    expect(await errorOf(ask(form))).toBe(error);
  });

  it('is refused without its own hint token, without a hint, and with an ID token of somebody else', async () => {
    const call = (form: Form): Promise<EndpointAnswer> =>
      callEndpoint(acme.issuer, '/bc-authorize', { client: helpDesk, form: { scope: 'openid', ...form } });
    expect(await errorOf(call({}))).toBe('invalid_request');
    expect(await errorOf(call({ login_hint_token: 'x' }))).toBe('invalid_request');
    expect(await errorOf(call({ id_token_hint: 'x' }))).toBe('invalid_request');
    const other = createUserAgent(server.origin);
    const theirs = globex.clients.web;
    const foreign = await exchangeCode(globex, theirs, await authorize(other, { tenant: globex, client: theirs }));
    expect(await errorOf(call({ id_token_hint: String(foreign.json['id_token']) }))).toBe('invalid_request');
  });

  it('is for clients that are registered for it, and prove who they are', async () => {
    for (const by of [acme.clients.web, acme.clients.machine, acme.clients.resource_server])
      expect(await errorOf(ask({}, by))).toBe('invalid_request');
    for (const by of [acme.clients.spa, acme.clients.native])
      expect(await errorOf(ask({}, by))).toBe('invalid_request');
    expect(await errorOf(ask({}, { ...helpDesk, clientSecret: 'guess' }))).toBe('invalid_client');
    expect(await errorOf(ask({}, globex.clients.web))).toBe('invalid_client');
    for (const type of ['spa', 'native', 'machine', 'resource_server', 'device']) {
      const redirectUris = type === 'spa' ? [callbackUri] : type === 'native' ? ['com.example:/callback'] : [];
      const settings = { backchannel_token_delivery_mode: 'poll' };
      const refused = await createClient(server.context, {
        tenantId: acme.id,
        client: { name: 'Other', type, redirectUris, settings },
      });
      expect(refused).toMatchObject({
        outcome: 'refused',
        problems: [{ field: 'backchannel_token_delivery_mode', problem: 'not_for_this_type' }],
      });
    }
  });

  it('shows what it is given as text', async () => {
    await askFor({ binding_message: '<b>"&amp;' });
    const { page } = await openApprovals();
    expect(page.body).toContain('&lt;b&gt;&#34;&amp;amp;');
  });

  it('waits as long as it asked, and never longer than five minutes', async () => {
    expect((await ask({ requested_expiry: '60' })).json['expires_in']).toBe(60);
    expect((await ask({ requested_expiry: '86400' })).json['expires_in']).toBe(REQUEST_LIFETIME_SECONDS);
  });

  it('leaves nothing in the database that opens it or names the person', async () => {
    const authReqId = await askFor({ binding_message: 'Zonnebloem' });
    const rows = await queryAsSuperuser<{ row: string }>(
      server.database,
      "select to_json(a)::text as row from artifacts a where kind = 'BackchannelAuthenticationRequest'",
    );
    expect(rows).toHaveLength(1);
    const [{ row } = { row: '' }] = rows;
    expect(row).toContain('Zonnebloem');
    expect(row).not.toContain(authReqId);
    expect(row).not.toContain(authReqId.slice(3));
    expect(row).not.toContain(acme.person.email);
    // What the database knows it by is no way in.
    const hash = /"id_hash":"\\\\x([0-9a-f]+)"/.exec(row)?.[1] ?? '';
    expect(hash).toHaveLength(64);
    expect(await errorOf(poll(`~${Buffer.from(hash, 'hex').toString('base64url')}`))).toBe('invalid_grant');
  });
});

describe('whoever is not known', () => {
  it('gets a client the same answers as a member: unknown, disabled, of another tenant', async () => {
    const gone = { email: 'gone@acme.test', password: 'correct horse gone' };
    const added = await addMember(server.context, { tenantId: acme.id, ...gone, roles: ['user'], verified: true });
    if (added.outcome === 'refused') throw new Error(added.reason);
    await changeMembershipStatus(server.context, { tenantId: acme.id, email: gone.email, status: 'disabled' });
    const shape = async (form: Form): Promise<object> => {
      const { status, json } = await ask(form);
      const pending = await poll(String(json['auth_req_id']));
      const eager = await poll(String(json['auth_req_id']));
      return {
        status,
        keys: Object.keys(json).sort(),
        length: String(json['auth_req_id']).length,
        expires: json['expires_in'],
        pending: [pending.status, pending.json],
        eager: [eager.status, eager.json],
      };
    };
    const known = await shape({});
    for (const login_hint of ['nobody@acme.test', gone.email, globex.person.email, 'no address', '\u{1f40b}'])
      expect(await shape({ login_hint })).toEqual(known);
    // And nobody is shown anything of it.
    const { page } = await openApprovals(globex);
    expect(page.body).not.toContain('name="decision"');
  });

  it('is counted like everybody: five for one person, and the client is told when to come back', async () => {
    for (const login_hint of [acme.person.email, 'nobody@acme.test']) {
      for (let turn = 0; turn < REQUEST_LIMITS.perPerson; turn += 1) await askFor({ login_hint });
      const refused = await ask({ login_hint });
      expect({ status: refused.status, error: refused.json['error'] }).toEqual({
        status: 429,
        error: 'temporarily_unavailable',
      });
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    }
    const pending = await queryAsSuperuser<{ n: number }>(
      server.database,
      "select count(*)::int as n from artifacts where kind = 'BackchannelAuthenticationRequest'",
    );
    expect(pending).toEqual([{ n: 2 * REQUEST_LIMITS.perPerson }]);
    // Another client is not stopped by it.
    await askFor({}, await register(acme));
  });
});

describe('a client that waits', () => {
  it('is told to wait, and to slow down when it comes back too early', async () => {
    const authReqId = await askFor();
    expect(await errorOf(poll(authReqId))).toBe('authorization_pending');
    expect(await errorOf(poll(authReqId))).toBe('slow_down');
    time.advance(POLL_INTERVAL_SECONDS);
    expect(await errorOf(poll(authReqId))).toBe('authorization_pending');
    // Of many at the same moment one was in time.
    time.advance(POLL_INTERVAL_SECONDS);
    const errors = await Promise.all(Array.from({ length: 12 }, () => errorOf(poll(authReqId))));
    expect(errors.filter((error) => error === 'authorization_pending')).toHaveLength(1);
    expect(errors.filter((error) => error === 'slow_down')).toHaveLength(11);
  });

  it('cannot use another client’s request, nor slow it down', async () => {
    const other = await register(acme);
    const authReqId = await askFor();
    for (let turn = 0; turn < 3; turn += 1) expect(await errorOf(poll(authReqId, other))).toBe('invalid_grant');
    expect(await errorOf(poll(authReqId))).toBe('authorization_pending');
    await approve();
    expect(await errorOf(poll(authReqId, other))).toBe('invalid_grant');
    const elsewhere = await register(globex);
    expect(await errorOf(poll(authReqId, elsewhere, globex))).toBe('invalid_grant');
    expect((await poll(authReqId)).status).toBe(200);
  });

  it('gets tokens once; who comes a second time ends them', async () => {
    const authReqId = await askFor();
    await approve();
    const { json } = await poll(authReqId);
    expect(await errorOf(poll(authReqId))).toBe('invalid_grant');
    expect((await introspect(acme, helpDesk, String(json['access_token']))).json).toEqual({ active: false });
  });

  it.each([
    ['expired', 'expired_token', () => expire()],
    ['for a person who was disabled meanwhile', 'invalid_grant', () => changeStatus('disabled')],
  ])('gets nothing for a request that is %s', async (_name, error, change) => {
    const authReqId = await askFor();
    await approve();
    await change();
    expect(await errorOf(poll(authReqId))).toBe(error);
    await changeStatus('active');
  });

  it('gets nothing once it is disabled itself', async () => {
    const brief = await register(acme);
    const authReqId = await askFor({}, brief);
    await approve();
    await disableClient(server.context, { tenantId: acme.id, clientId: brief.clientId });
    // The request is gone at once, the client a moment later.
    expect(await errorOf(poll(authReqId, brief))).toMatch(/^invalid_(grant|client)$/);
  });
});

async function changeStatus(status: 'active' | 'disabled'): Promise<void> {
  await changeMembershipStatus(server.context, { tenantId: acme.id, email: acme.person.email, status });
}

/** The engine reads the clock of the machine: what is stored is made older instead. */
async function expire(): Promise<void> {
  await queryAsSuperuser(
    server.database,
    `update artifacts set expires_at = now() - interval '1 second',
            payload = jsonb_set(payload::jsonb, '{exp}', to_jsonb(extract(epoch from now())::int - 1))::json
      where kind = 'BackchannelAuthenticationRequest'`,
  );
}

describe('the page', () => {
  it('leads who is not signed in through the ordinary sign-in, and a wrong password leads nowhere', async () => {
    const agent = createUserAgent(server.origin);
    const signIn = await agent.follow(`${acme.issuer}/approvals`);
    expect(signIn.url).toMatch(/\/t\/acme\/interaction\//);
    const wrong = await agent.submit(signIn, { email: acme.person.email, password: 'a guess' });
    expect(wrong.status).toBe(400);
    const back = await agent.submit(wrong, { email: acme.person.email, password: acme.person.password });
    expect(back.url).toBe(`${acme.issuer}/approvals`);
  });

  it('leads to a sign-in whose code is for nobody', async () => {
    const agent = createUserAgent(server.origin);
    const first = await agent.request(`${acme.issuer}/approvals`);
    const own = new URL(first.headers.get('location') ?? '').searchParams.get('client_id') ?? '';
    for (const clientSecret of ['', 'guess']) {
      const form = {
        grant_type: 'authorization_code',
        code: 'ac_x',
        redirect_uri: `${acme.issuer}/approvals/signed-in`,
      };
      const answer = await callEndpoint(acme.issuer, '/token', { client: { clientId: own, clientSecret }, form });
      expect(answer.json['error']).toBe('invalid_client');
    }
  });

  it('does not go in circles where cookies are blocked', async () => {
    const page = await createUserAgent(server.origin).follow(`${acme.issuer}/approvals/signed-in?code=x`);
    expect(page.status).toBe(400);
    expect(page.body).toContain('cookies');
  });

  it('shows nobody else’s requests, and takes no answer from others: it is like a random one', async () => {
    const grace = { email: 'grace@acme.test', password: 'correct horse grace' };
    await addMember(server.context, { tenantId: acme.id, ...grace, roles: ['user'], verified: true });
    const authReqId = await askFor({ binding_message: 'Zonnebloem' });
    const { page } = await openApprovals();
    const { action } = readForm(page);
    const id = action.slice(action.lastIndexOf('/') + 1);

    const hers = await askFor({ login_hint: grace.email });
    for (const [tenant, person] of [
      [acme, grace],
      [globex, globex.person],
    ] as const) {
      if (tenant === globex) await askFor({}, await register(globex), globex);
      const other = await openApprovals(tenant, person);
      expect(other.page.body).not.toContain('Zonnebloem');
      expect(other.page.body).not.toContain(id);
      const own = readForm(other.page);
      // With the token of one's own form, and at one's own tenant: refused as the form it is.
      for (const target of [id, 'x'.repeat(43)]) {
        const stolen = {
          ...other.page,
          body: other.page.body.replaceAll(own.action, `${tenant.issuer}/approvals/${target}`),
        };
        expect((await other.agent.submit(stolen, { decision: 'allow' })).status).toBe(403);
      }
    }
    expect(await errorOf(poll(authReqId))).toBe('authorization_pending');
    expect(await errorOf(poll(hers))).toBe('authorization_pending');
  });

  it('takes one answer of many at the same moment, whatever they say', async () => {
    const authReqId = await askFor();
    const { agent, page } = await openApprovals();
    const { action, hidden } = readForm(page);
    const cookie = agent.cookies().join('; ');
    const answers = await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        const body = new URLSearchParams({ ...hidden, decision: index % 2 === 0 ? 'allow' : 'deny' });
        const headers = { cookie, 'content-type': 'application/x-www-form-urlencoded' };
        return (await fetch(action, { method: 'POST', redirect: 'manual', headers, body: body.toString() })).status;
      }),
    );
    expect(answers.filter((status) => status === 303)).toHaveLength(1);
    expect(answers.filter((status) => status === 400)).toHaveLength(11);
    const events = await consentEvents('consent.granted', 'consent.denied');
    const last = events.at(-1)?.type;
    expect(await errorOf(poll(authReqId))).toBe(last === 'consent.granted' ? undefined : 'access_denied');
  });

  it('is not answered from another site, without its token, or with another decision', async () => {
    await askFor();
    const { agent, page } = await openApprovals();
    const { action, hidden } = readForm(page);
    const send = async (fields: Form, headers: Form = {}): Promise<number> => {
      const all = {
        cookie: agent.cookies().join('; '),
        'content-type': 'application/x-www-form-urlencoded',
        ...headers,
      };
      const body = new URLSearchParams(fields).toString();
      return (await fetch(action, { method: 'POST', redirect: 'manual', headers: all, body })).status;
    };
    const honest = { ...hidden, decision: 'allow' };
    expect(await send(honest, { origin: 'https://evil.example' })).toBe(403);
    expect(await send(honest, { 'sec-fetch-site': 'cross-site' })).toBe(403);
    expect(await send({ decision: 'allow', csrf: 'x' })).toBe(403);
    expect(await send({ decision: 'allow' })).toBe(400);
    expect(await send({ ...hidden, decision: 'perhaps' })).toBe(400);
    expect(await send({ ...honest, scope: 'everything' })).toBe(400);
    expect(await send(honest)).toBe(303);
  });

  it('speaks both languages, and loads nothing from elsewhere', async () => {
    await askFor();
    const { agent } = await openApprovals();
    const dutch = await agent.follow(`${acme.issuer}/approvals?ui_locales=nl`);
    expect(dutch.body).toContain('Weigeren');
    const kept = await agent.follow(`${acme.issuer}/approvals`);
    expect(kept.body).toContain('Weigeren');
    const english = await agent.follow(`${acme.issuer}/approvals?ui_locales=en`);
    expect(english.body).toContain('Deny');
    expect(english.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(english.headers.get('cache-control')).toBe('no-store');
  });
});

describe('a signed request', () => {
  it('is taken where signed requests are on, and only as it was signed', async () => {
    await configureTenant(server.context, { id: globex.id, changes: [{ name: 'protocol.jar', value: true }] });
    const { privateKey, publicKey } = await jose.generateKeyPair('ES256');
    const created = await createClient(server.context, {
      tenantId: globex.id,
      client: {
        name: 'Signs',
        type: 'web',
        redirectUris: [callbackUri],
        jwks: { keys: [{ ...(await jose.exportJWK(publicKey)), alg: 'ES256', use: 'sig', kid: 'k' }] },
        tokenEndpointAuthMethod: 'client_secret_basic',
        settings: { backchannel_token_delivery_mode: 'poll' },
      },
    });
    if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
    const by = { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
    const sign = (claims: Form, key = privateKey): Promise<string> =>
      new jose.SignJWT({ scope: 'openid', login_hint: globex.person.email, ...claims })
        .setProtectedHeader({ alg: 'ES256', kid: 'k' })
        .setIssuer(by.clientId)
        .setAudience(globex.issuer)
        .setIssuedAt()
        .setNotBefore('0s')
        .setExpirationTime('1 minute')
        .setJti(crypto.randomUUID())
        .sign(key);
    const send = (form: Form): Promise<EndpointAnswer> =>
      callEndpoint(globex.issuer, '/bc-authorize', { client: by, form });
    const statusOf = async (request: string): Promise<number> => (await send({ request })).status;
    // The server hears of the switch a moment later.
    while ((await send({ request: await sign({}) })).json['error'] === 'request_not_supported');
    expect(await statusOf(await sign({ binding_message: 'Zonnebloem' }))).toBe(200);
    expect(await statusOf(await sign({ binding_message: 'a\u202eb' }))).toBe(400);
    expect(await statusOf(await sign({ claims: '{"id_token":{"email":null}}' }))).toBe(400);
    expect(await statusOf(await sign({}, (await jose.generateKeyPair('ES256')).privateKey))).toBe(400);
    // What stands beside it was signed by nobody.
    const { json } = await send({ request: await sign({ scope: 'email' }), scope: 'openid' });
    expect(json['error']).toBe('invalid_request');
  });
});

describe('two servers of one installation', () => {
  it('give tokens for one request once', async () => {
    const second = await startTestServer({ beside: server, clock: time.clock });
    try {
      const ports = [server, second].map(({ config }) => config.http.port);
      const authReqId = await askFor();
      await approve();
      const form = { grant_type: grantType, auth_req_id: authReqId };
      const answers = await Promise.all(
        Array.from({ length: 16 }, (_, index) =>
          callServer(ports[index % 2] ?? 0, `${acme.issuer}/token`, { client: helpDesk, form }),
        ),
      );
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    } finally {
      await second.close();
    }
  });
});

describe('where it is switched off', () => {
  it('there is nothing: no endpoint, no grant, no page, no word in the metadata', async () => {
    const initech = await createTestTenant(server, 'initech');
    const by = await register(initech);
    const found = await fetch(`${initech.issuer}/bc-authorize`, { method: 'POST' });
    expect(found.status).toBe(404);
    expect(await errorOf(poll('ar_x', by, initech))).toBe('unsupported_grant_type');
    const agent = createUserAgent(server.origin);
    for (const path of ['/approvals', '/approvals/signed-in']) {
      expect((await agent.request(initech.issuer + path)).status).toBe(404);
    }
    const form = await fetch(`${initech.issuer}/approvals/${'x'.repeat(43)}`, { method: 'POST' });
    expect(form.status).toBe(404);
    const metadata = await (await fetch(`${initech.issuer}/.well-known/openid-configuration`)).text();
    expect(metadata).not.toMatch(/ciba|backchannel_(authentication|token|user)/);
    // Nor is the client of our own pages.
    const own = new URLSearchParams({ client_id: 'poort.pages', response_type: 'code', scope: 'openid' });
    expect((await agent.request(`${initech.issuer}/authorize?${own}`)).status).toBe(400);
  });
});
