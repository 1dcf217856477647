// Serves the single page application: a few files, the library, and its settings as JSON. The server holds no secret
// and sees no token; everything of interest is in public/app.js.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

export interface SinglePageApplicationOptions {
  readonly issuer: string;
  readonly clientId: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** `openid profile email offline_access` unless given. */
  readonly scope?: string;
}

export interface SinglePageApplication {
  readonly origin: string;
  /** Sets the client the page uses: with port 0 the redirect URI is known only after starting. */
  useClient(client: { readonly issuer: string; readonly clientId: string }): void;
  close(): Promise<void>;
}

/**
 * Starts on http://localhost:{port}. The client to register: public (no secret), redirect URI `{origin}/callback`,
 * post-logout redirect URI `{origin}/`. Rejects with the error of `listen` when the port is taken.
 */
export async function startSinglePageApplication(
  options: SinglePageApplicationOptions,
): Promise<SinglePageApplication> {
  let { issuer, clientId } = options;
  let origin = '';

  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', origin).pathname;
    const file = request.method === 'GET' ? files.get(path) : undefined;
    response.setHeaders(new Headers(securityHeaders(issuer)));
    if (path === '/config.json') {
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify(pageSettings()));
      return;
    }
    if (file === undefined) {
      response.writeHead(404, { 'Content-Type': 'text/plain' }).end('Not found\n');
      return;
    }
    response.writeHead(200, { 'Content-Type': file.type }).end(file.body);
  });

  function pageSettings() {
    return {
      issuer,
      client_id: clientId,
      redirect_uri: `${origin}/callback`,
      post_logout_redirect_uri: `${origin}/`,
      scope: options.scope ?? 'openid profile email offline_access',
    };
  }

  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(options.port, '127.0.0.1', resolve));
  const address = server.address();
  origin = `http://localhost:${typeof address === 'object' ? address?.port : options.port}`;
  return {
    origin,
    useClient(client) {
      ({ issuer, clientId } = client);
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

// The library's build for browsers is one file without imports: no bundler, and the policy below stays as strict as it is.
const library = new URL('../browser/oidc-client-ts.min.js', import.meta.resolve('oidc-client-ts'));
const page = { type: 'text/html; charset=utf-8', body: readPublic('index.html') };
const files = new Map([
  ['/', page],
  ['/callback', page],
  ['/app.js', { type: 'text/javascript; charset=utf-8', body: readPublic('app.js') }],
  ['/favicon.svg', { type: 'image/svg+xml', body: readPublic('favicon.svg') }],
  ['/style.css', { type: 'text/css; charset=utf-8', body: readPublic('style.css') }],
  ['/oidc-client-ts.js', { type: 'text/javascript; charset=utf-8', body: readFileSync(library, 'utf8') }],
]);

function readPublic(name: string): string {
  return readFileSync(new URL(`./public/${name}`, import.meta.url), 'utf8');
}

function securityHeaders(issuer: string): Record<string, string> {
  const policy = [
    "default-src 'self'",
    `connect-src 'self' ${new URL(issuer).origin}`,
    "object-src 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    // A page that keeps tokens must not let anyone turn text into markup.
    "require-trusted-types-for 'script'",
  ];
  return {
    'Content-Security-Policy': policy.join('; '),
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
    'Cache-Control': 'no-store',
  };
}
