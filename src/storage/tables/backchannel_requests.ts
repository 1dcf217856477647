/** Requests for somebody's answer at another device: a view over the engine's (`artifacts` of that kind), and how often one is polled. */
import type { TenantDatabase } from '../database.ts';
import type { Payload } from './artifacts.ts';

export interface BackchannelRequestRow {
  readonly id_hash: Buffer;
  readonly client_id: string;
  readonly payload: Payload;
  readonly created_at: Date;
  readonly expires_at: Date;
}

const pending = {
  name: 'backchannel_requests_pending',
  text: 'select * from backchannel_requests_pending($1, $2, $3, $4)',
} as const;
const poll = { name: 'artifact_poll', text: 'select artifact_poll($1, $2, $3, $4, $5) as in_time' } as const;

/** What waits for this person's answer, the latest first. */
export function listPendingRequests(
  tenant: TenantDatabase,
  { accountId, now, limit }: { readonly accountId: string; readonly now: Date; readonly limit: number },
): Promise<readonly BackchannelRequestRow[]> {
  return tenant.read<BackchannelRequestRow>(pending, [accountId, now, limit]);
}

/** Notes a poll for an artifact of any kind. False when it comes too early after the last one that was let through: RFC 8628 §3.5. */
export async function notePoll(tenant: TenantDatabase, { kind, idHash, now, intervalSeconds }: Poll): Promise<boolean> {
  const rows = await tenant.write<{ in_time: boolean }>(poll, [kind, idHash, now, intervalSeconds]);
  return rows[0]?.in_time === true;
}

export interface Poll {
  readonly kind: string;
  readonly idHash: Buffer;
  readonly now: Date;
  readonly intervalSeconds: number;
}
