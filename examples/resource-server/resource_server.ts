// A resource server (an API) that accepts access tokens of one tenant. It shows the two ways to check a token:
// locally, by signature (no round trip, but a revoked token lives on until it expires), and by asking the
// authorization server (one round trip, and a revoked token is dead at once). It issues nothing and stores nothing.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify } from 'jose';

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

export type TokenCheck =
  | { readonly outcome: 'accepted'; readonly claims: JWTPayload }
  | { readonly outcome: 'refused'; readonly reason: string };

interface Metadata {
  readonly issuer: string;
  readonly jwks_uri: string;
  readonly introspection_endpoint: string;
}

/**
 * Serves `GET /local`, `GET /live` and `GET /admins-only` on 127.0.0.1, each answering what the token says.
 * Refusals are 401 or 403 with `WWW-Authenticate` (RFC 6750 §3); 503 when the authorization server does not answer.
 * Rejects with the error of `listen` when the port is taken.
 */
export async function startResourceServer(
  options: ResourceServerOptions,
): Promise<{ readonly origin: string; close(): Promise<void> }> {
  const checks = createTokenChecks(options);

  async function answer(path: string, token: string | undefined): Promise<Answer> {
    const check = { '/local': checks.locally, '/admins-only': checks.locally, '/live': checks.live }[path];
    if (check === undefined) return { status: 404, body: { error: 'not_found' } };
    // RFC 6750 §3.1: a request that carries no token learns only that it needs one.
    if (token === undefined) return refusal(401, 'Bearer');

    const result = await check(token);
    if (result.outcome === 'refused') return refusal(401, `Bearer error="invalid_token"`, result.reason);

    const { sub, aud, client_id, scope, roles, permissions, tenant, exp } = result.claims;
    if (path === '/admins-only' && !(Array.isArray(roles) && roles.includes('admin'))) {
      return refusal(403, 'Bearer error="insufficient_scope"', 'Only the role "admin" may see this.');
    }
    return { status: 200, body: { message: 'Hello.', sub, tenant, client_id, aud, scope, roles, permissions, exp } };
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const token = /^Bearer ([\w.~+/=-]+)$/i.exec(request.headers.authorization ?? '')?.[1];
    const path = request.method === 'GET' ? (request.url ?? '').replace(/\?.*$/, '') : '';
    const { status, challenge, body } = await answer(path, token).catch((error: Error): Answer => {
      // A broken check must close the door, never open it.
      console.error(`The token could not be checked: ${error.message}`);
      return { status: 503, body: { error: 'temporarily_unavailable' } };
    });
    if (challenge !== undefined) response.setHeader('WWW-Authenticate', challenge);
    response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
    response.end(JSON.stringify(body));
  }

  const server = createServer((request, response) => void serve(request, response));
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(options.port, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  return {
    origin: `http://127.0.0.1:${port}`,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** The two checks on their own, to be copied into any framework. Both throw only when they could not find out. */
export function createTokenChecks(options: Omit<ResourceServerOptions, 'port'>): {
  locally(token: string): Promise<TokenCheck>;
  live(token: string): Promise<TokenCheck>;
} {
  // Read on the first request, so this server may start before the authorization server; a failure is tried again.
  let known: Promise<{ metadata: Metadata; keys: ReturnType<typeof createRemoteJWKSet> }> | undefined;
  async function discover() {
    const response = await fetch(`${options.issuer}/.well-known/openid-configuration`);
    if (!response.ok) throw new Error(`${options.issuer} answered ${response.status} to discovery`);
    const metadata = (await response.json()) as Metadata;
    if (metadata.issuer !== options.issuer) throw new Error(`${options.issuer} calls itself ${metadata.issuer}`);
    return { metadata, keys: createRemoteJWKSet(new URL(metadata.jwks_uri)) };
  }
  function server() {
    known ??= discover().catch((error) => {
      known = undefined;
      throw error;
    });
    return known;
  }

  return {
    // RFC 9068 §4. `typ` keeps ID tokens out; the list of algorithms keeps out whatever a token's header suggests.
    async locally(token) {
      const { keys } = await server();
      try {
        const { payload } = await jwtVerify(token, keys, {
          issuer: options.issuer,
          audience: options.audience,
          typ: 'at+jwt',
          algorithms: ['ES256', 'RS256', 'EdDSA'],
          requiredClaims: ['sub', 'client_id', 'exp', 'iat', 'jti'],
          clockTolerance: 5,
        });
        return { outcome: 'accepted', claims: payload };
      } catch (error) {
        if (isTokenFault(error)) return { outcome: 'refused', reason: error.message.replaceAll('"', "'") };
        throw error;
      }
    },

    // RFC 7662. Works for signed and opaque tokens. An answer other than 200 is a fault of ours, not of the token.
    async live(token) {
      const { metadata } = await server();
      const credentials = [options.clientId, options.clientSecret].map(encodeURIComponent).join(':');
      const response = await fetch(metadata.introspection_endpoint, {
        method: 'POST',
        headers: { Authorization: `Basic ${Buffer.from(credentials).toString('base64')}` },
        body: new URLSearchParams({ token, token_type_hint: 'access_token' }),
      });
      if (!response.ok) throw new Error(`introspection answered ${response.status}`);
      const claims = (await response.json()) as JWTPayload & { active: boolean };
      if (claims.active !== true) return { outcome: 'refused', reason: 'The token is not active.' };
      // The server answers for the whole tenant; that the token is meant for *this* API is ours to check.
      if (![claims.aud].flat().includes(options.audience)) return { outcome: 'refused', reason: 'Wrong audience.' };
      return { outcome: 'accepted', claims };
    },
  };
}

interface Answer {
  readonly status: number;
  readonly challenge?: string;
  readonly body: unknown;
}

function refusal(status: 401 | 403, challenge: string, description?: string): Answer {
  if (description === undefined) return { status, challenge, body: { error: 'unauthorized' } };
  // RFC 6750 §3: no quotes inside.
  const quoted = description.replaceAll('"', "'");
  return { status, challenge: `${challenge}, error_description="${quoted}"`, body: { error: description } };
}

/** Tells a bad token from a key set that could not be fetched: the second is our problem, not the caller's. */
function isTokenFault(error: unknown): error is errors.JOSEError {
  return error instanceof errors.JOSEError && /^ERR_(JWT|JWS|JWKS_NO_MATCHING|JOSE_ALG|JOSE_NOT)/.test(error.code);
}
