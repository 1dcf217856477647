/** The table `artifacts`: what the engine keeps. Rows are asked for by hash and changed by `artifacts_commit` only. */
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { TenantDatabase, Transaction } from '../database.ts';
import { appendEvents, type EventRow } from '../event_log.ts';
import { createGroupCommit } from '../group_commit.ts';
import { createReadTogether } from '../read_together.ts';

export type Payload = Readonly<Record<string, unknown>>;

export interface ArtifactRow {
  readonly payload: Payload;
  readonly consumed_at: Date | null;
  readonly grant_hash: Buffer | null;
  readonly grant_payload: Payload | null;
}

/** One change; hashes are hexadecimal, instants ISO 8601. See `artifacts_commit` in migrations/0005 for what each does. */
export type ArtifactOperation =
  | ({ readonly do: 'insert' | 'upsert' | 'update' } & StoredArtifact)
  | {
      readonly do: 'unique';
      readonly kind: string;
      readonly id: string;
      readonly payload: Payload;
      readonly expires_at: string;
    }
  | { readonly do: 'consume' | 'destroy' | 'take'; readonly kind: string; readonly id: string }
  | {
      readonly do: 'tombstone';
      readonly kind: string;
      readonly id: string;
      readonly expires_at: string;
      /** Whether it must still have been open. */
      readonly required: boolean;
    }
  | { readonly do: 'revoke'; readonly kind: string | undefined; readonly grant_id: string };

export interface StoredArtifact {
  readonly kind: string;
  readonly id: string;
  readonly payload: Payload;
  readonly account_id: string | undefined;
  readonly client_id: string | undefined;
  readonly grant_id: string | undefined;
  readonly session_uid: string | undefined;
  readonly user_code: string | undefined;
  readonly expires_at: string;
}

const find = { name: 'artifacts_find', text: 'select * from artifacts_find($1, $2, $3)' } as const;
const findByUid = { name: 'session_find_by_uid', text: 'select * from session_find_by_uid($1, $2)' } as const;
const findByUserCode = {
  name: 'artifact_find_by_user_code',
  text: 'select * from artifact_find_by_user_code($1, $2)',
} as const;
const commit = { name: 'artifacts_commit', text: 'select artifacts_commit($1, $2, $3, $4)' } as const;
const tombstone = { name: 'interaction_tombstone', text: 'select * from interaction_tombstone($1, $2)' } as const;

export interface ArtifactKey {
  readonly kind: string;
  readonly idHash: Buffer;
}

/** Undefined for what is not there and for what belongs to a dead account or client. */
export const findArtifact = createReadTogether<ArtifactKey, ArtifactRow>(async (tenant, keys) => {
  const kinds = keys.map(({ kind }) => kind);
  const hashes = keys.map(({ idHash }) => idHash);
  const rows = await tenant.read<ArtifactRow & { ordinal: number }>(find, [kinds, hashes]);
  const found: (ArtifactRow | undefined)[] = keys.map(() => undefined);
  for (const row of rows) found[row.ordinal - 1] = row;
  return found;
});

export async function findSessionByUid(
  tenant: TenantDatabase,
  sessionUid: string,
): Promise<{ id_hash: Buffer; payload: Payload } | undefined> {
  return (await tenant.read<{ id_hash: Buffer; payload: Payload }>(findByUid, [sessionUid]))[0];
}

export async function findArtifactByUserCode(
  tenant: TenantDatabase,
  userCodeHash: Buffer,
): Promise<{ id_hash: Buffer; payload: Payload; consumed_at: Date | null } | undefined> {
  type Row = { id_hash: Buffer; payload: Payload; consumed_at: Date | null };
  return (await tenant.read<Row>(findByUserCode, [userCodeHash]))[0];
}

/** The client of an interaction that is over, so that the page about it can lead back. */
export async function findInteractionTombstone(tenant: TenantDatabase, idHash: Buffer): Promise<string | undefined> {
  return (await tenant.read<{ client_id: string | null }>(tombstone, [idHash]))[0]?.client_id ?? undefined;
}

export interface ArtifactChanges {
  readonly operations: readonly ArtifactOperation[];
  readonly events: readonly EventRow[];
  readonly now: Date;
}

const together = createGroupCommit<ArtifactChanges>((tenant, changes) => {
  const operations = changes.flatMap((change) => change.operations);
  const events = changes.flatMap((change) => change.events);
  // A structured token leaves nothing behind but its event.
  if (operations.length === 0) return tenant.writeShared(appendEvents, [JSON.stringify(events)]);
  const now = new Date(Math.max(...changes.map((change) => change.now.getTime())));
  return tenant.writeShared(commit, valuesOf({ operations, events, now }));
});

/** All of it or nothing, durable when it resolves. Rejects with `LostRace` when a single-use value was already used. */
export async function commitArtifacts(tenant: TenantDatabase, changes: ArtifactChanges): Promise<void> {
  // New rows meet nobody: they need not be alone in their transaction.
  if (changes.operations.every((operation) => operation.do === 'insert')) return together.commit(tenant, changes);
  await tenant.write(commit, valuesOf(changes));
}

function valuesOf({ operations, events, now }: ArtifactChanges): readonly unknown[] {
  return [now, JSON.stringify(operations), events.length === 0 ? null : JSON.stringify(events)];
}

/** Ends every session, grant and token of one member: what was taken away must not come back when they are let in again. */
export async function deleteArtifactsOfAccount(
  transaction: Transaction,
  { tenantId, userId }: { tenantId: TenantId; userId: UserId },
): Promise<void> {
  await transaction.query('delete from artifacts where tenant_id = $1 and account_id = $2', [tenantId, userId]);
}
