/** When a long-running command is asked to end. It owns what a second request means; what ending takes is for the command. */

/** A terminal tells npm and us at once, and npm tells us again: the same wish that came by two ways. */
const sameWishMilliseconds = 500;

/**
 * Resolves at the first SIGTERM, SIGINT or SIGHUP. Whoever asks again does not want to wait for the rest: the process exits
 * at once, and what hangs on it (the embedded database, the demo application) follows it.
 */
export function untilAskedToStop(): Promise<void> {
  return new Promise((resolve) => {
    let askedAt: number | undefined;
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (askedAt !== undefined && performance.now() - askedAt > sameWishMilliseconds) process.exit(1);
        askedAt ??= performance.now();
        resolve();
      });
    }
  });
}
