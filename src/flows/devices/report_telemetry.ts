/** What devices report of themselves: taken, kept for as long as the tenant wishes, and shown to whoever may see the device. */
import { daysFrom } from '#src/domain/device.ts';
import type { PeopleSettings } from '#src/domain/people_settings.ts';
import { parseTelemetry, type TelemetryFault, type TelemetryReport } from '#src/domain/telemetry.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { uuidv7 } from '#src/foundation/identifiers.ts';
import { findReport, listTelemetryRows, storeTelemetry, type TelemetryRow } from '#src/storage/tables/telemetry.ts';
import type { FlowContext } from '../flow_context.ts';

export type ReportOutcome =
  | { readonly outcome: 'taken' }
  | { readonly outcome: 'invalid'; readonly fault: TelemetryFault }
  | { readonly outcome: 'too_many'; readonly retryAfterSeconds: number }
  /** Quarantined or retired since its token was looked at. */
  | { readonly outcome: 'not_active' };

type Services = Pick<FlowContext, 'database' | 'clock'>;

/** `report`: parsed from JSON, and judged here. How large it was is for the door to say. */
export async function reportTelemetry(
  { database, clock }: Services,
  {
    tenantId,
    deviceId,
    report,
    settings,
  }: {
    readonly tenantId: TenantId;
    readonly deviceId: string;
    readonly report: unknown;
    readonly settings: PeopleSettings;
  },
): Promise<ReportOutcome> {
  const parsed = parseTelemetry(report);
  if (parsed.outcome === 'invalid') return parsed;
  const now = clock();
  return storeTelemetry(database.tenant(tenantId), {
    id: uuidv7(now),
    deviceId,
    now,
    report: parsed.report,
    firmware: parsed.firmware,
    perMinute: settings['devices.telemetry_per_minute'],
    keepsHistory: settings['devices.telemetry_days'] > 0,
  });
}

export interface TelemetryPage {
  /** The last word, however old; undefined when it never said anything. */
  readonly last: { readonly reported_at: Date; readonly report: TelemetryReport } | undefined;
  readonly reports: readonly TelemetryRow[];
  readonly next: TelemetryRow | undefined;
}

/** The latest first, no older than the tenant keeps them. Whether the device may be seen is for the caller to know. */
export async function listTelemetry(
  { database, clock }: Services,
  {
    tenantId,
    deviceId,
    days,
    before,
    limit,
  }: {
    readonly tenantId: TenantId;
    readonly deviceId: string;
    readonly days: number;
    readonly before?: { readonly at: Date; readonly id: string } | undefined;
    readonly limit: number;
  },
): Promise<TelemetryPage> {
  const tenant = database.tenant(tenantId);
  const since = daysFrom(clock(), -days);
  const found = await listTelemetryRows(tenant, { deviceId, since, before, limit: limit + 1 });
  const last = await tenant.transaction((transaction) => findReport(transaction, { tenantId, deviceId }));
  const reports = found.slice(0, limit);
  return { last, reports, next: found.length > limit ? reports.at(-1) : undefined };
}
