// The demo application as a server: it listens, sets the security headers, refuses forged posts and writes what the routes reply.
// Plain node:http, so that nothing hides behind a framework. What each address does is in routes.ts.
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { startResourceServer } from '../resource-server/resource_server.ts';
import { toText } from './html.ts';
import { problemPage } from './pages.ts';
import { createRelyingParty, explain } from './relying_party.ts';
import { createRoutes, type Reply, type Tenant, type Visit } from './routes.ts';
import { readSessionCookie, writeSessionCookie } from './sessions.ts';
import type { DemoApplicationOptions } from './settings.ts';

export interface DemoApplication {
  readonly origin: string;
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Starts the application and, for each tenant, the example API that it calls.
 * Rejects with `code: 'EADDRINUSE'` when the port is taken. Asks nothing of the authorization server until a sign-in.
 */
export async function startDemoApplication(options: DemoApplicationOptions): Promise<DemoApplication> {
  const apis = await Promise.all(
    options.tenants.map(({ issuer, api, resource_server }) =>
      startResourceServer({
        issuer,
        audience: api.audience,
        clientId: resource_server.client_id,
        clientSecret: resource_server.client_secret,
        port: 0,
      }),
    ),
  );
  const server = createServer();
  async function close(): Promise<void> {
    server.closeAllConnections();
    await Promise.all([
      new Promise<void>((resolve) => server.close(() => resolve())),
      ...apis.map((api) => api.close()),
    ]);
  }

  const port = await listen(server, options.port, options.host ?? '127.0.0.1').catch(async (error) => {
    await close();
    throw error;
  });
  const origin = options.origin ?? `http://localhost:${port}`;
  const tenants = options.tenants.map((settings, index): Tenant => {
    return { settings, relyingParty: createRelyingParty(settings, origin), apiOrigin: apis[index]?.origin ?? '' };
  });

  const routes = createRoutes(tenants);
  const headers = securityHeaders(tenants);
  server.on('request', (request, response) => void serve(request, response));

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const reply = await respond(request).catch((error): Reply => {
      const { code, description } = explain(error);
      // The explanation and never the error: its cause may hold a token.
      console.error(`${request.method} ${request.url?.replace(/\?.*$/, '')}: ${code}: ${description}`);
      return { status: 502, page: problemPage({ title: 'That did not work', description, code }) };
    });
    for (const [name, value] of Object.entries({ ...headers, ...reply.headers })) response.setHeader(name, value);
    if (reply.location !== undefined) response.setHeader('Location', reply.location);
    if (reply.sessionId !== undefined) {
      response.setHeader('Set-Cookie', writeSessionCookie(reply.sessionId, origin.startsWith('https:')));
    }
    response.writeHead(reply.status).end(reply.page === undefined ? reply.body : toText(reply.page));
  }

  async function respond(request: IncomingMessage): Promise<Reply> {
    const url = new URL(request.url ?? '/', origin);
    const file = request.method === 'GET' ? files.get(url.pathname) : undefined;
    if (file !== undefined) return { status: 200, body: file.body, headers: { 'Content-Type': file.type } };

    // Against forged posts there are two locks: the cookie is SameSite, and the browser says which page posted.
    if (request.method === 'POST' && request.headers.origin !== origin) {
      const description = `This did not come from a page of ${origin}, so nothing was done. Open that address and try again.`;
      return { status: 403, page: problemPage({ title: 'Refused', description, code: 'foreign_origin' }) };
    }
    const body = await readBody(request);
    if (body === undefined) {
      const description = 'No form of this application is as large as what was sent.';
      return { status: 413, page: problemPage({ title: 'Too large', description, code: 'content_too_large' }) };
    }
    const visit: Visit = {
      method: request.method ?? 'GET',
      url,
      form: new URLSearchParams(body),
      sessionId: readSessionCookie(request.headers.cookie),
    };
    return routes(visit);
  }

  return { origin, port, close };
}

const files = new Map(
  [
    { name: '/style.css', type: 'text/css; charset=utf-8' },
    { name: '/favicon.svg', type: 'image/svg+xml' },
  ].map(({ name, type }) => [name, { type, body: readFileSync(new URL(`./public${name}`, import.meta.url), 'utf8') }]),
);

function securityHeaders(tenants: readonly Tenant[]): Readonly<Record<string, string>> {
  // Chromium applies form-action to the redirects after a post as well, and signing in and out are such posts.
  const issuers = new Set(tenants.map(({ settings }) => new URL(settings.issuer).origin));
  const policy = [
    "default-src 'none'",
    "style-src 'self'",
    "img-src 'self'",
    `form-action 'self' ${[...issuers].join(' ')}`,
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ];
  return {
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Security-Policy': policy.join('; '),
    // Not 'no-referrer': under that policy a browser posts with `Origin: null`, and the check above needs the origin.
    'Referrer-Policy': 'same-origin',
    'X-Content-Type-Options': 'nosniff',
    'Cache-Control': 'no-store',
  };
}

const maximumBodyBytes = 8 * 1024;

/** The body as text, or undefined when it is larger than any form of ours. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes <= maximumBodyBytes) chunks.push(chunk);
  }
  return bytes > maximumBodyBytes ? undefined : Buffer.concat(chunks).toString();
}

function listen(server: Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject).listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}
