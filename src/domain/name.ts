/**
 * This file owns names that people read: of a tenant, a client, a person. It does not own names that machines compare
 * (slugs, roles, scopes), which have an alphabet of their own.
 */

const MAXIMUM_NAME_LENGTH = 100;

/** Controls, line and paragraph separators, surrogates, unassigned; and the bidirectional controls that reorder a sentence. */
const FORBIDDEN = /[\p{Cc}\p{Cs}\p{Cn}\p{Co}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/u;
const SOMETHING_VISIBLE = /[\p{L}\p{N}\p{P}\p{S}]/u;

/**
 * A displayable name: trimmed, NFC, 1 to 100 characters, something visible in it, and nothing that breaks out of a line:
 * `Bank\u202e` would turn the rest of a consent page around. Emoji and every script are welcome.
 *
 * @returns The name, or `undefined` when the input is none.
 */
export function parseName(input: unknown): string | undefined {
  if (typeof input !== 'string' || input.length > MAXIMUM_NAME_LENGTH * 4) return undefined;
  const name = input.trim().normalize('NFC');
  const length = [...name].length;
  if (length < 1 || length > MAXIMUM_NAME_LENGTH) return undefined;
  return !FORBIDDEN.test(name) && SOMETHING_VISIBLE.test(name) ? name : undefined;
}
