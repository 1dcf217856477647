/**
 * The one connection to Redis, where there is one: for what may be forgotten and must be fast. Nothing waits for it longer than a
 * moment: whoever asks is told that it is unavailable and does without. After a fault it is left alone for some seconds, so that a
 * Redis that hangs costs one request its moment and not every one. Told once when it goes, and once when it is back.
 */
import { Redis } from 'ioredis';

export type RedisAnswer<Result> =
  | { readonly outcome: 'done'; readonly result: Result }
  | { readonly outcome: 'unavailable' };

export interface RedisConnection {
  /** Never rejects: whatever goes wrong makes Redis unavailable, a wrong answer too. What was begun may still happen. */
  use<Result>(work: (client: Redis) => Promise<Result>): Promise<RedisAnswer<Result>>;
  /** Asks now, unless a fault is so recent that nobody may. */
  isAvailable(): Promise<boolean>;
  close(): void;
}

export interface RedisOptions {
  readonly url: string;
  /** Called once for each time it goes, with what it said last; never with what was sent, the password among it. */
  readonly onLost: (reason: string) => void;
  readonly onBack: () => void;
  /** How long one use may take, with everything in it. */
  readonly timeLimitMilliseconds?: number;
  readonly pauseMilliseconds?: number;
}

/** A switch costs more than a slow answer does: what was counted here is not known there. */
const defaultTimeLimitMilliseconds = 500;
const tickMilliseconds = 25;
const defaultPauseMilliseconds = 5_000;

/** Connects when it is first used. */
export function openRedis(options: RedisOptions): RedisConnection {
  const timeLimitMilliseconds = options.timeLimitMilliseconds ?? defaultTimeLimitMilliseconds;
  const pauseMilliseconds = options.pauseMilliseconds ?? defaultPauseMilliseconds;
  const client = new Redis(options.url, {
    lazyConnect: true,
    connectionName: 'poort',
    // Sent later, a command would count what somebody else has counted meanwhile.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    connectTimeout: 2_000,
    // A server that hangs does not say goodbye either.
    disconnectTimeout: 100,
    // After a change of masters the old one only reads: the address leads to the new one.
    reconnectOnError: (fault) => fault.message.startsWith('READONLY'),
  });
  // Told where it is used; an error that nobody hears ends the process.
  let refusal: Error | undefined;
  client.on('error', (fault: Error) => {
    refusal = fault;
  });
  client.on('ready', () => {
    refusal = undefined;
  });
  let opening: Promise<void> | undefined;
  let lost = false;
  let notBefore = 0;

  /** Everybody waits for the first connection; after that, who finds none is told so at once. */
  function open(): Promise<void> {
    opening ??= client.connect().catch(() => undefined);
    return opening;
  }

  async function ask<Result>(work: (client: Redis) => Promise<Result>): Promise<RedisAnswer<Result>> {
    // Only one asks whether it is back; the others do without meanwhile.
    const isTrial = lost;
    if (isTrial && performance.now() < notBefore) return { outcome: 'unavailable' };
    if (isTrial) notBefore = performance.now() + pauseMilliseconds;
    try {
      const result = await within(
        timeLimitMilliseconds,
        open().then(async () => {
          if (isTrial) await tryToWrite(client);
          return work(client);
        }),
      );
      // What was asked before it went says nothing of how it is now.
      if (isTrial && lost) {
        lost = false;
        options.onBack();
      }
      return { outcome: 'done', result };
    } catch (fault) {
      const isFirst = !lost;
      lost = true;
      notBefore = performance.now() + pauseMilliseconds;
      // What hangs on this connection hangs for whoever comes next: a new one.
      const hangs = fault instanceof TimeLimitPassed && connectedStates.has(client.status);
      if (hangs && (isFirst || isTrial)) client.disconnect(true);
      // Without a connection the command only knows that there is none.
      if (isFirst) options.onLost(messageOf(refusal ?? fault));
      return { outcome: 'unavailable' };
    }
  }

  return {
    use: ask,
    async isAvailable() {
      const answer = await ask(tryToWrite);
      return answer.outcome === 'done';
    },
    close() {
      client.disconnect();
    },
  };
}

/** One that is full or only reads answers a ping, and counts nothing. */
async function tryToWrite(client: Redis): Promise<void> {
  await client.set('poort:written', '1', 'EX', 60);
}

function messageOf(fault: unknown): string {
  return fault instanceof Error ? fault.message : String(fault);
}

/** There is a socket; `ready` once the server said that it serves. */
const connectedStates: ReadonlySet<string> = new Set(['connect', 'ready']);

class TimeLimitPassed extends Error {
  constructor(milliseconds: number) {
    super(`Redis did not answer within ${milliseconds} ms`);
    this.name = 'TimeLimitPassed';
  }
}

/**
 * Waits in small steps: while this process is too busy to look, no more than one of them passes. An answer that lies in the socket
 * already must not count as one that never came.
 */
async function within<Result>(milliseconds: number, work: Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    let remaining = milliseconds;
    timer = setInterval(() => {
      remaining -= tickMilliseconds;
      if (remaining <= 0) reject(new TimeLimitPassed(milliseconds));
    }, tickMilliseconds);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearInterval(timer);
  }
}
