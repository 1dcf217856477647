/**
 * Lists in parts: `?limit=&cursor=`, answered with `{"data": […], "next_cursor": …}`. A list is in the order of its identifiers, which
 * are UUIDv7 and so in the order in which things came to be, unless it says otherwise. The door signs what is in a cursor and opens it
 * again: a list gets back only what it gave.
 */
import { z } from 'zod';

const defaultLimit = 25;
const maximumLimit = 100;

/** The query parameters of a list; a route adds its own with `.extend`. `cursor` is the place that `answerList` gave. */
export const listQuery = z.strictObject({
  limit: z
    .string()
    .regex(/^[1-9]\d{0,2}$/)
    .transform(Number)
    .refine((limit) => limit <= maximumLimit, `is at most ${maximumLimit}`)
    .default(defaultLimit),
  cursor: z.string().max(2_000).optional(),
});

export interface ListPart {
  /** At most this many. */
  readonly limit: number;
  /** Those behind this place. */
  readonly cursor?: string | undefined;
}

/** What a list answers. */
export function listOf<Item extends z.ZodType>(item: Item) {
  return z.object({ data: z.array(item), next_cursor: z.string().nullable() });
}

/**
 * @param rows One more than the limit where there are more.
 * @param placeOf What the list needs to go on behind this row; its identifier unless told.
 */
export function answerList<Row>(
  rows: readonly Row[],
  { limit }: ListPart,
  present: (row: Row) => object,
  ...[placeOf]: Row extends { readonly id: string } ? [((row: Row) => string)?] : [(row: Row) => string]
): { readonly data: readonly object[]; readonly next_cursor: string | null } {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const hasMore = rows.length > limit && last !== undefined;
  const place = placeOf ?? ((row: Row) => (row as { readonly id: string }).id); // without one, rows have an id
  return { data: shown.map(present), next_cursor: hasMore ? place(last) : null };
}
