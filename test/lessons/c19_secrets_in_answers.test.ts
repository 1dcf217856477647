/**
 * Row C19, secrets that read APIs give away (CVE-2026-40166, Logto a1e0f2b680, Keycloak #50074): every GET there is, as every role, searched
 * through and through for what is kept of secrets, for what they are, and for members that are named like their columns.
 */
import { createApiKey } from '#src/flows/access/manage_api_keys.ts';
import { callApi, personToken } from '#test/support/api_calls.ts';
import { apiRoutesOf } from '#test/support/api_routes.ts';
import { addressOf, membersOfEveryRole } from '#test/support/every_route.ts';
import { defaultPeopleSettings } from '#test/support/people_settings.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let key: string;
let keyId: string;
/** Text that must be in no answer: secrets, and every stored hash or seal in each of its spellings. */
let forbidden: readonly string[];

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  const made = await createApiKey(server.context, {
    tenantId: acme.id,
    userId: undefined,
    settings: defaultPeopleSettings,
    name: 'gateway',
    scopes: ['users:read'],
    expiresAt: undefined,
  });
  if (made.outcome !== 'created') throw new Error(made.outcome);
  key = made.key;
  keyId = made.summary.id;
  await personToken(server, acme);
  const columns = await queryAsSuperuser<{ table_name: string; column_name: string }>(
    server.database,
    `select table_name::text, column_name::text from information_schema.columns
      where table_schema = 'public' and column_name ~ '(hash|sealed|secret|_mac)'`,
  );
  expect(columns.length).toBeGreaterThan(15);
  const stored: string[] = [];
  for (const { table_name: table, column_name: column } of columns) {
    const rows = await queryAsSuperuser<{ value: Buffer | string | null }>(
      server.database,
      `select ${column} as value from ${table} where ${column} is not null limit 200`,
    );
    for (const { value } of rows) {
      if (Buffer.isBuffer(value) && value.length >= 16)
        stored.push(...(['hex', 'base64', 'base64url'] as const).map((spelling) => value.toString(spelling)));
      if (typeof value === 'string' && value.length >= 16) stored.push(value);
    }
  }
  expect(stored.length).toBeGreaterThan(20);
  const secrets = Object.values(acme.clients).flatMap(({ clientSecret }) =>
    clientSecret === '' ? [] : [clientSecret],
  );
  forbidden = [...stored, ...secrets, key.slice(12), acme.person.password];
});

afterAll(() => server.close());

/** Members that no answer has: the columns that hold secrets, and the usual names for what is secret. */
const secretName =
  /(_hash|_sealed|_mac|^hash|^sealed|password|private|^d$|^secret|client_secret|secret_hashes|payload|^key$)/;
/** Settings about passwords and secrets that are none. */
const harmless = /^(password_changed_at$|password\.|live_secrets$|client_secret_(basic|post)$)/;

function secretsIn(value: unknown, path = ''): readonly string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => [
    ...(!Array.isArray(value) && secretName.test(name) && !harmless.test(name) ? [`${path}/${name}`] : []),
    ...secretsIn(member, `${path}/${name}`),
  ]);
}

describe('C19: an answer to a reader', () => {
  it('holds no secret and nothing that is kept of one, at any GET, for any role', async () => {
    const members = await membersOfEveryRole(server, acme);
    const rows = await queryAsSuperuser<{ kid: string; role: string }>(
      server.database,
      'select (select kid from signing_keys where tenant_id = $1 limit 1) as kid, (select id::text from roles where tenant_id = $1 limit 1) as role',
      [acme.id],
    );
    const things = [
      acme.clients.web.clientId,
      Buffer.from(acme.jwtApi).toString('base64url'),
      keyId,
      acme.person.id,
      rows[0]?.kid ?? '',
      rows[0]?.role ?? '',
    ];
    const reads = apiRoutesOf(server).filter(({ method, path }) => method === 'GET' && path !== '/api/v1/openapi.json');
    expect(reads.length).toBeGreaterThan(20);
    let answered = 0;
    const found: string[] = [];
    for (const { token, role } of members)
      for (const route of reads) {
        for (const id of route.path.includes('{') ? things : ['']) {
          const address = addressOf(route, { id }).replace('/api/v1', '');
          const shown = await callApi(acme.issuer, address, { token });
          if (shown.status !== 200) continue;
          answered += 1;
          const streamed = route.streams.length === 0 ? '' : await streamOf(address, token);
          const text = JSON.stringify(shown.json) + streamed;
          const place = `${role} ${route.path}`;
          found.push(...secretsIn(shown.json).map((path) => `${place} ${path}`));
          found.push(...forbidden.filter((secret) => text.includes(secret)).map((secret) => `${place}: ${secret}`));
        }
      }
    expect(found).toEqual([]);
    expect(answered).toBeGreaterThan(40);
  }, 60_000);

  async function streamOf(address: string, token: string): Promise<string> {
    const answer = await fetch(`${acme.issuer}/api/v1${address}`, { headers: { authorization: `Bearer ${token}` } });
    return answer.text();
  }

  it('would be noticed by this search', () => {
    expect(secretsIn({ data: [{ a: { secret_hash: 1 } }] })).toEqual(['/data/0/a/secret_hash']);
    expect(secretsIn({ jwks: { keys: [{ d: 'x' }] } })).toEqual(['/jwks/keys/0/d']);
  });
});
