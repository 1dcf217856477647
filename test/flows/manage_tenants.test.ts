import { changeTenantStatus, createTenant } from '#src/flows/tenants/manage_tenants.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';

describe('a tenant', () => {
  let server: TestServer;

  beforeAll(async () => {
    server = await startTestServer();
  });

  afterAll(() => server.close());

  it('comes into being whole: keys, built-in roles and its event', async () => {
    const created = await createTenant(server.context, { slug: 'acme', name: '  Acme   GmbH ' });
    if (created.outcome !== 'created') throw new Error(created.reason);
    const keys = await queryAsSuperuser<{ alg: string; status: string }>(
      server.database,
      'select alg, status from signing_keys where tenant_id = $1 order by alg, status',
      [created.id],
    );
    expect(keys).toEqual([
      { alg: 'ES256', status: 'active' },
      { alg: 'ES256', status: 'next' },
      { alg: 'RS256', status: 'active' },
      { alg: 'RS256', status: 'next' },
    ]);
    const roles = await queryAsSuperuser<{ name: string; inherits: string | null }>(
      server.database,
      `select r.name, i.name as inherits from roles r
         left join roles i on i.tenant_id = r.tenant_id and i.id = r.inherits where r.tenant_id = $1 order by r.name`,
      [created.id],
    );
    expect(roles).toEqual([
      { name: 'admin', inherits: 'editor' },
      { name: 'editor', inherits: 'viewer' },
      { name: 'user', inherits: null },
      { name: 'viewer', inherits: 'user' },
    ]);
    const events = await readEvents(server.database, { tenantId: created.id, types: ['tenant.created'] });
    expect(events).toMatchObject([{ actor_type: 'operator', target_id: created.id, data: { slug: 'acme' } }]);
    expect((await fetch(`${server.origin}/t/acme/.well-known/openid-configuration`)).status).toBe(200);
  });

  it.each([
    ['a slug with capitals', { slug: 'Acme', name: 'Acme' }, 'slug_syntax'],
    ['a slug with a slash', { slug: 'a/b', name: 'Acme' }, 'slug_syntax'],
    ['an empty slug', { slug: '', name: 'Acme' }, 'slug_syntax'],
    ['a slug of 41 letters', { slug: 'a'.repeat(41), name: 'Acme' }, 'slug_too_long'],
    ['no name', { slug: 'nameless', name: ' ' }, 'name'],
    ['a name with a line break', { slug: 'broken', name: 'Acme\nInc' }, 'name'],
  ])('is refused with %s', async (_what, input, reason) => {
    expect(await createTenant(server.context, input)).toEqual({ outcome: 'refused', reason });
  });

  it('has its slug for itself, also when twenty want it at once', async () => {
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, () => createTenant(server.context, { slug: 'wanted', name: 'Wanted' })),
    );
    expect(outcomes.filter(({ outcome }) => outcome === 'created')).toHaveLength(1);
    for (const outcome of outcomes.filter((each) => each.outcome === 'refused'))
      expect(outcome).toEqual({ outcome: 'refused', reason: 'slug_taken' });
    const leftovers = await queryAsSuperuser(
      server.database,
      `select tenant_id from signing_keys k where not exists (select from tenants t where t.id = k.tenant_id)
       union all select tenant_id from events e where not exists (select from tenants t where t.id = e.tenant_id)`,
    );
    expect(leftovers).toEqual([]);
  });

  it('is suspended and resumed, each recorded once', async () => {
    const created = await createTenant(server.context, { slug: 'paused', name: 'Paused' });
    if (created.outcome !== 'created') throw new Error(created.reason);
    const { id } = created;
    expect(await changeTenantStatus(server.context, { id, status: 'suspended' })).toEqual({ outcome: 'changed' });
    expect(await changeTenantStatus(server.context, { id, status: 'suspended' })).toEqual({ outcome: 'unchanged' });
    expect(await changeTenantStatus(server.context, { id, status: 'active' })).toEqual({ outcome: 'changed' });
    const events = await readEvents(server.database, {
      tenantId: id,
      types: ['tenant.suspended', 'tenant.resumed'],
    });
    expect(events.map(({ type }) => type)).toEqual(['tenant.suspended', 'tenant.resumed']);
  });
});
