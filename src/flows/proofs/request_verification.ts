/** Asks the owner of an address, by mail, to show that it is theirs. What follows from the answer is in verify.ts. */
import { canonicalIdentifier } from '#src/domain/email_address.ts';
import type { MailLocale } from '#src/domain/mail.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Transaction } from '#src/storage/database.ts';
import type { Origin } from '#src/storage/event_log.ts';
import { findTenantById } from '#src/storage/tables/tenants.ts';
import { queueMail } from '../mail/send_mail.ts';
import { keepProof, mintProof } from './proofs.ts';
import { askedBy, linkTo, type VisitorServices } from './visitor_context.ts';

export type VerificationServices = Pick<VisitorServices, 'sealer' | 'clock' | 'mailBudgets' | 'proofs' | 'publicUrl'>;

export interface VerificationRequest {
  readonly tenantId: TenantId;
  readonly person: { readonly id: UserId | undefined; readonly email: string; readonly locale: MailLocale | null };
  readonly origin: Origin;
}

/** False when this address has been written to too often. */
export async function queueVerification(
  services: VerificationServices,
  transaction: Transaction,
  { tenantId, person, origin }: VerificationRequest,
): Promise<boolean> {
  const tenant = await findTenantById(transaction, tenantId);
  if (tenant === undefined) return false;
  const minted = mintProof(services, services.proofs.verificationSeconds);
  const link = linkTo(services, tenant, { page: 'verify', token: minted.token });
  const queued = await queueMail(services, transaction, {
    tenantId,
    to: person.email,
    locale: person.locale ?? tenant.locale,
    mail: { kind: 'verify_email', ...askedBy({ ...services, origin }), link, code: minted.code },
    validUntil: minted.expiresAt,
  });
  await keepProof(services, transaction, minted, {
    tenantId,
    purpose: 'verification',
    address: canonicalIdentifier(person.email),
    userId: person.id,
    mailed: queued === 'queued',
  });
  return queued === 'queued';
}

/** An address that no mail reaches (RFC 2606 §2). */
const nobody = { id: undefined, email: 'nobody@example.invalid', locale: null } as const;

/**
 * For a sign-in that is refused: with a person, who knew the password but has not proven the address, they are asked to; with nobody
 * the same statements run and are taken back, so that a wrong password costs nobody a mail of their budget and takes as long.
 */
export async function remindToVerify(
  services: VerificationServices,
  transaction: Transaction,
  {
    tenantId,
    person,
    origin,
  }: Omit<VerificationRequest, 'person'> & { readonly person: VerificationRequest['person'] | undefined },
): Promise<void> {
  await transaction.query('savepoint reminder');
  await queueVerification(services, transaction, { tenantId, person: person ?? nobody, origin });
  await transaction.query(`${person === undefined ? 'rollback to' : 'release'} savepoint reminder`);
}
