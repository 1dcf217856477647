/**
 * What follows a proven factor: either the person has signed in, or the server remembers how far they got. Everything that signs
 * somebody in ends here, and nowhere else is an `Authentication` made: in one transaction the half-done sign-in is used up, what
 * proved the factor is used up, and the event is written. There is nothing that a browser could skip ahead to.
 */
import { type Authentication, authenticate, type FactorRecord } from '#src/domain/authentication.ts';
import type { NewEvent } from '#src/domain/event.ts';
import type { MailBudgets } from '#src/domain/mail.ts';
import { maySignInFrom, type PeopleSettings } from '#src/domain/people_settings.ts';
import { type FactorsHeld, methodsOf, missingStep, type SecondFactorMethod } from '#src/domain/second_factor.ts';
import type { SignInThrottleSettings } from '#src/domain/sign_in_throttle.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Clock } from '#src/foundation/clock.ts';
import { randomValue, sha256, uuidv7 } from '#src/foundation/identifiers.ts';
import type { PasswordHasher } from '#src/foundation/password_hashing.ts';
import type { RelyingParty } from '#src/foundation/relying_party.ts';
import type { Sealer } from '#src/foundation/sealing.ts';
import type { Database, Transaction } from '#src/storage/database.ts';
import { appendEvent, type Origin, recordEvent } from '#src/storage/event_log.ts';
import type { SignInPersonRow } from '#src/storage/tables/factors.ts';
import { deletePendingSignIn, putPendingSignIn, type WantedStep } from '#src/storage/tables/pending_sign_ins.ts';
import { lockPasswordHash, touchLastSignIn } from '#src/storage/tables/people.ts';
import { insertRememberedDevice, touchRememberedDevice } from '#src/storage/tables/remembered_devices.ts';
import { Refusal } from '../flow_context.ts';
import { notifyPerson } from '../people/notify_person.ts';
import type { VerificationServices } from '../proofs/request_verification.ts';
import type { TellOfLock } from './account_lock.ts';

export interface SignInServices extends VerificationServices {
  readonly database: Database;
  readonly passwords: PasswordHasher;
  readonly clock: Clock;
  readonly sealer: Sealer;
  readonly settings: SignInThrottleSettings;
  /** Writes the mail that tells of a lock; without it nobody is told. */
  readonly tellOfLock?: TellOfLock | undefined;
  readonly mailBudgets: MailBudgets;
  /** As whom passkeys know this installation. */
  readonly relyingParty: RelyingParty;
}

/** Where a sign-in is under way: at which tenant, for which client, in which interaction. */
export interface SignInPlace {
  readonly tenantId: TenantId;
  readonly clientId: string;
  /** What only the one who began it can come back with: the interaction of a browser, the token of a program. */
  readonly key: string;
  readonly origin: Origin;
  /** What holds for the people of this tenant. */
  readonly policy: PeopleSettings;
  /** An application asked for both factors. */
  readonly wantsMultiFactor: boolean;
  /** The cookie of a browser that was remembered. */
  readonly deviceToken?: string | undefined;
}

/** A token to keep in the browser, for next time. */
export interface RememberedDevice {
  readonly token: string;
  readonly expiresAt: Date;
}

export type SignedIn = {
  readonly outcome: 'signed_in';
  readonly authentication: Authentication;
  /** Undefined where the browser has one already. */
  readonly device: RememberedDevice | undefined;
};

export type SignInProgress =
  | SignedIn
  /** The first factor is proven; the server knows it under the key of the place. */
  | { readonly outcome: 'second_factor'; readonly methods: readonly SecondFactorMethod[] }
  /** A second factor has to be set up first. */
  | { readonly outcome: 'enrolment' }
  /** An application asks for two factors where there are none to be had. */
  | { readonly outcome: 'unmet' }
  /** What was half done is over, or was finished by somebody else. */
  | { readonly outcome: 'expired' };

/** How long somebody may take to find their phone. */
export const PENDING_SECONDS = 600;
export const PENDING_TRIES = 5;
const DEVICE_SECONDS = 365 * 86_400;

export function keyHashOf(key: string): Buffer {
  return sha256(`pending_sign_in\n${key}`);
}

export function heldBy(person: SignInPersonRow): FactorsHeld {
  return {
    totp: person.totp,
    passkeys: person.passkeys,
    backupCodes: person.backup_codes,
    emailVerified: person.email_verified,
  };
}

/** After a first factor: signs in, or remembers it and says what is missing. */
export async function proceed(
  services: SignInServices,
  place: SignInPlace,
  { person, factors }: { readonly person: SignInPersonRow; readonly factors: readonly FactorRecord[] },
): Promise<SignInProgress> {
  const now = services.clock();
  const authentication = authenticate(person.id, factors);
  const held = heldBy(person);
  const missing = authentication.amr.includes('mfa')
    ? 'nothing'
    : missingStep({
        settings: place.policy,
        roles: person.roles,
        held,
        wantsMultiFactor: place.wantsMultiFactor,
        sparedUntil: person.second_factor_spared_until ?? undefined,
        now,
      });
  if (missing === 'unmet') return { outcome: 'unmet' };
  if (missing === 'nothing') {
    const finished = await finish(services, place, { userId: person.id, factors });
    return finished.outcome === 'signed_in' ? finished : { outcome: 'expired' };
  }

  const { tenantId, clientId, key } = place;
  const expiresAt = new Date(now.getTime() + PENDING_SECONDS * 1000);
  await services.database.tenant(tenantId).transaction((transaction) =>
    putPendingSignIn(transaction, {
      tenantId,
      clientId,
      keyHash: keyHashOf(key),
      userId: person.id,
      factors,
      wanted: missing,
      now,
      expiresAt,
    }),
  );
  return missing === 'enrolment'
    ? { outcome: 'enrolment' }
    : { outcome: 'second_factor', methods: methodsOf(held, place.policy) };
}

/** What is known to be right, and what uses it up. */
export interface ProvenFactor {
  readonly record: FactorRecord;
  readonly use: (transaction: Transaction) => Promise<boolean>;
  /** The word for it, when `use` says no. */
  readonly whenUsed: 'used_before' | 'counter_went_back' | 'wrong';
}

export type Finished = SignedIn | { readonly outcome: 'expired' | 'used' };

export interface Finish {
  readonly userId: UserId;
  readonly factors: readonly FactorRecord[];
  /** The sign-in was half done and waited for this: it is used up, and of two who finish it one is late. */
  readonly pending?: WantedStep | undefined;
  /** Uses up what proved the last factor; false when somebody else did. In the same transaction. */
  readonly use?: (transaction: Transaction) => Promise<boolean>;
  /** The person wishes that no second factor is asked for in this browser for a while; where the tenant allows it. */
  readonly rememberDevice?: boolean | undefined;
}

/**
 * Signs in. All of it happens together or not at all: `expired` when the half-done sign-in is gone, `used` when what proved the
 * factor was used meanwhile.
 */
export async function finish(
  services: SignInServices,
  place: SignInPlace,
  { userId, factors, pending, use, rememberDevice }: Finish,
): Promise<Finished> {
  const { tenantId, clientId, key, origin } = place;
  const tenant = services.database.tenant(tenantId);
  const now = services.clock();
  // Whichever way they came: nobody has signed in from where nobody may.
  if (!maySignInFrom(place.policy, origin.ip)) {
    await recordEvent(tenant, { event: refusedAddress(clientId, userId), origin, now });
    return { outcome: 'expired' };
  }
  const authentication = authenticate(userId, factors);
  const spared = rememberDevice === true ? place.policy['second_factor.remember_device_days'] : 0;
  try {
    return await tenant.transaction(async (transaction) => {
      const refuse = (outcome: 'expired' | 'used'): never => {
        throw new Refusal<Finished>({ outcome });
      };
      const step = { tenantId, keyHash: keyHashOf(key), userId };
      if (use !== undefined && !(await use(transaction))) refuse('used');
      if (pending !== undefined && !(await deletePendingSignIn(transaction, { ...step, wanted: pending })))
        refuse('expired');
      const person = await touchLastSignIn(transaction, { tenantId, userId, now });
      // Locked before it is compared: of a sign-in and a new password one comes first, and the new one ends what came before it.
      const mark = factors.find(({ method }) => method === 'password')?.mark;
      if (mark !== undefined && passwordMark(await lockPasswordHash(transaction, userId)) !== mark)
        return refuse('expired');
      // Shut out since the factor was proven: asked again here, where nothing can come in between.
      if (person === undefined) return refuse('expired');
      const sparedUntil = spared > 0 ? new Date(now.getTime() + spared * 86_400_000) : undefined;
      const { device, isNews } = await remember(transaction, place, { userId, now, sparedUntil });
      if (isNews)
        await notifyPerson(services, transaction, { tenantId, origin, ...person, mail: { kind: 'new_device' } });
      const event: NewEvent = {
        type: 'user.signed_in',
        outcome: 'success',
        actor: { type: 'user', id: userId },
        target: { type: 'user', id: userId },
        clientId,
        data: { amr: authentication.amr },
      };
      await appendEvent(transaction, { tenant, event, origin, now });
      return { outcome: 'signed_in', authentication, device };
    });
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    throw fault;
  }
}

/** The event for whoever signs in from where the tenant lets nobody in. */
export function refusedAddress(clientId: string, userId?: UserId): NewEvent {
  return {
    type: 'user.sign_in_failed',
    outcome: 'failure',
    reason: 'address_not_allowed',
    ...(userId === undefined ? {} : { target: { type: 'user', id: userId } }),
    clientId,
  };
}

/** Every browser is remembered as one of this person's; sparing the second factor there is another thing, and a wish. */
async function remember(
  transaction: Transaction,
  { tenantId, origin, deviceToken }: SignInPlace,
  { userId, now, sparedUntil }: { readonly userId: UserId; readonly now: Date; readonly sparedUntil: Date | undefined },
): Promise<{ readonly device: RememberedDevice | undefined; readonly isNews: boolean }> {
  const expiresAt = new Date(now.getTime() + DEVICE_SECONDS * 1000);
  const { ip, userAgent } = origin;
  const seen = { tenantId, userId, ip, userAgent, now, expiresAt, secondFactorSparedUntil: sparedUntil };
  const isKnown =
    deviceToken !== undefined &&
    (await touchRememberedDevice(transaction, { ...seen, tokenHash: deviceHashOf(deviceToken) }));
  if (isKnown) return { device: undefined, isNews: false };
  const token = randomValue();
  const device = { ...seen, id: uuidv7(now), tokenHash: deviceHashOf(token) };
  const isNews = await insertRememberedDevice(transaction, device);
  return { device: { token, expiresAt }, isNews };
}

/** Names a password hash without giving it away: what a half-done sign-in keeps of it. */
export function passwordMark(hash: string | null | undefined): string {
  return sha256(`password_mark\n${hash ?? ''}`).toString('base64url');
}

export function deviceHashOf(token: string): Buffer {
  return sha256(`remembered_device\n${token}`);
}
