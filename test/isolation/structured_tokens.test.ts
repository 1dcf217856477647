/** What keeps a JWT alive, asked by the wrong tenant: nothing is there, and nothing that it does there ends the token. */
import { hash } from 'node:crypto';
import * as jose from 'jose';
import { findStructuredToken } from '#src/storage/tables/structured_tokens.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, callEndpoint, createUserAgent, exchangeCode, introspect } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

describe('what a JWT access token lives by', () => {
  let server: TestServer;
  let acme: TestTenant;
  let globex: TestTenant;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    globex = await createTestTenant(server, 'globex');
  });

  afterAll(() => server.close());

  const hashOf = (text: unknown): Buffer => hash('sha256', String(text), 'buffer');
  const personsToken = async (): Promise<string> => {
    const { web } = acme.clients;
    const extra = { scope: 'openid readings:read', resource: acme.jwtApi };
    const authorized = await authorize(createUserAgent(server.origin), { tenant: acme, client: web, extra });
    return String((await exchangeCode(acme, web, authorized)).json['access_token']);
  };
  const machinesToken = async (): Promise<string> => {
    const form = { grant_type: 'client_credentials', resource: acme.jwtApi, scope: 'readings:read' };
    const { json } = await callEndpoint(acme.issuer, '/token', { client: acme.clients.machine, form });
    return String(json['access_token']);
  };

  it.each(['a person’s', 'a machine’s'])('is found by its own tenant alone (%s)', async (whose) => {
    const claims = jose.decodeJwt(whose === 'a person’s' ? await personsToken() : await machinesToken());
    const key = {
      jtiHash: hashOf(claims.jti),
      grantHash: claims['gid'] === undefined ? undefined : hashOf(claims['gid']),
      subject: String(claims.sub),
      clientId: String(claims['client_id']),
    };
    const ask = ({ id }: TestTenant) => findStructuredToken(server.context.database.tenant(id), key);
    expect(await ask(acme)).toBeDefined();
    expect(await ask(globex)).toBeUndefined();
  });

  it('is not ended by what another tenant has denied', async () => {
    const token = await machinesToken();
    const deny = ({ id }: TestTenant) =>
      queryAsSuperuser(
        server.database,
        `insert into artifacts (tenant_id, kind, id_hash, payload, created_at, expires_at)
         values ($1, 'DeniedToken', $2, '{}', now(), now() + interval '1 hour')`,
        [id, hashOf(jose.decodeJwt(token).jti)],
      );
    const isActive = async () => (await introspect(acme, acme.clients.resource_server, token)).json['active'];
    await deny(globex);
    expect(await isActive()).toBe(true);
    await deny(acme);
    expect(await isActive()).toBe(false);
  });
});
