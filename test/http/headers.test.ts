/** What every answer carries, whoever made it: the policy, the request id, the shape of an error; and what no answer carries. */
import { readFileSync } from 'node:fs';
import { type Problem, problemBody, problems } from '#src/http/problems.ts';
import { basic, formType, honestRoutes, openInteraction, type Route } from '#test/support/attack_surface.ts';
import { type HeaderList, type RawAnswer, type RawRequest, sendRaw } from '#test/support/raw_http.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  callEndpoint,
  createUserAgent,
  exchangeCode,
} from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestTenant } from '#test/support/world.ts';

const policyWith = (formAction: string): string =>
  [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "font-src 'self'",
    `form-action ${formAction}`,
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; ');

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('an answer', () => {
  let server: TestServer;
  let acme: TestTenant;
  let routes: readonly Route[];

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    routes = honestRoutes(acme, await openInteraction(server, { tenant: acme }));
  });

  afterAll(async () => {
    expect(server.log).toEqual([]);
    await server.close();
  });

  const host = (): readonly [string, string] => ['Host', new URL(server.origin).host];
  const send = (request: RawRequest): Promise<RawAnswer> =>
    sendRaw(server.config.http.port, { ...request, headers: [host(), ...request.headers] });
  const all = (answer: RawAnswer, name: string): readonly string[] =>
    answer.headers.filter(([known]) => known === name).map(([, value]) => value);

  describe('whatever it is', () => {
    it('forbids framing, sniffing, foreign scripts and telling where one came from', async () => {
      for (const { name, request } of routes) {
        // The engine's page for who is not signed in sends itself, see below.
        if (name === 'logout') continue;
        const answer = await send(request);
        // Only the sign-in page's form may lead to the application that asked.
        const formAction =
          name === 'sign-in page' || name === 'sign-in form' ? `'self' ${new URL(callbackUri).origin}` : "'self'";
        expect({ name, policy: all(answer, 'content-security-policy') }).toEqual({
          name,
          policy: [policyWith(formAction)],
        });
        expect({
          name,
          sniff: all(answer, 'x-content-type-options'),
          frame: all(answer, 'x-frame-options'),
          referrer: all(answer, 'referrer-policy'),
          opener: all(answer, 'cross-origin-opener-policy'),
          permissions: all(answer, 'permissions-policy').length,
        }).toEqual({
          name,
          sniff: ['nosniff'],
          frame: ['DENY'],
          referrer: ['same-origin'],
          opener: ['same-origin'],
          permissions: 1,
        });
      }
    });

    it('allows one script of the engine, by its hash, where a form sends itself', async () => {
      const { url } = authorizationRequest(acme, acme.clients.web, { prompt: 'none', response_mode: 'form_post' });
      const { pathname, search } = new URL(url);
      const answer = await send({ target: pathname + search, headers: [['Accept', 'text/html']] });
      const policy = answer.header('content-security-policy') ?? '';
      expect(policy.replaceAll(/;(?=\S)/g, '; ')).toMatch(/^[^;]*; script-src 'self' 'sha256-[A-Za-z0-9+/=]{44}'; /);
      expect(policy.replaceAll(/;(?=\S)/g, '; ').replace(/ 'sha256-[^']*'/, '')).toBe(
        policyWith(`'self' ${new URL(callbackUri).origin}`),
      );
    });

    it('does not tell what made it, and on http nothing of HTTPS', async () => {
      for (const { name, request } of routes) {
        const answer = await send(request);
        for (const header of ['server', 'x-powered-by', 'via', 'x-runtime', 'strict-transport-security'])
          expect({ name, header, values: all(answer, header) }).toEqual({ name, header, values: [] });
        expect(JSON.stringify(answer.headers) + answer.body).not.toMatch(
          // Whole words: a published key may spell anything.
          /\b(?:koa|express)\b|node\/|oidc-provider|node_modules|at .*\.ts:\d/i,
        );
      }
    });

    it('is kept by no cache, but for what is public and says so itself', async () => {
      const cacheable = new Set(['discovery', 'discovery of RFC 8414', 'discovery, inserted', 'keys', 'asset']);
      for (const { name, request } of routes) {
        const control = (await send(request)).header('cache-control') ?? '';
        if (name === 'asset') expect(control).toBe('public, max-age=31536000, immutable');
        else if (name === 'keys') expect(control).toBe(`public, max-age=${server.config.keys.jwksCacheSeconds}`);
        else if (cacheable.has(name)) expect({ name, control }).toEqual({ name, control: '' });
        else expect({ name, control }).toEqual({ name, control: expect.stringContaining('no-store') });
      }
    });

    it('sets only cookies that scripts and other sites cannot use, each where it belongs', async () => {
      const agent = createUserAgent(server.origin);
      const page = await agent.request(authorizationRequest(acme, acme.clients.web).url);
      const signIn = await agent.follow(
        page.headers.get('location') === null ? '' : new URL(page.headers.get('location') ?? '', page.url).href,
      );
      const english = await agent.request(`${signIn.url}?ui_locales=en`);
      const done = await authorizeAndKeepHeaders();
      const cookies = [page, english].flatMap(({ headers }) => headers.getSetCookie()).concat(done);
      expect(cookies.length).toBeGreaterThan(4);
      for (const cookie of cookies) {
        expect(cookie).toMatch(/; *httponly/i);
        expect(cookie).toMatch(/; *samesite=lax/i);
        expect(cookie).toMatch(/; *path=\/t\/acme/i);
        expect(cookie).not.toMatch(/domain=/i);
        // The public address is http here; on https see host.test.ts.
        expect(cookie).not.toMatch(/; *secure/i);
      }
    });

    async function authorizeAndKeepHeaders(): Promise<readonly string[]> {
      const opened = await openInteraction(server, { tenant: acme });
      const answered = await opened.agent.request(opened.url, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams({
          csrf: opened.csrf,
          email: acme.person.email,
          password: acme.person.password,
        }).toString(),
      });
      const resumed = await opened.agent.request(new URL(answered.headers.get('location') ?? '', opened.url).href);
      expect(resumed.headers.getSetCookie().some((cookie) => cookie.startsWith('_session='))).toBe(true);
      return resumed.headers.getSetCookie();
    }
  });

  describe('on https', () => {
    it('tells browsers to stay there', async () => {
      const secure = await startTestServer({ environment: { POORT_PUBLIC_URL: 'https://id.acme.example' } });
      try {
        for (const target of ['/health/live', '/nothing', '/t/nobody', '/docs/problems/not_found']) {
          const answer = await sendRaw(secure.config.http.port, { target, headers: [['Host', 'id.acme.example']] });
          expect(answer.header('strict-transport-security')).toMatch(/^max-age=\d{8,}/);
        }
      } finally {
        await secure.close();
      }
    });
  });

  describe('its request id', () => {
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const idOf = async (headers: HeaderList): Promise<string> =>
      (await send({ target: '/health/live', headers })).header('x-request-id') ?? '';

    it('is new each time', async () => {
      const [one, other] = [await idOf([]), await idOf([])];
      expect(one).toMatch(uuid);
      expect(other).toMatch(uuid);
      expect(one).not.toBe(other);
    });

    it('is the caller’s trace, else the caller’s own id', async () => {
      const traceparent = ['traceparent', `00-${trace}-00f067aa0ba902b7-01`] as const;
      expect(await idOf([traceparent])).toBe(trace);
      expect(await idOf([['X-Request-Id', 'order-4711_a']])).toBe('order-4711_a');
      expect(await idOf([traceparent, ['X-Request-Id', 'order-4711_a']])).toBe(trace);
    });

    it.each([
      ['traceparent', `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`],
      ['traceparent', `00-${trace}-${'0'.repeat(16)}-01`],
      ['traceparent', `00-${trace.toUpperCase()}-00f067aa0ba902b7-01`],
      ['traceparent', `00-${trace}-00f067aa0ba902b7`],
      ['traceparent', `ff-${trace}-00f067aa0ba902b7-01`],
      ['traceparent', `00-${trace}-00f067aa0ba902b7-01 `.repeat(2)],
      ['X-Request-Id', 'short'],
      ['X-Request-Id', 'x'.repeat(65)],
      ['X-Request-Id', 'with space'],
      ['X-Request-Id', '<script>alert(1)</script>'],
      ['X-Request-Id', '"},{"level":60'],
      ['X-Request-Id', '\u001b[31mred\u001b[0m'],
      ['X-Request-Id', '../../etc/passwd'],
      ['X-Request-Id', '#{jndi:ldap://x}'],
      ['X-Request-Id', ''],
    ])('is not taken from %s: %p', async (name, value) => {
      // Escape characters are no header at all: then the parser refuses.
      const answer = await send({ target: '/health/live', headers: [[name, value]] });
      expect(answer.header('x-request-id') ?? '').not.toBe(value);
      if (answer.status === 200) expect(answer.header('x-request-id')).toMatch(uuid);
      else expect(answer.status).toBe(400);
    });

    it('is not taken from two headers', async () => {
      expect(
        await idOf([
          ['X-Request-Id', 'first-one'],
          ['X-Request-Id', 'second-one'],
        ]),
      ).toMatch(uuid);
    });

    it('is on every answer', async () => {
      for (const { name, request } of routes) {
        const answer = await send({ ...request, headers: [...request.headers, ['X-Request-Id', 'follow-me-1']] });
        expect({ name, ids: all(answer, 'x-request-id') }).toEqual({ name, ids: ['follow-me-1'] });
      }
    });
  });

  describe('that refuses', () => {
    const refusals: readonly (readonly [string, RawRequest, number, string])[] = [
      ['an unknown address', { target: '/nothing', headers: [] }, 404, 'not_found'],
      ['an unknown tenant', { target: '/t/nobody/token', headers: [] }, 404, 'not_found'],
      ['an unknown page of a tenant', { target: '/t/acme/nothing', headers: [] }, 404, 'not_found'],
      ['an address that is none', { target: '/%ff', headers: [] }, 400, 'invalid_request'],
      ['a method at an endpoint', { target: '/t/acme/token', headers: [] }, 405, 'method_not_allowed'],
      ['a method at a page', { method: 'DELETE', target: '/t/acme', headers: [] }, 405, 'method_not_allowed'],
      [
        'a body that is too large',
        { method: 'POST', target: '/t/acme/token', headers: [formType], body: 'x'.repeat(70_000) },
        413,
        'content_too_large',
      ],
      [
        'a form of another kind',
        { method: 'POST', target: '/t/acme/interaction/x', headers: [['Content-Type', 'text/plain']], body: 'x' },
        415,
        'unsupported_media_type',
      ],
      [
        'a form of another site',
        {
          method: 'POST',
          target: '/t/acme/logout/confirm',
          headers: [formType, ['Sec-Fetch-Site', 'cross-site']],
          body: '',
        },
        403,
        'cross_site_request',
      ],
    ];

    it.each(refusals)('%s is a problem of RFC 9457 for a program', async (_name, request, status, code) => {
      for (const accept of ['application/json', 'application/problem+json', '*/*', undefined]) {
        const answer = await send({
          ...request,
          headers: [...request.headers, ...(accept === undefined ? [] : [['Accept', accept] as const])],
        });
        expect(answer.status).toBe(status);
        expect(answer.header('content-type')).toBe('application/problem+json; charset=utf-8');
        const id = answer.header('x-request-id');
        expect(JSON.parse(answer.body)).toEqual({
          type: `${server.origin}/docs/problems/${code}`,
          title: expect.any(String),
          status,
          detail: expect.any(String),
          instance: `urn:poort:request:${id}`,
          code,
          request_id: id,
        });
      }
    });

    it.each(refusals)('%s is a page with the same request id for a browser', async (_name, request, status, code) => {
      const headers = [...request.headers, ['Accept', 'text/html,application/xhtml+xml,*/*;q=0.8'] as const];
      const answer = await send({ ...request, headers });
      expect(answer.status).toBe(status);
      expect(answer.header('content-type')).toBe('text/html; charset=utf-8');
      expect(answer.body).toContain(answer.header('x-request-id'));
      expect(answer.body).toContain(`<code>${code}</code>`);
      expect(answer.body).toMatch(/<title>(Fout|Error):/);
    });

    it('is explained at the address of its type', async () => {
      for (const [, , , code] of refusals) {
        const page = await send({ target: `/docs/problems/${code}`, headers: [['Accept', 'text/html']] });
        expect(page.status).toBe(200);
        expect(page.header('content-type')).toBe('text/plain; charset=utf-8');
        expect(page.body.startsWith(`# ${code}\n`)).toBe(true);
      }
      for (const code of ['nothing', '__proto__', '..%2f..%2fREADME', 'Problems', ''])
        expect((await send({ target: `/docs/problems/${code}`, headers: [] })).status).toBe(404);
    });

    it('at an OAuth endpoint keeps the body of RFC 6749', async () => {
      const unknown = await send({
        method: 'POST',
        target: '/t/acme/token',
        headers: [formType, ['Authorization', 'Basic bm9ib2R5OnNlY3JldA==']],
        body: 'grant_type=client_credentials',
      });
      expect(unknown.status).toBe(401);
      expect(unknown.header('www-authenticate')).toMatch(/^Basic realm=/);
      expect(unknown.header('content-type')).toMatch(/^application\/json/);
      expect(JSON.parse(unknown.body)).toEqual({
        error: 'invalid_client',
        error_description: 'client authentication failed',
      });
      const userinfo = await send({ target: '/t/acme/userinfo', headers: [['Authorization', 'Bearer at_x']] });
      expect(userinfo.status).toBe(401);
      expect(userinfo.header('www-authenticate')).toMatch(/^Bearer .*error="invalid_token"/);
      expect(JSON.parse(userinfo.body).error).toBe('invalid_token');
      const push = await send({
        method: 'POST',
        target: '/t/acme/par',
        headers: [formType, basic(acme.clients.web)],
        body: 'response_type=code',
      });
      expect(push.status).toBe(400);
      expect(JSON.parse(push.body).error).toBe('invalid_request');
    });
  });

  describe('that repeats what was asked', () => {
    const attacks = [
      '"><svg onload=alert(1)>',
      "'><img src=x onerror=alert(1)>",
      '</code><script>alert(1)</script>',
      '</title><script>alert(1)</script>',
      'javascript:alert(1)',
      '<%= process.env %>',
      '{{constructor.constructor("alert(1)")()}}',
      '\u2028<b>\u202e',
    ];

    it.each(attacks)('never repeats it as markup: %p', async (attack) => {
      const value = encodeURIComponent(attack);
      const asked = new URL(authorizationRequest(acme, acme.clients.web).url).searchParams;
      const parameter = (name: string): string => {
        const changed = new URLSearchParams(asked);
        changed.set(name, attack);
        return `/t/acme/authorize?${changed}`;
      };
      const names = [
        'client_id',
        'redirect_uri',
        'response_type',
        'response_mode',
        'scope',
        'prompt',
        'max_age',
        'request_uri',
        'ui_locales',
      ];
      const targets = [
        ...names.map(parameter),
        `/t/acme/${value}`,
        `/t/${value}/authorize`,
        `/${value}`,
        `/t/acme/interaction/${value}`,
        `/t/acme/authorize/${value}`,
        `/t/acme/logout?post_logout_redirect_uri=${value}&client_id=${value}&state=${value}&ui_locales=${value}`,
        `/t/acme?ui_locales=${value}`,
        `/t/acme/logout/success?client_id=${value}`,
        `/docs/problems/${value}`,
      ];
      for (const target of targets) {
        for (const accept of ['text/html', 'application/json']) {
          const answer = await send({
            target,
            headers: [
              ['Accept', accept],
              ['Accept-Language', 'en'],
            ],
          });
          expect({ target, failed: answer.status >= 500 }).toEqual({ target, failed: false });
          if (answer.header('content-type')?.startsWith('text/html') === true) expectNoMarkup(answer.body, attack);
        }
      }
    });

    it.each(attacks)('shows a hint and a typed address as text: %p', async (attack) => {
      const opened = await openInteraction(server, {
        tenant: acme,
        extra: { login_hint: attack, state: attack, ui_locales: attack },
      });
      expectNoMarkup(opened.page.body, attack);
      const again = await opened.agent.request(opened.url, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams({ csrf: 'wrong', email: attack, password: 'x' }).toString(),
      });
      expect(again.status).toBe(403);
      expectNoMarkup(again.body, attack);
    });

    it('keeps the state of an application as it was, encoded', async () => {
      const state = '"><svg onload=alert(1)>&state=2#é';
      const { callback } = await authorize(createUserAgent(server.origin), {
        tenant: acme,
        client: acme.clients.web,
        extra: { state },
      });
      expect(callback.searchParams.getAll('state')).toEqual([state]);
      expect(callback.hash).toBe('');
    });

    function expectNoMarkup(body: string, attack: string): void {
      // As the attack would have to stand in the page to do anything.
      if (/[<>"']/.test(attack)) expect(body).not.toContain(attack);
      expect(body).not.toMatch(/<(?:svg|img) [^>]*on\w+=/i);
      expect(body).not.toMatch(/<script>|<b>/i);
      expect(body).not.toMatch(/(?:href|src|action)="\s*javascript:/i);
    }
  });

  describe('to another origin', () => {
    const spaOrigin = new URL(callbackUri).origin;
    const allowed = (answer: Headers): string | null => answer.get('access-control-allow-origin');

    async function spaTokens(): Promise<string> {
      const { spa } = acme.clients;
      const authorized = await authorize(createUserAgent(server.origin), { tenant: acme, client: spa });
      const tokens = await exchangeCode(acme, spa, authorized);
      expect(tokens.status).toBe(200);
      return String(tokens.json['access_token']);
    }

    it('gives a browser application its tokens and claims', async () => {
      const { spa } = acme.clients;
      const authorized = await authorize(createUserAgent(server.origin), { tenant: acme, client: spa });
      const tokens = await callEndpoint(acme.issuer, '/token', {
        client: spa,
        form: {
          grant_type: 'authorization_code',
          code: authorized.code,
          code_verifier: authorized.verifier,
          redirect_uri: callbackUri,
        },
        headers: { origin: spaOrigin },
      });
      expect(tokens.status).toBe(200);
      expect(allowed(tokens.headers)).toBe(spaOrigin);
      expect(tokens.headers.get('vary')).toMatch(/origin/i);
      const userinfo = await fetch(`${acme.issuer}/userinfo`, {
        headers: { authorization: `Bearer ${tokens.json['access_token']}`, origin: spaOrigin },
      });
      expect(userinfo.status).toBe(200);
      expect(allowed(userinfo.headers)).toBe(spaOrigin);
    });

    it.each([
      'https://evil.example',
      'null',
      `${spaOrigin}0`,
      'http://localhost:90',
      'https://localhost:9',
      'http://localhost:9.evil.example',
    ])('from %s gives nothing of a person or a client', async (origin) => {
      const token = await spaTokens();
      const userinfo = await fetch(`${acme.issuer}/userinfo`, {
        headers: { authorization: `Bearer ${token}`, origin },
      });
      expect(userinfo.status).toBe(400);
      expect(allowed(userinfo.headers)).toBeNull();
      const refused = await callEndpoint(acme.issuer, '/token', {
        client: acme.clients.spa,
        form: { grant_type: 'refresh_token', refresh_token: 'rt_x' },
        headers: { origin },
      });
      expect(refused.status).toBe(400);
      expect(allowed(refused.headers)).toBeNull();
    });

    it('gives a confidential client nothing: its secret has no business in a browser', async () => {
      for (const path of ['/token', '/introspect', '/revoke']) {
        const answer = await callEndpoint(acme.issuer, path, {
          client: acme.clients.machine,
          form: { grant_type: 'client_credentials', token: 'at_x' },
          headers: { origin: spaOrigin },
        });
        expect(answer.status).toBe(400);
        expect(allowed(answer.headers)).toBeNull();
      }
    });

    it('never takes cookies along, and opens no page', async () => {
      for (const { name, request } of routes) {
        const answer = await send({ ...request, headers: [...request.headers, ['Origin', 'https://evil.example']] });
        expect({ name, credentials: all(answer, 'access-control-allow-credentials') }).toEqual({
          name,
          credentials: [],
        });
        const isPage = answer.header('content-type')?.startsWith('text/html') ?? false;
        if (isPage) expect({ name, opened: all(answer, 'access-control-allow-origin') }).toEqual({ name, opened: [] });
      }
    });

    it('answers a preflight only where programs of browsers call', async () => {
      const preflight = (target: string, method: string): Promise<RawAnswer> =>
        send({
          method: 'OPTIONS',
          target,
          headers: [
            ['Origin', spaOrigin],
            ['Access-Control-Request-Method', method],
            ['Access-Control-Request-Headers', 'authorization, dpop, content-type'],
          ],
        });
      for (const [path, method] of [
        ['/token', 'POST'],
        ['/userinfo', 'GET'],
        ['/revoke', 'POST'],
        ['/jwks', 'GET'],
        ['/.well-known/openid-configuration', 'GET'],
      ] as const) {
        const answer = await preflight(`/t/acme${path}`, method);
        expect({ path, status: answer.status }).toEqual({ path, status: 204 });
        expect(answer.header('access-control-allow-methods')).toContain(method);
        expect(answer.header('access-control-allow-credentials')).toBeUndefined();
      }
      for (const target of [
        '/t/acme/authorize',
        '/t/acme/logout',
        '/t/acme/interaction/x',
        '/t/acme',
        '/health/ready',
        '/nothing',
      ]) {
        const answer = await preflight(target, 'POST');
        expect(all(answer, 'access-control-allow-origin')).toEqual([]);
      }
    });
  });
});

describe('docs/problems.md', () => {
  const documented = [
    ...readFileSync(new URL('../../docs/problems.md', import.meta.url), 'utf8').matchAll(/^## (.+)\n\n(\d{3})\./gm),
  ];

  it('explains every problem there is, with its status, and no other', () => {
    // What each is told does not matter here; several may share a code.
    const makers = Object.values(problems) as unknown as readonly ((told: readonly never[]) => Problem)[];
    const catalogue = new Map(makers.map((make) => [make([]).code, make([]).status]));
    expect(documented.map(([, code, status]) => [code, Number(status)])).toEqual([...catalogue]);
  });

  it('shows a problem as it is sent', () => {
    const text = readFileSync(new URL('../../docs/problems.md', import.meta.url), 'utf8');
    const shown: unknown = JSON.parse(/```json\n(.*?)```/s.exec(text)?.[1] ?? '');
    const requestId = '4bf92f3577b34da6a3ce929d0e0e4736';
    expect(shown).toEqual(
      JSON.parse(problemBody(problems.notFound(), { publicUrl: 'https://id.example.org', requestId })),
    );
  });
});
