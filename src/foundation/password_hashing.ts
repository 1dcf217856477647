/**
 * This file owns how passwords are hashed and verified: argon2id, the bcrypt hashes that imported people bring along,
 * and how many may run at once. It does not own which passwords are acceptable (domain/user.ts), how often somebody may
 * try (domain/sign_in_throttle.ts) or where hashes are kept.
 *
 * Why a gate: argon2 and bcrypt run on libuv's thread pool, which token signing needs too. A storm of hashes takes the
 * 99th percentile of signing from 2 to 636 milliseconds; at most `cores - 1` at a time keeps it at 7. More at once does
 * not hash faster, it only takes more memory. The queue in front is bounded, because a request that waits behind
 * hundreds of others is answered to nobody.
 */

import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { verify as verifyBcrypt } from '@node-rs/bcrypt';
import { argon2id, hash as hashArgon2, verify as verifyArgon2 } from 'argon2';

/** The longest password, in UTF-8 bytes as given (domain/user.ts refuses it earlier). Nothing shorter is truncated. */
const MAXIMUM_PASSWORD_BYTES = 1024;

const MAXIMUM_BCRYPT_PASSWORD_BYTES = 72;
const SALT_BYTES = 16;
const HASH_BYTES = 32;

/** Ceilings for hashes that others made: a hash whose parameters ask for hours or gigabytes is a denial of service. */
const CEILING = { memoryKibibytes: 262_144, passes: 16, lanes: 16, bcryptCost: 15 } as const;

/** The parameters in either order: the reference implementation writes m,t,p, others m,p,t. */
const ARGON2ID =
  /^\$argon2id\$v=19\$m=(\d{1,7}),(?:t=(\d{1,3}),p=(\d{1,3})|p=(\d{1,3}),t=(\d{1,3}))\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,171})$/;
const BCRYPT = /^\$2[aby]\$(\d{2})\$[./A-Za-z0-9]{53}$/;

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
   * The time of a hash with other parameters, bcrypt above all, differs from the decoy's until its owner signs in once.
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
    await gate.run(() => verifyArgon2(decoy, isAcceptable(password) ? password : ''));
    return NO_MATCH;
  }

  const hasher: PasswordHasher = {
    async hash(password) {
      if (!isAcceptable(password)) throw new RangeError(`a password has 1 to ${MAXIMUM_PASSWORD_BYTES} bytes of text`);
      const salt = randomBytes(SALT_BYTES);
      const hash = await gate.run(() => hashArgon2(password.normalize('NFKC'), { ...options, salt }));
      return encodeHash(settings, salt, hash);
    },

    async verify(hash, password) {
      const stored = parseHash(hash);
      if (stored === undefined || !isAcceptable(password)) return spendTheSameWork(password);

      if (stored.algorithm === 'argon2id') {
        const matches = await gate.run(() => verifyArgon2(stored.hash, password.normalize('NFKC')));
        return { matches, outdated: matches && !hasParameters(stored, settings) };
      }

      const candidates = bcryptCandidates(password);
      if (candidates.length === 0) return spendTheSameWork(password);
      const matches = await gate.run(() => matchesAny(stored.hash, candidates));
      return { matches, outdated: matches };
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
 * Whether `verify` could ever match this hash: argon2id (version 19) or bcrypt ($2a$, $2b$, $2y$), within the ceilings.
 * Whoever imports people asks this first, because an unusable hash only shows as a sign-in that never succeeds.
 */
export function isUsablePasswordHash(hash: string): boolean {
  return parseHash(hash) !== undefined;
}

function checkSettings(settings: PasswordHashingSettings): void {
  const { memoryKibibytes, passes, lanes, queueLength, concurrency } = settings;
  const whole = [memoryKibibytes, passes, lanes, queueLength, concurrency ?? 1].every(Number.isSafeInteger);
  const possible =
    whole &&
    lanes >= 1 &&
    lanes <= CEILING.lanes &&
    passes >= 1 &&
    passes <= CEILING.passes &&
    memoryKibibytes >= 8 * lanes &&
    memoryKibibytes <= CEILING.memoryKibibytes &&
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

type StoredHash =
  | {
      readonly algorithm: 'argon2id';
      readonly hash: string;
      readonly memoryKibibytes: number;
      readonly passes: number;
      readonly lanes: number;
    }
  | { readonly algorithm: 'bcrypt'; readonly hash: string };

/** Reads the parameters ourselves, so that the native code never sees a hash that would crash or occupy it. */
function parseHash(hash: string | undefined): StoredHash | undefined {
  if (hash === undefined) return undefined;

  const bcrypt = BCRYPT.exec(hash);
  if (bcrypt !== null) {
    const cost = Number(bcrypt[1]);
    return cost >= 4 && cost <= CEILING.bcryptCost ? { algorithm: 'bcrypt', hash } : undefined;
  }

  const argon2 = ARGON2ID.exec(hash);
  if (argon2 === null) return undefined;
  const memoryKibibytes = Number(argon2[1]);
  const passes = Number(argon2[2] ?? argon2[5]);
  const lanes = Number(argon2[3] ?? argon2[4]);
  if (lanes < 1 || lanes > CEILING.lanes) return undefined;
  if (passes < 1 || passes > CEILING.passes) return undefined;
  if (memoryKibibytes < 8 * lanes || memoryKibibytes > CEILING.memoryKibibytes) return undefined;
  // base64 never leaves one sextet over; the PHC parser would refuse it with an exception
  if (argon2.slice(6).some((part) => part.length % 4 === 1)) return undefined;
  return { algorithm: 'argon2id', hash, memoryKibibytes, passes, lanes };
}

function hasParameters(stored: StoredHash & { algorithm: 'argon2id' }, settings: PasswordHashingSettings): boolean {
  return (
    stored.memoryKibibytes === settings.memoryKibibytes &&
    stored.passes === settings.passes &&
    stored.lanes === settings.lanes
  );
}

/** Ill-formed UTF-16 would become U+FFFD, so that many different passwords would be one. */
function isAcceptable(password: string): boolean {
  if (password.length === 0 || password.length > MAXIMUM_PASSWORD_BYTES) return false;
  return password.isWellFormed() && Buffer.byteLength(password, 'utf8') <= MAXIMUM_PASSWORD_BYTES;
}

/**
 * What a bcrypt hash may have been made from: the bytes as given, then their NFKC form. bcrypt reads 72 bytes and
 * repeats the password, closed by a NUL, to fill them: beyond 72 bytes everything matches (`x`×73 the hash of `x`×72),
 * and `a\0a` matches the hash of `a`. Neither may ever match here.
 */
function bcryptCandidates(password: string): string[] {
  return [...new Set([password, password.normalize('NFKC')])].filter(
    (candidate) => !candidate.includes('\0') && Buffer.byteLength(candidate, 'utf8') <= MAXIMUM_BCRYPT_PASSWORD_BYTES,
  );
}

async function matchesAny(hash: string, candidates: readonly string[]): Promise<boolean> {
  for (const candidate of candidates) {
    if (await verifyBcrypt(candidate, hash)) return true;
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
