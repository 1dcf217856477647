/** This file owns how often something may be asked for in a window that starts anew by itself. It does not own who counts, or where. */

export interface Window {
  readonly startedAt: Date;
  readonly count: number;
}

export interface Allowance {
  readonly limit: number;
  readonly windowSeconds: number;
}

export type Counted =
  | { readonly outcome: 'counted'; readonly window: Window; readonly remaining: number; readonly resetSeconds: number }
  | { readonly outcome: 'exceeded'; readonly window: Window; readonly remaining: 0; readonly resetSeconds: number };

/**
 * One more request. Of many at once one that came earlier may be counted later: that is no reason to begin anew. A clock that goes back
 * by more than a window is, rather than keeping somebody out.
 */
export function countRequest(known: Window | undefined, { limit, windowSeconds }: Allowance, now: Date): Counted {
  const age = known === undefined ? Number.NaN : now.getTime() - known.startedAt.getTime();
  const isOpen = known !== undefined && Math.abs(age) < windowSeconds * 1000;
  const before = isOpen ? known : { startedAt: now, count: 0 };
  const remainingSeconds = Math.ceil(windowSeconds - (now.getTime() - before.startedAt.getTime()) / 1000);
  const resetSeconds = Math.min(windowSeconds, Math.max(1, remainingSeconds));
  if (before.count >= limit) return { outcome: 'exceeded', window: before, remaining: 0, resetSeconds };
  const window = { ...before, count: before.count + 1 };
  return { outcome: 'counted', window, remaining: limit - window.count, resetSeconds };
}
