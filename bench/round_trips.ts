/**
 * A proxy between Poort and PostgreSQL that counts round trips: every ReadyForQuery ('Z') the server sends ends one, be
 * it a simple query or an extended-protocol batch closed by Sync (PostgreSQL, "Frontend/Backend Protocol", §55.2). In the
 * path only while counting, never while the clock runs. Reads lengths and types of messages, never their contents.
 */
import { connect, createServer, type Socket } from 'node:net';

export interface CountingProxy {
  readonly port: number;
  /** Round trips since the start, of all connections; a connection's own start-up is not one. */
  roundTrips(): number;
  stop(): Promise<void>;
}

const readyForQuery = 0x5a;

/** Listens on a free loopback port and passes everything on to the PostgreSQL server on `databasePort`. */
export async function startCountingProxy(databasePort: number): Promise<CountingProxy> {
  let count = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const database = connect(databasePort, '127.0.0.1');
    let startedUp = false;
    const countMessages = messageCounter((type) => {
      if (type !== readyForQuery) return;
      // The first one says that the connection is open: nothing has been asked yet.
      if (startedUp) count += 1;
      startedUp = true;
    });
    for (const [from, to] of [
      [client, database],
      [database, client],
    ] as const) {
      sockets.add(from);
      from.setNoDelay(true);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
    }
    client.on('data', (bytes) => database.write(bytes));
    database.on('data', (bytes) => {
      countMessages(bytes);
      client.write(bytes);
    });
  });
  const { promise: listening, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject).listen(0, '127.0.0.1', resolve);
  await listening;
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a listening TCP server has no port');
  return {
    port: address.port,
    roundTrips: () => count,
    stop: async () => {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      for (const socket of sockets) socket.destroy();
      await closed.promise;
    },
  };
}

/** Follows one stream of backend messages (one byte type, four bytes length with themselves) across chunk borders. */
function messageCounter(seen: (type: number) => void): (bytes: Buffer) => void {
  const header = Buffer.alloc(5);
  let headerBytes = 0;
  let bodyBytesLeft = 0;
  return (bytes) => {
    let position = 0;
    while (position < bytes.length) {
      if (bodyBytesLeft > 0) {
        const step = Math.min(bodyBytesLeft, bytes.length - position);
        bodyBytesLeft -= step;
        position += step;
        continue;
      }
      const step = Math.min(5 - headerBytes, bytes.length - position);
      bytes.copy(header, headerBytes, position, position + step);
      headerBytes += step;
      position += step;
      if (headerBytes < 5) return;
      headerBytes = 0;
      bodyBytesLeft = header.readUInt32BE(1) - 4;
      seen(header.readUInt8(0));
    }
  };
}
