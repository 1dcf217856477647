/**
 * Row C4, PKCE that can be left out (authentik CVE-2024-23647, CVE-2023-48228): every client that uses codes, through every door a
 * request can come by, and a code is worth nothing without the verifier that belongs to it.
 */
import { createHash, randomBytes } from 'node:crypto';
import * as jose from 'jose';
import { CLIENT_TYPES, presetFor } from '#src/domain/client.ts';
import { registerAs, switchOn } from '#test/support/protocol.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  callEndpoint,
  createUserAgent,
  exchangeCode,
} from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

const typesWithCodes = CLIENT_TYPES.filter((type) => presetFor(type).grantTypes.includes('authorization_code'));

let server: TestServer;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  await switchOn(server, acme, 'jar');
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

const challenge = createHash('sha256').update('a verifier').digest('base64url');
const downgrades: readonly (readonly [string, Record<string, string | undefined>])[] = [
  ['no challenge', { code_challenge: undefined, code_challenge_method: undefined }],
  ['a method alone', { code_challenge: undefined }],
  ['a challenge alone', { code_challenge_method: undefined }],
  ['an empty challenge', { code_challenge: '' }],
  ['plain', { code_challenge_method: 'plain' }],
  ['another method', { code_challenge_method: 'S512' }],
  ['another case', { code_challenge_method: 's256' }],
  ['a challenge that is too short', { code_challenge: challenge.slice(1) }],
  ['a challenge of other characters', { code_challenge: `${challenge.slice(0, -1)}!` }],
];

function changed(parameters: Readonly<Record<string, string>>, change: Readonly<Record<string, string | undefined>>) {
  const merged = Object.entries({ ...parameters, ...change });
  return Object.fromEntries(merged.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

describe('C4: a request without its challenge', () => {
  it.each(typesWithCodes)('of a %s client gets no code, asked for or pushed', async (type) => {
    const client = acme.clients[type];
    const redirect = type === 'native' ? { redirect_uri: 'http://127.0.0.1/callback' } : {};
    const { url } = authorizationRequest(acme, client, redirect);
    const parameters = Object.fromEntries(new URL(url).searchParams);
    for (const [name, change] of downgrades) {
      const form = changed(parameters, change);
      const page = await createUserAgent(server.origin).follow(`${acme.issuer}/authorize?${new URLSearchParams(form)}`);
      expect({ name, error: new URL(page.url).searchParams.get('error') }).toEqual({ name, error: 'invalid_request' });
      const pushed = await callEndpoint(acme.issuer, '/par', { client, form });
      expect({ name, status: pushed.status, error: pushed.json['error'] }).toEqual({
        name,
        status: 400,
        error: 'invalid_request',
      });
    }
  });

  it('in a signed request gets none either', async () => {
    const key = await jose.generateKeyPair('ES256', { extractable: true });
    const client = await registerAs(server, acme, {
      name: 'Signing',
      type: 'web',
      redirectUris: [callbackUri],
      jwks: { keys: [await jose.exportJWK(key.publicKey)] },
    });
    const request = await new jose.SignJWT({
      response_type: 'code',
      client_id: client.clientId,
      redirect_uri: callbackUri,
      scope: 'openid',
    })
      .setProtectedHeader({ alg: 'ES256' })
      .setIssuer(client.clientId)
      .setAudience(acme.issuer)
      .setExpirationTime('1m')
      .sign(key.privateKey);
    // The challenge stands beside the signed request, where it does not count.
    const { searchParams } = new URL(authorizationRequest(acme, client, { request }).url);
    const page = await createUserAgent(server.origin).follow(`${acme.issuer}/authorize?${searchParams}`);
    expect(new URL(page.url).searchParams.get('error')).toBe('invalid_request');
  });

  it('leaves nothing behind: every code that was ever made has a challenge', async () => {
    await authorize(createUserAgent(server.origin), { tenant: acme, client: acme.clients.web });
    const codes = await queryAsSuperuser<{ method: string | null }>(
      server.database,
      `select payload ->> 'codeChallengeMethod' as method from artifacts where kind = 'AuthorizationCode'`,
    );
    expect(codes.length).toBeGreaterThan(0);
    for (const { method } of codes) expect(method).toBe('S256');
  });
});

describe('C4: a code', () => {
  const exchange = (client: TestClient, code: string, verifier: string | undefined) =>
    callEndpoint(acme.issuer, '/token', {
      client,
      form: changed({ grant_type: 'authorization_code', code, redirect_uri: callbackUri }, { code_verifier: verifier }),
    });

  it.each(['web', 'spa'] as const)('of a %s client opens with its verifier and no other', async (type) => {
    const client = acme.clients[type];
    const authorized = await authorize(createUserAgent(server.origin), { tenant: acme, client });
    const { code, verifier } = authorized;
    const wrong = [
      undefined,
      '',
      randomBytes(32).toString('base64url'),
      createHash('sha256').update(verifier).digest('base64url'),
      verifier.slice(0, -1),
      `${verifier}a`,
      verifier.toUpperCase(),
    ];
    for (const attempt of wrong) {
      const answer = await exchange(client, code, attempt);
      expect({ attempt, status: answer.status, error: answer.json['error'] }).toMatchObject({ attempt, status: 400 });
    }
    // Who guesses does not spend it.
    expect((await exchangeCode(acme, client, authorized)).status).toBe(200);
  });
});
