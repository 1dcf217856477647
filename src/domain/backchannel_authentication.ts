/**
 * This file owns what an application may ask of somebody who is not in front of it (OpenID Connect Client-Initiated Backchannel
 * Authentication Core 1.0): how long such a request waits, how often it may be asked after, how many there may be, and what its
 * binding message may be. It does not own requests themselves or who answers them.
 */

/** CIBA §10.1. */
export const cibaGrantType = 'urn:openid:params:grant-type:ciba';

/** CIBA §7.1 `requested_expiry`: a client may ask for less. Long enough to find a telephone, short enough that nobody agrees by accident. */
export const REQUEST_LIFETIME_SECONDS = 300;

/** CIBA §7.3 `interval`. */
export const POLL_INTERVAL_SECONDS = 5;

/** What the network may take off the interval of a client that keeps to it. */
export const POLL_TOLERANCE_SECONDS = 1;

/** How many requests a client may make in one window: for one person, so that nobody is worn down until they agree, and in all. */
export const REQUEST_LIMITS = { windowSeconds: 300, perClient: 300, perPerson: 5 } as const;

/** More are not shown on one page; with the limits above it takes four clients at once. */
export const MAXIMUM_SHOWN = 20;

const MAXIMUM_BINDING_MESSAGE_LENGTH = 100;

/** Seconds until a request expires. */
export function requestLifetimeSeconds(requestedExpiry: unknown): number {
  const requested = requestedExpiry === undefined ? REQUEST_LIFETIME_SECONDS : Number(requestedExpiry);
  return requested >= 1 ? Math.min(Math.floor(requested), REQUEST_LIFETIME_SECONDS) : REQUEST_LIFETIME_SECONDS;
}

/**
 * CIBA §7.1: shown at both devices, so that a person sees that they belong together. Letters, digits, punctuation and single spaces:
 * what cannot be seen, and what turns the reading direction around, could make one message look like another.
 */
export function isBindingMessage(text: string): boolean {
  return (
    [...text].length <= MAXIMUM_BINDING_MESSAGE_LENGTH &&
    text.isWellFormed() &&
    /^[\p{L}\p{M}\p{N}\p{P}\p{S}]+(?: [\p{L}\p{M}\p{N}\p{P}\p{S}]+)*$/u.test(text)
  );
}

/** The texts under which a request is counted. The kind is in front and a line feed between the parts, which neither can contain. */
export function requestLimitKeys({
  clientId,
  hint,
}: {
  readonly clientId: string;
  readonly hint: string;
}): readonly [client: string, person: string] {
  return [`backchannel_client\n${clientId}`, `backchannel_client_person\n${clientId}\n${hint.replaceAll('\n', ' ')}`];
}
