/**
 * What is worth knowing and not worth a write of its own: when something was last used, how often. Notes gather in the process, one for
 * each thing, and are written every few seconds, all of a tenant's in one statement. A crash loses the last few seconds of them; a
 * database that is away costs nothing but memory, and no more of that than `maximumNotes`.
 */
import type { TenantId } from '#src/domain/tenant.ts';

export interface BatchedNotes<Note> {
  /** Never waits. Dropped when too many things have been noted since the last write. */
  note(tenantId: TenantId, key: string, note: Note): void;
  /** Writes what has gathered, now. Never rejects: faults go to `onFault`, and what could not be written waits for the next time. */
  flush(): Promise<void>;
  /** Writes for the last time. */
  close(): Promise<void>;
}

export interface BatchedNotesOptions<Note> {
  /** What two notes of one thing come to. */
  readonly merge: (earlier: Note, later: Note) => Note;
  /** All notes of one tenant, each thing once. */
  readonly write: (tenantId: TenantId, notes: readonly Note[]) => Promise<void>;
  readonly onFault: (fault: unknown) => void;
  readonly everyMilliseconds?: number | undefined;
  readonly maximumNotes?: number | undefined;
}

const twoSeconds = 2_000;
const tenThousand = 10_000;

export function createBatchedNotes<Note>(options: BatchedNotesOptions<Note>): BatchedNotes<Note> {
  const { merge, write, onFault, everyMilliseconds = twoSeconds, maximumNotes = tenThousand } = options;
  let gathered = new Map<TenantId, Map<string, Note>>();
  let size = 0;
  let writing: Promise<void> | undefined;

  function keep(tenantId: TenantId, key: string, combine: (known: Note | undefined) => Note): void {
    const notes = gathered.get(tenantId) ?? new Map<string, Note>();
    const known = notes.get(key);
    if (known === undefined) {
      if (size >= maximumNotes) return;
      size += 1;
    }
    gathered.set(tenantId, notes.set(key, combine(known)));
  }

  async function writeAll(): Promise<void> {
    const taken = gathered;
    gathered = new Map();
    size = 0;
    for (const [tenantId, notes] of taken) {
      try {
        await write(tenantId, [...notes.values()]);
      } catch (fault) {
        onFault(fault);
        // Below what was noted meanwhile.
        for (const [key, note] of notes)
          keep(tenantId, key, (later) => (later === undefined ? note : merge(note, later)));
      }
    }
  }

  function flush(): Promise<void> {
    writing ??= writeAll().finally(() => {
      writing = undefined;
    });
    return writing;
  }

  const timer = setInterval(() => void flush(), everyMilliseconds).unref();

  return {
    note: (tenantId, key, note) => keep(tenantId, key, (known) => (known === undefined ? note : merge(known, note))),
    flush,
    async close() {
      clearInterval(timer);
      // One that is under way has not seen the latest.
      await writing;
      await flush();
    },
  };
}
