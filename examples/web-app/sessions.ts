// Who is using this browser: a random value in a cookie, everything else in this process. Tokens never reach the
// browser. A real application keeps this in its database; the shape stays the same.
import { randomBytes } from 'node:crypto';
import type { Exchange } from './exchanges.ts';
import type { PendingAuthorization, Tokens } from './relying_party.ts';

/** What the last click did, shown on the next page. */
export interface LastAction {
  readonly title: string;
  readonly note: string;
  readonly refused: boolean;
  readonly exchanges: readonly Exchange[];
}

/** One tenant's sign-in in this browser. */
export interface SignIn {
  tokens: Tokens;
  previousRefreshToken: string | undefined;
  /** For the API and for nothing else; kept beside the others, since no access token is good for both. */
  apiTokens: Tokens | undefined;
  lastAction: LastAction;
}

export interface Session {
  /** By `state`, so that two tabs at once do not overwrite each other. */
  readonly pending: Map<string, PendingAuthorization>;
  /** By the tenant's slug. */
  readonly signIns: Map<string, SignIn>;
}

export interface SessionStore {
  find(id: string | undefined): Session | undefined;
  /** Puts a session under a new, unguessable name and forgets the old name. */
  keep(session: Session, previousId?: string | undefined): string;
}

const cookieName = 'demo_session';
const maximumSessions = 1_000;
const maximumPending = 10;
const idleMilliseconds = 8 * 60 * 60 * 1_000;

export function createSessionStore(): SessionStore {
  // A Map remembers the order of insertion: the first entry is the one that was used longest ago.
  const entries = new Map<string, { readonly session: Session; readonly expiresAt: number }>();
  function put(id: string, session: Session): void {
    entries.delete(id);
    entries.set(id, { session, expiresAt: Date.now() + idleMilliseconds });
    dropOldest(entries, maximumSessions);
  }

  return {
    find(id) {
      const entry = id === undefined ? undefined : entries.get(id);
      if (id === undefined || entry === undefined) return undefined;
      if (entry.expiresAt < Date.now()) {
        entries.delete(id);
        return undefined;
      }
      put(id, entry.session);
      return entry.session;
    },
    keep(session, previousId) {
      if (previousId !== undefined) entries.delete(previousId);
      const id = randomBytes(32).toString('base64url');
      put(id, session);
      return id;
    },
  };
}

export function emptySession(): Session {
  return { pending: new Map(), signIns: new Map() };
}

/** Remembers a request that is leaving; the oldest is forgotten when a browser starts too many. */
export function addPending(session: Session, state: string, pending: PendingAuthorization): void {
  session.pending.set(state, pending);
  dropOldest(session.pending, maximumPending);
}

export function readSessionCookie(header: string | undefined): string | undefined {
  const cookies = (header ?? '').split(';').map((cookie) => cookie.trim().split('='));
  return cookies.find(([name]) => name === cookieName)?.[1];
}

/** Lax, not Strict: the way back from the authorization server starts on another site and must carry the cookie. */
export function writeSessionCookie(id: string, secure: boolean): string {
  return `${cookieName}=${id}; Path=/; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`;
}

function dropOldest(map: Map<string, unknown>, maximum: number): void {
  for (const key of map.keys()) {
    if (map.size <= maximum) return;
    map.delete(key);
  }
}
