/**
 * Everything that this tenant's installation knows of a person, for that person (GDPR articles 15 and 20). It is written field by
 * field: what is not named here is not given, so that a new column is not given away by somebody who did not think of it. Never what
 * opens anything: no hash, no secret, no code, no key.
 */
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import type { DeviceRow } from '#src/storage/tables/devices.ts';
import { type HeldFactorRow, listHeldFactors } from '#src/storage/tables/held_factors.ts';
import { listPersonalEvents, type PersonalEventRow } from '#src/storage/tables/personal_events.ts';
import { type ProfileRow, readProfile } from '#src/storage/tables/profiles.ts';
import { listRememberedDevices, type RememberedDeviceRow } from '#src/storage/tables/remembered_devices.ts';
import { type ApiKeySummary, listOwnApiKeys } from '../access/manage_api_keys.ts';
import { listDevices } from '../devices/manage_devices.ts';
import type { FlowContext } from '../flow_context.ts';
import { listPersonSessions, type SessionSummary } from '../sessions/manage_sessions.ts';
import { type ConsentSummary, listPersonConsents } from './manage_consents.ts';

/** A history of years is not one file: the latest events are, and the rest is asked of the tenant. */
const mostEvents = 10_000;
/** As many as a tenant may allow (domain/people_settings.ts), and those that have ended. */
const mostKeys = 10_000;
const mostDevices = 10_000;

export type PersonExport = Readonly<Record<string, unknown>>;

/** Undefined for who is no member. Written down: somebody who has a person's session could have asked for it. */
export async function exportPerson(
  context: FlowContext,
  { tenantId, tenantName, issuer, userId }: ToExport,
): Promise<PersonExport | undefined> {
  const tenant = context.database.tenant(tenantId);
  const now = context.clock();
  const sessions = await listPersonSessions(context, { tenantId, userId });
  const consents = await listPersonConsents(context, { tenantId, userId });
  const apiKeys = await listOwnApiKeys(context, { tenantId, userId, limit: mostKeys });
  const paired = await listDevices(context, { tenantId, filter: { userId }, limit: mostDevices });
  const events = await listPersonalEvents(tenant, { userId, since: new Date(0), limit: mostEvents });
  return tenant.transaction(async (transaction) => {
    const profile = await readProfile(transaction, { tenantId, userId });
    if (profile === undefined) return undefined;
    const factors = await listHeldFactors(transaction, userId);
    const devices = await listRememberedDevices(transaction, { tenantId, userId, now });
    const target = { type: 'user', id: userId } as const;
    const event = { type: 'user.exported', outcome: 'success', actor: context.actor, target } as const;
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    return {
      exported_at: now.toISOString(),
      tenant: { name: tenantName, issuer },
      profile: profileOf(userId, profile),
      membership: membershipOf(profile),
      second_factors: factors.map(factorOf),
      sessions: sessions.map(sessionOf),
      applications: consents.map(consentOf),
      api_keys: apiKeys.map(apiKeyOf),
      devices: paired.devices.map(pairedDeviceOf),
      remembered_devices: devices.map(deviceOf),
      events: events.map(eventOf),
      events_complete: events.length < mostEvents,
    };
  });
}

export interface ToExport {
  readonly tenantId: TenantId;
  readonly tenantName: string;
  readonly issuer: string;
  readonly userId: UserId;
}

function profileOf(userId: UserId, profile: ProfileRow) {
  return {
    sub: userId,
    email: profile.email,
    email_verified: profile.email_verified,
    given_name: profile.given_name,
    family_name: profile.family_name,
    locale: profile.locale,
    password_changed_at: profile.password_changed_at,
    known_since: profile.known_since,
  };
}

function membershipOf(profile: ProfileRow) {
  return {
    username: profile.username,
    roles: profile.roles,
    member_since: profile.member_since,
    last_sign_in_at: profile.last_sign_in_at,
    deletion_due_at: profile.deletion_due_at,
  };
}

function factorOf(factor: HeldFactorRow) {
  return {
    kind: factor.kind,
    name: factor.name,
    created_at: factor.created_at,
    last_used_at: factor.last_used_at,
  };
}

function sessionOf(session: SessionSummary) {
  return {
    id: session.id,
    created_at: session.createdAt,
    last_used_at: session.lastUsedAt,
    expires_at: session.expiresAt,
    address: session.address,
    browser: session.userAgent,
    authentication_methods: session.factors,
    applications: session.applications.map(({ client_id, name }) => ({ client_id, name })),
  };
}

function consentOf(consent: ConsentSummary) {
  return {
    client_id: consent.clientId,
    name: consent.name,
    rights: consent.rights.map(({ name, description }) => ({ name, description })),
    granted_at: consent.grantedAt,
    updated_at: consent.updatedAt,
  };
}

function apiKeyOf(key: ApiKeySummary) {
  return {
    id: key.id,
    name: key.name,
    scopes: key.scopes,
    created_at: key.createdAt,
    expires_at: key.expiresAt,
    last_used_at: key.lastUsedAt,
    last_used_address: key.lastUsedAddress,
    uses: key.uses,
  };
}

function pairedDeviceOf(device: DeviceRow) {
  return {
    id: device.device_id,
    name: device.name,
    model: device.model,
    firmware: device.firmware,
    state: device.state,
    application: { client_id: device.client_id, name: device.client_name },
    rights: device.scopes,
    paired_at: device.paired_at,
    paired_address: device.paired_address,
    last_seen_at: device.last_seen_at,
    last_seen_address: device.last_seen_address,
  };
}

function deviceOf(device: RememberedDeviceRow) {
  return {
    browser: device.user_agent,
    address: device.ip,
    created_at: device.created_at,
    last_used_at: device.last_used_at,
    second_factor_spared_until: device.second_factor_spared_until,
  };
}

function eventOf(event: PersonalEventRow) {
  return {
    time: event.occurred_at,
    type: event.type,
    outcome: event.outcome,
    reason: event.reason,
    by: event.actor_type,
    application: event.client_name ?? event.client_id,
    address: event.ip,
    browser: event.user_agent,
  };
}
