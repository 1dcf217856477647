/**
 * What one request reads and changes of the engine's artifacts. Reads are remembered for the request; changes wait and are
 * committed together, with the events they caused, in one transaction and one round trip: a code is consumed, its tokens come
 * into being and the event is written, or none of it. A lost race therefore leaves nothing half-done (docs/decisions/0006).
 *
 * The engine gives its adapters no context, so the unit travels in an AsyncLocalStorage: the only one of the product.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { hash } from 'node:crypto';
import type { NewEvent } from '#src/domain/event.ts';
import type { Clock } from '#src/foundation/clock.ts';
import { LostRace, type TenantDatabase, type Transaction } from '#src/storage/database.ts';
import { type EventRow, eventRow, type Origin } from '#src/storage/event_log.ts';
import {
  type ArtifactChanges,
  type ArtifactOperation,
  type ArtifactRow,
  commitArtifacts,
  commitArtifactsWithin,
  findArtifact,
  findArtifactByUserCode,
  findSessionByUid,
  type Pairing,
  type Payload,
  type Repeatable,
  type StoredArtifact,
} from '#src/storage/tables/artifacts.ts';
import type { NewConsent } from '#src/storage/tables/consents.ts';
import { type Pace, pollDeviceCode } from '#src/storage/tables/device_codes.ts';
import type { NewDevice } from '#src/storage/tables/devices.ts';
import { type AccountRow, accountFromJson, readAccount } from '#src/storage/tables/people.ts';

/** A remembered artifact; `idHash` is hexadecimal. */
export interface Found {
  readonly idHash: string;
  readonly payload: Payload;
  readonly consumedAt: Date | undefined;
  /** Since then, by the database's clock. */
  readonly consumedSecondsAgo?: number | undefined;
}

export interface Quarantined {
  readonly clientId: unknown;
  readonly deviceId: string;
}

const current = new AsyncLocalStorage<UnitOfWork>();

export class UnitOfWork {
  readonly tenant: TenantDatabase;
  readonly origin: Origin;
  readonly #clock: Clock;
  readonly #remembered = new Map<string, Promise<Found | undefined>>();
  /** Keys that the database had when this request looked. */
  readonly #found = new Set<string>();
  readonly #accounts = new Map<string, Promise<AccountRow | undefined>>();
  /** What a reference from the table may stand for here, see `open`. */
  readonly #opened = new Set<string>();
  #operations: ArtifactOperation[] = [];
  #events: EventRow[] = [];
  #consent: NewConsent | undefined;
  #pairing: Pairing | undefined;
  /** Each artifact that was found to be a quarantined device's. */
  readonly #quarantined = new Map<string, Quarantined>();
  /** By the hash of its grant, each device that a read told of. */
  readonly #devices = new Map<string, string>();

  constructor({ tenant, origin, clock }: { tenant: TenantDatabase; origin: Origin; clock: Clock }) {
    this.tenant = tenant;
    this.origin = origin;
    this.#clock = clock;
  }

  /** Runs `work` so that the engine's adapters find this unit. Nothing is committed. */
  run<Result>(work: () => Promise<Result>): Promise<Result> {
    return current.run(this, work);
  }

  /** What was stored under this value, as this request has changed it. Dead accounts and clients have no artifacts. */
  find(kind: string, idHash: string, { withAccount = false } = {}): Promise<Found | undefined> {
    return this.#remember(kind, idHash, async () => {
      const row = await findArtifact(this.tenant, { kind, idHash: Buffer.from(idHash, 'hex'), withAccount });
      return row && this.#take(kind, idHash, row);
    });
  }

  /**
   * A device code for which its client polls, with its pace kept. Undefined as for `find`; also for another client's, which has
   * no pace and is found as it is.
   */
  async pollDeviceCode(
    idHash: string,
    clientId: string,
    pace: Pace,
  ): Promise<{ readonly inTime: boolean; readonly found: Found } | undefined> {
    const code = { idHash: Buffer.from(idHash, 'hex'), clientId, now: this.now, pace };
    const row = await pollDeviceCode(this.tenant, code);
    const found = row && this.#take('DeviceCode', idHash, row);
    return row && found && { inTime: row.in_time, found };
  }

  /** What a read brought along is remembered. Nothing of a device that is not active is there. */
  #take(kind: string, idHash: string, row: ArtifactRow): Found | undefined {
    if (row.account !== null) this.#accounts.set(row.account.id, Promise.resolve(accountFromJson(row.account)));
    const isLocked = row.device_state !== null && row.device_state !== 'active';
    // The grant came along: the engine asks for it next.
    if (row.grant_hash !== null)
      this.learn('Grant', row.grant_hash.toString('hex'), isLocked ? null : row.grant_payload);
    const deviceId = (kind === 'Grant' ? row.payload : row.grant_payload)?.['deviceId'];
    if (typeof deviceId === 'string') {
      this.#devices.set(kind === 'Grant' ? idHash : (row.grant_hash?.toString('hex') ?? ''), deviceId);
      if (row.device_state === 'quarantined')
        this.#quarantined.set(`${kind}:${idHash}`, { clientId: row.payload['clientId'], deviceId });
    }
    if (isLocked) return undefined;
    this.#found.add(`${kind}:${idHash}`);
    const consumedAt = row.consumed_at ?? undefined;
    return { idHash, payload: row.payload, consumedAt, consumedSecondsAgo: row.consumed_seconds ?? undefined };
  }

  /** What it is of, when this request was told that it is not there because its device is in quarantine. */
  inQuarantine(kind: string, idHash: string): Quarantined | undefined {
    return this.#quarantined.get(`${kind}:${idHash}`);
  }

  /** The device that this grant is of, as far as this request has read. */
  deviceOf(grantId: string): string | undefined {
    return this.#devices.get(hashOf(grantId));
  }

  /** A living member of this tenant; read once. */
  findAccount(accountId: string): Promise<AccountRow | undefined> {
    const known = this.#accounts.get(accountId);
    if (known !== undefined) return known;
    const reading = readAccount(this.tenant, accountId);
    this.#accounts.set(accountId, reading);
    return reading;
  }

  /** What another read brought along. */
  learnAccount(account: AccountRow): void {
    this.#accounts.set(account.id, Promise.resolve(account));
  }

  findSessionByUid(uid: string): Promise<Found | undefined> {
    return this.#remember('Session by uid', uid, async () => {
      const row = await findSessionByUid(this.tenant, uid);
      if (row === undefined) return undefined;
      const idHash = row.id_hash.toString('hex');
      this.learn('Session', idHash, row.payload);
      return { idHash, payload: row.payload, consumedAt: undefined };
    });
  }

  async findByUserCode(userCode: string): Promise<Found | undefined> {
    const row = await findArtifactByUserCode(this.tenant, Buffer.from(hashOf(userCode), 'hex'));
    if (row === undefined) return undefined;
    const idHash = row.id_hash.toString('hex');
    this.#found.add(`DeviceCode:${idHash}`);
    return { idHash, payload: row.payload, consumedAt: row.consumed_at ?? undefined };
  }

  /** A page of ours answers what it has listed, which it knows by the hash only: from here on the reference to it is as good as it. */
  open(kind: string, idHash: string): void {
    this.#opened.add(`${kind}:${idHash}`);
  }

  isOpened(kind: string, idHash: string): boolean {
    return this.#opened.has(`${kind}:${idHash}`);
  }

  store(artifact: StoredArtifact, how: 'insert' | 'insert_if_absent' | 'upsert'): void {
    const same = this.#operations.findIndex(
      (operation) =>
        (operation.do === 'upsert' || operation.do === 'update') &&
        operation.kind === artifact.kind &&
        operation.id === artifact.id,
    );
    // What was there must still be there: saving it must not bring back what a sign-out has taken away meanwhile.
    const wasThere = how === 'upsert' && this.#found.has(`${artifact.kind}:${artifact.id}`);
    const operation: ArtifactOperation = { do: wasThere ? 'update' : how, ...artifact };
    // Saved twice in one request (the engine touches sessions): only the last state is written.
    if (same >= 0) this.#operations[same] = operation;
    else this.#operations.push(operation);
    const consumedAt = undefined;
    this.#remembered.set(
      `${artifact.kind}:${artifact.id}`,
      Promise.resolve({ idHash: artifact.id, payload: artifact.payload, consumedAt }),
    );
    if (artifact.kind === 'Session') this.#remembered.delete(`Session by uid:${artifact.session_uid}`);
  }

  /** The commit fails with `LostRace` unless this request is the first to consume it, or repeats what the first one did. */
  consume(kind: string, idHash: string, repeatable?: Repeatable): void {
    this.#operations.push({ do: 'consume', kind, id: idHash, ...repeatable });
  }

  destroy(kind: string, idHash: string): void {
    this.#remove('destroy', kind, idHash);
  }

  /** Like `destroy` for what is replaced by another: the commit fails with `LostRace` when somebody else has ended it. */
  take(kind: string, idHash: string): void {
    this.#remove(this.#found.has(`${kind}:${idHash}`) ? 'take' : 'destroy', kind, idHash);
  }

  #remove(how: 'destroy' | 'take', kind: string, idHash: string): void {
    this.#operations = this.#operations.filter(
      (operation) =>
        !(
          (operation.do === 'upsert' || operation.do === 'insert' || operation.do === 'update') &&
          operation.kind === kind &&
          operation.id === idHash
        ),
    );
    this.#remembered.set(`${kind}:${idHash}`, Promise.resolve(undefined));
    // Removed twice in one request (the engine saves a session again): once, and where it was, before its successor.
    const isRemoved = this.#operations.some(
      (operation) =>
        (operation.do === 'destroy' || operation.do === 'take') && operation.kind === kind && operation.id === idHash,
    );
    if (!isRemoved) this.#operations.push({ do: how, kind, id: idHash });
  }

  /** Ends a session with everything issued under it, whatever identifier it goes by when that is written. */
  async endSession(idHash: string): Promise<void> {
    const found = await this.find('Session', idHash);
    this.#remove('destroy', 'Session', idHash);
    if (typeof found?.payload['uid'] !== 'string') return;
    const ended = { do: 'end_session', session_uid: found.payload['uid'] } as const;
    this.#operations = this.#operations.map((operation) =>
      operation.do === 'destroy' && operation.kind === 'Session' && operation.id === idHash ? ended : operation,
    );
  }

  /** Ends an interaction, once, but keeps for `seconds` which client it was for. */
  bury(kind: string, idHash: string, seconds: number): void {
    const until = new Date(this.#clock().getTime() + seconds * 1000);
    const required = this.#found.has(`${kind}:${idHash}`);
    this.#operations.push({ do: 'tombstone', kind, id: idHash, expires_at: until.toISOString(), required });
    this.#remembered.set(`${kind}:${idHash}`, Promise.resolve(undefined));
  }

  /** Everything issued under a grant; with `kind`, only that kind. */
  revokeGrant(grantId: string, kind?: string): void {
    this.#operations.push({ do: 'revoke', kind, grant_id: hashOf(grantId) });
  }

  destroyGrant(grantId: string): void {
    this.destroy('Grant', hashOf(grantId));
  }

  /**
   * Ends a grant with all that was issued under it. However many requests do so at once, one of them ends it, and only that one
   * records the event; told twice in one request, it records both events.
   */
  endGrant(grantId: string, event: NewEvent): void {
    const grantHash = hashOf(grantId);
    const row = eventRow(event, this.origin, this.#clock());
    const known = this.#operations.find(
      (operation) => operation.do === 'end_grant' && operation.grant_id === grantHash,
    );
    const events = known?.do === 'end_grant' ? [...known.events, row] : [row];
    this.#operations = this.#operations.filter((operation) => !endsGrant(operation, grantHash));
    this.#operations.push({ do: 'end_grant', grant_id: grantHash, events });
    this.#remembered.set(`Grant:${grantHash}`, Promise.resolve(undefined));
  }

  /** Another event for the one grant that this request ends; without one there is nothing to tell of. */
  tellWithEndedGrant(event: NewEvent): void {
    const row = eventRow(event, this.origin, this.#clock());
    this.#operations = this.#operations.map((operation) =>
      operation.do === 'end_grant' ? { ...operation, events: [...operation.events, row] } : operation,
    );
  }

  /**
   * The engine refused after it had begun: what was to be issued and consumed for it is forgotten, what was to be taken away
   * (a reused token's whole grant) is not. Without this a wish that can't be granted would cost the client its refresh token.
   */
  forgetWhatWasRefused(): void {
    const kept: readonly ArtifactOperation['do'][] = ['destroy', 'revoke', 'end_grant'];
    this.#operations = this.#operations.filter((operation) => kept.includes(operation.do));
  }

  /** Kept together with everything else, or not at all. */
  rememberConsent(consent: NewConsent): void {
    this.#consent = consent;
  }

  /** A device comes into being with what it was given, or not at all; told of when it was not there yet. */
  pairDevice(device: NewDevice, paired: NewEvent): void {
    this.#pairing = { device, event: eventRow(paired, this.origin, this.#clock()) };
  }

  append(event: NewEvent): void {
    this.#events.push(eventRow(event, this.origin, this.#clock()));
  }

  /** First come, first served, committed at once and on its own: false when it has been seen before. */
  async claim(kind: string, idHash: string, expiresAt: Date, payload: Payload = {}): Promise<boolean> {
    const operation = { do: 'unique', kind, id: idHash, payload, expires_at: expiresAt.toISOString() } as const;
    try {
      await commitArtifacts(this.tenant, { operations: [operation], events: [], now: this.now });
      return true;
    } catch (fault) {
      if (fault instanceof LostRace) return false;
      throw fault;
    }
  }

  /** First come, first served, together with everything else: the commit fails with `LostRace` when it has been seen before. */
  claimWithCommit(kind: string, idHash: string, expiresAt: Date): void {
    this.#operations.push({ do: 'unique', kind, id: idHash, payload: {}, expires_at: expiresAt.toISOString() });
  }

  get now(): Date {
    return this.#clock();
  }

  /** Commits what has gathered; a unit may be committed several times. Rejects with `LostRace`, then nothing was written. */
  async commit(): Promise<void> {
    if (this.#operations.length === 0 && this.#events.length === 0) return;
    await commitArtifacts(this.tenant, this.#gathered());
  }

  /** The same together with what `work` does in its transaction: a mail that tells of it is written with it, or neither is. */
  async commitWith(work: (transaction: Transaction) => Promise<void>): Promise<void> {
    const changes = this.#gathered();
    await this.tenant.transaction(async (transaction) => {
      await commitArtifactsWithin(transaction, this.tenant.tenantId, changes);
      await work(transaction);
    });
  }

  #gathered(): ArtifactChanges {
    // Sessions first: whoever changes a session and something under it locks them in this order.
    const operations = this.#operations.toSorted((one, other) => Number(isOfSession(other)) - Number(isOfSession(one)));
    const events = this.#events;
    const consent = this.#consent;
    const pairing = this.#pairing;
    this.#operations = [];
    this.#events = [];
    this.#consent = undefined;
    this.#pairing = undefined;
    return { operations, events, consent, pairing, now: this.#clock() };
  }

  #remember(kind: string, id: string, read: () => Promise<Found | undefined>): Promise<Found | undefined> {
    const key = `${kind}:${id}`;
    const known = this.#remembered.get(key);
    if (known !== undefined) return known;
    const reading = read();
    this.#remembered.set(key, reading);
    return reading;
  }

  /** What a read brought along: the engine need not ask for it again. */
  learn(kind: string, idHash: string, payload: Payload | null): void {
    const key = `${kind}:${idHash}`;
    if (this.#remembered.has(key)) return;
    const found = payload === null ? undefined : { idHash, payload, consumedAt: undefined };
    if (found !== undefined) this.#found.add(key);
    this.#remembered.set(key, Promise.resolve(found));
  }
}

/** The unit of the request that is being served. Throws when there is none: an artifact is never touched outside of one. */
export function currentUnitOfWork(): UnitOfWork {
  const unit = current.getStore();
  if (unit === undefined) throw new Error('an artifact was asked for outside of a unit of work');
  return unit;
}

function isOfSession(operation: ArtifactOperation): boolean {
  return operation.do === 'end_session' || ('kind' in operation && operation.kind === 'Session');
}

/** What `end_grant` does anyway, and would not find to do any more. */
function endsGrant(operation: ArtifactOperation, grantHash: string): boolean {
  if (operation.do === 'destroy') return operation.kind === 'Grant' && operation.id === grantHash;
  return (operation.do === 'revoke' || operation.do === 'end_grant') && operation.grant_id === grantHash;
}

/** SHA-256, hexadecimal: how the database knows a value. */
export function hashOf(value: string): string {
  return hash('sha256', value);
}
