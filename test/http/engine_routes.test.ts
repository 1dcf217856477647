/** The table of endpoints and the engine behind it must agree: an address that is announced is served, in one spelling. */
import { findEngineRoute } from '#src/http/engine_routes.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

describe('an endpoint', () => {
  let server: TestServer;
  let acme: TestTenant;
  let announced: readonly string[];

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    const answer = await fetch(`${acme.issuer}/.well-known/openid-configuration`);
    const metadata = (await answer.json()) as Readonly<Record<string, unknown>>; // a JSON object (OIDC Discovery §4.2)
    announced = Object.entries(metadata)
      .filter(([name]) => /_endpoint$|^jwks_uri$/.test(name))
      .map(([, address]) => String(address));
  });

  afterAll(() => server.close());

  it('that the metadata names is below the issuer, in the table, and served by the engine', async () => {
    expect(announced.length).toBeGreaterThanOrEqual(8);
    for (const address of announced) {
      expect(address.startsWith(`${acme.issuer}/`)).toBe(true);
      const path = address.slice(acme.issuer.length);
      const taken = methods.filter((method) => findEngineRoute(method, path)?.outcome === 'served');
      expect({ path, taken: taken.length > 0 }).toEqual({ path, taken: true });
      for (const method of taken) {
        const { status } = await fetch(address, { method, redirect: 'manual' });
        // Refused for what it lacks, but never unknown to the engine. A bare OPTIONS asks nothing, and is told so.
        if (method !== 'OPTIONS')
          expect({ path, method, known: status !== 404 }).toEqual({ path, method, known: true });
      }
    }
  });

  it('names in Allow exactly the methods it takes', async () => {
    for (const address of announced) {
      const path = address.slice(acme.issuer.length);
      for (const method of methods) {
        const route = findEngineRoute(method, path);
        if (route?.outcome !== 'wrong_method') continue;
        const answer = await fetch(address, { method, redirect: 'manual' });
        expect({ path, method, status: answer.status }).toEqual({ path, method, status: 405 });
        const allow = answer.headers.get('allow')?.split(', ') ?? [];
        expect(allow).toEqual(methods.filter((candidate) => findEngineRoute(candidate, path)?.outcome === 'served'));
      }
    }
  });

  it.each([
    '',
    '/',
    '/token/',
    '/TOKEN',
    '/Token',
    '/token;x',
    '/authorize/',
    '/authorize/a/b',
    '/authorize/a.b',
    '/logout/other',
    '/.well-known',
    '/.well-known/',
    '/.well-known/webfinger',
    '/request',
    '/reg',
    '/session/end',
    '/me',
    '/backchannel',
    '/device/auth',
  ])('is not at %p', (path) => {
    for (const method of methods) expect(findEngineRoute(method, path)).toBeUndefined();
  });
});
