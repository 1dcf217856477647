/**
 * One keep-alive HTTP/1.1 connection of the load driver: text in, parsed response out, one exchange at a time. It is no
 * general client (no redirects, no TLS, no pipelining): it exists because the driver shares the processor with what it
 * measures, and a full client costs as much per request as the servers do.
 */
import { connect, type Socket } from 'node:net';

export interface HttpTarget {
  readonly host: string;
  readonly port: number;
}

export interface HttpResponse {
  readonly status: number;
  /** The status line and the headers as they came. */
  readonly head: string;
  readonly body: string;
}

interface Waiting {
  readonly resolve: (response: HttpResponse) => void;
  readonly reject: (error: Error) => void;
}

export class HttpConnection {
  readonly #socket: Socket;
  #received: Buffer | undefined;
  #waiting: Waiting | undefined;
  #failure: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  /** Rejects when nobody listens there. */
  static async open(target: HttpTarget): Promise<HttpConnection> {
    const { promise: connected, resolve, reject } = Promise.withResolvers<void>();
    const socket = connect(target.port, target.host, resolve).once('error', reject);
    await connected;
    socket.removeListener('error', reject);
    return new HttpConnection(socket);
  }

  /** Sends one whole request. Rejects when the connection breaks, or when one is still in flight. */
  exchange(request: string): Promise<HttpResponse> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure);
      if (this.#waiting !== undefined) return reject(new Error('one exchange at a time'));
      this.#waiting = { resolve, reject };
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#received === undefined ? chunk : Buffer.concat([this.#received, chunk]);
    const response = readResponse(bytes);
    if (response === undefined) {
      this.#received = bytes;
      return;
    }
    this.#received = undefined;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(response);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(error);
  }
}

/** The response at the start of `bytes`, or undefined while part of it is still on its way (RFC 9112 §6). */
function readResponse(bytes: Buffer): HttpResponse | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const head = bytes.toString('latin1', 0, headEnd);
  const status = Number(head.slice(9, 12));
  const bodyStart = headEnd + 4;
  if (status === 204 || status === 304) return { status, head, body: '' };

  const lengthBytes = Number(headerValue(head, 'content-length'));
  if (!Number.isNaN(lengthBytes)) {
    if (bytes.length < bodyStart + lengthBytes) return undefined;
    return { status, head, body: bytes.toString('utf8', bodyStart, bodyStart + lengthBytes) };
  }
  if (headerValue(head, 'transfer-encoding') === 'chunked') {
    const body = readChunks(bytes, bodyStart);
    return body === undefined ? undefined : { status, head, body };
  }
  return { status, head, body: '' };
}

function readChunks(bytes: Buffer, start: number): string | undefined {
  const chunks: Buffer[] = [];
  let position = start;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', position);
    if (lineEnd < 0) return undefined;
    const sizeBytes = Number.parseInt(bytes.toString('latin1', position, lineEnd), 16);
    const chunkStart = lineEnd + 2;
    if (bytes.length < chunkStart + sizeBytes + 2) return undefined;
    if (sizeBytes === 0) return Buffer.concat(chunks).toString('utf8');
    chunks.push(bytes.subarray(chunkStart, chunkStart + sizeBytes));
    position = chunkStart + sizeBytes + 2;
  }
}

/** The value of one header of a response's head, or undefined. `name` in lower case. */
export function headerValue(head: string, name: string): string | undefined {
  for (const line of head.split('\r\n')) {
    if (line.length > name.length && line[name.length] === ':' && line.slice(0, name.length).toLowerCase() === name)
      return line.slice(name.length + 1).trim();
  }
  return undefined;
}
