/**
 * The refresh token in a cookie (lesson C25): where it goes, who can read it, and what another site can do with a browser that has it.
 * Everything a browser can say of where a request comes from, at every route that takes or sets the cookie.
 */
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { type ApiCallAnswer, callApi } from '#test/support/api_calls.ts';
import { readMailbox } from '#test/support/mails.ts';
import { type HeaderList, sendRaw } from '#test/support/raw_http.ts';
import { callAuth, cookieIn, logIn, sessionIn } from '#test/support/rest.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { goodPassword, newAddress } from '#test/support/visitor.ts';
import { createTestTenant, newPerson, type TestTenant } from '#test/support/world.ts';

const ownApplication = 'https://app.acme.test';
const otherApplication = 'https://other.test';

let server: TestServer;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer({
    change: (config) => ({ ...config, signIn: { ...config.signIn, maximumPerAddress: 100_000 } }),
  });
  acme = await createTestTenant(server, 'acme');
  for (const [origin, firstParty] of [
    [ownApplication, true],
    [otherApplication, false],
  ] as const) {
    const client = { name: origin, type: 'spa', firstParty, redirectUris: [`${origin}/callback`] };
    const created = await createClient(server.context, { tenantId: acme.id, client });
    expect(created.outcome).toBe('created');
  }
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

type Headers = Readonly<Record<string, string>>;

async function logInWithCookie(headers: Headers = {}): Promise<{ readonly cookie: string; readonly token: string }> {
  const { email, password } = acme.person;
  const answer = await callAuth(acme, '/login', { email, password }, { headers });
  const { access_token: token } = answer.json['data'] as { readonly access_token: string };
  return { cookie: `poort_refresh=${cookieIn(answer, 'poort_refresh')?.value}`, token };
}

const renew = (cookie: string, more: Headers = {}, body?: object): Promise<ApiCallAnswer> =>
  callAuth(acme, '/refresh', body, { headers: { cookie, ...more } });

describe('the refresh token in a cookie', () => {
  it('is what is given without a word: for no script, and for the tenant’s own /api/v1/auth alone', async () => {
    const { email, password } = acme.person;
    for (const token_delivery of [undefined, 'cookie']) {
      const answer = await callAuth(acme, '/login', { email, password, token_delivery });
      expect(answer.status).toBe(200);
      expect(JSON.stringify(answer.json)).not.toMatch(/rt_|refresh_token/);
      expect(cookieIn(answer, 'poort_refresh')).toEqual({
        value: expect.stringMatching(/^rt_[\w-]{43}$/),
        attributes: ['Path=/t/acme/api/v1/auth', 'Max-Age=604800', 'HttpOnly', 'SameSite=Lax'],
      });
    }
  });

  it('goes to the alias of whoever came by the alias', async () => {
    const tenant = await createTestTenant(server, 'auth-v1');
    const { email, password } = tenant.person;
    for (const [address, path] of [
      ['/auth/login', '/t/auth-v1/auth'],
      ['/api/v1/auth/login', '/t/auth-v1/api/v1/auth'],
    ]) {
      const answer = await fetch(tenant.issuer + address, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ email, password }),
      });
      const given = cookieIn({ headers: answer.headers }, 'poort_refresh');
      expect([address, given?.attributes[0]]).toEqual([address, `Path=${path}`]);
    }
  });

  it('never travels unencrypted where the installation is reached by https', async () => {
    const publicUrl = 'https://id.acme.test';
    const environment = { POORT_PUBLIC_URL: publicUrl, POORT_TRUSTED_PROXIES: '127.0.0.1' };
    const secure = await startTestServer({ environment });
    try {
      const { person } = await createTestTenant(secure, 'acme');
      const headers: HeaderList = [
        ['Host', 'id.acme.test'],
        ['X-Forwarded-Proto', 'https'],
        ['Content-Type', 'application/json'],
      ];
      const body = JSON.stringify({ email: person.email, password: person.password });
      const target = '/t/acme/api/v1/auth/login';
      const answer = await sendRaw(secure.config.http.port, { method: 'POST', target, headers, body });
      const set = answer.headers.filter(([name]) => name === 'set-cookie').map(([, value]) => value);
      expect(set.map((cookie) => cookie.split('=')[0])).toEqual(['poort_device', 'poort_refresh']);
      for (const cookie of set) expect(cookie).toMatch(/; HttpOnly; SameSite=Lax; Secure$/);
    } finally {
      await secure.close();
    }
  });

  it('is rotated in its cookie, and cannot be asked out of it', async () => {
    const { cookie } = await logInWithCookie();
    for (const path of ['/refresh', '/refresh-token']) {
      const answer = await callAuth(acme, path, undefined, { headers: { cookie } });
      expect(answer.status).toBe(200);
      expect(answer.json).toEqual({
        data: { access_token: expect.any(String), token_type: 'Bearer', expires_in: 900 },
      });
      expect(cookieIn(answer, 'poort_refresh')?.value).toMatch(/^rt_/);
    }
    const asked = await renew(cookie, {}, { token_delivery: 'body' });
    expect([asked.status, asked.headers.getSetCookie()]).toEqual([403, []]);
    expect(JSON.stringify(asked.json)).not.toContain('rt_');
  });

  it('is where the answer’s is not: who sends it in the body gets it in the body', async () => {
    const session = await logIn(acme, acme.person);
    const body = await callAuth(acme, '/refresh', { refresh_token: session.refreshToken });
    expect([body.headers.getSetCookie(), sessionIn(body).refreshToken]).toEqual([[], expect.any(String)]);
    const moved = await callAuth(acme, '/refresh', { refresh_token: session.refreshToken, token_delivery: 'cookie' });
    expect(JSON.stringify(moved.json)).not.toContain('rt_');
    expect(cookieIn(moved, 'poort_refresh')?.value).toBe(sessionIn(body).refreshToken);
  });

  it('signs out, and is forgotten', async () => {
    const { cookie, token } = await logInWithCookie();
    const out = await callAuth(acme, '/logout', undefined, { headers: { cookie } });
    expect([out.status, cookieIn(out, 'poort_refresh')]).toEqual([
      200,
      { value: '', attributes: ['Path=/t/acme/api/v1/auth', 'Max-Age=0', 'HttpOnly', 'SameSite=Lax'] },
    ]);
    expect((await callApi(acme.issuer, '/auth/me', { token })).status).toBe(401);
    const again = await renew(cookie);
    expect([again.status, again.json['code']]).toEqual([401, 'invalid_refresh_token']);
    expect(cookieIn(again, 'poort_refresh')).toMatchObject({ value: '' });
    expect((await callAuth(acme, '/logout', undefined, { headers: { cookie } })).status).toBe(200);
  });

  it('is nothing that was written into it by hand', async () => {
    for (const value of ['', 'x', 'rt_', `rt_${'A'.repeat(43)}`, `rt_${'A'.repeat(44)}`, '%00', '"']) {
      const answer = await renew(`a=b; poort_refresh=${value}; c=d`);
      expect([value, answer.status]).toEqual([value, 401]);
    }
  });

  it('is what the tenant says when nobody else does: earlier services had it in the body', async () => {
    const moving = await createTestTenant(server, 'moving');
    const changes = [{ name: 'rest.token_delivery', value: 'body' }] as const;
    await configureTenant(server.context, { id: moving.id, changes });
    const { email, password } = moving.person;
    const answer = await callAuth(moving, '/login', { email, password });
    expect([answer.headers.getSetCookie(), sessionIn(answer).refreshToken]).toEqual([[], expect.any(String)]);
    const wished = await callAuth(moving, '/login', { email, password, token_delivery: 'cookie' });
    expect(cookieIn(wished, 'poort_refresh')).toBeDefined();
  });

  it('comes with the browser’s own: it is known the next time, at the hosted pages too', async () => {
    const person = await newPerson(server, acme);
    const { email, password } = person;
    const first = await callAuth(acme, '/login', { email, password });
    const device = cookieIn(first, 'poort_device');
    expect(device?.attributes).toContain('Path=/t/acme');
    const second = await callAuth(
      acme,
      '/login',
      { email, password },
      { headers: { cookie: `poort_device=${device?.value}` } },
    );
    expect(cookieIn(second, 'poort_device')).toBeUndefined();
    const news = (await readMailbox(server, email)).filter(({ kind }) => kind === 'new_device');
    expect(news).toEqual([]);
  });
});

/** What `Sec-Fetch-Site` and `Origin` may say, and whether the cookie may be used (Fetch Metadata §2.1). */
function senders(): readonly { readonly headers: Headers; readonly mayUse: boolean }[] {
  const own = server.origin;
  const { hostname, port } = new URL(own);
  const fromOurs = (site: string | undefined) => site === undefined || site === 'same-origin' || site === 'none';
  const fromNear = (site: string | undefined) => site === undefined || site === 'same-site';
  const sites = [undefined, 'same-origin', 'none', 'same-site', 'cross-site', 'SAME-ORIGIN', 'nonsense'];
  const origins = [
    undefined,
    own,
    ownApplication,
    otherApplication,
    'null',
    'https://evil.example',
    `http://${hostname}:${Number(port) + 1}`,
    `${own}.evil.example`,
    `${ownApplication}/`,
    `${ownApplication}.evil.example`,
    ownApplication.replace('https', 'http'),
  ];
  return sites.flatMap((site) =>
    origins.map((origin) => ({
      headers: {
        ...(site === undefined ? {} : { 'sec-fetch-site': site }),
        ...(origin === undefined ? {} : { origin }),
      },
      mayUse:
        ((origin === undefined || origin === own) && fromOurs(site)) || (origin === ownApplication && fromNear(site)),
    })),
  );
}

describe('C25: another site', () => {
  it('gets nothing done at any route that sets the cookie or uses it', async () => {
    const { cookie } = await logInWithCookie();
    const { email, password } = acme.person;
    const calls: Readonly<Record<string, object | undefined>> = {
      '/login': { email, password },
      '/register': { email: newAddress(), password: goodPassword },
      '/refresh': undefined,
      '/refresh-token': undefined,
      '/logout': undefined,
      '/mfa/verify': { mfa_token: `mfa_${'A'.repeat(43)}.cookie.poort.rest`, code: '123456' },
      '/password/forgot': { email },
      '/password/reset': { code: '12345678', new_password: password },
      '/email/verify': { code: '12345678' },
    };
    const handles = `poort_verify=${'A'.repeat(43)}; poort_reset=${'A'.repeat(43)}`;
    let refused = 0;
    for (const { headers, mayUse } of senders()) {
      if (mayUse) continue;
      for (const [path, body] of Object.entries(calls)) {
        const answer = await callAuth(acme, path, body, { headers: { ...headers, cookie: `${cookie}; ${handles}` } });
        expect({ path, headers, status: answer.status, code: answer.json['code'] }).toEqual({
          path,
          headers,
          status: 403,
          code: 'cross_site_request',
        });
        expect(answer.headers.getSetCookie()).toEqual([]);
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(500);
    // Nothing of it was ended, rotated or begun.
    expect((await renew(cookie)).status).toBe(200);
  });

  it('is not the tenant’s own application at the same site, nor a page of ours, nor a program', async () => {
    const { cookie } = await logInWithCookie();
    const may = senders().filter(({ mayUse }) => mayUse);
    expect(may.length).toBe(8);
    for (const { headers } of may) {
      const answer = await renew(cookie, headers);
      expect({ headers, status: answer.status }).toEqual({ headers, status: 200 });
    }
  });

  it('reads no answer: a browser is told so for every origin but those of the tenant’s own applications', async () => {
    const preflight = (origin: string, path = '/auth/login') =>
      callApi(acme.issuer, path, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
      });
    const own = await preflight(ownApplication);
    expect(own.headers.get('access-control-allow-origin')).toBe(ownApplication);
    expect(own.headers.get('access-control-allow-credentials')).toBe('true');
    for (const origin of [otherApplication, 'https://evil.example', 'null']) {
      const { headers } = await preflight(origin);
      expect([headers.get('access-control-allow-origin'), headers.get('access-control-allow-credentials')]).toEqual([
        null,
        null,
      ]);
      const { email, password } = acme.person;
      const answer = await callAuth(
        acme,
        '/login',
        { email, password, token_delivery: 'body' },
        { headers: { origin } },
      );
      expect(answer.headers.get('access-control-allow-origin')).toBeNull();
    }
    // What is called with a token alone takes no cookies along, wherever the application is.
    const elsewhere = await preflight(otherApplication, '/auth/me');
    expect(elsewhere.headers.get('access-control-allow-credentials')).toBeNull();
  });

  it('does not matter to what takes no cookie: a program of the tenant’s calls from anywhere', async () => {
    const { email, password } = acme.person;
    const headers = { 'sec-fetch-site': 'cross-site', origin: ownApplication };
    const answer = await callAuth(acme, '/login', { email, password, token_delivery: 'body' }, { headers });
    const renewed = await callAuth(acme, '/refresh', { refresh_token: sessionIn(answer).refreshToken }, { headers });
    expect(renewed.status).toBe(200);
    expect(renewed.headers.get('access-control-allow-origin')).toBe(ownApplication);
  });
});
