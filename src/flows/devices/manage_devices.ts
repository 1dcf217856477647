/**
 * Devices as things, for whoever answers for them: seeing them, naming them, stopping them for a while or for good, one by one or a whole
 * make at once, and knowing beforehand which will fall silent. Every read of a token looks at its device, so what is decided here holds
 * from the next read on, on every process. Giving one to somebody else is hand_over_device.ts.
 */
import type { NamedRight } from '#src/domain/consent.ts';
import {
  type DeviceChange,
  type DeviceState,
  daysFrom,
  deviceChanges,
  judgeChange,
  MAXIMUM_CHANGED_TOGETHER,
  reasonOfExpiry,
} from '#src/domain/device.ts';
import { deviceText } from '#src/domain/device_grant.ts';
import type { EventType, NewEvent } from '#src/domain/event.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { TenantDatabase, Transaction } from '#src/storage/database.ts';
import { appendEvent, eventRow } from '#src/storage/event_log.ts';
import { listApis } from '#src/storage/tables/apis.ts';
import {
  changeManyDevices,
  type DeviceEventRow,
  type DeviceFilter,
  type DeviceMake,
  type DeviceRow,
  findDevice,
  listDeviceEvents,
  listDeviceRows,
  type OneDevice,
  renameDeviceRow,
  retireDevice,
  updateDeviceState,
} from '#src/storage/tables/devices.ts';
import type { FlowContext } from '../flow_context.ts';

export interface DevicePage {
  readonly devices: readonly DeviceRow[];
  /** The last of these, when there are more. */
  readonly next: string | undefined;
}

/** The latest paired first. */
export async function listDevices(
  { database }: Pick<FlowContext, 'database'>,
  input: {
    readonly tenantId: TenantId;
    readonly filter: DeviceFilter;
    readonly before?: string | undefined;
    readonly limit: number;
  },
): Promise<DevicePage> {
  const found = await database
    .tenant(input.tenantId)
    .transaction((transaction) => listDeviceRows(transaction, { ...input, limit: input.limit + 1 }));
  const devices = found.slice(0, input.limit);
  return { devices, next: found.length > input.limit ? devices.at(-1)?.device_id : undefined };
}

/** Undefined for one that is not there, another tenant's, and, with `userId`, another person's. */
export function showDevice(
  { database }: Pick<FlowContext, 'database'>,
  device: OneDevice,
): Promise<DeviceRow | undefined> {
  return database.tenant(device.tenantId).transaction((transaction) => findDevice(transaction, device));
}

/** `unknown`: not there, another tenant's, and, with `userId`, another person's; nobody learns which. */
export type DeviceOutcome<Word extends string> = { readonly outcome: Word | 'unknown' };

export async function renameDevice(
  context: FlowContext,
  { name, ...device }: OneDevice & { readonly name: string },
): Promise<DeviceOutcome<'renamed' | 'invalid_name' | 'retired'>> {
  const text = deviceText(name);
  if (text === undefined) return { outcome: 'invalid_name' };
  return withDevice(context, device, async ({ found, transaction, tell }) => {
    if (found.name === text) return { outcome: 'renamed' };
    if (!(await renameDeviceRow(transaction, { ...device, name: text }))) return { outcome: 'retired' };
    await tell('device.renamed');
    return { outcome: 'renamed' };
  });
}

/**
 * Stops a device for a while, lets it go on, or ends it with everything it has. `made_already`: it was so before, and nothing is told
 * a second time.
 */
export async function changeDevice(
  context: FlowContext,
  { change, reason, ...device }: OneDevice & { readonly change: DeviceChange; readonly reason?: string | undefined },
): Promise<DeviceOutcome<'changed' | 'made_already' | 'retired'>> {
  const now = context.clock();
  return withDevice(context, device, async ({ found, transaction, tell }) => {
    const verdict = judgeChange(found.state, change);
    if (verdict !== 'changes') return { outcome: verdict };
    const { from, to, event: type } = deviceChanges[change];
    if (change === 'revoke') {
      const event = eventRow(eventAbout(context.actor, { found, type, reason }), context.origin, now);
      const retired = await retireDevice(transaction, { ...device, now, events: [event] });
      return { outcome: retired ? 'changed' : 'made_already' };
    }
    // Of two who change it at the same moment the second finds it so.
    if (!(await updateDeviceState(transaction, { ...device, from, to, now }))) return { outcome: 'made_already' };
    await tell(type, reason);
    return { outcome: 'changed' };
  });
}

export type ChangeManyOutcome =
  /** `more`: there may be others like them; asking again goes on with those. */
  | { readonly outcome: 'changed'; readonly count: number; readonly more: boolean }
  /** A whole tenant is never meant by leaving everything out. */
  | { readonly outcome: 'no_filter' };

/**
 * The same for every device of a client, a model or a firmware, a thousand in one statement. Told of in one event, which says how many
 * and which were meant, and not in one for each.
 */
export async function changeDevices(
  context: FlowContext,
  {
    tenantId,
    change,
    make,
    reason,
  }: {
    readonly tenantId: TenantId;
    readonly change: DeviceChange;
    readonly make: DeviceMake;
    readonly reason?: string | undefined;
  },
): Promise<ChangeManyOutcome> {
  const { clientId, model, firmware } = make;
  if (clientId === undefined && model === undefined && firmware === undefined) return { outcome: 'no_filter' };
  const tenant = context.database.tenant(tenantId);
  const now = context.clock();
  const { to, eventOfMany } = deviceChanges[change];
  const limit = MAXIMUM_CHANGED_TOGETHER;
  const count = await tenant.transaction(async (transaction) => {
    const changed = await changeManyDevices(transaction, { tenantId, to, now, limit, ...make });
    if (changed === 0) return 0;
    const event: NewEvent = {
      type: eventOfMany,
      outcome: 'success',
      reason,
      actor: context.actor,
      target: { type: 'devices', id: 'many' },
      data: {
        count: changed,
        ...(clientId === undefined ? {} : { client_id: clientId }),
        ...(model === undefined ? {} : { model }),
        ...(firmware === undefined ? {} : { firmware }),
      },
    };
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    return changed;
  });
  return { outcome: 'changed', count, more: count === limit };
}

export interface ForecastRow {
  readonly device: DeviceRow;
  /** It could still refresh; or it cannot last longer, whatever it does. */
  readonly reason: 'silent' | 'end';
}

/** Devices that will be without tokens within so many days unless something happens, those that are next first. */
export async function forecastDevices(
  context: Pick<FlowContext, 'database' | 'clock'>,
  {
    tenantId,
    days,
    absoluteSeconds,
    userId,
  }: {
    readonly tenantId: TenantId;
    readonly days: number;
    /** How long a device may be paired at all. */
    readonly absoluteSeconds: number;
    readonly userId?: UserId | undefined;
  },
): Promise<readonly ForecastRow[]> {
  const filter = { states: ['active', 'quarantined'], expiresBefore: daysFrom(context.clock(), days), userId } as const;
  const { devices } = await listDevices(context, { tenantId, filter, limit: mostForecast });
  return devices
    .toSorted((one, other) => one.expires_at.getTime() - other.expires_at.getTime())
    .map((device) => ({
      device,
      reason: reasonOfExpiry({ pairedAt: device.paired_at, expiresAt: device.expires_at }, absoluteSeconds),
    }));
}

const mostForecast = 10_000;

/** What happened to a device, the latest first: who did what, and why it was turned away. Undefined when there is no such device. */
export async function deviceTimeline(
  context: Pick<FlowContext, 'database'>,
  { before, limit, ...device }: OneDevice & { readonly before?: string | undefined; readonly limit: number },
): Promise<
  | { readonly device: DeviceRow; readonly events: readonly DeviceEventRow[]; readonly next: string | undefined }
  | undefined
> {
  const found = await showDevice(context, device);
  if (found === undefined) return undefined;
  const wanted = { deviceId: found.device_id, before, limit: limit + 1 };
  const rows = await listDeviceEvents(context.database.tenant(device.tenantId), wanted);
  const events = rows.slice(0, limit);
  return { device: found, events, next: rows.length > limit ? events.at(-1)?.id : undefined };
}

/** How an owner's event names the device. The owner is named so that it is part of their history, whoever did it. */
export function eventAbout(
  actor: FlowContext['actor'],
  {
    found,
    type,
    reason,
  }: { readonly found: DeviceRow; readonly type: EventType; readonly reason?: string | undefined },
): NewEvent {
  return {
    type,
    outcome: 'success',
    reason,
    actor,
    target: { type: 'device', id: found.device_id },
    clientId: found.client_id,
    data: { user_id: found.user_id },
  };
}

export interface HeldDevice {
  readonly found: DeviceRow;
  readonly tenant: TenantDatabase;
  readonly transaction: Transaction;
  /** Records what was done to it, in the same transaction. */
  readonly tell: (type: EventType, reason?: string) => Promise<void>;
}

/** In one transaction, for a device that is there and theirs. */
export async function withDevice<Outcome extends object>(
  context: FlowContext,
  device: OneDevice,
  work: (held: HeldDevice) => Promise<Outcome>,
): Promise<Outcome | { readonly outcome: 'unknown' }> {
  const tenant = context.database.tenant(device.tenantId);
  return tenant.transaction(async (transaction) => {
    const found = await findDevice(transaction, device);
    if (found === undefined) return { outcome: 'unknown' };
    const tell = (type: EventType, reason?: string): Promise<void> =>
      appendEvent(transaction, {
        tenant,
        event: eventAbout(context.actor, { found, type, reason }),
        origin: context.origin,
        now: context.clock(),
      });
    return work({ found, tenant, transaction, tell });
  });
}

/** For a list that shows states as people choose them. */
export const LIVING_STATES: readonly DeviceState[] = ['active', 'quarantined'];

/** What a device may do, in the words of the APIs where they have any. */
export async function rightsOfDevices(
  { database }: Pick<FlowContext, 'database'>,
  tenantId: TenantId,
): Promise<(device: Pick<DeviceRow, 'scopes'>) => readonly NamedRight[]> {
  const apis = await database.tenant(tenantId).transaction((transaction) => listApis(transaction, tenantId));
  const words = new Map(apis.flatMap(({ scopes }) => scopes.map(({ name, description }) => [name, description])));
  return ({ scopes }) => scopes.map((name) => ({ name, description: words.get(name) }));
}
