/** What changes about somebody's roles is true at their next token, and at once wherever their token is asked about. */
import { assignRole, unassignRole } from '#src/flows/access/assign_roles.ts';
import { createApiKey } from '#src/flows/access/manage_api_keys.ts';
import { createRole } from '#src/flows/access/manage_roles.ts';
import { updateClient } from '#src/flows/clients/manage_clients.ts';
import { listRoles } from '#src/storage/tables/roles.ts';
import { connectGrpc, type GrpcClient } from '#test/support/grpc_client.ts';
import { defaultPeopleSettings } from '#test/support/people_settings.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { freePort, startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorize,
  callEndpoint,
  createUserAgent,
  exchangeCode,
  introspect,
  refresh,
} from '#test/support/user_agent.ts';
import { createTestTenant, type NewPerson, newPerson, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let grpc: GrpcClient;
let key: string;
let reader: string;
let writer: string;

beforeAll(async () => {
  const port = await freePort();
  server = await startTestServer({ environment: { POORT_GRPC_PORT: String(port) } });
  acme = await createTestTenant(server, 'acme');
  grpc = connectGrpc(server.server.grpcAddress ?? '');
  reader = await makeRole('reader', ['readings:read', 'invoices:read']);
  writer = await makeRole('writer', ['readings:write'], 'reader');
  const settings = defaultPeopleSettings;
  const scopes = ['introspect'];
  const wanted = { tenantId: acme.id, userId: undefined, settings, name: 'api', scopes, expiresAt: undefined };
  const made = await createApiKey(server.context, wanted);
  key = made.outcome === 'created' ? made.key : '';
});

afterAll(async () => {
  grpc.close();
  await server.close();
});

async function makeRole(name: string, permissions: readonly string[], inherits?: string): Promise<string> {
  const created = await createRole(server.context, { tenantId: acme.id, role: { name, permissions, inherits } });
  expect(created).toMatchObject({ outcome: 'created' });
  const tenant = server.context.database.tenant(acme.id);
  const roles = await tenant.transaction((transaction) => listRoles(transaction, acme.id));
  return roles.find((role) => role.name === name)?.id ?? '';
}

const give = (person: NewPerson, roleId: string, expiresAt?: Date) =>
  assignRole(server.context, { tenantId: acme.id, userId: person.id, roleId, expiresAt, by: 'operator' });
const take = (person: NewPerson, roleId: string) =>
  unassignRole(server.context, { tenantId: acme.id, userId: person.id, roleId, by: 'operator' });

async function tokensFor(person: NewPerson, resource: string) {
  const { web } = acme.clients;
  const extra = { resource, scope: 'openid offline_access readings:read readings:write', prompt: 'consent' };
  const authorized = await authorize(createUserAgent(server.origin), { tenant: acme, client: web, person, extra });
  const { json } = await exchangeCode(acme, web, authorized);
  return { accessToken: String(json['access_token']), refreshToken: String(json['refresh_token']) };
}

/** What is said of a token by REST and by gRPC. */
async function saidOf(accessToken: string) {
  const { json } = await introspect(acme, acme.clients.resource_server, accessToken);
  const { response } = await grpc.call('VerifyToken', { token: accessToken }, { key });
  const rest = { active: json['active'], roles: json['roles'], permissions: json['permissions'] };
  expect({ active: response['active'], roles: response['roles'], permissions: response['permissions'] }).toEqual(rest);
  return rest;
}

const claimsOf = (jwt: string): Readonly<Record<string, unknown>> =>
  JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString('utf8'));

describe.each(['jwt', 'opaque'] as const)('a token that is %s', (format) => {
  const api = () => (format === 'jwt' ? acme.jwtApi : acme.opaqueApi);

  it('is told of with the roles of now, of its API alone, whatever it was issued with', async () => {
    const bob = await newPerson(server, acme);
    await give(bob, writer);
    const { accessToken } = await tokensFor(bob, api());
    const both = { active: true, roles: ['reader', 'writer'], permissions: ['readings:read', 'readings:write'] };
    expect(await saidOf(accessToken)).toEqual(both);
    await take(bob, writer);
    expect(await saidOf(accessToken)).toEqual({ active: true, roles: [], permissions: [] });
    await give(bob, reader);
    expect(await saidOf(accessToken)).toEqual({ active: true, roles: ['reader'], permissions: ['readings:read'] });
  });

  it('is told of without a role from the moment on at which it ends', async () => {
    const bob = await newPerson(server, acme);
    await give(bob, writer, new Date(server.context.clock().getTime() + 3_600_000));
    const { accessToken } = await tokensFor(bob, api());
    expect(await saidOf(accessToken)).toMatchObject({ roles: ['reader', 'writer'] });
    const ended = `update membership_roles set expires_at = now() - interval '1 second' where user_id = $1`;
    await queryAsSuperuser(server.database, ended, [bob.id]);
    expect(await saidOf(accessToken)).toEqual({ active: true, roles: [], permissions: [] });
  });

  it('that is exchanged gains nothing', async () => {
    const bob = await newPerson(server, acme);
    await give(bob, reader);
    const { accessToken } = await tokensFor(bob, api());
    const { clientId } = acme.clients.web;
    const target = format === 'jwt' ? acme.opaqueApi : acme.jwtApi;
    const settings = { token_exchange_audiences: [acme.jwtApi, acme.opaqueApi] };
    const exchanged = () =>
      callEndpoint(acme.issuer, '/token', {
        client: acme.clients.web,
        form: {
          grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
          subject_token: accessToken,
          subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
          resource: target,
        },
      });
    await updateClient(server.context, { tenantId: acme.id, clientId, changes: { settings } });
    let answer = await exchanged();
    // The server hears of the client's change a moment later.
    while (answer.status !== 200) answer = await exchanged();
    const passedOn = String(answer.json['access_token']);
    expect(await saidOf(passedOn)).toMatchObject({ roles: ['reader'] });
    await give(bob, writer);
    expect(await saidOf(passedOn)).toEqual({ active: true, roles: ['reader'], permissions: ['readings:read'] });
    await take(bob, writer);
    await take(bob, reader);
    expect(await saidOf(passedOn)).toEqual({ active: true, roles: [], permissions: [] });
  });
});

describe('the next token', () => {
  it('has the roles of then', async () => {
    const bob = await newPerson(server, acme);
    await give(bob, writer);
    const first = await tokensFor(bob, acme.jwtApi);
    expect(claimsOf(first.accessToken)).toMatchObject({ roles: ['reader', 'writer'] });
    await take(bob, writer);
    await give(bob, reader);
    const { json } = await refresh(acme, acme.clients.web, first.refreshToken);
    const claims = { roles: ['reader'], permissions: ['readings:read'] };
    expect(claimsOf(String(json['access_token']))).toMatchObject(claims);
  });
});
