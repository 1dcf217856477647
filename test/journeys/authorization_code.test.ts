import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorize,
  callEndpoint,
  createUserAgent,
  exchangeCode,
  introspect,
  refresh,
} from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

describe('an authorization code', () => {
  let server: TestServer;
  let acme: TestTenant;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
  });

  afterAll(() => server.close());

  it('becomes tokens that userinfo, introspection and refresh accept', async () => {
    const { web } = acme.clients;
    const authorized = await authorize(createUserAgent(server.origin), { tenant: acme, client: web });
    expect(authorized.callback.searchParams.get('iss')).toBe(acme.issuer);

    const tokens = await exchangeCode(acme, web, authorized);
    expect(tokens.status).toBe(200);
    expect(tokens.json).toMatchObject({ token_type: 'Bearer', expires_in: 900, scope: 'openid profile email' });

    const userinfo = await fetch(`${acme.issuer}/userinfo`, {
      headers: { authorization: `Bearer ${tokens.json['access_token']}` },
    });
    expect(await userinfo.json()).toMatchObject({
      sub: acme.person.id,
      email: acme.person.email,
      name: 'Ada Lovelace',
    });

    const introspected = await introspect(acme, web, String(tokens.json['access_token']));
    expect(introspected.json).toMatchObject({
      active: true,
      sub: acme.person.id,
      tenant: 'acme',
      roles: expect.arrayContaining(['admin']),
    });

    const refreshed = await refresh(acme, web, String(tokens.json['refresh_token']));
    expect(refreshed.status).toBe(200);
    expect(refreshed.json['refresh_token']).not.toBe(tokens.json['refresh_token']);
  });

  it('is redeemed by exactly one of sixteen parallel requests', async () => {
    const { web } = acme.clients;
    const authorized = await authorize(createUserAgent(server.origin), { tenant: acme, client: web });
    const answers = await Promise.all(Array.from({ length: 16 }, () => exchangeCode(acme, web, authorized)));
    expect(answers.filter((answer) => answer.status === 200)).toHaveLength(1);
    for (const loser of answers.filter((answer) => answer.status !== 200)) {
      expect(loser).toMatchObject({ status: 400, json: { error: 'invalid_grant' } });
    }
  });

  it('is the only way for a person: there is no grant that takes a password', async () => {
    const token = await callEndpoint(acme.issuer, '/token', {
      client: acme.clients.web,
      form: { grant_type: 'password' },
    });
    expect(token.json['error']).toBe('unsupported_grant_type');
  });
});
