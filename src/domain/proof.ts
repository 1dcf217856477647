/**
 * This file owns what a mailed link or code may prove, and how a code of eight digits is read. It does not own how proofs are kept
 * (storage/tables/proofs.ts) or what follows from one (the flows).
 */

export type ProofPurpose =
  /** An account, or a membership for somebody who has one. */
  | 'registration'
  /** The address of an account that exists. */
  | 'verification'
  | 'email_change'
  | 'password_reset'
  | 'unlock'
  | 'invitation';

export interface ProofLifetimes {
  /** Of registrations, verifications, changes of address and links that unlock. */
  readonly verificationSeconds: number;
  readonly resetSeconds: number;
}

export const PROOF_CODE_DIGITS = 8;

/** Guesses at one code, right ones included. Of a hundred million codes. */
export const MAXIMUM_PROOF_TRIES = 5;

/** The digits of a code as somebody typed it: with spaces or hyphens between them. Undefined when it is no such code. */
export function parseProofCode(typed: string): string | undefined {
  if (typed.length > 40) return undefined;
  const digits = typed.normalize('NFKC').replace(/[\s-]/g, '');
  return /^\d{8}$/.test(digits) ? digits : undefined;
}

/** Tokens of links and handles of browsers: what `randomValue` makes. Anything else is not looked for. */
export function isProofToken(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text);
}
