/** Signed requests (RFC 9101) and signed answers (JARM): work where they are on, are not there where they are off. */
import * as jose from 'jose';
import * as client from 'openid-client';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { registerAs, switchOn } from '#test/support/protocol.ts';
import { discoverAs, passPages } from '#test/support/relying_party.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, createUserAgent } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let key: jose.GenerateKeyPairResult;
let shop: TestClient;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  await switchOn(server, acme, 'jar', 'jarm');
  key = await jose.generateKeyPair('ES256', { extractable: true });
  shop = await registerAs(server, acme, {
    name: 'Shop',
    type: 'web',
    firstParty: true,
    redirectUris: [callbackUri],
    jwks: { keys: [await jose.exportJWK(key.publicKey)] },
    settings: { require_signed_request_object: true, authorization_signed_response_alg: 'ES256' },
  });
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

const discover = (metadata: Partial<client.ClientMetadata> = {}) =>
  client.discovery(
    new URL(acme.issuer),
    shop.clientId,
    { client_id: shop.clientId, ...metadata },
    client.PrivateKeyJwt(key.privateKey),
    { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] },
  );

async function requestParameters() {
  const verifier = client.randomPKCECodeVerifier();
  return {
    verifier,
    request: {
      redirect_uri: callbackUri,
      scope: 'openid',
      state: client.randomState(),
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    },
  };
}

interface ObjectOptions {
  readonly claims?: object;
  readonly header?: Partial<jose.JWTHeaderParameters>;
  readonly signer?: jose.CryptoKey;
}

async function requestObject({
  claims = {},
  header = {},
  signer = key.privateKey,
}: ObjectOptions = {}): Promise<string> {
  const { request } = await requestParameters();
  const seconds = Math.floor(Date.now() / 1000);
  return new jose.SignJWT({
    ...request,
    response_type: 'code',
    client_id: shop.clientId,
    iss: shop.clientId,
    aud: acme.issuer,
    exp: seconds + 60,
    ...claims,
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'oauth-authz-req+jwt', ...header })
    .sign(signer);
}

async function askWith(object: string): Promise<URL | undefined> {
  const parameters = new URLSearchParams({
    client_id: shop.clientId,
    request: object,
    response_type: 'code',
    scope: 'openid',
  });
  const page = await createUserAgent(server.origin).request(`${acme.issuer}/authorize?${parameters}`);
  const location = page.headers.get('location');
  return location === null ? undefined : new URL(location, server.origin);
}

describe('a signed request', () => {
  it('begins a sign-in that ends in tokens', async () => {
    const configuration = await discover();
    const { request, verifier } = await requestParameters();
    const url = await client.buildAuthorizationUrlWithJAR(configuration, request, key.privateKey);
    const callback = await passPages(createUserAgent(server.origin), url.href, { person: acme.person });
    const tokens = await client.authorizationCodeGrant(configuration, callback, {
      pkceCodeVerifier: verifier,
      expectedState: request.state,
      idTokenExpected: true,
    });
    expect(tokens.claims()?.sub).toBe(acme.person.id);
  });

  it('is what counts; a parameter beside it is not', async () => {
    const object = await requestObject();
    const parameters = new URLSearchParams({
      client_id: shop.clientId,
      request: object,
      redirect_uri: 'https://evil.test/',
      scope: 'openid email',
      prompt: 'none',
    });
    const page = await createUserAgent(server.origin).request(`${acme.issuer}/authorize?${parameters}`);
    expect(new URL(page.headers.get('location') ?? '', server.origin).pathname).toMatch(/\/interaction\//);
  });

  it('is demanded of a client that registered so', async () => {
    const { url } = authorizationRequest(acme, shop);
    const page = await createUserAgent(server.origin).follow(url);
    expect(new URL(page.url).searchParams.get('error')).toBe('invalid_request');
  });

  it.each([
    ['state', { state: 'half \ud800' }],
    ['nonce', { nonce: '\udfff' }],
    ['claims', { claims: { userinfo: { name: { value: '\ud800' } } } }],
    ['claims as text', { claims: '{"userinfo":{"name":{"value":"\\ud800"}}}' }],
    ['claims with a NUL', { claims: { userinfo: { '\0': null } } }],
  ])('whose %s could not be kept is refused', async (_name, claims) => {
    const answered = await askWith(await requestObject({ claims }));
    expect(answered?.searchParams.has('code') ?? false).toBe(false);
    expect(answered?.pathname.includes('/interaction/') ?? false).toBe(false);
  });

  it('for another audience, from another issuer, of another key, without an end, or typed as something else is refused', async () => {
    expect((await askWith(await requestObject()))?.pathname).toMatch(/\/interaction\//);
    const stranger = await jose.generateKeyPair('ES256');
    const refused: readonly ObjectOptions[] = [
      { claims: { aud: globex.issuer } },
      { claims: { aud: [acme.issuer] } },
      { claims: { aud: `${acme.issuer}/authorize` } },
      { claims: { aud: undefined } },
      { claims: { iss: acme.clients.web.clientId } },
      { claims: { exp: undefined } },
      { claims: { exp: Math.floor(Date.now() / 1000) - 60 } },
      { claims: { exp: Math.floor(Date.now() / 1000) + 7 * 86_400 } },
      { claims: { sub: shop.clientId } },
      { claims: { client_id: acme.clients.web.clientId } },
      { claims: { request: 'x' } },
      { claims: { request_uri: 'https://evil.test/' } },
      { claims: { state: 'x'.repeat(3_000) } },
      { claims: { state: 'a\0b' } },
      { claims: { scope: Array.from({ length: 51 }, (_, index) => `s${index}`).join(' ') } },
      { header: { typ: 'dpop+jwt' } },
      { header: { typ: 'client-authentication+jwt' } },
      { signer: stranger.privateKey },
    ];
    for (const options of refused) {
      const answer = await askWith(await requestObject(options));
      expect({ options, found: answer?.pathname.includes('/interaction/') ?? false }).toEqual({
        options,
        found: false,
      });
    }
  });
});

describe('a signed answer', () => {
  it.each(['ES256', 'RS256'] as const)(
    'is a JWT of the tenant, signed with %s where the client chose it',
    async (alg) => {
      const { clientId } = alg === 'ES256' ? shop : acme.clients.web;
      const authentication =
        alg === 'ES256'
          ? client.PrivateKeyJwt(key.privateKey)
          : client.ClientSecretBasic(acme.clients.web.clientSecret);
      const configuration = await client.discovery(
        new URL(acme.issuer),
        clientId,
        { client_id: clientId, authorization_signed_response_alg: alg },
        authentication,
        { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks, client.useJwtResponseMode] },
      );
      const { request, verifier } = await requestParameters();
      const url =
        alg === 'ES256'
          ? await client.buildAuthorizationUrlWithJAR(
              configuration,
              { ...request, response_mode: 'jwt' },
              key.privateKey,
            )
          : client.buildAuthorizationUrl(configuration, request);
      const callback = await passPages(createUserAgent(server.origin), url.href, { person: acme.person });
      expect([...callback.searchParams.keys()]).toEqual(['response']);
      const tokens = await client.authorizationCodeGrant(configuration, callback, {
        pkceCodeVerifier: verifier,
        expectedState: request.state,
        idTokenExpected: true,
      });
      expect(tokens.claims()?.sub).toBe(acme.person.id);
    },
  );

  it('may be posted, and the page may post to the client alone', async () => {
    const { url } = authorizationRequest(acme, acme.clients.web, { response_mode: 'form_post.jwt' });
    const agent = createUserAgent(server.origin);
    const { email, password } = acme.person;
    const page = await agent.submit(await agent.follow(url), { email, password });
    expect(page.status).toBe(200);
    expect(page.body).toMatch(/name="response" value="eyJ/);
    const policy = page.headers.get('content-security-policy') ?? '';
    expect(policy).toContain(`form-action 'self' ${new URL(callbackUri).origin};`);
    expect(policy).toMatch(/script-src 'self' 'sha256-/);
  });
});

describe('where signed messages are switched off', () => {
  it('a signed request is not supported, and no client can demand one', async () => {
    const { url } = authorizationRequest(globex, globex.clients.web, { request: await requestObject() });
    const page = await createUserAgent(server.origin).follow(url);
    expect(new URL(page.url).searchParams.get('error') ?? page.status).toBe('request_not_supported');
    for (const settings of [
      { require_signed_request_object: true },
      { request_object_signing_alg: 'ES256' },
      { authorization_signed_response_alg: 'ES256' },
    ]) {
      const jwks = { keys: [await jose.exportJWK(key.publicKey)] };
      const created = await createClient(server.context, {
        tenantId: globex.id,
        client: { name: 'Shop', type: 'web', redirectUris: [callbackUri], jwks, settings },
      });
      expect(created).toMatchObject({ outcome: 'refused', problems: [{ problem: 'switched_off' }] });
    }
  });

  it('a signed answer is no response mode', async () => {
    const { url } = authorizationRequest(globex, globex.clients.web, { response_mode: 'jwt' });
    const page = await createUserAgent(server.origin).follow(url);
    expect(new URL(page.url).searchParams.get('error') ?? page.status).toBe('unsupported_response_mode');
    const metadata = (await discoverAs(globex, globex.clients.web)).serverMetadata();
    expect(metadata['response_modes_supported']).toEqual(['form_post', 'fragment', 'query']);
    expect(metadata.request_parameter_supported ?? false).toBe(false);
  });
});
