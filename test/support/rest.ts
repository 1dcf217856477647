/** Applications of the tenant that sign people in over REST, as a browser and as a program. */
import { type ApiCall, type ApiCallAnswer, callApi } from './api_calls.ts';
import { signInServicesOf } from './sign_in.ts';
import type { TestServer } from './test_server.ts';
import type { TestTenant } from './world.ts';

/** What the routes are given by the composition root, for tests that read the list of routes. */
export function restServices(server: TestServer) {
  const signInServices = signInServicesOf(server);
  return {
    signInServices,
    visitorServices: { ...server.context, ...signInServices },
    accountServices: server.context,
  };
}

export interface RestSession {
  readonly accessToken: string;
  readonly refreshToken: string;
}

export interface Credentials {
  readonly email: string;
  readonly password: string;
}

/** Calls `/api/v1/auth/…` with a body. */
export function callAuth(
  { issuer }: Pick<TestTenant, 'issuer'>,
  path: string,
  body?: unknown,
  more: Omit<ApiCall, 'body'> = {},
): Promise<ApiCallAnswer> {
  return callApi(issuer, `/auth${path}`, { method: 'POST', body, ...more });
}

/** Signs in as a program does, which has no cookies. */
export async function logIn(
  tenant: Pick<TestTenant, 'issuer'>,
  { email, password }: Credentials,
  more: Readonly<Record<string, unknown>> = {},
): Promise<RestSession> {
  const answer = await callAuth(tenant, '/login', { email, password, token_delivery: 'body', ...more });
  return sessionIn(answer);
}

export function sessionIn({ status, json }: ApiCallAnswer): RestSession {
  const { access_token: accessToken, refresh_token: refreshToken } = (json['data'] ?? {}) as Record<string, unknown>;
  if (typeof accessToken !== 'string' || typeof refreshToken !== 'string')
    throw new Error(`no tokens: ${status} ${JSON.stringify(json)}`);
  return { accessToken, refreshToken };
}

/** The one that was set under this name, as a browser would keep it. */
export function cookieIn(
  { headers }: Pick<ApiCallAnswer, 'headers'>,
  name: string,
): { readonly value: string; readonly attributes: readonly string[] } | undefined {
  const set = headers.getSetCookie().find((cookie) => cookie.startsWith(`${name}=`));
  if (set === undefined) return undefined;
  const [pair = '', ...attributes] = set.split('; ');
  return { value: pair.slice(name.length + 1), attributes };
}
