/** examples/resource-server against the real product, in the steps of its README. */
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { callEndpoint } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';
import { startResourceServer } from '../../examples/resource-server/resource_server.ts';

describe('the example API at a running server', () => {
  let server: TestServer;
  let acme: TestTenant;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
  });

  afterAll(() => server?.close());

  async function withApi(
    audience: string,
    use: (call: (path: string) => Promise<Response>, token: string) => Promise<void>,
  ) {
    const { clientId, clientSecret } = acme.clients.resource_server;
    const api = await startResourceServer({ issuer: acme.issuer, audience, clientId, clientSecret, port: 0 });
    const form = { grant_type: 'client_credentials', resource: audience };
    const { json } = await callEndpoint(acme.issuer, '/token', { client: acme.clients.machine, form });
    const token = String(json['access_token']);
    await use((path) => fetch(api.origin + path, { headers: { Authorization: `Bearer ${token}` } }), token);
    await api.close();
  }

  it('checks a signed token by itself', async () => {
    await withApi(acme.jwtApi, async (call) => {
      const answer = await call('/local');
      expect(answer.status).toBe(200);
      expect(await answer.json()).toMatchObject({
        aud: acme.jwtApi,
        client_id: acme.clients.machine.clientId,
        tenant: 'acme',
      });
      expect((await call('/admins-only')).status).toBe(403);
    });
  });

  it('asks about a signed token too, and refuses it at once when it was revoked, which its signature does not show', async () => {
    await withApi(acme.jwtApi, async (call, token) => {
      expect((await call('/live')).status).toBe(200);
      await callEndpoint(acme.issuer, '/revoke', { client: acme.clients.machine, form: { token } });
      expect((await call('/live')).status).toBe(401);
      expect((await call('/local')).status).toBe(200);
    });
  });

  it('asks about an opaque token, and refuses it at once when it was revoked', async () => {
    await withApi(acme.opaqueApi, async (call, token) => {
      expect((await call('/live')).status).toBe(200);
      expect((await call('/local')).status).toBe(401);
      await callEndpoint(acme.issuer, '/revoke', { client: acme.clients.machine, form: { token } });
      expect((await call('/live')).status).toBe(401);
    });
  });

  it('takes no token for another API of the same tenant', async () => {
    const form = { grant_type: 'client_credentials', resource: acme.opaqueApi };
    const { json } = await callEndpoint(acme.issuer, '/token', { client: acme.clients.machine, form });
    const { clientId, clientSecret } = acme.clients.resource_server;
    const api = await startResourceServer({
      issuer: acme.issuer,
      audience: acme.jwtApi,
      clientId,
      clientSecret,
      port: 0,
    });
    const { status } = await fetch(`${api.origin}/live`, {
      headers: { Authorization: `Bearer ${json['access_token']}` },
    });
    expect(status).toBe(401);
    await api.close();
  });
});
