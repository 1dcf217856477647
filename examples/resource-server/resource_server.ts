// A resource server (an API) that accepts access tokens of one tenant, with `poort/guard` in front. It shows the two ways to check a
// token: locally, by signature (no round trip, but a revoked token lives on until it expires), and by asking the authorization server
// (one round trip, and a revoked token is dead at once). It issues nothing and stores nothing.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Auth, authenticate, guarded, requireRole } from 'poort/guard';

export interface ResourceServerOptions {
  readonly issuer: string;
  /** The identifier under which this API is registered; a token for any other audience is refused. */
  readonly audience: string;
  /** This API's own credentials at the authorization server, for introspection only. */
  readonly clientId: string;
  readonly clientSecret: string;
  /** 0 picks a free port. */
  readonly port: number;
}

/**
 * Serves `GET /local`, `GET /live` and `GET /admins-only` on 127.0.0.1, each answering what the token says.
 * Refusals are 401 or 403 with `WWW-Authenticate` (RFC 6750 §3); 503 when the authorization server does not answer.
 * Rejects with the error of `listen` when the port is taken.
 */
export async function startResourceServer(
  options: ResourceServerOptions,
): Promise<{ readonly origin: string; close(): Promise<void> }> {
  const { issuer, audience, clientId, clientSecret } = options;
  const onFault = (fault: Error) => console.error(`The token could not be checked: ${fault.message}`);
  const locally = authenticate({ issuer, audience, mode: 'jwt', onFault });
  // No answer is kept here, so there is nothing to hear of. Left out, both make the guard keep answers for up to five seconds, and
  // drop them when it hears that something ended.
  const fresh = { cacheSeconds: 0, push: false };
  const live = authenticate({ issuer, audience, mode: 'introspection', clientId, clientSecret, ...fresh, onFault });

  const routes: Readonly<Record<string, ReturnType<typeof guarded>>> = {
    '/local': guarded(locally, hello),
    '/live': guarded(live, hello),
    '/admins-only': guarded(locally, requireRole('admin'), hello),
  };

  const server = createServer((request, response) => {
    const path = request.method === 'GET' ? (request.url ?? '').replace(/\?.*$/, '') : '';
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    if (route === undefined) return send(response, 404, { error: 'not_found' });
    void route(request, response);
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(options.port, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  return {
    origin: `http://127.0.0.1:${port}`,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

function hello({ auth }: IncomingMessage & { readonly auth?: Auth }, response: ServerResponse): void {
  const { sub, aud, client_id, scope, roles, permissions, tenant, exp } = auth?.claims ?? {};
  send(response, 200, { message: 'Hello.', sub, tenant, client_id, aud, scope, roles, permissions, exp });
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
  response.end(JSON.stringify(body));
}
