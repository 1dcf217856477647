/**
 * Whatever one tenant gives out is worth as much at another as something made up: it is refused, in the same words, and stays
 * good where it belongs. Asked in both directions, with a person who is a member of both.
 */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  callEndpoint,
  createUserAgent,
  type EndpointAnswer,
  exchangeCode,
  introspect,
  type Page,
  refresh,
} from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, postLogoutUri, type TestClient, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
const tenants = new Map<string, TestTenant>();

beforeAll(async () => {
  server = await startTestServer();
  for (const slug of ['acme', 'globex']) tenants.set(slug, await createTestTenant(server, slug, 'ada@both.test'));
});

afterAll(() => server.close());

function tenant(slug: string): TestTenant {
  const found = tenants.get(slug);
  if (found === undefined) throw new Error(`no tenant ${slug}`);
  return found;
}

const madeUp = (prefix: string): string => prefix + randomBytes(32).toString('base64url');

/** What a caller can observe of an answer, less what is different every time. */
function shapeOf({ status, headers, json }: EndpointAnswer): unknown {
  const names = [...headers.keys()].filter((name) => !['date', 'x-request-id', 'content-length'].includes(name));
  return { status, json, headers: names.sort(), type: headers.get('content-type') };
}

function pageShapeOf({ status, headers, body }: Page, ...own: readonly string[]): unknown {
  let text = body;
  for (const value of [headers.get('x-request-id') ?? 'none', ...own]) text = text.replaceAll(value, '…');
  // Codes and CSRF tokens are new each time; so is the time on a page.
  text = text.replaceAll(/(?:value|data-passkey)="[^"]*"/g, '').replaceAll(/<time[^>]*>[^<]*<\/time>/g, '');
  const location = headers.get('location');
  if (location === null) return { status, text };
  const at = new URL(location, server.origin);
  for (const name of ['code', 'state']) at.searchParams.delete(name);
  return { status, text, path: at.pathname, query: [...at.searchParams] };
}

async function tokensFrom(
  home: TestTenant,
  extra: Readonly<Record<string, string>> = {},
): Promise<EndpointAnswer['json']> {
  const { web } = home.clients;
  const authorized = await authorize(createUserAgent(server.origin), { tenant: home, client: web, extra });
  const tokens = await exchangeCode(home, web, authorized);
  expect(tokens.status).toBe(200);
  return tokens.json;
}

async function userinfo({ issuer }: TestTenant, token: string): Promise<EndpointAnswer> {
  const response = await fetch(`${issuer}/userinfo`, { headers: { authorization: `Bearer ${token}` } });
  return {
    status: response.status,
    headers: response.headers,
    json: (await response.json()) as EndpointAnswer['json'],
  };
}

function revoke({ issuer }: TestTenant, client: TestClient, token: string): Promise<EndpointAnswer> {
  return callEndpoint(issuer, '/revoke', { client, form: { token } });
}

async function isActive(home: TestTenant, token: string): Promise<boolean> {
  return (await introspect(home, home.clients.web, token)).json['active'] === true;
}

describe.each([
  ['acme', 'globex'],
  ['globex', 'acme'],
])('what %s gave out, at %s', (homeSlug, awaySlug) => {
  let home: TestTenant;
  let away: TestTenant;

  beforeAll(() => {
    [home, away] = [tenant(homeSlug), tenant(awaySlug)];
  });

  it('belongs to a person who is a member of both', () => {
    expect(home.person).toEqual(away.person);
  });

  it('a code: is refused like one made up, and is still redeemed at home', async () => {
    const authorized = await authorize(createUserAgent(server.origin), { tenant: home, client: home.clients.web });
    const stranger = await exchangeCode(away, away.clients.web, { ...authorized, code: madeUp('ac_') });
    const foreign = await exchangeCode(away, away.clients.web, authorized);
    expect(foreign).toMatchObject({ status: 400, json: { error: 'invalid_grant' } });
    expect(shapeOf(foreign)).toEqual(shapeOf(stranger));
    expect((await exchangeCode(home, home.clients.web, authorized)).status).toBe(200);
  });

  it('a refresh token: is refused like one made up, and still refreshes at home', async () => {
    const token = String((await tokensFrom(home))['refresh_token']);
    const stranger = await refresh(away, away.clients.web, madeUp('rt_'));
    const foreign = await refresh(away, away.clients.web, token);
    expect(foreign).toMatchObject({ status: 400, json: { error: 'invalid_grant' } });
    expect(shapeOf(foreign)).toEqual(shapeOf(stranger));

    for (const client of [away.clients.web, away.clients.resource_server]) {
      const asked = await introspect(away, client, token);
      expect(asked.json).toEqual({ active: false });
      expect(shapeOf(asked)).toEqual(shapeOf(await introspect(away, client, madeUp('rt_'))));
    }
    const revoked = await revoke(away, away.clients.web, token);
    expect(shapeOf(revoked)).toEqual(shapeOf(await revoke(away, away.clients.web, madeUp('rt_'))));
    expect((await refresh(home, home.clients.web, token)).status).toBe(200);
  });

  it.each(['opaque', 'jwt'] as const)(
    'an access token (%s): tells nothing, opens nothing and cannot be ended there',
    async (format) => {
      const resource = format === 'jwt' ? home.jwtApi : home.opaqueApi;
      const issued = await tokensFrom(home, { resource, scope: 'openid readings:read' });
      const token = String(issued['access_token']);
      const other = format === 'jwt' ? forgedJwt(token) : madeUp('at_');
      for (const client of [away.clients.web, away.clients.machine, away.clients.resource_server]) {
        const asked = await introspect(away, client, token);
        expect(asked.json).toEqual({ active: false });
        expect(shapeOf(asked)).toEqual(shapeOf(await introspect(away, client, other)));
      }
      const read = await userinfo(away, token);
      expect(read.status).toBe(401);
      expect(shapeOf(read)).toEqual(shapeOf(await userinfo(away, other)));
      const revoked = await revoke(away, away.clients.web, token);
      expect(shapeOf(revoked)).toEqual(shapeOf(await revoke(away, away.clients.web, other)));
      expect(await isActive(home, token)).toBe(true);
    },
  );

  it('an access token for userinfo: is refused like one made up, and is still good at home', async () => {
    const token = String((await tokensFrom(home))['access_token']);
    const foreign = await userinfo(away, token);
    expect(foreign).toMatchObject({ status: 401, json: { error: 'invalid_token' } });
    expect(shapeOf(foreign)).toEqual(shapeOf(await userinfo(away, madeUp('at_'))));
    await revoke(away, away.clients.web, token);
    expect((await userinfo(home, token)).status).toBe(200);
  });

  it('a client’s own access token: tells nothing, and is still good at home', async () => {
    const form = { grant_type: 'client_credentials', resource: home.opaqueApi, scope: 'readings:read' };
    const issued = await callEndpoint(home.issuer, '/token', { client: home.clients.machine, form });
    const token = String(issued.json['access_token']);
    for (const client of [away.clients.machine, away.clients.resource_server]) {
      expect((await introspect(away, client, token)).json).toEqual({ active: false });
      await revoke(away, client, token);
    }
    expect((await introspect(home, home.clients.resource_server, token)).json['active']).toBe(true);
  });

  it('an audience: is unknown there', async () => {
    const ask = (resource: string): Promise<EndpointAnswer> =>
      callEndpoint(away.issuer, '/token', {
        client: away.clients.machine,
        form: { grant_type: 'client_credentials', resource, scope: 'readings:read' },
      });
    const foreign = await ask(home.jwtApi);
    expect(foreign).toMatchObject({ status: 400, json: { error: 'invalid_target' } });
    expect(shapeOf(foreign)).toEqual(shapeOf(await ask('https://nobody.test/')));
  });

  it('credentials of a client: are refused like ones made up, at every endpoint that takes them', async () => {
    const { machine, web } = home.clients;
    const stranger = { clientId: randomBytes(16).toString('base64url'), clientSecret: madeUp('') };
    const calls = [
      ['/token', { grant_type: 'client_credentials' }],
      ['/introspect', { token: madeUp('at_') }],
      ['/revoke', { token: madeUp('at_') }],
      ['/par', Object.fromEntries(new URL(authorizationRequest(home, web).url).searchParams)],
    ] as const;
    for (const [path, form] of calls) {
      for (const client of [machine, web]) {
        const foreign = await callEndpoint(away.issuer, path, {
          client,
          form: { ...form, client_id: client.clientId },
        });
        const asked = await callEndpoint(away.issuer, path, {
          client: stranger,
          form: { ...form, client_id: stranger.clientId },
        });
        expect(foreign).toMatchObject({ status: 401, json: { error: 'invalid_client' } });
        expect(shapeOf(foreign)).toEqual(shapeOf(asked));
      }
    }
    const form = { grant_type: 'client_credentials', resource: home.jwtApi, scope: 'readings:read' };
    expect((await callEndpoint(home.issuer, '/token', { client: machine, form })).status).toBe(200);
  });

  it('a client: cannot ask for a sign-in there', async () => {
    const agent = createUserAgent(server.origin);
    const { web } = home.clients;
    const stranger = { ...web, clientId: randomBytes(16).toString('base64url') };
    const foreign = await agent.request(authorizationRequest(away, web).url);
    const asked = await agent.request(authorizationRequest(away, stranger).url);
    expect(foreign.status).toBe(400);
    expect(foreign.headers.get('location')).toBeNull();
    expect(pageShapeOf(foreign, web.clientId)).toEqual(pageShapeOf(asked, stranger.clientId));
  });

  it('a session: is nobody there, whatever path its cookie is sent on', async () => {
    const agent = createUserAgent(server.origin);
    await authorize(agent, { tenant: home, client: home.clients.web });
    const cookie = agent.cookies().join('; ');
    expect(cookie).toContain('_session=');

    const silent = { prompt: 'none' };
    const { url } = authorizationRequest(away, away.clients.web, silent);
    const ask = (value: string): Promise<Page> =>
      createUserAgent(server.origin).request(url, { headers: { cookie: value } });
    const foreign = await ask(cookie);
    expect(new URL(foreign.headers.get('location') ?? '').searchParams.get('error')).toBe('login_required');
    const invented = cookie.replaceAll(/=[^;]+/g, () => `=${randomBytes(16).toString('base64url')}`);
    expect(pageShapeOf(foreign)).toEqual(pageShapeOf(await ask(invented)));
    // Nor may it be ended there.
    await createUserAgent(server.origin).request(`${away.issuer}/logout`, { headers: { cookie } });

    const atHome = await agent.request(authorizationRequest(home, home.clients.web, silent).url);
    expect(new URL(atHome.headers.get('location') ?? '').searchParams.get('code')).toMatch(/^ac_/);
  });

  it('a session: says nothing to the other tenant’s session in the same browser', async () => {
    const agent = createUserAgent(server.origin);
    await authorize(agent, { tenant: home, client: home.clients.web });
    const page = await agent.follow(authorizationRequest(away, away.clients.web).url);
    // Signed in at home, and still asked here.
    expect(page.body).toContain('name="password"');
    await authorize(agent, { tenant: away, client: away.clients.web });
    for (const each of [home, away]) {
      const silent = await agent.request(authorizationRequest(each, each.clients.web, { prompt: 'none' }).url);
      expect(silent.headers.get('location')).toContain('code=ac_');
    }
  });

  it('an interaction: is as good as over there, and goes on at home', async () => {
    const agent = createUserAgent(server.origin);
    const page = await agent.follow(authorizationRequest(home, home.clients.web).url);
    const uid = new URL(page.url).pathname.split('/').at(-1) ?? '';
    expect(uid).toMatch(/^[\w-]{16,}$/);
    const cookie = agent.cookies().join('; ');

    const visit = (id: string, init: RequestInit = {}): Promise<Page> =>
      createUserAgent(server.origin).request(`${away.issuer}/interaction/${id}`, {
        ...init,
        headers: { cookie, origin: server.origin, 'content-type': 'application/x-www-form-urlencoded' },
      });
    const unknown = randomBytes(16).toString('base64url').slice(0, uid.length);
    const form = { method: 'POST', body: new URLSearchParams({ csrf: 'x', email: home.person.email }).toString() };
    for (const init of [{}, form]) {
      const foreign = await visit(uid, init);
      expect(foreign.status).toBe(400);
      // Neither the application nor the tenant it was for is named.
      expect(pageShapeOf(foreign, uid)).toEqual(pageShapeOf(await visit(unknown, init), unknown));
    }
    const resumed = await createUserAgent(server.origin).request(`${away.issuer}/authorize/${uid}`, {
      headers: { cookie },
    });
    expect(resumed.status).toBe(400);
    expect(resumed.headers.get('location')).toBeNull();

    const finished = await agent.submit(page, { email: home.person.email, password: home.person.password });
    expect(finished.url).toContain(`${callbackUri}?code=ac_`);
  });

  it('a pushed authorization request: is unknown there, and is still good at home', async () => {
    const { web } = home.clients;
    const { url, verifier } = authorizationRequest(home, web);
    const push = async (): Promise<string> => {
      const form = Object.fromEntries(new URL(url).searchParams);
      const pushed = await callEndpoint(home.issuer, '/par', { client: web, form });
      expect(pushed.status).toBe(201);
      return String(pushed.json['request_uri']);
    };
    const requestUri = await push();
    const invented = requestUri.replace(/[^:]+$/, randomBytes(32).toString('base64url'));
    const visit = (at: TestTenant, client: TestClient, uri: string): Promise<Page> =>
      createUserAgent(server.origin).request(
        `${at.issuer}/authorize?${new URLSearchParams({ client_id: client.clientId, request_uri: uri })}`,
      );
    for (const client of [away.clients.web, web]) {
      const foreign = await visit(away, client, requestUri);
      expect(foreign.status).toBe(400);
      expect(foreign.headers.get('location')).toBeNull();
      expect(pageShapeOf(foreign, requestUri)).toEqual(pageShapeOf(await visit(away, client, invented), invented));
    }

    const agent = createUserAgent(server.origin);
    let page = await agent.follow(
      `${home.issuer}/authorize?${new URLSearchParams({ client_id: web.clientId, request_uri: requestUri })}`,
    );
    page = await agent.submit(page, { email: home.person.email, password: home.person.password });
    const callback = new URL(page.url);
    const code = callback.searchParams.get('code') ?? '';
    expect((await exchangeCode(home, web, { code, verifier, callback })).status).toBe(200);
  });

  it('an ID token as a hint: is refused like a forged one', async () => {
    const idToken = String((await tokensFrom(home))['id_token']);
    const forged = forgedJwt(idToken);
    const agent = createUserAgent(server.origin);
    await authorize(agent, { tenant: away, client: away.clients.web });
    const ask = (hint: string): Promise<Page> =>
      agent.request(authorizationRequest(away, away.clients.web, { id_token_hint: hint, prompt: 'none' }).url);
    const foreign = await ask(idToken);
    expect(foreign.headers.get('location')).toMatch(/[?&]error=/);
    expect(foreign.headers.get('location')).not.toMatch(/[?&]code=/);
    expect(pageShapeOf(foreign)).toEqual(pageShapeOf(await ask(forged)));

    const signOut = (hint: string): Promise<Page> =>
      agent.request(
        `${away.issuer}/logout?${new URLSearchParams({ id_token_hint: hint, post_logout_redirect_uri: postLogoutUri })}`,
      );
    const refused = await signOut(idToken);
    expect(refused.status).toBe(400);
    expect(refused.headers.get('location')).toBeNull();
    expect(pageShapeOf(refused)).toEqual(pageShapeOf(await signOut(forged)));
    const still = await agent.request(authorizationRequest(away, away.clients.web, { prompt: 'none' }).url);
    expect(still.headers.get('location')).toContain('code=ac_');
  });

  it('a key: is published by its own tenant only', async () => {
    const kidsOf = async ({ issuer }: TestTenant): Promise<readonly string[]> => {
      const { keys } = (await (await fetch(`${issuer}/jwks`)).json()) as { keys: { kid: string }[] };
      return keys.map(({ kid }) => kid);
    };
    const [mine, theirs] = [await kidsOf(home), await kidsOf(away)];
    expect(mine.length).toBeGreaterThanOrEqual(2);
    expect(mine.filter((kid) => theirs.includes(kid))).toEqual([]);
  });
});

describe('a refusal of what another tenant gave out', () => {
  it('is no fault: nobody is woken up', () => {
    const error = 50;
    expect(server.log.filter((line) => Number(line['level']) >= error)).toEqual([]);
  });
});

/** The same words, said by somebody else: another key, the same algorithm and `kid`. */
function forgedJwt(token: string): string {
  const [head = '', body = ''] = token.split('.');
  const { alg } = JSON.parse(Buffer.from(head, 'base64url').toString()) as { alg: string };
  const signed = Buffer.from(`${head}.${body}`);
  if (alg === 'RS256') {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    return `${head}.${body}.${sign('sha256', signed, privateKey).toString('base64url')}`;
  }
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signature = sign('sha256', signed, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `${head}.${body}.${signature.toString('base64url')}`;
}
