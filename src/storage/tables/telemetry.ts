/** The tables `device_reports` (the last word of each device) and `device_telemetry` (what it said before, a partition for each day). */

import type { TelemetryReport } from '#src/domain/telemetry.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { TenantDatabase, Transaction } from '../database.ts';

const report = {
  name: 'device_report',
  text: 'select device_report($1, $2, $3, $4, $5, $6, $7, $8) as answer',
} as const;

export interface NewTelemetry {
  readonly id: string;
  readonly deviceId: string;
  readonly now: Date;
  readonly report: TelemetryReport;
  readonly firmware: string | undefined;
  readonly perMinute: number;
  readonly keepsHistory: boolean;
}

export type TelemetryTaken =
  | { readonly outcome: 'taken' | 'not_active' }
  | { readonly outcome: 'too_many'; readonly retryAfterSeconds: number };

/** One round trip; a crash may cost the last moment of it. */
export async function storeTelemetry(tenant: TenantDatabase, telemetry: NewTelemetry): Promise<TelemetryTaken> {
  const { deviceId, id, now, firmware, perMinute, keepsHistory } = telemetry;
  const values = [deviceId, id, now, JSON.stringify(telemetry.report), firmware ?? null, perMinute, keepsHistory];
  const [row] = await tenant.writeShared<{ answer: number | null }>(report, values);
  const answer = row?.answer ?? 0;
  if (answer > 0) return { outcome: 'too_many', retryAfterSeconds: answer };
  return { outcome: answer < 0 ? 'not_active' : 'taken' };
}

export interface TelemetryRow {
  readonly id: string;
  readonly received_at: Date;
  readonly report: TelemetryReport;
}

const list = {
  name: 'device_telemetry_list',
  text: 'select * from device_telemetry_list($1, $2, $3, $4, $5, $6)',
} as const;

/** The latest first, from `since` on; only those before `before`, when that is given. */
export function listTelemetryRows(
  tenant: TenantDatabase,
  wanted: {
    readonly deviceId: string;
    readonly since: Date;
    readonly before?: { readonly at: Date; readonly id: string } | undefined;
    readonly limit: number;
  },
): Promise<readonly TelemetryRow[]> {
  const { deviceId, since, before, limit } = wanted;
  const last = 'ffffffff-ffff-ffff-ffff-ffffffffffff';
  return tenant.read<TelemetryRow>(list, [deviceId, since, before?.at ?? 'infinity', before?.id ?? last, limit]);
}

/** The last word of a device. */
export async function findReport(
  transaction: Transaction,
  { tenantId, deviceId }: { readonly tenantId: TenantId; readonly deviceId: string },
): Promise<{ readonly reported_at: Date; readonly report: TelemetryReport } | undefined> {
  const rows = await transaction.query<{ reported_at: Date; report: TelemetryReport }>(
    'select reported_at, report from device_reports where tenant_id = $1 and device_id = $2',
    [tenantId, deviceId],
  );
  return rows[0];
}

const forget = { name: 'telemetry_forget', text: 'select telemetry_forget($1, $2, $3) as forgotten' } as const;

/** How many went; fewer than the limit means that nothing is left. */
export async function forgetTelemetry(
  tenant: TenantDatabase,
  { before, limit }: { readonly before: Date; readonly limit: number },
): Promise<number> {
  return (await tenant.write<{ forgotten: number }>(forget, [before, limit]))[0]?.forgotten ?? 0;
}
