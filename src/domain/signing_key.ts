/**
 * This file owns the life of a tenant's signing key: next → active → retired → gone, and what is due in it at a given moment. It
 * does not own key material, nor who asks; it is told the time and answers with the steps to take, in their order.
 *
 * Published before use and after use: resource servers cache key sets, so a key that signs on the day it appears makes
 * tokens nobody can verify yet, and one that disappears on the day it is replaced breaks tokens that still live.
 */

export type SigningAlgorithm = 'ES256' | 'RS256' | 'EdDSA';

/** `next`: published, does not sign yet. `active`: signs, one per algorithm. `retired`: published, signs no more. */
export type SigningKeyStatus = 'next' | 'active' | 'retired';

/** What the order of publication needs to know of a key. */
export interface SigningKey {
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly status: SigningKeyStatus;
}

/** What the judgements need to know of a key. */
export interface DatedSigningKey extends SigningKey {
  readonly publishedAt: Date;
  /** Undefined until it signs. */
  readonly activatedAt: Date | undefined;
  /** When a retired key may go; undefined for one of which nobody has said it yet. */
  readonly publishedUntil: Date | undefined;
  /** Of a waiting key: somebody asked for it to sign as soon as it may. */
  readonly rotationRequestedAt: Date | undefined;
}

/** How long things last, in seconds. */
export interface SigningKeyRules {
  /** How long a key set may be cached. */
  readonly jwksCacheSeconds: number;
  /** How long a key signs when nobody asks for another one. */
  readonly rotateAfterSeconds: number;
  /** How long what was signed last is still looked at: the longest life of a token, or of an ID token as a hint. */
  readonly longestTokenSeconds: number;
}

/** One step of a key. They are taken together, in this order, or not at all. */
export type SigningKeyStep =
  | {
      readonly do: 'make';
      readonly alg: SigningAlgorithm;
      readonly status: 'next' | 'active';
      readonly requested: boolean;
    }
  | { readonly do: 'request'; readonly kid: string }
  | { readonly do: 'activate'; readonly kid: string; readonly alg: SigningAlgorithm }
  | { readonly do: 'retire'; readonly kid: string; readonly alg: SigningAlgorithm; readonly publishedUntil: Date }
  | { readonly do: 'remove'; readonly kid: string };

/** The algorithms every tenant has a key for: RS256 because OpenID Connect Core 1.0 §15.1 requires it for ID tokens. */
export const DEFAULT_SIGNING_ALGORITHMS = ['ES256', 'RS256'] as const satisfies readonly SigningAlgorithm[];

/** Until every process has heard of a change (one second), and for clocks that differ (another one). */
const marginSeconds = 2;

/** The key that signs with this algorithm now, if there is one. */
export function activeKey<Key extends SigningKey>(keys: readonly Key[], alg: SigningAlgorithm): Key | undefined {
  return keys.find((key) => key.alg === alg && key.status === 'active');
}

/** The key that will sign with this algorithm next, if there is one. */
export function nextKey<Key extends SigningKey>(keys: readonly Key[], alg: SigningAlgorithm): Key | undefined {
  return keys.find((key) => key.alg === alg && key.status === 'next');
}

/** The order in which keys are published: those that sign first, because libraries without `kid` try the first. */
export function publicationOrder<Key extends SigningKey>(keys: readonly Key[]): readonly Key[] {
  const rank = { active: 0, next: 1, retired: 2 } as const satisfies Record<SigningKeyStatus, number>;
  return keys.toSorted((one, other) => rank[one.status] - rank[other.status]);
}

/** How many seconds a key is published before it signs: until no cache can hold a key set without it. */
export function ripeningSeconds({ jwksCacheSeconds }: Pick<SigningKeyRules, 'jwksCacheSeconds'>): number {
  return jwksCacheSeconds + marginSeconds;
}

/** From when on everyone who caches the key set knows this key. */
export function ripeAt(key: Pick<DatedSigningKey, 'publishedAt'>, rules: SigningKeyRules): Date {
  return later(key.publishedAt, ripeningSeconds(rules));
}

/** When the waiting key takes over by itself: when it is ripe, and the active one is asked to go or has signed long enough. */
export function rotationDueAt(active: DatedSigningKey, next: DatedSigningKey, rules: SigningKeyRules): Date {
  const ripe = ripeAt(next, rules);
  if (next.rotationRequestedAt !== undefined) return ripe;
  const old = later(active.activatedAt ?? active.publishedAt, rules.rotateAfterSeconds);
  return new Date(Math.max(old.getTime(), ripe.getTime()));
}

/** What is due now, for these algorithms and for every one that has a key already; empty when nothing is. */
export function planDueSteps(
  keys: readonly DatedSigningKey[],
  { algorithms, rules, now }: { algorithms: readonly SigningAlgorithm[]; rules: SigningKeyRules; now: Date },
): readonly SigningKeyStep[] {
  const living = keys.filter(({ status }) => status !== 'retired').map(({ alg }) => alg);
  return [
    ...[...new Set([...algorithms, ...living])].flatMap((alg) => dueStepsOf(keys, { alg, rules, now })),
    ...keys.flatMap((key) => dueStepsOfRetired(key, { rules, now })),
  ];
}

function dueStepsOf(
  keys: readonly DatedSigningKey[],
  { alg, rules, now }: { alg: SigningAlgorithm; rules: SigningKeyRules; now: Date },
): readonly SigningKeyStep[] {
  const active = activeKey(keys, alg);
  const next = nextKey(keys, alg);
  if (active === undefined) return takeOver(next, alg);
  if (next === undefined) return [made(alg, 'next')];
  if (rotationDueAt(active, next, rules) > now) return [];
  return [retired(active, { rules, now }), ...takeOver(next, alg)];
}

function dueStepsOfRetired(
  key: DatedSigningKey,
  { rules, now }: { rules: SigningKeyRules; now: Date },
): readonly SigningKeyStep[] {
  if (key.status !== 'retired') return [];
  if (key.publishedUntil === undefined) return [retired(key, { rules, now })];
  return key.publishedUntil <= now ? [{ do: 'remove', kid: key.kid }] : [];
}

export interface RotationPlan {
  /** `waits`: the waiting key is not ripe and takes over by itself at `at`. */
  readonly outcome: 'rotates' | 'waits';
  readonly at: Date;
  readonly steps: readonly SigningKeyStep[];
}

/**
 * What a rotation of one algorithm that somebody asked for does. With `evenIfUnripe` the waiting key signs at once, although
 * whoever cached the key set before may not know it for up to `jwksCacheSeconds`.
 */
export function planRotation(
  keys: readonly DatedSigningKey[],
  {
    alg,
    rules,
    now,
    evenIfUnripe,
  }: { alg: SigningAlgorithm; rules: SigningKeyRules; now: Date; evenIfUnripe: boolean },
): RotationPlan {
  const active = activeKey(keys, alg);
  const next = nextKey(keys, alg);
  const at = next === undefined ? later(now, ripeningSeconds(rules)) : ripeAt(next, rules);
  if (active === undefined || evenIfUnripe || (next !== undefined && at <= now)) {
    const retirement = active === undefined ? [] : [retired(active, { rules, now })];
    return { outcome: 'rotates', at: now, steps: [...retirement, ...takeOver(next, alg)] };
  }
  if (next === undefined) return { outcome: 'waits', at, steps: [{ ...made(alg, 'next'), requested: true }] };
  const request: SigningKeyStep = { do: 'request', kid: next.kid };
  return { outcome: 'waits', at, steps: next.rotationRequestedAt === undefined ? [request] : [] };
}

/**
 * The emergency: this key is gone from now on, neither published nor signing, and where it signed another one does so at once, the
 * waiting one before one that nobody knows. Undefined when there is no such key.
 */
export function planRetirement(keys: readonly DatedSigningKey[], kid: string): readonly SigningKeyStep[] | undefined {
  const key = keys.find((candidate) => candidate.kid === kid);
  if (key === undefined) return undefined;
  const removal: SigningKeyStep = { do: 'remove', kid };
  switch (key.status) {
    case 'active':
      return [removal, ...takeOver(nextKey(keys, key.alg), key.alg)];
    case 'next':
      return [removal, made(key.alg, 'next')];
    case 'retired':
      return [removal];
    default: {
      const never: never = key.status;
      return never;
    }
  }
}

/** Somebody must sign: the waiting key, or else a new one at once; and another one waits from now on. */
function takeOver(next: SigningKey | undefined, alg: SigningAlgorithm): readonly SigningKeyStep[] {
  const successor: SigningKeyStep = next === undefined ? made(alg, 'active') : { do: 'activate', kid: next.kid, alg };
  return [successor, made(alg, 'next')];
}

function made(alg: SigningAlgorithm, status: 'next' | 'active'): SigningKeyStep & { readonly do: 'make' } {
  return { do: 'make', alg, status, requested: false };
}

function retired(
  { kid, alg }: SigningKey,
  { rules, now }: { rules: SigningKeyRules; now: Date },
): SigningKeyStep & { readonly do: 'retire' } {
  const seconds = rules.longestTokenSeconds + rules.jwksCacheSeconds + marginSeconds;
  return { do: 'retire', kid, alg, publishedUntil: later(now, seconds) };
}

function later(instant: Date, seconds: number): Date {
  return new Date(instant.getTime() + seconds * 1000);
}
