import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ajv2020 from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { squarePng } from '#test/support/logos.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';
import { besideServer, callPoort, type Finished, type Installation } from './poort_process.ts';

let server: TestServer;
let operator: Installation;
let folder: string;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  operator = await besideServer(server);
  folder = await mkdtemp(join(tmpdir(), 'poort-documents-'));
  acme = await createTestTenant(server, 'acme');
});

afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
  await rm(operator.dataDirectory, { recursive: true, force: true });
});

let files = 0;

async function write(text: string): Promise<string> {
  files += 1;
  const file = join(folder, `${files}.yaml`);
  await writeFile(file, text);
  return file;
}

interface Told {
  readonly code: number | null;
  readonly json: Readonly<Record<string, unknown>>;
}

async function call(commandLine: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Told> {
  const beside = { ...operator, environment: { ...operator.environment, ...environment } };
  const { code, output } = await callPoort(beside, [...commandLine, '--json']);
  return { code, json: JSON.parse(output) };
}

const errorOf = ({ json }: Told) => json['error'] as { code: string; message: string; problems?: readonly object[] };
const changesOf = ({ json }: Told) =>
  (json['changes'] as readonly { section: string; key: string; action: string; fields: readonly string[] }[]).map(
    ({ section, key, action }) => `${action} ${section} ${key}`,
  );

async function exported(slug: string): Promise<string> {
  const file = join(folder, `${slug}-export.yaml`);
  expect((await call(['export', '--tenant', slug, '-f', file])).code).toBe(0);
  return readFile(file, 'utf8');
}

function tokenOf(tenant: { readonly slug: string }, clientId: string, clientSecret: string): Promise<Response> {
  return fetch(`${server.origin}/t/${tenant.slug}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
}

/** Other processes hear of a change within a second. */
async function settles(ask: () => Promise<number>, hoped: number): Promise<number> {
  const until = performance.now() + 5_000;
  for (;;) {
    const found = await ask();
    if (found === hoped || performance.now() > until) return found;
  }
}

const globex = `
version: 1
tenant: globex
name: Globex
locale: en
settings:
  people.registration: open
  protocol.rar: on
brand:
  color: '#7a1fa2'
permissions:
  invoices:read:
    description: Sees invoices
  invoices:write:
    is_active: false
roles:
  accountant:
    permissions: [invoices:write, invoices:read]
    inherits: clerk
  clerk:
    description: Sees what there is
    is_active: false
    inherits: user
apis:
  https://api.globex.test/invoices:
    scopes:
      invoices:read: See your invoices
    authorization_details:
      payment: Pay {amount} to {creditor}
  urn:globex:archive:
    token_format: opaque
clients:
  shop:
    name: Shop
    type: web
    first_party: true
    redirect_uris: [https://shop.globex.test/callback]
    settings:
      refresh_grace_seconds: 5
  importer:
    name: Importer
    type: machine
    scopes: [invoices:read]
    secret:
      environment: IMPORTER_SECRET
`;

describe('a tenant that is applied from a file', () => {
  const chosen = randomBytes(32).toString('base64url');
  let file: string;
  let applied: Told;

  beforeAll(async () => {
    file = await write(globex);
    const planned = await call(['plan', '-f', file], { IMPORTER_SECRET: chosen });
    expect(planned.code).toBe(3);
    expect(changesOf(planned)).toContain('create clients importer');
    const seen = await call(['tenant', 'show', 'globex']);
    expect(errorOf(seen).code).toBe('unknown_tenant');
    applied = await call(['apply', '-f', file], { IMPORTER_SECRET: chosen });
    expect(applied.code).toBe(0);
  });

  it('is made with everything that the file says, and is served', async () => {
    const shown = await call(['tenant', 'show', 'globex']);
    expect(shown.json).toMatchObject({ name: 'Globex', locale: 'en', people: { 'people.registration': 'open' } });
    const roles = await call(['role', 'list', '--tenant', 'globex']);
    expect(roles.json['roles']).toContainEqual(
      expect.objectContaining({
        name: 'accountant',
        inherits: 'clerk',
        permissions: ['invoices:read', 'invoices:write'],
      }),
    );
    const metadata = await fetch(`${server.origin}/t/globex/.well-known/openid-configuration`);
    expect(await metadata.json()).toMatchObject({ authorization_details_types_supported: ['payment'] });
  });

  it('prints a secret that was made, this once, and none that somebody chose', async () => {
    const secrets = applied.json['secrets'] as readonly { client_id: string; client_secret: string }[];
    expect(secrets.map(({ client_id }) => client_id)).toEqual(['shop']);
    expect(JSON.stringify(applied.json)).not.toContain(chosen);
    expect((await tokenOf({ slug: 'globex' }, 'importer', chosen)).status).toBe(200);
    expect((await tokenOf({ slug: 'globex' }, 'importer', `${chosen}x`)).status).toBe(401);
  });

  it('has nothing to do a second time, and writes no event', async () => {
    const count = () =>
      queryAsSuperuser<{ events: number }>(server.database, 'select count(*)::int as events from events');
    const before = await count();
    const planned = await call(['plan', '-f', file, '--prune'], { IMPORTER_SECRET: chosen });
    expect([planned.code, planned.json['changed']]).toEqual([0, false]);
    const again = await call(['apply', '-f', file, '--prune'], { IMPORTER_SECRET: chosen });
    expect([again.code, again.json['changed'], again.json['secrets']]).toEqual([0, false, []]);
    expect(again.json['state']).toBe(planned.json['state']);
    expect(await count()).toEqual(before);
  });

  it('exports the same bytes again after its export was applied, and to another tenant as well', async () => {
    const first = await exported('globex');
    const again = await call(['apply', '-f', await write(first), '--prune']);
    expect([again.code, again.json['changed']]).toEqual([0, false]);
    expect(await exported('globex')).toBe(first);
    const other = first.replace('tenant: globex', 'tenant: initech');
    expect((await call(['apply', '-f', await write(other)])).code).toBe(0);
    expect(await exported('initech')).toBe(other);
  });

  it('holds no secret, hash or key in its export', async () => {
    const text = await exported('globex');
    const rows = await queryAsSuperuser<{ value: string }>(
      server.database,
      `select encode(secret_hash, 'hex') as value from client_secrets union select encode(secret_hash, 'base64') from client_secrets`,
    );
    expect(rows.length).toBeGreaterThan(1);
    for (const { value } of rows) expect(text).not.toContain(value);
    expect(text).not.toContain(chosen);
  });

  it('gets another secret by its reference, and the one before stays valid', async () => {
    const next = randomBytes(32).toString('base64url');
    const planned = await call(['plan', '-f', file], { IMPORTER_SECRET: next });
    expect(changesOf(planned)).toEqual(['create secrets importer']);
    expect(JSON.stringify(planned.json)).not.toContain(next);
    expect((await call(['apply', '-f', file], { IMPORTER_SECRET: next })).code).toBe(0);
    expect(await settles(async () => (await tokenOf({ slug: 'globex' }, 'importer', next)).status, 200)).toBe(200);
    expect((await tokenOf({ slug: 'globex' }, 'importer', chosen)).status).toBe(200);
  });
});

describe('a tenant that was made by hand', () => {
  it('exports and applies to itself without a change', async () => {
    await callPoort(operator, ['tenant', 'brand', 'acme', '--color', '#0d5560', '--json']);
    const logo = join(folder, 'logo.png');
    await writeFile(logo, squarePng());
    expect((await call(['tenant', 'brand', 'acme', '--logo', logo, '--logo-alt', 'Acme'])).code).toBe(0);
    const first = await exported('acme');
    const again = await call(['apply', '-f', await write(first), '--prune']);
    expect([again.code, again.json['changed']]).toEqual([0, false]);
    expect(await exported('acme')).toBe(first);
    expect(parse(first)).toMatchObject({ brand: { color: '#0d5560', logo: { alt: 'Acme' } } });
  });

  it('keeps what a file leaves out unless it is pruned, and then ends it within a second', async () => {
    const document = parse(await exported('acme')) as { clients: Record<string, object>; settings?: object };
    const { machine } = acme.clients;
    expect((await tokenOf(acme, machine.clientId, machine.clientSecret)).status).toBe(200);
    const { [machine.clientId]: _gone, ...clients } = document.clients;
    const file = await write(JSON.stringify({ version: 1, tenant: 'acme', name: 'Acme', clients }));
    const kept = await call(['apply', '-f', file]);
    expect([kept.code, kept.json['changed'], kept.json['left_alone']]).toEqual([
      0,
      false,
      [{ section: 'clients', key: machine.clientId }],
    ]);
    const pruned = await call(['apply', '-f', file, '--prune']);
    expect(changesOf(pruned)).toEqual([`delete clients ${machine.clientId}`]);
    expect(await settles(async () => (await tokenOf(acme, machine.clientId, machine.clientSecret)).status, 401)).toBe(
      401,
    );
    // Sections that the file does not have are as they were.
    expect(Object.keys(parse(await exported('acme')).apis)).toHaveLength(2);
    // What was ended does not come back because an older file names it.
    const older = await write(JSON.stringify({ version: 1, tenant: 'acme', name: 'Acme', clients: document.clients }));
    const refused = await call(['apply', '-f', older]);
    expect([refused.code, errorOf(refused).problems]).toEqual([
      1,
      [expect.objectContaining({ path: `clients.${machine.clientId}`, problem: 'is disabled' })],
    ]);
  });
});

describe('a change between plan and apply', () => {
  it('is a conflict, and nothing is done', async () => {
    const file = await write('{version: 1, tenant: hooli, name: Hooli, roles: {clerk: {permissions: [a:b]}}}');
    expect((await call(['apply', '-f', file])).code).toBe(0);
    const next = await write('{version: 1, tenant: hooli, name: Hooli Inc, roles: {clerk: {permissions: [a:c]}}}');
    const planned = await call(['plan', '-f', next]);
    const state = String(planned.json['state']);
    expect((await call(['tenant', 'configure', 'hooli', '--set', 'people.registration=open'])).code).toBe(0);
    const refused = await call(['apply', '-f', next, '--state', state]);
    expect([refused.code, errorOf(refused).code]).toEqual([1, 'changed_meanwhile']);
    expect((await call(['tenant', 'show', 'hooli'])).json['name']).toBe('Hooli');
    const replanned = await call(['plan', '-f', next]);
    expect((await call(['apply', '-f', next, '--state', String(replanned.json['state'])])).code).toBe(0);
    expect((await call(['apply', '-f', next, '--state', String(replanned.json['state'])])).code).toBe(1);
  });

  it('is a conflict also when both are applied at the same moment: one wins, whole', async () => {
    const make = (name: string) =>
      write(
        JSON.stringify({
          version: 1,
          tenant: 'umbrella',
          name,
          roles: { [name]: {} },
          clients: { [name]: { name, type: 'machine' } },
        }),
      );
    const words = ['one', 'two', 'three', 'four'];
    const documents = await Promise.all(words.map(make));
    const told = await Promise.all(documents.map((file) => call(['apply', '-f', file])));
    const won = told.filter(({ code }) => code === 0);
    for (const lost of told.filter(({ code }) => code !== 0)) expect(errorOf(lost).code).toBe('changed_meanwhile');
    expect(won.length).toBeGreaterThanOrEqual(1);
    const { roles, clients } = parse(await exported('umbrella')) as { roles: object; clients: object };
    expect(Object.keys(roles)).toEqual(Object.keys(clients));
    expect(Object.keys(roles)).toHaveLength(won.length);
  });

  it('is none when it happens in another tenant, which is not touched either', async () => {
    const before = await exported('acme');
    const file = await write('{version: 1, tenant: hooli, name: Hooli 2, clients: {}}');
    const planned = await call(['plan', '-f', file]);
    const made = await createClient(server.context, {
      tenantId: acme.id,
      client: { name: 'Another', type: 'machine' },
    });
    expect(made.outcome).toBe('created');
    expect((await call(['apply', '-f', file, '--prune', '--state', String(planned.json['state'])])).code).toBe(0);
    expect((await exported('acme')).length).toBeGreaterThan(before.length);
  });
});

describe('a file with something wrong in it', () => {
  it.each([
    [
      'an unknown key',
      'tenant: a\nname: A\nclients:\n  shop:\n    name: S\n    type: web\n    redirect_url: x',
      'clients.shop.redirect_url',
      8,
    ],
    ['an unknown section', 'tenant: a\nname: A\nuser: {}', 'user', 4],
    [
      'an unknown setting',
      'tenant: a\nname: A\nsettings:\n  people.registratoin: open',
      'settings.people.registratoin',
      5,
    ],
    [
      'a value of another kind',
      'tenant: a\nname: A\nsettings:\n  people.registration: anybody',
      'settings.people.registration',
      5,
    ],
    [
      'a secret',
      'tenant: a\nname: A\nclients:\n  m:\n    name: M\n    type: machine\n    secret: hunter2hunter2hunter2hunter2hunter2',
      'clients.m.secret',
      8,
    ],
    [
      'a secret that is not there',
      'tenant: a\nname: A\nclients:\n  m:\n    name: M\n    type: machine\n    secret: {environment: NOBODY}',
      'clients.m.secret',
      8,
    ],
    [
      'a secret that is too short',
      'tenant: a\nname: A\nclients:\n  m:\n    name: M\n    type: machine\n    secret: {environment: SHORT}',
      'clients.m.secret',
      8,
    ],
    ['a file that is not there', 'tenant: a\nname: A\nbrand:\n  logo:\n    file: nowhere.png', 'brand.logo.file', 6],
    ['a reserved slug', 'tenant: admin\nname: A', 'tenant', 2],
    ['a built-in role', 'tenant: a\nname: A\nroles:\n  admin:\n    permissions: []', 'roles.admin', 5],
    ['a role from nowhere', 'tenant: a\nname: A\nroles:\n  b:\n    inherits: c', 'roles.b.inherits', 6],
    ['a name that is no name', 'tenant: a\nname: A\nroles:\n  __proto__: {}', 'roles.__proto__', 5],
    [
      'a client that needs what is off',
      'tenant: a\nname: A\nclients:\n  m:\n    name: M\n    type: machine\n    token_endpoint_auth_method: tls_client_auth\n    settings: {tls_client_auth_san_dns: m.test}',
      'clients.m.settings',
      9,
    ],
    ['another version', 'tenant: a\nname: A\nversion: 2', '', 4],
  ])('is refused with its place: %s', async (_what, text, path, line) => {
    const file = await write(`version: 1\n${text}\n`);
    const refused = await call(['plan', '-f', file], { SHORT: 'hunter2' });
    expect(refused.code).toBe(1);
    expect(errorOf(refused).code).toBe('invalid_document');
    expect(errorOf(refused).problems).toContainEqual(expect.objectContaining({ path, line }));
    expect(JSON.stringify(refused.json)).not.toContain('hunter2');
    expect((await call(['tenant', 'show', 'a'])).code).toBe(1);
  });

  it('is refused with every problem at once, and for a person in words', async () => {
    const file = await write('version: 1\ntenant: a\nname: A\nlocal: nl\nroles:\n  b: {inherit: c}\n');
    const { code, errors } = await callPoort(operator, ['apply', '-f', file]);
    expect(code).toBe(1);
    expect(errors).toContain('local: there is no such key (line 4, column 1)');
    expect(errors).toContain('roles.b.inherit: there is no such key (line 6, column 7)');
  });

  it('is refused when it names things twice, or stands for more than it is', async () => {
    const twice = await call(['plan', '-f', await write('version: 1\ntenant: a\ntenant: b\nname: A\n')]);
    expect(errorOf(twice).code).toBe('invalid_document');
    const laughs = [
      'a: &a [x,x,x,x,x,x,x,x,x,x]',
      ...'bcdefghi'.split('').map((letter, index) => {
        const before = `*${String.fromCharCode(97 + index)}`;
        return `${letter}: &${letter} [${Array.from({ length: 10 }, () => before).join(',')}]`;
      }),
    ];
    const bomb = await call(['plan', '-f', await write(laughs.join('\n'))]);
    expect([bomb.code, errorOf(bomb).code]).toEqual([1, 'invalid_document']);
  });

  it('is refused when there is no such file, and does all of it or nothing', async () => {
    expect(errorOf(await call(['plan', '-f', join(folder, 'nowhere.yaml')])).code).toBe('unreadable_file');
    // No key of this algorithm: that shows only while it is done.
    const file = await write(
      JSON.stringify({
        version: 1,
        tenant: 'stark',
        name: 'Stark',
        clients: {
          shop: {
            name: 'Shop',
            type: 'web',
            redirect_uris: ['https://s.test/'],
            settings: { id_token_signed_response_alg: 'EdDSA' },
          },
        },
      }),
    );
    const refused = await call(['apply', '-f', file]);
    expect([refused.code, errorOf(refused).code]).toEqual([1, 'invalid_document']);
    expect((await call(['tenant', 'show', 'stark'])).code).toBe(1);
  });
});

describe('the schema for editors', () => {
  it('is the one in the documentation, and accepts what an export writes', async () => {
    const { json } = await call(['export', '--schema']);
    const kept: unknown = JSON.parse(await readFile(new URL('../../docs/tenant.schema.json', import.meta.url), 'utf8'));
    expect(kept).toEqual(json);
    const validate = new ajv2020.Ajv2020({ strict: false, formats: { base64: true } }).compile(json);
    expect(validate(parse(await exported('acme')))).toBe(true);
    expect(validate({ version: 1, tenant: 'a', name: 'A', client: {} })).toBe(false);
  });

  it('exports to the file that names its tenant, and wants to know which where none does', async () => {
    const file = await write('version: 1\ntenant: acme\n');
    expect((await call(['export', '-f', file])).code).toBe(0);
    expect(parse(await readFile(file, 'utf8'))).toMatchObject({ name: 'Acme' });
    const { code }: Finished = await callPoort(operator, ['export']);
    expect(code).toBe(2);
  });
});
