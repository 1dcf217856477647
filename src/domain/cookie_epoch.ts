/**
 * Which keys a browser's cookies are signed with and believed under. Time is cut into epochs of one length, each with a key of its
 * own; how a key comes from the number of its epoch is not decided here.
 */

export interface CookieEpochRules {
  readonly epochSeconds: number;
  /** How long a signed cookie may stay in a browser. */
  readonly longestCookieSeconds: number;
}

/**
 * The epochs that count now: first the present one, which signs; then those before it under which a cookie may still be in a browser;
 * last the one to come, because another process whose clock is ahead may be in it already.
 */
export function cookieEpochs(now: Date, { epochSeconds, longestCookieSeconds }: CookieEpochRules): readonly number[] {
  const present = Math.floor(now.getTime() / 1000 / epochSeconds);
  const past = Math.ceil(longestCookieSeconds / epochSeconds);
  return [...Array.from({ length: past + 1 }, (_, back) => present - back), present + 1];
}
