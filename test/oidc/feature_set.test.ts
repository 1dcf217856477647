/**
 * Exactly what is switched on. A new version of the engine that brings a feature, or a setting that opens one, shows here first;
 * whoever wants it adds it to these lists, and the tests that go with it.
 */

import type Provider from 'oidc-provider';
import { PROTOCOL_FEATURES } from '#src/domain/protocol_features.ts';
import { MANAGEMENT_PERMISSIONS } from '#src/domain/role.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { createTestEngines, type TestEngines } from '#test/support/engines.ts';
import { sendRaw } from '#test/support/raw_http.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, createUserAgent } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

/** The engine's own configuration, complete with its defaults, by the path the engine takes itself. */
interface EngineConfiguration {
  readonly features: Readonly<Record<string, { readonly enabled: boolean }>>;
  readonly grantTypes: ReadonlySet<string>;
  readonly responseTypes: readonly string[];
  readonly clientAuthMethods: ReadonlySet<string>;
  readonly scopes: ReadonlySet<string>;
  readonly routes: Readonly<Record<string, string>>;
  readonly acceptQueryParamAccessTokens: boolean;
  readonly allowOmittingSingleRegisteredRedirectUri: boolean;
}

async function configurationOf(provider: Provider): Promise<EngineConfiguration> {
  const inside: string = 'oidc-provider/lib/helpers/weak_cache.js';
  const { default: look } = (await import(inside)) as {
    default: (provider: Provider) => { configuration: EngineConfiguration };
  };
  return look(provider).configuration;
}

let server: TestServer;
let acme: TestTenant;
let engines: TestEngines;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  engines = createTestEngines(server);
});

afterAll(async () => {
  await engines.close();
  await server.close();
});

describe('the engine of a tenant', () => {
  let configuration: EngineConfiguration;

  beforeAll(async () => {
    configuration = await configurationOf((await engines.engineOf('acme')).provider);
  });

  it('has these features and no other', () => {
    const enabled = Object.entries(configuration.features).filter(([, feature]) => feature.enabled);
    expect(enabled.map(([name]) => name).sort()).toEqual([
      'claimsParameter',
      'clientCredentials',
      'dPoP',
      'deviceFlow',
      'introspection',
      'jwtIntrospection',
      'jwtUserinfo',
      'pushedAuthorizationRequests',
      'resourceIndicators',
      'revocation',
      'rpInitiatedLogout',
      'userinfo',
    ]);
  });

  it('serves these grants, response types and ways to authenticate, and no other', () => {
    expect([...configuration.grantTypes].sort()).toEqual([
      'authorization_code',
      'client_credentials',
      'refresh_token',
      'urn:ietf:params:oauth:grant-type:device_code',
      'urn:ietf:params:oauth:grant-type:token-exchange',
    ]);
    expect([...configuration.responseTypes]).toEqual(['code']);
    expect([...configuration.clientAuthMethods]).toEqual([
      'client_secret_basic',
      'client_secret_post',
      'private_key_jwt',
      'none',
    ]);
  });

  it('takes no access token from an address, and no request without its redirect URI', () => {
    expect(configuration.acceptQueryParamAccessTokens).toBe(false);
    expect(configuration.allowOmittingSingleRegisteredRedirectUri).toBe(false);
  });
});

describe('the engine of a tenant with every switch on', () => {
  let configuration: EngineConfiguration;

  beforeAll(async () => {
    const globex = await createTestTenant(server, 'globex');
    const changes = PROTOCOL_FEATURES.map((feature) => ({ name: `protocol.${feature}`, value: true }) as const);
    expect(await configureTenant(server.context, { id: globex.id, changes })).toEqual({ outcome: 'changed' });
    configuration = await configurationOf((await engines.engineOf('globex')).provider);
  });

  it('has these features and no other', () => {
    const enabled = Object.entries(configuration.features).filter(([, feature]) => feature.enabled);
    expect(enabled.map(([name]) => name).sort()).toEqual([
      'ciba',
      'claimsParameter',
      'clientCredentials',
      'dPoP',
      'deviceFlow',
      'fapi',
      'introspection',
      'jwtIntrospection',
      'jwtResponseModes',
      'jwtUserinfo',
      'mTLS',
      'pushedAuthorizationRequests',
      'requestObjects',
      'resourceIndicators',
      'revocation',
      'richAuthorizationRequests',
      'rpInitiatedLogout',
      'userinfo',
    ]);
  });

  it('serves these grants, response types and ways to authenticate, and no other', () => {
    expect([...configuration.grantTypes].sort()).toEqual([
      'authorization_code',
      'client_credentials',
      'refresh_token',
      'urn:ietf:params:oauth:grant-type:device_code',
      'urn:ietf:params:oauth:grant-type:token-exchange',
      'urn:openid:params:grant-type:ciba',
    ]);
    expect([...configuration.responseTypes]).toEqual(['code']);
    expect([...configuration.clientAuthMethods]).toEqual([
      'client_secret_basic',
      'client_secret_post',
      'private_key_jwt',
      'none',
      'tls_client_auth',
      'self_signed_tls_client_auth',
    ]);
  });
});

describe('what a tenant says about itself', () => {
  it('is exactly this', async () => {
    const discovered: unknown = await (await fetch(`${acme.issuer}/.well-known/openid-configuration`)).json();
    expect(JSON.parse(JSON.stringify(discovered).replaceAll(acme.issuer, 'ISSUER'))).toEqual({
      issuer: 'ISSUER',
      prompt_values_supported: ['none', 'login', 'consent', 'create'],
      authorization_endpoint: 'ISSUER/authorize',
      token_endpoint: 'ISSUER/token',
      introspection_endpoint: 'ISSUER/introspect',
      revocation_endpoint: 'ISSUER/revoke',
      userinfo_endpoint: 'ISSUER/userinfo',
      userinfo_signing_alg_values_supported: ['ES256', 'RS256'],
      pushed_authorization_request_endpoint: 'ISSUER/par',
      device_authorization_endpoint: 'ISSUER/device_authorization',
      end_session_endpoint: 'ISSUER/logout',
      jwks_uri: 'ISSUER/jwks',
      acr_values_supported: ['urn:poort:acr:password', 'urn:poort:acr:mfa'],
      authorization_response_iss_parameter_supported: true,
      backchannel_logout_session_supported: true,
      backchannel_logout_supported: true,
      claim_types_supported: ['normal'],
      claims_parameter_supported: true,
      claims_supported: [
        'sub',
        'acr',
        'amr',
        'auth_time',
        'name',
        'given_name',
        'family_name',
        'locale',
        'updated_at',
        'email',
        'email_verified',
        'sid',
        'iss',
      ],
      code_challenge_methods_supported: ['S256'],
      dpop_signing_alg_values_supported: ['ES256', 'EdDSA'],
      grant_types_supported: [
        'authorization_code',
        'refresh_token',
        'client_credentials',
        'urn:ietf:params:oauth:grant-type:device_code',
        'urn:ietf:params:oauth:grant-type:token-exchange',
      ],
      id_token_signing_alg_values_supported: ['ES256', 'RS256'],
      introspection_signing_alg_values_supported: ['ES256', 'RS256'],
      request_uri_parameter_supported: false,
      response_modes_supported: ['form_post', 'fragment', 'query'],
      response_types_supported: ['code'],
      scopes_supported: [
        'openid',
        'offline_access',
        'profile',
        'email',
        'api_keys:manage',
        'devices:manage',
        'permissions:check',
        'platform:tenants:read',
        'platform:tenants:write',
        'telemetry:write',
        ...MANAGEMENT_PERMISSIONS.map((permission) => `admin:${permission}`),
      ],
      subject_types_supported: ['public'],
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
      token_endpoint_auth_signing_alg_values_supported: ['ES256', 'RS256', 'PS256', 'EdDSA'],
    });
  });

  it('is the same at each of its addresses (RFC 8414 §3.1)', async () => {
    const at = async (url: string): Promise<unknown> => (await fetch(url)).json();
    const expected = await at(`${acme.issuer}/.well-known/openid-configuration`);
    for (const name of ['oauth-authorization-server', 'openid-configuration']) {
      expect(await at(`${server.origin}/.well-known/${name}/t/acme`)).toEqual(expected);
    }
  });

  it('is true: every endpoint answers, and nothing else of the engine does', async () => {
    const discovered = (await (await fetch(`${acme.issuer}/.well-known/openid-configuration`)).json()) as Record<
      string,
      string
    >;
    const endpoints = Object.entries(discovered).filter(([name]) => /_endpoint$|^jwks_uri$/.test(name));
    for (const [name, url] of endpoints) {
      const method = /token|introspection|revocation|pushed|device/.test(name) ? 'POST' : 'GET';
      const { status } = await fetch(url, { method, redirect: 'manual' });
      expect({ name, found: status !== 404 && status < 500 }).toEqual({ name, found: true });
    }
    for (const path of [
      'auth',
      'me',
      'reg',
      'device/auth',
      'backchannel',
      'bc-authorize',
      'challenge',
      'session/end',
      'request',
    ]) {
      for (const method of ['GET', 'POST']) {
        const { status } = await fetch(`${acme.issuer}/${path}`, { method });
        expect({ path, method, status }).toEqual({ path, method, status: 404 });
      }
    }
  });
});

interface SetCookie {
  readonly name: string;
  readonly attributes: readonly string[];
}

function parseCookies(lines: readonly string[]): readonly SetCookie[] {
  return lines.map((line) => {
    const [pair = '', ...attributes] = line.split(/;\s*/);
    const known = attributes.map((attribute) => {
      const [name = '', value] = attribute.split('=');
      const lower = name.toLowerCase();
      if (value === undefined) return lower;
      return lower === 'path' ? `path=${value}` : `${lower}=${value.toLowerCase()}`;
    });
    return {
      name: pair.slice(0, pair.indexOf('=')),
      attributes: known.filter((attribute) => !attribute.startsWith('expires=')).sort(),
    };
  });
}

describe('a cookie', () => {
  it('is for its tenant’s path only, unseen by scripts, and not sent along by other sites', async () => {
    const agent = createUserAgent(server.origin);
    const begun = await agent.request(authorizationRequest(acme, acme.clients.web).url);
    const started = parseCookies(begun.headers.getSetCookie());
    const interaction = new URL(begun.headers.get('location') ?? '', server.origin).pathname;
    const uid = interaction.split('/').at(-1) ?? '';
    const on = (path: string): readonly string[] => ['httponly', `path=${path}`, 'samesite=lax'];
    expect(started).toEqual([
      { name: '_interaction', attributes: on(interaction) },
      { name: '_interaction.sig', attributes: on(interaction) },
      { name: '_interaction_resume', attributes: on(`/t/acme/authorize/${uid}`) },
      { name: '_interaction_resume.sig', attributes: on(`/t/acme/authorize/${uid}`) },
    ]);

    const page = await agent.request(new URL(interaction, server.origin).href);
    const csrf = /name="csrf"[^>]*value="([^"]*)"/.exec(page.body)?.[1] ?? '';
    const form = new URLSearchParams({ csrf, email: acme.person.email, password: acme.person.password });
    const answered = await agent.request(page.url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: server.origin },
      body: form.toString(),
    });
    const resumed = await agent.request(new URL(answered.headers.get('location') ?? '', server.origin).href);
    const session = parseCookies(resumed.headers.getSetCookie()).filter(({ name }) => name.startsWith('_session'));
    expect(session).toEqual([
      { name: '_session', attributes: on('/t/acme') },
      { name: '_session.sig', attributes: on('/t/acme') },
    ]);
  });

  it('is Secure where the public address is https', async () => {
    const secured = await startTestServer({ environment: { POORT_PUBLIC_URL: 'https://login.test' } });
    try {
      const globex = await createTestTenant(secured, 'globex');
      const { pathname, search } = new URL(authorizationRequest(globex, globex.clients.web).url);
      const answer = await sendRaw(secured.config.http.port, {
        target: pathname + search,
        headers: [['Host', 'login.test']],
      });
      expect(answer.status).toBe(303);
      const lines = answer.headers.filter(([name]) => name.toLowerCase() === 'set-cookie').map(([, value]) => value);
      const cookies = parseCookies(lines);
      expect(cookies).toHaveLength(4);
      for (const cookie of cookies) {
        expect(cookie.attributes).toEqual(expect.arrayContaining(['secure', 'httponly', 'samesite=lax']));
      }
    } finally {
      await secured.close();
    }
  });
});
