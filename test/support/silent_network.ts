/** A network between the product and its database that can swallow everything without closing a connection. */
import { connect, createServer, type Socket } from 'node:net';

export interface SilentNetwork {
  /** The same database, through this network. */
  readonly url: string;
  swallow(everything: boolean): void;
  close(): Promise<void>;
}

export async function startSilentNetwork(databaseUrl: string): Promise<SilentNetwork> {
  const { hostname, port: databasePort } = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let silent = false;
  const server = createServer((near) => {
    const far = connect(Number(databasePort), hostname);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('data', (bytes) => {
        if (!silent) to.write(bytes);
      });
      from.on('error', () => undefined);
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      if (typeof address === 'object' && address !== null) resolve(address.port);
      else reject(new Error('no port'));
    });
  });
  const through = new URL(databaseUrl);
  through.port = String(port);
  return {
    url: through.href,
    swallow(everything) {
      silent = everything;
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
