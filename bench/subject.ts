/**
 * A subject: one OpenID Connect server under measurement, as its benchmark sees it. The same description serves the bare
 * engine and Poort, so that both are asked exactly the same questions.
 */
import type { HttpTarget } from './http_connection.ts';

export interface SubjectClient {
  readonly clientId: string;
  readonly clientSecret: string;
}

export interface Subject {
  readonly target: HttpTarget;
  readonly processId: number;
  readonly issuer: string;
  /** Confidential, client_secret_basic, code flow and refresh tokens, needs no consent. */
  readonly webClient: SubjectClient & { readonly redirectUri: string };
  /** Confidential, client_secret_basic, client credentials only. */
  readonly machineClient: SubjectClient;
  /** A resource server whose access tokens are JWTs (RFC 9068, ES256). */
  readonly jwtApi: { readonly audience: string; readonly scope: string };
  /** Whether its introspection endpoint takes JWTs; where not, its opaque tokens stand in for them. */
  readonly introspectsJwts: boolean;
  readonly person: { readonly email: string; readonly password: string };
}

/** The endpoints' paths, from the subject's own metadata (OpenID Connect Discovery §3). */
export interface Endpoints {
  readonly discovery: string;
  readonly authorization: string;
  readonly token: string;
  readonly introspection: string;
  readonly userinfo: string;
}

/** Asks the subject for its metadata. Throws when it has none, or when it names an origin other than the issuer's. */
export async function readEndpoints(subject: Subject): Promise<Endpoints> {
  const discovery = `${subject.issuer}/.well-known/openid-configuration`;
  const response = await fetch(discovery);
  if (!response.ok) throw new Error(`${discovery} answered ${response.status}`);
  const metadata = (await response.json()) as Record<string, unknown>;
  const path = (member: string): string => {
    const address = metadata[member];
    if (typeof address !== 'string') throw new Error(`${discovery} names no ${member}`);
    const url = new URL(address);
    if (url.origin !== new URL(subject.issuer).origin) throw new Error(`${member} lies elsewhere: ${address}`);
    return url.pathname;
  };
  return {
    discovery: new URL(discovery).pathname,
    authorization: path('authorization_endpoint'),
    token: path('token_endpoint'),
    introspection: path('introspection_endpoint'),
    userinfo: path('userinfo_endpoint'),
  };
}
