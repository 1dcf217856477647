/** Programs with nobody in front of them (RFC 6749 §4.4): what one machine may have is its own, its tenant's, and nothing more. */
import * as jose from 'jose';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { blocksOf, runDocumentedProgram } from '#test/support/documented_program.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { callEndpoint, type EndpointAnswer, introspect } from '#test/support/user_agent.ts';
import { createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

const page = 'docs/integration/machines.md';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
});

afterAll(() => server.close());

function askAs(
  client: TestClient,
  form: Readonly<Record<string, string>>,
  tenant: TestTenant = acme,
): Promise<EndpointAnswer> {
  return callEndpoint(tenant.issuer, '/token', { client, form: { grant_type: 'client_credentials', ...form } });
}

async function register(tenant: TestTenant, scopes: readonly string[], jwks?: object): Promise<TestClient> {
  const client = { name: 'Nightly run', type: 'machine', scopes, ...(jwks === undefined ? {} : { jwks }) };
  const created = await createClient(server.context, { tenantId: tenant.id, client });
  if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
  return { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
}

describe('a machine', () => {
  it('gets a token of its tenant, for its API and with its scopes, that speaks for itself and for nobody', async () => {
    const machine = await register(acme, ['readings:read']);
    const { status, json } = await askAs(machine, { resource: acme.jwtApi, scope: 'readings:read' });
    expect(status).toBe(200);
    expect(json).not.toHaveProperty('refresh_token');
    expect(json).not.toHaveProperty('id_token');
    expect(jose.decodeJwt(String(json['access_token']))).toMatchObject({
      iss: acme.issuer,
      sub: machine.clientId,
      client_id: machine.clientId,
      aud: acme.jwtApi,
      scope: 'readings:read',
      tenant: 'acme',
      tenant_id: acme.id,
    });
  });

  it('gets no scope that it was not given, no other tenant’s API and no API that is not there', async () => {
    const machine = await register(acme, ['readings:read']);
    const refused = async (form: Readonly<Record<string, string>>): Promise<unknown> => {
      const { status, json } = await askAs(machine, form);
      return { status, error: json['error'] };
    };
    expect(await refused({ resource: acme.jwtApi, scope: 'readings:write' })).toEqual({
      status: 400,
      error: 'invalid_scope',
    });
    expect(await refused({ resource: acme.jwtApi, scope: 'openid' })).toMatchObject({ status: 400 });
    expect(await refused({ resource: `${globex.jwtApi}/of/globex`, scope: 'readings:read' })).toEqual({
      status: 400,
      error: 'invalid_target',
    });
    expect(await refused({ scope: 'readings:read' })).toMatchObject({ status: 400 });
  });

  it('is unknown to every other tenant, and what it got is inactive there', async () => {
    const machine = await register(acme, ['readings:read']);
    const elsewhere = await askAs(machine, { resource: globex.jwtApi, scope: 'readings:read' }, globex);
    expect({ status: elsewhere.status, error: elsewhere.json['error'] }).toEqual({
      status: 401,
      error: 'invalid_client',
    });
    const { json } = await askAs(machine, { resource: acme.opaqueApi, scope: 'readings:read' });
    const asked = await introspect(globex, globex.clients.resource_server, String(json['access_token']));
    expect(asked.json).toEqual({ active: false });
  });

  it.each(['a secret', 'a key'])('with %s works as the page prints it', async (kind) => {
    const pair = await jose.generateKeyPair('ES256', { extractable: true });
    const publicKey = { ...(await jose.exportJWK(pair.publicKey)), kid: 'night', alg: 'ES256', use: 'sig' };
    const keyed = kind === 'a key';
    const machine = await register(acme, ['readings:read'], keyed ? { keys: [publicKey] } : undefined);
    const settings = {
      ISSUER: acme.issuer,
      CLIENT_ID: machine.clientId,
      AUDIENCE: acme.jwtApi,
      ...(keyed
        ? { CLIENT_KEY: JSON.stringify({ ...(await jose.exportJWK(pair.privateKey)), kid: 'night' }) }
        : { CLIENT_SECRET: machine.clientSecret }),
    };
    expect(blocksOf(page, 'js')).toHaveLength(1);
    const program = await runDocumentedProgram(page, async () => settings);
    const answer = (await (await fetch(program.origin)).json()) as Readonly<Record<string, unknown>>;
    await program.close();
    expect(answer).toMatchObject({ sub: machine.clientId, scope: 'readings:read' });
  });
});
