/**
 * How a sign-in begins: with a password. The attempt is counted first and on its own, then judged, and only then is the password
 * looked at; no connection is held meanwhile. Whoever fails learns nothing: an unknown address, a wrong password, a disabled or
 * unverified person and a stranger to this tenant get the same answer after the same work. What follows a right password is for
 * authentication_steps.ts to say.
 */
import { canonicalIdentifier } from '#src/domain/email_address.ts';
import type { NewEvent } from '#src/domain/event.ts';
import { maySignInFrom } from '#src/domain/people_settings.ts';
import { PasswordHashingBusy } from '#src/foundation/password_hashing.ts';
import { appendEvent, recordEvent } from '#src/storage/event_log.ts';
import { readSignInPerson, type SignInPersonRow } from '#src/storage/tables/factors.ts';
import { replacePasswordHash } from '#src/storage/tables/people.ts';
import { remindToVerify } from '../proofs/request_verification.ts';
import { recordLock } from './account_lock.ts';
import { countAttempt, forgiveAttempt } from './attempts.ts';
import {
  deviceHashOf,
  passwordMark,
  proceed,
  refusedAddress,
  type SignInPlace,
  type SignInProgress,
  type SignInServices,
} from './authentication_steps.ts';

export type SignInOutcome =
  | SignInProgress
  | { readonly outcome: 'refused' }
  | { readonly outcome: 'throttled'; readonly retryAfterSeconds: number }
  | { readonly outcome: 'busy'; readonly retryAfterSeconds: number };

export interface SignInRequest extends SignInPlace {
  /** As typed: an address, or a name where the tenant has them. */
  readonly email: string;
  readonly password: string;
}

/** Rejects only for faults; see the file's header for what a refusal does not tell. */
export async function signIn(services: SignInServices, request: SignInRequest): Promise<SignInOutcome> {
  const { database, passwords, clock } = services;
  const { tenantId, clientId, origin, deviceToken, policy } = request;
  const tenant = database.tenant(tenantId);
  // Before anything is looked up: what is said from there, of whom and how often, is nobody's business.
  if (!maySignInFrom(policy, origin.ip)) {
    await recordEvent(tenant, { event: refusedAddress(clientId), origin, now: clock() });
    return { outcome: 'refused' };
  }
  const identifier = canonicalIdentifier(request.email);
  const deviceHash = deviceToken === undefined ? undefined : deviceHashOf(deviceToken);
  const read = () => readSignInPerson(tenant, { identifier, deviceHash });
  // A name and an address of one person are one account, and a browser of theirs has a counter of its own: both must be known first.
  const readFirst = deviceHash !== undefined || !identifier.includes('@');
  const found = readFirst ? await read() : undefined;
  const attempt = {
    tenantId,
    kind: 'password',
    identifier: found === undefined ? identifier : canonicalIdentifier(found.email),
    address: origin.ip,
    knownDevice: found?.device_known === true ? deviceHash?.toString('base64url') : undefined,
  } as const;
  const now = clock();
  const decision = await countAttempt(services, { ...attempt, now });
  if (decision.outcome === 'throttled') {
    const { limit, retryAfterSeconds } = decision;
    // Told once for each lock: a flood must not become a flood of rows.
    if (decision.firstInWindow)
      await recordLock(services, {
        tenantId,
        clientId,
        identifier: attempt.identifier,
        limit,
        retryAfterSeconds,
        origin,
        now,
      });
    return { outcome: 'throttled', retryAfterSeconds };
  }

  const person = readFirst ? found : await read();
  const hash = person?.active === true ? (person.password_hash ?? undefined) : undefined;
  const mayEnter = person?.email_verified === true || policy['people.email_verification'] === 'optional';
  try {
    const { matches, outdated } = await passwords.verify(hash, request.password);
    if (person === undefined || hash === undefined || !matches || !mayEnter) {
      await refuse(services, request, { person, matches });
      return { outcome: 'refused' };
    }
    const to = outdated ? await passwords.hash(request.password) : hash;
    const change = { userId: person.id, from: hash, to, now: clock() };
    // Of two who sign in at once with an outdated hash, one renews it; the other's old one is not in use any more, and they try again.
    if (outdated) await tenant.transaction((transaction) => replacePasswordHash(transaction, change));
    const password = { method: 'password', at: clock(), mark: passwordMark(to) } as const;
    const progress = await proceed(services, request, { person, factors: [password] });
    await forgiveAttempt(services, attempt);
    return progress;
  } catch (fault) {
    if (fault instanceof PasswordHashingBusy) return { outcome: 'busy', retryAfterSeconds: fault.retryAfterSeconds };
    throw fault;
  }
}

interface Refused {
  readonly person: SignInPersonRow | undefined;
  readonly matches: boolean;
}

/**
 * The event; and whoever knew the password and only has to prove their address is asked to, by mail. For everybody else the same
 * statements run.
 */
async function refuse(services: SignInServices, request: SignInRequest, { person, matches }: Refused): Promise<void> {
  const { tenantId, origin, policy } = request;
  const tenant = services.database.tenant(tenantId);
  const event = failed(request, reasonOf(person, matches), person);
  if (policy['people.email_verification'] === 'optional')
    return recordEvent(tenant, { event, origin, now: services.clock() });
  const isUnproven = matches && person?.active === true && !person.email_verified;
  await tenant.transaction(async (transaction) => {
    await remindToVerify(services, transaction, { tenantId, person: isUnproven ? person : undefined, origin });
    await appendEvent(transaction, { tenant, event, origin, now: services.clock() });
  });
}

function failed(request: SignInRequest, reason: string, person?: SignInPersonRow): NewEvent {
  return {
    type: 'user.sign_in_failed',
    outcome: 'failure',
    reason,
    ...(person === undefined ? {} : { target: { type: 'user', id: person.id } }),
    clientId: request.clientId,
  };
}

/** For operators only: the person is told the same in every case. */
function reasonOf(person: SignInPersonRow | undefined, matches: boolean): string {
  if (person === undefined) return 'unknown_account';
  if (!person.active) return 'disabled';
  if (person.password_hash === null) return 'no_password';
  return matches ? 'unverified' : 'wrong_password';
}
