import { createHash } from 'node:crypto';
import * as jose from 'jose';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { uuidv7 } from '#src/foundation/identifiers.ts';
import { assignRoles } from '#src/storage/tables/people.ts';
import { insertRole } from '#src/storage/tables/roles.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorize,
  callEndpoint,
  createUserAgent,
  type EndpointAnswer,
  exchangeCode,
  introspect,
  refresh,
} from '#test/support/user_agent.ts';
import { createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

describe('tokens', () => {
  let server: TestServer;
  let acme: TestTenant;
  let globex: TestTenant;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    globex = await createTestTenant(server, 'globex');
    await server.context.database.tenant(acme.id).transaction(async (transaction) => {
      const role = {
        id: uuidv7(new Date()),
        name: 'reader',
        description: '',
        permissions: ['readings:read', 'invoices:read'],
        inherits: undefined,
        builtIn: false,
      };
      await insertRole(transaction, { tenantId: acme.id, role, now: new Date() });
      await assignRoles(transaction, { tenantId: acme.id, userId: acme.person.id, roles: ['reader'] });
    });
  });

  afterAll(() => server.close());

  const register = async (tenant: TestTenant, request: Parameters<typeof createClient>[1]['client']) => {
    const created = await createClient(server.context, { tenantId: tenant.id, client: request });
    if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
    return { clientId: created.clientId, clientSecret: created.clientSecret ?? '' } satisfies TestClient;
  };
  const tokensFor = async (scope: string, resource?: string): Promise<EndpointAnswer> => {
    const authorized = await authorize(createUserAgent(server.origin), {
      tenant: acme,
      client: acme.clients.web,
      extra: { scope, ...(resource === undefined ? {} : { resource }) },
    });
    return exchangeCode(acme, acme.clients.web, authorized);
  };
  const machineToken = (form: Record<string, string> = {}): Promise<EndpointAnswer> =>
    callEndpoint(acme.issuer, '/token', {
      client: acme.clients.machine,
      form: { grant_type: 'client_credentials', ...form },
    });
  const verify = (token: string, audience: string) =>
    jose.jwtVerify(token, jose.createRemoteJWKSet(new URL(`${acme.issuer}/jwks`)), {
      issuer: acme.issuer,
      audience,
      typ: 'at+jwt',
      algorithms: ['ES256'],
    });
  const accessToken = ({ json }: EndpointAnswer): string => String(json['access_token']);

  describe("a person's JWT access token", () => {
    it('has exactly the claims of RFC 9068 and of the public interface', async () => {
      const answer = await tokensFor('openid readings:read', acme.jwtApi);
      expect(answer.json).toMatchObject({ token_type: 'Bearer', expires_in: 900, scope: 'readings:read' });
      const { payload, protectedHeader } = await verify(accessToken(answer), acme.jwtApi);

      expect(protectedHeader).toEqual({ alg: 'ES256', typ: 'at+jwt', kid: expect.any(String) });
      const { roles, iat, exp, auth_time: authTime, ...claims } = payload;
      expect(claims).toEqual({
        iss: acme.issuer,
        sub: acme.person.id,
        aud: acme.jwtApi,
        client_id: acme.clients.web.clientId,
        scope: 'readings:read',
        jti: expect.stringMatching(/^.{20,}$/),
        tenant: 'acme',
        tenant_id: acme.id,
        permissions: ['readings:read'],
        amr: ['pwd'],
        acr: 'urn:poort:acr:password',
        sid: expect.stringMatching(/^.{16,}$/),
        gid: expect.stringMatching(/^.{16,}$/),
        mfa_verified: false,
      });
      expect(roles).toEqual(expect.arrayContaining(['admin', 'reader']));
      expect(Number(exp) - Number(iat)).toBe(900);
      expect(Number(authTime)).toBeLessThanOrEqual(Number(iat));
      expect(jose.decodeJwt(String(answer.json['id_token']))['sid']).toBe(claims['sid']);
    });

    it('says the same after a refresh, with a new identifier', async () => {
      const answer = await tokensFor('openid readings:read', acme.jwtApi);
      const renewed = await refresh(acme, acme.clients.web, String(answer.json['refresh_token']));
      const [before, after] = [
        await verify(accessToken(answer), acme.jwtApi),
        await verify(accessToken(renewed), acme.jwtApi),
      ];
      const lasting = ({ payload: { jti, iat, exp, ...rest } }: jose.JWTVerifyResult) => ({ ...rest, had: !!jti });
      expect(lasting(after)).toEqual(lasting(before));
      expect(after.payload.jti).not.toBe(before.payload.jti);
    });

    it('is not accepted at userinfo', async () => {
      const answer = await tokensFor('openid readings:read', acme.jwtApi);
      const userinfo = await fetch(`${acme.issuer}/userinfo`, {
        headers: { authorization: `Bearer ${accessToken(answer)}` },
      });
      expect(userinfo.status).toBe(401);
      expect(userinfo.headers.get('www-authenticate')).toContain('invalid_token');
    });
  });

  describe("a machine's access token", () => {
    it('is a JWT for an API that wants one, and tells of no person', async () => {
      const answer = await machineToken({ resource: acme.jwtApi, scope: 'readings:read readings:write' });
      expect(answer.json).toMatchObject({ expires_in: 900, scope: 'readings:read readings:write' });
      expect(answer.json['refresh_token']).toBeUndefined();
      const { payload } = await verify(accessToken(answer), acme.jwtApi);
      expect(Object.keys(payload).sort()).toEqual(
        ['aud', 'client_id', 'exp', 'iat', 'iss', 'jti', 'scope', 'sub', 'tenant', 'tenant_id'].sort(),
      );
      expect(payload.sub).toBe(acme.clients.machine.clientId);
    });

    it('is opaque for an API that wants that, and without an API', async () => {
      for (const form of [{ resource: acme.opaqueApi, scope: 'readings:read' }, {}])
        expect(accessToken(await machineToken(form))).toMatch(/^at_[A-Za-z0-9_-]{43}$/);
    });

    it.each([
      ['a scope the API does not have', { scope: 'readings:erase' }, true],
      ['one scope too many', { scope: 'readings:read readings:erase' }, true],
      ['a scope about people', { scope: 'openid' }, true],
      ['a scope without naming an API', { scope: 'readings:read' }, false],
    ])('is refused with %s', async (_name, form, withApi) => {
      const answer = await machineToken({ ...form, ...(withApi ? { resource: acme.jwtApi } : {}) });
      expect(answer).toMatchObject({ status: 400, json: { error: 'invalid_scope' } });
    });

    it('is refused for an API that is not of this tenant', async () => {
      expect(await machineToken({ resource: globex.jwtApi })).toMatchObject({
        status: 400,
        json: { error: 'invalid_target' },
      });
    });

    it('never holds more than the client was given', async () => {
      const narrow = await register(acme, {
        name: 'narrow',
        type: 'machine',
        firstParty: true,
        scopes: ['readings:read'],
      });
      const ask = (scope: string) =>
        callEndpoint(acme.issuer, '/token', {
          client: narrow,
          form: { grant_type: 'client_credentials', resource: acme.jwtApi, scope },
        });
      expect(await ask('readings:read readings:write')).toMatchObject({
        status: 400,
        json: { error: 'invalid_scope' },
      });
      expect((await ask('readings:read')).json['scope']).toBe('readings:read');
    });
  });

  it('start with their kind, and nothing in the answer may be stored', async () => {
    const authorized = await authorize(createUserAgent(server.origin), { tenant: acme, client: acme.clients.web });
    expect(authorized.code).toMatch(/^ac_[A-Za-z0-9_-]{43}$/);
    const answer = await exchangeCode(acme, acme.clients.web, authorized);
    expect(accessToken(answer)).toMatch(/^at_[A-Za-z0-9_-]{43}$/);
    expect(answer.json['refresh_token']).toMatch(/^rt_[A-Za-z0-9_-]{43}$/);
    const described = await introspect(acme, acme.clients.web, accessToken(answer));
    const refused = await callEndpoint(acme.issuer, '/token', { client: acme.clients.web, form: { grant_type: 'x' } });
    for (const { headers } of [answer, described, refused]) expect(headers.get('cache-control')).toContain('no-store');
    const userinfo = await fetch(`${acme.issuer}/userinfo`, {
      headers: { authorization: `Bearer ${accessToken(answer)}` },
    });
    expect(userinfo.headers.get('cache-control')).toContain('no-store');
  });

  describe('a token of a person', () => {
    it('never holds more than person, client and API allow', async () => {
      const narrow = await register(acme, {
        name: 'narrow web',
        type: 'web',
        firstParty: true,
        redirectUris: ['http://localhost:9/callback'],
        scopes: ['readings:read'],
      });
      const authorized = await authorize(createUserAgent(server.origin), {
        tenant: acme,
        client: narrow,
        extra: { scope: 'openid readings:read readings:write', resource: acme.jwtApi },
      });
      const answer = await exchangeCode(acme, narrow, authorized);
      expect(answer).toMatchObject({ status: 200, json: { scope: 'readings:read' } });
      expect((await verify(accessToken(answer), acme.jwtApi)).payload['scope']).toBe('readings:read');
    });
  });

  describe('introspection', () => {
    const inactive = async (answer: Promise<EndpointAnswer>) => {
      const { status, json, headers } = await answer;
      expect({ status, json }).toEqual({ status: 200, json: { active: false } });
      expect(headers.get('cache-control')).toContain('no-store');
    };

    it('tells a living token to its client and to the API it is for, and to nobody else', async () => {
      const forArchive = await register(acme, {
        name: 'the archive',
        type: 'resource_server',
        audiences: [acme.opaqueApi],
      });
      const forReadings = await register(acme, {
        name: 'the readings',
        type: 'resource_server',
        audiences: [acme.jwtApi],
      });
      const answer = await tokensFor('openid readings:read', acme.opaqueApi);
      const token = accessToken(answer);
      const { web, resource_server: anyApi, third, machine } = acme.clients;

      const full = {
        active: true,
        token_type: 'Bearer',
        sub: acme.person.id,
        client_id: web.clientId,
        iss: acme.issuer,
        aud: acme.opaqueApi,
        scope: 'readings:read',
        tenant: 'acme',
        tenant_id: acme.id,
        permissions: ['readings:read'],
        sid: expect.any(String),
        mfa_verified: false,
        amr: ['pwd'],
      };
      for (const reader of [web, anyApi, forArchive])
        expect((await introspect(acme, reader, token)).json).toMatchObject(full);
      for (const stranger of [forReadings, third, machine]) await inactive(introspect(acme, stranger, token));
      for (const stranger of Object.values(globex.clients).filter(({ clientSecret }) => clientSecret !== ''))
        await inactive(introspect(globex, stranger, token));
      await inactive(introspect(acme, web, 'at_nobody-has-ever-seen-this-one'));
      await inactive(introspect(acme, web, `${token}x`));
    });

    it('is for authenticated clients', async () => {
      const token = accessToken(await machineToken());
      const nobody = await callEndpoint(acme.issuer, '/introspect', { form: { token } });
      expect(nobody.status).toBeGreaterThanOrEqual(400);
      expect(JSON.stringify(nobody.json)).not.toContain('active');
      const foreign = await introspect(acme, globex.clients.resource_server, token);
      expect(foreign).toMatchObject({ status: 401, json: { error: 'invalid_client' } });
      const wrong = await introspect(acme, { ...acme.clients.resource_server, clientSecret: 'wrong' }, token);
      expect(wrong).toMatchObject({ status: 401, json: { error: 'invalid_client' } });
    });

    it('knows a refresh token for its own client only', async () => {
      const refreshToken = String((await tokensFor('openid readings:read', acme.opaqueApi)).json['refresh_token']);
      expect((await introspect(acme, acme.clients.web, refreshToken)).json).toMatchObject({ active: true });
      for (const other of [acme.clients.third, acme.clients.resource_server, acme.clients.machine])
        await inactive(introspect(acme, other, refreshToken));
    });

    it("knows a machine's token for the machine and the API", async () => {
      const token = accessToken(await machineToken({ resource: acme.opaqueApi, scope: 'readings:read' }));
      for (const reader of [acme.clients.machine, acme.clients.resource_server])
        expect((await introspect(acme, reader, token)).json).toMatchObject({
          active: true,
          client_id: acme.clients.machine.clientId,
          aud: acme.opaqueApi,
          tenant: 'acme',
        });
      await inactive(introspect(acme, acme.clients.web, token));
    });

    it('says the same whatever the hint says', async () => {
      const token = accessToken(await tokensFor('openid'));
      for (const hint of ['access_token', 'refresh_token', 'nonsense']) {
        const answer = await callEndpoint(acme.issuer, '/introspect', {
          client: acme.clients.web,
          form: { token, token_type_hint: hint },
        });
        expect(answer.json['active']).toBe(true);
      }
    });
  });

  describe('a client assertion', () => {
    let keyed: TestClient;
    let publicJwk: jose.JWK;
    let privateKey: jose.CryptoKey;

    beforeAll(async () => {
      const pair = await jose.generateKeyPair('RS256', { extractable: true });
      privateKey = pair.privateKey;
      publicJwk = { ...(await jose.exportJWK(pair.publicKey)), kid: 'rsa', alg: 'RS256', use: 'sig' };
      keyed = await register(acme, { name: 'keyed', type: 'machine', jwks: { keys: [publicJwk] } });
    });

    const claims = () => ({
      iss: keyed.clientId,
      sub: keyed.clientId,
      aud: acme.issuer,
      jti: crypto.randomUUID(),
      iat: Math.floor(Date.now() / 1000),
      exp: Math.floor(Date.now() / 1000) + 60,
    });
    const present = (assertion: string) =>
      callEndpoint(acme.issuer, '/token', {
        form: {
          grant_type: 'client_credentials',
          client_id: keyed.clientId,
          client_assertion_type: assertionType,
          client_assertion: assertion,
        },
      });
    const sign = (payload: jose.JWTPayload, header: Partial<jose.JWTHeaderParameters> = {}, key = privateKey) =>
      new jose.SignJWT(payload).setProtectedHeader({ alg: 'RS256', kid: 'rsa', ...header }).sign(key);

    it('that is signed with the registered key is accepted', async () => {
      expect((await present(await sign(claims()))).status).toBe(200);
    });

    it('without a signature is refused', async () => {
      const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
      const unsigned = `${encode({ alg: 'none' })}.${encode(claims())}.`;
      expect(await present(unsigned)).toMatchObject({ status: 401, json: { error: 'invalid_client' } });
    });

    it('whose key is the text of the public key is refused', async () => {
      const spki = await jose.exportSPKI((await jose.importJWK(publicJwk, 'RS256')) as jose.CryptoKey);
      for (const secret of [spki, spki.trim(), JSON.stringify(publicJwk)]) {
        const forged = await new jose.SignJWT(claims())
          .setProtectedHeader({ alg: 'HS256', kid: 'rsa' })
          .sign(new TextEncoder().encode(secret));
        expect(await present(forged)).toMatchObject({ status: 401, json: { error: 'invalid_client' } });
      }
    });

    it('whose key is the stored hash of a secret is refused', async () => {
      const { machine } = acme.clients;
      const stored = createHash('sha256').update(machine.clientSecret).digest('hex');
      for (const secret of [machine.clientSecret, stored]) {
        const forged = await new jose.SignJWT({ ...claims(), iss: machine.clientId, sub: machine.clientId })
          .setProtectedHeader({ alg: 'HS256' })
          .sign(new TextEncoder().encode(secret));
        const answer = await callEndpoint(acme.issuer, '/token', {
          form: {
            grant_type: 'client_credentials',
            client_assertion_type: assertionType,
            client_assertion: forged,
          },
        });
        expect(answer).toMatchObject({ status: 401, json: { error: 'invalid_client' } });
      }
    });

    it("that is another kind of token of the client's is refused", async () => {
      for (const typ of ['JWT', 'client-authentication+jwt'])
        expect((await present(await sign(claims(), { typ }))).status).toBe(200);
      for (const typ of ['at+jwt', 'dpop+jwt', 'logout+jwt', 'oauth-authz-req+jwt'])
        expect(await present(await sign(claims(), { typ }))).toMatchObject({
          status: 401,
          json: { error: 'invalid_client' },
        });
    });

    it.each([
      ['has expired', { exp: Math.floor(Date.now() / 1000) - 120 }],
      ['never expires', { exp: 1e15 }],
      ['has no identifier', { jti: undefined }],
      ['is issued by another client', { iss: 'someone' }],
      ['is for another server', { aud: 'https://elsewhere.test' }],
    ])('that %s is refused', async (_name, changed) => {
      const payload = Object.fromEntries(
        Object.entries({ ...claims(), ...changed }).filter(([, value]) => value !== undefined),
      );
      const { status, json } = await present(await sign(payload));
      expect([status, json['error']]).toEqual([401, 'invalid_client']);
    });

    it('signed with a key that nobody registered is refused', async () => {
      const { privateKey: other } = await jose.generateKeyPair('RS256');
      expect(await present(await sign(claims(), {}, other))).toMatchObject({
        status: 401,
        json: { error: 'invalid_client' },
      });
    });
  });
});
