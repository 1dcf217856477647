/** JWT access tokens at the two endpoints the engine refuses them at, and what they live by. */
import * as jose from 'jose';
import { disableClient } from '#src/flows/clients/manage_clients.ts';
import { changeTenantStatus } from '#src/flows/tenants/manage_tenants.ts';
import { createTestEngines } from '#test/support/engines.ts';
import { openTenantKey, signWith } from '#test/support/signed_tokens.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  callEndpoint,
  createUserAgent,
  exchangeCode,
  introspect,
  refresh,
  type UserAgent,
} from '#test/support/user_agent.ts';
import { createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

describe('a JWT access token', () => {
  let server: TestServer;
  let acme: TestTenant;
  let now = new Date();

  beforeAll(async () => {
    server = await startTestServer({ clock: () => now });
    acme = await createTestTenant(server, 'acme');
  });

  beforeEach(() => {
    now = new Date();
  });

  afterAll(() => server.close());

  const tokensFor = async (
    { tenant = acme, client = tenant.clients.web }: { tenant?: TestTenant; client?: TestClient } = {},
    agent: UserAgent = createUserAgent(server.origin),
  ): Promise<{ accessToken: string; refreshToken: string; idToken: string; agent: UserAgent }> => {
    const extra = { scope: 'openid readings:read', resource: tenant.jwtApi };
    const { json } = await exchangeCode(tenant, client, await authorize(agent, { tenant, client, extra }));
    const [accessToken, refreshToken, idToken] = ['access_token', 'refresh_token', 'id_token'].map((name) =>
      String(json[name]),
    );
    return { accessToken: accessToken ?? '', refreshToken: refreshToken ?? '', idToken: idToken ?? '', agent };
  };
  const machineToken = async (tenant = acme): Promise<string> => {
    const form = { grant_type: 'client_credentials', resource: tenant.jwtApi, scope: 'readings:read' };
    return String(
      (await callEndpoint(tenant.issuer, '/token', { client: tenant.clients.machine, form })).json['access_token'],
    );
  };
  const revoke = (client: TestClient, token: string, extra: Readonly<Record<string, string>> = {}) =>
    callEndpoint(acme.issuer, '/revoke', { client, form: { token, ...extra } });
  const isActive = async (token: string, client = acme.clients.resource_server): Promise<unknown> =>
    (await introspect(acme, client, token)).json['active'];
  describe('introspected', () => {
    it('gives every claim of the public interface, but for the name of its grant', async () => {
      const { accessToken } = await tokensFor();
      const { gid, ...claims } = jose.decodeJwt(accessToken);
      expect(gid).toMatch(/^.{16,}$/);
      const { status, json, headers } = await introspect(acme, acme.clients.resource_server, accessToken);
      expect(status).toBe(200);
      expect(headers.get('cache-control')).toContain('no-store');
      expect(json).toEqual({ ...claims, active: true, token_type: 'Bearer' });
      expect(Object.keys(json)).toEqual(
        expect.arrayContaining(
          'iss sub aud exp iat jti client_id scope tenant tenant_id roles permissions amr acr auth_time sid mfa_verified'.split(
            ' ',
          ),
        ),
      );
    });

    it('tells as much of an opaque token for another API', async () => {
      const { accessToken, agent } = await tokensFor();
      const extra = { scope: 'openid readings:read', resource: acme.opaqueApi };
      const { web, resource_server: api } = acme.clients;
      const opaque = await exchangeCode(acme, web, await authorize(agent, { tenant: acme, client: web, extra }));
      const described = [accessToken, String(opaque.json['access_token'])].map((token) => introspect(acme, api, token));
      const [structured, stored] = (await Promise.all(described)).map(({ json }) => Object.keys(json).sort());
      // The value of an opaque token is its identifier, which is nobody's business.
      expect(structured?.filter((name) => name !== 'jti')).toEqual(stored);
    });

    it('tells of a client that asked in its own name', async () => {
      const token = await machineToken();
      const { json } = await introspect(acme, acme.clients.resource_server, token);
      expect(json).toEqual({ ...jose.decodeJwt(token), active: true, token_type: 'Bearer' });
      expect(json['sub']).toBe(acme.clients.machine.clientId);
    });

    it('says the same whatever the hint says', async () => {
      const { accessToken } = await tokensFor();
      for (const hint of ['access_token', 'refresh_token', 'urn:ietf:params:oauth:token-type:jwt', 'nonsense', '']) {
        const form = { token: accessToken, token_type_hint: hint };
        const answer = await callEndpoint(acme.issuer, '/introspect', { client: acme.clients.web, form });
        expect({ hint, active: answer.json['active'] }).toEqual({ hint, active: true });
      }
    });

    it('is told only to a client that has authenticated', async () => {
      const { accessToken } = await tokensFor();
      const wrong = { ...acme.clients.resource_server, clientSecret: 'wrong' };
      for (const call of [introspect(acme, wrong, accessToken), revoke(wrong, accessToken)])
        expect(await call).toMatchObject({ status: 401, json: { error: 'invalid_client' } });
      expect((await callEndpoint(acme.issuer, '/introspect', { form: { token: accessToken } })).status).toBe(400);
      expect(await isActive(accessToken)).toBe(true);
    });

    it('says that it is bound to a key', async () => {
      const key = await openTenantKey(server, { tenant: acme, alg: 'ES256' });
      const claims = jose.decodeJwt((await tokensFor()).accessToken);
      const bound = await signWith(key, { ...claims, cnf: { jkt: 'the-thumbprint' } });
      expect((await introspect(acme, acme.clients.resource_server, bound)).json).toMatchObject({
        active: true,
        token_type: 'DPoP',
        cnf: { jkt: 'the-thumbprint' },
      });
    });

    it('is over when it expires', async () => {
      const { accessToken } = await tokensFor();
      now = new Date(Number(jose.decodeJwt(accessToken).exp) * 1000 - 1_000);
      expect(await isActive(accessToken)).toBe(true);
      now = new Date(Number(jose.decodeJwt(accessToken).exp) * 1000);
      expect(await isActive(accessToken)).toBe(false);
    });

    it('cannot be sent as the text that stands for it inside', async () => {
      await tokensFor();
      for (const token of ['a structured token', 'a structured token.', 'undefined'])
        expect(await introspect(acme, acme.clients.web, token)).toMatchObject({ status: 200, json: { active: false } });
      const repeated = new URLSearchParams([
        ['token', 'a.b.c'],
        ['token', (await tokensFor()).accessToken],
      ]);
      const { clientId, clientSecret } = acme.clients.web;
      const answer = await fetch(`${acme.issuer}/introspect`, {
        method: 'POST',
        headers: { authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}` },
        body: repeated,
      });
      expect([answer.status, ((await answer.json()) as { error: string }).error]).toEqual([400, 'invalid_request']);
    });

    it('is not called alive, or dead, when the database cannot be asked', async () => {
      const { accessToken } = await tokensFor();
      const may = (what: 'grant' | 'revoke') =>
        queryAsSuperuser(
          server.database,
          `${what} execute on function structured_tokens_find ${what === 'grant' ? 'to' : 'from'} poort_app`,
        );
      const logged = server.log.length;
      await may('revoke');
      try {
        const { status, json } = await introspect(acme, acme.clients.resource_server, accessToken);
        expect({ status, json }).toEqual({ status: 500, json: expect.objectContaining({ error: 'server_error' }) });
        expect(json).not.toHaveProperty('active');
        expect((await revoke(acme.clients.web, accessToken)).status).toBe(500);
      } finally {
        await may('grant');
      }
      expect(await isActive(accessToken)).toBe(true);
      expect(server.log.slice(logged)).toHaveLength(2);
    });

    it('is no access token for userinfo and no refresh token', async () => {
      const { accessToken } = await tokensFor();
      const userinfo = await fetch(`${acme.issuer}/userinfo`, { headers: { authorization: `Bearer ${accessToken}` } });
      expect(userinfo.status).toBe(401);
      expect(await refresh(acme, acme.clients.web, accessToken)).toMatchObject({
        status: 400,
        json: { error: 'invalid_grant' },
      });
    });
  });

  describe('read by another part of the house', () => {
    const readAt = async (slug: string, token: string) => {
      const engines = createTestEngines(server);
      try {
        return await (await engines.engineOf(slug)).readStructuredToken(token);
      } finally {
        await engines.close();
      }
    };

    it('says all that it says, until it ends', async () => {
      const { accessToken } = await tokensFor();
      expect(await readAt('acme', accessToken)).toEqual(jose.decodeJwt(accessToken));
      expect(await readAt('acme', `${accessToken}x`)).toBeUndefined();
      await revoke(acme.clients.web, accessToken);
      expect(await readAt('acme', accessToken)).toBeUndefined();
    });

    it('says nothing while its tenant is suspended', async () => {
      const tenant = await createTestTenant(server, 'to-be-suspended');
      const token = await machineToken(tenant);
      expect(await readAt(tenant.slug, token)).toMatchObject({ sub: tenant.clients.machine.clientId });
      await changeTenantStatus(server.context, { id: tenant.id, status: 'suspended' });
      expect(await readAt(tenant.slug, token)).toBeUndefined();
    });
  });

  describe('revoked', () => {
    it('ends with everything under its grant: siblings of both forms, the refresh token and what it would have given', async () => {
      const { accessToken, refreshToken, agent } = await tokensFor();
      const renewed = await refresh(acme, acme.clients.web, refreshToken);
      const sibling = String(renewed.json['access_token']);
      expect(await isActive(sibling)).toBe(true);
      const answer = await revoke(acme.clients.web, accessToken);
      expect(answer).toMatchObject({ status: 200, json: {} });
      for (const token of [accessToken, sibling]) expect(await isActive(token)).toBe(false);
      expect((await introspect(acme, acme.clients.web, accessToken)).json).toEqual({ active: false });
      expect(await refresh(acme, acme.clients.web, String(renewed.json['refresh_token']))).toMatchObject({
        status: 400,
        json: { error: 'invalid_grant' },
      });
      // The person is still signed in; what they ask for next is a grant of its own.
      const again = await tokensFor({}, agent);
      expect(await isActive(again.accessToken)).toBe(true);
      expect(await isActive(accessToken)).toBe(false);
    });

    it('has ended what an opaque one would have ended, and the other way round', async () => {
      const agent = createUserAgent(server.origin);
      const { accessToken } = await tokensFor({}, agent);
      const { web } = acme.clients;
      const opaque = await exchangeCode(
        acme,
        web,
        await authorize(agent, {
          tenant: acme,
          client: web,
          extra: { resource: acme.opaqueApi, scope: 'readings:read' },
        }),
      );
      expect(await isActive(accessToken)).toBe(true);
      await revoke(web, String(opaque.json['access_token']));
      expect(await isActive(accessToken)).toBe(false);
    });

    it('takes no consent back: who gives a token back gets another for who agreed, and the old one stays dead', async () => {
      const { accessToken, agent } = await tokensFor({ client: acme.clients.third });
      await revoke(acme.clients.third, accessToken);
      const extra = { scope: 'openid readings:read', resource: acme.jwtApi };
      const page = await agent.follow(authorizationRequest(acme, acme.clients.third, extra).url);
      expect(new URL(page.url).searchParams.get('code')).toMatch(/^ac_/);
      const again = await tokensFor({ client: acme.clients.third }, agent);
      expect(await isActive(again.accessToken)).toBe(true);
      expect(await isActive(accessToken)).toBe(false);
    });

    it('tells of it in one event', async () => {
      const { accessToken } = await tokensFor();
      const revoked = () => readEvents(server.database, { tenantId: acme.id, types: ['token.revoked'] });
      const before = (await revoked()).length;
      for (const hint of ['refresh_token', 'access_token'])
        await revoke(acme.clients.web, accessToken, { token_type_hint: hint });
      const events = (await revoked()).slice(before);
      expect(events).toEqual([
        expect.objectContaining({
          outcome: 'success',
          actor_type: 'client',
          actor_id: acme.clients.web.clientId,
          data: expect.objectContaining({ kind: 'AccessToken' }),
        }),
      ]);
    });

    it('is denied by its identifier when it has no grant, and no other token with it', async () => {
      const [token, sibling] = [await machineToken(), await machineToken()];
      expect((await revoke(acme.clients.machine, token)).status).toBe(200);
      expect(await isActive(token)).toBe(false);
      expect(await isActive(sibling)).toBe(true);
      const rows = await queryAsSuperuser<{ expires_at: Date; row: string }>(
        server.database,
        `select expires_at, to_json(artifacts)::text as row from artifacts where kind = 'DeniedToken' and tenant_id = $1
          order by created_at desc limit 1`,
        [acme.id],
      );
      const { exp, jti } = jose.decodeJwt(token);
      expect(rows[0]?.expires_at.getTime()).toBe(Number(exp) * 1000);
      expect(rows[0]?.row).not.toContain(jti);
    });

    it('many times at the same moment is revoked once, and nothing fails', async () => {
      const logged = server.log.length;
      const types = ['token.revoked', 'grant.revoked'];
      const events = () => readEvents(server.database, { tenantId: acme.id, types });
      for (const [client, token, told] of [
        [acme.clients.web, (await tokensFor()).accessToken, ['grant.revoked', 'token.revoked']],
        [acme.clients.machine, await machineToken(), undefined],
      ] as const) {
        const before = (await events()).length;
        const answers = await Promise.all(Array.from({ length: 8 }, () => revoke(client, token)));
        expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200));
        expect(await isActive(token)).toBe(false);
        if (told !== undefined) expect((await events()).slice(before).map(({ type }) => type)).toEqual(told);
      }
      expect(server.log.slice(logged)).toEqual([]);
    });

    it('lives on when somebody else asked for it, who is told nothing', async () => {
      const { accessToken } = await tokensFor();
      const machine = await machineToken();
      const mine = await revoke(acme.clients.machine, await machineToken());
      for (const [client, token] of [
        [acme.clients.third, accessToken],
        [acme.clients.resource_server, accessToken],
        [acme.clients.machine, accessToken],
        [acme.clients.web, machine],
      ] as const) {
        const { status, json } = await revoke(client, token);
        expect({ status, json }).toEqual({ status: mine.status, json: mine.json });
        expect(await isActive(token)).toBe(true);
      }
    });
  });

  describe('that was issued to another client than the grant it lives by (RFC 8693)', () => {
    /** What an exchange gives: the person's token, to a client that the person never gave a grant. */
    const delegated = async (tenant: TestTenant) => {
      const { accessToken } = await tokensFor({ tenant });
      const key = await openTenantKey(server, { tenant, alg: 'ES256' });
      const { clientId } = tenant.clients.machine;
      const claims: jose.JWTPayload = { ...jose.decodeJwt(accessToken), client_id: clientId, act: { sub: clientId } };
      await keepExchanged(tenant, { jti: 'delegated', clientId });
      return { accessToken, token: await signWith(key, { ...claims, jti: 'delegated' }), claims };
    };
    /** What an exchange keeps of a token beside it. */
    const keepExchanged = ({ id }: TestTenant, { jti, clientId }: { jti: string; clientId: string }) =>
      queryAsSuperuser(
        server.database,
        `insert into artifacts (tenant_id, kind, id_hash, payload, client_id, created_at, expires_at)
         values ($1, 'ExchangedToken', sha256($2::text::bytea), '{"origins":{"tokens":[],"clients":[]}}', $3, now(), now() + interval '1 hour')
         on conflict do nothing`,
        [id, jti, clientId],
      );
    const statesOf = async (tenant: TestTenant, ...tokens: readonly string[]) => {
      const answers = tokens.map((token) => introspect(tenant, tenant.clients.resource_server, token));
      return (await Promise.all(answers)).map(({ json }) => json['active']);
    };

    it('says who acts for whom', async () => {
      const { token, claims } = await delegated(acme);
      const { gid, ...told } = claims;
      expect(gid).toBeDefined();
      const { json } = await introspect(acme, acme.clients.machine, token);
      expect(json).toEqual({ ...told, jti: 'delegated', active: true, token_type: 'Bearer' });
    });

    it('ends alone when its own client revokes it', async () => {
      const tenant = await createTestTenant(server, 'delegation');
      const { accessToken, token } = await delegated(tenant);
      const revokeBy = (client: TestClient) => callEndpoint(tenant.issuer, '/revoke', { client, form: { token } });
      await revokeBy(tenant.clients.web);
      expect(await statesOf(tenant, token, accessToken)).toEqual([true, true]);
      await revokeBy(tenant.clients.machine);
      expect(await statesOf(tenant, token, accessToken)).toEqual([false, true]);
    });

    it.each(['web', 'machine'] as const)('ends when the client %s is disabled', async (type) => {
      const tenant = await createTestTenant(server, `delegation-${type}`);
      const { token } = await delegated(tenant);
      expect(await statesOf(tenant, token)).toEqual([true]);
      await disableClient(server.context, { tenantId: tenant.id, clientId: tenant.clients[type].clientId });
      expect(await statesOf(tenant, token)).toEqual([false]);
    });

    it('ends with the grant', async () => {
      const { accessToken, token } = await delegated(acme);
      await revoke(acme.clients.web, accessToken);
      expect(await statesOf(acme, token)).toEqual([false]);
    });

    it('may speak for another client, while both live', async () => {
      const tenant = await createTestTenant(server, 'machine-for-machine');
      const key = await openTenantKey(server, { tenant, alg: 'ES256' });
      const claims = jose.decodeJwt(await machineToken(tenant));
      const token = await signWith(key, { ...claims, client_id: tenant.clients.web.clientId, jti: 'for-another' });
      expect(await statesOf(tenant, token)).toEqual([true]);
      await disableClient(server.context, { tenantId: tenant.id, clientId: tenant.clients.machine.clientId });
      expect(await statesOf(tenant, token)).toEqual([false]);
    });
  });

  describe('described in a signed answer (RFC 9701)', () => {
    const asJwt = 'application/token-introspection+jwt';
    const ask = async (token: string, accept: string, client = acme.clients.resource_server) => {
      const response = await fetch(`${acme.issuer}/introspect`, {
        method: 'POST',
        headers: {
          accept,
          authorization: `Basic ${Buffer.from(`${client.clientId}:${client.clientSecret}`).toString('base64')}`,
        },
        body: new URLSearchParams({ token }),
      });
      const { status, headers } = response;
      return {
        status,
        type: headers.get('content-type') ?? '',
        cache: headers.get('cache-control'),
        body: await response.text(),
      };
    };
    const verify = (body: string) =>
      jose.jwtVerify(body, jose.createRemoteJWKSet(new URL(`${acme.issuer}/jwks`)), {
        issuer: acme.issuer,
        audience: acme.clients.resource_server.clientId,
        typ: 'token-introspection+jwt',
      });

    it('is signed for the one who asked and holds what the plain answer holds', async () => {
      const { accessToken } = await tokensFor();
      const { status, type, cache, body } = await ask(accessToken, asJwt);
      expect({ status, type, cache }).toEqual({ status: 200, type: `${asJwt}; charset=utf-8`, cache: 'no-store' });
      const { payload, protectedHeader } = await verify(body);
      expect(protectedHeader.alg).toBe('RS256');
      const plain = await introspect(acme, acme.clients.resource_server, accessToken);
      expect(payload['token_introspection']).toEqual(plain.json);
      // RFC 9701 §5: so that the answer can be no access token of the person's.
      expect(payload).not.toHaveProperty('sub');
      expect(payload).not.toHaveProperty('exp');
      expect(await isActive(body)).toBe(false);
    });

    it('says no more to who may know nothing', async () => {
      const { accessToken } = await tokensFor();
      const { body } = await ask(accessToken, asJwt, acme.clients.machine);
      expect(jose.decodeJwt(body)).toEqual({
        iss: acme.issuer,
        aud: acme.clients.machine.clientId,
        iat: expect.any(Number),
        token_introspection: { active: false },
      });
    });

    it.each(['*/*', 'application/json', 'text/html'])('is plain JSON for %s', async (accept) => {
      const { accessToken } = await tokensFor();
      const { status, type, body } = await ask(accessToken, accept);
      expect(status).toBe(200);
      expect(type).toContain('application/json');
      expect(JSON.parse(body)).toMatchObject({ active: true });
    });
  });
});
