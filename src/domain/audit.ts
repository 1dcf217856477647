/**
 * This file owns what may be asked of a tenant's history: by whom, to what, when, from where. It does not own the facts
 * themselves (event.ts) or how they are found (storage/tables/audit.ts).
 */
import type { EventType } from './event.ts';

/** All of it has to fit; what is not given fits always. */
export interface AuditFilter {
  /** One of these did it: identifiers as they stand in events. */
  readonly actorIds?: readonly string[] | undefined;
  /** It was done to one of these. */
  readonly targetIds?: readonly string[] | undefined;
  readonly types?: readonly EventType[] | undefined;
  readonly outcome?: 'success' | 'failure' | undefined;
  readonly ip?: string | undefined;
  readonly clientId?: string | undefined;
  readonly requestId?: string | undefined;
  /** From this moment on. */
  readonly since?: Date | undefined;
  /** Before this moment. */
  readonly until?: Date | undefined;
}

/** So many that nobody reads them as history: shown to whoever asks for them by name, and in every export. */
export const TOO_MANY_TO_READ = 'token.issued' satisfies EventType;

/** Below every identifier that an event of this moment or a later one can have, and above those of all before (RFC 9562 §5.7). */
export function firstIdAt(moment: Date): string {
  const time = Math.max(0, Math.min(moment.getTime(), 2 ** 48 - 1))
    .toString(16)
    .padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-0000-0000-000000000000`;
}

/** Whether a history that is asked for in this way shows issued tokens, too. */
export function asksForTokens({ types }: Pick<AuditFilter, 'types'>): boolean {
  return types?.includes(TOO_MANY_TO_READ) === true;
}
