/**
 * Row C18, fields that nobody should be able to set (CVE-2026-27946, CVE-2025-61928, CVE-2025-14778): every form, with the name of every
 * column there is added to it, one at a time. What is no field of that form is refused, and nothing happens.
 */
import { callApi, personToken } from '#test/support/api_calls.ts';
import { forms } from '#test/support/forms.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createVisitor, goodPassword, newAddress, personOf, proofFor } from '#test/support/visitor.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let columns: readonly string[];

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  const rows = await queryAsSuperuser<{ name: string }>(
    server.database,
    `select distinct column_name::text as name from information_schema.columns where table_schema = 'public' order by 1`,
  );
  columns = rows.map(({ name }) => name);
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

/** What these forms have, beside their token. */
const fieldsOf: Readonly<Record<string, readonly string[]>> = {
  signup: ['email', 'password', 'given_name', 'family_name', 'username', 'interaction', 'ui_locales'],
  enter_code: ['code', 'token', 'password', 'ui_locales'],
  verify: ['code', 'token', 'password', 'ui_locales'],
  forgot: ['email', 'interaction', 'ui_locales'],
  reset: ['token', 'code', 'new_password', 'ui_locales'],
  invite: ['token', 'new_password', 'given_name', 'family_name', 'username', 'ui_locales'],
};

async function everything(): Promise<object> {
  const tables = ['users', 'memberships', 'membership_roles', 'roles', 'proofs', 'mails', 'events', 'tenants'];
  const sums = tables.map(
    (table) => `(select coalesce(md5(string_agg(t::text, '' order by t::text)), '') from ${table} t) as ${table}`,
  );
  return (await queryAsSuperuser<object>(server.database, `select ${sums.join(', ')}`))[0] ?? {};
}

describe.each(Object.entries(fieldsOf))('C18: the form %s', (view, own) => {
  it('takes its own fields and no other', async () => {
    const kind = forms.find((form) => form.view === view);
    if (kind === undefined) throw new Error(`there is no form ${view}`);
    const form = await kind.open(server, acme);
    const others = columns.filter((column) => !own.includes(column));
    expect(others.length).toBeGreaterThan(100);
    const before = await everything();
    const taken: string[] = [];
    for (const column of [...others, 'roles', 'verified', 'role', 'is_admin', '__proto__', 'constructor']) {
      const fields = { ...form.hidden, ...kind.fields(acme, form), [column]: 'true' };
      const answer = await form.agent.request(server.origin + form.path, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', origin: server.origin },
        body: new URLSearchParams(
          column === '__proto__' ? [...Object.entries(fields), [column, 'true']] : fields,
        ).toString(),
      });
      if (answer.status !== 400) taken.push(column);
    }
    expect(taken).toEqual([]);
    expect(await everything()).toEqual(before);
  });
});

describe('C18: whoever registers', () => {
  it('is a user, with an address that only the proof makes a proven one', async () => {
    const email = newAddress();
    const visitor = createVisitor(server, acme);
    const page = await visitor.signUp({ email, password: goodPassword });
    const { code } = await proofFor(server, acme, email);
    await visitor.agent.submit(page, { code });
    const { id = '' } = (await personOf(server, email)) ?? {};
    const roles = await queryAsSuperuser<{ name: string }>(
      server.database,
      'select r.name from membership_roles m join roles r on r.tenant_id = m.tenant_id and r.id = m.role_id where m.user_id = $1',
      [id],
    );
    expect(roles).toEqual([{ name: 'user' }]);
  });
});

describe('C18: over REST', () => {
  interface Operation {
    readonly requestBody?: { readonly content: { readonly 'application/json': { readonly schema: BodySchema } } };
  }
  interface BodySchema {
    readonly properties?: Readonly<Record<string, object>>;
    readonly additionalProperties?: unknown;
  }

  it('no write takes the name of a column that its description does not have, and nothing changes', async () => {
    const token = await personToken(server, acme);
    const described = (await (await fetch(`${acme.issuer}/api/v1/openapi.json`)).json()) as {
      readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
    };
    const before = await everything();
    const open: string[] = [];
    let asked = 0;
    for (const [path, methods] of Object.entries(described.paths))
      for (const [method, { requestBody }] of Object.entries(methods)) {
        const schema = requestBody?.content['application/json'].schema;
        if (schema === undefined) continue;
        const name = `${method.toUpperCase()} ${path}`;
        // What a device reports and what is evaluated may hold anything; it is kept as a whole, or not at all.
        if (schema.properties === undefined || schema.additionalProperties !== false) {
          open.push(name);
          continue;
        }
        const others = columns.filter((column) => !Object.hasOwn(schema.properties ?? {}, column));
        const body = Object.fromEntries(others.map((column) => [column, 'true']));
        const address = path.replace('/api/v1', '').replaceAll(/\{\w+\}/g, acme.person.id);
        const answer = await callApi(acme.issuer, address, { token, method: method.toUpperCase() as 'POST', body });
        const unknown = (answer.json['errors'] as readonly { pointer: string; code: string }[] | undefined) ?? [];
        const told = new Set(unknown.flatMap(({ pointer, code }) => (code === 'unknown' ? [pointer.slice(2)] : [])));
        expect({ name, status: answer.status }).toEqual({ name, status: 400 });
        expect({ name, untold: others.filter((column) => !told.has(column)) }).toEqual({ name, untold: [] });
        asked += 1;
      }
    expect(asked).toBeGreaterThan(25);
    expect(open.toSorted()).toEqual([
      'POST /api/v1/access/v1/evaluation',
      'POST /api/v1/access/v1/evaluations',
      'POST /api/v1/devices/self/telemetry',
    ]);
    expect(await everything()).toEqual(before);
  });
});
