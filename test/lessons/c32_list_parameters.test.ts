/**
 * Row C32, injection through pagination, sorting and filters (GHSA-r9w3-57w2-gch2): every parameter of every list, with what has opened
 * databases elsewhere. A cursor is one of ours or refused; a column is a word of a list; text is only ever compared.
 */
import { callApi, personToken } from '#test/support/api_calls.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let token: string;

beforeAll(async () => {
  const generous = { 'rest.requests_per_minute': 1_000_000 } as const;
  server = await startTestServer({ change: (config) => ({ ...config, people: { ...config.people, ...generous } }) });
  acme = await createTestTenant(server, 'acme');
  token = await personToken(server, acme);
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

const corpus = [
  "'",
  "' or '1'='1",
  "'; drop table users; --",
  "' union select password_hash from users --",
  '1; select pg_sleep(5)',
  '(select case when (1=1) then 1 else 1/0 end)',
  'created_at desc, (select 1)',
  '-created_at; --',
  '%',
  '_',
  '\\',
  '%25%27',
  '{"$ne":null}',
  '$1',
  '::text',
  '/**/',
  '\u0000',
  '9'.repeat(400),
  '-1',
  '1e9',
  'null',
  '🙂',
];

interface Description {
  readonly paths: Readonly<
    Record<
      string,
      { readonly get?: { readonly parameters?: readonly { readonly in: string; readonly name: string }[] } }
    >
  >;
}

it('C32: no parameter of any list is more than a value', async () => {
  const described = (await (await fetch(`${acme.issuer}/api/v1/openapi.json`)).json()) as Description;
  const lists = Object.entries(described.paths).flatMap(([path, { get }]) => {
    const names = (get?.parameters ?? []).flatMap(({ in: where, name }) => (where === 'query' ? [name] : []));
    return names.includes('cursor') && !path.includes('{') ? [{ path: path.replace('/api/v1', ''), names }] : [];
  });
  expect(lists.length).toBeGreaterThan(8);
  for (const { path, names } of lists) {
    const whole = await callApi(acme.issuer, path, { token });
    expect({ path, status: whole.status }).toEqual({ path, status: 200 });
    const all = (whole.json['data'] as readonly unknown[]).length;
    for (const name of names)
      for (const value of corpus) {
        const search = `${new URLSearchParams({ [name]: value })}`;
        const { status, json } = await callApi(acme.issuer, `${path}?${search}`, { token });
        const asked = { path, name, value };
        expect({ ...asked, status: status === 200 ? 200 : 400 }).toEqual({ ...asked, status });
        // A cursor that was made up, and an order that is none, are nothing at all.
        if (name === 'cursor' || name === 'sort' || name === 'limit')
          expect({ ...asked, status }).toEqual({ ...asked, status: 400 });
        // Nothing is found by what is no value of anything.
        else if (status === 200 && value.includes("'"))
          expect({ ...asked, found: (json['data'] as readonly unknown[]).length }).toEqual({ ...asked, found: 0 });
        if (status === 200) expect((json['data'] as readonly unknown[]).length).toBeLessThanOrEqual(all);
      }
  }
});
