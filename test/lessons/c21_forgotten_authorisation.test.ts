/**
 * Row C21, one endpoint that forgot to ask (CVE-2025-14777, CVE-2026-3911 and many more): whatever has an identifier is asked for by the
 * administrator of another tenant, at every address there is, and answers exactly as what never was.
 */
import { uuidv7 } from '#src/foundation/identifiers.ts';
import { callApi, personToken } from '#test/support/api_calls.ts';
import { addressOf, managementRoutes } from '#test/support/every_route.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let token: string;
let theirs: string;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  token = await personToken(server, acme);
  theirs = await personToken(server, globex);
  const body = { email: 'somebody@people.test', roles: ['user'] };
  await callApi(globex.issuer, '/admin/invitations', { token: theirs, method: 'POST', body });
  await callApi(globex.issuer, '/api-keys', { token: theirs, method: 'POST', body: { name: 'key' } });
  const role = { name: 'keeper', permissions: ['doors:open'] };
  await callApi(globex.issuer, '/admin/roles', { token: theirs, method: 'POST', body: role });
});

afterAll(() => server.close());

/** What the administrator of a tenant sees there, by noun. */
async function identifiersOf(tenant: TestTenant, by: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map<string, readonly string[]>();
  for (const { method, path } of managementRoutes(server)) {
    if (method !== 'GET' || path.includes('{') || path.endsWith('/export')) continue;
    const { json } = await callApi(tenant.issuer, path.replace('/api/v1', ''), { token: by });
    const items = Array.isArray(json['data']) ? (json['data'] as readonly Record<string, unknown>[]) : [];
    const ids = items.map(({ id, client_id, kid, name }) => String(id ?? client_id ?? kid ?? name));
    found.set(nounOf(path), ids);
  }
  return found;
}

const nounOf = (path: string): string => path.split('/')[4] ?? '';

async function answerTo(method: string, address: string) {
  const body = method === 'GET' || method === 'DELETE' ? {} : { body: {} };
  const answer = await callApi(acme.issuer, address.replace('/api/v1', ''), {
    token,
    method: method as 'GET',
    ...body,
  });
  const { instance: _instance, request_id: _requestId, ...json } = answer.json;
  return { status: answer.status, json };
}

it('C21: another tenant’s identifier answers like one that never was, at every address', async () => {
  const [there, here] = [await identifiersOf(globex, theirs), await identifiersOf(acme, token)];
  const asked = new Set<string>();
  for (const route of managementRoutes(server)) {
    if (!route.path.includes('{')) continue;
    const own = new Set(here.get(nounOf(route.path)));
    const foreign = (there.get(nounOf(route.path)) ?? []).filter((id) => !own.has(id)).slice(0, 2);
    for (const id of foreign) {
      const places = { id, name: id, client_id: globex.clients.web.clientId };
      const nothing = { id: uuidv7(new Date()), name: 'no:such', client_id: 'none' };
      const name = `${route.method} ${route.path}`;
      const answer = await answerTo(route.method, addressOf(route, places));
      expect({ name, ...answer }).toEqual({ name, ...(await answerTo(route.method, addressOf(route, nothing))) });
      expect({ name, status: answer.status }).not.toEqual({ name, status: 200 });
      asked.add(nounOf(route.path));
    }
  }
  for (const noun of ['users', 'roles', 'clients', 'invitations', 'sessions', 'api-keys', 'keys'])
    expect([...asked]).toContain(noun);
});
