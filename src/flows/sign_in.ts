/**
 * The only way to become authenticated with a password. The attempt is counted first and on its own, then judged, and only
 * then is the password looked at; no connection is held meanwhile. Whoever fails learns nothing: an unknown address, a wrong
 * password, a disabled person and a stranger to this tenant get the same answer after the same work.
 */
import { canonicalIdentifier } from '#src/domain/email_address.ts';
import type { NewEvent } from '#src/domain/event.ts';
import type { SignInThrottleSettings } from '#src/domain/sign_in_throttle.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Clock } from '#src/foundation/clock.ts';
import { type PasswordHasher, PasswordHashingBusy } from '#src/foundation/password_hashing.ts';
import type { Database, TenantDatabase } from '#src/storage/database.ts';
import { appendEvent, type Origin, recordEvent } from '#src/storage/event_log.ts';
import {
  readSignInCandidate,
  replacePasswordHash,
  type SignInCandidateRow,
  touchLastSignIn,
} from '#src/storage/tables/people.ts';
import { countAttempt, forgiveAttempt } from './attempts.ts';

export type SignInOutcome =
  | { readonly outcome: 'signed_in'; readonly userId: UserId; readonly amr: readonly string[] }
  | { readonly outcome: 'refused' }
  | { readonly outcome: 'throttled'; readonly retryAfterSeconds: number }
  | { readonly outcome: 'busy'; readonly retryAfterSeconds: number };

export interface SignInServices {
  readonly database: Database;
  readonly passwords: PasswordHasher;
  readonly clock: Clock;
  readonly settings: SignInThrottleSettings;
}

export interface SignInRequest {
  readonly tenantId: TenantId;
  readonly clientId: string;
  readonly origin: Origin;
  /** As typed. */
  readonly email: string;
  readonly password: string;
}

/** Rejects only for faults; see the file's header for what a refusal does not tell. */
export async function signIn(services: SignInServices, request: SignInRequest): Promise<SignInOutcome> {
  const { database, passwords, clock, settings } = services;
  const tenant = database.tenant(request.tenantId);
  const identifier = canonicalIdentifier(request.email);
  const attempts = { database, settings };
  const attempt = { tenantId: request.tenantId, kind: 'password', identifier, address: request.origin.ip } as const;
  const now = clock();
  const decision = await countAttempt(attempts, { ...attempt, now });
  if (decision.outcome === 'throttled') {
    // Told once per window: a flood must not become a flood of rows.
    if (decision.firstInWindow)
      await recordEvent(tenant, { event: failed(request, 'throttled'), origin: request.origin, now });
    return { outcome: 'throttled', retryAfterSeconds: decision.retryAfterSeconds };
  }

  const candidate = await readSignInCandidate(tenant, identifier);
  const usableHash = candidate?.active === true ? (candidate.password_hash ?? undefined) : undefined;
  try {
    const { matches, outdated } = await passwords.verify(usableHash, request.password);
    if (candidate === undefined || usableHash === undefined || !matches) {
      await recordEvent(tenant, {
        event: failed(request, reasonOf(candidate), candidate),
        origin: request.origin,
        now: clock(),
      });
      return { outcome: 'refused' };
    }
    const newHash = outdated ? await passwords.hash(request.password) : undefined;
    await succeed(tenant, { request, userId: candidate.id, now: clock(), from: usableHash, to: newHash });
    await forgiveAttempt(attempts, attempt);
    return { outcome: 'signed_in', userId: candidate.id, amr: ['pwd'] };
  } catch (fault) {
    if (fault instanceof PasswordHashingBusy) return { outcome: 'busy', retryAfterSeconds: fault.retryAfterSeconds };
    throw fault;
  }
}

interface Success {
  readonly request: SignInRequest;
  readonly userId: UserId;
  readonly now: Date;
  readonly from: string;
  /** A fresh hash, when the one that matched was made with other parameters or by another product. */
  readonly to: string | undefined;
}

async function succeed(tenant: TenantDatabase, { request, userId, now, from, to }: Success): Promise<void> {
  await tenant.transaction(async (transaction) => {
    if (to !== undefined) await replacePasswordHash(transaction, { userId, from, to, now });
    await touchLastSignIn(transaction, { tenantId: request.tenantId, userId, now });
    const event: NewEvent = {
      type: 'user.signed_in',
      outcome: 'success',
      actor: { type: 'user', id: userId },
      target: { type: 'user', id: userId },
      clientId: request.clientId,
      data: { amr: ['pwd'] },
    };
    await appendEvent(transaction, { tenant, event, origin: request.origin, now });
  });
}

function failed(request: SignInRequest, reason: string, candidate?: SignInCandidateRow): NewEvent {
  return {
    type: 'user.sign_in_failed',
    outcome: 'failure',
    reason,
    ...(candidate === undefined ? {} : { target: { type: 'user', id: candidate.id } }),
    clientId: request.clientId,
  };
}

/** For operators only: the person is told the same in every case. */
function reasonOf(candidate: SignInCandidateRow | undefined): string {
  if (candidate === undefined) return 'unknown_account';
  if (!candidate.active) return 'disabled';
  return candidate.password_hash === null ? 'no_password' : 'wrong_password';
}
