/**
 * This file owns which texts can be kept: PostgreSQL stores neither NUL nor half a surrogate pair, as text or inside JSON, and a
 * statement that tries fails as a whole. So they are refused where they come in, also deep inside what a stranger wrote as JSON.
 */

export function isStorableText(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

/** Every text in it, names of members too. For values that were parsed from JSON, which have no circles. */
export function isStorable(value: unknown): boolean {
  return everyPart(value, (part) => typeof part !== 'string' || isStorableText(part));
}

/** Whether nothing in it lies deeper than so many arrays and objects: whoever walks through it needs no more of a stack. */
export function isNoDeeperThan(value: unknown, levels: number): boolean {
  return everyPart(value, (_part, depth) => depth <= levels);
}

/** A stranger decides how deep it is, so nothing here calls itself. */
function everyPart(value: unknown, holds: (part: unknown, depth: number) => boolean): boolean {
  const left: { readonly part: unknown; readonly depth: number }[] = [{ part: value, depth: 0 }];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const { part, depth } = next;
    if (!holds(part, depth)) return false;
    if (typeof part !== 'object' || part === null) continue;
    const inner = Array.isArray(part) ? part : Object.entries(part).flat();
    for (const one of inner) left.push({ part: one, depth: depth + 1 });
  }
  return true;
}
