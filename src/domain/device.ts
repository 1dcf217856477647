/**
 * This file owns what a paired device is: the states it can be in and which change leads from one to another, and when it will fall
 * silent. It does not own how one is paired (device_grant.ts) or what it says (telemetry.ts).
 */

/** `quarantined`: nothing of it works until it is released. `retired`: its grant has ended, for ever. */
export const DEVICE_STATES = ['active', 'quarantined', 'retired'] as const;
export type DeviceState = (typeof DEVICE_STATES)[number];

/** What somebody can do about the state of a device. */
export const DEVICE_CHANGES = ['quarantine', 'release', 'revoke'] as const;
export type DeviceChange = (typeof DEVICE_CHANGES)[number];

interface Change {
  readonly from: readonly DeviceState[];
  readonly to: DeviceState;
  /** What is written down of one, and of many at once. */
  readonly event: 'device.quarantined' | 'device.released' | 'device.revoked';
  readonly eventOfMany: 'devices.quarantined' | 'devices.released' | 'devices.revoked';
}

export const deviceChanges = {
  quarantine: {
    from: ['active'],
    to: 'quarantined',
    event: 'device.quarantined',
    eventOfMany: 'devices.quarantined',
  },
  release: { from: ['quarantined'], to: 'active', event: 'device.released', eventOfMany: 'devices.released' },
  revoke: { from: ['active', 'quarantined'], to: 'retired', event: 'device.revoked', eventOfMany: 'devices.revoked' },
} as const satisfies Readonly<Record<DeviceChange, Change>>;

/** A change that was made already is no refusal: whoever asks twice has what they want. Nothing comes back from retirement. */
export function judgeChange(state: DeviceState, change: DeviceChange): 'changes' | 'made_already' | 'retired' {
  const { from, to }: Change = deviceChanges[change];
  if (from.includes(state)) return 'changes';
  return state === to ? 'made_already' : 'retired';
}

/** The change that leads to a state, as a program wishes for it. */
export function changeTo(state: DeviceState): DeviceChange {
  const [change] = DEVICE_CHANGES.filter((candidate) => deviceChanges[candidate].to === state);
  if (change === undefined) throw new Error(`nothing leads to ${state}`);
  return change;
}

/** How long an offer of a device to another member stands. */
export const OFFER_DAYS = 7;

/** The most that one statement changes: long enough to matter, short enough to wait for. */
export const MAXIMUM_CHANGED_TOGETHER = 1_000;

const dayMilliseconds = 86_400_000;

/** A day of the calendar is not meant: so many times twenty-four hours. */
export function daysFrom(instant: Date, days: number): Date {
  return new Date(instant.getTime() + days * dayMilliseconds);
}

interface Lasting {
  readonly pairedAt: Date;
  /** Unless it is heard of before. */
  readonly expiresAt: Date;
}

/**
 * Why a device will be without tokens at `expiresAt`: because it is `silent` (it could still refresh, and last longer), or because this
 * is the `end`, however often it refreshes. `absoluteSeconds`: how long a chain of a device's refresh tokens may last at all.
 */
export function reasonOfExpiry({ pairedAt, expiresAt }: Lasting, absoluteSeconds: number): 'silent' | 'end' {
  const endAt = pairedAt.getTime() + absoluteSeconds * 1000;
  // The chain began some seconds before the row says so.
  return expiresAt.getTime() >= endAt - 60_000 ? 'end' : 'silent';
}
