/**
 * How a sign-in goes on: with a code of an app or a backup code, after a password or in a session that is to become stronger. What
 * has been proven before is what the server remembers, never what the browser says; each try is counted before anything is looked at.
 */
import type { FactorMethod, FactorRecord } from '#src/domain/authentication.ts';
import { parseBackupCode } from '#src/domain/backup_code.ts';
import type { NewEvent } from '#src/domain/event.ts';
import { methodsOf, missingStep, type SecondFactorMethod } from '#src/domain/second_factor.ts';
import type { UserId } from '#src/domain/user.ts';
import { totpSecretContext } from '#src/foundation/sealing_contexts.ts';
import { totpStepOf } from '#src/foundation/totp.ts';
import { appendEvent, recordEvent } from '#src/storage/event_log.ts';
import { acceptTotpStep, findTotp, readSignInPersonById, useBackupCode } from '#src/storage/tables/factors.ts';
import {
  type PendingSignInRow,
  putPendingSignIn,
  readPendingSignIn,
  tryPendingSignIn,
  type WantedStep,
} from '#src/storage/tables/pending_sign_ins.ts';
import { backupCodeHash } from '../factors/backup_codes.ts';
import { notifyMember } from '../people/notify_person.ts';
import { countAttempt, forgiveAttempt } from './attempts.ts';
import {
  finish,
  heldBy,
  keyHashOf,
  PENDING_SECONDS,
  PENDING_TRIES,
  type ProvenFactor,
  type SignedIn,
  type SignInPlace,
  type SignInServices,
} from './authentication_steps.ts';
import { checkEmailCode } from './email_codes.ts';
import { checkPasskey } from './passkeys.ts';

/** How fresh a session must be for a second factor to be set up in it. */
const ENROLMENT_SECONDS = 300;

export interface PendingSignIn {
  readonly userId: UserId;
  readonly email: string;
  readonly wanted: WantedStep;
  readonly methods: readonly SecondFactorMethod[];
  readonly factors: readonly FactorRecord[];
}

/** How far the sign-in at this place has got. Undefined when none is half done there, or not any more. */
export async function findPendingSignIn(
  services: SignInServices,
  place: SignInPlace,
): Promise<PendingSignIn | undefined> {
  const tenant = services.database.tenant(place.tenantId);
  const look = { keyHash: keyHashOf(place.key), clientId: place.clientId, now: services.clock() };
  const pending = await readPendingSignIn(tenant, { ...look, maximumTries: PENDING_TRIES });
  if (pending === undefined) return undefined;
  const person = await readSignInPersonById(tenant, pending.user_id);
  if (person?.active !== true) return undefined;
  return {
    userId: person.id,
    email: person.email,
    wanted: pending.wanted,
    methods: methodsOf(heldBy(person), place.policy),
    factors: pending.factors,
  };
}

/** A factor that was brought, not yet looked at. */
export type SecondFactorProof =
  | { readonly kind: 'totp' | 'backup_code' | 'email_code'; readonly code: string }
  /** What the browser sent, as text. */
  | { readonly kind: 'passkey'; readonly answer: string };

export type ContinueOutcome =
  | SignedIn
  | { readonly outcome: 'refused' }
  /** Nothing is half done here (any more): the sign-in begins anew. */
  | { readonly outcome: 'expired' }
  | { readonly outcome: 'throttled'; readonly retryAfterSeconds: number };

export async function continueSignIn(
  services: SignInServices,
  place: SignInPlace,
  { proof, rememberDevice }: { readonly proof: SecondFactorProof; readonly rememberDevice?: boolean | undefined },
): Promise<ContinueOutcome> {
  return continueWith(services, place, {
    method: proof.kind,
    rememberDevice,
    check: (userId) => checkProof(services, place, userId, proof),
  });
}

function checkProof(
  services: SignInServices,
  place: SignInPlace,
  userId: UserId,
  proof: SecondFactorProof,
): Promise<ProvenFactor | undefined> {
  switch (proof.kind) {
    case 'totp':
      return checkTotp(services, place, userId, proof.code);
    case 'backup_code':
      return checkBackupCode(services, place, userId, proof.code);
    case 'email_code':
      return checkEmailCode(services, place, userId, proof.code);
    case 'passkey':
      return checkPasskey(services, place, { purpose: 'second_factor', userId, answer: proof.answer });
    default: {
      const never: never = proof;
      return never;
    }
  }
}

/** The same for every factor: counted, looked at, used up, and signed in by it. */
export async function continueWith(
  services: SignInServices,
  place: SignInPlace,
  input: {
    readonly method: Exclude<FactorMethod, 'password'>;
    readonly rememberDevice?: boolean | undefined;
    /** Undefined for a factor that is not right. */
    readonly check: (userId: UserId) => Promise<ProvenFactor | undefined>;
  },
): Promise<ContinueOutcome> {
  const { tenantId, clientId, key, origin } = place;
  const tenant = services.database.tenant(tenantId);
  const now = services.clock();
  const look = { keyHash: keyHashOf(key), clientId, now, maximumTries: PENDING_TRIES };
  const pending = await tryPendingSignIn(tenant, look);
  if (pending?.wanted !== 'second_factor') return { outcome: 'expired' };

  const userId = pending.user_id;
  const person = await readSignInPersonById(tenant, userId);
  if (person?.active !== true) return { outcome: 'expired' };
  // Only what is offered is looked at: what the tenant has not allowed, or the person has lost, proves nothing.
  const isOffered = methodsOf(heldBy(person), place.policy).includes(input.method);
  // Whoever tries codes knows the password already: what counts is the account, wherever they are.
  const attempt = {
    tenantId,
    kind: attemptKinds[input.method],
    identifier: `user:${userId}`,
    address: undefined,
  } as const;
  const decision = await countAttempt(services, { ...attempt, now });
  if (decision.outcome === 'throttled') {
    if (decision.firstInWindow)
      await recordEvent(tenant, { event: failed(place, pending, input.method, 'throttled'), origin, now });
    return { outcome: 'throttled', retryAfterSeconds: decision.retryAfterSeconds };
  }

  const proven = isOffered ? await input.check(userId) : undefined;
  if (proven !== undefined) {
    const { record, use } = proven;
    const factors = [...pending.factors, record];
    const finished = await finish(services, place, {
      userId,
      factors,
      pending: 'second_factor',
      use,
      rememberDevice: input.rememberDevice,
    });
    if (finished.outcome === 'signed_in') {
      await forgiveAttempt(services, attempt);
      return finished;
    }
    if (finished.outcome === 'expired') return { outcome: 'expired' };
  }
  await recordEvent(tenant, {
    event: failed(place, pending, input.method, proven?.whenUsed ?? 'wrong'),
    origin,
    now,
  });
  return { outcome: 'refused' };
}

const attemptKinds = {
  totp: 'code',
  backup_code: 'backup_code',
  email_code: 'email_code',
  passkey: 'passkey',
} as const;

function failed(
  { clientId }: SignInPlace,
  { user_id: userId }: PendingSignInRow,
  method: FactorMethod,
  reason: string,
): NewEvent {
  return {
    type: 'mfa.failed',
    outcome: 'failure',
    reason,
    target: { type: 'user', id: userId },
    clientId,
    data: { method },
  };
}

/** Right once: the step that was accepted, and every one before it, never is again. */
export async function checkTotp(
  { database, sealer, clock }: Pick<SignInServices, 'database' | 'sealer' | 'clock'>,
  { tenantId }: Pick<SignInPlace, 'tenantId'>,
  userId: UserId,
  code: string,
): Promise<ProvenFactor | undefined> {
  const factor = await database
    .tenant(tenantId)
    .transaction((transaction) => findTotp(transaction, { userId, state: 'active' }));
  if (factor === undefined) return undefined;
  const secret = sealer.open(factor.secret_sealed, totpSecretContext(userId)).toString('utf8');
  const now = clock();
  const step = await totpStepOf({ secret, code, now, afterStep: factor.last_step });
  if (step === undefined) return undefined;
  return {
    record: { method: 'totp', at: now },
    use: (transaction) => acceptTotpStep(transaction, { userId, step }),
    whenUsed: 'used_before',
  };
}

export async function checkBackupCode(
  services: Pick<SignInServices, 'database' | 'clock' | 'sealer' | 'mailBudgets'>,
  { tenantId, clientId, origin }: Pick<SignInPlace, 'tenantId' | 'clientId' | 'origin'>,
  userId: UserId,
  typed: string,
): Promise<ProvenFactor | undefined> {
  const code = parseBackupCode(typed);
  if (code === undefined) return undefined;
  const { database, clock } = services;
  const now = clock();
  return {
    record: { method: 'backup_code', at: now },
    whenUsed: 'wrong',
    // Whether it is one of theirs is found out by using it up.
    async use(transaction) {
      const left = await useBackupCode(transaction, { userId, codeHash: backupCodeHash(userId, code), now });
      if (left === undefined) return false;
      const event: NewEvent = {
        type: 'backup_code.used',
        outcome: 'success',
        actor: { type: 'user', id: userId },
        target: { type: 'user', id: userId },
        clientId,
        data: { left },
      };
      await appendEvent(transaction, { tenant: database.tenant(tenantId), event, origin, now });
      const mail = { kind: 'backup_code_used', remaining: left } as const;
      await notifyMember(services, transaction, { tenantId, userId, origin, mail });
      return true;
    },
  };
}

/**
 * In a session that one factor opened, for an application that asks for both: what that session was opened with counts as proven,
 * as the server kept it. `unmet` where there is no second factor to be had; `sign_in_first` where one has to be set up, and it is long
 * since the person showed who they are.
 */
export async function beginStepUp(
  services: SignInServices,
  place: SignInPlace,
  { userId, factors }: { readonly userId: UserId; readonly factors: readonly FactorRecord[] },
): Promise<{ readonly outcome: WantedStep | 'unmet' | 'sign_in_first' }> {
  const { tenantId, clientId, key, policy } = place;
  const tenant = services.database.tenant(tenantId);
  const person = await readSignInPersonById(tenant, userId);
  if (person?.active !== true) return { outcome: 'unmet' };
  const now = services.clock();
  const missing = missingStep({
    settings: policy,
    roles: person.roles,
    held: heldBy(person),
    wantsMultiFactor: true,
    sparedUntil: undefined,
    now,
  });
  if (missing === 'unmet' || missing === 'nothing') return { outcome: 'unmet' };
  // An old session is no proof of whose factor it is that is being set up.
  if (missing === 'enrolment' && !factors.some(({ at }) => now.getTime() - at.getTime() <= ENROLMENT_SECONDS * 1000))
    return { outcome: 'sign_in_first' };
  const expiresAt = new Date(now.getTime() + PENDING_SECONDS * 1000);
  const begun = { tenantId, clientId, keyHash: keyHashOf(key), userId, factors, wanted: missing, now, expiresAt };
  await tenant.transaction((transaction) => putPendingSignIn(transaction, begun));
  return { outcome: missing };
}
