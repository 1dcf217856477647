/**
 * HTTP as an attacker writes it: bytes on a socket. `fetch` and `node:http` repair or refuse what is wrong with a request; here
 * two Host headers, a NUL in the path or a body that lies about its length arrive as they were written.
 */
import { connect, type Socket } from 'node:net';

export type HeaderList = readonly (readonly [name: string, value: string])[];

export interface RawRequest {
  readonly method?: string;
  /** As it stands in the request line. */
  readonly target: string;
  /** All of them; only `Connection: close` and, with a body, `Content-Length` are added. */
  readonly headers: HeaderList;
  readonly body?: string | Buffer;
  /** Sends the body in chunks of this size and says nothing of its length. */
  readonly chunkBytes?: number;
  readonly version?: '1.0' | '1.1';
}

export interface RawAnswer {
  /** 0: the connection was closed without an answer. */
  readonly status: number;
  readonly headers: HeaderList;
  readonly body: string;
  header(name: string): string | undefined;
}

const patienceMilliseconds = 20_000;

/** Sends one request on a connection of its own and reads until the server closes it. Rejects when the server does not. */
export function sendRaw(port: number, request: RawRequest): Promise<RawAnswer> {
  return exchangeBytes(port, requestBytes(request)).then(parseAnswer);
}

/** Writes bytes, half-closes nothing, and reads whatever comes until the server closes the connection. */
export function exchangeBytes(port: number, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    const received: Buffer[] = [];
    socket.setTimeout(patienceMilliseconds, () => socket.destroy(new Error('the server neither answers nor closes')));
    socket.on('data', (chunk) => void received.push(chunk));
    // A server that refuses while we still write resets the connection; what it had said before counts.
    socket.on('error', (fault: NodeJS.ErrnoException) =>
      fault.code === 'ECONNRESET' || fault.code === 'EPIPE' ? undefined : reject(fault),
    );
    socket.on('close', () => resolve(Buffer.concat(received)));
    socket.write(bytes);
  });
}

/** A connection that stays: for what happens between the bytes of a request. */
export async function openConnection(port: number): Promise<RawConnection> {
  const socket = connect(port, '127.0.0.1');
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return new RawConnection(socket);
}

export class RawConnection {
  readonly #socket: Socket;
  #received = '';
  readonly closed: Promise<void>;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => {
      this.#received += chunk.toString('latin1');
    });
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => void socket.once('close', () => resolve()));
  }

  /** Everything received so far. */
  get received(): string {
    return this.#received;
  }

  write(text: string): void {
    this.#socket.write(text, 'latin1');
  }

  /** Resolves when what was received matches. Rejects when the connection closes or nothing comes for too long. */
  async until(pattern: RegExp): Promise<void> {
    const timer = setTimeout(() => this.#socket.destroy(), patienceMilliseconds);
    try {
      while (!pattern.test(this.#received)) {
        if (this.#socket.destroyed) throw new Error(`closed before ${pattern}: ${this.#received}`);
        await new Promise<void>((resolve) => {
          const proceed = (): void => {
            this.#socket.off('data', proceed);
            this.#socket.off('close', proceed);
            resolve();
          };
          this.#socket.on('data', proceed);
          this.#socket.on('close', proceed);
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

function requestBytes({ method = 'GET', target, headers, body, chunkBytes, version = '1.1' }: RawRequest): Buffer {
  const content = Buffer.isBuffer(body) ? body : Buffer.from(body ?? '', 'utf8');
  const framing =
    chunkBytes !== undefined
      ? [['Transfer-Encoding', 'chunked'] as const]
      : body !== undefined
        ? [['Content-Length', String(content.length)] as const]
        : [];
  const lines = [...headers, ...framing, ['Connection', 'close'] as const].map(([name, value]) => `${name}: ${value}`);
  const head = `${[`${method} ${target} HTTP/${version}`, ...lines].join('\r\n')}\r\n\r\n`;
  return Buffer.concat([
    Buffer.from(head, 'latin1'),
    chunkBytes === undefined ? content : inChunks(content, chunkBytes),
  ]);
}

function inChunks(content: Buffer, size: number): Buffer {
  const parts: Buffer[] = [];
  for (let offset = 0; offset < content.length; offset += size) {
    const chunk = content.subarray(offset, offset + size);
    parts.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n'));
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')]);
}

function parseAnswer(bytes: Buffer): RawAnswer {
  const text = bytes.toString('latin1');
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return { status: 0, headers: [], body: text, header: () => undefined };
  const [statusLine = '', ...lines] = text.slice(0, end).split('\r\n');
  const status = Number(statusLine.split(' ')[1]);
  // `100 Continue` comes before the answer.
  if (status === 100) return parseAnswer(bytes.subarray(end + 4));
  const headers = lines.map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
  });
  const header = (name: string): string | undefined => headers.find(([known]) => known === name)?.[1];
  const rest = bytes.subarray(end + 4);
  const body = header('transfer-encoding') === 'chunked' ? joinChunks(rest) : rest;
  return { status, headers, body: body.toString('utf8'), header };
}

function joinChunks(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  let offset = 0;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', offset);
    const size = lineEnd === -1 ? 0 : Number.parseInt(bytes.toString('latin1', offset, lineEnd), 16);
    if (!(size > 0)) return Buffer.concat(parts);
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    offset = lineEnd + 2 + size + 2;
  }
}
