/** POST /api/v1/permissions/check: who may ask about whom, and that the answer tells nothing else. */

import { createRole } from '#src/flows/access/manage_roles.ts';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { addMember } from '#src/flows/people/manage_people.ts';
import { type ApiCallAnswer, callApi, personToken } from '#test/support/api_calls.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { callEndpoint } from '#test/support/user_agent.ts';
import { createTestTenant, type NewPerson, type TestClient, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let reader: NewPerson;
let nobody: NewPerson;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  const role = { name: 'reader', permissions: ['readings:read', 'roles:read'] };
  expect(await createRole(server.context, { tenantId: acme.id, role })).toMatchObject({ outcome: 'created' });
  reader = await newMember('reader@people.test', ['reader']);
  nobody = await newMember('nobody@people.test', ['user']);
});

afterAll(() => server.close());

async function newMember(email: string, roles: readonly string[]): Promise<NewPerson> {
  const password = `correct horse ${email}`;
  const added = await addMember(server.context, { tenantId: acme.id, email, password, roles, verified: true });
  if (added.outcome === 'refused') throw new Error(added.reason);
  return { id: added.userId, email, password };
}

async function newMachine(scopes: readonly string[]): Promise<TestClient> {
  const client = { name: 'machine', type: 'machine' as const, scopes };
  const created = await createClient(server.context, { tenantId: acme.id, client });
  if (created.outcome !== 'created') throw new Error(JSON.stringify(created));
  return { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
}

async function machineToken(client: TestClient, scope: string): Promise<string> {
  const form = { grant_type: 'client_credentials', scope };
  return String((await callEndpoint(acme.issuer, '/token', { client, form })).json['access_token']);
}

async function keyOf(person: NewPerson, scopes: readonly string[]): Promise<string> {
  const token = await personToken(server, acme, { person });
  const made = await callApi(acme.issuer, '/api-keys', { method: 'POST', token, body: { name: 'key', scopes } });
  return String(made.json['key']);
}

const ask = (
  by: { token?: string; key?: string },
  subject: string,
  permission = 'readings:read',
  tenant = acme,
): Promise<ApiCallAnswer> => {
  const [resource, action] = permission.split(':');
  return callApi(tenant.issuer, '/permissions/check', { method: 'POST', ...by, body: { subject, resource, action } });
};

describe('whether somebody may do something', () => {
  it('is asked by themselves with any token of theirs', async () => {
    const token = await personToken(server, acme, { person: nobody });
    expect((await ask({ token }, nobody.id)).json).toEqual({ allowed: false });
    const own = await personToken(server, acme, { person: reader });
    expect((await ask({ token: own }, reader.id)).json).toEqual({ allowed: true });
    expect((await ask({ token: own }, reader.id, 'readings:write')).json).toEqual({ allowed: false });
  });

  it('is asked about others by whoever may read roles, by an application with the scope, and by a key with it', async () => {
    const askers = [
      { token: await personToken(server, acme, { person: reader }) },
      { token: await machineToken(await newMachine(['permissions:check']), 'permissions:check') },
      { key: await keyOf(reader, ['permissions:check']) },
    ];
    for (const by of askers) {
      expect((await ask(by, reader.id)).json).toEqual({ allowed: true });
      expect((await ask(by, nobody.id)).json).toEqual({ allowed: false });
    }
  });

  it('is not asked about others by anybody else', async () => {
    const refusals = [
      [{ token: await personToken(server, acme, { person: nobody }) }, 403, 'insufficient_permission'],
      [
        { token: await machineToken(await newMachine(['api_keys:manage']), 'api_keys:manage') },
        403,
        'insufficient_scope',
      ],
      [{ key: await keyOf(reader, ['readings:read']) }, 403, 'insufficient_scope'],
      [{ token: await personToken(server, globex) }, 401, 'invalid_token'],
      [{ key: 'pk_nothing' }, 401, 'invalid_api_key'],
      [{}, 401, 'unauthorized'],
    ] as const;
    for (const [by, status, code] of refusals) {
      const answer = await ask(by, reader.id);
      expect({ status: answer.status, code: answer.json['code'] }).toEqual({ status, code });
    }
  });

  it('has the same answer for who is no member, for another tenant’s, and for what is nobody', async () => {
    const by = { key: await keyOf(reader, ['permissions:check']) };
    for (const subject of [globex.person.id, crypto.randomUUID(), 'nobody', "' or true --"])
      expect(await ask(by, subject)).toMatchObject({ status: 200, json: { allowed: false } });
    for (const permission of ['readings:*', '*:*', 'READINGS:READ', 'a b:c'])
      expect((await ask(by, reader.id, permission)).json).toEqual({ allowed: false });
  });
});
