/**
 * What a person recognises a session by: since when, when and from where it was last used. The engine forgets at each save what it
 * does not know, so this is carried along from what was read to what is written, within one request.
 */
import type { AdapterPayload } from 'oidc-provider';
import type { UnitOfWork } from './unit_of_work.ts';

/** Kept in the session's payload as `seen`. Instants are ISO 8601. */
export interface SessionSeen {
  readonly since: string;
  readonly last: string;
  readonly ip?: string | undefined;
  readonly user_agent?: string | undefined;
}

interface Note {
  readonly accountId: string | undefined;
  readonly seen: SessionSeen | undefined;
  /** By client. A copy: the engine changes what it was given. */
  readonly grants: ReadonlyMap<string, string>;
}

const notes = new WeakMap<UnitOfWork, Map<string, Note>>();
const userAgentMaximumLength = 300;

/** Remembers a session as the database has it. */
export function noteSession(unit: UnitOfWork, payload: AdapterPayload): void {
  if (payload.uid === undefined) return;
  const known = notes.get(unit) ?? new Map<string, Note>();
  notes.set(unit, known);
  const grants = Object.entries(payload.authorizations ?? {}).flatMap(([clientId, { grantId }]) =>
    grantId === undefined ? [] : [[clientId, grantId] as const],
  );
  // Ours, written below.
  const seen = payload['seen'] as SessionSeen | undefined;
  known.set(payload.uid, { accountId: payload.accountId, seen, grants: new Map(grants) });
}

/** Undefined while nobody is signed in. A session begins with the sign-in of its person. */
export function seenNow(unit: UnitOfWork, payload: AdapterPayload): SessionSeen | undefined {
  if (payload.accountId === undefined || payload.uid === undefined) return undefined;
  const known = notes.get(unit)?.get(payload.uid);
  const now = unit.now.toISOString();
  return {
    since: (known?.accountId === payload.accountId ? known.seen?.since : undefined) ?? now,
    last: now,
    ip: unit.origin.ip,
    user_agent: unit.origin.userAgent?.slice(0, userAgentMaximumLength),
  };
}

/** The session's grants by client, as they were when this request read it. */
export function grantsWhenRead(unit: UnitOfWork, sessionUid: string): ReadonlyMap<string, string> {
  return notes.get(unit)?.get(sessionUid)?.grants ?? new Map();
}
