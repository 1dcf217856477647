/** Calls of a tenant's REST API as a program makes them. */

import type { TestServer } from './test_server.ts';
import { authorize, createUserAgent, exchangeCode } from './user_agent.ts';
import type { TestClient, TestTenant } from './world.ts';

export interface ApiCallAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly json: Readonly<Record<string, unknown>>;
}

export interface ApiCall {
  readonly token?: string | undefined;
  readonly key?: string | undefined;
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** @param base Below which `/api/v1` is: an issuer. */
export async function callApi(base: string, path: string, call: ApiCall = {}): Promise<ApiCallAnswer> {
  const { token, key, method = 'GET', headers = {}, body } = call;
  const answer = await fetch(`${base}/api/v1${path}`, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(key === undefined ? {} : { 'x-api-key': key }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  // A stream of many objects is none.
  const isJson = /^application\/(?:problem\+)?json/.test(answer.headers.get('content-type') ?? '');
  return { status: answer.status, headers: answer.headers, json: isJson ? JSON.parse(text) : {} };
}

/** An access token for no API, through the hosted pages. */
export async function personToken(
  server: TestServer,
  tenant: TestTenant,
  options: {
    readonly client?: TestClient;
    readonly scope?: string;
    readonly extra?: Readonly<Record<string, string>>;
    readonly person?: { readonly email: string; readonly password: string };
  } = {},
): Promise<string> {
  const { client = tenant.clients.web, scope = 'openid', extra = {}, person = tenant.person } = options;
  const authorized = await authorize(createUserAgent(server.origin), {
    tenant,
    client,
    person,
    extra: { scope, ...extra },
  });
  const { status, json } = await exchangeCode(tenant, client, authorized);
  if (status !== 200) throw new Error(`no token: ${JSON.stringify(json)}`);
  return String(json['access_token']);
}
