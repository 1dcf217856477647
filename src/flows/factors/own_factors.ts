/** What a person sees of their own second factors, and of the browsers that are known as theirs. */
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { countBackupCodes, findTotp } from '#src/storage/tables/factors.ts';
import { listPasskeys, type PasskeyRow } from '#src/storage/tables/passkeys.ts';
import {
  deleteRememberedDevices,
  listRememberedDevices,
  type RememberedDeviceRow,
} from '#src/storage/tables/remembered_devices.ts';
import type { SignInServices } from '../sign_in/authentication_steps.ts';
import { type FactorOwner, factorEvent } from './factor_owner.ts';

export interface OwnFactors {
  readonly appSince: Date | undefined;
  readonly backupCodesLeft: number;
  readonly passkeys: readonly PasskeyRow[];
  readonly devices: readonly RememberedDeviceRow[];
}

export async function readOwnFactors(
  { database, clock, relyingParty }: SignInServices,
  { tenantId, userId }: { readonly tenantId: TenantId; readonly userId: UserId },
): Promise<OwnFactors> {
  return database.tenant(tenantId).transaction(async (transaction) => {
    const app = await findTotp(transaction, { userId, state: 'active' });
    return {
      appSince: app?.created_at,
      backupCodesLeft: await countBackupCodes(transaction, userId),
      passkeys: await listPasskeys(transaction, { userId, relyingPartyId: relyingParty.id }),
      devices: await listRememberedDevices(transaction, { tenantId, userId, now: clock() }),
    };
  });
}

/** One browser, or all of them: a second factor is asked for there again. How many. */
export async function forgetDevices(
  { database, clock }: Pick<SignInServices, 'database' | 'clock'>,
  owner: FactorOwner,
  id: string | 'all',
): Promise<number> {
  const { tenantId, userId, origin } = owner;
  const tenant = database.tenant(tenantId);
  return tenant.transaction(async (transaction) => {
    const one = id === 'all' ? undefined : id;
    const forgotten = await deleteRememberedDevices(transaction, { tenantId, userId, id: one });
    if (forgotten === 0) return 0;
    const event = factorEvent(owner, { type: 'remembered_device.removed', data: { devices: forgotten } });
    await appendEvent(transaction, { tenant, event, origin, now: clock() });
    return forgotten;
  });
}
