/**
 * Reads that several requests ask in one turn of the event loop, answered by one statement: most of what a small read costs is
 * not the reading. Every request still gets its own answer. Measured: docs/performance.md.
 */
import type { TenantDatabase } from './database.ts';

/** Answers all keys, in their order. */
export type ReadMany<Key, Found> = (
  tenant: TenantDatabase,
  keys: readonly Key[],
) => Promise<readonly (Found | undefined)[]>;

interface Asked<Key, Found> {
  readonly key: Key;
  readonly resolve: (found: Found | undefined) => void;
  readonly reject: (fault: unknown) => void;
}

const maximumTogether = 100;

/** A function that reads one and travels with the others of its turn. */
export function createReadTogether<Key, Found>(
  readMany: ReadMany<Key, Found>,
): (tenant: TenantDatabase, key: Key) => Promise<Found | undefined> {
  const asked = new WeakMap<TenantDatabase, Asked<Key, Found>[]>();

  async function answer(tenant: TenantDatabase, group: readonly Asked<Key, Found>[]): Promise<void> {
    try {
      const found = await readMany(
        tenant,
        group.map(({ key }) => key),
      );
      for (const [index, { resolve }] of group.entries()) resolve(found[index]);
    } catch (fault) {
      for (const { reject } of group) reject(fault);
    }
  }

  return (tenant, key) =>
    new Promise((resolve, reject) => {
      const group = asked.get(tenant);
      if (group !== undefined && group.length < maximumTogether) {
        group.push({ key, resolve, reject });
        return;
      }
      const opened = [{ key, resolve, reject }];
      asked.set(tenant, opened);
      setImmediate(() => {
        if (asked.get(tenant) === opened) asked.delete(tenant);
        void answer(tenant, opened);
      });
    });
}
