/**
 * This file owns which events are told to whoever keeps answers of ours: those after which something that was true of a token may not
 * be any more. It does not own how they are told (subscribers/signal_hub.ts, migrations/0032).
 */

/** Names of events (event.ts), and of those that later parts record. */
export const SIGNAL_TYPES = [
  'api.disabled',
  'api_key.revoked',
  'client.disabled',
  'client.secret_rotated',
  'consent.revoked',
  'device.expired',
  'device.quarantined',
  'device.revoked',
  'device.transferred',
  'devices.quarantined',
  'devices.revoked',
  'grant.revoked',
  'key.retired',
  'mfa.removed',
  'mfa.reset',
  'password.changed',
  'password.reset',
  'role.assigned',
  'session.revoked',
  'tenant.deleted',
  'tenant.suspended',
  'token.reuse_detected',
  'token.revoked',
  'user.deleted',
  'user.disabled',
  'user.signed_out',
] as const;

/** What is told: whom and what it is about, as far as it is about somebody. With none of them it is about everything of the tenant. */
export interface Signal {
  /** Of the event. */
  readonly id: string;
  readonly tenant: string;
  readonly type: string;
  readonly user_id?: string;
  readonly client_id?: string;
  readonly session_id?: string;
  readonly device_id?: string;
}

/** About everything of the tenant, whoever did it: the database names them as the one it was about. */
const aboutEverything = /^(?:api|devices|key|tenant)\./;

const partNames = ['user_id', 'client_id', 'session_id', 'device_id'] as const;

/** Reads an announcement of the database. Undefined for what cannot be one: whoever can connect can announce. */
export function parseSignal(text: string): Signal | undefined {
  const parsed = parseObject(text);
  const { id, tenant, type } = parsed;
  if (typeof id !== 'string' || typeof tenant !== 'string' || typeof type !== 'string') return undefined;
  const parts = (aboutEverything.test(type) ? [] : partNames).flatMap((name) => {
    const value = parsed[name];
    return typeof value === 'string' ? [[name, value] as const] : [];
  });
  return { id, tenant, type, ...Object.fromEntries(parts) };
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {};
  } catch {
    return {};
  }
}
