/**
 * The only way out: every HTTP request that Poort makes itself, to addresses that clients registered. A name is resolved once,
 * its addresses are judged, and the connection goes to those and no other; nothing is redirected, no proxy is taken from the
 * environment, and a stranger's server gets a bounded share of time, bytes and connections. Where calls may go is decided in
 * `#src/domain/egress.ts`.
 */
import { lookup } from 'node:dns/promises';
import { Agent as PlainAgent, request as plainRequest, type RequestOptions } from 'node:http';
import { Agent as SecureAgent, request as secureRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import {
  type EgressPermissions,
  type EgressRefusal,
  type EgressTarget,
  egressPermissions,
  judgeAddresses,
  judgeHost,
  parseEgressTarget,
} from '#src/domain/egress.ts';
import { aside } from '#src/foundation/lane.ts';

export interface EgressSettings {
  /** Hosts and networks that may be reached although they are private, and by plain http. */
  readonly allowed: readonly string[];
  /** For the whole call: waiting for its turn, resolving, connecting, and the last byte of the answer. */
  readonly timeLimitSeconds: number;
  readonly maximumBodyBytes: number;
  /** Calls to one host at the same time; others wait, and their time runs. */
  readonly maximumPerHost: number;
}

export interface EgressCall {
  readonly url: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal | undefined;
}

export type EgressAnswer =
  | {
      readonly outcome: 'answered';
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: Buffer;
    }
  /** Nothing was sent: the address is not one that may be called. */
  | { readonly outcome: 'refused'; readonly reason: EgressRefusal }
  /** Whether it arrived is not known. `detail` is for operators. */
  | { readonly outcome: 'failed'; readonly reason: EgressFailure; readonly detail: string };

export type EgressFailure =
  | 'unknown_host'
  | 'timed_out'
  | 'aborted'
  | 'unreachable'
  | 'untrusted_certificate'
  | 'answer_too_large'
  | 'answer_encoded';

export interface Egress {
  call(call: EgressCall): Promise<EgressAnswer>;
  /**
   * The same in the shape of `fetch`, for the engine. Of the options it heeds method, headers, body (as text) and signal, and
   * nothing that would choose another way out. Rejects with a `TypeError` when there is no answer.
   */
  readonly fetch: (url: string | URL | Request, options?: RequestInit) => Promise<Response>;
}

export interface EgressSurroundings {
  /** Addresses of a name, as text. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  /** Certificate authorities in PEM; those of Node unless given. */
  readonly certificateAuthorities?: readonly string[];
}

const maximumHeaderBytes = 16_384;

export function createEgress(settings: EgressSettings, surroundings: EgressSurroundings = {}): Egress {
  const permissions = egressPermissions(settings.allowed);
  const resolve = surroundings.resolve ?? resolveByTheSystem;
  const turns = createTurns(settings.maximumPerHost);
  // Agents of our own: the global ones may have been told to use a proxy. No connection is kept, so none can be reused for a
  // host whose addresses were judged at another time.
  const agents = {
    plain: new PlainAgent({ keepAlive: false }),
    secure: new SecureAgent({
      keepAlive: false,
      rejectUnauthorized: true,
      ...(surroundings.certificateAuthorities === undefined ? {} : { ca: [...surroundings.certificateAuthorities] }),
    }),
  };

  async function call(given: EgressCall): Promise<EgressAnswer> {
    const parsed = parseEgressTarget(given.url);
    if (parsed.outcome === 'refused') return parsed;
    const { target } = parsed;
    const refusal = judgeHost(target, permissions);
    if (refusal !== undefined) return { outcome: 'refused', reason: refusal };

    const timeLimit = AbortSignal.timeout(settings.timeLimitSeconds * 1000);
    const signal = given.signal === undefined ? timeLimit : AbortSignal.any([timeLimit, given.signal]);
    try {
      return await aside(() =>
        turns.take(target.host, signal, async () => {
          const addresses = await pinned(target, permissions, signal);
          if (addresses.outcome !== 'pinned') return addresses;
          return send({ target, given, addresses: addresses.list, signal });
        }),
      );
    } catch (fault) {
      if (!signal.aborted) throw fault;
      const limit = settings.timeLimitSeconds;
      return timeLimit.aborted
        ? { outcome: 'failed', reason: 'timed_out', detail: `no complete answer within ${limit} s` }
        : { outcome: 'failed', reason: 'aborted', detail: 'the caller gave up' };
    }
  }

  /** The one look at the name. */
  async function pinned(
    target: EgressTarget,
    allowed: EgressPermissions,
    signal: AbortSignal,
  ): Promise<{ readonly outcome: 'pinned'; readonly list: readonly string[] } | EgressAnswer> {
    const list = isIP(target.host) === 0 ? await known(target.host, signal) : [target.host];
    if (list.length === 0)
      return { outcome: 'failed', reason: 'unknown_host', detail: `${target.host} has no address` };
    const reason = judgeAddresses(target, list, allowed);
    return reason === undefined ? { outcome: 'pinned', list } : { outcome: 'refused', reason };
  }

  async function known(host: string, signal: AbortSignal): Promise<readonly string[]> {
    // The system's resolver cannot be stopped: who waits for it can.
    return untilAborted(
      signal,
      resolve(host).catch(() => []),
    );
  }

  function send({ target, given, addresses, signal }: Sending): Promise<EgressAnswer> {
    const options: RequestOptions = {
      method: given.method ?? 'GET',
      host: target.host,
      port: target.port,
      path: target.path,
      headers: { 'user-agent': 'Poort', ...given.headers, 'accept-encoding': 'identity' },
      agent: target.secure ? agents.secure : agents.plain,
      lookup: answerWith(addresses),
      maxHeaderSize: maximumHeaderBytes,
      signal,
    };
    return new Promise((settle, reject) => {
      const failed = (fault: Error): void => (signal.aborted ? reject(fault) : settle(failureOf(fault)));
      const cutOff = (): void => failed(new Error('the connection was closed before the answer was complete'));
      let isAnswering = false;
      const request = (target.secure ? secureRequest : plainRequest)(options, (response) => {
        isAnswering = true;
        const { headers } = response;
        // After 'end' it says nothing new.
        response.on('close', cutOff);
        if ((headers['content-encoding'] ?? 'identity') !== 'identity') {
          request.destroy();
          settle({ outcome: 'failed', reason: 'answer_encoded', detail: 'the answer is compressed' });
          return;
        }
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes <= settings.maximumBodyBytes) return chunks.push(chunk);
          const detail = `the answer has more than ${settings.maximumBodyBytes} bytes`;
          settle({ outcome: 'failed', reason: 'answer_too_large', detail });
          return request.destroy();
        });
        response.on('error', failed);
        response.on('end', () =>
          settle({
            outcome: 'answered',
            status: response.statusCode ?? 0,
            headers: Object.fromEntries(
              Object.entries(headers).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])),
            ),
            body: Buffer.concat(chunks),
          }),
        );
      });
      request.on('error', failed);
      request.on('close', () => {
        if (!isAnswering) cutOff();
      });
      request.end(given.body);
    });
  }

  return {
    call,

    async fetch(url, options = {}) {
      const answer = await call({
        url: url instanceof Request ? url.url : String(url),
        method: options.method ?? 'GET',
        headers: Object.fromEntries(new Headers(options.headers)),
        ...(options.body === undefined || options.body === null ? {} : { body: String(options.body) }),
        signal: options.signal ?? undefined,
      });
      if (answer.outcome === 'answered') return toResponse(answer);
      const detail = answer.outcome === 'failed' ? `${answer.reason}: ${answer.detail}` : answer.reason;
      throw new TypeError('fetch failed', { cause: new Error(detail) });
    },
  };
}

interface Sending {
  readonly target: EgressTarget;
  readonly given: EgressCall;
  readonly addresses: readonly string[];
  readonly signal: AbortSignal;
}

async function resolveByTheSystem(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true, verbatim: true })).map(({ address }) => address);
}

/** In place of the system's resolver: whatever the connection asks for, it gets the addresses that were judged. */
function answerWith(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIP(address) }));
  return (_host, options, callback) => {
    const [first = { address: '', family: 4 }] = all;
    if (options.all === true) callback(null, all);
    else callback(null, first.address, first.family);
  };
}

function failureOf(fault: Error): EgressAnswer {
  const code = 'code' in fault && typeof fault.code === 'string' ? fault.code : '';
  const isCertificate = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS/.test(code);
  return {
    outcome: 'failed',
    reason: isCertificate ? 'untrusted_certificate' : 'unreachable',
    detail: code === '' ? fault.message : code,
  };
}

const withoutBody: ReadonlySet<number> = new Set([204, 205, 304]);

function toResponse({ status, headers, body }: Extract<EgressAnswer, { outcome: 'answered' }>): Response {
  return new Response(withoutBody.has(status) ? null : new Uint8Array(body), { status, headers: { ...headers } });
}

interface Turns {
  /** Runs `work` when the host has room; rejects when the signal comes first. */
  take<Result>(host: string, signal: AbortSignal, work: () => Promise<Result>): Promise<Result>;
}

/** One slow host may not use up everything: only so many calls to it are under way at once. */
function createTurns(maximum: number): Turns {
  const hosts = new Map<string, { running: number; readonly waiting: (() => void)[] }>();

  async function enter(host: string, signal: AbortSignal): Promise<void> {
    const queue = hosts.get(host) ?? { running: 0, waiting: [] };
    hosts.set(host, queue);
    if (queue.running < maximum) {
      queue.running += 1;
      return;
    }
    const turn = Promise.withResolvers<void>();
    queue.waiting.push(turn.resolve);
    try {
      await untilAborted(signal, turn.promise);
    } catch (fault) {
      const at = queue.waiting.indexOf(turn.resolve);
      // Its turn came at the very moment it gave up: the next one has it.
      if (at === -1) leave(host);
      else queue.waiting.splice(at, 1);
      throw fault;
    }
  }

  function leave(host: string): void {
    const queue = hosts.get(host);
    if (queue === undefined) return;
    const next = queue.waiting.shift();
    if (next !== undefined) {
      next();
      return;
    }
    queue.running -= 1;
    if (queue.running === 0) hosts.delete(host);
  }

  return {
    async take(host, signal, work) {
      await enter(host, signal);
      try {
        return await work();
      } finally {
        leave(host);
      }
    },
  };
}

function untilAborted<Result>(signal: AbortSignal, waiting: Promise<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(new Error('aborted', { cause: signal.reason }));
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    waiting.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
