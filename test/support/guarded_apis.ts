/** The same small API behind the same guards on Koa, Express and node:http, as three programs would have it. */
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import Koa from 'koa';
import { type Auth, guarded, type Middleware } from '#src/guard/guard.js';
import type { MovableClock } from './test_server.ts';

export const faces = ['koa', 'express', 'node:http'] as const;
export type Face = (typeof faces)[number];

export interface GuardedApi {
  readonly origin: string;
  /** Sends headers as they are, also twice (a list), and any address. */
  call(options?: CallOptions): Promise<ApiAnswer>;
  close(): Promise<void>;
}

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly path?: string;
  readonly method?: string;
}

export interface ApiAnswer {
  readonly status: number;
  /** All values of WWW-Authenticate. */
  readonly challenges: readonly string[];
  readonly headers: IncomingMessage['headers'];
  readonly json: Readonly<Record<string, unknown>>;
}

/** Answers 200 with `{ "auth": … }` when all guards let the request through. */
export async function startGuardedApi(face: Face, guards: readonly Middleware[]): Promise<GuardedApi> {
  const server = { koa, express: onExpress, 'node:http': plain }[face](guards);
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // a TCP server's address has this shape
  return {
    origin: `http://127.0.0.1:${port}`,
    call: (options = {}) => call(port, options),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function koa(guards: readonly Middleware[]): Server {
  const app = new Koa();
  app.silent = true;
  for (const guard of guards) app.use(guard);
  app.use((ctx) => {
    ctx.body = { auth: ctx.state['auth'] ?? null };
  });
  return createServer(app.callback());
}

function onExpress(guards: readonly Middleware[]): Server {
  const app = express();
  // A router of its own, so that `req.url` is not what the caller sent.
  const router = express.Router();
  for (const guard of guards) router.use(guard);
  router.use((request, response) => void response.json({ auth: authOf(request) ?? null }));
  app.use('/mounted', router);
  app.use(router);
  return createServer(app);
}

function plain(guards: readonly Middleware[]): Server {
  const listener = guarded(...guards, (request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ auth: request.auth ?? null }));
  });
  return createServer((request, response) => void listener(request, response));
}

function authOf(request: IncomingMessage & { readonly auth?: Auth }): Auth | undefined {
  return request.auth;
}

function call(port: number, { headers = {}, path = '/', method = 'GET' }: CallOptions): Promise<ApiAnswer> {
  return new Promise((resolve, reject) => {
    const flat = Object.entries(headers).flatMap(([name, value]) =>
      (typeof value === 'string' ? [value] : value).flatMap((one) => [name, one]),
    );
    const request = httpRequest(
      { host: '127.0.0.1', port, path, method, agent: false, headers: ['host', `127.0.0.1:${port}`, ...flat] },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          resolve({
            status: response.statusCode ?? 0,
            challenges: challengesOf(response.rawHeaders),
            headers: response.headers,
            json: text.startsWith('{') ? JSON.parse(text) : {},
          });
        });
      },
    );
    request.once('error', reject);
    request.end();
  });
}

function challengesOf(rawHeaders: readonly string[]): readonly string[] {
  return rawHeaders.flatMap((name, index) =>
    index % 2 === 0 && name.toLowerCase() === 'www-authenticate' ? [rawHeaders[index + 1] ?? ''] : [],
  );
}

/** A clock that stands still until it is moved: what is kept for a second must not run out because the machine is busy. */
export function createStillClock(): MovableClock {
  let now = Date.now();
  return {
    clock: () => new Date(now),
    advance(seconds) {
      now += seconds * 1_000;
    },
  };
}

/** A `fetch` whose requests are counted by path, and that can be cut off. */
export interface WatchedFetch {
  readonly fetch: typeof globalThis.fetch;
  count(path: string): number;
  cut(isCut: boolean): void;
  /** Answers this path instead of the server; undefined gives it back. */
  answer(path: string, response: (() => Response | Promise<Response>) | undefined): void;
}

export function watchFetch(): WatchedFetch {
  const paths: string[] = [];
  const answers = new Map<string, () => Response | Promise<Response>>();
  let isCut = false;
  const ending = (path: string) => (seen: string) => seen.endsWith(path);
  return {
    async fetch(input, init) {
      const { pathname } = new URL(String(input));
      paths.push(pathname);
      if (isCut) throw new TypeError('fetch failed');
      const answer = [...answers].find(([path]) => pathname.endsWith(path))?.[1];
      return answer === undefined ? fetch(input, init) : answer();
    },
    count: (path) => paths.filter(ending(path)).length,
    cut(value) {
      isCut = value;
    },
    answer(path, response) {
      if (response === undefined) answers.delete(path);
      else answers.set(path, response);
    },
  };
}
