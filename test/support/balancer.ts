/** What stands in front of several servers of one installation: each request goes to the next of them, nothing sticks. */
import { createServer, request as send } from 'node:http';
import { freePort } from './test_server.ts';

export interface Balancer {
  readonly origin: string;
  /** From now on requests go to these ports; those under way finish where they are. */
  useServers(ports: readonly number[]): void;
  close(): Promise<void>;
}

export async function startBalancer(): Promise<Balancer> {
  const port = await freePort();
  let ports: readonly number[] = [];
  let turn = 0;
  const server = createServer((request, response) => {
    turn += 1;
    const { method, url, headers } = request;
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
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    origin: `http://localhost:${port}`,
    useServers(chosen) {
      ports = chosen;
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
