/** The program of docs/integration/resource-servers.md, as it is printed, at a running Poort. */

import { createRole } from '#src/flows/access/manage_roles.ts';
import { addMember } from '#src/flows/people/manage_people.ts';
import { callApi, personToken } from '#test/support/api_calls.ts';
import { type DocumentedProgram, runDocumentedProgram } from '#test/support/documented_program.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, callEndpoint, createUserAgent, exchangeCode } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

describe('the program of the page about resource servers', () => {
  let server: TestServer;
  let acme: TestTenant;
  let program: DocumentedProgram;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    const { clientId, clientSecret } = acme.clients.resource_server;
    program = await runDocumentedProgram('docs/integration/resource-servers.md', async () => ({
      ISSUER: acme.issuer,
      AUDIENCE: acme.jwtApi,
      CLIENT_ID: clientId,
      CLIENT_SECRET: clientSecret,
    }));
  });

  afterAll(async () => {
    await program.close();
    await server.close();
  });

  const call = async (path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET') => {
    const response = await fetch(program.origin + path, { method, headers });
    const text = await response.text();
    const challenge = response.headers.get('www-authenticate') ?? '';
    return { status: response.status, challenge, json: text.startsWith('{') ? JSON.parse(text) : undefined };
  };

  const tokenOf = async (person: { readonly email: string; readonly password: string }): Promise<string> => {
    const { web } = acme.clients;
    const extra = { scope: 'openid readings:read', resource: acme.jwtApi };
    const authorized = await authorize(createUserAgent(server.origin), { tenant: acme, client: web, extra, person });
    return String((await exchangeCode(acme, web, authorized)).json['access_token']);
  };

  it('serves everybody, whoever has a token, and whoever may delete', async () => {
    const role = { name: 'gardener', permissions: ['readings:write'] };
    expect(await createRole(server.context, { tenantId: acme.id, role })).toMatchObject({ outcome: 'created' });
    const gardener = { email: 'bo@acme.test', password: 'correct horse bo@acme.test' };
    await addMember(server.context, { tenantId: acme.id, ...gardener, roles: ['gardener'], verified: true });
    const [ada, bo] = [await tokenOf(acme.person), await tokenOf(gardener)];
    const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

    expect((await call('/hello')).json).toEqual({ hello: 'stranger' });
    expect((await call('/hello', bearer(ada))).json).toEqual({ hello: acme.person.id });
    expect((await call('/hello', bearer('x'))).status).toBe(401);
    expect(await call('/readings', bearer(ada))).toMatchObject({
      status: 200,
      json: { subject: acme.person.id, tenant: 'acme', roles: expect.arrayContaining(['admin']) },
    });
    const nobody = await call('/readings');
    expect(nobody.status).toBe(401);
    const [, metadata = ''] = /resource_metadata="([^"]+)"/.exec(nobody.challenge) ?? [];
    const served = await call(new URL(metadata).pathname);
    expect(served).toMatchObject({ status: 200, json: { authorization_servers: [acme.issuer] } });

    expect((await call('/readings', bearer(bo), 'DELETE')).status).toBe(204);
    const form = { grant_type: 'client_credentials', resource: acme.jwtApi };
    const { json } = await callEndpoint(acme.issuer, '/token', { client: acme.clients.machine, form });
    expect((await call('/readings', bearer(String(json['access_token'])), 'DELETE')).status).toBe(403);
    expect(program.output()).toContain('"decision":"refused"');
    expect(program.output()).not.toContain(ada);
  });

  it('takes a robot’s key where that is enough', async () => {
    const body = { name: 'robot', scopes: ['users:read'] };
    const token = await personToken(server, acme);
    const { json } = await callApi(acme.issuer, '/api-keys', { method: 'POST', token, body });
    expect(await call('/export', { 'x-api-key': String(json['key']) })).toMatchObject({
      status: 200,
      json: { for: 'api_key' },
    });
    expect((await call('/export', { 'x-api-key': 'pk_made-up' })).status).toBe(401);
    expect((await call('/export')).status).toBe(401);
  });
});
