/**
 * This file owns which texts can be kept: PostgreSQL stores neither NUL nor half a surrogate pair, as text or inside JSON, and a
 * statement that tries fails as a whole. So they are refused where they come in, also deep inside what a stranger wrote as JSON.
 */

export function isStorableText(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

/** Every text in it, names of members too. For values that were parsed from JSON, which have no circles. */
export function isStorable(value: unknown): boolean {
  if (typeof value === 'string') return isStorableText(value);
  if (Array.isArray(value)) return value.every(isStorable);
  if (typeof value !== 'object' || value === null) return true;
  return Object.entries(value).every(([name, member]) => isStorableText(name) && isStorable(member));
}
