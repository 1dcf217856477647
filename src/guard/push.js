/**
 * This file owns the ear at Poort's stream of what ends (`GET {issuer}/api/v1/events`, server-sent events): it listens, says whether it
 * hears, and comes back when it is cut off. It does not decide what a message means.
 */
import { createParser } from 'eventsource-parser';

/** Poort says that it is there every 25 seconds. */
const silenceMilliseconds = 60_000;
const firstPauseMilliseconds = 500;
const longestPauseMilliseconds = 30_000;

/**
 * @param {object} options
 * @param {(message: object) => void} options.onMessage
 * @param {(isFirst: boolean) => void} options.onReset something may have been missed; `isFirst` when the ear has only just opened
 * @param {(state: { state: 'listening' | 'lost' } | { state: 'told', type: string }) => void} options.onPush
 */
export function createPush({ client, clock, onMessage, onReset, onPush, onFault }) {
  let isStarted = false;
  let isClosed = false;
  let wasOpen = false;
  let heardAt;
  let stream;
  let wake = () => undefined;

  const isAlive = () => heardAt !== undefined && Math.abs(clock().getTime() - heardAt) < silenceMilliseconds;

  async function keepListening() {
    let pauseMilliseconds = firstPauseMilliseconds;
    while (!isClosed) {
      try {
        await hear(() => {
          pauseMilliseconds = firstPauseMilliseconds;
        });
      } catch (fault) {
        if (!isClosed) onFault(fault);
      }
      if (heardAt !== undefined) {
        heardAt = undefined;
        say({ state: 'lost' });
      }
      if (isClosed) return;
      // Not all at the same moment: a server that comes back would fall again.
      await pause(pauseMilliseconds * (0.5 + Math.random() / 2));
      pauseMilliseconds = Math.min(pauseMilliseconds * 2, longestPauseMilliseconds);
    }
  }

  async function hear(opened) {
    stream = new AbortController();
    const body = await client.openEvents(stream.signal);
    opened();
    heardAt = clock().getTime();
    onReset(!wasOpen);
    wasOpen = true;
    say({ state: 'listening' });
    let isGreeted = false;
    const parser = createParser({
      onEvent({ event, data }) {
        // Poort begins by saying that nothing is told again; that is done, a moment ago.
        const isGreeting = event === 'reset' && !isGreeted;
        isGreeted = true;
        if (!isGreeting) told(event, data);
      },
    });
    const decoder = new TextDecoder();
    for await (const chunk of body) {
      heardAt = clock().getTime();
      parser.feed(decoder.decode(chunk, { stream: true }));
    }
  }

  function told(event, data) {
    const message = parsed(data);
    // What cannot be read may have meant anything.
    if (event === 'reset' || message === undefined) onReset(false);
    else onMessage(message);
    say({ state: 'told', type: event ?? 'message' });
  }

  /** Whoever listens to us must not be able to make us deaf. */
  function say(state) {
    try {
      onPush(state);
    } catch (fault) {
      onFault(fault);
    }
  }

  function pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      timer.unref();
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  return {
    /** To be called at every request: begins to listen, and cuts off a stream that has gone silent, to open it anew. */
    listen() {
      if (!isStarted && !isClosed) void keepListening();
      isStarted = true;
      if (heardAt !== undefined && !isAlive()) stream.abort();
    },

    /** Whether what ends is heard at this moment. */
    isAlive,

    close() {
      isClosed = true;
      stream?.abort();
      wake();
    },
  };
}

function parsed(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
