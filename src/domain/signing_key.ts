/**
 * This file owns the life of a tenant's signing key: next → active → retired → gone. It does not own key material or
 * when rotation runs.
 *
 * Published before use and after use: resource servers cache key sets, so a key that signs on the day it appears makes
 * tokens nobody can verify yet, and one that disappears on the day it is replaced breaks tokens that still live.
 */

export type SigningAlgorithm = 'ES256' | 'RS256' | 'EdDSA';

/** `next`: published, does not sign yet. `active`: signs, one per algorithm. `retired`: published, signs no more. */
export type SigningKeyStatus = 'next' | 'active' | 'retired';

/** What the judgements need to know of a key. */
export interface SigningKey {
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly status: SigningKeyStatus;
}

/** The algorithms every tenant has a key for: RS256 because OpenID Connect Core 1.0 §15.1 requires it for ID tokens. */
export const DEFAULT_SIGNING_ALGORITHMS = ['ES256', 'RS256'] as const satisfies readonly SigningAlgorithm[];

const SUCCESSOR = {
  next: 'active',
  active: 'retired',
  retired: undefined,
} as const satisfies Record<SigningKeyStatus, SigningKeyStatus | undefined>;

/** Whether a key may change from one status to the other: one step forward, or from `next` out of service unused. */
export function canBecome(from: SigningKeyStatus, to: SigningKeyStatus): boolean {
  return SUCCESSOR[from] === to || (from === 'next' && to === 'retired');
}

/** The key that signs with this algorithm now, if there is one. */
export function activeKey<Key extends SigningKey>(keys: readonly Key[], alg: SigningAlgorithm): Key | undefined {
  return keys.find((key) => key.alg === alg && key.status === 'active');
}

/** The order in which keys are published: those that sign first, because libraries without `kid` try the first. */
export function publicationOrder<Key extends SigningKey>(keys: readonly Key[]): readonly Key[] {
  const rank = { active: 0, next: 1, retired: 2 } as const satisfies Record<SigningKeyStatus, number>;
  return keys.toSorted((one, other) => rank[one.status] - rank[other.status]);
}

/**
 * What a rotation of one algorithm does: the active key retires, the waiting one (or one to be made) becomes active, and
 * a new one waits. `activate` is `undefined` when no key waits: then the new key has to sign at once.
 */
export function planRotation(
  keys: readonly SigningKey[],
  alg: SigningAlgorithm,
): { readonly retire: string | undefined; readonly activate: string | undefined } {
  const waiting = keys.find((key) => key.alg === alg && key.status === 'next');
  return { retire: activeKey(keys, alg)?.kid, activate: waiting?.kid };
}
