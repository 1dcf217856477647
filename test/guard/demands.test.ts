/** What a guard may ask beyond a good token, what it tells afterwards, and how much it lets through. */
import {
  type AuditRecord,
  apiKey,
  audit,
  authenticate,
  type Middleware,
  metadataAddress,
  optional,
  protectedResource,
  rateLimit,
  requireAcr,
  requireMaxAge,
  requirePermission,
  requireRole,
  requireScope,
} from '#src/guard/guard.js';
import { callApi, personToken } from '#test/support/api_calls.ts';
import { createStillClock, faces, type GuardedApi, startGuardedApi, watchFetch } from '#test/support/guarded_apis.ts';
import { openTenantKey, signWith } from '#test/support/signed_tokens.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
/** Signs what the tenant itself would: tokens of every kind without a sign-in for each. */
let tokenWith: (changes?: Readonly<Record<string, unknown>>) => Promise<string>;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  const key = await openTenantKey(server, { tenant: acme, alg: 'ES256' });
  const now = Math.floor(Date.now() / 1_000);
  const usual = {
    iss: acme.issuer,
    aud: acme.jwtApi,
    sub: 'ada',
    client_id: 'web',
    jti: 'x',
    iat: now,
    exp: now + 600,
    tenant: 'acme',
    scope: 'readings:read',
  };
  tokenWith = (changes = {}) => signWith(key, { ...usual, ...changes });
});

afterAll(() => server.close());

async function makeKey(tenant: TestTenant): Promise<{ readonly id: string; readonly key: string }> {
  const token = await personToken(server, tenant);
  const body = { name: 'robot', scopes: ['users:read'] };
  const { json } = await callApi(tenant.issuer, '/api-keys', { method: 'POST', token, body });
  return { id: String(json['id']), key: String(json['key']) };
}

const guard = () =>
  authenticate({ issuer: acme.issuer, audience: acme.jwtApi, mode: 'jwt', resourceMetadata: 'https://m.test/' });
const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

async function withApi(
  face: (typeof faces)[number],
  guards: readonly Middleware[],
  use: (api: GuardedApi) => Promise<void>,
) {
  const api = await startGuardedApi(face, guards);
  await use(api).finally(() => api.close());
}

describe.each(faces)('on %s', (face) => {
  it.each<[string, Middleware, Record<string, unknown>, Record<string, unknown>]>([
    ['a scope', requireScope('readings:write'), { scope: 'readings:write x' }, { scope: 'readings:writer' }],
    ['all of two scopes', requireScope('a', 'b'), { scope: 'b a' }, { scope: 'a' }],
    ['one of two roles', requireRole('admin', 'editor'), { roles: ['editor'] }, { roles: 'admin' }],
    [
      'a permission',
      requirePermission('readings:delete'),
      { permissions: ['readings:delete'] },
      { permissions: ['readings:*'] },
    ],
  ])('lets through who has %s, and 403s who has not', async (_what, demand, enough, tooLittle) => {
    await withApi(face, [guard(), demand], async (api) => {
      expect((await api.call(bearer(await tokenWith(enough)))).status).toBe(200);
      for (const little of [tooLittle, { scope: undefined }]) {
        const { status, json, challenges } = await api.call(bearer(await tokenWith(little)));
        expect({ status, error: json['error'] }).toEqual({ status: 403, error: 'insufficient_scope' });
        expect(challenges[0]).toContain('error="insufficient_scope"');
      }
    });
  });

  it('names the scope that is missing', async () => {
    await withApi(face, [guard(), requireScope('a', 'b')], async (api) => {
      const { challenges } = await api.call(bearer(await tokenWith()));
      expect(challenges).toEqual([expect.stringContaining('scope="a b", resource_metadata="https://m.test/"')]);
    });
  });

  it('asks for a stronger or fresher sign-in', async () => {
    const time = createStillClock();
    const own = authenticate({ issuer: acme.issuer, audience: acme.jwtApi, mode: 'jwt', clock: time.clock });
    const authTime = Math.floor(Date.now() / 1_000);
    await withApi(face, [own, requireAcr('mfa', 'phr'), requireMaxAge(60)], async (api) => {
      const good = bearer(await tokenWith({ acr: 'mfa', auth_time: authTime }));
      expect((await api.call(good)).status).toBe(200);
      const weak = await api.call(bearer(await tokenWith({ auth_time: authTime })));
      expect(weak).toMatchObject({ status: 401, json: { error: 'insufficient_user_authentication' } });
      expect(weak.challenges[0]).toContain('acr_values="mfa phr"');
      time.advance(62);
      const old = await api.call(good);
      expect(old).toMatchObject({ status: 401, json: { error: 'insufficient_user_authentication' } });
      expect(old.challenges[0]).toContain('max_age="60"');
      expect((await api.call(bearer(await tokenWith({ acr: 'mfa' })))).status).toBe(401);
    });
  });

  it('lets who brings nothing go on as nobody where that is optional, and no bad token', async () => {
    await withApi(face, [optional(guard())], async (api) => {
      expect(await api.call()).toMatchObject({ status: 200, json: { auth: null } });
      expect((await api.call(bearer(await tokenWith()))).json['auth']).toMatchObject({ subject: 'ada' });
      expect((await api.call(bearer(await tokenWith({ exp: 1 })))).status).toBe(401);
      expect((await api.call({ path: '/?access_token=x' })).status).toBe(400);
    });
    await withApi(face, [optional(guard()), requireScope('readings:read')], async (api) => {
      expect((await api.call()).status).toBe(401);
    });
  });

  it('lets nobody through when a demand stands alone, whatever the application has written', async () => {
    const written = { roles: ['admin'], scopes: ['a'] };
    // What an application's own code could do between two guards, on each kind of server.
    const forge = async (first: object, second: unknown, third?: () => unknown): Promise<boolean> => {
      const holder = 'state' in first && face === 'koa' ? first.state : first;
      Object.assign(holder as object, { auth: written });
      await (typeof second === 'function' ? second() : third?.());
      return true;
    };
    await withApi(face, [forge as unknown as Middleware, requireRole('admin')], async (api) => {
      expect((await api.call()).status).toBe(401);
    });
  });

  it('counts requests of a subject, and of an address before it is known', async () => {
    const time = createStillClock();
    const limit = () => rateLimit({ limit: 2, windowSeconds: 60, clock: time.clock });
    await withApi(face, [guard(), limit()], async (api) => {
      const [ada, bob] = [bearer(await tokenWith()), bearer(await tokenWith({ sub: 'bob' }))];
      expect((await api.call(ada)).headers).toMatchObject({
        'ratelimit-policy': '"default";q=2;w=60',
        ratelimit: '"default";r=1;t=60',
      });
      expect((await api.call(ada)).status).toBe(200);
      expect(await api.call(ada)).toMatchObject({ status: 429, headers: { 'retry-after': '60' } });
      expect((await api.call(bob)).status).toBe(200);
      time.advance(60);
      expect((await api.call(ada)).status).toBe(200);
    });
    await withApi(face, [limit(), guard()], async (api) => {
      const statuses = [await api.call(), await api.call(), await api.call()].map(({ status }) => status);
      expect(statuses).toEqual([401, 401, 429]);
    });
  });

  it('refuses when nobody can count', async () => {
    const store = { hit: () => Promise.reject(new Error('no store')) };
    const onFault = () => undefined;
    await withApi(face, [rateLimit({ limit: 2, windowSeconds: 60, store, onFault })], async (api) => {
      expect((await api.call()).status).toBe(503);
    });
  });

  it('records each request once, with who it was and what was decided, and no token', async () => {
    const records: AuditRecord[] = [];
    let wake = (): void => undefined;
    const next = async (): Promise<AuditRecord | undefined> => {
      while (records.length === 0)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      return records.shift();
    };
    const recorder = audit(
      (record) => {
        records.push(record);
        wake();
        throw new Error('a record that cannot be kept stops nobody');
      },
      { onFault: () => undefined },
    );
    await withApi(face, [recorder, optional(guard()), requireScope('readings:read')], async (api) => {
      const token = await tokenWith();
      const good = await api.call({
        path: '/a?secret=b',
        headers: { ...bearer(token).headers, 'x-request-id': 'r-1' },
      });
      expect(good.headers['x-request-id']).toBe('r-1');
      const record = await next();
      expect(record).toEqual({
        time: expect.any(String),
        requestId: 'r-1',
        method: 'GET',
        path: '/a',
        status: 200,
        decision: 'allowed',
        reason: undefined,
        subject: 'ada',
        tenant: 'acme',
        clientId: 'web',
        tokenKind: 'user',
        scopes: ['readings:read'],
      });
      expect(JSON.stringify(record)).not.toContain(token.slice(0, 20));
      await api.call();
      expect(await next()).toMatchObject({
        status: 401,
        decision: 'refused',
        reason: 'unauthorized',
        subject: undefined,
      });
      await api.call({ ...bearer(await tokenWith({ scope: 'x' })) });
      expect(await next()).toMatchObject({ status: 403, decision: 'refused', subject: 'ada' });
      const forged = await api.call({ headers: { 'x-request-id': 'a b\tc' } });
      expect((await next())?.requestId).toBe(forged.headers['x-request-id']);
      expect(forged.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
      expect(records).toEqual([]);
    });
  });

  it('serves what clients need to know, and nothing else at that address', async () => {
    const resource = 'https://api.acme.test/readings';
    expect(metadataAddress(resource)).toBe('https://api.acme.test/.well-known/oauth-protected-resource/readings');
    expect(metadataAddress('https://api.acme.test')).toBe('https://api.acme.test/.well-known/oauth-protected-resource');
    const served = protectedResource({ resource, issuer: acme.issuer, scopes: ['readings:read'], name: 'Readings' });
    await withApi(face, [served, guard()], async (api) => {
      const path = '/.well-known/oauth-protected-resource/readings';
      const { status, headers, json } = await api.call({ path });
      expect(status).toBe(200);
      expect(headers['content-type']).toMatch(/^application\/json/);
      expect(json).toMatchObject({
        resource,
        authorization_servers: [acme.issuer],
        scopes_supported: ['readings:read'],
        bearer_methods_supported: ['header'],
        resource_name: 'Readings',
      });
      expect((await api.call({ path, method: 'POST' })).status).toBe(405);
      expect((await api.call({ path: `${path}/x` })).status).toBe(401);
    });
  });

  it('takes API keys of its tenant, and asks about each at most once in five seconds', async () => {
    const made = await makeKey(acme);
    const foreign = await makeKey(globex);
    const watched = watchFetch();
    const time = createStillClock();
    const keys = apiKey({ issuer: acme.issuer, fetch: watched.fetch, clock: time.clock, onFault: () => undefined });
    await withApi(face, [optional(guard()), optional(keys), requireScope('users:read')], async (api) => {
      const asked = () => watched.count('/service/status');
      const key = (value: string) => ({ headers: { 'x-api-key': value } });
      expect((await api.call(key(made.key))).json['auth']).toMatchObject({
        subject: made.id,
        tenant: 'acme',
        scopes: ['users:read'],
        tokenKind: 'api_key',
        roles: [],
      });
      expect([(await api.call(key(made.key))).status, asked()]).toEqual([200, 1]);
      time.advance(5);
      expect([(await api.call(key(made.key))).status, asked()]).toEqual([200, 2]);

      const unknown = { status: 401, json: { error: 'invalid_key' } };
      for (const value of [foreign.key, 'pk_unknown', 'x y', 'x'.repeat(600)])
        expect(await api.call(key(value))).toMatchObject(unknown);
      const before = asked();
      expect(await api.call(key('pk_unknown'))).toMatchObject(unknown);
      expect(asked()).toBe(before);
      expect((await api.call({ headers: { 'x-api-key': [made.key, made.key] } })).status).toBe(400);
      const both = { 'x-api-key': made.key, ...bearer(await tokenWith()).headers };
      expect((await api.call({ headers: both })).status).toBe(400);
      expect((await api.call()).status).toBe(401);

      time.advance(5);
      watched.answer('/service/status', () => new Response('', { status: 429, headers: { 'retry-after': '9' } }));
      expect(await api.call(key(made.key))).toMatchObject({ status: 429, headers: { 'retry-after': '9' } });
      watched.cut(true);
      time.advance(5);
      expect((await api.call(key(made.key))).status).toBe(503);
    });
    await withApi(face, [keys], async (api) => {
      const { status, challenges } = await api.call();
      expect({ status, challenges }).toEqual({
        status: 401,
        challenges: [`ApiKey realm="${acme.issuer}", header="X-API-Key"`],
      });
    });
  });
});

describe('a guard that demands nothing', () => {
  it('is not made', () => {
    for (const make of [requireScope, requireRole, requirePermission, requireAcr])
      expect(() => make()).toThrow(TypeError);
    expect(() => requireMaxAge(Number.NaN)).toThrow(TypeError);
    expect(() => optional(requireScope('a') as ReturnType<typeof apiKey>)).toThrow(TypeError);
    expect(() => rateLimit({ limit: 0, windowSeconds: 60 })).toThrow(TypeError);
  });
});
