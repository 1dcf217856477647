/**
 * This file owns how identifiers and unguessable values are made: UUIDv7 for rows and events, random values for
 * everything a stranger could try to guess, and the digest under which the database knows such a value. It does not
 * know what the values are for; prefixes come from the caller.
 */

import { hash, randomBytes, randomInt, randomUUID } from 'node:crypto';

const MILLISECONDS_LIMIT = 2 ** 48;
const SEQUENCE_LIMIT = 2 ** 12;
/** A sequence starts in the lower half of its range, so that a burst within one millisecond has room to count up. */
const SEQUENCE_START_LIMIT = 2 ** 11;

let latestMilliseconds = -1;
let sequence = 0;

/**
 * A UUID of version 7 (RFC 9562 §5.7): sorts by time of creation, in text and in bytes.
 *
 * Within one process the values strictly increase for as long as `now` does not go back by more than a clock
 * adjustment: within one millisecond, and while the clock stands behind the latest value, the 12 bits of rand_a count
 * up (§6.2 method 1) and overflow into the timestamp. A clock that is a second or more behind is taken at its word
 * (a test's clock, an import with old dates). 62 random bits remain. Not a secret: never use one as a token.
 *
 * @param now The moment to encode. Throws RangeError when it is invalid or outside the 48 bits of the format.
 */
export function uuidv7(now: Date): string {
  const milliseconds = now.getTime();
  if (!(milliseconds >= 0 && milliseconds < MILLISECONDS_LIMIT)) {
    throw new RangeError('uuidv7 needs a valid date between 1970 and 10889');
  }
  // Its variant and 62 random bits stand where ours do, and Node draws them from a pool: a system call less for every event.
  const random = randomUUID();
  advance(milliseconds, Number.parseInt(random.slice(0, 8), 16) % SEQUENCE_START_LIMIT);

  const time = latestMilliseconds.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${sequence.toString(16).padStart(3, '0')}-${random.slice(19)}`;
}

function advance(milliseconds: number, freshSequence: number): void {
  const behindMilliseconds = latestMilliseconds - milliseconds;
  if (behindMilliseconds < 0 || behindMilliseconds >= 1000) {
    latestMilliseconds = milliseconds;
    sequence = freshSequence;
    return;
  }
  sequence += 1;
  if (sequence === SEQUENCE_LIMIT) {
    latestMilliseconds += 1;
    sequence = freshSequence;
  }
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether a text is a UUID as this server writes them, in lower case: anything else is an identifier of nothing here. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/**
 * An unguessable value: `prefix` followed by `bytes` bytes of the system's randomness in base64url without padding.
 *
 * @param prefix The kind of the value, its separator included: `at_`.
 * @param bytes How much randomness; 32 unless told. At least 16 (128 bits, RFC 6749 §10.10), or a RangeError.
 */
export function randomValue(prefix = '', bytes = 32): string {
  if (bytes < 16) throw new RangeError('an unguessable value needs at least 16 bytes');
  return prefix + randomBytes(bytes).toString('base64url');
}

/** That many random digits, leading zeros included. For a person to type; a stranger can try them, so count tries. At most 12. */
export function randomDigits(count: number): string {
  return String(randomInt(10 ** count)).padStart(count, '0');
}

/**
 * SHA-256 of the UTF-8 bytes of `value`: how the database knows tokens, codes and generated secrets. Fit only for
 * values with at least 128 bits of randomness; a password needs password_hashing.ts.
 */
export function sha256(value: string): Buffer {
  return hash('sha256', value, 'buffer');
}
