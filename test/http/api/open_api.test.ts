/** The description of the API against the API: what is served is described, what is described is served, and it is OpenAPI 3.1. */
import { validate } from '@readme/openapi-parser';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { type Chain, describeChain } from '#src/http/api/chains.ts';
import { callApi, personToken } from '#test/support/api_calls.ts';
import { apiRoutesOf, platformRoutesOf } from '#test/support/api_routes.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
});

afterAll(() => server.close());

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly security: readonly Record<string, readonly string[]>[];
  readonly responses: Readonly<Record<string, { readonly content?: Record<string, { readonly schema: object }> }>>;
}

interface Description {
  readonly openapi: string;
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

async function describedAt(base: string): Promise<Description> {
  return (await (await fetch(`${base}/api/v1/openapi.json`)).json()) as Description;
}

function operationsOf({ paths }: Description) {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, operation]) =>
      method === 'servers' ? [] : [{ name: `${method.toUpperCase()} ${path}`, operation }],
    ),
  );
}

/** Nothing has to be shown, and nothing that is shown is looked at. */
function takesAnybody(chain: Chain): boolean {
  return chain.chain === 'public' || (chain.chain === 'firstParty' && chain.token === undefined);
}

describe('the description of the API', () => {
  it('names every route that the router has, and no other', async () => {
    const served = apiRoutesOf(server);
    expect(served.length).toBeGreaterThan(15);
    for (const [base, routes] of [
      [acme.issuer, served],
      [server.origin, [...served, ...platformRoutesOf(server)]],
    ] as const)
      expect(
        operationsOf(await describedAt(base))
          .map(({ name }) => name)
          .sort(),
      ).toEqual(routes.map(({ method, path }) => `${method} ${path}`).sort());
  });

  it('is OpenAPI 3.1, of this tenant and of any', async () => {
    for (const base of [acme.issuer, server.origin]) {
      const described = await describedAt(base);
      expect(described.openapi).toBe('3.1.0');
      expect(await validate(structuredClone(described) as never)).toMatchObject({ valid: true });
    }
    expect((await describedAt(acme.issuer)).servers).toEqual([{ url: acme.issuer }]);
    expect((await describedAt(server.origin)).paths['/api/v1/tenants']?.['servers']).toEqual([{ url: server.origin }]);
  });

  it('tells of each route who may call it, and what it answers', async () => {
    const operations = new Map(
      operationsOf(await describedAt(acme.issuer)).map(({ name, operation }) => [name, operation]),
    );
    for (const { method, path, chain, summary, answers, streams, statuses } of apiRoutesOf(server)) {
      const name = `${method} ${path}`;
      const operation = operations.get(name);
      expect({ name, summary: operation?.summary }).toEqual({ name, summary });
      const isOpen = operation?.security.length === 0;
      expect({ name, chain: describeChain(chain), isOpen }).toMatchObject({ isOpen: takesAnybody(chain) });
      if (chain.chain === 'permitted')
        expect(operation?.security).toContainEqual({ oauth2: [`admin:${chain.permission}`] });
      // A body that no schema holds would go out as it is.
      const hasBody = statuses.some((status) => status !== 204);
      expect({ name, hasBody }).toEqual({ name, hasBody: answers !== undefined || streams.length > 0 });
    }
    const ids = [...operations.values()].map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('is what is answered, by an independent reading of JSON Schema', async () => {
    const token = await personToken(server, acme);
    const described = await describedAt(acme.issuer);
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    ajv.addSchema(described, 'description');
    for (const path of ['/api-keys', '/user/devices', '/admin/devices']) {
      const { status, json } = await callApi(acme.issuer, path, { token });
      expect({ path, status }).toEqual({ path, status: 200 });
      const place = `description#/paths/${`/api/v1${path}`.replaceAll('/', '~1')}/get/responses/200/content/application~1json/schema`;
      const isValid = ajv.validate({ $ref: place }, json);
      expect({ path, isValid, errors: ajv.errors }).toEqual({ path, isValid: true, errors: null });
    }
    const missing = await callApi(acme.issuer, '/user/devices/x', { token });
    const problem = { $ref: 'description#/components/schemas/ProblemOutput' };
    const known = 'ProblemOutput' in (described as never as { components: { schemas: object } }).components.schemas;
    const schema = known ? problem : { $ref: 'description#/components/schemas/Problem' };
    expect(ajv.validate(schema, missing.json)).toBe(true);
  });
});
