/** What stands in front of the servers of one installation: each request goes to the next of them, nothing sticks. */
import { createServer, type IncomingMessage, type RequestListener, request as send } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { IssuedCertificate } from './certificates.ts';
import { freePort } from './test_server.ts';

/** What it says itself, instead of asking a server: a limit, or maintenance. */
export interface OwnAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface BalancerOptions {
  /** Ends TLS with it. */
  readonly certificate?: IssuedCertificate;
  /** The Host that the servers know, when whoever asks here uses another. */
  readonly host?: string;
  readonly answer?: (request: IncomingMessage) => OwnAnswer | undefined;
}

export interface Balancer {
  readonly origin: string;
  /** From now on requests go to these ports; those under way finish where they are. */
  useServers(ports: readonly number[]): void;
  close(): Promise<void>;
}

export async function startBalancer({
  certificate,
  host,
  answer: answerItself,
}: BalancerOptions = {}): Promise<Balancer> {
  const port = await freePort();
  let ports: readonly number[] = [];
  let turn = 0;
  const listener: RequestListener = (request, response) => {
    const own = answerItself?.(request);
    if (own !== undefined) {
      request.resume();
      response.writeHead(own.status, own.headers).end();
      return;
    }
    turn += 1;
    const { method, url } = request;
    const headers = host === undefined ? request.headers : { ...request.headers, host };
    const target = { host: '127.0.0.1', port: ports[turn % ports.length], method, path: url, headers, agent: false };
    const forwarded = send(target, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      answer.pipe(response);
    });
    forwarded.on('error', () => {
      if (!response.headersSent) response.writeHead(502);
      response.end();
    });
    request.pipe(forwarded);
  };
  const { certificate: cert, key } = certificate ?? {};
  const server = certificate === undefined ? createServer(listener) : createSecureServer({ cert, key }, listener);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    origin: `${certificate === undefined ? 'http' : 'https'}://localhost:${port}`,
    useServers(chosen) {
      ports = chosen;
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
