/**
 * A device goes from one member to another. Its tokens will speak for the new owner, so nobody can be made one: it is offered, by its
 * owner or by an administrator, and the other accepts it in a fresh sign-in of their own (docs/decisions/0036). From then on nothing of
 * the first owner lives on: access tokens end at once, and the next refresh is in the name of the new one.
 */
import { AUTHENTICATION_CONTEXTS } from '#src/domain/authentication.ts';
import { daysFrom, OFFER_DAYS } from '#src/domain/device.ts';
import { mayHaveDevices, type PeopleSettings } from '#src/domain/people_settings.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import {
  type AcceptingAuthentication,
  acceptDeviceRow,
  countDevicesOf,
  type DeviceRow,
  findDevice,
  listDevicesOffered,
  type OneDevice,
  offerDeviceRow,
  withdrawOfferRow,
} from '#src/storage/tables/devices.ts';
import { readAccount } from '#src/storage/tables/people.ts';
import type { FlowContext } from '../flow_context.ts';
import { showMember } from '../people/manage_people.ts';
import { type DeviceOutcome, eventAbout, withDevice } from './manage_devices.ts';

/**
 * Offers a device to whoever has this e-mail address. The answer is the same for an address that is no member's: whoever has a device must
 * not learn from it who else is here. A later offer takes the place of an earlier one.
 */
export async function offerDevice(
  context: FlowContext,
  { email, ...device }: OneDevice & { readonly email: string },
): Promise<
  { readonly outcome: 'offered'; readonly until: Date } | { readonly outcome: 'unknown' | 'retired' | 'owner_already' }
> {
  const member = await showMember(context, { tenantId: device.tenantId, email });
  const until = daysFrom(context.clock(), OFFER_DAYS);
  return withDevice(context, device, async ({ found, transaction, tell }) => {
    if (member?.id === found.user_id) return { outcome: 'owner_already' };
    const offer = { ...device, offeredTo: member?.id, offeredUntil: until };
    if (!(await offerDeviceRow(transaction, offer))) return { outcome: 'retired' };
    await tell('device.offered');
    return { outcome: 'offered', until };
  });
}

/** By the owner or an administrator; with `offeredTo`, by whom it was offered to. */
export function withdrawOffer(
  context: FlowContext,
  offer: OneDevice & { readonly offeredTo?: UserId | undefined },
): Promise<DeviceOutcome<'withdrawn'>> {
  return context.database.tenant(offer.tenantId).transaction(async (transaction) => ({
    outcome: (await withdrawOfferRow(transaction, offer)) ? 'withdrawn' : 'unknown',
  }));
}

/** What is offered to a person and can still be accepted. */
export function listOffers(
  { database, clock }: Pick<FlowContext, 'database' | 'clock'>,
  { tenantId, userId }: { readonly tenantId: TenantId; readonly userId: UserId },
): Promise<readonly DeviceRow[]> {
  return database
    .tenant(tenantId)
    .transaction((transaction) => listDevicesOffered(transaction, { tenantId, userId, now: clock() }));
}

export interface Acceptance {
  readonly tenantId: TenantId;
  readonly deviceId: string;
  /** Who is signed in, and was asked for it freshly. */
  readonly userId: UserId;
  readonly settings: PeopleSettings;
  readonly authentication: AcceptingAuthentication;
}

export type AcceptOutcome = DeviceOutcome<
  | 'accepted'
  /** What the tenant asks of whoever pairs a device it asks here as well. */
  | 'role'
  | 'second_factor'
  | 'too_many'
>;

/** `unknown`: never offered to them, not any more, or accepted already. */
export async function acceptDevice(context: FlowContext, acceptance: Acceptance): Promise<AcceptOutcome> {
  const { tenantId, deviceId, userId, authentication, settings } = acceptance;
  const tenant = context.database.tenant(tenantId);
  const now = context.clock();
  const account = await readAccount(tenant, userId);
  if (account === undefined) return { outcome: 'unknown' };
  if (!mayHaveDevices(settings, account.roles)) return { outcome: 'role' };
  const isMultiFactor = authentication.acr === AUTHENTICATION_CONTEXTS.multiFactor;
  if (settings['devices.approval_second_factor'] && !isMultiFactor) return { outcome: 'second_factor' };
  if ((await countDevicesOf(tenant, { userId, now })) >= settings['devices.maximum_per_person'])
    return { outcome: 'too_many' };
  return tenant.transaction(async (transaction): Promise<AcceptOutcome> => {
    const giver = await acceptDeviceRow(transaction, { tenantId, deviceId, userId, now, authentication });
    const found = giver === undefined ? undefined : await findDevice(transaction, { tenantId, deviceId, userId });
    if (giver === undefined || found === undefined) return { outcome: 'unknown' };
    const event = eventAbout(context.actor, { found, type: 'device.transferred' });
    const told = { ...event, data: { ...event.data, from_user_id: giver } };
    await appendEvent(transaction, { tenant, event: told, origin: context.origin, now });
    return { outcome: 'accepted' };
  });
}
