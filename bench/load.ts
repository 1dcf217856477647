/**
 * Puts load on a server: some connections, each of which sends one request after another as its script says, and a clock.
 * Every answer is judged by the script; nothing is retried, so that a refusal can't hide in a good average. Knows nothing
 * of OAuth and nothing of rounds.
 */
import { performance } from 'node:perf_hooks';
import { HttpConnection, type HttpResponse, type HttpTarget } from './http_connection.ts';

export interface Exchange {
  readonly request: string;
  /** Whether this is the answer a working server gives. Scripts read what they need for their next request here. */
  readonly accepts: (response: HttpResponse) => boolean;
}

/** What one connection does: its next exchange, or undefined when it has nothing left to ask. */
export type Script = () => Exchange | undefined;

export interface Slice {
  /** Accepted answers inside the measured time. */
  readonly completed: number;
  readonly measuredMilliseconds: number;
  readonly latenciesMilliseconds: readonly number[];
  /** Answers that were not accepted, at any time, and the first of them in words. */
  readonly refused: number;
  readonly firstRefusal: string | undefined;
}

/**
 * Runs one script per connection: `leadInMilliseconds` that do not count (connections, caches), then
 * `measuredMilliseconds` that do. Ends earlier when every script has nothing left. Requests in flight at the end are
 * waited for, so that no chain of tokens loses its newest member.
 */
export async function putLoad(input: {
  readonly target: HttpTarget;
  readonly scripts: readonly Script[];
  readonly leadInMilliseconds: number;
  readonly measuredMilliseconds: number;
}): Promise<Slice> {
  const connections = await Promise.all(input.scripts.map(() => HttpConnection.open(input.target)));
  const latenciesMilliseconds: number[] = [];
  let refused = 0;
  let firstRefusal: string | undefined;
  const startedAt = performance.now() + input.leadInMilliseconds;
  const endsAt = startedAt + input.measuredMilliseconds;
  let lastAnswerAt = startedAt;
  let exhausted = false;

  const refuse = (reason: string): void => {
    refused += 1;
    firstRefusal ??= reason;
  };
  const runScript = async (connection: HttpConnection, script: Script): Promise<void> => {
    while (performance.now() < endsAt) {
      const exchange = script();
      if (exchange === undefined) {
        exhausted = true;
        return;
      }
      const sentAt = performance.now();
      try {
        const response = await connection.exchange(exchange.request);
        const answeredAt = performance.now();
        if (!exchange.accepts(response)) {
          refuse(describeRefusal(exchange, response));
          continue;
        }
        if (answeredAt < startedAt || answeredAt > endsAt) continue;
        latenciesMilliseconds.push(answeredAt - sentAt);
        lastAnswerAt = answeredAt;
      } catch (error) {
        refuse(`${firstLine(exchange.request)} → ${error instanceof Error ? error.message : String(error)}`);
        return;
      }
    }
  };
  try {
    await Promise.all(
      input.scripts.map((script, index) => {
        const connection = connections[index];
        if (connection === undefined) throw new Error('one connection per script');
        return runScript(connection, script);
      }),
    );
  } finally {
    for (const connection of connections) connection.close();
  }
  if (latenciesMilliseconds.length === 0 && input.leadInMilliseconds > 0) refuse('no answer in the measured time');
  return {
    completed: latenciesMilliseconds.length,
    measuredMilliseconds: (exhausted ? lastAnswerAt : endsAt) - startedAt,
    latenciesMilliseconds,
    refused,
    firstRefusal,
  };
}

/** Sends a fixed piece of work, on as many connections as there are scripts. Throws at the first answer refused. */
export async function carryOut(target: HttpTarget, scripts: readonly Script[]): Promise<void> {
  const slice = await putLoad({
    target,
    scripts,
    leadInMilliseconds: 0,
    measuredMilliseconds: Number.POSITIVE_INFINITY,
  });
  if (slice.firstRefusal !== undefined) throw new Error(slice.firstRefusal);
}

function describeRefusal(exchange: Exchange, response: HttpResponse): string {
  return `${firstLine(exchange.request)} → ${response.status} ${response.body.slice(0, 300)}`;
}

function firstLine(request: string): string {
  // Without the query: it holds what a person signed in for.
  return request.slice(0, request.indexOf('\r\n')).replace(/\?\S*/, '?…');
}
