/**
 * Row C38, what a proxy says: headers are believed from the configured networks only, and a value that cannot be read closes the
 * door instead of opening it (authentik CVE-2024-47070 and CVE-2026-25748, Keycloak CVE-2024-10039, CVE-2024-9666).
 */
import { readFileSync } from 'node:fs';
import {
  clientCertHeader,
  escapedPemHeader,
  importerCertificate,
  jwkOf,
  otherCertificate,
} from '#test/support/client_certificates.ts';
import { registerAs, switchOn } from '#test/support/protocol.ts';
import { sendRaw } from '#test/support/raw_http.ts';
import { readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, callEndpoint, createUserAgent } from '#test/support/user_agent.ts';
import { createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

const certificateSettings = {
  POORT_CLIENT_CERTIFICATE_HEADER: 'X-Ssl-Cert',
  POORT_CLIENT_CERTIFICATE_VERIFIED_HEADER: 'X-Ssl-Verify',
};

interface Scene {
  readonly server: TestServer;
  readonly acme: TestTenant;
  readonly importer: TestClient;
}

async function arrange(environment: Record<string, string>): Promise<Scene> {
  const server = await startTestServer({ environment: { ...certificateSettings, ...environment } });
  const acme = await createTestTenant(server, 'acme');
  await switchOn(server, acme, 'mtls');
  const importer = await registerAs(server, acme, {
    name: 'Importer',
    type: 'machine',
    scopes: ['readings:write'],
    tokenEndpointAuthMethod: 'self_signed_tls_client_auth',
    jwks: { keys: [jwkOf(importerCertificate)] },
  });
  return { server, acme, importer };
}

const tokenForm = (acme: TestTenant) => ({
  grant_type: 'client_credentials',
  resource: acme.jwtApi,
  scope: 'readings:write',
});

const written = clientCertHeader(importerCertificate);

describe('C38: from an address that is no trusted proxy', () => {
  let scene: Scene;

  beforeAll(async () => {
    scene = await arrange({ POORT_TRUSTED_PROXIES: '192.0.2.0/24' });
  });

  afterAll(() => scene.server.close());

  it.each(['x-ssl-cert', 'client-cert', 'X-Ssl-Cert', 'x-client-cert', 'x-forwarded-client-cert', 'ssl-client-cert'])(
    'a certificate in %s is nobody’s',
    async (name) => {
      const { acme, importer } = scene;
      const headers = { [name]: written, 'x-ssl-verify': 'SUCCESS' };
      const answer = await callEndpoint(acme.issuer, '/token', { client: importer, form: tokenForm(acme), headers });
      expect(answer).toMatchObject({ status: 401, json: { error: 'invalid_client' } });
    },
  );

  it('what cannot be read is not even looked at', async () => {
    const answer = await fetch(`${scene.acme.issuer}/jwks`, { headers: { 'x-ssl-cert': 'rubbish' } });
    expect(answer.status).toBe(200);
  });

  it('a forwarded address does not become the caller’s, also in the audit log', async () => {
    const { server, acme } = scene;
    const agent = createUserAgent(server.origin, { 'x-forwarded-for': '203.0.113.9', forwarded: 'for=203.0.113.9' });
    const page = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
    await agent.submit(page, { email: acme.person.email, password: 'wrong' });
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['user.sign_in_failed'] });
    expect(events.map(({ ip }) => ip)).toEqual(['127.0.0.1']);
  });
});

describe('C38: from a trusted proxy', () => {
  let scene: Scene;

  beforeAll(async () => {
    scene = await arrange({ POORT_TRUSTED_PROXIES: '127.0.0.0/8' });
  });

  afterAll(() => scene.server.close());

  const ask = (headers: Record<string, string>) =>
    callEndpoint(scene.acme.issuer, '/token', { client: scene.importer, form: tokenForm(scene.acme), headers });

  it('a certificate counts, in either form', async () => {
    expect(await ask({ 'x-ssl-cert': written })).toMatchObject({ status: 200 });
    expect(await ask({ 'x-ssl-cert': escapedPemHeader(importerCertificate) })).toMatchObject({ status: 200 });
  });

  it('a header of the standard that is not the configured one is taken away', async () => {
    expect(await ask({ 'client-cert': written })).toMatchObject({ status: 401 });
    expect(await ask({ 'client-cert': clientCertHeader(otherCertificate), 'x-ssl-cert': written })).toMatchObject({
      status: 200,
    });
  });

  it.each(['', '::'])('nothing, written as %j, is no certificate', async (nothing) => {
    expect(await ask({ 'x-ssl-cert': nothing })).toMatchObject({ status: 401, json: { error: 'invalid_client' } });
  });

  const base64 = importerCertificate.raw.toString('base64');
  const pem = importerCertificate.toString();
  it.each([
    ['rubbish'],
    ['null'],
    ['(null)'],
    [':'],
    [':not base64!:'],
    [`:${base64}`],
    [`${base64}:`],
    [base64],
    [`:${base64.slice(0, -8)}:`],
    [`:${Buffer.concat([importerCertificate.raw, Buffer.from('more')]).toString('base64')}:`],
    [`:${Buffer.concat([importerCertificate.raw, otherCertificate.raw]).toString('base64')}:`],
    [`:${base64}:, :${base64}:`],
    [`:${base64}:;verified=true`],
    [`:${Buffer.from('{"kty":"EC"}').toString('base64')}:`],
    [encodeURIComponent(pem + otherCertificate.toString())],
    [encodeURIComponent(`leading text\n${pem}`)],
    [encodeURIComponent(pem.replace('-----END CERTIFICATE-----', ''))],
    [encodeURIComponent(pem.replaceAll('CERTIFICATE', 'PUBLIC KEY'))],
    ['-----BEGIN%20CERTIFICATE-----%0A%zz%0A-----END%20CERTIFICATE-----'],
    [`${escapedPemHeader(importerCertificate)}, ${escapedPemHeader(otherCertificate)}`],
  ])('%p closes the door, at every endpoint and also for who needs no certificate', async (value) => {
    const { acme } = scene;
    expect((await ask({ 'x-ssl-cert': value })).status).toBe(400);
    const headers = { 'x-ssl-cert': value };
    expect((await fetch(`${acme.issuer}/jwks`, { headers })).status).toBe(400);
    const { machine } = acme.clients;
    const answer = await callEndpoint(acme.issuer, '/token', { client: machine, form: tokenForm(acme), headers });
    expect(answer.status).toBe(400);
  });

  it('two headers are not one', async () => {
    const { server, importer, acme } = scene;
    const answer = await sendRaw(server.config.http.port, {
      method: 'POST',
      target: '/t/acme/token',
      headers: [
        ['Host', new URL(server.origin).host],
        ['Content-Type', 'application/x-www-form-urlencoded'],
        ['X-Ssl-Cert', written],
        ['x-ssl-cert', written],
      ],
      body: new URLSearchParams({ ...tokenForm(acme), client_id: importer.clientId }).toString(),
    });
    expect(answer.status).toBe(400);
  });
});

describe('C38: the sample configurations of a proxy', () => {
  it('overwrite the certificate that a client could send', () => {
    const page = readFileSync(new URL('../../docs/integration/mutual-tls.md', import.meta.url), 'utf8');
    expect(page).toContain('proxy_set_header Client-Cert $ssl_client_escaped_cert;');
    expect(page).toContain('proxy_set_header Client-Cert-Verified $ssl_client_verify;');
    expect(page.indexOf('header_up -Client-Cert\n')).toBeGreaterThan(0);
    expect(page.indexOf('header_up -Client-Cert\n')).toBeLessThan(page.indexOf('header_up Client-Cert '));
  });
});
