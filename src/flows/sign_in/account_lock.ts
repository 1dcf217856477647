/**
 * Locks of accounts, as people and operators meet them: telling once that one has begun, and ending it before its time. The counting
 * itself is in attempts.ts. A lock on somebody who is no member here is told to nobody, after the same work.
 */
import { canonicalIdentifier } from '#src/domain/email_address.ts';
import type { NewEvent } from '#src/domain/event.ts';
import { identifierKey, type LimitName } from '#src/domain/sign_in_throttle.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import type { Database, Transaction } from '#src/storage/database.ts';
import { appendEvents, eventRow, type Origin, recordEvent } from '#src/storage/event_log.ts';
import { readSignInPerson } from '#src/storage/tables/factors.ts';
import { findMember } from '#src/storage/tables/people.ts';
import type { FlowContext } from '../flow_context.ts';

/** A lock that has just begun. `person` is undefined for whoever is no active member: then nothing is to be sent, and as much done. */
export interface BegunLock {
  readonly tenantId: TenantId;
  readonly person:
    | { readonly id: UserId; readonly email: string; readonly locale: 'nl' | 'en' | undefined }
    | undefined;
  readonly origin: Origin;
  readonly now: Date;
}

/** Writes the mail with the link that unlocks, in the transaction of the event. */
export type TellOfLock = (transaction: Transaction, lock: BegunLock) => Promise<void>;

export interface LockServices {
  readonly database: Database;
  readonly tellOfLock?: TellOfLock | undefined;
}

export interface ThrottledSignIn {
  readonly tenantId: TenantId;
  readonly clientId: string;
  /** Canonical, as it was counted. */
  readonly identifier: string;
  readonly limit: LimitName;
  readonly retryAfterSeconds: number;
  readonly origin: Origin;
  readonly now: Date;
}

/** To be called for the one attempt that began a lock (`firstInWindow`): records it, and that the account is locked where there is one. */
export async function recordLock({ database, tellOfLock }: LockServices, throttled: ThrottledSignIn): Promise<void> {
  const { tenantId, clientId, identifier, limit, retryAfterSeconds, origin, now } = throttled;
  const refused: NewEvent = {
    type: 'user.sign_in_failed',
    outcome: 'failure',
    reason: 'throttled',
    clientId,
    data: { limit },
  };
  await database.tenant(tenantId).transaction(async (transaction) => {
    const member = await findMember(transaction, { tenantId, emailCanonical: identifier });
    const isActive = member?.user_status === 'active' && member.membership_status === 'active';
    const person =
      isActive && isAboutPerson(limit)
        ? { id: member.id, email: member.email, locale: member.locale ?? undefined }
        : undefined;
    const locked: readonly NewEvent[] =
      person === undefined
        ? []
        : [
            {
              type: 'user.locked',
              outcome: 'success',
              actor: { type: 'system', id: 'sign_in' },
              target: { type: 'user', id: person.id },
              clientId,
              data: { limit, seconds: retryAfterSeconds },
            },
          ];
    const rows = [refused, ...locked].map((event) => eventRow(event, origin, now));
    await transaction.query(appendEvents.text, [tenantId, JSON.stringify(rows)]);
    await tellOfLock?.(transaction, { tenantId, person, origin, now });
  });
}

/** An address or a tenant that is stopped says nothing about the person who was tried last. */
function isAboutPerson(limit: LimitName): boolean {
  return limit !== 'address' && limit !== 'tenant';
}

export type UnlockOutcome =
  | { readonly outcome: 'unlocked'; readonly userId: UserId }
  /** The tenant has nobody like that; nothing was done. */
  | { readonly outcome: 'unknown_user' };

/**
 * Forgets the failed passwords of a member, from every address and device, whether or not they were locked. What other kinds of
 * attempts have counted stays: a mailbox proves nothing about a second factor. Sessions and passwords are as before.
 */
export async function unlockAccount(
  context: Pick<FlowContext, 'database' | 'clock' | 'actor' | 'origin'>,
  { tenantId, identifier }: { readonly tenantId: TenantId /** An address, or a name. */; readonly identifier: string },
): Promise<UnlockOutcome> {
  const { database, clock, actor, origin } = context;
  const tenant = database.tenant(tenantId);
  const person = await readSignInPerson(tenant, { identifier: canonicalIdentifier(identifier), deviceHash: undefined });
  if (person === undefined) return { outcome: 'unknown_user' };
  const event: NewEvent = {
    type: 'user.unlocked',
    outcome: 'success',
    actor,
    target: { type: 'user', id: person.id },
  };
  await recordEvent(tenant, { event, origin, now: clock() });
  // After the event, so that no counter is forgotten without one.
  await database.counters.unlock({
    tenantId,
    key: sha256(identifierKey('password', canonicalIdentifier(person.email))),
  });
  return { outcome: 'unlocked', userId: person.id };
}
