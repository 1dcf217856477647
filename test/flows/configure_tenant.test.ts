/** A tenant says differently what the installation says, and every server builds its engine anew. */
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { readEvents } from '#test/support/superuser.ts';
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

async function responseModesOf({ issuer }: TestTenant): Promise<readonly string[]> {
  const answer = await fetch(`${issuer}/.well-known/openid-configuration`);
  return ((await answer.json()) as { response_modes_supported: string[] }).response_modes_supported;
}

/** Asks until the announcement has arrived; fails with the test's own time limit. */
async function until(tenant: TestTenant, expected: boolean): Promise<void> {
  while ((await responseModesOf(tenant)).includes('jwt') !== expected) await new Promise(setImmediate);
}

describe('a tenant that switches an extension on', () => {
  it('has it at once, and nobody else has', async () => {
    expect(await responseModesOf(acme)).not.toContain('jwt');
    const changes = [{ name: 'protocol.jarm', value: true }] as const;
    expect(await configureTenant(server.context, { id: acme.id, changes })).toEqual({ outcome: 'changed' });
    await until(acme, true);
    expect(await responseModesOf(globex)).not.toContain('jwt');
    expect(await configureTenant(server.context, { id: acme.id, changes })).toEqual({ outcome: 'unchanged' });

    const events = await readEvents(server.database, { tenantId: acme.id, types: ['tenant.configured'] });
    expect(events).toEqual([expect.objectContaining({ data: { 'protocol.jarm': true }, outcome: 'success' })]);
  });

  it('goes back to what the installation says', async () => {
    const changes = [{ name: 'protocol.jarm', value: undefined }] as const;
    expect(await configureTenant(server.context, { id: acme.id, changes })).toEqual({ outcome: 'changed' });
    await until(acme, false);
  });
});
