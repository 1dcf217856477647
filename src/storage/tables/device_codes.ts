/** Device codes while somebody polls for them: artifacts of that kind, read and paced in one statement (migrations/0027). */
import type { TenantDatabase } from '../database.ts';
import type { ArtifactRow } from './artifacts.ts';

/** How often a code may be asked for, in seconds. */
export interface Pace {
  readonly intervalSeconds: number;
  readonly toleranceSeconds: number;
  /** What each poll that comes too early adds to the interval of its code, and where that ends. */
  readonly longerSeconds: number;
  readonly longestSeconds: number;
}

/** Undefined for what is not there and for what belongs to a dead account or client. `in_time` is false for a poll that came too early. */
export async function pollDeviceCode(
  tenant: TenantDatabase,
  { idHash, clientId, now, pace }: { idHash: Buffer; clientId: string; now: Date; pace: Pace },
): Promise<(ArtifactRow & { readonly in_time: boolean }) | undefined> {
  const { intervalSeconds, toleranceSeconds, longerSeconds, longestSeconds } = pace;
  const values = [idHash, clientId, now, intervalSeconds, toleranceSeconds, longerSeconds, longestSeconds];
  return (await tenant.write<ArtifactRow & { in_time: boolean }>(poll, values))[0];
}

const poll = {
  name: 'device_code_poll',
  text: 'select * from device_code_poll($1, $2, $3, $4, $5, $6, $7, $8)',
} as const;
