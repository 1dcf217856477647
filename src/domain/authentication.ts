/**
 * This file owns what it means to have signed in: which factors were proven, and what is therefore said of it (`amr`, RFC 8176,
 * and `acr`). It does not own how a factor is proven. Nobody else makes an `Authentication`, so nothing that a browser says about
 * a step it took can become one; test/architecture.test.ts holds the list of who may ask.
 */
import type { UserId } from './user.ts';

/** What somebody can prove themselves with. */
export type FactorMethod = 'password' | 'totp' | 'backup_code' | 'passkey' | 'email_code';

/** One factor, proven to this server. */
export interface FactorRecord {
  readonly method: FactorMethod;
  readonly at: Date;
  /** Of a password: which one it was (`passwordMark`). A sign-in that another one has overtaken is none. */
  readonly mark?: string | undefined;
  /** Of a passkey: the authenticator made sure that it was its owner (WebAuthn §6.1, UV). */
  readonly userVerified?: boolean | undefined;
  /** Of a passkey: a copy of it may be on other devices of the person. */
  readonly synced?: boolean | undefined;
}

/** Strengths of a sign-in (`acr`), weakest first. */
export const AUTHENTICATION_CONTEXTS = {
  password: 'urn:poort:acr:password',
  multiFactor: 'urn:poort:acr:mfa',
} as const;

export type AuthenticationContext = (typeof AUTHENTICATION_CONTEXTS)[keyof typeof AUTHENTICATION_CONTEXTS];

declare const made: unique symbol;

/** A person who has signed in. */
export interface Authentication {
  readonly userId: UserId;
  readonly factors: readonly FactorRecord[];
  /** RFC 8176, in alphabetical order. */
  readonly amr: readonly string[];
  readonly acr: AuthenticationContext;
  readonly [made]: true;
}

/** Computed from what was proven and from nothing else. Throws where nothing was: that is a fault of the caller. */
export function authenticate(userId: UserId, factors: readonly FactorRecord[]): Authentication {
  if (!factors.some(isFirstFactor)) throw new Error('nothing that was proven signs this person in');
  const amr = new Set(factors.flatMap(referencesOf));
  const isMultiFactor = factors.some(isBothFactors) || (factors.some(isFirstFactor) && factors.some(isSecondFactor));
  if (isMultiFactor) amr.add('mfa');
  const acr = isMultiFactor ? AUTHENTICATION_CONTEXTS.multiFactor : AUTHENTICATION_CONTEXTS.password;
  return { userId, factors, amr: [...amr].sort(), acr } as unknown as Authentication; // here alone
}

/** Whether this factor can begin a sign-in. */
function isFirstFactor(factor: FactorRecord): boolean {
  return factor.method === 'password' || isBothFactors(factor);
}

/** Whether this factor, after a password, makes two. A code by mail stands in for one: that is for the tenant to allow. */
function isSecondFactor({ method }: FactorRecord): boolean {
  return method !== 'password';
}

/** A passkey that its owner unlocked is something one has and something one knows or is. */
function isBothFactors({ method, userVerified }: FactorRecord): boolean {
  return method === 'passkey' && userVerified === true;
}

function referencesOf({ method, userVerified, synced }: FactorRecord): readonly string[] {
  switch (method) {
    case 'password':
      return ['pwd'];
    case 'totp':
    case 'backup_code':
    case 'email_code':
      return ['otp'];
    case 'passkey':
      return [synced === true ? 'swk' : 'hwk', ...(userVerified === true ? ['user'] : [])];
    default: {
      const never: never = method;
      return never;
    }
  }
}

/**
 * Whether a request that names these contexts (`acr_values`, in the order of preference) wants both factors. Whoever would also
 * take a password alone, and words that are none of ours, ask for nothing.
 */
export function wantsMultiFactor(acrValues: readonly string[]): boolean {
  const known = acrValues.filter((value) => Object.values<string>(AUTHENTICATION_CONTEXTS).includes(value));
  return known.length > 0 && known.every((value) => value === AUTHENTICATION_CONTEXTS.multiFactor);
}
