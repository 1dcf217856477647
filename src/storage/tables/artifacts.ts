/** The table `artifacts`: what the engine keeps. Rows are asked for by hash and changed by `artifacts_commit` only. */
import type { DeviceState } from '#src/domain/device.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { LostRace, type TenantDatabase, type Transaction } from '../database.ts';
import { appendEvents, type EventRow } from '../event_log.ts';
import { createGroupCommit } from '../group_commit.ts';
import { createReadTogether } from '../read_together.ts';
import type { NewConsent } from './consents.ts';
import type { NewDevice } from './devices.ts';
import type { AccountJson } from './people.ts';

export type Payload = Readonly<Record<string, unknown>>;

export interface ArtifactRow {
  readonly payload: Payload;
  readonly consumed_at: Date | null;
  /** Since it was consumed, by the database's clock. */
  readonly consumed_seconds: number | null;
  readonly grant_hash: Buffer | null;
  readonly grant_payload: Payload | null;
  /** Of the person it belongs to, when it was asked for. */
  readonly account: AccountJson | null;
  /** Of the device it belongs to, or is the grant of. */
  readonly device_state: DeviceState | null;
}

/** How a value may be used up more than once: the same request again, soon, for the same successor. */
export interface Repeatable {
  readonly grace_seconds: number;
  readonly successor: string;
  /** Only until the successor has been used itself. */
  readonly while_unused: boolean;
}

/** One change; hashes are hexadecimal, instants ISO 8601. See `artifacts_commit` in migrations/0011 for what each does. */
export type ArtifactOperation =
  | ({ readonly do: 'insert' | 'insert_if_absent' | 'upsert' | 'update' } & StoredArtifact)
  | {
      readonly do: 'unique';
      readonly kind: string;
      readonly id: string;
      readonly payload: Payload;
      readonly expires_at: string;
    }
  | ({ readonly do: 'consume'; readonly kind: string; readonly id: string } & Partial<Repeatable>)
  | { readonly do: 'destroy' | 'take'; readonly kind: string; readonly id: string }
  | {
      readonly do: 'tombstone';
      readonly kind: string;
      readonly id: string;
      readonly expires_at: string;
      /** Whether it must still have been open. */
      readonly required: boolean;
    }
  | { readonly do: 'revoke'; readonly kind: string | undefined; readonly grant_id: string }
  | { readonly do: 'end_session'; readonly session_uid: string }
  /** The events are recorded by the one who ends it. */
  | { readonly do: 'end_grant'; readonly grant_id: string; readonly events: readonly EventRow[] };

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

const read = { name: 'artifacts_read', text: 'select * from artifacts_read($1, $2, $3, $4)' } as const;
const findByUid = { name: 'session_find_by_uid', text: 'select * from session_find_by_uid($1, $2)' } as const;
const findByUserCode = {
  name: 'artifact_find_by_user_code',
  text: 'select * from artifact_find_by_user_code($1, $2)',
} as const;
const commit = { name: 'artifacts_commit', text: 'select artifacts_commit($1, $2, $3, $4)' } as const;
const commitSoon = { name: 'artifacts_commit_soon', text: 'select artifacts_commit_soon($1, $2, $3)' } as const;
const commitTogether = {
  name: 'artifacts_commit_together',
  text: 'select artifacts_commit_together($1, $2, $3, $4, $5, $6) as lost',
} as const;
const commitWithConsent = {
  name: 'artifacts_commit_with_consent',
  text: 'select artifacts_commit_with_consent($1, $2, $3, $4, $5)',
} as const;
const commitWithDevice = {
  name: 'artifacts_commit_with_device',
  text: 'select artifacts_commit_with_device($1, $2, $3, $4, $5, $6)',
} as const;
const tombstone = { name: 'interaction_tombstone', text: 'select * from interaction_tombstone($1, $2)' } as const;

export interface ArtifactKey {
  readonly kind: string;
  readonly idHash: Buffer;
  /** Whether the person behind it will be asked for next. */
  readonly withAccount: boolean;
}

/** Undefined for what is not there and for what belongs to a dead account or client. */
export const findArtifact = createReadTogether<ArtifactKey, ArtifactRow>(async (tenant, keys) => {
  const kinds = keys.map(({ kind }) => kind);
  const hashes = keys.map(({ idHash }) => idHash);
  const withAccount = keys.map((key) => key.withAccount);
  const rows = await tenant.read<ArtifactRow & { ordinal: number }>(read, [kinds, hashes, withAccount]);
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
  /** What its person agreed to in the same breath. */
  readonly consent?: NewConsent | undefined;
  /** The device that it was all for. */
  readonly pairing?: Pairing | undefined;
}

/** A device that comes into being, and what tells of it unless it was there already. */
export interface Pairing {
  readonly device: NewDevice;
  readonly event: EventRow;
}

const together = createGroupCommit<ArtifactChanges>(async (tenant, changes) => {
  // A structured token leaves nothing behind but its event.
  if (changes.every(({ operations }) => operations.length === 0)) {
    await tenant.writeShared(appendEvents, [JSON.stringify(changes.flatMap(({ events }) => events))]);
    return [];
  }
  const consumptions: ({ position: number } & Consumption)[] = [];
  const rows: object[] = [];
  const successors: object[] = [];
  const events: object[] = [];
  for (const [position, change] of changes.entries()) {
    for (const operation of change.operations) {
      if (operation.do === 'consume') consumptions.push({ position, ...operation });
      else (operation.do === 'insert' ? rows : successors).push({ position, ...operation });
    }
    for (const event of change.events) events.push({ position, ...event });
  }
  // Two transactions that use up the same values must not wait for each other.
  consumptions.sort((one, other) => (one.id < other.id ? -1 : 1));
  const now = new Date(Math.max(...changes.map((change) => change.now.getTime())));
  const [answer] = await tenant.writeShared<{ lost: readonly number[] }>(commitTogether, [
    now,
    JSON.stringify(consumptions),
    ...[rows, successors, events].map((list) => (list.length === 0 ? null : JSON.stringify(list))),
  ]);
  const refusals: LostRace[] = [];
  for (const position of answer?.lost ?? []) {
    const kind = consumptions.find((consumption) => consumption.position === position)?.kind;
    refusals[position] = new LostRace(kind ?? 'value', undefined);
  }
  return refusals;
});

type Consumption = Extract<ArtifactOperation, { readonly do: 'consume' }>;

function isOfInteraction(operation: ArtifactOperation): boolean {
  return operation.do === 'upsert' && operation.kind === 'Interaction';
}

/**
 * All of it or nothing, durable when it resolves. Rejects with `LostRace` when a single-use value was already used. An interaction alone
 * is durable a moment later: whoever loses it in a crash begins their sign-in anew.
 */
export async function commitArtifacts(tenant: TenantDatabase, changes: ArtifactChanges): Promise<void> {
  const { operations, events, now, consent, pairing } = changes;
  const isAlone = consent === undefined && pairing === undefined;
  if (isAlone && canGoTogether(operations)) return together.commit(tenant, changes);
  if (isAlone && events.length === 0 && operations.every(isOfInteraction)) {
    await tenant.write(commitSoon, [now, JSON.stringify(operations)]);
    return;
  }
  const values = [now, JSON.stringify(operations), events.length === 0 ? null : JSON.stringify(events)];
  if (pairing !== undefined)
    await tenant.write(commitWithDevice, [...values, JSON.stringify(pairing.device), JSON.stringify([pairing.event])]);
  else if (consent === undefined) await tenant.write(commit, values);
  else await tenant.write(commitWithConsent, [...values, JSON.stringify(consent)]);
}

/** The same within a transaction that does more: its operations and events, of which a consent or a device is none. */
export async function commitArtifactsWithin(
  transaction: Transaction,
  tenantId: TenantId,
  { operations, events, now }: ArtifactChanges,
): Promise<void> {
  await transaction.query(commit.text, [tenantId, now, JSON.stringify(operations), JSON.stringify(events)]);
}

/** New rows meet nobody, and one conditional use can be refused without the others': such changes need not be alone. */
function canGoTogether(operations: readonly ArtifactOperation[]): boolean {
  let consumptions = 0;
  for (const operation of operations) {
    if (operation.do === 'consume') consumptions += 1;
    else if (operation.do !== 'insert' && operation.do !== 'insert_if_absent') return false;
  }
  return consumptions <= 1;
}
