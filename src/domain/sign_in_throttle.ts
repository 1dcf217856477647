/**
 * This file owns how many tries are enough: the counters under which one attempt is counted, the number that each allows, and how
 * long a lock lasts. It does not own the counters themselves (storage/counters.ts) or the clock.
 *
 * Order matters: an attempt is counted first, in a transaction of its own, and what is counted decides. Judging first lets a hundred
 * parallel guesses all see a count of zero; counting inside the sign-in's own transaction loses the count when that is rolled back.
 *
 * Several counters, because each alone is either a hole or a weapon (the numbers are those of a password):
 * - identifier and address (5): a person mistyping, or one machine guessing one account. Stops early and hurts only
 *   that machine.
 * - address (100): one machine trying one password on many accounts. High enough for a school behind one address.
 * - identifier (50): a botnet guessing one account. Ten times the first, so that locking a stranger's account takes ten
 *   networks that each burn their own allowance; at 5 anybody could keep anybody out with five requests. It also ends
 *   by itself, and never touches sessions that exist.
 * - tenant (10,000 in a minute): a flood. High enough that no crowd of people reaches it.
 * - known device (5), instead of all these: a browser that has proven to be this person's before. Attackers elsewhere cannot fill its
 *   counter, so they cannot keep the owner out of it; who has stolen the device has five guesses.
 *
 * Whoever tries second factors has the password already, so they have one limit for each account, and none for an address: a botnet must
 * not get five guesses for each of its addresses, and what strangers without the password do never comes so far.
 *
 * The codes of devices (`user_code`) are guessed at by strangers, and every code that waits at a tenant is there to be hit: what counts is
 * how many are looked at while a code lives, from however many addresses. So the last counter is small; the arithmetic is in
 * docs/device-grant-risk-assessment.md, and test/lessons/c15_device_grant.test.ts does it. The identifier is the browser.
 */
import { DEVICE_CODE_SECONDS } from './device_grant.ts';

/** What somebody may try, and be stopped from trying too often. `proof`: a code that was mailed. */
export const ATTEMPT_KINDS = [
  'password',
  'code',
  'backup_code',
  'email_code',
  'passkey',
  'proof',
  'reset',
  'registration',
  'invitation',
  'user_code',
] as const;

export type AttemptKind = (typeof ATTEMPT_KINDS)[number];

export type OtherAttemptKind = Exclude<AttemptKind, 'password'>;

/** Every kind but the password, which has settings of its own. */
export const OTHER_ATTEMPT_KINDS: readonly OtherAttemptKind[] = ATTEMPT_KINDS.filter((kind) => kind !== 'password');

const SECOND_FACTORS: ReadonlySet<AttemptKind> = new Set(['code', 'backup_code', 'email_code', 'passkey']);

/** Maximums: that many attempts within the window are still judged, one more begins a lock. */
export interface SignInThrottleSettings {
  readonly windowSeconds: number;
  readonly maximumPerIdentifierAndAddress: number;
  readonly maximumPerIdentifier: number;
  readonly maximumPerAddress: number;
  readonly maximumPerKnownDevice: number;
  /** Within `tenantWindowSeconds`, and for as long. */
  readonly maximumPerTenant: number;
  readonly tenantWindowSeconds: number;
  /** The first lock of a day; each further one is twice as long, up to the longest. */
  readonly firstLockSeconds: number;
  readonly longestLockSeconds: number;
  /** Instead of `maximumPerIdentifier`, for what is no password. */
  readonly perIdentifier: Readonly<Record<OtherAttemptKind, number>>;
  /** Codes of devices that were wrong, each within the life of a code (`DEVICE_CODE_SECONDS`) and for as long. */
  readonly userCodes: {
    readonly maximumPerAddress: number;
    readonly maximumPerTenant: number;
    /** Short addresses name no tenant: these are the whole installation's. */
    readonly maximumOfShortAddresses: number;
  };
}

export interface TriedAttempt {
  readonly kind: AttemptKind;
  /** The canonical form of whom it is about (`canonicalIdentifier`), whether or not there is such a person. */
  readonly identifier: string;
  /** The caller's IP address, from the connection or a trusted proxy. */
  readonly address: string | undefined;
  /** A device that was remembered for exactly this person, its token verified by us. Only a password is counted by it. */
  readonly knownDevice?: string | undefined;
}

export type LimitName =
  | 'known_device'
  | 'identifier_and_address'
  | 'address'
  | 'identifier'
  | 'tenant'
  | 'installation';

/** One counter of one attempt. The texts hold personal data: store their digest. */
export interface AttemptLimit {
  readonly name: LimitName;
  readonly key: string;
  /** The counter of the identifier that this one is a part of: whoever unlocks that unlocks this. */
  readonly partOf?: string | undefined;
  readonly maximum: number;
  readonly windowSeconds: number;
  readonly firstLockSeconds: number;
  readonly longestLockSeconds: number;
}

/**
 * The counters of an attempt, in the order in which they are asked. Whoever is stopped by one is not counted by the next: who has used
 * up their own allowance must not be able to go on and lock the person out from everywhere else.
 */
export function limitsOf(attempt: TriedAttempt, settings: SignInThrottleSettings): readonly AttemptLimit[] {
  const { kind, knownDevice } = attempt;
  const identifier = attempt.identifier.replaceAll('\n', ' ');
  const address = canonicalAddress(attempt.address);
  const { windowSeconds, firstLockSeconds, longestLockSeconds } = settings;
  const lasting = { windowSeconds, firstLockSeconds, longestLockSeconds };
  const partOf = identifierKey(kind, identifier);
  if (kind === 'password' && knownDevice !== undefined) {
    const key = keyOf(kind, 'known_device', identifier, knownDevice);
    return [{ name: 'known_device', key, partOf, maximum: settings.maximumPerKnownDevice, ...lasting }];
  }
  const { maximumPerIdentifierAndAddress: pair, maximumPerAddress, maximumPerTenant } = settings;
  const maximumPerIdentifier = kind === 'password' ? settings.maximumPerIdentifier : settings.perIdentifier[kind];
  const inWindow = settings.tenantWindowSeconds;
  const perPair: AttemptLimit = {
    name: 'identifier_and_address',
    key: keyOf(kind, 'identifier_address', identifier, address),
    partOf,
    maximum: pair,
    ...lasting,
  };
  const perAddress: AttemptLimit = {
    name: 'address',
    key: keyOf(kind, 'address', address),
    maximum: maximumPerAddress,
    ...lasting,
  };
  const perIdentifier: AttemptLimit = { name: 'identifier', key: partOf, maximum: maximumPerIdentifier, ...lasting };
  const perTenant: AttemptLimit = {
    name: 'tenant',
    key: keyOf(kind, 'tenant'),
    maximum: maximumPerTenant,
    ...lastingFor(inWindow),
  };
  if (kind !== 'user_code')
    return [...(SECOND_FACTORS.has(kind) ? [] : [perPair, perAddress]), perIdentifier, perTenant];
  return [
    perPair,
    { ...perAddress, maximum: settings.userCodes.maximumPerAddress, ...whileCodesLive },
    perIdentifier,
    { ...perTenant, maximum: settings.userCodes.maximumPerTenant, ...whileCodesLive },
  ];
}

/** Of a guess that names no tenant: the code is in the address (`/d/{code}`), and who follows it has no cookie of ours yet. */
export function shortAddressLimits(
  address: string | undefined,
  { userCodes }: Pick<SignInThrottleSettings, 'userCodes'>,
): readonly AttemptLimit[] {
  return [
    {
      name: 'address',
      key: keyOf('short_address', 'address', canonicalAddress(address)),
      maximum: userCodes.maximumPerAddress,
      ...whileCodesLive,
    },
    {
      name: 'installation',
      key: keyOf('short_address', 'installation'),
      maximum: userCodes.maximumOfShortAddresses,
      ...whileCodesLive,
    },
  ];
}

/** Counted for this long, and stopped for no longer. */
function lastingFor(seconds: number) {
  return { windowSeconds: seconds, firstLockSeconds: seconds, longestLockSeconds: seconds } as const;
}

const whileCodesLive = lastingFor(DEVICE_CODE_SECONDS);

/** The counter of an identifier, whatever the address. */
export function identifierKey(kind: AttemptKind, identifier: string): string {
  return keyOf(kind, 'identifier', identifier.replaceAll('\n', ' '));
}

/** A line feed between the parts, which none can contain: nobody can choose an identifier that falls into another's counter. */
function keyOf(kind: AttemptKind | 'short_address', ...parts: readonly string[]): string {
  return [kind, ...parts].map((part) => part.replaceAll('\n', ' ')).join('\n');
}

/** Whether one success of the person clears the counter: only where no stranger can have filled it. */
export function isOwnCounter({ name }: AttemptLimit): boolean {
  return name === 'identifier_and_address' || name === 'known_device';
}

/** How long locks are remembered, for the next to be longer. */
export const LOCK_MEMORY_SECONDS = 86_400;

/** @param locks How many there were within the memory, this one included. */
export function lockSeconds(
  { firstLockSeconds, longestLockSeconds }: Pick<AttemptLimit, 'firstLockSeconds' | 'longestLockSeconds'>,
  locks: number,
): number {
  const doublings = Math.min(Math.max(locks - 1, 0), 20);
  return Math.min(firstLockSeconds * 2 ** doublings, Math.max(firstLockSeconds, longestLockSeconds));
}

/** Whole seconds, at least one: who is told to come back in zero seconds comes back at once. */
export function retryAfterSeconds(remainingMilliseconds: number): number {
  return Math.max(1, Math.ceil(remainingMilliseconds / 1000));
}

/**
 * One name for everything a caller can freely choose among: IPv4 as it is, IPv4-mapped IPv6 as IPv4, other IPv6 as its
 * /64 (one customer owns a /64 and would otherwise have 2^64 fresh counters), zone stripped. What cannot be read shares
 * the one counter `unknown`: failing closed, not open.
 */
export function canonicalAddress(address: string | undefined): string {
  if (address === undefined) return 'unknown';
  const bare = address
    .trim()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/%.*$/, '');
  if (/^\d+\.\d+\.\d+\.\d+$/.test(bare)) return canonicalIpv4(bare) ?? 'unknown';
  return canonicalIpv6(bare) ?? 'unknown';
}

function canonicalIpv4(text: string): string | undefined {
  const octets = text.split('.');
  // a leading zero means octal to some readers and decimal to others, so it means nothing here
  const valid = octets.every((octet) => /^(?:0|[1-9]\d{0,2})$/.test(octet) && Number(octet) <= 255);
  return valid ? text : undefined;
}

function canonicalIpv6(text: string): string | undefined {
  if (!text.includes(':') || !/^[0-9a-f:.]+$/i.test(text)) return undefined;
  const hostname = URL.parse(`http://[${text}]/`)?.hostname;
  if (hostname === undefined) return undefined;
  const groups = expandIpv6(hostname.slice(1, -1));
  const mapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (mapped) {
    const [high = 0, low = 0] = groups.slice(6);
    return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
  }
  const network = groups.slice(0, 4).map((group) => group.toString(16));
  return `${network.join(':')}::/64`;
}

/** Eight numbers from the URL parser's serialisation, which is lower case with at most one `::` (RFC 5952). */
function expandIpv6(text: string): number[] {
  const [head = '', tail] = text.split('::');
  const parse = (part: string) => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)));
  const before = parse(head);
  if (tail === undefined) return before;
  const after = parse(tail);
  return [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after];
}
