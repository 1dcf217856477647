/**
 * Lesson C36, answers that reach somebody else: from a cache (dapr, better-auth) or from what two requests share in memory (a language,
 * a tenant). Nothing that bears a credential may be kept, and nothing of one request is in the answer to another.
 */

import { createApi } from '#src/flows/clients/manage_clients.ts';
import { findEngineRoute } from '#src/http/engine_routes.ts';
import { endpointPaths } from '#src/oidc/provider.ts';
import { canary, openInteraction } from '#test/support/attack_surface.ts';
import { forms } from '#test/support/forms.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  callEndpoint,
  createUserAgent,
  exchangeCode,
  introspect,
  refresh,
} from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly status: number;
  readonly cacheControl: string;
  readonly text: string;
}

/** Opaque values, JWTs, references to pushed requests, tokens of forms, cookies of sessions and interactions. */
const credential =
  /\b(?:at|rt|ac|dc|rat)_[\w-]{20,}|\beyJ[\w-]+\.[\w-]+\.[\w-]*|urn:ietf:params:oauth:request_uri:[\w-]+|name="[cx]srf" value="[^"]+"|_(?:session|interaction)\w*=[\w-]{20,}/;

/** Runs `act` and returns every answer that anybody got meanwhile. */
async function seeEverything(act: () => Promise<void>): Promise<readonly Seen[]> {
  const untapped = globalThis.fetch;
  const seen: Seen[] = [];
  globalThis.fetch = async (input, init) => {
    const response = await untapped(input, init);
    const headers = [...response.headers].map((pair) => pair.join(': ')).join('\n');
    seen.push({
      method: init?.method ?? 'GET',
      url: String(input instanceof Request ? input.url : input),
      status: response.status,
      cacheControl: response.headers.get('cache-control') ?? '',
      text: `${headers}\n${await response.clone().text()}`,
    });
    return response;
  };
  try {
    await act();
  } finally {
    globalThis.fetch = untapped;
  }
  return seen;
}

const mayBeKept = ({ cacheControl }: Seen): boolean => !/(?:^|[ ,])no-store(?:$|[ ,])/.test(cacheControl);
const nameOf = ({ method, url, status, cacheControl }: Seen): string =>
  `${method} ${new URL(url).pathname} ${status} ${cacheControl}`;

describe('C36: an answer', () => {
  let server: TestServer;
  let acme: TestTenant;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
  });

  afterAll(async () => {
    expect(server.log).toEqual([]);
    await server.close();
  });

  describe('that bears a credential', () => {
    it('is kept by no cache, on the whole way of a person and of a machine', async () => {
      const { web, third, machine } = acme.clients;
      const seen = await seeEverything(async () => {
        for (const client of [web, third]) {
          const agent = createUserAgent(server.origin);
          const tokens = (await exchangeCode(acme, client, await authorize(agent, { tenant: acme, client }))).json;
          const accessToken = String(tokens['access_token']);
          await introspect(acme, client, accessToken);
          for (const method of ['GET', 'POST'])
            await fetch(`${acme.issuer}/userinfo`, { method, headers: { authorization: `Bearer ${accessToken}` } });
          const renewed = await refresh(acme, client, String(tokens['refresh_token']));
          await authorize(agent, { tenant: acme, client, extra: { prompt: 'none' } });
          const posting = authorizationRequest(acme, client, { prompt: 'none', response_mode: 'form_post' });
          await agent.request(posting.url);
          const pushed = Object.fromEntries(new URL(authorizationRequest(acme, client).url).searchParams);
          await callEndpoint(acme.issuer, '/par', { client, form: pushed });
          await callEndpoint(acme.issuer, '/revoke', {
            client,
            form: { token: String(renewed.json['refresh_token']) },
          });
        }
        for (const resource of [acme.jwtApi, acme.opaqueApi]) {
          const form = { grant_type: 'client_credentials', resource, scope: 'readings:read' };
          await callEndpoint(acme.issuer, '/token', { client: machine, form });
        }
        for (const kind of forms) {
          const form = await kind.open(server, acme);
          await form.agent.submit(form.page, kind.fields(acme, form));
        }
      });

      const bearing = seen.filter(({ text }) => credential.test(text));
      // Each of them, and with what it is there for: otherwise this test would look at nothing.
      const kinds = new Set(bearing.map((answer) => `${new URL(answer.url).pathname.split('/')[3]} ${answer.status}`));
      for (const kind of ['authorize 303', 'authorize 200', 'interaction 200', 'token 200', 'par 201', 'logout 200'])
        expect([...kinds]).toContain(kind);
      expect(bearing.filter(mayBeKept).map(nameOf)).toEqual([]);
      // Nor is anything else of these ways: who somebody is, or whether a token lives, is worth as much.
      expect(seen.filter(mayBeKept).map(nameOf)).toEqual([]);
    });

    it('is kept by no cache, whichever endpoint answers, to whom, and whatever it says', async () => {
      const { web, machine, spa } = acme.clients;
      const { grant_types_supported } = (await (
        await fetch(`${acme.issuer}/.well-known/openid-configuration`)
      ).json()) as { grant_types_supported: readonly string[] };
      const paths = [
        ...Object.values(endpointPaths),
        `${endpointPaths.end_session}/confirm`,
        `${endpointPaths.end_session}/success`,
        `${endpointPaths.authorization}/${'x'.repeat(43)}`,
        `/interaction/${'x'.repeat(43)}`,
        '/nothing',
        '',
      ];
      const seen = await seeEverything(async () => {
        for (const path of paths) {
          for (const accept of ['text/html', 'application/json']) {
            await fetch(acme.issuer + path, { headers: { accept }, redirect: 'manual' });
            for (const client of [undefined, web, machine, spa])
              for (const grant of ['', ...grant_types_supported])
                await fetch(acme.issuer + path, {
                  method: 'POST',
                  redirect: 'manual',
                  headers: {
                    accept,
                    'content-type': 'application/x-www-form-urlencoded',
                    ...(client === undefined || client.clientSecret === ''
                      ? {}
                      : {
                          authorization: `Basic ${Buffer.from(`${client.clientId}:${client.clientSecret}`).toString('base64')}`,
                        }),
                  },
                  body: new URLSearchParams({ grant_type: grant, client_id: client?.clientId ?? '' }),
                });
          }
        }
      });
      const isPublic = ({ method, url }: Seen): boolean => {
        const route = findEngineRoute(method, new URL(url).pathname.replace('/t/acme', ''));
        return route?.outcome === 'served' && route.isPublic;
      };
      expect(seen.filter((answer) => !isPublic(answer) && mayBeKept(answer)).map(nameOf)).toEqual([]);
      // What may be kept is the same for everyone, and gives nobody anything.
      const kept = seen.filter(isPublic);
      expect(kept.length).toBeGreaterThan(0);
      expect(kept.filter(({ text }) => credential.test(text) || /^set-cookie:/im.test(text)).map(nameOf)).toEqual([]);
    });
  });

  describe('among many at once', () => {
    let tenants: readonly TestTenant[];
    const languages = { en: 'Sign in', nl: 'Inloggen' } as const;

    beforeAll(async () => {
      const slugs = Array.from({ length: 10 }, (_, index) => `tenant-${String.fromCharCode(97 + index)}`);
      const made: TestTenant[] = [];
      for (const slug of slugs) made.push(await createTestTenant(server, slug));
      tenants = made;
    });

    /** In an order that mixes everything with everything, and is the same in every run. */
    function shuffled<Item>(items: readonly Item[]): readonly Item[] {
      return items
        .map((item, index) => ({ item, key: (index * 7_919) % 1_009 }))
        .toSorted((one, other) => one.key - other.key)
        .map(({ item }) => item);
    }

    const others = (tenant: TestTenant): readonly string[] =>
      tenants.filter(({ slug }) => slug !== tenant.slug).map(({ slug }) => `/t/${slug}`);

    it('of discovery and keys is of the tenant that was asked, also while tenants change', async () => {
      const own = new Map<string, string>();
      for (const { slug, issuer } of tenants) own.set(slug, await (await fetch(`${issuer}/jwks`)).text());
      expect(new Set(own.values()).size).toBe(tenants.length);
      const asked = shuffled(
        tenants.flatMap((tenant) =>
          Array.from({ length: 8 }, () => [
            { tenant, url: `${tenant.issuer}/.well-known/openid-configuration` },
            { tenant, url: `${server.origin}/.well-known/oauth-authorization-server/t/${tenant.slug}` },
            { tenant, url: `${server.origin}/.well-known/openid-configuration/t/${tenant.slug}` },
            { tenant, url: `${tenant.issuer}/jwks` },
          ]).flat(),
        ),
      );
      // Each change makes the engine of its tenant be built anew in the middle of it.
      const changes = tenants.map(({ id, slug }) =>
        createApi(server.context, {
          tenantId: id,
          api: { audience: `https://api.${slug}.test/new`, tokenFormat: 'jwt', scopes: ['new:read=New'] },
        }),
      );
      const answers = await Promise.all(
        asked.map(async ({ tenant, url }) => ({ tenant, url, text: await (await fetch(url)).text() })),
      );
      for (const { outcome } of await Promise.all(changes)) expect(outcome).toBe('created');
      for (const { tenant, url, text } of answers) {
        if (url.endsWith('/jwks')) expect(text).toBe(own.get(tenant.slug));
        else expect(JSON.parse(text).issuer).toBe(tenant.issuer);
        expect(others(tenant).filter((other) => text.includes(`${other}/`) || text.includes(`${other}"`))).toEqual([]);
      }
    });

    it('of a page has the language, the tenant, the application and the person of its own request', async () => {
      const asked = shuffled(
        tenants.flatMap((tenant) =>
          (['en', 'nl'] as const).flatMap((language) =>
            (['parameter', 'header', 'cookie'] as const).map((by) => ({ tenant, language, by, hint: canary() })),
          ),
        ),
      );
      const pages = await Promise.all(
        asked.map(async ({ tenant, language, by, hint }) => {
          const headers = {
            ...(by === 'header' ? { 'accept-language': language } : {}),
            ...(by === 'cookie' ? { cookie: `poort_locale=${language}` } : {}),
          };
          const agent = createUserAgent(server.origin, { 'accept-language': 'de' });
          const extra = { login_hint: `${hint}@x.test`, ...(by === 'parameter' ? { ui_locales: language } : {}) };
          const opened = await openInteraction(server, { tenant, agent, extra });
          const cookie = [opened.cookie, headers.cookie ?? ''].filter((part) => part !== '').join('; ');
          const page = await fetch(opened.url, { headers: { accept: 'text/html', ...headers, cookie } });
          const typed = await fetch(opened.url, {
            method: 'POST',
            headers: { accept: 'text/html', 'content-type': 'application/x-www-form-urlencoded', ...headers, cookie },
            body: new URLSearchParams({ csrf: opened.csrf, email: `${hint}@x.test`, password: '' }),
          });
          return { tenant, language, by, hint, bodies: [await page.text(), await typed.text()] };
        }),
      );
      const hints = pages.map(({ hint }) => hint);
      for (const { tenant, language, by, hint, bodies } of pages) {
        for (const body of bodies) {
          expect({ by, language: /<html lang="(\w+)"/.exec(body)?.[1] }).toEqual({ by, language });
          expect(body).toContain(languages[language]);
          const tenantName = tenant.slug.replace('tenant', 'Tenant');
          expect(body).toContain(tenantName);
          expect(body).toContain(hint);
          expect(hints.filter((other) => other !== hint && body.includes(other))).toEqual([]);
          expect(others(tenant).filter((other) => body.includes(`${other}/`))).toEqual([]);
        }
      }
    });

    it('of a refusal names its own request and nobody else’s', async () => {
      const asked = shuffled(
        tenants.flatMap((tenant) => Array.from({ length: 10 }, () => ({ tenant, id: `request-${canary()}` }))),
      );
      const answers = await Promise.all(
        asked.map(async ({ tenant, id }, index) => {
          const accept = index % 2 === 0 ? 'text/html' : 'application/json';
          const response = await fetch(`${tenant.issuer}/nothing`, { headers: { accept, 'x-request-id': id } });
          return { tenant, id, text: await response.text(), header: response.headers.get('x-request-id') };
        }),
      );
      for (const { tenant, id, text, header } of answers) {
        expect(header).toBe(id);
        expect(text).toContain(id);
        expect(asked.filter((other) => other.id !== id && text.includes(other.id))).toEqual([]);
        expect(others(tenant).filter((other) => text.includes(`${other}/`))).toEqual([]);
      }
    });

    it('of a token endpoint is of its own tenant: a hundred machines at once', async () => {
      const asked = shuffled(tenants.flatMap((tenant) => Array.from({ length: 10 }, () => tenant)));
      const answers = await Promise.all(
        asked.map(async (tenant) => {
          const form = { grant_type: 'client_credentials', resource: tenant.jwtApi, scope: 'readings:read' };
          const { json } = await callEndpoint(tenant.issuer, '/token', { client: tenant.clients.machine, form });
          return {
            tenant,
            claims: JSON.parse(Buffer.from(String(json['access_token']).split('.')[1] ?? '', 'base64url').toString()),
          };
        }),
      );
      for (const { tenant, claims } of answers)
        expect(claims).toMatchObject({
          iss: tenant.issuer,
          tenant: tenant.slug,
          tenant_id: tenant.id,
          aud: tenant.jwtApi,
        });
    });
  });
});
