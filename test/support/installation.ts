/**
 * One installation, several servers: processes of their own on one database, behind one public URL. What must hold "on every
 * server" is asked of each by its port, with the Host that a proxy in front of them would send.
 */
import { request } from 'node:http';
import { type ServerProcess, startServerProcess } from './server_process.ts';
import { freePort, startTestServer, type TestServer } from './test_server.ts';
import type { EndpointAnswer } from './user_agent.ts';
import type { TestClient } from './world.ts';

export interface Installation {
  /** In this process, at the public URL: arranges, signs people in. */
  readonly first: TestServer;
  /** Ports of all servers, the first one's too. */
  readonly ports: readonly number[];
  /** The processes beside it. */
  readonly processes: readonly ServerProcess[];
  close(): Promise<void>;
}

/** @param options.environment Settings of every server. */
export async function startInstallation(
  options: { readonly processes?: number; readonly environment?: Readonly<Record<string, string>> } = {},
): Promise<Installation> {
  const { processes: count = 1, environment = {} } = options;
  const first = await startTestServer({ environment });
  const beside = await Promise.all(
    Array.from({ length: count }, async () => {
      const port = await freePort();
      const { database, origin: publicUrl } = first;
      return { port, process: await startServerProcess({ database, port, publicUrl, environment }) };
    }),
  );
  return {
    first,
    ports: [Number(new URL(first.origin).port), ...beside.map(({ port }) => port)],
    processes: beside.map(({ process }) => process),
    async close() {
      await Promise.all(beside.map(({ process }) => process.killAtOnce()));
      await first.close();
    },
  };
}

export interface EndpointCall {
  readonly client?: TestClient | undefined;
  readonly form?: Readonly<Record<string, string>>;
  /** Instead of a form. */
  readonly json?: object;
  readonly headers?: Readonly<Record<string, string>>;
  readonly method?: 'GET' | 'POST';
}

/** Asks one server of the installation: a form as a client sends it, and its JSON. Rejects when the connection breaks. */
export function callServer(port: number, url: string, call: EndpointCall = {}): Promise<EndpointAnswer> {
  const { client, form, json, headers = {}, method = 'POST' } = call;
  const { host, pathname, search } = new URL(url);
  const confidential = client !== undefined && client.clientSecret !== '';
  const body =
    method === 'GET'
      ? undefined
      : json !== undefined
        ? JSON.stringify(json)
        : new URLSearchParams({
            ...form,
            ...(client !== undefined && !confidential ? { client_id: client.clientId } : {}),
          }).toString();
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host: '127.0.0.1',
        port,
        path: pathname + search,
        method,
        headers: {
          host,
          ...(body === undefined
            ? {}
            : {
                'content-type': json === undefined ? 'application/x-www-form-urlencoded' : 'application/json',
                'content-length': Buffer.byteLength(body),
              }),
          ...(confidential
            ? { authorization: `Basic ${Buffer.from(`${client.clientId}:${client.clientSecret}`).toString('base64')}` }
            : {}),
          ...headers,
        },
      },
      (answer) => {
        const received: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => void received.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => {
          const text = Buffer.concat(received).toString('utf8');
          const isJson = /json/.test(answer.headers['content-type'] ?? '');
          const answered = new Headers();
          for (const [name, value] of Object.entries(answer.headers)) answered.set(name, String(value));
          resolve({ status: answer.statusCode ?? 0, headers: answered, json: isJson ? JSON.parse(text) : {} });
        });
      },
    );
    asked.on('error', reject);
    asked.end(body);
  });
}
