/**
 * Row C22: introspection over-disclosure (Keycloak CVE-2026-37979, CVE-2026-8922). Who is neither the owner nor the audience of a
 * token learns nothing about it; a refresh token is for its own client; what is disabled or over is inactive for everybody.
 */
import * as jose from 'jose';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorize,
  callEndpoint,
  createUserAgent,
  type EndpointAnswer,
  exchangeCode,
  introspect,
} from '#test/support/user_agent.ts';
import { createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

const formats = ['opaque', 'jwt'] as const;
type Format = (typeof formats)[number];

describe('C22: introspection', () => {
  let server: TestServer;
  let acme: TestTenant;
  let globex: TestTenant;
  /** Resource servers of acme, each registered for one API alone. */
  let audiences: Readonly<Record<Format, TestClient>>;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    globex = await createTestTenant(server, 'globex', 'ada@acme.test');
    const readerOf = async (audience: string): Promise<TestClient> => {
      const client = { name: `for ${audience}`, type: 'resource_server' as const, audiences: [audience] };
      const created = await createClient(server.context, { tenantId: acme.id, client });
      if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
      return { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
    };
    audiences = { opaque: await readerOf(acme.opaqueApi), jwt: await readerOf(acme.jwtApi) };
  });

  afterAll(() => server.close());

  const apiOf = (format: Format): string => (format === 'jwt' ? acme.jwtApi : acme.opaqueApi);
  const personsToken = async (format: Format): Promise<{ accessToken: string; refreshToken: string }> => {
    const { web } = acme.clients;
    const extra = { scope: 'openid readings:read', resource: apiOf(format) };
    const authorized = await authorize(createUserAgent(server.origin), { tenant: acme, client: web, extra });
    const { json } = await exchangeCode(acme, web, authorized);
    return { accessToken: String(json['access_token']), refreshToken: String(json['refresh_token']) };
  };
  const machinesToken = async (format: Format): Promise<string> => {
    const form = { grant_type: 'client_credentials', resource: apiOf(format), scope: 'readings:read' };
    const { json } = await callEndpoint(acme.issuer, '/token', { client: acme.clients.machine, form });
    return String(json['access_token']);
  };
  const confidential = (tenant: TestTenant): readonly (readonly [string, TestClient])[] =>
    Object.entries(tenant.clients).filter(([, { clientSecret }]) => clientSecret !== '');
  /** All that a caller can see of an answer, but for what is different every time. */
  const seen = ({ status, json, headers }: EndpointAnswer) => ({
    status,
    json,
    headers: [...headers].filter(([name]) => !['date', 'x-request-id'].includes(name)),
  });

  describe.each(formats)('of an access token (%s)', (format) => {
    it.each(['a person’s', 'a machine’s'])(
      'that is %s tells its client and its audience, and nobody else',
      async (whose) => {
        const token = whose === 'a person’s' ? (await personsToken(format)).accessToken : await machinesToken(format);
        const owner = whose === 'a person’s' ? acme.clients.web : acme.clients.machine;
        const unknown = seen(await introspect(acme, owner, 'at_that-nobody-was-ever-given'));
        expect(unknown).toMatchObject({ status: 200, json: { active: false } });
        const readers = [owner, acme.clients.resource_server, audiences[format]];
        for (const reader of readers) expect((await introspect(acme, reader, token)).json['active']).toBe(true);

        const strangers = [
          ...confidential(acme).map(([name, client]) => ({ name, tenant: acme, client })),
          ...confidential(globex).map(([name, client]) => ({ name: `globex ${name}`, tenant: globex, client })),
          { name: 'another API', tenant: acme, client: audiences[format === 'jwt' ? 'opaque' : 'jwt'] },
        ].filter(({ client }) => !readers.includes(client));
        expect(strangers.length).toBeGreaterThan(5);
        for (const { name, tenant, client } of strangers)
          expect({ name, ...seen(await introspect(tenant, client, token)) }).toEqual({ name, ...unknown });
      },
    );

    it('tells nothing of one for an API that was disabled, to anybody', async () => {
      const tenant = await createTestTenant(server, `without-${format}`);
      const audience = format === 'jwt' ? tenant.jwtApi : tenant.opaqueApi;
      const form = { grant_type: 'client_credentials', resource: audience, scope: 'readings:read' };
      const { json } = await callEndpoint(tenant.issuer, '/token', { client: tenant.clients.machine, form });
      const readers = [tenant.clients.machine, tenant.clients.resource_server];
      const states = () =>
        Promise.all(
          readers.map(async (one) => (await introspect(tenant, one, String(json['access_token']))).json['active']),
        );
      expect(await states()).toEqual([true, true]);
      const disable = "update apis set status = 'disabled' where tenant_id = $1 and audience = $2";
      await queryAsSuperuser(server.database, disable, [tenant.id, audience]);
      const disabledAt = performance.now();
      let last = await states();
      while (last.includes(true) && performance.now() - disabledAt < 1_000) last = await states();
      expect(last).toEqual([false, false]);
    });

    it('tells nothing of one that is over, to anybody', async () => {
      const { accessToken } = await personsToken(format);
      await callEndpoint(acme.issuer, '/revoke', { client: acme.clients.web, form: { token: accessToken } });
      for (const reader of [acme.clients.web, acme.clients.resource_server, audiences[format]])
        expect((await introspect(acme, reader, accessToken)).json).toEqual({ active: false });
    });
  });

  it('of a refresh token tells its own client, and not even the API', async () => {
    const { refreshToken } = await personsToken('jwt');
    for (const [name, client] of [...confidential(acme), ['the API', audiences.jwt] as const]) {
      const { json } = await introspect(acme, client, refreshToken);
      expect({ name, active: json['active'] }).toEqual({ name, active: name === 'web' });
      if (name !== 'web') expect(json).toEqual({ active: false });
    }
  });

  it('of other tokens that the tenant has signed tells nothing', async () => {
    const authorized = await authorize(createUserAgent(server.origin), { tenant: acme, client: acme.clients.web });
    const idToken = String((await exchangeCode(acme, acme.clients.web, authorized)).json['id_token']);
    expect(jose.decodeJwt(idToken).iss).toBe(acme.issuer);
    for (const [, client] of confidential(acme))
      expect((await introspect(acme, client, idToken)).json).toEqual({ active: false });
  });

  it('takes no longer for a living token that the caller may not know than for one that is over', async () => {
    const living = (await personsToken('jwt')).accessToken;
    const over = (await personsToken('jwt')).accessToken;
    await callEndpoint(acme.issuer, '/revoke', { client: acme.clients.web, form: { token: over } });
    const median = (times: readonly number[]): number =>
      times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
    const times: Record<'living' | 'over', number[]> = { living: [], over: [] };
    for (let round = 0; round < 60; round += 1) {
      for (const [name, token] of [
        ['living', living],
        ['over', over],
      ] as const) {
        const startedAt = performance.now();
        await introspect(acme, acme.clients.machine, token);
        times[name].push(performance.now() - startedAt);
      }
    }
    // Both are one read; a busy machine disturbs both alike.
    const usual = median(times.over);
    expect(Math.abs(median(times.living) - usual)).toBeLessThan(Math.max(1, usual / 2));
  });
});
