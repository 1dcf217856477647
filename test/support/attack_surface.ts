/** Every address of an installation with one tenant, and what an attack must leave behind: nothing. */
import { randomBytes } from 'node:crypto';
import { assets } from '#src/http/pages/kit/render.ts';
import type { TestDatabase } from './cluster.ts';
import type { HeaderList, RawRequest } from './raw_http.ts';
import { queryAsSuperuser } from './superuser.ts';
import type { TestServer } from './test_server.ts';
import { authorizationRequest, createUserAgent, type Page, type UserAgent } from './user_agent.ts';
import type { TestClient, TestTenant } from './world.ts';

export interface OpenedInteraction {
  readonly agent: UserAgent;
  readonly page: Page;
  readonly url: string;
  readonly uid: string;
  readonly path: string;
  /** What a browser would send to this address. */
  readonly cookie: string;
  readonly csrf: string;
}

/** A person who followed an application's link and looks at the sign-in page. */
export async function openInteraction(
  server: TestServer,
  {
    tenant,
    client = tenant.clients.web,
    extra = {},
    agent = createUserAgent(server.origin),
  }: { tenant: TestTenant; client?: TestClient; extra?: Readonly<Record<string, string>>; agent?: UserAgent },
): Promise<OpenedInteraction> {
  const page = await agent.follow(authorizationRequest(tenant, client, extra).url);
  const { pathname } = new URL(page.url);
  const uid = /\/interaction\/([^/]+)$/.exec(pathname)?.[1];
  if (uid === undefined) throw new Error(`no interaction: ${page.status} ${page.url} ${page.body.slice(0, 300)}`);
  const csrf = /name="csrf" value="([^"]+)"/.exec(page.body)?.[1];
  if (csrf === undefined) throw new Error('the page has no csrf field');
  return { agent, page, url: page.url, uid, path: pathname, csrf, cookie: agent.cookies().join('; ') };
}

export function basic({ clientId, clientSecret }: TestClient): readonly [string, string] {
  return ['Authorization', `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`];
}

export const formType = ['Content-Type', 'application/x-www-form-urlencoded'] as const;

export interface Route {
  readonly name: string;
  readonly request: RawRequest;
}

/** Each address once, with an honest request that changes as little as possible. Headers lack Host, which is the test's to choose. */
export function honestRoutes(tenant: TestTenant, interaction: OpenedInteraction): readonly Route[] {
  const base = `/t/${tenant.slug}`;
  const { search } = new URL(authorizationRequest(tenant, tenant.clients.web).url);
  const unknownClient = new URLSearchParams({ client_id: 'nobody', redirect_uri: 'http://localhost:9/callback' });
  const post = (path: string, form: Readonly<Record<string, string>>, ...headers: HeaderList): RawRequest => ({
    method: 'POST',
    target: path,
    headers: [formType, ...headers],
    body: new URLSearchParams(form).toString(),
  });
  const get = (target: string, ...headers: HeaderList): RawRequest => ({ target, headers });
  const html = ['Accept', 'text/html'] as const;
  const machine = basic(tenant.clients.machine);
  return [
    { name: 'liveness', request: get('/health/live') },
    { name: 'readiness', request: get('/health/ready') },
    { name: 'discovery', request: get(`${base}/.well-known/openid-configuration`) },
    { name: 'discovery of RFC 8414', request: get(`/.well-known/oauth-authorization-server${base}`) },
    { name: 'discovery, inserted', request: get(`/.well-known/openid-configuration${base}`) },
    { name: 'keys', request: get(`${base}/jwks`) },
    { name: 'authorization', request: get(`${base}/authorize${search}`, html) },
    { name: 'authorization that is refused', request: get(`${base}/authorize?${unknownClient}`, html) },
    {
      name: 'token',
      request: post(`${base}/token`, { grant_type: 'client_credentials', scope: 'no:such' }, machine),
    },
    { name: 'introspection', request: post(`${base}/introspect`, { token: 'at_unknown' }, machine) },
    { name: 'revocation', request: post(`${base}/revoke`, { token: 'at_unknown' }, machine) },
    { name: 'userinfo', request: get(`${base}/userinfo`, ['Authorization', 'Bearer at_unknown']) },
    { name: 'pushed authorization', request: post(`${base}/par`, { scope: 'openid' }, basic(tenant.clients.web)) },
    { name: 'logout', request: get(`${base}/logout`, html) },
    { name: 'logout confirmation', request: post(`${base}/logout/confirm`, { xsrf: 'wrong' }, html) },
    { name: 'after logout', request: get(`${base}/logout/success`, html) },
    { name: 'sign-in page', request: get(interaction.path, html, ['Cookie', interaction.cookie]) },
    {
      name: 'sign-in form',
      request: post(interaction.path, { csrf: interaction.csrf, email: '', password: '' }, html, [
        'Cookie',
        interaction.cookie,
      ]),
    },
    { name: 'expired sign-in', request: get(`${base}/interaction/${'x'.repeat(43)}`, html) },
    { name: 'resume', request: get(`${base}/authorize/${'x'.repeat(43)}`, html) },
    ...['signup', 'forgot', 'verify', 'reset', 'invite', 'device', 'device/confirm'].map((page) => ({
      name: `page of ${page}`,
      request: get(`${base}/${page}`, html, ['Cookie', `poort_form=${'A'.repeat(43)}`]),
    })),
    { name: 'asset', request: get(`/assets${assets[0]?.path ?? ''}`) },
    { name: 'tenant home', request: get(base, html) },
    { name: 'unknown tenant', request: get('/t/nobody/authorize', html) },
    { name: 'unknown page', request: get(`${base}/nothing/here`, html) },
    { name: 'unknown address', request: get('/nothing/here') },
    { name: 'problem documentation', request: get('/docs/problems/not_found') },
  ];
}

/** How many rows each table has that an unauthenticated request could ever write to. */
export async function countRows(database: TestDatabase): Promise<Readonly<Record<string, number>>> {
  const tables = ['artifacts', 'events', 'sign_in_attempts', 'clients', 'users', 'memberships', 'tenants'];
  const counts = tables.map((table) => `(select count(*)::int from ${table}) as ${table}`).join(', ');
  const rows = await queryAsSuperuser<Record<string, number>>(database, `select ${counts}`);
  return rows[0] ?? {};
}

/** What differs between two answers to the same request, whoever asked: identifiers, moments and tokens. */
export function withoutNoise(text: string): string {
  return text
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, '<uuid>')
    .replaceAll(/\/(interaction|authorize)\/[A-Za-z0-9_-]{43}/g, '/$1/<uid>')
    .replaceAll(/<time datetime="[^"]*">[^<]*<\/time>/g, '<time>')
    .replaceAll(/(name="xsrf" value=")[^"]*/g, '$1<xsrf>')
    .replaceAll(/(&#34;challenge&#34;:&#34;)[\w-]*/g, '$1<challenge>');
}

/** A word that occurs nowhere by chance. */
export function canary(): string {
  return `evil${randomBytes(6).toString('hex')}`;
}
