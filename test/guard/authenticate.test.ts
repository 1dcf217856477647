/** `authenticate` at a real Poort, with real tokens and with what comes close to them, on Koa, Express and node:http. */
import { createHmac, generateKeyPairSync } from 'node:crypto';
import * as jose from 'jose';
import { type AuthenticateOptions, authenticate, type Guard } from '#src/guard/guard.js';
import { type Face, faces, type GuardedApi, startGuardedApi, watchFetch } from '#test/support/guarded_apis.ts';
import { encodePart, importKey, openTenantKey, signWith, type TenantKey } from '#test/support/signed_tokens.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, callEndpoint, createUserAgent, exchangeCode } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let es256: TenantKey;
let rs256: TenantKey;
/** Ada's tokens at the web client. */
let tokens: Readonly<Record<'jwt' | 'opaque' | 'id', string>>;
let claims: jose.JWTPayload;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  es256 = await openTenantKey(server, { tenant: acme, alg: 'ES256' });
  rs256 = await openTenantKey(server, { tenant: acme, alg: 'RS256' });
  const signed = await personsTokens(acme, acme.jwtApi);
  const opaque = await personsTokens(acme, acme.opaqueApi);
  tokens = { jwt: signed.access, opaque: opaque.access, id: signed.id };
  claims = jose.decodeJwt(tokens.jwt);
});

afterAll(() => server.close());

async function personsTokens(tenant: TestTenant, resource: string): Promise<{ access: string; id: string }> {
  const { web } = tenant.clients;
  const extra = { scope: 'openid readings:read', resource };
  const { json } = await exchangeCode(
    tenant,
    web,
    await authorize(createUserAgent(server.origin), { tenant, client: web, extra }),
  );
  return { access: String(json['access_token']), id: String(json['id_token']) };
}

async function machinesToken(tenant: TestTenant, resource: string): Promise<string> {
  const form = { grant_type: 'client_credentials', resource, scope: 'readings:read' };
  const { json } = await callEndpoint(tenant.issuer, '/token', { client: tenant.clients.machine, form });
  return String(json['access_token']);
}

type Mode = 'jwt' | 'introspection';
const modes = ['jwt', 'introspection'] as const;
const combinations = faces.flatMap((face) => modes.map((mode) => ({ face, mode })));

function guardFor(mode: Mode, changes: Partial<AuthenticateOptions> = {}): Guard {
  return authenticate({
    issuer: acme.issuer,
    audience: acme.jwtApi,
    mode,
    push: false,
    ...acme.clients.resource_server,
    ...changes,
  });
}

async function withApi(
  { face, mode, changes }: { face: Face; mode: Mode; changes?: Partial<AuthenticateOptions> },
  use: (api: GuardedApi) => Promise<void>,
): Promise<void> {
  const guard = guardFor(mode, changes);
  const api = await startGuardedApi(face, [guard]);
  await use(api).finally(() => {
    guard.close();
    return api.close();
  });
}

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

describe.each(combinations)('a guard on $face that checks by $mode', ({ face, mode }) => {
  it('lets a person’s token through and says who it is', async () => {
    await withApi({ face, mode }, async (api) => {
      const { status, json } = await api.call(bearer(tokens.jwt));
      expect({ status, auth: json['auth'] }).toEqual({
        status: 200,
        auth: expect.objectContaining({
          subject: acme.person.id,
          tenant: 'acme',
          tenantId: acme.id,
          clientId: acme.clients.web.clientId,
          scopes: ['readings:read'],
          roles: expect.arrayContaining(['admin']),
          tokenKind: 'user',
          mfaVerified: false,
          authTime: expect.any(Number),
          sessionId: expect.any(String),
        }),
      });
    });
  });

  it('lets a machine’s token through as its client’s', async () => {
    await withApi({ face, mode }, async (api) => {
      const { clientId } = acme.clients.machine;
      expect((await api.call(bearer(await machinesToken(acme, acme.jwtApi)))).json['auth']).toMatchObject({
        subject: clientId,
        clientId,
        tokenKind: 'client',
        roles: [],
      });
    });
  });

  it('refuses everything that is not an access token of this tenant for this API', async () => {
    const mine = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const stranger = await importKey(mine.privateKey.export({ format: 'jwk' }) as jose.JWK, 'ES256');
    const jwk = { ...mine.publicKey.export({ format: 'jwk' }), kid: es256.kid, alg: 'ES256' };
    const rewritten = (header: object) =>
      [encodePart({ ...jose.decodeProtectedHeader(tokens.jwt), ...header }), ...tokens.jwt.split('.').slice(1)].join(
        '.',
      );
    const unsigned = `${encodePart({ alg: 'none', typ: 'at+jwt', kid: es256.kid })}.${encodePart(claims)}`;
    const macs = await Promise.all(
      [es256, rs256].map(async (key) => {
        const spki = await jose.exportSPKI(await importKey(key.publicJwk, key.alg));
        const signed = `${encodePart({ alg: 'HS256', typ: 'at+jwt', kid: key.kid })}.${encodePart(claims)}`;
        return `${signed}.${createHmac('sha256', spki).update(signed).digest('base64url')}`;
      }),
    );
    const globexKey = await openTenantKey(server, { tenant: globex, alg: 'ES256' });
    const now = Math.floor(Date.now() / 1_000);
    const bad: Readonly<Record<string, string>> = {
      'a MAC with the public key (ES256)': macs[0] ?? '',
      'a MAC with the public key (RS256)': macs[1] ?? '',
      'no signature': `${unsigned}.`,
      'an empty signature': unsigned,
      'alg none over a signature': rewritten({ alg: 'none' }),
      'another algorithm than the key’s': await signWith({ ...es256, kid: rs256.kid }, { ...claims }),
      'a key of its own': await signWith({ ...es256, privateKey: stranger }, { ...claims }, { jwk }),
      'an unknown key': await signWith({ ...es256, privateKey: stranger }, { ...claims }, { kid: 'unknown' }),
      'no kid': rewritten({ kid: undefined }),
      'the ID token': tokens.id,
      'no typ': await signWith(es256, { ...claims }, { typ: undefined }),
      'typ JWT': await signWith(es256, { ...claims }, { typ: 'JWT' }),
      'another issuer': await signWith(es256, { ...claims, iss: 'https://elsewhere.test' }),
      'an issuer with a slash more': await signWith(es256, { ...claims, iss: `${acme.issuer}/` }),
      'another API': await machinesToken(acme, acme.opaqueApi),
      'another audience': await signWith(es256, { ...claims, aud: acme.opaqueApi }),
      'no audience': await signWith(es256, { ...claims, aud: undefined }),
      'another tenant of the installation': await machinesToken(globex, globex.jwtApi),
      'the other tenant’s key under our name': await signWith(globexKey, { ...claims }),
      'another tenant in the claims': await signWith(es256, { ...claims, tenant: 'globex' }),
      'no tenant': await signWith(es256, { ...claims, tenant: undefined }),
      expired: await signWith(es256, { ...claims, iat: now - 900, exp: now - 60 }),
      'no expiry': await signWith(es256, { ...claims, exp: undefined }),
      'not yet valid': await signWith(es256, { ...claims, nbf: now + 600 }),
      'no client': await signWith(es256, { ...claims, client_id: undefined }),
      'one character changed': `${tokens.jwt.slice(0, -3)}${tokens.jwt.at(-3) === 'A' ? 'B' : 'A'}${tokens.jwt.slice(-2)}`,
      'an opaque one that nobody was given': 'at_nobody-was-given-this',
      'a refresh token’s form': 'rt_nobody-was-given-this',
      'no token at all': 'x',
    };
    await withApi({ face, mode }, async (api) => {
      for (const [name, token] of Object.entries(bad)) {
        const { status, challenges, json } = await api.call(bearer(token));
        expect({ name, status, error: json['error'] }).toEqual({ name, status: 401, error: 'invalid_token' });
        expect(challenges).toEqual([expect.stringMatching(/^Bearer realm="[^"]+", error="invalid_token", error_desc/)]);
      }
      expect((await api.call(bearer(tokens.jwt))).status).toBe(200);
    });
  });

  it('asks who brings nothing to bring something, and says no more', async () => {
    await withApi({ face, mode, changes: { resourceMetadata: 'https://api.acme.test/m' } }, async (api) => {
      for (const headers of [{}, { authorization: 'Basic YTpi' }]) {
        const { status, challenges, headers: answered } = await api.call({ headers });
        expect(status).toBe(401);
        expect(challenges[0]).toBe(`Bearer realm="${acme.jwtApi}", resource_metadata="https://api.acme.test/m"`);
        expect(challenges[1]).toMatch(/^DPoP realm=.*algs="ES256 /);
        expect(answered['cache-control']).toBe('no-store');
      }
    });
  });

  it('takes a token in one way, once', async () => {
    await withApi({ face, mode }, async (api) => {
      const good = `Bearer ${tokens.jwt}`;
      for (const options of [
        { headers: { authorization: [good, good] } },
        { headers: { authorization: [good, 'Bearer x'] } },
        { headers: { authorization: ['Basic YTpi', good] } },
        { headers: { authorization: good }, path: `/?access_token=${tokens.jwt}` },
        { path: `/?access_token=${tokens.jwt}` },
        { path: '/?a=b&access%5Ftoken=x' },
        { headers: { authorization: 'Bearer' } },
        { headers: { authorization: `Bearer ${tokens.jwt}, Bearer ${tokens.jwt}` } },
        { headers: { authorization: `Bearer ${tokens.jwt} x` } },
      ]) {
        const { status, json } = await api.call(options);
        expect({ options, status, error: json['error'] }).toEqual({ options, status: 400, error: 'invalid_request' });
      }
    });
  });

  it('reads no token that is longer than any of ours, and Node no longer header', async () => {
    const watched = watchFetch();
    await withApi({ face, mode, changes: { fetch: watched.fetch } }, async (api) => {
      expect((await api.call(bearer(`at_${'a'.repeat(9_000)}`))).status).toBe(401);
      expect((await api.call(bearer('a'.repeat(17_000)))).status).toBe(431);
      expect(watched.count('')).toBe(0);
    });
  });

  it('lets nobody through when Poort does not answer, or not as it should', async () => {
    const watched = watchFetch();
    const faults: Error[] = [];
    const changes = { fetch: watched.fetch, onFault: (fault: Error) => void faults.push(fault), cooldownSeconds: 0 };
    await withApi({ face, mode, changes }, async (api) => {
      const endpoint = mode === 'jwt' ? '/jwks' : '/introspect';
      const retryLater = { status: 503, json: { error: 'temporarily_unavailable' } };
      watched.cut(true);
      expect(await api.call(bearer(tokens.jwt))).toMatchObject({ ...retryLater, headers: { 'retry-after': '1' } });
      watched.cut(false);
      for (const answer of [
        () => new Response('{}', { status: 500 }),
        () => new Response('{}', { status: 401 }),
        () => new Response('<html>'),
        () => new Response('null'),
        () => new Response('{}', { status: 429, headers: { 'retry-after': '7' } }),
      ]) {
        watched.answer(endpoint, answer);
        expect(await api.call(bearer(tokens.jwt))).toMatchObject(retryLater);
      }
      expect((await api.call(bearer(tokens.jwt))).headers['retry-after']).toBe('7');
      watched.answer(endpoint, undefined);
      expect((await api.call(bearer(tokens.jwt))).status).toBe(200);
      expect(faults.length).toBe(7);
      expect(faults.map(String).join()).not.toContain(tokens.jwt);
    });
  });
});

describe('a guard that asks', () => {
  it('lets an opaque token through until it is revoked', async () => {
    const token = await machinesToken(acme, acme.opaqueApi);
    const changes = { audience: acme.opaqueApi, cacheSeconds: 0 };
    await withApi({ face: 'koa', mode: 'introspection', changes }, async (api) => {
      expect((await api.call(bearer(tokens.opaque))).json['auth']).toMatchObject({
        subject: acme.person.id,
        tenant: 'acme',
        tenantId: acme.id,
        roles: expect.arrayContaining(['admin']),
        tokenKind: 'user',
      });
      expect((await api.call(bearer(token))).json['auth']).toMatchObject({ tokenKind: 'client' });
      await callEndpoint(acme.issuer, '/revoke', { client: acme.clients.machine, form: { token } });
      expect((await api.call(bearer(token))).status).toBe(401);
    });
  });
});

describe('a guard', () => {
  it.each<[string, Partial<AuthenticateOptions>]>([
    ['no issuer', { issuer: 'acme' }],
    ['an issuer that anybody on the way can answer for', { issuer: 'http://auth.example/t/acme' }],
    ['no audience', { audience: '' }],
    ['answers that are believed for longer than five seconds', { cacheSeconds: 6 }],
    ['introspection without credentials', { clientId: undefined }],
  ])('is not made with %s', (_what, changes) => {
    expect(() => guardFor('introspection', changes)).toThrow(TypeError);
  });
});
