/** A browser without a screen: keeps cookies by path as RFC 6265 says, follows redirects on request and fills in forms. */
import { createHash, randomBytes } from 'node:crypto';
import type { TestClient, TestTenant } from './world.ts';
import { callbackUri } from './world.ts';

export interface Page {
  readonly status: number;
  readonly url: string;
  readonly headers: Headers;
  readonly body: string;
}

export interface UserAgent {
  request(url: string, init?: RequestInit): Promise<Page>;
  /** Follows redirects while they stay on `origin`; the last answer, or the redirect that leaves. */
  follow(url: string, init?: RequestInit): Promise<Page>;
  /** Sends the first form of a page with its hidden fields, these fields and the headers a browser adds. */
  submit(page: Page, fields: Readonly<Record<string, string>>): Promise<Page>;
  /** Cookies as `name=value`: those that go to this address, or all of them whatever their path. */
  cookies(url?: string): readonly string[];
  forgetCookies(): void;
}

interface Cookie {
  readonly name: string;
  readonly value: string;
  readonly path: string;
}

export function createUserAgent(origin: string, headers: Readonly<Record<string, string>> = {}): UserAgent {
  let jar: readonly Cookie[] = [];

  async function request(url: string, init: RequestInit = {}): Promise<Page> {
    const cookie = agent.cookies(url).join('; ');
    const response = await fetch(url, {
      redirect: 'manual',
      ...init,
      headers: {
        accept: 'text/html',
        ...headers,
        ...(cookie === '' ? {} : { cookie }),
        ...(init.headers as Record<string, string>),
      },
    });
    for (const line of response.headers.getSetCookie()) keep(line);
    return { status: response.status, url, headers: response.headers, body: await response.text() };
  }

  function keep(line: string): void {
    const [pair = '', ...attributes] = line.split(/;\s*/);
    const name = pair.slice(0, pair.indexOf('='));
    const value = pair.slice(pair.indexOf('=') + 1);
    const path = attributes.find((attribute) => /^path=/i.test(attribute))?.slice(5) ?? '/';
    jar = jar.filter((known) => known.name !== name || known.path !== path);
    if (value !== '') jar = [...jar, { name, value, path }];
  }

  const agent: UserAgent = {
    request,
    async follow(url, init) {
      let page = await request(url, init);
      for (let hops = 0; hops < 10 && page.status >= 300 && page.status < 400; hops += 1) {
        const location = new URL(page.headers.get('location') ?? '', page.url).href;
        if (!location.startsWith(`${origin}/`)) return { ...page, url: location };
        page = await request(location);
      }
      return page;
    },
    submit(page, fields) {
      const form = readForm(page);
      const body = new URLSearchParams({ ...form.hidden, ...fields });
      return agent.follow(new URL(form.action, page.url).href, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', origin, 'sec-fetch-site': 'same-origin' },
        body: body.toString(),
      });
    },
    cookies(url) {
      const pathname = url === undefined ? undefined : new URL(url).pathname;
      const goesThere = ({ path }: Cookie): boolean =>
        pathname === undefined || pathname === path || pathname.startsWith(path.endsWith('/') ? path : `${path}/`);
      return jar.filter(goesThere).map(({ name, value }) => `${name}=${value}`);
    },
    forgetCookies() {
      jar = [];
    },
  };
  return agent;
}

export interface PageForm {
  readonly action: string;
  readonly hidden: Readonly<Record<string, string>>;
}

export function readForm(page: Page): PageForm {
  const form = /<form[^>]*\baction="([^"]*)"[^>]*>(.*?)<\/form>/s.exec(page.body);
  if (form === null) throw new Error(`no form on ${page.url} (${page.status}): ${page.body.slice(0, 300)}`);
  const hidden: Record<string, string> = {};
  for (const [input] of (form[2] ?? '').matchAll(/<input[^>]*type="hidden"[^>]*>/g)) {
    const name = /name="([^"]*)"/.exec(input)?.[1];
    if (name !== undefined) hidden[name] = unescapeHtml(/value="([^"]*)"/.exec(input)?.[1] ?? '');
  }
  return { action: unescapeHtml(form[1] ?? ''), hidden };
}

function unescapeHtml(text: string): string {
  return text
    .replaceAll('&#34;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&');
}

export interface AuthorizationRequest {
  readonly url: string;
  readonly verifier: string;
}

export function authorizationRequest(
  tenant: TestTenant,
  client: TestClient,
  extra: Readonly<Record<string, string>> = {},
): AuthorizationRequest {
  const verifier = randomBytes(32).toString('base64url');
  const parameters = new URLSearchParams({
    client_id: client.clientId,
    response_type: 'code',
    redirect_uri: callbackUri,
    scope: 'openid profile email',
    state: 'the-state',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...extra,
  });
  return { url: `${tenant.issuer}/authorize?${parameters}`, verifier };
}

export interface Authorized {
  readonly code: string;
  readonly verifier: string;
  readonly callback: URL;
}

/** Through the hosted pages as a person: signs in and, where asked, consents. */
export async function authorize(
  agent: UserAgent,
  {
    tenant,
    client,
    extra,
    person = tenant.person,
  }: {
    tenant: TestTenant;
    client: TestClient;
    extra?: Readonly<Record<string, string>>;
    person?: { email: string; password: string };
  },
): Promise<Authorized> {
  const { url, verifier } = authorizationRequest(tenant, client, extra);
  let page = await agent.follow(url);
  if (page.body.includes('name="password"'))
    page = await agent.submit(page, { email: person.email, password: person.password });
  if (page.body.includes('name="decision"')) page = await agent.submit(page, { decision: 'allow' });
  const callback = new URL(page.url);
  const code = callback.searchParams.get('code');
  if (code === null) throw new Error(`no code: ${page.status} ${page.url} ${page.body.slice(0, 500)}`);
  return { code, verifier, callback };
}

export interface EndpointAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly json: Readonly<Record<string, unknown>>;
}

/** A POST to an endpoint of the issuer as a client does it: form in, JSON out, Basic authentication when there is a secret. */
export async function callEndpoint(
  issuer: string,
  path: string,
  {
    client,
    form,
    headers = {},
  }: {
    client?: TestClient | undefined;
    form: Readonly<Record<string, string>> | URLSearchParams;
    headers?: Readonly<Record<string, string>>;
  },
): Promise<EndpointAnswer> {
  const confidential = client !== undefined && client.clientSecret !== '';
  const body = new URLSearchParams(form);
  if (client !== undefined && !confidential) body.set('client_id', client.clientId);
  const response = await fetch(issuer + path, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(confidential
        ? { authorization: `Basic ${Buffer.from(`${client.clientId}:${client.clientSecret}`).toString('base64')}` }
        : {}),
      ...headers,
    },
    body: body.toString(),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, json: text === '' ? {} : JSON.parse(text) };
}

export function exchangeCode(tenant: TestTenant, client: TestClient, authorized: Authorized): Promise<EndpointAnswer> {
  return callEndpoint(tenant.issuer, '/token', {
    client,
    form: {
      grant_type: 'authorization_code',
      code: authorized.code,
      code_verifier: authorized.verifier,
      redirect_uri: callbackUri,
    },
  });
}

export function refresh(
  tenant: TestTenant,
  client: TestClient,
  refreshToken: string,
  extra: Readonly<Record<string, string>> = {},
): Promise<EndpointAnswer> {
  return callEndpoint(tenant.issuer, '/token', {
    client,
    form: { grant_type: 'refresh_token', refresh_token: refreshToken, ...extra },
  });
}

export function introspect(tenant: TestTenant, client: TestClient, token: string): Promise<EndpointAnswer> {
  return callEndpoint(tenant.issuer, '/introspect', { client, form: { token } });
}
