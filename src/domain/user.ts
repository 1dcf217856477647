/**
 * This file owns what a person may be called and which passwords may be set. It does not own e-mail addresses
 * (email_address.ts), how passwords are kept (foundation/password_hashing.ts) or how often one may be tried.
 */

import { parseName } from './name.ts';

/** Identifies a person over the whole installation: a UUID, and the `sub` of their tokens. */
export type UserId = string & { readonly __brand: 'UserId' };

export type UserStatus = 'active' | 'disabled';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** NIST SP 800-63B-4 §3.1.1.2 asks for 8 where a second factor follows; tenants may ask for more. */
export const MINIMUM_PASSWORD_CHARACTERS = 8;
/** What the hasher takes without truncating anything (UTF-8). A passphrase of a hundred words fits. */
export const MAXIMUM_PASSWORD_BYTES = 1024;

/** May this password be set? The password itself never comes back in the answer. */
export type PasswordAcceptability =
  | { readonly outcome: 'acceptable' }
  | { readonly outcome: 'unacceptable'; readonly reason: 'too_short' | 'too_long' | 'forbidden_character' };

/**
 * The brand of a person's identifier. Throws TypeError when the text is no lower-case UUID: it came from our own tables,
 * so anything else is a fault.
 */
export function userId(text: string): UserId {
  if (!UUID.test(text)) throw new TypeError('a user identifier must be a UUID in lower case');
  return text as UserId; // just checked
}

/**
 * Judges a password somebody wants to set: at least 8 characters (code points, after NFKC, as it will be hashed), at
 * most 1024 bytes, no NUL and no broken UTF-16. No rules of composition (NIST SP 800-63B-4 §3.1.1.2): they make
 * passwords alike, not strong.
 */
export function judgeNewPassword(password: string): PasswordAcceptability {
  // the length in UTF-16 units is never more than that in bytes, so this costs nothing on a megabyte
  if (password.length > MAXIMUM_PASSWORD_BYTES || new TextEncoder().encode(password).length > MAXIMUM_PASSWORD_BYTES) {
    return { outcome: 'unacceptable', reason: 'too_long' };
  }
  // bcrypt and every C string end at NUL; broken UTF-16 becomes U+FFFD, so that many passwords would be one
  if (password.includes('\0') || !password.isWellFormed()) {
    return { outcome: 'unacceptable', reason: 'forbidden_character' };
  }
  const characters = [...password.normalize('NFKC')].length;
  if (characters < MINIMUM_PASSWORD_CHARACTERS) return { outcome: 'unacceptable', reason: 'too_short' };
  return { outcome: 'acceptable' };
}

/** A given or family name: 1 to 100 characters, trimmed. `undefined` when it is no such name. */
export function parsePersonName(input: unknown): string | undefined {
  return parseName(input);
}

/** The name to show: `Ada Lovelace`, or `undefined` when neither part is known. Never falls back to the address. */
export function displayName(user: {
  readonly givenName?: string | undefined;
  readonly familyName?: string | undefined;
}): string | undefined {
  const parts = [user.givenName, user.familyName].filter((part) => part !== undefined && part !== '');
  return parts.length === 0 ? undefined : parts.join(' ');
}
