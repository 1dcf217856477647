/** `poort api-key …` beside a running server. */
import { rm } from 'node:fs/promises';
import { callApi } from '#test/support/api_calls.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, newPerson, type TestTenant } from '#test/support/world.ts';
import { besideServer, callPoort, type Installation } from './poort_process.ts';

let server: TestServer;
let acme: TestTenant;
let installation: Installation;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  installation = await besideServer(server);
});

afterAll(async () => {
  await rm(installation.dataDirectory, { recursive: true, force: true });
  await server.close();
});

async function poort(...commandLine: string[]) {
  const { code, output } = await callPoort(installation, ['api-key', ...commandLine, '--tenant', 'acme', '--json']);
  return { code, json: JSON.parse(output) as Readonly<Record<string, unknown>> };
}

const statusOf = (key: unknown) => callApi(acme.issuer, '/service/status', { key: String(key) });

describe('poort api-key', () => {
  it('makes a key of the tenant’s own, shows it once, and revokes it while servers run', async () => {
    const { code, json } = await poort('create', '--name', 'gateway', '--scope', 'introspect');
    expect({ code, json }).toMatchObject({
      code: 0,
      json: { name: 'gateway', status: 'active', scopes: ['introspect'], user_id: null, tenant: 'acme', uses: 0 },
    });
    expect((await statusOf(json['key'])).json).toMatchObject({ status: 'ok', key: { scopes: ['introspect'] } });
    await server.server.apiKeys.flush();
    const listed = await poort('list');
    expect(listed.json).toMatchObject({ api_keys: [{ id: json['id'], status: 'active', uses: 1 }] });
    expect(JSON.stringify(listed)).not.toContain(String(json['key']));
    const id = String(json['id']);
    expect(await poort('revoke', id)).toMatchObject({ code: 0, json: { id, revoked: true } });
    while ((await statusOf(json['key'])).status !== 401);
    expect(await poort('revoke', id)).toMatchObject({ code: 1, json: { error: { code: 'unknown_api_key' } } });
    expect((await poort('list')).json).toMatchObject({ api_keys: [{ id, status: 'revoked' }] });
  });

  it('makes a key of somebody’s within what they may do, and for no longer than the tenant allows', async () => {
    const person = await newPerson(server, acme);
    const of = ['create', '--name', 'x', '--user', person.email];
    expect(await poort(...of)).toMatchObject({ code: 0, json: { user_id: person.id } });
    const refusals = [
      [[...of, '--scope', 'users:write'], 1, 'beyond_your_own'],
      [[...of, '--scope', 'everything'], 1, 'unknown'],
      [[...of, '--expires', '2020-01-01T00:00:00Z'], 1, 'past'],
      [[...of, '--expires', '2099-01-01T00:00:00Z'], 1, 'too_late'],
      [[...of, '--expires', 'tomorrow'], 2, 'wrong_usage'],
      [['create', '--name', 'x', '--user', 'nobody@people.test'], 1, 'unknown_user'],
    ] as const;
    for (const [commandLine, code, error] of refusals)
      expect(await poort(...commandLine)).toMatchObject({ code, json: { error: { code: error } } });
  });
});
