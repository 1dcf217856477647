/**
 * This file owns how many failed sign-ins are enough: the keys they are counted under and the judgement over the
 * counts. It does not own the counters (storage) or the clock.
 *
 * Order matters: an attempt is counted first, in a transaction of its own, and judged after, by counts that include it.
 * Judging first lets a hundred parallel guesses all see a count of zero; counting inside the sign-in's own transaction
 * loses the count when that is rolled back.
 *
 * Three counters, three thresholds, because each alone is either a hole or a weapon:
 * - identifier and address (5): a person mistyping, or one machine guessing one account. Stops early and hurts only
 *   that machine.
 * - identifier (50): a botnet guessing one account. Ten times higher, so that locking a stranger's account takes ten
 *   networks that each burn their own allowance; at 5 anybody could keep anybody out with five requests. It also ends
 *   by itself with the window, and never touches sessions that exist.
 * - address (100): one machine trying one password on many accounts. High enough for a school behind one address.
 */

/** What somebody may try, and be stopped from trying too often. `proof`: a code that was mailed. */
export type AttemptKind =
  | 'password'
  | 'code'
  | 'backup_code'
  | 'email_code'
  | 'passkey'
  | 'proof'
  | 'reset'
  | 'registration'
  | 'invitation'
  | 'user_code';

/** Failed attempts within the window, the present one included. */
export interface SignInCounts {
  readonly identifierAndAddress: number;
  readonly identifier: number;
  readonly address: number;
}

/** Thresholds: that many attempts within the window are still judged, one more is throttled. */
export interface SignInThrottleSettings {
  readonly windowSeconds: number;
  readonly maximumPerIdentifierAndAddress: number;
  readonly maximumPerIdentifier: number;
  readonly maximumPerAddress: number;
}

/** May the attempt be judged? `limit` is for the operator's log; the person is told only to wait. */
export type SignInThrottleDecision =
  | { readonly outcome: 'allowed' }
  | { readonly outcome: 'throttled'; readonly retryAfterSeconds: number; readonly limit: keyof SignInCounts };

/**
 * Judges counts that already include the present attempt. When several limits are exceeded, the longest wait counts.
 *
 * @param secondsUntilWindowEnds How long each counter's window still lasts; the whole window where it is not told.
 *   Windows are fixed, not sliding: attempts while throttled must not extend them.
 */
export function judgeSignInAttempt(
  counts: SignInCounts,
  settings: SignInThrottleSettings,
  secondsUntilWindowEnds: Partial<SignInCounts> = {},
): SignInThrottleDecision {
  const exceeded = exceededLimits(counts, settings);
  const [limit] = exceeded;
  if (limit === undefined) return { outcome: 'allowed' };
  const waits = exceeded.map((name) => secondsUntilWindowEnds[name] ?? settings.windowSeconds);
  const retryAfterSeconds = Math.ceil(Math.min(Math.max(...waits, 1), settings.windowSeconds));
  return { outcome: 'throttled', retryAfterSeconds, limit };
}

/** Written so that a count that is not a number throttles instead of passing. */
function exceededLimits(counts: SignInCounts, settings: SignInThrottleSettings): (keyof SignInCounts)[] {
  const limits = [
    ['identifierAndAddress', settings.maximumPerIdentifierAndAddress],
    ['identifier', settings.maximumPerIdentifier],
    ['address', settings.maximumPerAddress],
  ] as const satisfies readonly (readonly [keyof SignInCounts, number])[];
  return limits.filter(([name, maximum]) => !(counts[name] <= maximum)).map(([name]) => name);
}

/** The texts under which one attempt is counted. They hold personal data: store their digest. */
export interface SignInThrottleKeys {
  readonly identifierAndAddress: string;
  readonly identifier: string;
  readonly address: string;
}

/**
 * The three keys of an attempt. The kind is in front and a line feed between the parts, which neither part can contain,
 * so no identifier can be chosen to fall into another's counter.
 *
 * @param kind What is tried: each has counters of its own, so that wrong codes do not lock a password out, nor the other way.
 * @param identifierCanonical From `canonicalIdentifier` or `parseEmailAddress`; also for people who do not exist.
 * @param address The caller's IP address, from the connection or a trusted proxy.
 */
export function throttleKeys(input: {
  readonly kind: AttemptKind;
  readonly identifierCanonical: string;
  readonly address: string | undefined;
}): SignInThrottleKeys {
  const identifier = input.identifierCanonical.replaceAll('\n', ' ');
  const address = canonicalAddress(input.address);
  return {
    identifierAndAddress: `${input.kind}\nidentifier_address\n${identifier}\n${address}`,
    identifier: `${input.kind}\nidentifier\n${identifier}`,
    address: `${input.kind}\naddress\n${address}`,
  };
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
