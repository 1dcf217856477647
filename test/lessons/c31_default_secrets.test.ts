/**
 * Lesson C31, secrets that everybody has (Ory GHSA-hgx2-28f8-6g2r, GHSA-c38g-mx2c-9wf2, authentik CVE-2023-46249): there is no default,
 * none that is known, short, guessable or repeated is taken, and what a first start makes is made for that installation alone.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createTenant } from '#src/flows/tenants/manage_tenants.ts';
import { createWorkspace, goodProduction, masterKey, type Workspace } from '#test/config/support.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer } from '#test/support/test_server.ts';

describe('C31: production', () => {
  let workspace: Workspace;

  beforeAll(async () => {
    workspace = await createWorkspace();
  });

  afterAll(() => workspace.remove());

  it.each([
    ['none', undefined],
    ['an empty one', ''],
    ['a placeholder', 'changeme'],
    ['one that is too short', Buffer.alloc(16, 7).toString('base64')],
    ['nothing but zeros', Buffer.alloc(32).toString('base64')],
    ['one byte, repeated', Buffer.alloc(32, 0x5a).toString('base64')],
    ['text in disguise', Buffer.from('a-very-secret-key-of-32-letters!').toString('base64')],
    ['one byte after the other', Buffer.from(Array.from({ length: 32 }, (_, index) => index)).toString('base64')],
    ['the same one twice', `${masterKey()},${masterKey()}`],
    ['a good one and a bad one', `${masterKey()},${Buffer.alloc(32).toString('base64')}`],
  ])('takes no master key that is %s', async (_name, key) => {
    const { POORT_MASTER_KEY: _good, ...environment } = goodProduction;
    const faults = await workspace.faults({ ...environment, ...(key === undefined ? {} : { POORT_MASTER_KEY: key }) });
    expect(faults.map(({ setting }) => setting)).toContain('POORT_MASTER_KEY');
    if (key !== undefined && key !== '') expect(JSON.stringify(faults)).not.toContain(key);
  });

  it('takes no demo, whose passwords lie in a file', async () => {
    const faults = await workspace.faults({ ...goodProduction, POORT_DEMO: 'on' });
    expect(faults.map(({ setting }) => setting)).toEqual(['POORT_DEMO']);
  });

  it('takes the key of no development machine', async () => {
    await workspace.config({ POORT_ENV: 'development' });
    const { master_key: key } = JSON.parse(
      readFileSync(join(workspace.directory, '.poort/development-secrets.json'), 'utf8'),
    ) as { master_key: string };
    const faults = await workspace.faults({ ...goodProduction, POORT_MASTER_KEY: key });
    expect(faults.map(({ setting }) => setting)).toEqual(['POORT_MASTER_KEY']);
  });
});

describe('C31: an installation', () => {
  it('begins with nobody: no account, no client and no secret that another one has too', async () => {
    const server = await startTestServer();
    try {
      for (const table of ['users', 'clients', 'client_secrets', 'initial_access_tokens', 'proofs'])
        expect({ table, rows: await queryAsSuperuser(server.database, `select from ${table}`) }).toEqual({
          table,
          rows: [],
        });
      const created = await createTenant(server.context, { slug: 'acme', name: 'Acme' });
      expect(created.outcome).toBe('created');
      for (const table of ['users', 'clients', 'client_secrets'])
        expect({ table, rows: await queryAsSuperuser(server.database, `select from ${table}`) }).toEqual({
          table,
          rows: [],
        });
    } finally {
      await server.close();
    }
  });

  it('makes a key of its own on the first run', async () => {
    const [one, other] = [await createWorkspace(), await createWorkspace()];
    const keys = await Promise.all(
      [one, other].map(async (workspace) =>
        (await workspace.config({ POORT_ENV: 'development' })).masterKeys[0]?.reveal(),
      ),
    );
    expect(new Set(keys).size).toBe(2);
    await Promise.all([one.remove(), other.remove()]);
  });
});
