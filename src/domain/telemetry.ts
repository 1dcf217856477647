/**
 * This file owns what a device may report of itself: one JSON object, small and flat enough to be kept by the thousand and read by
 * anybody. It does not own how much of it is kept (people_settings.ts) or where (storage/tables/telemetry.ts).
 */
import { deviceText } from './device_grant.ts';
import { isStorableText } from './stored_text.ts';

export type TelemetryReport = Readonly<Record<string, unknown>>;

/** Beside the size, which a tenant sets: what makes a report dear to read although it is short. */
export const TELEMETRY_LIMITS = { depth: 4, members: 100, nameCharacters: 64, textCharacters: 1_000 } as const;

/** What is wrong with a report, and where (RFC 6901). */
export interface TelemetryFault {
  readonly pointer: string;
  readonly code: 'not_an_object' | 'too_deep' | 'too_many_members' | 'name' | 'text' | 'number' | 'firmware';
}

export type ParsedTelemetry =
  /** `firmware`: a device says there which version it runs by now. */
  | { readonly outcome: 'valid'; readonly report: TelemetryReport; readonly firmware: string | undefined }
  | { readonly outcome: 'invalid'; readonly fault: TelemetryFault };

/** Judges a report that was parsed from JSON. */
export function parseTelemetry(given: unknown): ParsedTelemetry {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return invalid('', 'not_an_object');
  const count = { members: 0 };
  const fault = findFault(given, { pointer: '', depth: 1, count });
  if (fault !== undefined) return { outcome: 'invalid', fault };
  const report = { ...given } as TelemetryReport; // an object that came from JSON has text for names
  if (report['firmware'] === undefined) return { outcome: 'valid', report, firmware: undefined };
  const firmware = deviceText(report['firmware']);
  return firmware === undefined ? invalid('/firmware', 'firmware') : { outcome: 'valid', report, firmware };
}

interface Place {
  readonly pointer: string;
  readonly depth: number;
  readonly count: { members: number };
}

function findFault(value: unknown, place: Place): TelemetryFault | undefined {
  const { pointer, depth, count } = place;
  if (typeof value === 'string') {
    const isText = isStorableText(value) && [...value].length <= TELEMETRY_LIMITS.textCharacters;
    return isText ? undefined : { pointer, code: 'text' };
  }
  // JSON has no infinity, but 1e999 is one when it is read.
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : { pointer, code: 'number' };
  if (typeof value !== 'object' || value === null) return undefined;
  if (depth > TELEMETRY_LIMITS.depth) return { pointer, code: 'too_deep' };
  for (const [name, member] of Object.entries(value)) {
    count.members += 1;
    if (count.members > TELEMETRY_LIMITS.members) return { pointer, code: 'too_many_members' };
    if (name === '' || !isStorableText(name) || [...name].length > TELEMETRY_LIMITS.nameCharacters)
      return { pointer, code: 'name' };
    const inner = { pointer: `${pointer}/${escapeName(name)}`, depth: depth + 1, count };
    const fault = findFault(member, inner);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** RFC 6901 §3. */
function escapeName(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}

function invalid(pointer: string, code: TelemetryFault['code']): ParsedTelemetry {
  return { outcome: 'invalid', fault: { pointer, code } };
}
