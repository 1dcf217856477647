/** The table `devices`: what was paired, by whom, and whether it may go on. A row is made by `artifacts_commit_with_device` (migrations/0027). */

import type { TenantDatabase } from '../database.ts';

export type DeviceState = 'active' | 'quarantined' | 'retired';

/** A device with its first tokens. Hashes are hexadecimal, instants ISO 8601. */
export interface NewDevice {
  readonly device_id: string;
  readonly client_id: string;
  readonly user_id: string;
  readonly name: string;
  readonly model: string | undefined;
  readonly firmware: string | undefined;
  /** RFC 7638, of the key that its tokens are bound to. */
  readonly key_thumbprint: string | undefined;
  readonly grant_id: string;
  readonly scopes: readonly string[];
  readonly address: string | undefined;
  readonly expires_at: string;
}

const count = { name: 'devices_count', text: 'select devices_count($1, $2, $3) as devices' } as const;

/** How many this person has, with those that they have approved and that have yet to come for their tokens. */
export async function countDevicesOf(
  tenant: TenantDatabase,
  { userId, now }: { readonly userId: string; readonly now: Date },
): Promise<number> {
  return (await tenant.read<{ devices: number }>(count, [userId, now]))[0]?.devices ?? 0;
}
