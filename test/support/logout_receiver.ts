/** An application's end of back-channel logout: a real server that takes logout tokens, and behaves as badly as it is told to. */
import { createServer as createPlainServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { IssuedCertificate } from './certificates.ts';

export interface LogoutReceiver {
  readonly url: string;
  readonly port: number;
  /** Logout tokens in the order of their arrival, whatever was answered. */
  readonly tokens: readonly string[];
  /** What it answers from now on; it hangs when the function answers nothing. */
  behave(answer: (response: ServerResponse) => void): void;
  close(): Promise<void>;
}

export async function startLogoutReceiver({
  host = '127.0.0.1',
  certificate,
}: {
  host?: string;
  certificate?: IssuedCertificate;
} = {}): Promise<LogoutReceiver> {
  const tokens: string[] = [];
  let answer = (response: ServerResponse): void => void response.end();
  const listener: RequestListener = async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    tokens.push(form.get('logout_token') ?? '');
    answer(response);
  };
  const server: Server =
    certificate === undefined
      ? createPlainServer(listener)
      : createSecureServer({ cert: certificate.certificate, key: certificate.key }, listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  return {
    url: `${certificate === undefined ? 'http' : 'https'}://${host}:${address.port}/logout`,
    port: address.port,
    tokens,
    behave(next) {
      answer = next;
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
