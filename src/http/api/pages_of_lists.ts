/**
 * Lists in parts: `?limit=&cursor=`, answered with `{"data": […], "next_cursor": …}`. A list is in the order of its identifiers, which
 * are UUIDv7 and so in the order in which things came to be; a cursor is the last one that was shown, and opens nothing.
 */
import { z } from 'zod';

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const defaultLimit = 25;
const maximumLimit = 100;

/** The query parameters of a list; a route adds its own with `.extend`. */
export const listQuery = z.strictObject({
  limit: z
    .string()
    .regex(/^[1-9]\d{0,2}$/)
    .transform(Number)
    .refine((limit) => limit <= maximumLimit, `is at most ${maximumLimit}`)
    .default(defaultLimit),
  cursor: z
    .string()
    .max(64)
    .transform((cursor) => Buffer.from(cursor, 'base64url').toString('utf8'))
    .refine((id) => uuid.test(id), 'is none of ours')
    .optional(),
});

export interface ListPart {
  /** At most this many. */
  readonly limit: number;
  /** Those behind this identifier. */
  readonly cursor?: string | undefined;
}

/** @param rows One more than the limit where there are more. */
export function answerList<Row extends { readonly id: string }>(
  rows: readonly Row[],
  { limit }: ListPart,
  present: (row: Row) => object,
): { readonly data: readonly object[]; readonly next_cursor: string | null } {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const hasMore = rows.length > limit && last !== undefined;
  return { data: shown.map(present), next_cursor: hasMore ? Buffer.from(last.id).toString('base64url') : null };
}
