/** A client that is changed is what registration would have let it be, and every server knows. */
import { type ClientChanges, createClient, disableClient, updateClient } from '#src/flows/clients/manage_clients.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
});

afterAll(() => server.close());

async function register(): Promise<string> {
  const client = { name: 'App', type: 'web', redirectUris: ['https://app.example/cb'], scopes: ['readings:read'] };
  const created = await createClient(server.context, { tenantId: acme.id, client });
  if (created.outcome !== 'created') throw new Error(created.outcome);
  return created.clientId;
}

const change = (clientId: string, changes: ClientChanges, tenant = acme) =>
  updateClient(server.context, { tenantId: tenant.id, clientId, changes });

async function stored(clientId: string): Promise<Record<string, unknown> | undefined> {
  const rows = await queryAsSuperuser<Record<string, unknown>>(
    server.database,
    'select name, redirect_uris, scopes, settings, token_endpoint_auth_method from clients where client_id = $1',
    [clientId],
  );
  return rows[0];
}

describe('a client', () => {
  it('changes in what is named, keeps the rest, and says what changed', async () => {
    const clientId = await register();
    const changes = { name: 'Shop', settings: { default_max_age: 60, dpop_bound_access_tokens: true } };
    expect(await change(clientId, changes)).toEqual({
      outcome: 'updated',
      changed: ['name', 'dpop_bound_access_tokens', 'default_max_age'],
      clientSecret: undefined,
    });
    expect(await change(clientId, changes)).toEqual({ outcome: 'unchanged' });
    expect(await change(clientId, { settings: { default_max_age: null } })).toMatchObject({
      changed: ['default_max_age'],
    });
    expect(await stored(clientId)).toEqual({
      name: 'Shop',
      redirect_uris: ['https://app.example/cb'],
      scopes: ['openid', 'profile', 'email', 'offline_access', 'readings:read'],
      settings: { dpop_bound_access_tokens: true },
      token_endpoint_auth_method: 'client_secret_basic',
    });
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['client.updated'] });
    expect(events.map(({ target_id, data }) => [target_id, data?.['changed']])).toEqual([
      [clientId, ['name', 'dpop_bound_access_tokens', 'default_max_age']],
      [clientId, ['default_max_age']],
    ]);
  });

  it('cannot be brought in steps to where registration would not let it', async () => {
    const clientId = await register();
    const before = await stored(clientId);
    const refusals: readonly ClientChanges[] = [
      { redirectUris: [] },
      { redirectUris: ['https://app.example/*'] },
      { name: '' },
      { tokenEndpointAuthMethod: 'none' },
      { tokenEndpointAuthMethod: 'tls_client_auth' },
      { settings: { refresh_rotation: 'unless_sender_constrained' } },
      { settings: { allowed_origins: ['https://app.example'] } },
      { settings: { id_token_signed_response_alg: 'EdDSA' } },
      { settings: { grant_types: ['password'] } },
      { settings: { fapi_profile: '2.0' } },
    ];
    for (const changes of refusals) {
      expect({ changes, ...(await change(clientId, changes)) }).toMatchObject({ changes, outcome: 'refused' });
    }
    expect(await stored(clientId)).toEqual(before);
    // What a later step would break is broken by that step.
    const bound = { dpop_bound_access_tokens: true, refresh_rotation: 'unless_sender_constrained' };
    expect(await change(clientId, { settings: bound })).toMatchObject({ outcome: 'updated' });
    expect(await change(clientId, { settings: { dpop_bound_access_tokens: false } })).toMatchObject({
      outcome: 'refused',
      problems: [{ field: 'refresh_rotation', problem: 'needs_bound_tokens' }],
    });
  });

  it('of another tenant is not there', async () => {
    const clientId = await register();
    expect(await change(clientId, { name: 'Taken' }, globex)).toEqual({ outcome: 'unknown_client' });
    expect((await stored(clientId))?.['name']).toBe('App');
  });

  it('that is disabled stays disabled, whatever changes', async () => {
    const clientId = await register();
    await disableClient(server.context, { tenantId: acme.id, clientId });
    expect(await change(clientId, { name: 'Still off' })).toMatchObject({ outcome: 'updated' });
    const [row] = await queryAsSuperuser<{ status: string }>(
      server.database,
      'select status from clients where client_id = $1',
      [clientId],
    );
    expect(row?.status).toBe('disabled');
  });

  it('that is changed twice at the same moment holds both changes', async () => {
    const clientId = await register();
    await Promise.all([
      change(clientId, { settings: { default_max_age: 60 } }),
      change(clientId, { settings: { refresh_grace_seconds: 5 } }),
      change(clientId, { name: 'Both' }),
    ]);
    expect(await stored(clientId)).toMatchObject({
      name: 'Both',
      settings: { default_max_age: 60, refresh_grace_seconds: 5 },
    });
  });
});
