/**
 * The janitor of the fleet: devices that fell silent are retired, those retired long ago are forgotten, and telemetry goes when its
 * tenant does not keep it any longer. Everything in bounded steps; several processes may call it, and the later one finds less to do.
 */
import { daysFrom } from '#src/domain/device.ts';
import { type PeopleSettings, peopleSettingsOf } from '#src/domain/people_settings.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { readTenantSettings } from '#src/domain/tenant_settings.ts';
import { appendEvents, eventRow } from '#src/storage/event_log.ts';
import { listTenantsWithDevices, tidyDevices } from '#src/storage/tables/devices.ts';
import { forgetTelemetry } from '#src/storage/tables/telemetry.ts';
import { findTenantsById } from '#src/storage/tables/tenants.ts';
import { keepTelemetryDays } from '#src/storage/telemetry_days.ts';
import type { FlowContext } from '../flow_context.ts';

type TidyContext = Pick<FlowContext, 'database' | 'clock' | 'actor' | 'origin'>;

export interface Tidied {
  readonly silent_devices: number;
  readonly forgotten_devices: number;
  readonly forgotten_reports: number;
  readonly telemetry_days_made: number;
  readonly telemetry_days_dropped: number;
}

const together = 1_000;
/** As many as a tenant can ask for. */
const mostDays = 30;

/** `ownerUrl`: whoever may create and drop the days of telemetry. */
export async function tidyFleet(
  context: TidyContext,
  { installation, ownerUrl, signal }: { installation: PeopleSettings; ownerUrl: string; signal?: AbortSignal },
): Promise<Tidied> {
  let longestDays = installation['devices.telemetry_days'];
  const total = { silent_devices: 0, forgotten_devices: 0, forgotten_reports: 0 };
  let after: TenantId | undefined;
  do {
    const tenantIds = await listTenantsWithDevices(context.database, { after, limit: together });
    for (const { id, settings: own } of await findTenantsById(context.database, tenantIds)) {
      if (signal?.aborted === true) break;
      const settings = peopleSettingsOf(installation, readTenantSettings(own).people);
      longestDays = Math.max(longestDays, settings['devices.telemetry_days']);
      const tidied = await tidyTenant(context, { tenantId: id, settings });
      total.silent_devices += tidied.silent;
      total.forgotten_devices += tidied.forgotten;
      total.forgotten_reports += tidied.reports;
    }
    after = tenantIds.length === together && signal?.aborted !== true ? tenantIds.at(-1) : undefined;
  } while (after !== undefined);
  const now = context.clock();
  // Not every tenant was asked how long it keeps them.
  const keptDays = signal?.aborted === true ? mostDays : longestDays;
  const { made, dropped } = await keepTelemetryDays(ownerUrl, { now, keptSince: daysFrom(now, -keptDays) });
  return { ...total, telemetry_days_made: made, telemetry_days_dropped: dropped };
}

/** A thousand of each at most; the rest waits for the next round. */
async function tidyTenant(
  { database, clock, actor, origin }: TidyContext,
  { tenantId, settings }: { readonly tenantId: TenantId; readonly settings: PeopleSettings },
): Promise<{ readonly silent: number; readonly forgotten: number; readonly reports: number }> {
  const now = clock();
  const tenant = database.tenant(tenantId);
  const forgetBefore = daysFrom(now, -settings['devices.retired_days']);
  const tidied = await tenant.transaction(async (transaction) => {
    const { silent, forgotten } = await tidyDevices(transaction, { tenantId, now, forgetBefore, limit: together });
    if (silent.length === 0) return { silent: 0, forgotten };
    const rows = silent.map((id) =>
      eventRow(
        { type: 'device.expired', outcome: 'success', reason: 'silent', actor, target: { type: 'device', id } },
        origin,
        now,
      ),
    );
    await transaction.query(appendEvents.text, [tenantId, JSON.stringify(rows)]);
    return { silent: silent.length, forgotten };
  });
  const before = daysFrom(now, -settings['devices.telemetry_days']);
  return { ...tidied, reports: await forgetTelemetry(tenant, { before, limit: together }) };
}
