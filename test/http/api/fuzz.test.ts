/**
 * Twenty thousand requests that nobody in their senses sends, over every route of the API, by callers of every kind: no answer of 500 or
 * more, nothing that was rejected and caught by nobody, and a server that still serves.
 */
import { jest } from '@jest/globals';
import { createApiKey } from '#src/flows/access/manage_api_keys.ts';
import type { ApiRoute } from '#src/http/api/routes.ts';
import { personToken } from '#test/support/api_calls.ts';
import { apiRoutesOf } from '#test/support/api_routes.ts';
import {
  bodyFor,
  createSender,
  type Draw,
  drawFrom,
  pick,
  placeFor,
  type RawRequest,
  type Schema,
  searchFor,
} from '#test/support/fuzzing.ts';
import { defaultPeopleSettings } from '#test/support/people_settings.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const requests = 20_000;
const atOnce = 24;
// Another one each day is found by chance; this one can be found again.
const seed = Number(process.env['POORT_TEST_SEED'] ?? 20_261_125);

jest.setTimeout(300_000);

let server: TestServer;
const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown): void => void unhandled.push(reason);

interface Operation {
  readonly parameters?: readonly { readonly in: string; readonly name: string }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
}

interface Description {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

beforeAll(async () => {
  process.on('unhandledRejection', onUnhandled);
  const generous = { 'rest.requests_per_minute': 1_000_000, 'api_keys.requests_per_minute': 1_000_000 } as const;
  server = await startTestServer({ change: (config) => ({ ...config, people: { ...config.people, ...generous } }) });
});

afterAll(async () => {
  process.off('unhandledRejection', onUnhandled);
  await server.close();
});

interface Place {
  readonly tenant: TestTenant;
  readonly key: string;
  token: string;
}

/** A tenant for the routes of one noun: what they do to it is done to no other's. */
async function openPlace(slug: string): Promise<Place> {
  const tenant = await createTestTenant(server, slug);
  const created = await createApiKey(server.context, {
    tenantId: tenant.id,
    userId: tenant.person.id,
    settings: defaultPeopleSettings,
    name: 'key',
    scopes: ['users:read', 'users:write', 'roles:read', 'audit:read'],
    expiresAt: undefined,
  });
  if (created.outcome !== 'created') throw new Error(created.outcome);
  return { tenant, key: created.key, token: await personToken(server, tenant) };
}

function bent(
  draw: Draw,
  route: ApiRoute,
  operation: Operation,
  place: Place,
  resolve: (reference: string) => Schema,
): RawRequest {
  const { tenant, token, key } = place;
  const known = [tenant.id, tenant.person.id, tenant.clients.web.clientId, tenant.slug];
  const path = route.path.replaceAll(/\{\w+\}/g, () => placeFor(draw, known));
  const names = (operation.parameters ?? []).flatMap(({ in: where, name }) => (where === 'query' ? [name] : []));
  const schema = operation.requestBody?.content['application/json']?.schema;
  const hasBody = route.method !== 'GET' && (schema !== undefined || draw(3) === 0);
  const by = draw(10);
  const credentials: Record<string, string> =
    by < 7
      ? { authorization: `Bearer ${token}` }
      : by === 7
        ? { 'x-api-key': key }
        : by === 8
          ? { authorization: `Bearer ${'at_'}${'x'.repeat(draw(300))}` }
          : {};
  const more: Record<string, string> = {
    ...(draw(8) === 0
      ? { 'idempotency-key': pick(draw, ['a', 'x'.repeat(300), '\u00ff', 'k'.repeat(draw(40) + 1)]) }
      : {}),
    ...(draw(8) === 0 ? { 'if-match': pick(draw, ['*', '"x"', 'W/"x"', ',,,', '"'.repeat(200)]) } : {}),
    ...(draw(20) === 0 ? { origin: pick(draw, ['null', 'https://evil.example', server.origin, 'x']) } : {}),
  };
  const type =
    draw(15) === 0
      ? pick(draw, ['text/plain', 'application/json; charset=utf-16', 'application/x-www-form-urlencoded', ''])
      : 'application/json';
  return {
    method: route.method,
    path: `/t/${tenant.slug}${path}${searchFor(draw, names)}`,
    headers: { ...credentials, ...more, ...(hasBody ? { 'content-type': type } : {}) },
    body: hasBody ? bodyFor(draw, schema, resolve) : undefined,
  };
}

it(`answers ${requests} bent requests without a fault (seed ${seed})`, async () => {
  const routes = apiRoutesOf(server);
  const nouns = [...new Set(routes.map(({ path }) => nounOf(path)))];
  const places = new Map<string, Place>();
  for (const [index, noun] of nouns.entries()) places.set(noun, await openPlace(`fuzz-${index}`));
  const described = (await (await fetch(`${server.origin}/api/v1/openapi.json`)).json()) as Description;
  const resolve = (reference: string): Schema =>
    reference
      .split('/')
      .slice(1)
      .reduce<unknown>((at, part) => (at as Record<string, unknown>)[part], described) as Schema;

  const draw = drawFrom(seed);
  const sender = createSender(server.origin);
  const counts = new Map<string, number>();
  const faults: object[] = [];
  let left = requests;
  const worker = async (): Promise<void> => {
    while (left > 0) {
      const route = routes[left % routes.length];
      left -= 1;
      const place = route && places.get(nounOf(route.path));
      const operation = route && described.paths[route.path]?.[route.method.toLowerCase()];
      if (route === undefined || place === undefined || operation === undefined)
        throw new Error('a route is not described');
      const raw = bent(draw, route, operation, place, resolve);
      const status = await sender.send(raw);
      const name = String(status);
      counts.set(name, (counts.get(name) ?? 0) + 1);
      // A body that is too large may end its connection before it is read.
      const isCut = status === undefined && (raw.body?.length ?? 0) > 65_536;
      if ((status === undefined && !isCut) || (status !== undefined && status >= 500))
        faults.push({ ...raw, body: raw.body?.toString('latin1').slice(0, 300), status });
      // What it did may have ended the session it was done in.
      if (status === 401 && raw.headers['authorization'] === `Bearer ${place.token}`)
        place.token = await personToken(server, place.tenant).catch(() => place.token);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  sender.close();

  const logged = server.log.filter(({ level }) => level !== 'warn');
  expect({ faults: faults.slice(0, 5), logged: logged.slice(0, 5) }).toEqual({ faults: [], logged: [] });
  expect(unhandled).toEqual([]);
  expect((await fetch(`${server.origin}/health/ready`)).status).toBe(200);
  // Bent, and not merely turned away at the door.
  for (const status of ['200', '400', '401', '404']) expect(counts.get(status) ?? 0).toBeGreaterThan(100);
});

function nounOf(path: string): string {
  return path.replace('/api/v1/', '').split('/').slice(0, 2).join('/');
}
