/** Ending a lock on an account by mail: whoever reads the mailbox may try a password again. Nothing else comes of it. */
import { canonicalIdentifier } from '#src/domain/email_address.ts';
import { identifierKey } from '#src/domain/sign_in_throttle.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import type { Transaction } from '#src/storage/database.ts';
import { findActivePerson } from '#src/storage/tables/people.ts';
import { consumeProof } from '#src/storage/tables/proofs.ts';
import { findTenantById } from '#src/storage/tables/tenants.ts';
import { Refusal } from '../flow_context.ts';
import { queueMail } from '../mail/send_mail.ts';
import { type FoundProof, keepProof, mintProof } from '../proofs/proofs.ts';
import type { VerificationServices } from '../proofs/request_verification.ts';
import { asPerson, linkTo, type VisitorContext } from '../proofs/visitor_context.ts';
import { type BegunLock, unlockAccount } from './account_lock.ts';

/** An address that no mail reaches (RFC 2606 §2). */
const nobody = 'nobody@example.invalid';

/** Writes the mail with the link that unlocks, in the transaction that records the lock. */
export async function queueUnlockMail(
  services: VerificationServices,
  transaction: Transaction,
  { tenantId, person, origin, now }: BegunLock,
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
  const { tenantId, user_id: id } = proof;
  const { database, clock } = context;
  await database.tenant(tenantId).transaction(async (transaction) => {
    const isUsed = await consumeProof(transaction, { tenantId, id: proof.id, now: clock() });
    const isMember = id !== null && (await findActivePerson(transaction, { tenantId, userId: id })) !== undefined;
    if (!isUsed || !isMember) throw new Refusal('gone');
  });
  if (id !== null) await unlockAccount(asPerson(context, id), { tenantId, identifier: proof.address });
  return 'unlocked';
}

/** The passwords that somebody got wrong no longer count, because there is another one; what was tried of codes does. */
export async function forgetFailures(
  { database }: Pick<VisitorContext, 'database'>,
  { tenantId, address }: { readonly tenantId: TenantId; readonly address: string },
): Promise<void> {
  await database.counters.unlock({ tenantId, key: sha256(identifierKey('password', address)) });
}
