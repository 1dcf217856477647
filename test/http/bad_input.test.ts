/**
 * Whatever is wrong with a request is told by a 4xx, nothing of it is written, and the log stays quiet. A 5xx that a
 * stranger can provoke is a bug wherever it happens.
 */
import {
  basic,
  countRows,
  formType,
  honestRoutes,
  type OpenedInteraction,
  openInteraction,
  type Route,
} from '#test/support/attack_surface.ts';
import { exchangeBytes, type HeaderList, type RawAnswer, type RawRequest, sendRaw } from '#test/support/raw_http.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

describe('a bad request', () => {
  let server: TestServer;
  let acme: TestTenant;
  let interaction: OpenedInteraction;
  let routes: readonly Route[];
  let before: Readonly<Record<string, number>>;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    interaction = await openInteraction(server, { tenant: acme });
    routes = honestRoutes(acme, interaction);
  });

  beforeEach(async () => {
    before = await countRows(server.database);
  });

  // Whatever a test sent: nothing may be left of it.
  afterEach(async () => {
    expect(await countRows(server.database)).toEqual(before);
    expect(server.log).toEqual([]);
  });

  afterAll(() => server.close());

  const send = (request: RawRequest): Promise<RawAnswer> =>
    sendRaw(server.config.http.port, {
      ...request,
      headers: [['Host', new URL(server.origin).host], ...request.headers],
    });
  const cookie = (): readonly [string, string] => ['Cookie', interaction.cookie];
  const encode = (form: Readonly<Record<string, string>>): string => new URLSearchParams(form).toString();
  const postForm = (target: string, body: string | Buffer, headers: HeaderList = []): Promise<RawAnswer> =>
    send({ method: 'POST', target, body, headers: [formType, ...headers] });
  const signIn = (body: string | Buffer, headers: HeaderList = []): Promise<RawAnswer> =>
    postForm(interaction.path, body, [cookie(), ...headers]);

  /** `what` tells which of many requests it was. */
  function expectRefused(answer: RawAnswer, what?: unknown): void {
    const { status } = answer;
    expect({ what, status: status >= 400 && status < 500 ? '4xx' : status }).toEqual({ what, status: '4xx' });
  }

  describe('in its address', () => {
    it.each([
      ['an encoded NUL in the path', '/t/acme/%00'],
      ['an encoded NUL in the tenant', '/t/ac%00me/authorize'],
      ['an encoded NUL in the query', '/t/acme/authorize?client_id=a%00b'],
      ['an encoded NUL in a name', '/t/acme/authorize?client%00id=a'],
      ['an encoded NUL in an interaction', '/t/acme/interaction/%00'],
      ['a broken escape', '/t/acme/authorize?client_id=%'],
      ['half an escape', '/t/acme/authorize?client_id=%4'],
      ['an escape that is none', '/t/acme/authorize?client_id=%zz'],
      ['an overlong slash', '/t/acme/%c0%af'],
      ['a lone continuation byte', '/t/acme/authorize?state=%80'],
      ['a lone surrogate', '/t/acme/authorize?state=%ed%a0%80'],
      ['Latin-1', '/t/acme/authorize?state=%e9'],
      ['a broken escape in the path', '/t/acme/interaction/%e0%a4%a'],
      ['a NUL in an unknown address', '/nothing%00here'],
      ['a broken escape in an asset', '/assets/%ff'],
      ['too many parameters', `/t/acme/authorize?${'a=b&'.repeat(2_000)}`],
    ])('%s is refused', async (_name, target) => {
      for (const accept of ['text/html', 'application/json']) {
        const answer = await send({ target, headers: [['Accept', accept]] });
        expect(answer.status).toBe(400);
      }
    });

    it.each([
      ['a raw NUL', Buffer.from('GET /t/acme/\0 HTTP/1.1\r\nHost: localhost\r\n\r\n', 'latin1')],
      [
        'a raw byte above ASCII',
        Buffer.from('GET /t/acme/é HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', 'latin1'),
      ],
      ['a space', Buffer.from('GET /t/ac me HTTP/1.1\r\nHost: localhost\r\n\r\n')],
      ['no version', Buffer.from('GET /t/acme\r\n\r\n')],
      ['another protocol', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')],
      ['a NUL in a header', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\nX-A: a\0b\r\n\r\n', 'latin1')],
      ['a line feed in a header', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\nX-A: a\nX-B: b\r\n\r\n', 'latin1')],
      [
        'two lengths',
        Buffer.from(
          'POST /t/acme/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde',
        ),
      ],
      [
        'a length and chunks',
        Buffer.from(
          'POST /t/acme/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
        ),
      ],
      [
        'a negative length',
        Buffer.from('POST /t/acme/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n'),
      ],
      ['a header too large', Buffer.from(`GET / HTTP/1.1\r\nHost: localhost\r\nCookie: ${'a'.repeat(40_000)}\r\n\r\n`)],
      ['an address too long', Buffer.from(`GET /${'a'.repeat(40_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`)],
      ['too many headers', Buffer.from(`GET / HTTP/1.1\r\nHost: localhost\r\n${'X-A: b\r\n'.repeat(5_000)}\r\n`)],
    ])('%s ends as a 4xx', async (_name, bytes) => {
      const answer = await exchangeBytes(server.config.http.port, bytes);
      expect(answer.toString('latin1', 0, 12)).toMatch(/^HTTP\/1\.1 4\d\d|^$/);
    });

    it.each([
      '/T/acme/token',
      '/t/acme/TOKEN',
      '/t/acme/token/',
      '/t/ACME/token',
      '/t//acme/token',
      '//t/acme/token',
      '/t/acme//token',
      '/t/acme/./token',
      '/t/acme/x/../token',
      '/t/acme/token;x',
      '/t/acme/%74oken',
    ])('%s is no second spelling of the token endpoint', async (target) => {
      const answer = await postForm(target, encode({ grant_type: 'client_credentials' }), [
        basic(acme.clients.machine),
      ]);
      expect(answer.status).toBe(404);
    });
  });

  describe('in the sign-in form', () => {
    const good = (): Record<string, string> => ({ csrf: interaction.csrf, email: acme.person.email, password: 'x' });

    it.each([
      ['NUL in the e-mail address', { email: 'ada\0@acme.test' }],
      ['NUL in the password', { password: 'se\0cret' }],
      ['NUL in the token', { csrf: '\0' }],
      ['a password of a megabyte', { password: 'x'.repeat(1_048_576) }],
      ['a password beyond what a field may hold', { password: 'x'.repeat(10_000) }],
      ['an e-mail address beyond what a field may hold', { email: `${'x'.repeat(10_000)}@acme.test` }],
      ['an unknown field', { admin: 'true' }],
      ['a nested field', { 'email[$ne]': '' }],
      ['a nested field beside the field', { 'password[length]': '1' }],
      ['a list', { 'email[]': 'a' }],
      ['a prototype', { '__proto__[admin]': 'true' }],
      ['a prototype by its name', { __proto__x: '1' }],
      ['a constructor', { 'constructor[prototype][admin]': 'true' }],
      ['toString', { toString: '1' }],
      ['a language that does not exist', { ui_locales: '../../etc/passwd' }],
      ['a decision that belongs elsewhere', { decision: 'allow' }],
    ])('%s is refused', async (_name, change) => {
      const answer = await signIn(encode({ ...good(), ...change }));
      expectRefused(answer);
      expect(Object.prototype).not.toHaveProperty('admin');
    });

    it.each([
      ['the same field twice', (form: string) => `${form}&email=eve%40acme.test`],
      ['the same token twice', (form: string) => `${form}&csrf=x`],
      [
        'ten thousand fields',
        (form: string) => `${form}&${Array.from({ length: 10_000 }, (_, i) => `f${i}=`).join('&')}`,
      ],
      ['ten thousand times the same field', (form: string) => `${form}${'&x=1'.repeat(10_000)}`],
      ['a deep nesting', (form: string) => `${form}&email${'[a]'.repeat(10_000)}=1`],
      ['a prototype by itself', (form: string) => `${form}&__proto__=1`],
      ['a constructor by itself', (form: string) => `${form}&constructor=1`],
    ])('%s is refused', async (_name, change) => {
      expectRefused(await signIn(change(encode(good()))));
    });

    it('bytes that are no text sign nobody in and are not stored', async () => {
      const prefix = `csrf=${interaction.csrf}&email=ada%40acme.test&password=`;
      for (const bytes of [
        [0xff, 0xfe],
        [0xc0, 0x80],
        [0xed, 0xa0, 0x80],
      ]) {
        const raw = await signIn(Buffer.concat([Buffer.from(prefix), Buffer.from(bytes), Buffer.from([0])]));
        expectRefused(raw);
      }
      for (const broken of ['%', '%0', '%zz', '%u0000', '%00']) {
        const answer = await signIn(`csrf=${interaction.csrf}&email=${broken}&password=`);
        expectRefused(answer, broken);
      }
    });

    it.each([
      ['JSON', 'application/json', JSON.stringify({ email: 'a', password: 'b' })],
      ['broken JSON', 'application/json', '{'],
      ['plain text', 'text/plain', 'email=a&password=b'],
      [
        'a multipart form',
        'multipart/form-data; boundary=x',
        '--x\r\nContent-Disposition: form-data; name="email"\r\n\r\na\r\n--x--\r\n',
      ],
      ['XML', 'application/xml', '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'],
      ['nonsense', 'a/b/c;;;', 'email=a'],
    ])('%s is refused as unsupported', async (_name, type, body) => {
      const answer = await send({
        method: 'POST',
        target: interaction.path,
        body,
        headers: [cookie(), ['Content-Type', type]],
      });
      expect(answer.status).toBe(415);
      expect(JSON.parse(answer.body)).toMatchObject({ code: 'unsupported_media_type' });
    });

    it('a body without a type, and no body at all, are refused', async () => {
      expectRefused(await send({ method: 'POST', target: interaction.path, body: 'email=a', headers: [cookie()] }));
      expectRefused(await send({ method: 'POST', target: interaction.path, headers: [cookie()] }));
      expectRefused(await signIn(''));
    });

    it.each(['gzip', 'br', 'deflate', 'compress', 'identity, gzip', 'nonsense'])(
      'a body encoded as %s is refused',
      async (coding) => {
        expectRefused(await signIn(encode(good()), [['Content-Encoding', coding]]));
      },
    );

    it.each(['utf-16', 'utf-7', 'nonsense', 'iso-2022-kr'])(
      'a body in %s is refused or read as UTF-8',
      async (charset) => {
        const answer = await send({
          method: 'POST',
          target: interaction.path,
          body: encode({ csrf: interaction.csrf, email: '', password: '' }),
          headers: [cookie(), ['Content-Type', `application/x-www-form-urlencoded; charset=${charset}`]],
        });
        expectRefused(answer);
      },
    );

    it('a body in chunks may not pass the limit either', async () => {
      const body = encode({ ...good(), password: 'x'.repeat(1_048_576) });
      const answer = await send({
        method: 'POST',
        target: interaction.path,
        body,
        chunkBytes: 8_192,
        headers: [cookie(), formType],
      });
      expect(answer.status).toBe(413);
    });
  });

  describe('at an endpoint', () => {
    const forms = (path: string): readonly (readonly [string, string])[] => [
      ['NUL in the client', `${path}?client_id=a%00b`],
      ['NUL in a token', `${path}?token=a%00b`],
      ['NUL in a refresh token', `${path}?grant_type=refresh_token&refresh_token=rt_a%00b`],
      [
        'NUL in a code',
        `${path}?grant_type=authorization_code&code=ac_%00&redirect_uri=http%3A%2F%2Flocalhost%3A9%2Fcallback&code_verifier=${'a'.repeat(43)}`,
      ],
      ['NUL in a scope', `${path}?grant_type=client_credentials&scope=a%00b`],
      ['NUL in the grant type', `${path}?grant_type=a%00b`],
      ['NUL in the state', `${path}?state=a%00b`],
      ['NUL in a resource', `${path}?grant_type=client_credentials&resource=https%3A%2F%2Fa%00b`],
      ['NUL in a hint', `${path}?id_token_hint=a%00b`],
      ['NUL in a name', `${path}?grant%00type=x`],
      ['a token of a megabyte', `${path}?token=${'x'.repeat(1_048_576)}`],
      [
        'a token of forty thousand characters',
        `${path}?token=${'x'.repeat(40_000)}&refresh_token=${'x'.repeat(10)}&grant_type=refresh_token`,
      ],
      [
        'ten thousand parameters',
        `${path}?grant_type=client_credentials${Array.from({ length: 10_000 }, (_, i) => `&p${i}=1`).join('')}`,
      ],
      [
        'parameters twice',
        `${path}?grant_type=client_credentials&grant_type=refresh_token&token=a&token=b&client_id=a&client_id=b&scope=a&scope=b`,
      ],
      ['a list of scopes that does not end', `${path}?grant_type=client_credentials&scope=${'openid+'.repeat(5_000)}`],
      ['nested parameters', `${path}?grant_type[]=client_credentials&token[a]=b&client_id[]=c`],
      ['a prototype', `${path}?__proto__=a&constructor=b&__proto__[grant_type]=client_credentials&toString=x`],
      ['a prototype as grant type', `${path}?grant_type=__proto__`],
      ['a constructor as grant type', `${path}?grant_type=constructor&token_type_hint=constructor&token=`],
      ['broken escapes', `${path}?grant_type=%zz&token=%&client_id=%ff`],
      ['nothing', `${path}?`],
    ];
    const posts = ['/token', '/introspect', '/revoke', '/par', '/userinfo', '/authorize', '/logout', '/logout/confirm'];

    // RFC 7009 §2.2: an unknown token is no error.
    const harmless = (path: string, answer: RawAnswer): boolean =>
      (path === '/revoke' && answer.status === 200 && answer.body === '') ||
      (path === '/introspect' && answer.status === 200 && answer.body === '{"active":false}');

    it('a posted authorization request is refused as soon as it is asked by link', async () => {
      for (const [name, form] of forms('')) {
        const answer = await postForm('/t/acme/authorize', form.slice(1));
        const link = answer.header('location');
        if (link === undefined) {
          expectRefused(answer, name);
          continue;
        }
        expect(link.startsWith(`${acme.issuer}/authorize?`)).toBe(true);
        expectRefused(await send({ target: link.slice(server.origin.length), headers: [] }), name);
      }
    });

    it.each(posts.filter((path) => path !== '/authorize' && path !== '/logout'))(
      'POST %s refuses each bad form',
      async (path) => {
        for (const client of [acme.clients.machine, acme.clients.web, undefined]) {
          for (const [name, form] of forms(path)) {
            const answer = await postForm(
              `/t/acme${path}`,
              form.slice(path.length + 1),
              client === undefined ? [] : [basic(client)],
            );
            if (!harmless(path, answer)) expectRefused(answer, { path, name, client: client?.clientId !== undefined });
          }
        }
      },
    );

    it.each(posts)('POST %s refuses bodies of another kind', async (path) => {
      const bodies: readonly (readonly [string, string | Buffer])[] = [
        ['application/json', '{"grant_type":"client_credentials"}'],
        ['application/json', '{'],
        ['application/json', 'null'],
        ['text/plain', 'grant_type=client_credentials'],
        ['multipart/form-data; boundary=x', '--x--'],
        ['application/x-www-form-urlencoded; charset=utf-16', 'grant_type=client_credentials'],
        ['application/x-www-form-urlencoded; charset=nonsense', 'grant_type=client_credentials'],
        ['application/x-www-form-urlencoded', Buffer.from([0xff, 0xfe, 0x00, 0x3d, 0x00])],
        ['nonsense', ''],
        ['', 'grant_type=client_credentials'],
      ];
      for (const [type, body] of bodies) {
        const answer = await send({
          method: 'POST',
          target: `/t/acme${path}`,
          body,
          headers: [
            ['Content-Type', type],
            ['Accept', 'application/json'],
          ],
        });
        if (!harmless(path, answer)) expectRefused(answer, { path, type });
      }
    });

    it.each(posts)('POST %s reads no more than the limit of a body without a length', async (path) => {
      const answer = await send({
        method: 'POST',
        target: `/t/acme${path}`,
        body: `token=${'x'.repeat(1_048_576)}`,
        chunkBytes: 16_384,
        headers: [formType, basic(acme.clients.machine)],
      });
      expectRefused(answer, path);
    });

    it('credentials that are none are refused', async () => {
      const values = [
        'Basic',
        'Basic ',
        'Basic %%%',
        `Basic ${Buffer.from('a\0b:c').toString('base64')}`,
        `Basic ${Buffer.from('%00:%00').toString('base64')}`,
        `Basic ${Buffer.from('%zz:%').toString('base64')}`,
        `Basic ${Buffer.from([0xff, 0xfe, 0x3a, 0xff]).toString('base64')}`,
        `Basic ${Buffer.from(`${acme.clients.machine.clientId}:%00`).toString('base64')}`,
        `Basic ${Buffer.from('x'.repeat(6_000)).toString('base64')}`,
        'Bearer',
        'Bearer a b c',
        `Bearer ${'x'.repeat(8_000)}`,
        'DPoP x',
        'Negotiate x',
        'Basic Basic Basic',
      ];
      for (const value of values) {
        for (const path of ['/token', '/introspect', '/revoke', '/par', '/userinfo']) {
          const answer = await postForm(`/t/acme${path}`, encode({ token: 'x', grant_type: 'client_credentials' }), [
            ['Authorization', value],
          ]);
          expectRefused(answer, { path, value: value.slice(0, 60) });
        }
      }
    });

    it('tokens that are no JWTs, or the wrong ones, are refused wherever a JWT is expected', async () => {
      const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
      const jwts = [
        'a.b.c',
        '..',
        '.',
        `${part({ alg: 'none' })}.${part({ iss: 'x', sub: 'x' })}.`,
        `${part({ alg: 'HS256' })}.${part({ iss: acme.issuer, aud: acme.clients.web.clientId, sub: 'x' })}.AAAA`,
        `${part({ alg: 'RS256', kid: '\0' })}.${part({ sub: '\0' })}.AAAA`,
        `${part({ alg: 'ES256', typ: 'dpop+jwt', jwk: { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' } })}.${part({ jti: '\0', htm: 'POST' })}.AAAA`,
        `${part({ alg: 'ES256', crit: ['x'], x: 1 })}.${part({})}.AAAA`,
        `${part([])}.${part([])}.${part([])}`,
        `${part(null)}.${part(null)}.AAAA`,
        `${Buffer.from('{').toString('base64url')}.${part({})}.AAAA`,
        `${part({ alg: 'ES256', __proto__x: 1 })}.${part({ iss: { a: 1 }, aud: [[]], exp: 'x', iat: 1e300 })}.AAAA`,
        `${part({ alg: 'ES256' })}.${part({ iss: acme.clients.web.clientId, sub: acme.clients.web.clientId })}.AAAA`,
        'x'.repeat(9_000),
        'a.b.c.d.e',
      ];
      const { search } = new URL(authorizationRequest(acme, acme.clients.web, { prompt: 'none' }).url);
      for (const jwt of jwts) {
        const hint = encodeURIComponent(jwt);
        const asked = await send({ target: `/t/acme/authorize${search}&id_token_hint=${hint}`, headers: [] });
        // The redirect address was checked: RFC 6749 §4.1.2.1 tells the client.
        expect({ jwt, location: asked.header('location') }).toEqual({
          jwt,
          location: expect.stringMatching(/[?&]error=/),
        });
        expectRefused(await send({ target: `/t/acme/logout?id_token_hint=${hint}`, headers: [] }), jwt);
        const requestObject = await send({ target: `/t/acme/authorize${search}&request=${hint}`, headers: [] });
        expect(requestObject.status < 500 && !requestObject.header('location')?.includes('code=')).toBe(true);
        const assertion = encode({
          grant_type: 'client_credentials',
          client_id: acme.clients.machine.clientId,
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
          client_assertion: jwt,
        });
        for (const path of ['/token', '/introspect', '/revoke', '/par'])
          expectRefused(await postForm(`/t/acme${path}`, assertion), { path, jwt });
        if (jwt.length > 8_000) continue;
        const proof: HeaderList = [basic(acme.clients.machine), ['DPoP', jwt]];
        expectRefused(await postForm('/t/acme/token', 'grant_type=client_credentials', proof), jwt);
        expectRefused(
          await send({
            target: '/t/acme/userinfo',
            headers: [
              ['Authorization', 'DPoP at_x'],
              ['DPoP', jwt],
            ],
          }),
          jwt,
        );
      }
    });

    it('an authorization request with too many scopes is refused', async () => {
      const scope = Array.from({ length: 51 }, (_, index) => `s${index}`).join(' ');
      const target = new URL(authorizationRequest(acme, acme.clients.web, { scope, prompt: 'none' }).url);
      const answer = await send({ target: target.pathname + target.search, headers: [] });
      expect(answer.header('location')).toMatch(/error=invalid_request/);
    });
  });

  describe('by its method', () => {
    it.each(['TRACE', 'PUT', 'PATCH', 'DELETE', 'PROPFIND', 'QUERY', 'BREW', 'LINK'])(
      '%s is taken nowhere',
      async (method) => {
        for (const { name, request } of routes) {
          const answer = await send({ ...request, method });
          expectRefused(answer, { method, name });
          // The parser itself refuses what it does not know; everywhere else RFC 9110 §15.5.6 asks for Allow.
          if (answer.status === 405) expect(answer.header('allow')).toMatch(/GET|POST/);
        }
      },
    );

    it('HEAD is GET without a body', async () => {
      for (const { name, request } of routes.filter((route) => (route.request.method ?? 'GET') === 'GET')) {
        // These keep something: the sign-in that begins, the question whether to sign out.
        if (name === 'authorization' || name === 'logout') continue;
        const [head, get] = [await send({ ...request, method: 'HEAD' }), await send(request)];
        expect({ name, status: head.status, body: head.body }).toEqual({ name, status: get.status, body: '' });
        expect(head.header('content-type')).toBe(get.header('content-type'));
      }
    });

    it('OPTIONS writes nothing and is never an error of ours', async () => {
      for (const { name, request } of routes) {
        const answer = await send({ target: request.target, method: 'OPTIONS', headers: [] });
        expect({ name, fine: answer.status < 500 }).toEqual({ name, fine: true });
      }
    });

    it('POST is refused where there is nothing to post', async () => {
      for (const { name, request } of routes.filter((route) => (route.request.method ?? 'GET') === 'GET')) {
        if (['authorization', 'authorization that is refused', 'logout'].includes(name)) continue;
        const answer = await send({ ...request, method: 'POST', body: 'a=b', headers: [formType, ...request.headers] });
        expectRefused(answer, name);
      }
    });

    it('a token is never taken from an address', async () => {
      const answer = await send({
        target: '/t/acme/token?grant_type=client_credentials',
        headers: [basic(acme.clients.machine)],
      });
      expect(answer.status).toBe(405);
      expect(answer.header('allow')).toBe('POST, OPTIONS');
    });
  });
});

describe('four hundred requests by chance', () => {
  let server: TestServer;
  let acme: TestTenant;
  let interaction: OpenedInteraction;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    interaction = await openInteraction(server, { tenant: acme });
  });

  afterAll(() => server.close());

  it('never make the server fail', async () => {
    const random = seededRandom(20_260_517);
    const one = <Item>(items: readonly Item[]): Item => {
      const item = items[Math.floor(random() * items.length)];
      if (item === undefined) throw new Error('nothing to choose from');
      return item;
    };
    const names = [
      'client_id',
      'client_secret',
      'redirect_uri',
      'response_type',
      'response_mode',
      'scope',
      'state',
      'nonce',
      'prompt',
      'max_age',
      'display',
      'ui_locales',
      'claims',
      'claims_locales',
      'acr_values',
      'login_hint',
      'id_token_hint',
      'request',
      'request_uri',
      'code_challenge',
      'code_challenge_method',
      'resource',
      'dpop_jkt',
      'grant_type',
      'code',
      'code_verifier',
      'refresh_token',
      'token',
      'token_type_hint',
      'client_assertion',
      'client_assertion_type',
      'access_token',
      'xsrf',
      'logout',
      'post_logout_redirect_uri',
      'csrf',
      'email',
      'password',
      'decision',
      '__proto__',
      'constructor',
      '',
      'é',
      'a[b]',
      'registration',
      'authorization_details',
    ] as const;
    const values = [
      '',
      'openid',
      'code',
      'none',
      'login',
      'consent',
      'select_account',
      'query',
      'fragment',
      'form_post',
      'web_message',
      'jwt',
      '-1',
      '0',
      '1e309',
      'NaN',
      '9'.repeat(400),
      'null',
      '{}',
      '[]',
      '{"userinfo":null}',
      '"\\ud800"',
      '../../etc/passwd',
      '<script>alert(1)</script>',
      '\r\nX: y',
      "' or 1=1--",
      '#{7*7}',
      '\u202e',
      '😀',
      '\ufffe',
      'S256',
      'plain',
      'a'.repeat(43),
      'client_credentials',
      'refresh_token',
      'authorization_code',
      'urn:ietf:params:oauth:grant-type:device_code',
      'at_',
      'rt_x',
      'ac_x',
      '~AAAA',
      '~',
      'a.b.c',
      'http://localhost:9/callback',
      'javascript:alert(1)',
      'urn:ietf:params:oauth:request_uri:x',
      'urn:ietf:params:oauth:request_uri:~AAAA',
      acme.jwtApi,
      'https://nobody.example',
      'allow',
      'nl xx',
      interaction.csrf,
      acme.clients.web.clientId,
      acme.clients.machine.clientId,
      acme.clients.machine.clientSecret,
      acme.person.email,
      'toString',
      '%00',
      '%',
      'true',
    ] as const;
    const paths = [
      '/authorize',
      '/authorize',
      '/authorize',
      '/token',
      '/token',
      '/introspect',
      '/revoke',
      '/userinfo',
      '/par',
      '/logout',
      '/logout/confirm',
      '/logout/success',
      '/jwks',
      '/.well-known/openid-configuration',
      '/interaction/x',
      '/authorize/x',
      '',
      interaction.path.slice('/t/acme'.length),
    ] as const;
    const credentials: readonly HeaderList[] = [
      [basic(acme.clients.web)],
      [basic(acme.clients.machine)],
      [basic(acme.clients.resource_server)],
      [],
      [],
    ];

    for (let round = 0; round < 400; round += 1) {
      const honest: readonly (readonly [string, string])[] =
        random() < 0.5
          ? [
              ...new URL(authorizationRequest(acme, one([acme.clients.web, acme.clients.spa, acme.clients.third])).url)
                .searchParams,
            ]
          : [];
      const chosen = Array.from({ length: Math.floor(random() * 6) }, () => [one(names), one(values)] as const);
      const parameters = [...honest.filter(([name]) => !chosen.some(([other]) => other === name)), ...chosen]
        .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
        .join('&');
      const isPost = random() < 0.5;
      const path = `/t/acme${one(paths)}`;
      const headers: HeaderList = [
        ['Host', new URL(server.origin).host],
        ['Accept', one(['text/html', 'application/json', '*/*', ';;;'])],
        ['Cookie', one([interaction.cookie, '_session=x; _session.sig=y', 'poort_locale=%00; a=b=c;;', '='])],
        ...one(credentials),
        ...(random() < 0.2 ? [['Origin', one(['null', 'https://evil.example', 'http://localhost:9'])] as const] : []),
        ...(isPost ? [formType] : []),
      ];
      const answer = await sendRaw(
        server.config.http.port,
        isPost
          ? { method: 'POST', target: path, headers, body: parameters }
          : { target: `${path}?${parameters}`, headers },
      );
      expect({ round, path, isPost, parameters, failed: answer.status >= 500 || answer.status === 0 }).toEqual({
        round,
        path,
        isPost,
        parameters,
        failed: false,
      });
      expect(answer.headers.filter(([name]) => name === 'x')).toEqual([]);
    }
    expect(server.log).toEqual([]);
  });
});

/** mulberry32: the same numbers on every machine. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
