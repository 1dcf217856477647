/**
 * This file owns the code that a device shows and a person types (RFC 8628 §6.1): its letters, every way to write it, and how it is
 * read aloud. It does not own who may guess at it how often (domain/sign_in_throttle.ts) or what it opens (oidc/pairings.ts).
 */

/** Consonants only: nobody's code spells a word, and none is confused with a digit. */
export const USER_CODE_LETTERS = 'BCDFGHJKLMNPQRSTVWXZ';
export const USER_CODE_LENGTH = 8;
/** RFC 8628 §5.1: what a guess has to find. */
export const USER_CODE_SPACE = USER_CODE_LETTERS.length ** USER_CODE_LENGTH;

const LONGEST_WRITTEN = 100;
const USER_CODE = new RegExp(`^[${USER_CODE_LETTERS}]{${USER_CODE_LENGTH}}$`);

/**
 * Small letters, spaces and dashes of every kind, wide letters: people write a code as they see it, and paste what was around it.
 * Undefined for what can be no code.
 */
export function parseUserCode(written: string): string | undefined {
  if (written.length > LONGEST_WRITTEN) return undefined;
  // Only a to z become capitals: `ß` would become two letters that nobody typed.
  const code = written
    .normalize('NFKC')
    .replace(/[\s\p{Pd}\p{Zs}\p{Cf}]/gu, '')
    .replace(/[a-z]/g, (letter) => letter.toUpperCase());
  return USER_CODE.test(code) ? code : undefined;
}

/** As the device shows it: `BCDF-GHJK`. */
export function showUserCode(code: string): string {
  return `${code.slice(0, USER_CODE_LENGTH / 2)}-${code.slice(USER_CODE_LENGTH / 2)}`;
}
