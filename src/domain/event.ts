/**
 * This file owns the catalogue of what can happen and the shape of a fact about it. It does not own how facts are kept
 * (storage/event_log.ts) or who reads them (subscribers). A name is past tense and never changes: webhooks, audit exports
 * and other people's programs know it.
 *
 * Never in an event: passwords, codes, tokens, secrets, seeds, full e-mail addresses. Events are kept for years and are
 * shown to every administrator of a tenant.
 */

/** Every name, grouped by the noun it is about. Later features add lines; none is ever renamed. */
export const EVENT_TYPES = [
  'api.authorization_details_added',
  'api.created',
  'api.deleted',
  'api.disabled',
  'api.enabled',
  'api.updated',
  'api_key.created',
  'api_key.revoked',
  'audit.exported',
  'audit.sealed',
  'backchannel_logout.delivered',
  'backchannel_logout.given_up',
  'backup_code.renewed',
  'backup_code.used',
  'client.created',
  'client.deleted',
  'client.disabled',
  'client.enabled',
  'client.secret_rotated',
  'client.updated',
  'consent.denied',
  'consent.granted',
  'consent.requested',
  'consent.revoked',
  'device.approved',
  'device.denied',
  'device.expired',
  'device.guesses_refused',
  'device.offered',
  'device.paired',
  'device.quarantined',
  'device.released',
  'device.renamed',
  'device.revoked',
  'device.transferred',
  'devices.quarantined',
  'devices.released',
  'devices.revoked',
  'email.change_requested',
  'email.changed',
  'email.verified',
  'grant.revoked',
  'initial_access_token.created',
  'invitation.accepted',
  'invitation.created',
  'invitation.revoked',
  'key.retired',
  'key.rotated',
  'mail.given_up',
  'membership.added',
  'mfa.enrolled',
  'mfa.failed',
  'mfa.removed',
  'mfa.reset',
  'operator.added',
  'operator.removed',
  'password.changed',
  'password.reset',
  'password.reset_requested',
  'permission.changed',
  'permission.created',
  'permission.deleted',
  'remembered_device.added',
  'remembered_device.removed',
  'role.assigned',
  'role.created',
  'role.deleted',
  'role.unassigned',
  'role.updated',
  'session.revoked',
  'tenant.branded',
  'tenant.configured',
  'tenant.created',
  'tenant.deleted',
  'tenant.deletion_requested',
  'tenant.deletion_withdrawn',
  'tenant.resumed',
  'tenant.suspended',
  'token.issued',
  'token.reuse_detected',
  'token.revoked',
  'user.created',
  'user.deleted',
  'user.deletion_requested',
  'user.deletion_withdrawn',
  'user.disabled',
  'user.enabled',
  'user.exported',
  'user.locked',
  'user.registered',
  'user.sign_in_failed',
  'user.signed_in',
  'user.signed_out',
  'user.unlocked',
  'user.updated',
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

/** Who did it. `operator`: whoever acts for the installation, with the command line or (then `id` is theirs) from their home tenant; `system`: a job, with nobody behind it. */
export interface EventActor {
  readonly type: 'user' | 'client' | 'api_key' | 'operator' | 'system';
  readonly id?: string | undefined;
}

/** What it was done to. `type` is the noun of the table: `user`, `client`, `role`, … */
export interface EventTarget {
  readonly type: string;
  readonly id: string;
}

/** A fact that is about to be recorded. Identifier, time, tenant and origin are added where it is appended. */
export interface NewEvent {
  readonly type: EventType;
  readonly outcome: 'success' | 'failure';
  /** For a failure: the stable word for why, for operators (`wrong_password`); the person was told less. */
  readonly reason?: string | undefined;
  readonly actor?: EventActor | undefined;
  readonly target?: EventTarget | undefined;
  readonly clientId?: string | undefined;
  readonly sessionId?: string | undefined;
  /** Flat and small: what a reader needs and cannot look up later. */
  readonly data?: Readonly<Record<string, string | number | boolean | readonly string[]>> | undefined;
}
