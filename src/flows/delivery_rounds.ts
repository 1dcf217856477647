/** What every outbox has in common: rounds until nothing is due any more, counted. What is delivered, and how, each outbox knows itself. */

export interface DeliveryCounts {
  readonly delivered: number;
  readonly postponed: number;
  readonly dead: number;
}

/** What became of one attempt. The last: its lease was over, and another worker says what became of it. */
export type DeliveryState = 'delivered' | 'waiting' | 'dead' | 'somebody else’s';

/** Repeats the round until it finds nothing, or until `signal` is aborted. */
export async function deliverInRounds(
  round: () => Promise<readonly DeliveryState[]>,
  signal: AbortSignal | undefined,
): Promise<DeliveryCounts> {
  const total = { delivered: 0, postponed: 0, dead: 0 };
  let progress: boolean;
  do {
    const states = await round();
    for (const state of states) {
      if (state === 'delivered') total.delivered += 1;
      if (state === 'waiting') total.postponed += 1;
      if (state === 'dead') total.dead += 1;
    }
    progress = states.length > 0 && signal?.aborted !== true;
  } while (progress);
  return total;
}

/** Like `Promise.all`, but leaves nothing running behind a fault. */
export async function allOf<Result>(running: readonly Promise<Result>[]): Promise<readonly Result[]> {
  const settled = await Promise.allSettled(running);
  return settled.map((one) => {
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  });
}
