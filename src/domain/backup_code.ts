/**
 * This file owns how a backup code is written: 16 characters of Crockford's base 32 (80 bits), in groups of four. Without I, L, O
 * and U, so that what was copied by hand can be read back.
 */

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

export const BACKUP_CODES = 10;
export const BACKUP_CODE_BYTES = 10;
const BACKUP_CODE_CHARACTERS = 16;

/** The bytes as they are shown: `7K3M-9QXA-0ZTF-R2BC`. */
export function formatBackupCode(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const characters = (bits.match(/.{5}/g) ?? []).map((five) => ALPHABET[Number.parseInt(five, 2)]);
  return (characters.join('').match(/.{4}/g) ?? []).join('-');
}

/** What somebody typed, as it was before it was shown; undefined when it can be none. Case, spaces and hyphens do not count. */
export function parseBackupCode(typed: string): string | undefined {
  if (typed.length > 64) return undefined;
  const plain = typed
    .toUpperCase()
    .replace(/[\s\u2010-\u2015-]/g, '')
    .replaceAll('O', '0')
    .replace(/[IL]/g, '1');
  const isCode =
    plain.length === BACKUP_CODE_CHARACTERS && [...plain].every((character) => ALPHABET.includes(character));
  return isCode ? plain : undefined;
}
