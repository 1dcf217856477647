/**
 * The table `devices`: what was paired, by whom, and whether it may go on. A row is made by `artifacts_commit_with_device`
 * (migrations/0027), what happens to many or to a grant is a function of migrations/0028, and the rest is here.
 */
import type { DeviceState } from '#src/domain/device.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Database, TenantDatabase, Transaction } from '../database.ts';
import type { EventRow } from '../event_log.ts';

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

export interface DeviceRow {
  readonly device_id: string;
  readonly client_id: string;
  readonly client_name: string;
  readonly user_id: UserId;
  readonly owner_email: string;
  readonly name: string;
  readonly model: string | null;
  readonly firmware: string | null;
  readonly key_thumbprint: string | null;
  readonly state: DeviceState;
  readonly state_changed_at: Date;
  readonly scopes: readonly string[];
  readonly paired_at: Date;
  readonly paired_address: string | null;
  readonly last_seen_at: Date;
  readonly last_seen_address: string | null;
  readonly expires_at: Date;
  readonly offered_to: UserId | null;
  readonly offered_until: Date | null;
  readonly refused_at: Date | null;
  readonly refused_because: string | null;
}

const columns = `d.device_id, d.client_id, c.name as client_name, d.user_id, u.email::text as owner_email, d.name, d.model, d.firmware,
  d.key_thumbprint, d.state, d.state_changed_at, d.scopes, d.paired_at, host(d.paired_address) as paired_address, d.last_seen_at,
  host(d.last_seen_address) as last_seen_address, d.expires_at, d.offered_to, d.offered_until, d.refused_at, d.refused_because`;
const joined = `devices d join clients c on c.tenant_id = d.tenant_id and c.client_id = d.client_id join users u on u.id = d.user_id`;

/** Which devices are meant; what is undefined does not matter. */
export interface DeviceFilter {
  readonly states?: readonly DeviceState[] | undefined;
  readonly userId?: UserId | undefined;
  readonly clientId?: string | undefined;
  readonly model?: string | undefined;
  readonly firmware?: string | undefined;
  /** Not heard of since then. */
  readonly seenBefore?: Date | undefined;
  readonly expiresBefore?: Date | undefined;
}

/** The latest paired first: their identifiers begin with the time. */
export async function listDeviceRows(
  transaction: Transaction,
  {
    tenantId,
    filter,
    before,
    limit,
  }: {
    readonly tenantId: TenantId;
    readonly filter: DeviceFilter;
    readonly before?: string | undefined;
    readonly limit: number;
  },
): Promise<readonly DeviceRow[]> {
  return transaction.query<DeviceRow>(
    `select ${columns} from ${joined}
      where d.tenant_id = $1
        and ($2::text[] is null or d.state = any ($2)) and ($3::uuid is null or d.user_id = $3)
        and ($4::text is null or d.client_id = $4) and ($5::text is null or d.model = $5)
        and ($6::text is null or d.firmware = $6) and ($7::timestamptz is null or d.last_seen_at < $7)
        and ($8::timestamptz is null or d.expires_at < $8) and ($9::uuid is null or d.device_id < $9)
      order by d.device_id desc limit $10`,
    [
      tenantId,
      filter.states ?? null,
      filter.userId ?? null,
      filter.clientId ?? null,
      filter.model ?? null,
      filter.firmware ?? null,
      filter.seenBefore ?? null,
      filter.expiresBefore ?? null,
      before ?? null,
      limit,
    ],
  );
}

/** One device; with `userId`, only if it is theirs. */
export interface OneDevice {
  readonly tenantId: TenantId;
  readonly deviceId: string;
  readonly userId?: UserId | undefined;
}

export async function findDevice(
  transaction: Transaction,
  { tenantId, deviceId, userId }: OneDevice,
): Promise<DeviceRow | undefined> {
  const rows = await transaction.query<DeviceRow>(
    `select ${columns} from ${joined} where d.tenant_id = $1 and d.device_id = $2 and ($3::uuid is null or d.user_id = $3)`,
    [tenantId, deviceId, userId ?? null],
  );
  return rows[0];
}

/** Offers to a member that still stand, the latest first. */
export async function listDevicesOffered(
  transaction: Transaction,
  { tenantId, userId, now }: { readonly tenantId: TenantId; readonly userId: UserId; readonly now: Date },
): Promise<readonly DeviceRow[]> {
  return transaction.query<DeviceRow>(
    `select ${columns} from ${joined}
      where d.tenant_id = $1 and d.offered_to = $2 and d.offered_until > $3 and d.state <> 'retired'
      order by d.device_id desc limit 100`,
    [tenantId, userId, now],
  );
}

/** False when there is no such device, or it is retired. */
export async function renameDeviceRow(
  transaction: Transaction,
  { tenantId, deviceId, userId, name }: OneDevice & { readonly name: string },
): Promise<boolean> {
  const rows = await transaction.query(
    `update devices set name = $4
      where tenant_id = $1 and device_id = $2 and ($3::uuid is null or user_id = $3) and state <> 'retired' returning device_id`,
    [tenantId, deviceId, userId ?? null, name],
  );
  return rows.length === 1;
}

/** From one state that can be left to another that can. False when it was not in it any more. */
export async function updateDeviceState(
  transaction: Transaction,
  {
    tenantId,
    deviceId,
    from,
    to,
    now,
  }: OneDevice & { readonly from: readonly DeviceState[]; readonly to: DeviceState; readonly now: Date },
): Promise<boolean> {
  const rows = await transaction.query(
    `update devices set state = $4, state_changed_at = $5
      where tenant_id = $1 and device_id = $2 and state = any ($3) returning device_id`,
    [tenantId, deviceId, from, to, now],
  );
  return rows.length === 1;
}

/** Whom it is offered to, and until when; nobody in place of an address that is no member's. False when it is retired or gone. */
export async function offerDeviceRow(
  transaction: Transaction,
  offer: OneDevice & { readonly offeredTo: UserId | undefined; readonly offeredUntil: Date },
): Promise<boolean> {
  const rows = await transaction.query(
    `update devices set offered_to = $4, offered_until = $5
      where tenant_id = $1 and device_id = $2 and ($3::uuid is null or user_id = $3) and state <> 'retired' returning device_id`,
    [offer.tenantId, offer.deviceId, offer.userId ?? null, offer.offeredTo ?? null, offer.offeredUntil],
  );
  return rows.length === 1;
}

/** By its owner (`userId`), or by whom it is offered to (`offeredTo`). False when there is no offer. */
export async function withdrawOfferRow(
  transaction: Transaction,
  offer: OneDevice & { readonly offeredTo?: UserId | undefined },
): Promise<boolean> {
  const rows = await transaction.query(
    `update devices set offered_to = null, offered_until = null
      where tenant_id = $1 and device_id = $2 and offered_until is not null
        and ($3::uuid is null or user_id = $3) and ($4::uuid is null or offered_to = $4) returning device_id`,
    [offer.tenantId, offer.deviceId, offer.userId ?? null, offer.offeredTo ?? null],
  );
  return rows.length === 1;
}

/** What the new owner's sign-in was like (RFC 8176), for the tokens that speak for them from here on. */
export interface AcceptingAuthentication {
  readonly amr: readonly string[];
  readonly acr: string | undefined;
  /** Seconds since 1970. */
  readonly authTime: number;
}

/** Who had it until now; undefined when the offer does not stand any more. */
export async function acceptDeviceRow(
  transaction: Transaction,
  accepted: OneDevice & {
    readonly userId: UserId;
    readonly now: Date;
    readonly authentication: AcceptingAuthentication;
  },
): Promise<UserId | undefined> {
  const { tenantId, deviceId, userId, now, authentication } = accepted;
  const [answer] = await transaction.query<{ giver: UserId | null }>(
    'select device_accept($1, $2, $3, $4, $5) as giver',
    [tenantId, deviceId, userId, now, JSON.stringify(authentication)],
  );
  return answer?.giver ?? undefined;
}

/** Ends its grant, with everything issued under it, and tells of it. False when it is gone or has ended already. */
export async function retireDevice(
  transaction: Transaction,
  { tenantId, deviceId, now, events }: OneDevice & { readonly now: Date; readonly events: readonly EventRow[] },
): Promise<boolean> {
  const text = 'select device_retire($1, $2, $3, $4) as retired';
  const [answer] = await transaction.query<{ retired: boolean }>(text, [
    tenantId,
    deviceId,
    now,
    JSON.stringify(events),
  ]);
  return answer?.retired === true;
}

/** Devices of one make: each that is given must be so. */
export interface DeviceMake {
  readonly clientId?: string | undefined;
  readonly model?: string | undefined;
  readonly firmware?: string | undefined;
}

/** How many it changed: `limit` at most. */
export async function changeManyDevices(
  transaction: Transaction,
  change: DeviceMake & {
    readonly tenantId: TenantId;
    readonly to: DeviceState;
    readonly now: Date;
    readonly limit: number;
  },
): Promise<number> {
  const { tenantId, now, to, clientId, model, firmware, limit } = change;
  const values = [tenantId, now, to, clientId ?? null, model ?? null, firmware ?? null, limit];
  const text = 'select devices_change($1, $2, $3, $4, $5, $6, $7) as changed';
  return (await transaction.query<{ changed: number }>(text, values))[0]?.changed ?? 0;
}

/** What was noted of a device; `device_id` is its only key, instants are ISO 8601. */
export interface DeviceNote {
  readonly device_id: string;
  readonly seen_at?: string | undefined;
  readonly address?: string | undefined;
  readonly expires_at?: string | undefined;
  readonly refused_at?: string | undefined;
  readonly refused_because?: string | undefined;
}

const note = { name: 'devices_note', text: 'select devices_note($1, $2)' } as const;

/** Each device once. */
export async function noteDevices(tenant: TenantDatabase, notes: readonly DeviceNote[]): Promise<void> {
  await tenant.write(note, [JSON.stringify(notes)]);
}

export interface DeviceEventRow {
  readonly id: string;
  readonly occurred_at: Date;
  readonly type: string;
  readonly outcome: 'success' | 'failure';
  readonly reason: string | null;
  readonly actor_type: string | null;
  readonly actor_id: string | null;
  readonly ip: string | null;
  readonly data: Readonly<Record<string, unknown>> | null;
}

const eventsOfDevice = { name: 'events_of_device', text: 'select * from events_of_device($1, $2, $3, $4)' } as const;
const afterAll = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

/** Its history, the latest first: also what happened to many at once, it among them. */
export function listDeviceEvents(
  tenant: TenantDatabase,
  {
    deviceId,
    before,
    limit,
  }: { readonly deviceId: string; readonly before?: string | undefined; readonly limit: number },
): Promise<readonly DeviceEventRow[]> {
  return tenant.read<DeviceEventRow>(eventsOfDevice, [deviceId, before ?? afterAll, limit]);
}

/** Retires whatever fell silent and forgets what was retired before `forgetBefore`, so many of each at most. */
export async function tidyDevices(
  transaction: Transaction,
  {
    tenantId,
    now,
    forgetBefore,
    limit,
  }: { readonly tenantId: TenantId; readonly now: Date; readonly forgetBefore: Date; readonly limit: number },
): Promise<{ readonly silent: readonly string[]; readonly forgotten: number }> {
  const text = 'select * from devices_tidy($1, $2, $3, $4)';
  const [answer] = await transaction.query<{ silent: readonly string[]; forgotten: number }>(text, [
    tenantId,
    now,
    forgetBefore,
    limit,
  ]);
  return answer ?? { silent: [], forgotten: 0 };
}

/** Tenants that have any, in order, after the one given. */
export async function listTenantsWithDevices(
  database: Database,
  { after, limit }: { readonly after: TenantId | undefined; readonly limit: number },
): Promise<readonly TenantId[]> {
  const first = '00000000-0000-0000-0000-000000000000';
  const text = 'select tenants_with_devices($1, $2) as id';
  return (await database.platform.query<{ id: TenantId }>(text, [after ?? first, limit])).map(({ id }) => id);
}
