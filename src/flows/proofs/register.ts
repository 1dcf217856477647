/**
 * How somebody becomes a member by themselves. What they chose waits, with the hash of their password, as the payload of a proof;
 * there is no person before the address is proven, so nobody can be there first in a stranger's name. Whoever asks gets the same answer
 * after the same work, whether the address is new, known here, known elsewhere or shut out; the mail alone knows the difference.
 *
 * Where a tenant does without verification the person is there at once, with an address that counts for nothing
 * (prove_address.ts).
 */
import { parseEmailAddress } from '#src/domain/email_address.ts';
import type { NewEvent } from '#src/domain/event.ts';
import type { Mail } from '#src/domain/mail.ts';
import type { PasswordRefusal } from '#src/domain/password_policy.ts';
import { parsePersonName, type UserId, userId } from '#src/domain/user.ts';
import { parseUsername } from '#src/domain/username.ts';
import { uuidv7 } from '#src/foundation/identifiers.ts';
import { PasswordHashingBusy } from '#src/foundation/password_hashing.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { readSignInPersonById, type SignInPersonRow } from '#src/storage/tables/factors.ts';
import {
  assignRoles,
  findAddressOfInstallation,
  insertMembership,
  insertPerson,
  setUsername,
} from '#src/storage/tables/people.ts';
import { defaultRoles } from '../access/default_role.ts';
import type { FlowContext } from '../flow_context.ts';
import { queueMail } from '../mail/send_mail.ts';
import { judgePassword } from '../people/judge_password.ts';
import { countAttempt } from '../sign_in/attempts.ts';
import { keepProof, type MintedProof, mintProof } from './proofs.ts';
import { askedBy, asPerson, linkTo, type VisitedTenant, type VisitorContext } from './visitor_context.ts';

export interface Registration {
  readonly tenant: VisitedTenant;
  readonly email: string;
  readonly password: string;
  readonly givenName: string;
  readonly familyName: string;
  /** Where the tenant has them; empty for none. */
  readonly username: string;
  /** The sign-in that it was begun from. Trust it as an address that a stranger wrote. */
  readonly interaction?: string | undefined;
}

export type RegistrationField = 'email' | 'password' | 'given_name' | 'family_name' | 'username';

export type RegistrationProblem =
  | { readonly field: 'email'; readonly reason: 'missing' | 'invalid' }
  | { readonly field: 'password'; readonly reason: 'missing' | PasswordRefusal }
  | { readonly field: 'given_name' | 'family_name' | 'username'; readonly reason: 'invalid' };

export type RegisterOutcome =
  /** A mail is under way, or not: nobody is told which. The browser keeps the handle. */
  | { readonly outcome: 'sent'; readonly handle: string; readonly expiresAt: Date }
  | { readonly outcome: 'closed' }
  | { readonly outcome: 'invalid'; readonly problems: readonly RegistrationProblem[] }
  | { readonly outcome: 'throttled' | 'busy'; readonly retryAfterSeconds: number };

/** What waits for the proof. */
export interface PendingRegistration {
  readonly email: string;
  readonly password_hash: string;
  readonly given_name?: string | undefined;
  readonly family_name?: string | undefined;
  readonly username?: string | undefined;
  readonly interaction?: string | undefined;
}

/** Rejects only for faults. No connection is held while the password is judged and hashed. */
export async function requestRegistration(
  context: VisitorContext,
  registration: Registration,
): Promise<RegisterOutcome> {
  const { tenant, password } = registration;
  if (tenant.policy['people.registration'] !== 'open') return { outcome: 'closed' };
  const problems = problemsOf(registration);
  const email = parseEmailAddress(registration.email);
  if (problems.length > 0 || email.outcome === 'invalid') return { outcome: 'invalid', problems };

  const now = context.clock();
  const attempt = {
    tenantId: tenant.id,
    kind: 'registration',
    identifier: email.canonical,
    address: context.origin.ip,
  } as const;
  const decision = await countAttempt(context, { ...attempt, now });
  if (decision.outcome === 'throttled') return { outcome: 'throttled', retryAfterSeconds: decision.retryAfterSeconds };
  try {
    const refusal = await refusalOf(context, { registration, address: email.address });
    if (refusal !== undefined) return { outcome: 'invalid', problems: [{ field: 'password', reason: refusal }] };
    const pending: PendingRegistration = {
      email: email.address,
      password_hash: await context.passwords.hash(password),
      given_name: parsePersonName(registration.givenName),
      family_name: parsePersonName(registration.familyName),
      username: registration.username.trim() === '' ? undefined : parseUsername(registration.username)?.name,
      interaction: registration.interaction,
    };
    const beginning = { tenant, pending, canonical: email.canonical };
    // Taken at this very moment: asking again finds whoever has it.
    const { handle, expiresAt } =
      (await begin(context, beginning)) ?? (await begin(context, beginning)) ?? mintProof(context, 0);
    return { outcome: 'sent', handle, expiresAt };
  } catch (fault) {
    if (fault instanceof PasswordHashingBusy) return { outcome: 'busy', retryAfterSeconds: fault.retryAfterSeconds };
    throw fault;
  }
}

function problemsOf({ tenant, email, password, givenName, familyName, username }: Registration) {
  const problems: RegistrationProblem[] = [];
  if (email.trim() === '') problems.push({ field: 'email', reason: 'missing' });
  else if (parseEmailAddress(email).outcome === 'invalid') problems.push({ field: 'email', reason: 'invalid' });
  const isName = (name: string): boolean => name.trim() === '' || parsePersonName(name) !== undefined;
  if (!isName(givenName)) problems.push({ field: 'given_name', reason: 'invalid' });
  if (!isName(familyName)) problems.push({ field: 'family_name', reason: 'invalid' });
  const mayBeNamed = tenant.policy['people.usernames'] && parseUsername(username) !== undefined;
  if (username.trim() !== '' && !mayBeNamed) problems.push({ field: 'username', reason: 'invalid' });
  if (password === '') problems.push({ field: 'password', reason: 'missing' });
  return problems;
}

async function refusalOf(
  context: VisitorContext,
  { registration, address }: { readonly registration: Registration; readonly address: string },
): Promise<PasswordRefusal | undefined> {
  const { tenant, password, givenName, familyName, username } = registration;
  const verdict = await judgePassword(context, {
    settings: tenant.policy,
    person: { email: address, givenName, familyName, username },
    tenant,
    password,
    hasSecondFactor: false,
  });
  return verdict.outcome === 'acceptable' ? undefined : verdict.reason;
}

interface Beginning {
  readonly tenant: VisitedTenant;
  readonly pending: PendingRegistration;
  readonly canonical: string;
}

/** Nobody has this identifier: looking somebody up by it costs what looking up a person costs. */
const nobody = userId('00000000-0000-7000-8000-000000000000');

/** Undefined when somebody else took the address meanwhile; nothing has happened then. */
async function begin(
  context: VisitorContext,
  { tenant, pending, canonical }: Beginning,
): Promise<MintedProof | undefined> {
  const known = await findAddressOfInstallation(context.database, canonical);
  const member = await readSignInPersonById(context.database.tenant(tenant.id), known?.id ?? nobody);
  const minted = mintProof(context, context.proofs.verificationSeconds);
  const unproven = tenant.policy['people.email_verification'] === 'optional' && known === undefined;
  const id = userId(uuidv7(context.clock()));
  const work = async (transaction: Transaction): Promise<MintedProof> => {
    const mail = mailFor(context, { tenant, minted, known, member });
    const addressed = { tenantId: tenant.id, to: pending.email, locale: tenant.locale, validUntil: minted.expiresAt };
    const queued = await queueMail(context, transaction, { ...addressed, mail });
    if (unproven)
      await createPerson(asPerson(context, id), transaction, { tenant, id, pending, canonical, verified: false });
    await keepProof(context, transaction, minted, {
      tenantId: tenant.id,
      purpose: unproven ? 'verification' : 'registration',
      address: canonical,
      userId: unproven ? id : undefined,
      payload: pending,
      mailed: queued === 'queued' && (mail.kind === 'verify_email' || mail.kind === 'join_tenant'),
    });
    return minted;
  };
  return orTaken(context.database.tenant(tenant.id).transaction(work));
}

/** Undefined when the transaction found that an address was taken at this very moment, and was rolled back. */
export async function orTaken<Result>(work: Promise<Result>): Promise<Result | undefined> {
  try {
    return await work;
  } catch (fault) {
    if (fault instanceof AddressTaken) return undefined;
    throw fault;
  }
}

class AddressTaken extends Error {}

function mailFor(
  context: VisitorContext,
  {
    tenant,
    minted,
    known,
    member,
  }: {
    readonly tenant: VisitedTenant;
    readonly minted: MintedProof;
    readonly known: { readonly proven: boolean } | undefined;
    readonly member: SignInPersonRow | undefined;
  },
): Mail {
  if (member?.active === false) return { kind: 'none' };
  const { token, code } = minted;
  const asked = { ...askedBy(context), link: linkTo(context, tenant, { page: 'verify', token }), code };
  // Who is not proven has nothing yet: to register is how they get it.
  if (known?.proven !== true) return { kind: 'verify_email', ...asked };
  if (member === undefined) return { kind: 'join_tenant', ...asked };
  return {
    kind: 'already_registered',
    ...askedBy(context),
    signInLink: linkTo(context, tenant, { page: 'account' }),
    resetLink: linkTo(context, tenant, { page: 'forgot' }),
  };
}

export interface PersonToCreate {
  readonly tenant: Pick<VisitedTenant, 'id' | 'policy'>;
  readonly id: UserId;
  readonly pending: PendingRegistration;
  readonly canonical: string;
  readonly verified: boolean;
}

/** Ends the transaction when the address was taken at this very moment: see `orTaken`. */
export async function createPerson(
  context: FlowContext,
  transaction: Transaction,
  { tenant, id, pending, canonical, verified }: PersonToCreate,
): Promise<void> {
  const now = context.clock();
  await insertMembership(transaction, { tenantId: tenant.id, userId: id, now });
  const isNew = await insertPerson(transaction, {
    id,
    email: pending.email,
    emailCanonical: canonical,
    emailVerified: verified,
    passwordHash: pending.password_hash,
    givenName: pending.given_name,
    familyName: pending.family_name,
    now,
  });
  if (!isNew) throw new AddressTaken('the address was taken at this very moment');
  await beMember(context, transaction, { tenant, id, pending, type: 'user.registered' });
}

/** The role and the name of a new member, and the event. */
export async function beMember(
  context: FlowContext,
  transaction: Transaction,
  member: {
    readonly tenant: Pick<VisitedTenant, 'id' | 'policy'>;
    readonly id: UserId;
    readonly pending: Pick<PendingRegistration, 'username'>;
    readonly type: 'user.registered' | 'membership.added';
  },
): Promise<void> {
  const { id, pending, type } = member;
  const { id: tenantId, policy } = member.tenant;
  const roles = await defaultRoles(transaction, { tenantId, name: policy['people.default_role'] });
  await assignRoles(transaction, { tenantId, userId: id, roles });
  const username = pending.username === undefined ? undefined : parseUsername(pending.username);
  // Taken meanwhile: they choose another one on their own pages.
  if (username !== undefined) await setUsername(transaction, { tenantId, userId: id, username });
  const event: NewEvent = {
    type,
    outcome: 'success',
    actor: context.actor,
    target: { type: 'user', id },
    data: { roles },
  };
  const tenant = context.database.tenant(tenantId);
  await appendEvent(transaction, { tenant, event, origin: context.origin, now: context.clock() });
}
