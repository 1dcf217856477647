/** `poort role …` and `poort user role …`: what people may be, and who is. */
import { rm } from 'node:fs/promises';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type NewPerson, newPerson, type TestTenant } from '#test/support/world.ts';
import { besideServer, callPoort, type Installation } from './poort_process.ts';

let server: TestServer;
let acme: TestTenant;
let bob: NewPerson;
let installation: Installation;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  bob = await newPerson(server, acme);
  installation = await besideServer(server);
});

afterAll(async () => {
  await rm(installation.dataDirectory, { recursive: true, force: true });
  await server.close();
});

interface Finished {
  readonly code: number | null;
  readonly json: Record<string, unknown>;
}

async function poort(...commandLine: string[]): Promise<Finished> {
  const { code, output } = await callPoort(installation, [...commandLine, '--tenant', 'acme', '--json']);
  return { code, json: JSON.parse(output) };
}

const refused = (code: string) => ({ code: 1, json: { error: { code } } });

describe('poort role', () => {
  it('makes, changes, switches off and removes a role', async () => {
    const made = await poort(
      'role',
      'create',
      '--name',
      'clerk',
      '--permission',
      'invoices:read',
      '--inherits',
      'viewer',
    );
    expect(made).toMatchObject({
      code: 0,
      json: { name: 'clerk', inherits: 'viewer', built_in: false, tenant: 'acme' },
    });
    const changed = await poort(
      'role',
      'update',
      'clerk',
      '--add',
      'invoices:pay',
      '--remove',
      'invoices:read',
      '--no-inherits',
    );
    expect(changed).toMatchObject({ code: 0, json: { permissions: ['invoices:pay'], inherits: null, changed: true } });
    expect((await poort('role', 'update', 'clerk', '--add', 'invoices:pay')).json).toMatchObject({ changed: false });
    expect((await poort('role', 'update', 'clerk', '--off')).json).toMatchObject({ is_active: false });
    const shown = { name: 'clerk', permissions: ['invoices:pay'], is_active: false };
    expect(await poort('role', 'show', 'clerk')).toMatchObject({ code: 0, json: shown });
    expect((await poort('role', 'list')).json['roles']).toContainEqual(expect.objectContaining(shown));
    expect((await poort('role', 'delete', 'clerk')).code).toBe(2);
    expect(await poort('role', 'delete', 'clerk', '--confirm', 'clerk')).toMatchObject({
      code: 0,
      json: { deleted: true },
    });
    expect(await poort('role', 'show', 'clerk')).toMatchObject(refused('unknown_role'));
  });

  it('leaves what every tenant has, what others inherit from, and makes no circle', async () => {
    expect(await poort('role', 'update', 'admin', '--off')).toMatchObject(refused('built_in'));
    await poort('role', 'create', '--name', 'low');
    await poort('role', 'create', '--name', 'high', '--inherits', 'low');
    expect(await poort('role', 'delete', 'low', '--confirm', 'low')).toMatchObject(refused('in_use'));
    expect(await poort('role', 'update', 'low', '--inherits', 'high')).toMatchObject(refused('circle'));
    expect((await poort('role', 'update', 'low', '--on', '--off')).code).toBe(2);
  });
});

describe('poort user role', () => {
  it('gives a role, until some moment, says what follows from it, and takes it away', async () => {
    const add = ['user', 'role', 'add', bob.email, '--role', 'editor'];
    expect(await poort(...add)).toMatchObject({ code: 0, json: { role: 'editor', expires_at: null, changed: true } });
    expect((await poort(...add)).json).toMatchObject({ changed: false });
    const expires_at = '2099-01-01T00:00:00.000Z';
    expect((await poort(...add, '--expires', '2099-01-01T00:00:00Z')).json).toMatchObject({
      expires_at,
      changed: true,
    });
    const { json } = await poort('user', 'role', 'list', bob.email);
    expect(json).toMatchObject({
      roles: [{ name: 'editor', expires_at, in_force: true }],
      effective_roles: ['editor', 'user', 'viewer'],
    });
    expect(json['permissions']).toContainEqual({ permission: 'users:read', through: [['editor', 'viewer']] });
    const text = await callPoort(installation, ['user', 'role', 'list', bob.email, '--tenant', 'acme']);
    expect(text.output).toContain('editor > viewer');
    const remove = ['user', 'role', 'remove', bob.email, '--role', 'editor'];
    expect(await poort(...remove)).toMatchObject({ code: 0, json: { changed: true } });
    expect((await poort(...remove)).json).toMatchObject({ changed: false });
  });

  it('says what is wrong', async () => {
    const add = (...more: string[]) => poort('user', 'role', 'add', bob.email, ...more);
    expect(await add('--role', 'king')).toMatchObject(refused('unknown_role'));
    expect(await add('--role', 'editor', '--expires', '2001-01-01T00:00:00Z')).toMatchObject(refused('past'));
    expect((await add('--role', 'editor', '--expires', 'soon')).code).toBe(2);
    expect((await add()).code).toBe(2);
    const last = ['user', 'role', 'remove', acme.person.email, '--role', 'admin'];
    expect(await poort(...last)).toMatchObject(refused('last_administrator'));
    expect(await poort('user', 'role', 'add', 'nobody@people.test', '--role', 'user')).toMatchObject(
      refused('unknown_user'),
    );
  });
});
