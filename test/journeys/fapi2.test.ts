/** FAPI 2.0 Security Profile: openid-client with a pushed request, DPoP and its own key; or with a certificate. */
import * as jose from 'jose';
import * as client from 'openid-client';
import type { ClientRequest } from '#src/domain/client.ts';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { clientCertHeader, importerCertificate } from '#test/support/client_certificates.ts';
import { everythingOn, registerAs, switchOn } from '#test/support/protocol.ts';
import { passPages, signInWith } from '#test/support/relying_party.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, callEndpoint, createUserAgent } from '#test/support/user_agent.ts';
import { createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

const redirectUri = 'https://bank.test/callback';
const insecure = { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] };
const showing = { 'client-cert': clientCertHeader(importerCertificate), 'client-cert-verified': 'SUCCESS' };

let server: TestServer;
let acme: TestTenant;
let key: jose.GenerateKeyPairResult;
let rsaKey: jose.GenerateKeyPairResult;
let request: ClientRequest;

beforeAll(async () => {
  server = await startTestServer({
    environment: {
      POORT_TRUSTED_PROXIES: '127.0.0.1',
      POORT_CLIENT_CERTIFICATE_HEADER: 'Client-Cert',
      POORT_CLIENT_CERTIFICATE_VERIFIED_HEADER: 'Client-Cert-Verified',
    },
  });
  acme = await createTestTenant(server, 'acme');
  await switchOn(server, acme, 'fapi2', 'mtls');
  key = await jose.generateKeyPair('ES256', { extractable: true });
  rsaKey = await jose.generateKeyPair('RS256', { extractable: true });
  request = {
    name: 'Bank',
    type: 'web',
    firstParty: true,
    redirectUris: [redirectUri],
    scopes: ['readings:read'],
    jwks: { keys: [await jose.exportJWK(key.publicKey), await jose.exportJWK(rsaKey.publicKey)] },
    settings: { fapi_profile: '2.0' },
  };
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

function discover({ clientId }: TestClient, authentication = client.PrivateKeyJwt(key.privateKey)) {
  return client.discovery(
    new URL(acme.issuer),
    clientId,
    { client_id: clientId, id_token_signed_response_alg: 'ES256' },
    authentication,
    insecure,
  );
}

describe('a client of the FAPI 2.0 profile', () => {
  let bank: TestClient;
  let configuration: client.Configuration;
  let DPoP: client.DPoPHandle;

  beforeAll(async () => {
    bank = await registerAs(server, acme, request);
    configuration = await discover(bank);
    DPoP = client.getDPoPHandle(configuration, await client.randomDPoPKeyPair('ES256'));
  });

  it('signs in with a pushed request, its key and DPoP, and refreshes without rotation', async () => {
    const parameters = { redirect_uri: redirectUri, scope: 'openid readings:read', resource: acme.jwtApi };
    const agent = createUserAgent(server.origin);
    const { tokens, callback } = await signInWith(configuration, {
      agent,
      person: acme.person,
      parameters,
      pushed: true,
      DPoP,
    });
    expect(callback.searchParams.get('iss')).toBe(acme.issuer);
    expect(tokens.token_type).toBe('dpop');
    expect(jose.decodeProtectedHeader(tokens.id_token ?? '').alg).toBe('ES256');
    expect(jose.decodeJwt(tokens.access_token)['cnf']).toEqual({ jkt: expect.any(String) });
    const renewed = await client.refreshTokenGrant(configuration, tokens.refresh_token ?? '', {}, { DPoP });
    expect(renewed.refresh_token ?? tokens.refresh_token).toBe(tokens.refresh_token);
    expect((await client.refreshTokenGrant(configuration, tokens.refresh_token ?? '', {}, { DPoP })).token_type).toBe(
      'dpop',
    );
  });

  it('is refused a request that was not pushed', async () => {
    const { url } = authorizationRequest(acme, bank, { redirect_uri: redirectUri });
    const callback = await createUserAgent(server.origin).follow(url);
    expect(new URL(callback.url).searchParams.get('error')).toBe('invalid_request');
    expect(new URL(callback.url).searchParams.get('iss')).toBe(acme.issuer);
  });

  it('is refused a pushed request without PKCE', async () => {
    await expect(
      client.buildAuthorizationUrlWithPAR(configuration, { redirect_uri: redirectUri, scope: 'openid' }),
    ).rejects.toMatchObject({ error: 'invalid_request' });
  });

  it('gets no token without a proof of its key', async () => {
    await expect(
      signInWith(configuration, {
        agent: createUserAgent(server.origin),
        person: acme.person,
        parameters: { redirect_uri: redirectUri },
        pushed: true,
      }),
    ).rejects.toMatchObject({ error: 'invalid_grant' });
  });

  it('is refused an assertion signed with RS256, although it has such a key', async () => {
    const rsa = await discover(bank, client.PrivateKeyJwt(rsaKey.privateKey));
    await expect(
      client.buildAuthorizationUrlWithPAR(rsa, { redirect_uri: redirectUri, scope: 'openid' }),
    ).rejects.toMatchObject({ status: 401, error: 'invalid_client' });
  });

  it('uses a pushed request once', async () => {
    const url = await client.buildAuthorizationUrlWithPAR(configuration, {
      redirect_uri: redirectUri,
      scope: 'openid',
      state: client.randomState(),
      code_challenge: await client.calculatePKCECodeChallenge(client.randomPKCECodeVerifier()),
      code_challenge_method: 'S256',
    });
    const { person } = acme;
    const first = await passPages(createUserAgent(server.origin), url.href, { person });
    expect(first.searchParams.get('code')).not.toBeNull();
    const again = await createUserAgent(server.origin).follow(url.href);
    expect(again.status).toBe(400);
  });
});

describe('a client of the FAPI 2.0 profile with a certificate', () => {
  it('signs in with a pushed request and gets tokens bound to the certificate', async () => {
    const { jwks: _jwks, ...others } = request;
    const bank = await registerAs(server, acme, {
      ...others,
      tokenEndpointAuthMethod: 'tls_client_auth',
      settings: {
        fapi_profile: '2.0',
        tls_client_auth_san_dns: 'importer.acme.test',
        tls_client_certificate_bound_access_tokens: true,
      },
    });
    const configuration = await discover(bank, client.TlsClientAuth());
    configuration[client.customFetch] = (url, options) =>
      fetch(url, { ...options, headers: { ...options.headers, ...showing } } as RequestInit);
    const parameters = { redirect_uri: redirectUri, scope: 'openid readings:read', resource: acme.jwtApi };
    const agent = createUserAgent(server.origin);
    const { tokens } = await signInWith(configuration, { agent, person: acme.person, parameters, pushed: true });
    expect(jose.decodeJwt(tokens.access_token)['cnf']).toEqual({ 'x5t#S256': expect.any(String) });
    expect((await client.refreshTokenGrant(configuration, tokens.refresh_token ?? '')).access_token).not.toBe('');
  });
});

describe('where the FAPI 2.0 profile is switched off', () => {
  it('nobody registers for it, and who did before is not served', async () => {
    const globex = await createTestTenant(server, 'globex');
    expect(await createClient(server.context, { tenantId: globex.id, client: request })).toMatchObject({
      outcome: 'refused',
      problems: [{ problem: 'switched_off', value: 'protocol.fapi2' }],
    });
    const registered = await createClient(server.context, {
      tenantId: globex.id,
      client: request,
      protocol: everythingOn,
    });
    if (registered.outcome !== 'created') throw new Error(registered.outcome);
    const assertion = await new jose.SignJWT({ jti: crypto.randomUUID() })
      .setProtectedHeader({ alg: 'ES256' })
      .setIssuer(registered.clientId)
      .setSubject(registered.clientId)
      .setAudience(globex.issuer)
      .setIssuedAt()
      .setExpirationTime('1m')
      .sign(key.privateKey);
    const answer = await callEndpoint(globex.issuer, '/par', {
      form: {
        client_assertion: assertion,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        response_type: 'code',
        redirect_uri: redirectUri,
      },
    });
    expect(answer).toMatchObject({ status: 401, json: { error: 'invalid_client' } });
  });
});
