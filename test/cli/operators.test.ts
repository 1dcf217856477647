/** `poort operator …`, and the end of a tenant on the command line. */
import { rm } from 'node:fs/promises';
import { deleteMember } from '#src/flows/people/leave_tenant.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, newPerson, type TestTenant } from '#test/support/world.ts';
import { besideServer, callPoort, type Installation } from './poort_process.ts';

let server: TestServer;
let acme: TestTenant;
let installation: Installation;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  installation = await besideServer(server);
});

afterAll(async () => {
  await rm(installation.dataDirectory, { recursive: true, force: true });
  await server.close();
});

async function poort(...commandLine: string[]) {
  const { code, output, errors } = await callPoort(installation, [...commandLine, '--json']);
  return { code, errors, json: JSON.parse(output) };
}

describe('poort operator', () => {
  it('names a member, lists them, and takes it away, each recorded once', async () => {
    const whom = ['--tenant', 'acme', '--user', acme.person.email];
    const added = await poort('operator', 'add', ...whom);
    expect(added).toMatchObject({ code: 0, json: { email: acme.person.email, tenant: 'acme', changed: true } });
    expect(added.json.warnings).toEqual([expect.stringContaining('let only operators do so')]);
    expect((await poort('operator', 'add', ...whom)).json).toMatchObject({ changed: false });
    expect((await poort('operator', 'list')).json.operators).toMatchObject([
      { email: acme.person.email, tenant: 'acme', user_id: acme.person.id },
    ]);
    expect((await poort('operator', 'remove', ...whom)).json).toMatchObject({ changed: true });
    expect((await poort('operator', 'remove', ...whom)).json).toMatchObject({ changed: false });
    expect((await poort('operator', 'list')).json).toEqual({ operators: [] });
    const events = await readEvents(server.database, {
      tenantId: acme.id,
      types: ['operator.added', 'operator.removed'],
    });
    expect(events.map(({ type, target_id: target }) => [type, target])).toEqual([
      ['operator.added', acme.person.id],
      ['operator.removed', acme.person.id],
    ]);
  });

  it('refuses who is no member', async () => {
    const { code, json } = await poort('operator', 'add', '--tenant', 'acme', '--user', 'nobody@acme.test');
    expect([code, json.error.code]).toEqual([1, 'unknown_user']);
  });

  it('is none any more when they have left', async () => {
    const { id, email } = await newPerson(server, acme);
    await poort('operator', 'add', '--tenant', 'acme', '--user', email);
    await deleteMember(server.context, { tenantId: acme.id, userId: id });
    expect((await poort('operator', 'list')).json).toEqual({ operators: [] });
  });

  it('takes no more home tenants than a call may try', async () => {
    const added = [];
    for (let number = 0; number < 11; number += 1) {
      const home = await createTestTenant(server, `home-${number}`);
      added.push(await poort('operator', 'add', '--tenant', home.slug, '--user', home.person.email));
    }
    expect(added.map(({ code }) => code)).toEqual([...Array.from({ length: 10 }, () => 0), 1]);
    expect(added.at(-1)?.json.error.code).toBe('too_many_home_tenants');
    await queryAsSuperuser(server.database, 'delete from operators');
  }, 30_000);
});

describe('poort tenant delete', () => {
  it('does nothing unless the slug is repeated', async () => {
    const { code, json } = await poort('tenant', 'delete', 'acme', '--confirm', 'globex');
    expect([code, json.error.code]).toEqual([2, 'wrong_usage']);
    expect((await poort('tenant', 'show', 'acme')).json.status).toBe('active');
  });

  it('shuts the tenant, says until when, and is undone', async () => {
    const globex = await createTestTenant(server, 'globex');
    const deleted = await poort('tenant', 'delete', 'globex', '--confirm', 'globex');
    expect(deleted).toMatchObject({ code: 0, json: { deleted: false, status: 'deleting' } });
    const days = (Date.parse(deleted.json.deletion_due_at) - Date.now()) / 86_400_000;
    expect(days).toBeGreaterThan(29.9);
    expect((await poort('tenant', 'list')).json.tenants).toContainEqual(
      expect.objectContaining({ slug: 'globex', status: 'deleting' }),
    );
    const metadata = () => fetch(`${globex.issuer}/.well-known/openid-configuration`);
    expect((await metadata()).status).toBe(403);
    const restored = await poort('tenant', 'restore', 'globex');
    expect(restored.json).toMatchObject({ status: 'active', deletion_due_at: null });
    expect((await metadata()).status).toBe(200);
    expect(await poort('tenant', 'restore', 'globex')).toMatchObject({
      code: 1,
      json: { error: { code: 'not_deleting' } },
    });
  });

  it('erases it at once where that is asked for, also when it was to go later, and keeps its slug from everybody', async () => {
    const initech = await createTestTenant(server, 'initech');
    await poort('tenant', 'delete', 'initech', '--confirm', 'initech');
    const deleted = await poort('tenant', 'delete', 'initech', '--confirm', 'initech', '--at-once');
    expect(deleted).toMatchObject({ code: 0, json: { id: initech.id, slug: 'initech', deleted: true } });
    expect(deleted.json.erased_rows).toBeGreaterThan(20);
    expect((await fetch(`${initech.issuer}/.well-known/openid-configuration`)).status).toBe(404);
    expect((await poort('tenant', 'show', 'initech')).json.error.code).toBe('unknown_tenant');
    expect((await poort('tenant', 'restore', 'initech')).json.error.code).toBe('unknown_tenant');
    expect((await poort('tenant', 'create', 'initech', '--name', 'Another')).json.error.code).toBe('slug_taken');
  });

  it('says to a person how far it is', async () => {
    await createTestTenant(server, 'umbrella');
    const command = ['tenant', 'delete', 'umbrella', '--confirm', 'umbrella', '--at-once'];
    const { code, output, errors } = await callPoort(installation, command);
    expect([code, output]).toEqual([0, expect.stringMatching(/^tenant umbrella is deleted: \d+ rows erased\n$/)]);
    expect(errors).toMatch(/^poort: \d+ rows erased$/m);
  });

  it('spares the home of operators', async () => {
    await poort('operator', 'add', '--tenant', 'acme', '--user', acme.person.email);
    const { code, json } = await poort('tenant', 'delete', 'acme', '--confirm', 'acme', '--at-once');
    expect([code, json.error.code]).toEqual([1, 'home_of_operators']);
    await poort('operator', 'remove', '--tenant', 'acme', '--user', acme.person.email);
  });
});

describe('poort tenant update', () => {
  it('changes the name and the language, and nothing when there is nothing to change', async () => {
    const changed = await poort('tenant', 'update', 'acme', '--name', 'Acme Holding', '--locale', 'en');
    expect(changed.json).toMatchObject({ name: 'Acme Holding', locale: 'en', changed: true });
    expect((await poort('tenant', 'update', 'acme', '--locale', 'en')).json).toMatchObject({ changed: false });
    expect((await poort('tenant', 'update', 'acme', '--name', 'a\nb')).json.error.code).toBe('name');
    expect((await poort('tenant', 'update', 'acme')).code).toBe(2);
  });
});
