/**
 * A code by mail, for who cannot get at their second factor, where the tenant allows it. Asked for by a button, good for ten minutes and
 * once, kept as an HMAC beside the half-done sign-in that it belongs to: it ends with that, and opens nothing by itself.
 */
import { createHmac, randomInt } from 'node:crypto';
import { hasSecondFactor, methodsOf } from '#src/domain/second_factor.ts';
import type { UserId } from '#src/domain/user.ts';
import { readSignInPersonById } from '#src/storage/tables/factors.ts';
import { putEmailCode, readPendingSignIn, takeEmailCode } from '#src/storage/tables/pending_sign_ins.ts';
import { readRecipient } from '#src/storage/tables/people.ts';
import { queueMail } from '../mail/send_mail.ts';
import {
  heldBy,
  keyHashOf,
  PENDING_TRIES,
  type ProvenFactor,
  type SignInPlace,
  type SignInServices,
} from './authentication_steps.ts';

const EMAIL_CODE_SECONDS = 600;
const DIGITS = 8;
/** In one sign-in; each takes the place of the one before. */
const MAXIMUM_SENT = 3;

/** `refused`: not offered here, or too often. Whether the mail was within its budget is not told. */
export async function sendEmailCode(
  services: SignInServices,
  place: SignInPlace,
): Promise<{ readonly outcome: 'sent' | 'refused' | 'expired' }> {
  const { tenantId, clientId, key, policy, origin } = place;
  const tenant = services.database.tenant(tenantId);
  const now = services.clock();
  const keyHash = keyHashOf(key);
  const pending = await readPendingSignIn(tenant, { keyHash, clientId, now, maximumTries: PENDING_TRIES });
  if (pending?.wanted !== 'second_factor') return { outcome: 'expired' };
  const userId = pending.user_id;
  const person = await readSignInPersonById(tenant, userId);
  if (person?.active !== true) return { outcome: 'expired' };
  const held = heldBy(person);
  if (!hasSecondFactor(held) || !methodsOf(held, policy).includes('email_code')) return { outcome: 'refused' };

  const code = String(randomInt(10 ** DIGITS)).padStart(DIGITS, '0');
  const expiresAt = new Date(now.getTime() + EMAIL_CODE_SECONDS * 1000);
  return tenant.transaction(async (transaction) => {
    const step = { tenantId, keyHash, userId, wanted: 'second_factor' } as const;
    const codeHash = hashOf(services, { tenantId, userId, keyHash, code });
    if (!(await putEmailCode(transaction, { ...step, codeHash, expiresAt, maximumSent: MAXIMUM_SENT })))
      return { outcome: 'refused' };
    const recipient = await readRecipient(transaction, { tenantId, userId });
    if (recipient === undefined) return { outcome: 'refused' };
    const mail = { kind: 'email_code', code, when: now, browser: origin.userAgent, address: origin.ip } as const;
    await queueMail(services, transaction, {
      tenantId,
      to: recipient.email,
      locale: recipient.locale,
      mail,
      validUntil: expiresAt,
    });
    return { outcome: 'sent' };
  });
}

/** Undefined for what can be no such code; whether it is the one that was sent is found out by using it up. */
export async function checkEmailCode(
  services: Pick<SignInServices, 'clock' | 'sealer'>,
  { tenantId, key }: Pick<SignInPlace, 'tenantId' | 'key'>,
  userId: UserId,
  typed: string,
): Promise<ProvenFactor | undefined> {
  const code = typed.replace(/[\s-]/g, '');
  if (!/^[0-9]{8}$/.test(code)) return undefined;
  const now = services.clock();
  const keyHash = keyHashOf(key);
  const codeHash = hashOf(services, { tenantId, userId, keyHash, code });
  return {
    record: { method: 'email_code', at: now },
    use: (transaction) => takeEmailCode(transaction, { tenantId, keyHash, userId, codeHash, now }),
    whenUsed: 'wrong',
  };
}

/** Eight digits could be guessed from a plain hash in no time. */
function hashOf(
  { sealer }: Pick<SignInServices, 'sealer'>,
  of: { readonly tenantId: string; readonly userId: string; readonly keyHash: Buffer; readonly code: string },
): Buffer {
  const text = `${of.tenantId}\n${of.userId}\n${of.keyHash.toString('hex')}\n${of.code}`;
  return createHmac('sha256', sealer.derive('email codes')).update(text).digest();
}
