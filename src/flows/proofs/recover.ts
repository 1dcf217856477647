/**
 * How somebody gets in again who has forgotten their password. Whoever asks gets the same answer after the same work, whether or not there
 * is such a person. A reset sets a password and nothing else: it signs nobody in and does not stand in for a second factor. It
 * ends every session, every token and every other link, lets its owner try again who was locked out, and proves the address of whoever
 * had not proven it (prove_address.ts).
 */
import { parseEmailAddress } from '#src/domain/email_address.ts';
import type { EventActor, NewEvent } from '#src/domain/event.ts';
import type { Mail } from '#src/domain/mail.ts';
import type { PasswordRefusal } from '#src/domain/password_policy.ts';
import { hasSecondFactor } from '#src/domain/second_factor.ts';
import type { UserId } from '#src/domain/user.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { readSignInPerson, readSignInPersonById, type SignInPersonRow } from '#src/storage/tables/factors.ts';
import { listTenantsOfPerson } from '#src/storage/tables/people.ts';
import { consumeProof } from '#src/storage/tables/proofs.ts';
import type { FlowContext } from '../flow_context.ts';
import { queueMail } from '../mail/send_mail.ts';
import { changePassword } from '../people/change_password.ts';
import { countAttempt } from '../sign_in/attempts.ts';
import { forgetFailures } from '../sign_in/unlock.ts';
import { findProof, giveTryBack, keepProof, type MintedProof, mintProof, type Shown, tryShownProof } from './proofs.ts';
import { claimUnproven, endEverything } from './prove_address.ts';
import { askedBy, asPerson, linkTo, type VisitedTenant, type VisitorContext } from './visitor_context.ts';

export type ResetRequestOutcome =
  /** A mail is under way, or not: nobody is told which. The browser keeps the handle, to type the code with. */
  | { readonly outcome: 'sent'; readonly handle: string; readonly expiresAt: Date }
  | { readonly outcome: 'missing' | 'invalid' }
  | { readonly outcome: 'throttled'; readonly retryAfterSeconds: number };

export async function requestReset(
  context: VisitorContext,
  {
    tenant,
    email: typed,
    interaction,
  }: { readonly tenant: VisitedTenant; readonly email: string; readonly interaction?: string | undefined },
): Promise<ResetRequestOutcome> {
  if (typed.trim() === '') return { outcome: 'missing' };
  const email = parseEmailAddress(typed);
  if (email.outcome === 'invalid') return { outcome: 'invalid' };
  const attempt = { tenantId: tenant.id, kind: 'reset', identifier: email.canonical } as const;
  const decision = await countAttempt(context, { ...attempt, address: context.origin.ip, now: context.clock() });
  if (decision.outcome === 'throttled') return { outcome: 'throttled', retryAfterSeconds: decision.retryAfterSeconds };

  const database = context.database.tenant(tenant.id);
  const found = await readSignInPerson(database, { identifier: email.canonical, deviceHash: undefined });
  const { handle, expiresAt } = await offerReset(context, { tenant, email, found, interaction });
  return { outcome: 'sent', handle, expiresAt };
}

/**
 * The same for a member by an administrator, who sets nothing: the mail goes to the person. False when it goes to nobody: they were
 * written to too often, or may not come in.
 */
export async function mailReset(
  context: VisitorContext & Pick<FlowContext, 'actor'>,
  { tenant, userId }: { readonly tenant: VisitedTenant; readonly userId: UserId },
): Promise<boolean> {
  const found = await readSignInPersonById(context.database.tenant(tenant.id), userId);
  const email = parseEmailAddress(found?.email);
  if (found?.active !== true || email.outcome === 'invalid') return false;
  const locale = found.locale ?? tenant.locale;
  const offered = await offerReset(context, { tenant: { ...tenant, locale }, email, found, actor: context.actor });
  return offered.mailed;
}

async function offerReset(
  context: VisitorContext,
  {
    tenant,
    email,
    found,
    interaction,
    actor,
  }: {
    readonly tenant: VisitedTenant;
    readonly email: { readonly address: string; readonly canonical: string };
    readonly found: SignInPersonRow | undefined;
    readonly interaction?: string | undefined;
    readonly actor?: EventActor | undefined;
  },
): Promise<Extract<ResetRequestOutcome, { outcome: 'sent' }> & { readonly mailed: boolean }> {
  const database = context.database.tenant(tenant.id);
  const person = found?.active === true ? found : undefined;
  const minted = mintProof(context, context.proofs.resetSeconds);
  const mailed = await database.transaction(async (transaction) => {
    const to = person?.email ?? email.address;
    const mail = mailFor(context, { tenant, minted, person });
    const addressed = { tenantId: tenant.id, to, locale: tenant.locale, validUntil: minted.expiresAt };
    const queued = await queueMail(context, transaction, { ...addressed, mail });
    const isMailed = person !== undefined && queued === 'queued';
    await keepProof(context, transaction, minted, {
      tenantId: tenant.id,
      purpose: 'password_reset',
      address: email.canonical,
      userId: person?.id,
      payload: interaction === undefined ? {} : { interaction },
      mailed: isMailed,
    });
    const event: NewEvent = {
      type: 'password.reset_requested',
      actor,
      ...(person === undefined
        ? { outcome: 'failure', reason: found === undefined ? 'unknown_account' : 'disabled' }
        : { outcome: 'success', target: { type: 'user', id: person.id } }),
    };
    await appendEvent(transaction, { tenant: database, event, origin: context.origin, now: context.clock() });
    return isMailed;
  });
  return { outcome: 'sent', handle: minted.handle, expiresAt: minted.expiresAt, mailed };
}

function mailFor(
  context: VisitorContext,
  {
    tenant,
    minted: { token, code },
    person,
  }: { readonly tenant: VisitedTenant; readonly minted: MintedProof; readonly person: SignInPersonRow | undefined },
): Mail {
  if (person === undefined) return { kind: 'none' };
  return { kind: 'reset_password', ...askedBy(context), link: linkTo(context, tenant, { page: 'reset', token }), code };
}

/** Whether a link is still good. Changes nothing. */
export async function isResetAlive(
  context: VisitorContext,
  { tenant, token, handle }: { readonly tenant: VisitedTenant; readonly token?: string; readonly handle?: string },
): Promise<boolean> {
  const proof = await findProof(context, { tenantId: tenant.id, token, handle });
  return proof?.purpose === 'password_reset';
}

export type ResetOutcome =
  | { readonly outcome: 'reset'; readonly interaction: string | undefined; readonly address: string }
  | { readonly outcome: 'unacceptable'; readonly reason: PasswordRefusal }
  | { readonly outcome: 'gone' | 'wrong_code' }
  | { readonly outcome: 'throttled' | 'busy'; readonly retryAfterSeconds: number };

/** The code is looked at before the password is: why a password will not do tells what its owner is called. */
export async function completeReset(
  context: VisitorContext,
  { tenant, shown, password }: { readonly tenant: VisitedTenant; readonly shown: Shown; readonly password: string },
): Promise<ResetOutcome> {
  const tried = await tryShownProof(context, { tenantId: tenant.id, shown });
  if (tried.outcome === 'wrong') return { outcome: 'wrong_code' };
  if (tried.outcome !== 'proven') return tried;
  const { proof } = tried;
  const userId = proof.user_id;
  if (proof.purpose !== 'password_reset' || userId === null) return { outcome: 'gone' };
  const { database } = context;
  const person = await readSignInPersonById(database.tenant(tenant.id), userId);
  if (person?.active !== true) return { outcome: 'gone' };

  const acting = asPerson(context, userId);
  const tenantIds = await listTenantsOfPerson(database, userId);
  const changed = await changePassword(acting, {
    tenantId: tenant.id,
    userId,
    password,
    settings: tenant.policy,
    hasSecondFactor: hasSecondFactor({ totp: person.totp, passkeys: person.passkeys }),
    event: 'password.reset',
    async proof(transaction) {
      if (!(await consumeProof(transaction, { tenantId: tenant.id, id: proof.id, now: context.clock() }))) return false;
      const proving = { tenantId: tenant.id, userId, transaction, tenantIds };
      const names = { givenName: person.given_name ?? undefined, familyName: person.family_name ?? undefined };
      // The password is replaced right after this, in the same transaction.
      const claim = { address: proof.address, passwordHash: 'keep', verified: true, ...names } as const;
      if (!(await claimUnproven(acting, { ...proving, claim })))
        await endEverything(acting, { ...proving, reason: 'password_reset' });
      return true;
    },
  });
  switch (changed.outcome) {
    case 'changed': {
      await forgetFailures(context, { tenantId: tenant.id, address: proof.address });
      const interaction = proof.fromHere ? interactionOf(proof.payload) : undefined;
      return { outcome: 'reset', interaction, address: person.email };
    }
    case 'unacceptable':
    case 'busy':
      await giveTryBack(context, proof);
      return changed;
    case 'lost_race':
    case 'not_proven':
    case 'unknown':
      return { outcome: 'gone' };
    default: {
      const never: never = changed;
      return never;
    }
  }
}

/** We wrote it ourselves, in this shape. */
export function interactionOf(payload: unknown): string | undefined {
  const { interaction } = (payload ?? {}) as { readonly interaction?: unknown };
  return typeof interaction === 'string' ? interaction : undefined;
}
