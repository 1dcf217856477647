/** Nothing a stranger writes in a header decides where a link leads, who called, or how. */
import {
  canary,
  formType,
  honestRoutes,
  type OpenedInteraction,
  openInteraction,
  type Route,
  withoutNoise,
} from '#test/support/attack_surface.ts';
import { own, type Poisoning, poisonings } from '#test/support/poisonings.ts';
import { type HeaderList, type RawAnswer, sendRaw } from '#test/support/raw_http.ts';
import { readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createUserAgent } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

/** Headers whose value is new in every answer. */
const fresh = new Set(['date', 'x-request-id', 'dpop-nonce']);

function stable(answer: RawAnswer): object {
  const headers = answer.headers
    .filter(([name]) => !fresh.has(name))
    .map(([name, value]) =>
      name === 'set-cookie'
        ? [name, value.replace(/^([^=]+)=[^;]*/, '$1=…').replace(/expires=[^;]+/, '')]
        : [name, value],
    )
    .map(([name = '', value = '']) => `${name}: ${withoutNoise(value)}`);
  return { status: answer.status, headers, body: withoutNoise(answer.body) };
}

describe('what a stranger says about the host', () => {
  let server: TestServer;
  let routes: readonly Route[];
  let host: string;

  beforeAll(async () => {
    server = await startTestServer();
    const acme = await createTestTenant(server, 'acme');
    const interaction: OpenedInteraction = await openInteraction(server, { tenant: acme });
    routes = honestRoutes(acme, interaction);
    host = new URL(server.origin).host;
  });

  afterAll(() => server.close());

  const send = (route: Route, poisoning: Poisoning, evil: string): Promise<RawAnswer> =>
    sendRaw(server.config.http.port, {
      ...route.request,
      headers: [...poisoning.headers(host, evil), ...route.request.headers],
      target: poisoning.target?.(route.request.target, evil) ?? route.request.target,
      ...(poisoning.version === undefined ? {} : { version: poisoning.version }),
    });
  const clean: Poisoning = { name: 'nothing', refused: undefined, headers: () => [own(host)] };

  it('the honest requests get what they should, twice the same', async () => {
    for (const route of routes) {
      const first = await send(route, clean, '');
      const second = await send(route, clean, '');
      expect({ route: route.name, status: first.status }).toEqual({ route: route.name, status: expect.any(Number) });
      expect(first.status).toBeGreaterThanOrEqual(200);
      expect(first.status).toBeLessThan(500);
      expect({ route: route.name, ...stable(second) }).toEqual({ route: route.name, ...stable(first) });
    }
  });

  it.each(poisonings)('$name changes no byte of any answer but to refuse it', async (poisoning) => {
    for (const route of routes) {
      const evil = `${canary()}.example`;
      const answer = await send(route, poisoning, evil);
      const everything = JSON.stringify([answer.headers, answer.body]);
      expect({ route: route.name, said: everything.includes(evil.slice(0, 12)) }).toEqual({
        route: route.name,
        said: false,
      });
      // Probes ask for health by number: there the host says nothing, and nothing of it is used.
      const isProbe = route.request.target.startsWith('/health/') && poisoning.target === undefined;
      if (poisoning.refused === undefined || (isProbe && answer.status === 200)) {
        const expected = await send(route, clean, '');
        expect({ route: route.name, ...stable(answer) }).toEqual({ route: route.name, ...stable(expected) });
      } else {
        expect({
          route: route.name,
          refused: poisoning.refused.includes(answer.status) ? true : answer.status,
        }).toEqual({
          route: route.name,
          refused: true,
        });
      }
    }
  });

  it('the host is compared as a host: upper case is the same one', async () => {
    const answer = await sendRaw(server.config.http.port, {
      target: '/t/acme/.well-known/openid-configuration',
      headers: [['Host', host.toUpperCase()]],
    });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body).issuer).toBe(`${server.origin}/t/acme`);
  });
});

describe('a proxy', () => {
  let server: TestServer;
  let acme: TestTenant;

  beforeAll(async () => {
    server = await startTestServer({
      environment: { POORT_TRUSTED_PROXIES: '127.0.0.1,10.0.0.0/8,2001:db8::/32' },
    });
    acme = await createTestTenant(server, 'acme');
  });

  afterAll(() => server.close());

  /** A failed sign-in with these headers, and the address that the event of it names. */
  async function addressSeen(on: TestServer, tenant: TestTenant, headers: HeaderList): Promise<string | null> {
    const { path, cookie, csrf } = await openInteraction(on, { tenant });
    const answer = await sendRaw(on.config.http.port, {
      method: 'POST',
      target: path,
      headers: [own(new URL(on.origin).host), formType, ['Cookie', cookie], ...headers],
      body: new URLSearchParams({ csrf, email: `${canary()}@acme.test`, password: 'wrong' }).toString(),
    });
    expect(answer.status).toBe(400);
    const events = await readEvents(on.database, { tenantId: tenant.id, types: ['user.sign_in_failed'] });
    return events.at(-1)?.ip ?? null;
  }

  it.each([
    { name: 'names the caller', value: '203.0.113.7', caller: '203.0.113.7' },
    { name: 'of ours behind another of ours is passed over', value: '203.0.113.7, 10.1.2.3', caller: '203.0.113.7' },
    { name: 'adds to what the caller invented', value: '192.0.2.1, 203.0.113.7', caller: '203.0.113.7' },
    { name: 'adds to an invented proxy of ours', value: '10.9.9.9, 203.0.113.7', caller: '203.0.113.7' },
    { name: 'names a caller by IPv6', value: '2001:db9::1', caller: '2001:db9::1' },
    { name: 'of ours by IPv6 is passed over', value: '2001:db9::1, 2001:db8::5', caller: '2001:db9::1' },
    { name: 'names a caller in brackets with a port', value: '[2001:db9::1]:4711', caller: '2001:db9::1' },
    { name: 'names a caller by IPv4 in IPv6', value: '::ffff:203.0.113.9', caller: '203.0.113.9' },
    { name: 'that says nothing readable leaves itself', value: 'unknown', caller: '127.0.0.1' },
    { name: 'that repeats an attack leaves itself', value: "203.0.113.7, '; drop table", caller: '127.0.0.1' },
    { name: 'with an empty list leaves itself', value: ' , ,', caller: '127.0.0.1' },
    { name: 'with only proxies gives the farthest', value: '10.0.0.1, 10.0.0.2', caller: '10.0.0.1' },
    { name: 'with an impossible address leaves itself', value: '999.1.1.1', caller: '127.0.0.1' },
  ])('$name', async ({ value, caller }) => {
    expect(await addressSeen(server, acme, [['X-Forwarded-For', value]])).toBe(caller);
  });

  it('may send the chain in several headers', async () => {
    const chain: HeaderList = [
      ['X-Forwarded-For', '192.0.2.1'],
      ['X-Forwarded-For', '203.0.113.7'],
    ];
    expect(await addressSeen(server, acme, chain)).toBe('203.0.113.7');
  });

  it('that is not on the list says nothing about the caller', async () => {
    const closed = await startTestServer({ environment: { POORT_TRUSTED_PROXIES: '10.0.0.0/8' } });
    try {
      const tenant = await createTestTenant(closed, 'acme');
      expect(await addressSeen(closed, tenant, [['X-Forwarded-For', '203.0.113.7']])).toBe('127.0.0.1');
      expect(await addressSeen(closed, tenant, [['Forwarded', 'for=203.0.113.7']])).toBe('127.0.0.1');
      expect(await addressSeen(closed, tenant, [['X-Real-IP', '203.0.113.7']])).toBe('127.0.0.1');
    } finally {
      await closed.close();
    }
  });

  it('still decides nothing about links', async () => {
    const answer = await sendRaw(server.config.http.port, {
      target: '/t/acme/.well-known/openid-configuration',
      headers: [own(new URL(server.origin).host), ['X-Forwarded-Host', 'evil.example'], ['X-Forwarded-Proto', 'https']],
    });
    expect(answer.status).toBe(200);
    expect(answer.body).not.toContain('evil.example');
    expect(JSON.parse(answer.body).token_endpoint).toBe(`${server.origin}/t/acme/token`);
  });
});

describe('an installation on https', () => {
  const publicUrl = 'https://id.acme.example';
  const host = 'id.acme.example';
  let server: TestServer;
  let acme: TestTenant;

  beforeAll(async () => {
    server = await startTestServer({
      environment: { POORT_PUBLIC_URL: publicUrl, POORT_TRUSTED_PROXIES: '127.0.0.1' },
    });
    acme = await createTestTenant(server, 'acme');
  });

  afterAll(() => server.close());

  const get = (target: string, headers: HeaderList): Promise<RawAnswer> =>
    sendRaw(server.config.http.port, { target, headers: [own(host), ...headers] });

  it.each(['http', 'HTTP', 'ws', '', 'https2', 'http, https', 'http://'])(
    'refuses what its proxy received by %p',
    async (scheme) => {
      const answer = await get('/t/acme/.well-known/openid-configuration', [['X-Forwarded-Proto', scheme]]);
      expect(answer.status).toBe(403);
      expect(JSON.parse(answer.body)).toMatchObject({ code: 'https_required', status: 403 });
    },
  );

  it.each(['https', 'HTTPS', ' https '])(
    'serves what its proxy received by %p, with its own addresses',
    async (scheme) => {
      const answer = await get('/t/acme/.well-known/openid-configuration', [['X-Forwarded-Proto', scheme]]);
      expect(answer.status).toBe(200);
      expect(JSON.parse(answer.body).authorization_endpoint).toBe(`${publicUrl}/t/acme/authorize`);
    },
  );

  it('sets only Secure cookies, also when a person chooses a language', async () => {
    const agent = createSecureAgent();
    const authorization = await agent.get(authorizeTarget(acme));
    expect(authorization.status).toBe(303);
    const location = authorization.header('location') ?? '';
    expect(location.startsWith('/t/acme/interaction/')).toBe(true);
    const english = await agent.get(`${location}?ui_locales=en`);
    expect(english.status).toBe(200);
    expect(english.body).toContain('<html lang="en">');
    const cookies = [...authorization.headers, ...english.headers].filter(([name]) => name === 'set-cookie');
    expect(cookies.length).toBeGreaterThan(2);
    for (const [, cookie] of cookies) expect(cookie).toMatch(/; *secure/i);
    expect(server.log).toEqual([]);
  });

  /** fetch cannot ask for a host that has no address. */
  function createSecureAgent(): { get(target: string): Promise<RawAnswer> } {
    let cookies: readonly string[] = [];
    return {
      async get(target) {
        const answer = await get(target, [
          ['X-Forwarded-Proto', 'https'],
          ['Accept', 'text/html'],
          ...(cookies.length === 0 ? [] : [['Cookie', cookies.join('; ')] as const]),
        ]);
        const set = answer.headers
          .filter(([name]) => name === 'set-cookie')
          .map(([, value]) => value.split(';')[0] ?? '');
        cookies = [...cookies, ...set];
        return answer;
      },
    };
  }

  function authorizeTarget(tenant: TestTenant): string {
    const parameters = new URLSearchParams({
      client_id: tenant.clients.web.clientId,
      response_type: 'code',
      redirect_uri: 'http://localhost:9/callback',
      scope: 'openid',
      code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
      code_challenge_method: 'S256',
    });
    return `/t/${tenant.slug}/authorize?${parameters}`;
  }
});

describe('a browser that follows links', () => {
  it('meets only addresses of the installation', async () => {
    const server = await startTestServer();
    try {
      const acme = await createTestTenant(server, 'acme');
      const { page } = await openInteraction(server, { tenant: acme, agent: createUserAgent(server.origin) });
      const addresses = [...page.body.matchAll(/(?:href|src|action)="([^"]*)"/g)].map(([, address = '']) => address);
      expect(addresses.length).toBeGreaterThan(3);
      for (const address of addresses)
        expect(new URL(address, page.url).origin === server.origin || address === '#main').toBe(true);
    } finally {
      await server.close();
    }
  });
});
