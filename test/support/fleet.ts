/** Devices of a test's own, paired through the pages like any other. */
import { deviceGrantType } from '#src/domain/device_grant.ts';
import { beginPairing, createPairer, type Pairer, pollFor } from './device_pairing.ts';
import { queryAsSuperuser } from './superuser.ts';
import type { TestServer } from './test_server.ts';
import type { TestClient, TestTenant } from './world.ts';

export interface PairedDevice {
  readonly deviceId: string;
  readonly accessToken: string;
  readonly refreshToken: string;
}

export interface DeviceToPair {
  readonly form?: Readonly<Record<string, string>>;
  readonly client?: TestClient;
  /** Whose it becomes; the tenant's own person unless told. */
  readonly pairer?: Pairer;
}

/** Throws when anything on the way is refused. */
export async function pairDevice(
  server: TestServer,
  tenant: TestTenant,
  { form = {}, client = tenant.clients.device, pairer = createPairer(server, tenant) }: DeviceToPair = {},
): Promise<PairedDevice> {
  const begun = await beginPairing(tenant, { form, client });
  const page = await pairer.answer(begun.user_code, 'allow');
  if (page.status !== 200) throw new Error(`${page.status} at ${page.url}`);
  const { status, json } = await pollFor(tenant, begun, client);
  if (status !== 200) throw new Error(`${deviceGrantType}: ${status} ${JSON.stringify(json)}`);
  const [row] = await queryAsSuperuser<{ device_id: string }>(
    server.database,
    'select device_id from devices where tenant_id = $1 order by device_id desc limit 1',
    [tenant.id],
  );
  return {
    deviceId: row?.device_id ?? '',
    accessToken: String(json['access_token']),
    refreshToken: String(json['refresh_token']),
  };
}
