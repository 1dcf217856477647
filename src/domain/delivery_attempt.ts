/**
 * This file owns what a failed or successful attempt to deliver something means, a logout token or a mail: that it is done, when it is
 * tried again, or that it is given up. It sends nothing and reads no clock.
 */

/** The part of the settings that this file reads (config/default.yaml, `backchannel_logout` and `mail`). */
export interface RetrySettings {
  readonly maximumAttempts: number;
  readonly firstRetrySeconds: number;
  readonly maximumRetrySeconds: number;
}

export type AttemptJudgement =
  | { readonly state: 'delivered' }
  | { readonly state: 'waiting'; readonly dueAt: Date; readonly problem: string }
  | { readonly state: 'dead'; readonly problem: string };

/**
 * Pauses double from the first to the longest. The moment is drawn from the second half of the pause, so that those who failed
 * together do not come back together. `random` is from 0 to 1.
 */
export function judgeAttempt({ problem, attempt, settings, now, random }: Attempt): AttemptJudgement {
  if (problem === undefined) return { state: 'delivered' };
  if (attempt >= settings.maximumAttempts) return { state: 'dead', problem };
  const pauseSeconds = Math.min(settings.maximumRetrySeconds, settings.firstRetrySeconds * 2 ** (attempt - 1));
  const dueAt = new Date(now.getTime() + pauseSeconds * 1000 * (0.5 + random / 2));
  return { state: 'waiting', dueAt, problem };
}

export interface Attempt {
  /** Undefined when it succeeded. */
  readonly problem: string | undefined;
  /** 1 for the first. */
  readonly attempt: number;
  readonly settings: RetrySettings;
  readonly now: Date;
  readonly random: number;
}
