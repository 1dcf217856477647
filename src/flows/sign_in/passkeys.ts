/**
 * Passkeys: as a second factor, and as the only one where the authenticator has made sure that it was its owner. A challenge is good
 * once, for one purpose, where it was made, for five minutes; it is used up before anything is looked at. A passkey of somebody who is
 * no member here is not found, so that it is the same as one that nobody has.
 */
import { randomBytes } from 'node:crypto';
import type { FactorRecord } from '#src/domain/authentication.ts';
import type { NewEvent } from '#src/domain/event.ts';
import { parseName } from '#src/domain/name.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import {
  type Assertion,
  CHALLENGE_BYTES,
  type CreationOptions,
  creationOptions,
  parseAssertion,
  parseAttestation,
  type RequestOptions,
  requestOptions,
  verifyAssertion,
  verifyAttestation,
} from '#src/foundation/webauthn.ts';
import { appendEvent, recordEvent } from '#src/storage/event_log.ts';
import { countBackupCodes, lockFactorsOf, readSignInPersonById } from '#src/storage/tables/factors.ts';
import {
  acceptPasskeyUse,
  type ChallengePurpose,
  findPasskey,
  insertPasskey,
  listPasskeys,
  type PasskeyRow,
  putChallenge,
  renamePasskey as renamePasskeyRow,
  takeChallenge,
} from '#src/storage/tables/passkeys.ts';
import { putBackupCodes } from '../factors/backup_codes.ts';
import { type FactorOwner, factorEvent } from '../factors/factor_owner.ts';
import { notifyMember } from '../people/notify_person.ts';
import { countAttempt, forgiveAttempt } from './attempts.ts';
import {
  finish,
  type ProvenFactor,
  type SignedIn,
  type SignInPlace,
  type SignInServices,
} from './authentication_steps.ts';

const CHALLENGE_SECONDS = 300;
const MAXIMUM_PASSKEYS = 20;

/** Where a challenge is made: an interaction or a session, at a tenant. */
type Place = Pick<SignInPlace, 'tenantId' | 'key'>;

interface ChallengeFor {
  readonly purpose: ChallengePurpose;
  readonly userId: UserId | undefined;
}

function placeHashOf(key: string): Buffer {
  return sha256(`passkey\n${key}`);
}

async function makeChallenge(
  { database, clock }: Pick<SignInServices, 'database' | 'clock'>,
  { tenantId, key }: Place,
  { purpose, userId }: ChallengeFor,
): Promise<Buffer> {
  const challenge = randomBytes(CHALLENGE_BYTES);
  await putChallenge(database.tenant(tenantId), {
    placeHash: placeHashOf(key),
    purpose,
    challengeHash: sha256(challenge.toString('base64url')),
    userId,
    expiresAt: new Date(clock().getTime() + CHALLENGE_SECONDS * 1000),
  });
  return challenge;
}

/** False when it was used before, is over, or was made elsewhere, for somebody or something else. */
function useChallenge(
  { database, clock }: Pick<SignInServices, 'database' | 'clock'>,
  { tenantId, key }: Place,
  { purpose, userId, challenge }: ChallengeFor & { readonly challenge: string },
): Promise<boolean> {
  const place = { tenantId, placeHash: placeHashOf(key), purpose, userId };
  const taken = { ...place, challengeHash: sha256(challenge), now: clock() };
  return database.tenant(tenantId).transaction((transaction) => takeChallenge(transaction, taken));
}

/** For the page where a sign-in begins: of whoever has a passkey here. */
export async function passkeySignInOptions(services: SignInServices, place: SignInPlace): Promise<RequestOptions> {
  const challenge = await makeChallenge(services, place, { purpose: 'sign_in', userId: undefined });
  return requestOptions(services.relyingParty, { challenge, allowed: [], userVerification: 'required' });
}

/** For the page of the second factor: of this person, after their password. */
export async function passkeySecondFactorOptions(
  services: SignInServices,
  place: SignInPlace,
  userId: UserId,
): Promise<RequestOptions> {
  const challenge = await makeChallenge(services, place, { purpose: 'second_factor', userId });
  const allowed = (await passkeysOf(services, { tenantId: place.tenantId, userId })).map(credentialOf);
  return requestOptions(services.relyingParty, { challenge, allowed, userVerification: 'preferred' });
}

function credentialOf({ credential_id: credentialId, transports }: PasskeyRow) {
  return { credentialId, transports };
}

export function passkeysOf(
  { database, relyingParty }: Pick<SignInServices, 'database' | 'relyingParty'>,
  { tenantId, userId }: { readonly tenantId: TenantId; readonly userId: UserId },
): Promise<readonly PasskeyRow[]> {
  return database
    .tenant(tenantId)
    .transaction((transaction) => listPasskeys(transaction, { userId, relyingPartyId: relyingParty.id }));
}

/** Right once. With no `userId` whoever it belongs to, and only if it was unlocked by them. */
export async function checkPasskey(
  services: Pick<SignInServices, 'database' | 'clock' | 'relyingParty'>,
  place: Place,
  input: {
    readonly purpose: 'sign_in' | 'second_factor';
    readonly userId: UserId | undefined;
    readonly answer: string;
  },
): Promise<(ProvenFactor & { readonly userId: UserId }) | undefined> {
  const assertion = parseAssertion(input.answer);
  if (assertion === undefined) return undefined;
  const { purpose, userId } = input;
  if (!(await useChallenge(services, place, { purpose, userId, challenge: assertion.challenge }))) return undefined;

  const { database, clock, relyingParty } = services;
  const { credentialId } = assertion;
  const passkey = await database
    .tenant(place.tenantId)
    .transaction((transaction) => findPasskey(transaction, { credentialId, relyingPartyId: relyingParty.id }));
  if (passkey === undefined || !belongs(passkey, assertion, userId)) return undefined;
  const requireUserVerification = purpose === 'sign_in';
  const publicKey = passkey.public_key;
  const verified = await verifyAssertion(relyingParty, { assertion, publicKey, requireUserVerification });
  if (verified === undefined) return undefined;

  const now = clock();
  const { signCount, userVerified, backedUp } = verified;
  return {
    userId: passkey.user_id,
    record: { method: 'passkey', at: now, userVerified, synced: backedUp },
    use: (transaction) =>
      acceptPasskeyUse(transaction, { userId: passkey.user_id, credentialId, signCount, backedUp, now }),
    whenUsed: 'counter_went_back',
  };
}

/** WebAuthn §7.2 step 6: the owner, the one who is expected, and the one whom the authenticator names are the same. */
function belongs(passkey: PasskeyRow, { userHandle }: Assertion, userId: UserId | undefined): boolean {
  if (userId === undefined) return userHandle === passkey.user_id;
  return passkey.user_id === userId && (userHandle === undefined || userHandle === userId);
}

export type PasskeySignInOutcome =
  | SignedIn
  /** Unknown, of somebody who is no member or shut out, not unlocked, used before: nobody learns which. */
  | { readonly outcome: 'refused' }
  | { readonly outcome: 'throttled'; readonly retryAfterSeconds: number };

/** Signs in without a password. */
export async function signInWithPasskey(
  services: SignInServices,
  place: SignInPlace,
  answer: string,
): Promise<PasskeySignInOutcome> {
  const { tenantId, clientId, origin, policy } = place;
  const tenant = services.database.tenant(tenantId);
  const now = services.clock();
  const credentialId = parseAssertion(answer)?.credentialId.toString('base64url') ?? 'none';
  // There is nothing to guess: this keeps one machine from keeping this one busy.
  const attempt = { tenantId, kind: 'passkey', identifier: `credential:${credentialId}`, address: origin.ip } as const;
  const decision = await countAttempt(services, { ...attempt, now });
  const fail = async (reason: string, userId?: UserId): Promise<{ readonly outcome: 'refused' }> => {
    const target = userId === undefined ? {} : { target: { type: 'user', id: userId } };
    const event: NewEvent = { type: 'user.sign_in_failed', outcome: 'failure', reason, ...target, clientId };
    await recordEvent(tenant, { event, origin, now: services.clock() });
    return { outcome: 'refused' };
  };
  if (decision.outcome === 'throttled') {
    if (decision.firstInWindow) await fail('throttled');
    return { outcome: 'throttled', retryAfterSeconds: decision.retryAfterSeconds };
  }

  const proven = await checkPasskey(services, place, { purpose: 'sign_in', userId: undefined, answer });
  if (proven === undefined) return fail('wrong_passkey');
  const { userId, record, use, whenUsed } = proven;
  const person = await readSignInPersonById(tenant, userId);
  if (person?.active !== true) return fail('disabled', userId);
  if (!person.email_verified && policy['people.email_verification'] === 'required') return fail('unverified', userId);
  const factors: readonly FactorRecord[] = [record];
  const finished = await finish(services, place, { userId, factors, use });
  if (finished.outcome !== 'signed_in') return fail(finished.outcome === 'used' ? whenUsed : 'disabled', userId);
  await forgiveAttempt(services, attempt);
  return finished;
}

/** For the page where a passkey is added. */
export async function passkeyCreationOptions(
  services: SignInServices,
  owner: FactorOwner,
  person: { readonly tenantName: string; readonly email: string; readonly name: string },
): Promise<CreationOptions> {
  const { tenantId, userId } = owner;
  const challenge = await makeChallenge(services, owner, { purpose: 'registration', userId });
  return creationOptions(services.relyingParty, {
    challenge,
    name: person.tenantName,
    account: person.email,
    displayName: person.name,
    userHandle: userId,
    known: (await passkeysOf(services, { tenantId, userId })).map(credentialOf),
  });
}

export type AddPasskeyOutcome =
  /** `backupCodes`: new ones, to be shown now and never again; undefined when there are good ones. */
  | { readonly outcome: 'added'; readonly backupCodes: readonly string[] | undefined }
  | { readonly outcome: 'refused' | 'known' | 'too_many' | 'name' };

export async function addPasskey(
  services: SignInServices,
  owner: FactorOwner,
  input: { readonly answer: string; readonly name: string },
): Promise<AddPasskeyOutcome> {
  const name = parseName(input.name);
  if (name === undefined) return { outcome: 'name' };
  const attestation = parseAttestation(input.answer);
  if (attestation === undefined) return { outcome: 'refused' };
  const { tenantId, userId, origin } = owner;
  const wanted = { purpose: 'registration', userId, challenge: attestation.challenge } as const;
  if (!(await useChallenge(services, owner, wanted))) return { outcome: 'refused' };
  const made = await verifyAttestation(services.relyingParty, attestation);
  if (made === undefined) return { outcome: 'refused' };

  const now = services.clock();
  const tenant = services.database.tenant(tenantId);
  return tenant.transaction(async (transaction) => {
    if (!(await lockFactorsOf(transaction, userId))) return { outcome: 'refused' };
    const relyingPartyId = services.relyingParty.id;
    if ((await listPasskeys(transaction, { userId, relyingPartyId })).length >= MAXIMUM_PASSKEYS)
      return { outcome: 'too_many' };
    if (!(await insertPasskey(transaction, { ...made, userId, relyingPartyId, name, now })))
      return { outcome: 'known' };
    const backupCodes =
      (await countBackupCodes(transaction, userId)) > 0 ? undefined : await putBackupCodes(transaction, userId, now);
    const event = factorEvent(owner, { type: 'mfa.enrolled', data: { method: 'passkey', synced: made.backedUp } });
    await appendEvent(transaction, { tenant, event, origin, now });
    await notifyMember(services, transaction, { tenantId, userId, origin, mail: { kind: 'passkey_added', name } });
    return { outcome: 'added', backupCodes };
  });
}

/** `unknown`: none of this person's. */
export async function renamePasskey(
  { database }: Pick<SignInServices, 'database'>,
  { tenantId, userId }: FactorOwner,
  input: { readonly credentialId: Buffer; readonly name: string },
): Promise<{ readonly outcome: 'renamed' | 'unknown' | 'name' }> {
  const name = parseName(input.name);
  if (name === undefined) return { outcome: 'name' };
  const renamed = await database
    .tenant(tenantId)
    .transaction((transaction) => renamePasskeyRow(transaction, { userId, credentialId: input.credentialId, name }));
  return { outcome: renamed ? 'renamed' : 'unknown' };
}
