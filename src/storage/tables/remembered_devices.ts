/** Browsers in which a person has signed in before, each known by a cookie whose value the database does not have. */
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Transaction } from '../database.ts';

export interface RememberedDeviceRow {
  readonly id: string;
  readonly token_hash: Buffer;
  readonly user_agent: string | null;
  readonly ip: string | null;
  readonly created_at: Date;
  readonly last_used_at: Date;
  readonly second_factor_spared_until: Date | null;
}

export interface DeviceSeen {
  readonly tenantId: TenantId;
  readonly userId: UserId;
  readonly userAgent: string | undefined;
  readonly ip: string | undefined;
  readonly now: Date;
  readonly expiresAt: Date;
}

/** True when this person has another one at this tenant: then this browser is news to them. */
export async function insertRememberedDevice(
  transaction: Transaction,
  device: DeviceSeen & {
    readonly id: string;
    readonly tokenHash: Buffer;
    readonly secondFactorSparedUntil: Date | undefined;
  },
): Promise<boolean> {
  const rows = await transaction.query<{ has_others: boolean }>(
    `insert into remembered_devices (tenant_id, token_hash, id, user_id, user_agent, ip, created_at, last_used_at,
                                     second_factor_spared_until, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9)
     returning exists (select from remembered_devices d
                        where d.tenant_id = $1 and d.user_id = $4 and d.expires_at > $7) as has_others`,
    [
      device.tenantId,
      device.tokenHash,
      device.id,
      device.userId,
      device.userAgent ?? null,
      device.ip ?? null,
      device.now,
      device.secondFactorSparedUntil ?? null,
      device.expiresAt,
    ],
  );
  return rows[0]?.has_others === true;
}

/** False when it is not this person's (any more). `secondFactorSparedUntil`: undefined leaves it as it is. */
export async function touchRememberedDevice(
  transaction: Transaction,
  device: DeviceSeen & { readonly tokenHash: Buffer; readonly secondFactorSparedUntil: Date | undefined },
): Promise<boolean> {
  const rows = await transaction.query(
    `update remembered_devices
        set last_used_at = $4, user_agent = $5, ip = $6, expires_at = $7,
            second_factor_spared_until = coalesce($8, second_factor_spared_until)
      where tenant_id = $1 and token_hash = $2 and user_id = $3 and expires_at > $4 returning id`,
    [
      device.tenantId,
      device.tokenHash,
      device.userId,
      device.now,
      device.userAgent ?? null,
      device.ip ?? null,
      device.expiresAt,
      device.secondFactorSparedUntil ?? null,
    ],
  );
  return rows.length === 1;
}

/** The last used first; at most a hundred. */
export async function listRememberedDevices(
  transaction: Transaction,
  { tenantId, userId, now }: { readonly tenantId: TenantId; readonly userId: UserId; readonly now: Date },
): Promise<readonly RememberedDeviceRow[]> {
  return transaction.query<RememberedDeviceRow>(
    `select id, token_hash, user_agent, ip, created_at, last_used_at, second_factor_spared_until from remembered_devices
      where tenant_id = $1 and user_id = $2 and expires_at > $3 order by last_used_at desc, id limit 100`,
    [tenantId, userId, now],
  );
}

/** One of a person's, or with no `id` all of them. How many. */
export async function deleteRememberedDevices(
  transaction: Transaction,
  { tenantId, userId, id }: { readonly tenantId: TenantId; readonly userId: UserId; readonly id?: string | undefined },
): Promise<number> {
  const rows = await transaction.query(
    'delete from remembered_devices where tenant_id = $1 and user_id = $2 and ($3::uuid is null or id = $3) returning id',
    [tenantId, userId, id ?? null],
  );
  return rows.length;
}

/** In none of their browsers a second factor is spared any more. */
export async function spareNoSecondFactor(
  transaction: Transaction,
  { tenantId, userId }: { readonly tenantId: TenantId; readonly userId: UserId },
): Promise<void> {
  await transaction.query(
    'update remembered_devices set second_factor_spared_until = null where tenant_id = $1 and user_id = $2',
    [tenantId, userId],
  );
}
