/**
 * This file owns one-time codes by time (RFC 6238): six digits, thirty seconds, HMAC-SHA-1, which is what every authenticator app
 * can do. One wrapper, because the library answers with an object that is always truthy. It does not own which codes were used.
 */
import { generateSecret, generateURI, verify } from 'otplib';

const STEP_SECONDS = 30;

/** A fresh secret: 160 bits in base 32 (RFC 4226 §4 R6). */
export function makeTotpSecret(): string {
  return generateSecret({ length: 20 });
}

/** The `otpauth://` address that apps read from a QR code. */
export function totpAddress(input: {
  readonly secret: string;
  readonly issuer: string;
  readonly account: string;
}): string {
  // Apps cut the label at its first colon, whatever is escaped.
  return generateURI({ secret: input.secret, issuer: input.issuer.replaceAll(':', ' '), label: input.account });
}

/**
 * The step whose code this is: the present one, or one to either side for clocks that differ. Undefined for a wrong code and for
 * one of `afterStep` or earlier, which was used already. Spaces in the code do not count.
 */
export async function totpStepOf(input: {
  readonly secret: string;
  readonly code: string;
  readonly now: Date;
  readonly afterStep: number;
}): Promise<number | undefined> {
  const token = input.code.replace(/\s/g, '');
  if (!/^[0-9]{6}$/.test(token)) return undefined;
  const epoch = Math.floor(input.now.getTime() / 1000);
  const result = await verify({
    secret: input.secret,
    token,
    epoch,
    epochTolerance: STEP_SECONDS,
    afterTimeStep: input.afterStep,
  });
  return result.valid === true && 'timeStep' in result ? result.timeStep : undefined;
}
