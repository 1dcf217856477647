/** RFC 8705 behind a proxy that ends TLS: the tests say what the proxy would, from an address that is trusted. */
import type { X509Certificate } from 'node:crypto';
import * as client from 'openid-client';
import type { ClientRequest } from '#src/domain/client.ts';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import {
  clientCertHeader,
  escapedPemHeader,
  expiredCertificate,
  importerCertificate,
  jwkOf,
  otherCertificate,
} from '#test/support/client_certificates.ts';
import { everythingOn, registerAs, switchOn } from '#test/support/protocol.ts';
import { signInWith } from '#test/support/relying_party.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { callEndpoint, createUserAgent, type EndpointAnswer } from '#test/support/user_agent.ts';
import { createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer({
    environment: {
      POORT_TRUSTED_PROXIES: '127.0.0.1',
      POORT_CLIENT_CERTIFICATE_HEADER: 'Client-Cert',
      POORT_CLIENT_CERTIFICATE_VERIFIED_HEADER: 'Client-Cert-Verified',
    },
  });
  acme = await createTestTenant(server, 'acme');
  await switchOn(server, acme, 'mtls');
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

const machine = { name: 'Importer', type: 'machine', scopes: ['readings:write'] } as const;
const register = (request: Partial<ClientRequest>): Promise<TestClient> =>
  registerAs(server, acme, { ...machine, ...request });

function showing(certificate: X509Certificate, verified = 'SUCCESS'): Record<string, string> {
  return { 'client-cert': clientCertHeader(certificate), 'client-cert-verified': verified };
}

function requestToken(registered: TestClient, headers: Record<string, string> = {}): Promise<EndpointAnswer> {
  const form = { grant_type: 'client_credentials', resource: acme.jwtApi, scope: 'readings:write' };
  return callEndpoint(acme.issuer, '/token', { client: registered, form, headers });
}

const refused = { status: 401, json: { error: 'invalid_client' } };

describe('a client that shows a certificate of an authority (tls_client_auth)', () => {
  it.each([
    ['tls_client_auth_subject_dn', 'CN=importer,O=Acme\\, Inc,C=NL'],
    ['tls_client_auth_san_dns', 'importer.acme.test'],
    ['tls_client_auth_san_uri', 'spiffe://acme.test/importer'],
    ['tls_client_auth_san_ip', '192.0.2.7'],
    ['tls_client_auth_san_email', 'importer@acme.test'],
  ])('is who it registered as by %s', async (property, value) => {
    const registered = await register({ tokenEndpointAuthMethod: 'tls_client_auth', settings: { [property]: value } });
    expect(registered.clientSecret).toBe('');
    expect(await requestToken(registered, showing(importerCertificate))).toMatchObject({ status: 200 });
    expect(await requestToken(registered, showing(otherCertificate))).toMatchObject(refused);
    expect(await requestToken(registered, showing(expiredCertificate))).toMatchObject(refused);
    expect(await requestToken(registered)).toMatchObject(refused);
  });

  it('is refused unless the proxy says that it checked, in the one word for it', async () => {
    const settings = { tls_client_auth_san_dns: 'importer.acme.test' };
    const registered = await register({ tokenEndpointAuthMethod: 'tls_client_auth', settings });
    for (const word of ['', 'NONE', 'FAILED:self-signed certificate', 'success', 'SUCCESS, SUCCESS', 'true']) {
      expect(await requestToken(registered, showing(importerCertificate, word))).toMatchObject(refused);
    }
    const { 'client-cert': certificate = '' } = showing(importerCertificate);
    expect(await requestToken(registered, { 'client-cert': certificate })).toMatchObject(refused);
  });

  it('may be written as nginx writes it', async () => {
    const settings = { tls_client_auth_san_dns: 'importer.acme.test' };
    const registered = await register({ tokenEndpointAuthMethod: 'tls_client_auth', settings });
    const headers = { ...showing(importerCertificate), 'client-cert': escapedPemHeader(importerCertificate) };
    expect(await requestToken(registered, headers)).toMatchObject({ status: 200 });
  });
});

describe('a client that shows the certificate it registered (self_signed_tls_client_auth)', () => {
  it('needs nobody’s word for it, but the same certificate', async () => {
    const registered = await register({
      tokenEndpointAuthMethod: 'self_signed_tls_client_auth',
      jwks: { keys: [jwkOf(importerCertificate)] },
    });
    expect(await requestToken(registered, showing(importerCertificate, 'FAILED:self-signed'))).toMatchObject({
      status: 200,
    });
    expect(await requestToken(registered, showing(otherCertificate))).toMatchObject(refused);
    // Another certificate for the same names is another certificate.
    expect(await requestToken(registered, showing(expiredCertificate))).toMatchObject(refused);
    expect(await requestToken(registered)).toMatchObject(refused);
  });

  it('cannot register a key with somebody else’s certificate', async () => {
    const { x5c: _own, ...key } = jwkOf(importerCertificate);
    const created = await createClient(server.context, {
      tenantId: acme.id,
      client: {
        ...machine,
        tokenEndpointAuthMethod: 'self_signed_tls_client_auth',
        jwks: { keys: [{ ...key, x5c: jwkOf(otherCertificate).x5c }] },
      },
      protocol: everythingOn,
    });
    expect(created).toMatchObject({ outcome: 'refused', problems: [{ problem: 'needs_certificates' }] });
  });
});

describe('tokens bound to a certificate (RFC 8705 §3)', () => {
  it('say so, and open userinfo and the next token only with it', async () => {
    const registered = await registerAs(server, acme, {
      name: 'Shop',
      type: 'web',
      firstParty: true,
      redirectUris: ['http://localhost:9/callback'],
      tokenEndpointAuthMethod: 'tls_client_auth',
      settings: {
        tls_client_auth_san_dns: 'importer.acme.test',
        tls_client_certificate_bound_access_tokens: true,
        refresh_rotation: 'unless_sender_constrained',
      },
    });
    let shown: Record<string, string> = showing(importerCertificate);
    const configuration = await client.discovery(
      new URL(acme.issuer),
      registered.clientId,
      { client_id: registered.clientId, use_mtls_endpoint_aliases: false },
      client.TlsClientAuth(),
      {
        execute: [client.allowInsecureRequests],
        [client.customFetch]: (url, options) =>
          fetch(url, { ...options, headers: { ...options.headers, ...shown } } as RequestInit),
      },
    );
    configuration[client.customFetch] = (url, options) =>
      fetch(url, { ...options, headers: { ...options.headers, ...shown } } as RequestInit);
    const { tokens } = await signInWith(configuration, { agent: createUserAgent(server.origin), person: acme.person });
    expect(await client.tokenIntrospection(configuration, tokens.access_token)).toMatchObject({
      active: true,
      cnf: { 'x5t#S256': expect.any(String) },
    });
    expect((await client.fetchUserInfo(configuration, tokens.access_token, acme.person.id)).sub).toBe(acme.person.id);
    expect((await client.refreshTokenGrant(configuration, tokens.refresh_token ?? '')).access_token).not.toBe('');

    for (const other of [{}, showing(otherCertificate)]) {
      shown = other;
      const userinfo = await fetch(`${acme.issuer}/userinfo`, {
        headers: { authorization: `Bearer ${tokens.access_token}`, ...shown },
      });
      expect(userinfo.status).toBe(401);
      await expect(client.refreshTokenGrant(configuration, tokens.refresh_token ?? '')).rejects.toMatchObject({
        status: 401,
      });
    }
  });

  it('carry the thumbprint in a JWT, for the API to compare', async () => {
    const settings = {
      tls_client_auth_san_dns: 'importer.acme.test',
      tls_client_certificate_bound_access_tokens: true,
    };
    const registered = await register({ tokenEndpointAuthMethod: 'tls_client_auth', settings });
    const { json } = await requestToken(registered, showing(importerCertificate));
    const [, payload = ''] = String(json['access_token']).split('.');
    const thumbprint = Buffer.from(importerCertificate.fingerprint256.replaceAll(':', ''), 'hex').toString('base64url');
    expect(JSON.parse(Buffer.from(payload, 'base64url').toString())).toMatchObject({ cnf: { 'x5t#S256': thumbprint } });
  });
});

describe('where mutual TLS is switched off', () => {
  it('no such client is registered, and one from before is not served', async () => {
    const globex = await createTestTenant(server, 'globex');
    const settings = { tls_client_auth_san_dns: 'importer.acme.test' };
    const request = { ...machine, tokenEndpointAuthMethod: 'tls_client_auth', settings };
    expect(await createClient(server.context, { tenantId: globex.id, client: request })).toMatchObject({
      outcome: 'refused',
      problems: [{ problem: 'switched_off', value: 'protocol.mtls' }],
    });
    await switchOn(server, globex, 'mtls');
    const registered = await registerAs(server, globex, request);
    const form = { grant_type: 'client_credentials', resource: globex.jwtApi, scope: 'readings:write' };
    const ask = (): Promise<EndpointAnswer> =>
      callEndpoint(globex.issuer, '/token', { client: registered, form, headers: showing(importerCertificate) });
    expect(await ask()).toMatchObject({ status: 200 });

    await configureTenant(server.context, { id: globex.id, changes: [{ name: 'protocol.mtls', value: undefined }] });
    let answer = await ask();
    while (answer.status === 200) answer = await ask();
    expect(answer).toMatchObject(refused);
    const discovered = await (await fetch(`${globex.issuer}/.well-known/openid-configuration`)).text();
    expect(discovered).not.toMatch(/tls_client/);
  });
});
