/** Ending a lock on an account by mail: whoever reads the mailbox may try a password again. Nothing else comes of it. */
import { canonicalIdentifier } from '#src/domain/email_address.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent, type Origin } from '#src/storage/event_log.ts';
import { findActivePerson } from '#src/storage/tables/people.ts';
import { consumeProof } from '#src/storage/tables/proofs.ts';
import { findTenantById } from '#src/storage/tables/tenants.ts';
import { forgiveAttempt } from './attempts.ts';
import { Refusal } from './flow_context.ts';
import { type FoundProof, keepProof, mintProof } from './proofs.ts';
import { queueMail } from './send_mail.ts';
import { asPerson, linkTo, type VisitorContext, type VisitorServices } from './visitor_context.ts';

/** A lock that has just begun. `person` is undefined for whoever is no active member: then nothing is sent, and as much done. */
export interface LockToTell {
  readonly tenantId: TenantId;
  readonly person:
    | { readonly id: UserId; readonly email: string; readonly locale: 'nl' | 'en' | undefined }
    | undefined;
  readonly origin: Origin;
  readonly now: Date;
}

/** An address that no mail reaches (RFC 2606 §2). */
const nobody = 'nobody@example.invalid';

/** Writes the mail with the link that unlocks, in the transaction that records the lock. */
export async function queueUnlockMail(
  services: Pick<VisitorServices, 'sealer' | 'clock' | 'mailBudgets' | 'proofs' | 'publicUrl'>,
  transaction: Transaction,
  { tenantId, person, origin, now }: LockToTell,
): Promise<void> {
  const tenant = await findTenantById(transaction, tenantId);
  if (tenant === undefined) return;
  const minted = mintProof(services, services.proofs.verificationSeconds);
  const link = linkTo(services, tenant, { page: 'verify', token: minted.token });
  const queued = await queueMail(services, transaction, {
    tenantId,
    to: person?.email ?? nobody,
    locale: person?.locale ?? tenant.locale,
    mail:
      person === undefined
        ? { kind: 'none' }
        : { kind: 'account_locked', link, when: now, browser: origin.userAgent, address: origin.ip },
    validUntil: minted.expiresAt,
  });
  await keepProof(services, transaction, minted, {
    tenantId,
    purpose: 'unlock',
    address: canonicalIdentifier(person?.email ?? nobody),
    userId: person?.id,
    linkOnly: true,
    mailed: person !== undefined && queued === 'queued',
  });
}

/** Throws `Refusal` for what is over. */
export async function unlockByProof(context: VisitorContext, proof: FoundProof): Promise<'unlocked'> {
  const { tenantId, user_id: id, address } = proof;
  const { database, clock, origin } = context;
  const tenant = database.tenant(tenantId);
  await tenant.transaction(async (transaction) => {
    const now = clock();
    const isUsed = await consumeProof(transaction, { tenantId, id: proof.id, now });
    const isMember = id !== null && (await findActivePerson(transaction, { tenantId, userId: id })) !== undefined;
    if (!isUsed || !isMember) throw new Refusal('gone');
    const { actor } = asPerson(context, id);
    const event = { type: 'user.unlocked', outcome: 'success', actor, target: { type: 'user', id } } as const;
    await appendEvent(transaction, { tenant, event, origin, now });
  });
  await forgetFailures(context, { tenantId, address });
  return 'unlocked';
}

/** The passwords that somebody got wrong no longer count; what was tried of codes does. */
export async function forgetFailures(
  context: VisitorContext,
  { tenantId, address }: { readonly tenantId: TenantId; readonly address: string },
): Promise<void> {
  await forgiveAttempt(context, { tenantId, kind: 'password', identifier: address, address: context.origin.ip });
}
