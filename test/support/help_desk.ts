/** An application that asks people at another device (CIBA), at a tenant that has it switched on for it. */
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { callServer } from './installation.ts';
import type { TestServer } from './test_server.ts';
import { callbackUri, type TestClient, type TestTenant } from './world.ts';

/** @param ports Of every server of the installation: each hears of a changed tenant a moment later. */
export async function registerHelpDesk(
  { context }: Pick<TestServer, 'context'>,
  tenant: TestTenant,
  ports: readonly number[],
): Promise<TestClient> {
  await configureTenant(context, { id: tenant.id, changes: [{ name: 'protocol.ciba', value: true }] });
  const created = await createClient(context, {
    tenantId: tenant.id,
    client: {
      name: 'Help desk',
      type: 'web',
      redirectUris: [callbackUri],
      settings: { backchannel_token_delivery_mode: 'poll' },
    },
  });
  if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
  for (const port of ports) {
    const ask = () => callServer(port, `${tenant.issuer}/bc-authorize`, { form: {} });
    while ((await ask()).status === 404);
  }
  return { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
}
