/**
 * Cursors of lists: where the next part begins, signed, so that nothing which a list did not say itself ever reaches a statement. A cursor
 * is good for the list it came from, with the same filters, in the same tenant.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

export interface Cursors {
  sign(list: string, place: string): string;
  /** The place that was signed for this list; undefined for everything else. */
  open(list: string, cursor: string): string | undefined;
}

const macBytes = 16;

/** @param keys Of the first one cursors are made, and those of every one are taken. */
export function createCursors(keys: readonly Buffer[]): Cursors {
  const macOf = (key: Buffer, list: string, place: string): Buffer =>
    createHmac('sha256', key).update(`${list}\n${place}`).digest().subarray(0, macBytes);
  const [first] = keys;
  if (first === undefined) throw new Error('cursors need a key');
  return {
    sign: (list, place) => Buffer.concat([macOf(first, list, place), Buffer.from(place)]).toString('base64url'),
    open(list, cursor) {
      const bytes = Buffer.from(cursor, 'base64url');
      // One spelling for each: base64url has room for others that mean the same.
      if (bytes.length <= macBytes || bytes.toString('base64url') !== cursor) return undefined;
      const place = bytes.subarray(macBytes).toString('utf8');
      const mac = bytes.subarray(0, macBytes);
      return keys.some((key) => timingSafeEqual(mac, macOf(key, list, place))) ? place : undefined;
    },
  };
}

/** Which list it is: the tenant, its address, and everything that was asked of it but how much. */
export function listName(tenantId: string, path: string, parameters: URLSearchParams): string {
  const filters = [...parameters].filter(([name]) => name !== 'cursor' && name !== 'limit').sort();
  return JSON.stringify([tenantId, path, filters]);
}
