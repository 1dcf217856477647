/**
 * Lesson C4, PKCE downgrade (CVE-2024-23647, CVE-2023-48228): a code without a challenge can be injected, so none is ever issued,
 * for no type of client, by no way of asking; and a code with one is worth nothing without its verifier.
 */
import { createHash, randomBytes } from 'node:crypto';
import * as jose from 'jose';
import { CLIENT_TYPES, presetFor } from '#src/domain/client.ts';
import { registerAs, switchOn } from '#test/support/protocol.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  type Authorized,
  authorizationRequest,
  authorize,
  callEndpoint,
  createUserAgent,
  type EndpointAnswer,
  type Page,
  type UserAgent,
} from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

const challenge = createHash('sha256').update('v'.repeat(43)).digest('base64url');
const otherChallenge = createHash('sha256').update('w'.repeat(43)).digest('base64url');

type Parameters = readonly (readonly [string, string])[];

const honest: Parameters = [
  ['code_challenge', challenge],
  ['code_challenge_method', 'S256'],
];

/** What an attacker, or a careless library, sends instead of `code_challenge=…&code_challenge_method=S256`. */
const downgrades: readonly (readonly [string, Parameters])[] = [
  ['nothing', []],
  [
    'an empty challenge',
    [
      ['code_challenge', ''],
      ['code_challenge_method', 'S256'],
    ],
  ],
  ['the method alone', [['code_challenge_method', 'S256']]],
  ['no method, which means plain', [['code_challenge', challenge]]],
  [
    'plain',
    [
      ['code_challenge', challenge],
      ['code_challenge_method', 'plain'],
    ],
  ],
  [
    'another spelling of the method',
    [
      ['code_challenge', challenge],
      ['code_challenge_method', 's256'],
    ],
  ],
  [
    'a method that is none',
    [
      ['code_challenge', challenge],
      ['code_challenge_method', 'none'],
    ],
  ],
  [
    'a challenge that is too short',
    [
      ['code_challenge', 'c'.repeat(42)],
      ['code_challenge_method', 'S256'],
    ],
  ],
  [
    'a challenge that is too long',
    [
      ['code_challenge', 'c'.repeat(129)],
      ['code_challenge_method', 'S256'],
    ],
  ],
  [
    'a challenge of other characters',
    [
      ['code_challenge', `${'c'.repeat(42)}=`],
      ['code_challenge_method', 'S256'],
    ],
  ],
  [
    'two challenges',
    [
      ['code_challenge', challenge],
      ['code_challenge', otherChallenge],
      ['code_challenge_method', 'S256'],
    ],
  ],
  [
    'two methods',
    [
      ['code_challenge', challenge],
      ['code_challenge_method', 'S256'],
      ['code_challenge_method', 'plain'],
    ],
  ],
];

const typesWithCodes = CLIENT_TYPES.filter((type) =>
  presetFor(type).grantTypes.some((grant) => grant === 'authorization_code'),
);

describe('C4: PKCE', () => {
  let server: TestServer;
  let acme: TestTenant;
  /** Signed in already: nothing but the request itself stands between it and a code. */
  let agent: UserAgent;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    agent = createUserAgent(server.origin);
    await authorize(agent, { tenant: acme, client: acme.clients.web });
  });

  afterAll(async () => {
    expect(server.log).toEqual([]);
    await server.close();
  });

  const redirectUriOf = (type: string): string => (type === 'native' ? 'http://127.0.0.1/callback' : callbackUri);

  function request(type: string, client: TestClient, parameters: Parameters): URLSearchParams {
    const { url } = authorizationRequest(acme, client, { redirect_uri: redirectUriOf(type) });
    const { searchParams } = new URL(url);
    for (const name of ['code_challenge', 'code_challenge_method']) searchParams.delete(name);
    for (const [name, value] of parameters) searchParams.append(name, value);
    return searchParams;
  }

  const codeOf = ({ url }: Page): string | null => new URL(url).searchParams.get('code');

  async function countCodes(): Promise<number> {
    const sql = `select count(*)::int as codes from artifacts where kind = 'AuthorizationCode'`;
    return (await queryAsSuperuser<{ codes: number }>(server.database, sql))[0]?.codes ?? 0;
  }

  it('is asked of every type of client that uses codes', () => {
    expect(typesWithCodes).toEqual(['web', 'spa', 'native']);
    for (const type of typesWithCodes) expect(presetFor(type).requirePkce).toBe(true);
  });

  describe.each(typesWithCodes)('of a %s client', (type) => {
    it.each(downgrades)('cannot be replaced by %s: there is no code, however it is asked for', async (_name, sent) => {
      const client = acme.clients[type];
      const before = await countCodes();
      const parameters = request(type, client, sent);

      const asked = await agent.follow(`${acme.issuer}/authorize?${parameters}`);
      expect(codeOf(asked)).toBeNull();
      expect(new URL(asked.url).searchParams.get('error') ?? String(asked.status)).toMatch(/^(invalid_request|400)$/);

      const posted = await agent.follow(`${acme.issuer}/authorize`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: parameters.toString(),
      });
      expect(codeOf(posted)).toBeNull();

      const pushed = await push(client, parameters);
      expect(pushed).toMatchObject({ status: 400, json: { error: 'invalid_request' } });
      expect(await countCodes()).toBe(before);
    });

    it.each<readonly [string, Parameters]>([
      ['nothing', []],
      ['another challenge', [['code_challenge', otherChallenge]]],
      ['plain', [['code_challenge_method', 'plain']]],
    ])('stays with a pushed request, though the address that names it says %s', async (_name, said) => {
      const client = acme.clients[type];
      const redirectUri = redirectUriOf(type);
      const codeFor = async (extra: Parameters): Promise<string | null> => {
        const pushed = await push(client, request(type, client, honest));
        expect(pushed.status).toBe(201);
        const reference = { client_id: client.clientId, request_uri: String(pushed.json['request_uri']) };
        const address = new URLSearchParams(reference);
        for (const [name, value] of extra) address.append(name, value);
        return codeOf(await agent.follow(`${acme.issuer}/authorize?${address}`));
      };
      for (const verifier of [undefined, challenge, 'w'.repeat(43)]) {
        const code = await codeFor(said);
        if (code === null) continue; // refused to listen, which is as good
        expect(await redeem(client, { code, redirectUri, verifier })).toMatchObject({ status: 400 });
      }
      const code = (await codeFor([])) ?? '';
      expect((await redeem(client, { code, redirectUri, verifier: 'v'.repeat(43) })).status).toBe(200);
    });

    it.each([
      ['no verifier', () => undefined],
      ['an empty verifier', () => ''],
      ['the challenge as if it were the verifier', ({ verifier }: Authorized) => hashOf(verifier)],
      ['the hash of the challenge', ({ verifier }: Authorized) => hashOf(hashOf(verifier))],
      ['the verifier in other case', ({ verifier }: Authorized) => verifier.toUpperCase()],
      ['the verifier with a space', ({ verifier }: Authorized) => `${verifier} `],
      ['a verifier that is too short', ({ verifier }: Authorized) => verifier.slice(0, 42)],
      ['another verifier', () => randomBytes(32).toString('base64url')],
    ])('makes a code worthless with %s', async (_name, verifierFor) => {
      const client = acme.clients[type];
      const redirectUri = redirectUriOf(type);
      const authorized = await authorize(agent, { tenant: acme, client, extra: { redirect_uri: redirectUri } });
      const verifier = verifierFor(authorized);
      const answer = await redeem(client, { code: authorized.code, redirectUri, verifier });
      expect(answer).toMatchObject({
        status: 400,
        json: { error: expect.stringMatching(/^invalid_(grant|request)$/) },
      });
      expect(answer.json['access_token']).toBeUndefined();
    });

    it('leaves a code to its owner when somebody guesses at the verifier', async () => {
      const client = acme.clients[type];
      const redirectUri = redirectUriOf(type);
      const { code, verifier } = await authorize(agent, { tenant: acme, client, extra: { redirect_uri: redirectUri } });
      for (const guess of [undefined, '', `${verifier}a`, randomBytes(32).toString('base64url')])
        expect((await redeem(client, { code, redirectUri, verifier: guess })).status).toBe(400);
      expect((await redeem(client, { code, redirectUri, verifier })).status).toBe(200);
    });

    it('ties each code to its own verifier: two sign-ins of one person cannot be crossed', async () => {
      const client = acme.clients[type];
      const redirectUri = redirectUriOf(type);
      const ask = () => authorize(agent, { tenant: acme, client, extra: { redirect_uri: redirectUri } });
      const [mine, injected] = [await ask(), await ask()];
      const crossed = await redeem(client, { code: injected.code, redirectUri, verifier: mine.verifier });
      expect(crossed).toMatchObject({ status: 400, json: { error: 'invalid_grant' } });
    });
  });

  it('is asked of a signed request in what was signed: a challenge beside it does not count', async () => {
    await switchOn(server, acme, 'jar');
    const key = await jose.generateKeyPair('ES256', { extractable: true });
    const client = await registerAs(server, acme, {
      name: 'Signing',
      type: 'web',
      redirectUris: [callbackUri],
      jwks: { keys: [await jose.exportJWK(key.publicKey)] },
    });
    const signed = await new jose.SignJWT({
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
    const { searchParams } = new URL(authorizationRequest(acme, client, { request: signed }).url);
    const page = await createUserAgent(server.origin).follow(`${acme.issuer}/authorize?${searchParams}`);
    expect(new URL(page.url).searchParams.get('error')).toBe('invalid_request');
  });

  it('is part of every code there is, and a verifier for a code without a challenge is refused', async () => {
    const { web } = acme.clients;
    const codes = await queryAsSuperuser<{ challenge: string | null; method: string | null }>(
      server.database,
      `select payload ->> 'codeChallenge' as challenge, payload ->> 'codeChallengeMethod' as method
         from artifacts where kind = 'AuthorizationCode'`,
    );
    expect(codes.length).toBeGreaterThan(0);
    for (const { challenge: kept, method } of codes)
      expect({ kept, method }).toEqual({ kept: expect.stringMatching(/^[\w-]{43}$/), method: 'S256' });

    // No request makes such a code; a row that somebody changed must not open the way of the advisory either.
    const authorized = await authorize(agent, { tenant: acme, client: web });
    await queryAsSuperuser(
      server.database,
      `update artifacts set payload = (payload::jsonb - 'codeChallenge' - 'codeChallengeMethod')::json
        where kind = 'AuthorizationCode' and id_hash = sha256($1)`,
      [Buffer.from(authorized.code)],
    );
    const { code, verifier } = authorized;
    expect(await redeem(web, { code, redirectUri: callbackUri, verifier })).toMatchObject({
      status: 400,
      json: { error: 'invalid_grant' },
    });
  });

  const hashOf = (text: string): string => createHash('sha256').update(text).digest('base64url');

  const push = (client: TestClient, parameters: URLSearchParams): Promise<EndpointAnswer> =>
    callEndpoint(acme.issuer, '/par', { client, form: parameters });

  function redeem(
    client: TestClient,
    { code, redirectUri, verifier }: { code: string; redirectUri: string; verifier?: string | undefined },
  ): Promise<EndpointAnswer> {
    return callEndpoint(acme.issuer, '/token', {
      client,
      form: {
        grant_type: 'authorization_code',
        code,
        redirect_uri: redirectUri,
        ...(verifier === undefined ? {} : { code_verifier: verifier }),
      },
    });
  }
});
