/** When devices were heard of, and when one was turned away: noted at every request, written every few seconds. */
import type { TenantId } from '#src/domain/tenant.ts';
import { createBatchedNotes } from './batched_notes.ts';
import type { Database } from './database.ts';
import { type DeviceNote, noteDevices } from './tables/devices.ts';

export interface DeviceNotes {
  note(tenantId: TenantId, note: DeviceNote): void;
  flush(): Promise<void>;
  close(): Promise<void>;
}

export function createDeviceNotes(
  database: Pick<Database, 'tenant'>,
  { onFault }: { readonly onFault: (fault: unknown) => void },
): DeviceNotes {
  const notes = createBatchedNotes<DeviceNote>({
    // What a later note does not say stays as it was.
    merge: (earlier, later) => ({ ...earlier, ...definedPart(later) }),
    write: (tenantId, gathered) => noteDevices(database.tenant(tenantId), gathered),
    onFault,
  });
  return {
    note: (tenantId, note) => notes.note(tenantId, note.device_id, note),
    flush: () => notes.flush(),
    close: () => notes.close(),
  };
}

function definedPart(note: DeviceNote): DeviceNote {
  return Object.fromEntries(Object.entries(note).filter(([, value]) => value !== undefined)) as unknown as DeviceNote; // less what it did not say
}
