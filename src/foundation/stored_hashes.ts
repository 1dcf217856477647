/**
 * This file owns the hashes of passwords as they are written down: our own and those that imported people bring along. It reads their
 * parameters itself and refuses what would cost minutes or gigabytes, so that no native code ever sees it. Verifying is for
 * password_hashing.ts.
 *
 * | written as                                              | by |
 * | `$argon2id$v=19$m=…,t=…,p=…$salt$hash`, argon2i, argon2d | RFC 9106 in PHC string format |
 * | `$2a$`, `$2b$`, `$2y$`                                   | bcrypt |
 * | `$scrypt$ln=…,r=…,p=…$salt$hash`                         | RFC 7914; passlib and others |
 * | `$pbkdf2-sha256$i=…$salt$hash`, with `,l=…`; sha1, sha512 | RFC 8018 in PHC string format |
 * | `$pbkdf2-sha256$rounds$salt$hash`                        | the same; passlib |
 * | `pbkdf2_sha256$rounds$salt$hash`                         | the same; Django |
 */

export type StoredHash =
  | {
      readonly algorithm: 'argon2';
      readonly variant: 'argon2id' | 'argon2i' | 'argon2d';
      readonly hash: string;
      readonly memoryKibibytes: number;
      readonly passes: number;
      readonly lanes: number;
    }
  | { readonly algorithm: 'bcrypt'; readonly hash: string }
  | {
      readonly algorithm: 'scrypt';
      readonly cost: number;
      readonly blockSize: number;
      readonly parallelization: number;
      readonly salt: Buffer;
      readonly derived: Buffer;
    }
  | {
      readonly algorithm: 'pbkdf2';
      readonly digest: Pbkdf2Digest;
      readonly iterations: number;
      readonly salt: Buffer;
      readonly derived: Buffer;
    };

export type Pbkdf2Digest = 'sha1' | 'sha256' | 'sha512';

/** The most that argon2 may ask for, here and in our own settings. */
export const ARGON2_CEILING = { memoryKibibytes: 262_144, passes: 16, lanes: 16 } as const;

const MAXIMUM_BCRYPT_COST = 15;
/** As much memory as argon2 may take (128 × N × r bytes), and some two seconds. */
const SCRYPT_CEILING = { logarithmOfCost: 20, blocks: 2 ** 21, work: 2 ** 22 } as const;
/** Twice what anybody recommends; some two seconds. */
const MAXIMUM_PBKDF2_ITERATIONS = 2_000_000;
const SHORTEST_DERIVED_BYTES = 16;
const LONGEST_BYTES = 128;

/** The parameters in either order: the reference implementation writes m,t,p, others m,p,t. */
const ARGON2 =
  /^\$(argon2id|argon2i|argon2d)\$v=19\$m=(\d{1,7}),(?:t=(\d{1,3}),p=(\d{1,3})|p=(\d{1,3}),t=(\d{1,3}))\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,171})$/;
const BCRYPT = /^\$2[aby]\$(\d{2})\$[./A-Za-z0-9]{53}$/;
const SCRYPT = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]{0,171})\$([A-Za-z0-9+/]{22,171})$/;
const PBKDF2 =
  /^\$pbkdf2(?:-(sha1|sha256|sha512))?\$(?:i=)?(\d{1,8})(?:,l=\d{1,3})?\$([A-Za-z0-9+/.]{0,171})\$([A-Za-z0-9+/.]{22,171})$/;
const DJANGO = /^pbkdf2_(sha1|sha256)\$(\d{1,8})\$([\x21-\x23\x25-\x7e]{1,128})\$([A-Za-z0-9+/]{22,171}={0,2})$/;

/** Undefined for what can never be verified here: another algorithm, a damaged text, or parameters beyond the ceilings. */
export function parseStoredHash(hash: string): StoredHash | undefined {
  if (hash.startsWith('$2')) return parseBcrypt(hash);
  if (hash.startsWith('$argon2')) return parseArgon2(hash);
  if (hash.startsWith('$scrypt')) return parseScrypt(hash);
  return parsePbkdf2(hash);
}

function parseBcrypt(hash: string): StoredHash | undefined {
  const cost = Number(BCRYPT.exec(hash)?.[1]);
  return cost >= 4 && cost <= MAXIMUM_BCRYPT_COST ? { algorithm: 'bcrypt', hash } : undefined;
}

function parseArgon2(hash: string): StoredHash | undefined {
  const read = ARGON2.exec(hash);
  if (read === null) return undefined;
  const variant = read[1] as 'argon2id' | 'argon2i' | 'argon2d'; // the pattern's own words
  const memoryKibibytes = Number(read[2]);
  const passes = Number(read[3] ?? read[6]);
  const lanes = Number(read[4] ?? read[5]);
  if (lanes < 1 || lanes > ARGON2_CEILING.lanes) return undefined;
  if (passes < 1 || passes > ARGON2_CEILING.passes) return undefined;
  if (memoryKibibytes < 8 * lanes || memoryKibibytes > ARGON2_CEILING.memoryKibibytes) return undefined;
  // The PHC parser would refuse these with an exception.
  if (read.slice(7).some((part) => !isWholeBase64(part))) return undefined;
  return { algorithm: 'argon2', variant, hash, memoryKibibytes, passes, lanes };
}

function parseScrypt(hash: string): StoredHash | undefined {
  const [, ln, r, p, salt, derived] = SCRYPT.exec(hash) ?? [];
  const bytes = readBytes(salt, derived);
  if (bytes === undefined) return undefined;
  const logarithm = Number(ln);
  const blockSize = Number(r);
  const parallelization = Number(p);
  if (logarithm < 1 || logarithm > SCRYPT_CEILING.logarithmOfCost || blockSize < 1 || parallelization < 1)
    return undefined;
  const cost = 2 ** logarithm;
  if (cost * blockSize > SCRYPT_CEILING.blocks || cost * blockSize * parallelization > SCRYPT_CEILING.work)
    return undefined;
  return { algorithm: 'scrypt', cost, blockSize, parallelization, ...bytes };
}

function parsePbkdf2(hash: string): StoredHash | undefined {
  const phc = PBKDF2.exec(hash);
  const read = phc ?? DJANGO.exec(hash);
  if (read === null) return undefined;
  const digest = (read[1] ?? 'sha1') as Pbkdf2Digest; // the pattern's own words; passlib writes nothing for the oldest
  const iterations = Number(read[2]);
  const bytes = phc === null ? readBytes('', read[4]) : readBytes(read[3], read[4]);
  if (bytes === undefined || iterations < 1 || iterations > MAXIMUM_PBKDF2_ITERATIONS) return undefined;
  // Django's salt is the text itself.
  const salt = phc === null ? Buffer.from(read[3] ?? '', 'latin1') : bytes.salt;
  return { algorithm: 'pbkdf2', digest, iterations, salt, derived: bytes.derived };
}

/** Base64 with or without padding; passlib writes `.` for `+`. */
function readBytes(
  salt: string | undefined,
  derived: string | undefined,
): { readonly salt: Buffer; readonly derived: Buffer } | undefined {
  if (salt === undefined || derived === undefined) return undefined;
  const [saltText = '', derivedText = ''] = [salt, derived].map((text) =>
    text.replaceAll('.', '+').replaceAll('=', ''),
  );
  if (!isWholeBase64(saltText) || !isWholeBase64(derivedText)) return undefined;
  const read = { salt: Buffer.from(saltText, 'base64'), derived: Buffer.from(derivedText, 'base64') };
  if (read.salt.length > LONGEST_BYTES || read.derived.length > LONGEST_BYTES) return undefined;
  return read.derived.length < SHORTEST_DERIVED_BYTES ? undefined : read;
}

/** Base64 never leaves one sextet over. */
function isWholeBase64(text: string): boolean {
  return text.length % 4 !== 1;
}
