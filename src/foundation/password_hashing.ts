/**
 * This file owns how passwords are hashed and verified: argon2id, the hashes that imported people bring along, and how many
 * may run at once. It does not own how hashes are written (stored_hashes.ts), which passwords are acceptable
 * (domain/password_policy.ts), how often somebody may try (domain/sign_in_throttle.ts) or where hashes are kept.
 *
 * Why a gate: all of them run on libuv's thread pool, which token signing needs too. A storm of hashes takes the
 * 99th percentile of signing from 2 to 636 milliseconds; at most `cores - 1` at a time keeps it at 7. More at once does
 * not hash faster, it only takes more memory. The queue in front is bounded, because a request that waits behind
 * hundreds of others is answered to nobody.
 */

import { pbkdf2, randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import { verify as verifyBcrypt } from '@node-rs/bcrypt';
import { argon2id, hash as hashArgon2, verify as verifyArgon2 } from 'argon2';
import { aside } from './lane.ts';
import { ARGON2_CEILING, parseStoredHash, type StoredHash } from './stored_hashes.ts';

/** The longest password, in UTF-8 bytes as given (domain/user.ts refuses it earlier). Nothing shorter is truncated. */
const MAXIMUM_PASSWORD_BYTES = 1024;

const MAXIMUM_BCRYPT_PASSWORD_BYTES = 72;
const SALT_BYTES = 16;
const HASH_BYTES = 32;

/** Settings of the hasher. The first three are the parameters of new argon2id hashes. */
export interface PasswordHashingSettings {
  readonly memoryKibibytes: number;
  readonly passes: number;
  readonly lanes: number;
  /** How many calls may wait; one more is refused with PasswordHashingBusy. */
  readonly queueLength: number;
  /** How many run at once. Unless told: the cores minus one, at least 1, at most 2. */
  readonly concurrency?: number | undefined;
}

/** What verifying found. `outdated`: it matched, and should be hashed again while the password is at hand. */
export interface PasswordVerification {
  readonly matches: boolean;
  readonly outdated: boolean;
}

/** Hashes and verifies. Hold no database connection while waiting for any of it. */
export interface PasswordHasher {
  /**
   * The argon2id hash of the NFKC form of `password`, in PHC string format.
   * Throws PasswordHashingBusy when the queue is full, RangeError for a password that domain/user.ts would refuse.
   */
  hash(password: string): Promise<string>;
  /**
   * Compares. Without a hash (nobody there), with an unusable one, or with a password that cannot match, it verifies
   * against a decoy of the live parameters and answers "no" after the same work. Throws PasswordHashingBusy.
   *
   * The time of a hash with other parameters or of another kind, as imported people bring along, differs from the decoy's
   * until its owner signs in once and has it replaced.
   */
  verify(hash: string | undefined, password: string): Promise<PasswordVerification>;
  /** Proves at start that both native builds give right answers on this machine. Throws when not. */
  selfTest(): Promise<void>;
  /** How many calls run and wait now. */
  statistics(): { readonly running: number; readonly waiting: number };
}

/** Too many people at once: a retriable fault, answered with 503 and Retry-After. */
export class PasswordHashingBusy extends Error {
  override readonly name = 'PasswordHashingBusy';
  readonly retryAfterSeconds: number;

  constructor(retryAfterSeconds: number) {
    super('too many passwords are being checked at once');
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

const NO_MATCH: PasswordVerification = { matches: false, outdated: false };

/** Builds the hasher of one process. Throws RangeError on settings that argon2 (RFC 9106 §3.1) cannot take. */
export function createPasswordHasher(settings: PasswordHashingSettings): PasswordHasher {
  checkSettings(settings);
  const gate = createGate(settings.concurrency ?? defaultConcurrency(), settings.queueLength);
  const options = {
    type: argon2id,
    memoryCost: settings.memoryKibibytes,
    timeCost: settings.passes,
    parallelism: settings.lanes,
    hashLength: HASH_BYTES,
    raw: true,
  } as const;
  // random instead of computed: verifying costs what its parameters say, and no password has this hash
  const decoy = encodeHash(settings, randomBytes(SALT_BYTES), randomBytes(HASH_BYTES));

  async function spendTheSameWork(password: string): Promise<PasswordVerification> {
    const candidates = isAcceptable(password) ? formsOf(password) : [''];
    await aside(() => gate.run(() => matchesAny(candidates, (candidate) => verifyArgon2(decoy, candidate))));
    return NO_MATCH;
  }

  const hasher: PasswordHasher = {
    async hash(password) {
      if (!isAcceptable(password)) throw new RangeError(`a password has 1 to ${MAXIMUM_PASSWORD_BYTES} bytes of text`);
      const salt = randomBytes(SALT_BYTES);
      const hash = await aside(() => gate.run(() => hashArgon2(password.normalize('NFKC'), { ...options, salt })));
      return encodeHash(settings, salt, hash);
    },

    async verify(hash, password) {
      const stored = hash === undefined ? undefined : parseStoredHash(hash);
      if (stored === undefined || !isAcceptable(password)) return spendTheSameWork(password);

      const candidates = stored.algorithm === 'bcrypt' ? bcryptCandidates(password) : formsOf(password);
      if (candidates.length === 0) return spendTheSameWork(password);
      const matches = await aside(() =>
        gate.run(() => matchesAny(candidates, (candidate) => isMadeFrom(stored, candidate))),
      );
      return { matches, outdated: matches && !hasParameters(stored, settings) };
    },

    async selfTest() {
      const hash = await hasher.hash('self-test');
      const right = await hasher.verify(hash, 'self-test');
      const wrong = await hasher.verify(hash, 'self-tess');
      if (!right.matches || right.outdated || wrong.matches) throw new Error('argon2 gives wrong answers here');
      const known = '$2b$04$TV1.Smlgji1mxKoLvJKf0ORuWWUv5nptXRC3kpsbcNuOVCw56QEFG';
      const bcryptRight = await hasher.verify(known, 'a');
      const bcryptWrong = await hasher.verify(known, 'b');
      if (!bcryptRight.matches || bcryptWrong.matches) throw new Error('bcrypt gives wrong answers here');
    },

    statistics: () => gate.statistics(),
  };
  return hasher;
}

/**
 * Whether `verify` could ever match this hash: one of those that stored_hashes.ts reads, within the ceilings. Whoever imports
 * people asks this first, because an unusable hash only shows as a sign-in that never succeeds.
 */
export function isUsablePasswordHash(hash: string): boolean {
  return parseStoredHash(hash) !== undefined;
}

function checkSettings(settings: PasswordHashingSettings): void {
  const { memoryKibibytes, passes, lanes, queueLength, concurrency } = settings;
  const whole = [memoryKibibytes, passes, lanes, queueLength, concurrency ?? 1].every(Number.isSafeInteger);
  const possible =
    whole &&
    lanes >= 1 &&
    lanes <= ARGON2_CEILING.lanes &&
    passes >= 1 &&
    passes <= ARGON2_CEILING.passes &&
    memoryKibibytes >= 8 * lanes &&
    memoryKibibytes <= ARGON2_CEILING.memoryKibibytes &&
    queueLength >= 0 &&
    (concurrency ?? 1) >= 1;
  if (!possible) throw new RangeError('these settings for password hashing are impossible');
}

function defaultConcurrency(): number {
  return Math.min(2, Math.max(1, availableParallelism() - 1));
}

/**
 * The PHC string, written by ourselves: the library puts the parameters in an order that the reference implementation,
 * and so whoever a hash is exported to, cannot read.
 */
function encodeHash(settings: PasswordHashingSettings, salt: Buffer, hash: Buffer): string {
  const unpadded = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '');
  const parameters = `m=${settings.memoryKibibytes},t=${settings.passes},p=${settings.lanes}`;
  return `$argon2id$v=19$${parameters}$${unpadded(salt)}$${unpadded(hash)}`;
}

function hasParameters(stored: StoredHash, settings: PasswordHashingSettings): boolean {
  return (
    stored.algorithm === 'argon2' &&
    stored.variant === 'argon2id' &&
    stored.memoryKibibytes === settings.memoryKibibytes &&
    stored.passes === settings.passes &&
    stored.lanes === settings.lanes
  );
}

const deriveByPbkdf2 = promisify(pbkdf2);
const deriveByScrypt = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt);

async function isMadeFrom(stored: StoredHash, candidate: string): Promise<boolean> {
  switch (stored.algorithm) {
    case 'argon2':
      return verifyArgon2(stored.hash, candidate);
    case 'bcrypt':
      return verifyBcrypt(candidate, stored.hash);
    case 'pbkdf2': {
      const { salt, iterations, derived, digest } = stored;
      return timingSafeEqual(await deriveByPbkdf2(candidate, salt, iterations, derived.length, digest), derived);
    }
    case 'scrypt': {
      const { salt, derived, cost, blockSize, parallelization } = stored;
      // What the algorithm itself takes is bounded by stored_hashes.ts; OpenSSL wants a little more than that.
      const maxmem = 128 * blockSize * (cost + parallelization + 2) + 1024;
      const options = { cost, blockSize, parallelization, maxmem };
      return timingSafeEqual(await deriveByScrypt(candidate, salt, derived.length, options), derived);
    }
    default: {
      const never: never = stored;
      return never;
    }
  }
}

/** Ill-formed UTF-16 would become U+FFFD, so that many different passwords would be one. */
function isAcceptable(password: string): boolean {
  if (password.length === 0 || password.length > MAXIMUM_PASSWORD_BYTES) return false;
  return password.isWellFormed() && Buffer.byteLength(password, 'utf8') <= MAXIMUM_PASSWORD_BYTES;
}

/**
 * What a hash may have been made from: the NFKC form, as here, or the bytes as given, as elsewhere. Nearly always one. Tried in this
 * order for every hash and for the decoy, so that the work does not tell whose password was typed.
 */
function formsOf(password: string): readonly string[] {
  return [...new Set([password.normalize('NFKC'), password])];
}

/**
 * bcrypt reads 72 bytes and repeats the password, closed by a NUL, to fill them: beyond 72 bytes everything matches (`x`×73 the hash
 * of `x`×72), and `a\0a` matches the hash of `a`. Neither may ever match here.
 */
function bcryptCandidates(password: string): readonly string[] {
  return formsOf(password).filter(
    (candidate) => !candidate.includes('\0') && Buffer.byteLength(candidate, 'utf8') <= MAXIMUM_BCRYPT_PASSWORD_BYTES,
  );
}

async function matchesAny(
  candidates: readonly string[],
  matches: (candidate: string) => Promise<boolean>,
): Promise<boolean> {
  for (const candidate of candidates) {
    if (await matches(candidate)) return true;
  }
  return false;
}

interface Gate {
  run<Result>(task: () => Promise<Result>): Promise<Result>;
  statistics(): { readonly running: number; readonly waiting: number };
}

/** A semaphore with a bounded first-come-first-served queue. A leaving task hands its place to the next in line. */
function createGate(places: number, queueLength: number): Gate {
  const queue: (() => void)[] = [];
  let running = 0;
  let typicalMilliseconds = 50;

  return {
    async run(task) {
      if (running < places) {
        running += 1;
      } else {
        if (queue.length >= queueLength) {
          throw new PasswordHashingBusy(Math.max(1, Math.ceil((queue.length * typicalMilliseconds) / places / 1000)));
        }
        await new Promise<void>((enter) => queue.push(enter));
      }
      const startedAtMilliseconds = performance.now();
      try {
        return await task();
      } finally {
        typicalMilliseconds += (performance.now() - startedAtMilliseconds - typicalMilliseconds) / 8;
        const next = queue.shift();
        if (next === undefined) running -= 1;
        else next();
      }
    },
    statistics: () => ({ running, waiting: queue.length }),
  };
}
