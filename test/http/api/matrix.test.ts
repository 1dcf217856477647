/**
 * Role by route by tenant, made from the router: who may not is refused before anything of the call is looked at, whoever may is not, and
 * nobody of another tenant is anybody. A route that is added is in it by being there.
 */
import { callApi, personToken } from '#test/support/api_calls.ts';
import { apiRoutesOf } from '#test/support/api_routes.ts';
import { addressOf, type MemberWithRole, managementRoutes, membersOfEveryRole } from '#test/support/every_route.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let members: readonly MemberWithRole[];
let foreign: string;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  members = await membersOfEveryRole(server, acme);
  foreign = await personToken(server, globex);
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

const nothing = 'this body has no field of any route';
const call = async (method: string, address: string, options: { token?: string; key?: string }) => {
  const body = method === 'GET' || method === 'DELETE' ? {} : { body: { [nothing]: 1 } };
  return callApi(acme.issuer, address.replace('/api/v1', ''), { method: method as 'GET', ...options, ...body });
};

describe('the management API', () => {
  it('is there', () => {
    expect(managementRoutes(server).length).toBeGreaterThan(30);
  });

  it('lets each role through exactly where its permissions say', async () => {
    const wrong: object[] = [];
    for (const route of managementRoutes(server))
      for (const { role, token, permissions } of members) {
        const { status, json } = await call(route.method, addressOf(route), { token });
        const may = permissions.has(route.permission);
        const isRefused = status === 403 && json['code'] === 'insufficient_permission';
        if (may === isRefused || (may && (status === 401 || status >= 500)))
          wrong.push({ route: `${route.method} ${route.path}`, role, may, status, code: json['code'] });
      }
    expect(wrong).toEqual([]);
  });

  it('is nothing for whoever shows nothing, and for everybody of another tenant', async () => {
    for (const route of apiRoutesOf(server)) {
      // Those that people call before they are anybody have attacks of their own: rest_sign_in.test.ts, rest_cookies.test.ts.
      if (route.chain.chain === 'public' || route.chain.chain === 'firstParty') continue;
      const name = `${route.method} ${route.path}`;
      expect({ name, ...(await seen(route, {})) }).toEqual({ name, status: 401, code: 'unauthorized' });
      const byForeigner = await seen(route, { token: foreign });
      if (route.chain.chain !== 'serviceKey') expect({ name, ...byForeigner }).toMatchObject({ name, status: 401 });
      else expect({ name, ...byForeigner }).toEqual({ name, status: 401, code: 'unauthorized' });
    }
  });

  async function seen(route: Parameters<typeof addressOf>[0], options: { token?: string }) {
    const { status, json } = await call(route.method, addressOf(route), options);
    return { status, code: json['code'] };
  }
});
