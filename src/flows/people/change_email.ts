/**
 * Another address for somebody who is signed in, and freshly so: that is for the caller to see to. The new address is proven before
 * it counts, both addresses are told, and an address that is somebody else's gets the same answer. Sessions stay as they are, because
 * nothing that opens them has changed; what was mailed to the old address is worth nothing any more.
 *
 * The link alone is not enough, see verify.ts: else an attacker could move an account of their own to a stranger's address, and be
 * there already when the stranger comes.
 */
import { parseEmailAddress } from '#src/domain/email_address.ts';
import type { NewEvent } from '#src/domain/event.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { readSignInPersonById } from '#src/storage/tables/factors.ts';
import { changeAddress, findAddressOfInstallation, listTenantsOfPerson } from '#src/storage/tables/people.ts';
import { consumeProof, forgetMailed } from '#src/storage/tables/proofs.ts';
import { Refusal } from '../flow_context.ts';
import { queueMail } from '../mail/send_mail.ts';
import { type FoundProof, keepProof, mintProof } from '../proofs/proofs.ts';
import { askedBy, asPerson, linkTo, type VisitedTenant, type VisitorContext } from '../proofs/visitor_context.ts';
import { countAttempt } from '../sign_in/attempts.ts';

export interface EmailChange {
  readonly tenant: VisitedTenant;
  readonly userId: UserId;
  readonly newEmail: string;
}

export type EmailChangeOutcome =
  /** The browser keeps the handle, to type the code with or to follow the link in. */
  | { readonly outcome: 'sent'; readonly handle: string; readonly expiresAt: Date }
  | { readonly outcome: 'invalid' | 'unchanged' | 'unknown' }
  | { readonly outcome: 'throttled'; readonly retryAfterSeconds: number };

interface PendingChange {
  readonly from: string;
  readonly email: string;
}

export async function requestEmailChange(
  context: VisitorContext,
  { tenant, userId, newEmail }: EmailChange,
): Promise<EmailChangeOutcome> {
  const { database } = context;
  const email = parseEmailAddress(newEmail);
  if (email.outcome === 'invalid') return { outcome: 'invalid' };
  const person = await readSignInPersonById(database.tenant(tenant.id), userId);
  if (person?.active !== true) return { outcome: 'unknown' };
  const own = parseEmailAddress(person.email);
  if (own.outcome === 'valid' && own.canonical === email.canonical && own.address === email.address)
    return { outcome: 'unchanged' };
  const attempt = { tenantId: tenant.id, kind: 'registration', identifier: `user:${userId}` } as const;
  const decision = await countAttempt(context, { ...attempt, address: context.origin.ip, now: context.clock() });
  if (decision.outcome === 'throttled') return { outcome: 'throttled', retryAfterSeconds: decision.retryAfterSeconds };

  const holder = await findAddressOfInstallation(database, email.canonical);
  const isTaken = holder !== undefined && holder.id !== userId;
  const minted = mintProof(context, context.proofs.verificationSeconds);
  await database.tenant(tenant.id).transaction(async (transaction) => {
    const { token, code } = minted;
    const queued = await queueMail(context, transaction, {
      tenantId: tenant.id,
      to: email.address,
      locale: tenant.locale,
      // Whoever has the address learns that somebody tried; whoever tried does not learn that somebody has it.
      mail: isTaken
        ? {
            kind: 'already_registered',
            ...askedBy(context),
            signInLink: linkTo(context, tenant, { page: 'account' }),
            resetLink: linkTo(context, tenant, { page: 'forgot' }),
          }
        : { kind: 'email_change', ...askedBy(context), link: linkTo(context, tenant, { page: 'verify', token }), code },
      validUntil: minted.expiresAt,
    });
    const payload: PendingChange = {
      from: own.outcome === 'valid' ? own.canonical : person.email,
      email: email.address,
    };
    await keepProof(context, transaction, minted, {
      tenantId: tenant.id,
      purpose: 'email_change',
      address: email.canonical,
      userId,
      payload,
      mailed: queued === 'queued',
    });
    const event: NewEvent = {
      type: 'email.change_requested',
      outcome: 'success',
      actor: { type: 'user', id: userId },
      target: { type: 'user', id: userId },
    };
    const at = { tenant: database.tenant(tenant.id), origin: context.origin, now: context.clock() };
    await appendEvent(transaction, { ...at, event });
  });
  return { outcome: 'sent', handle: minted.handle, expiresAt: minted.expiresAt };
}

/** Throws `Refusal` for what is over: used, another address meanwhile, or one that somebody else has by now. */
export async function completeEmailChange(
  context: VisitorContext,
  tenant: VisitedTenant,
  proof: FoundProof,
): Promise<'email_changed'> {
  const userId = proof.user_id;
  const change = changeOf(proof);
  if (userId === null || change === undefined) throw new Refusal('gone');
  const { database } = context;
  const holder = await findAddressOfInstallation(database, proof.address);
  if (holder !== undefined && holder.id !== userId) throw new Refusal('gone');
  const tenantIds = await listTenantsOfPerson(database, userId);
  const person = await readSignInPersonById(database.tenant(tenant.id), userId);
  if (person?.active !== true) throw new Refusal('gone');
  const work = async (transaction: Transaction): Promise<'email_changed'> => {
    const now = context.clock();
    const isUsed = await consumeProof(transaction, { tenantId: tenant.id, id: proof.id, now });
    const to = { email: change.email, emailCanonical: proof.address };
    if (!isUsed || !(await changeAddress(transaction, { userId, fromCanonical: change.from, ...to, now })))
      throw new Refusal('gone');
    // The tenant that the transaction was opened for comes last, so that what follows is that tenant's again.
    for (const id of [...tenantIds.filter((other) => other !== tenant.id), tenant.id])
      await forgetMailed(transaction, { tenantId: id, userId, now });
    for (const to of [person.email, change.email])
      await queueMail(context, transaction, {
        tenantId: tenant.id,
        to,
        locale: person.locale ?? tenant.locale,
        mail: { kind: 'email_changed', newAddress: change.email, ...askedBy(context) },
      });
    const { actor } = asPerson(context, userId);
    const event: NewEvent = { type: 'email.changed', outcome: 'success', actor, target: { type: 'user', id: userId } };
    await appendEvent(transaction, { tenant: database.tenant(tenant.id), event, origin: context.origin, now });
    return 'email_changed';
  };
  return orGone(database.tenant(tenant.id).transaction(work));
}

/** PostgreSQL's word for a key that is taken: somebody else has the address since a moment ago. */
const uniqueViolation = '23505';

async function orGone<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (fault) {
    if (typeof fault === 'object' && fault !== null && 'code' in fault && fault.code === uniqueViolation)
      throw new Refusal('gone');
    throw fault;
  }
}

/** We wrote it ourselves, in this shape. */
function changeOf({ payload }: FoundProof): PendingChange | undefined {
  return typeof payload === 'object' && payload !== null && 'from' in payload ? (payload as PendingChange) : undefined;
}
