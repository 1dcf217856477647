/**
 * This file owns the decision about a refresh token that is presented: used for the first time, asked for again by a client that
 * did not get the answer, or used by somebody else. It does not own how successors are derived (adapters/refresh_chain.ts) nor
 * the clock: ages come from the database.
 *
 * One chain, never a fork: whoever repeats a token within its grace gets the newest member of the chain, so at any moment one value
 * can be used next, and a copy in other hands shows itself as soon as the two holders are out of step (RFC 9700 §4.14.2).
 */

import type { RefreshTokenLifetimes } from './lifetimes.ts';

/** How long a token may be repeated after its first use. */
export interface Grace {
  /** From the first use. 0 is strict: never. */
  readonly seconds: number;
  /**
   * Only until the successor has been used itself: then the client has it for certain. A device that lost power after sending
   * its token comes back hours later, so its seconds are many.
   */
  readonly whileSuccessorIsUnused: boolean;
}

export const MAXIMUM_GRACE_SECONDS = 60;

/**
 * The grace of one client: its own setting, or its type's.
 *
 * @param graceSeconds What the client registered, 0 to 60; `undefined` takes the type's default.
 */
export function graceFor(input: {
  readonly clientType: string;
  readonly graceSeconds: number | undefined;
  readonly lifetimes: Pick<RefreshTokenLifetimes, 'graceSeconds' | 'deviceGraceSeconds'>;
}): Grace {
  const { clientType, graceSeconds, lifetimes } = input;
  if (graceSeconds !== undefined) return { seconds: graceSeconds, whileSuccessorIsUnused: false };
  if (clientType === 'device') return { seconds: lifetimes.deviceGraceSeconds, whileSuccessorIsUnused: true };
  return { seconds: lifetimes.graceSeconds, whileSuccessorIsUnused: false };
}

/** What the database tells of the token that was presented. */
export interface PresentedToken {
  /** Since its first use; `undefined` while it was never used. Negative when the database's clock was set back meanwhile. */
  readonly usedSecondsAgo: number | undefined;
  /** Whether the token that was made from it has been used itself. */
  readonly successorUsed: boolean;
}

/** `first_use`: it rotates. `retry`: the same answer again. `reuse`: one of two holders stole it, the grant ends. */
export type Presentation = 'first_use' | 'retry' | 'reuse';

export function judgePresentation(token: PresentedToken, grace: Grace): Presentation {
  if (token.usedSecondsAgo === undefined) return 'first_use';
  if (!(token.usedSecondsAgo < grace.seconds)) return 'reuse';
  return grace.whileSuccessorIsUnused && token.successorUsed ? 'reuse' : 'retry';
}

/**
 * Whether a token must be replaced when it is used. A client that is bound to a key of its own (DPoP, mutual TLS) may switch
 * rotation off: a copied token is of no use without the key (RFC 9700 §4.14.2).
 */
export function mustRotate(input: {
  readonly rotation: 'always' | 'unless_sender_constrained';
  readonly senderConstrained: boolean;
}): boolean {
  return input.rotation === 'always' || !input.senderConstrained;
}
