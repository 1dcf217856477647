/** examples/resource-server: which tokens it takes, and that it shuts when it cannot find out. */
import { createHmac } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { jest } from '@jest/globals';
import { type CryptoKey, exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { startResourceServer } from '../../examples/resource-server/resource_server.ts';

const audience = 'https://api.example/readings';

describe('the example API', () => {
  let authorizationServer: Server;
  let issuer: string;
  let keys: Awaited<ReturnType<typeof generateKeyPair>>;
  let api: Awaited<ReturnType<typeof startResourceServer>>;
  let introspection: { status: number; body: unknown };
  let asked: { authorization: string | undefined; body: string }[] = [];

  beforeAll(async () => {
    keys = await generateKeyPair('ES256', { extractable: true });
    const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'current', alg: 'ES256', use: 'sig' };
    authorizationServer = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      const send = (body: unknown, status = 200) =>
        response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
      if (request.url === '/.well-known/openid-configuration') {
        send({ issuer, jwks_uri: `${issuer}/jwks`, introspection_endpoint: `${issuer}/introspect` });
      } else if (request.url === '/jwks') send({ keys: [jwk] });
      else {
        asked.push({ authorization: request.headers.authorization, body: Buffer.concat(chunks).toString() });
        send(introspection.body, introspection.status);
      }
    });
    await new Promise<void>((resolve) => authorizationServer.listen(0, '127.0.0.1', resolve));
    issuer = `http://127.0.0.1:${(authorizationServer.address() as AddressInfo).port}`; // a TCP server's address has this shape
    api = await startResourceServer({ issuer, audience, clientId: 'the api', clientSecret: 's:ecret', port: 0 });
  });

  afterAll(async () => {
    await api?.close();
    authorizationServer?.closeAllConnections();
    authorizationServer?.close();
  });

  beforeEach(() => {
    asked = [];
    introspection = { status: 200, body: { active: false } };
  });

  interface TokenChanges {
    readonly typ?: string;
    readonly claims?: JWTPayload;
    readonly kid?: string;
    readonly key?: CryptoKey;
  }

  const seconds = () => Math.floor(Date.now() / 1_000);

  function claimsOf(changes: JWTPayload = {}): JWTPayload {
    const now = seconds();
    const usual = { iss: issuer, aud: audience, sub: 'ada', client_id: 'web', jti: 'x', iat: now, exp: now + 60 };
    return { ...usual, scope: 'readings:read', roles: ['user'], ...changes };
  }

  function token({
    typ = 'at+jwt',
    claims,
    kid = 'current',
    key = keys.privateKey,
  }: TokenChanges = {}): Promise<string> {
    return new SignJWT(claimsOf(claims)).setProtectedHeader({ alg: 'ES256', typ, kid }).sign(key);
  }

  async function call(path: string, bearer?: string) {
    const headers = bearer === undefined ? {} : { Authorization: `Bearer ${bearer}` };
    const response = await fetch(api.origin + path, { headers });
    return {
      status: response.status,
      challenge: response.headers.get('www-authenticate') ?? '',
      body: (await response.json()) as Record<string, unknown>,
    };
  }

  it('takes an access token that was made for it, without asking anyone', async () => {
    expect(await call('/local', await token())).toMatchObject({ status: 200, body: { sub: 'ada', aud: audience } });
    expect(asked).toEqual([]);
  });

  const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

  it.each<[string, () => Promise<string>]>([
    ['an ID token, which has another typ', () => token({ typ: 'JWT' })],
    ['a token for another API', () => token({ claims: { aud: 'https://api.example/other' } })],
    ['a token of another issuer', () => token({ claims: { iss: 'https://evil.example' } })],
    ['an expired token', () => token({ claims: { exp: seconds() - 60 } })],
    ['a token that is not valid yet', () => token({ claims: { nbf: seconds() + 60 } })],
    ['a token without a client', () => token({ claims: { client_id: undefined } })],
    ['a token signed by another key', async () => token({ key: (await generateKeyPair('ES256')).privateKey })],
    ['a token naming a key that does not exist', () => token({ kid: 'unknown' })],
    ['an unsigned token', async () => `${base64url({ alg: 'none', typ: 'at+jwt' })}.${base64url(claimsOf())}.`],
    [
      'a token whose MAC was made with the public key',
      async () => {
        const signed = `${base64url({ alg: 'HS256', typ: 'at+jwt', kid: 'current' })}.${base64url(claimsOf())}`;
        const mac = createHmac('sha256', await exportSPKI(keys.publicKey)).update(signed);
        return `${signed}.${mac.digest('base64url')}`;
      },
    ],
    ['an opaque token', async () => 'at_opaque'],
  ])('refuses %s', async (_name, make) => {
    const refused = await call('/local', await make());
    expect(refused.status).toBe(401);
    expect(refused.challenge).toMatch(/^Bearer realm="[^"]+", error="invalid_token", error_description="[^"]+"$/);
    expect(refused.body).not.toHaveProperty('sub');
  });

  it('tells who brings no token only that one is needed', async () => {
    expect(await call('/local')).toMatchObject({
      status: 401,
      challenge: expect.stringMatching(/^Bearer realm="[^"]+", DPoP realm="[^"]+", algs="[^"]+"$/),
    });
  });

  it('lets only administrators into what is theirs', async () => {
    expect(await call('/admins-only', await token())).toMatchObject({
      status: 403,
      challenge: expect.stringContaining('insufficient_scope'),
    });
    expect((await call('/admins-only', await token({ claims: { roles: 'admin' } }))).status).toBe(403);
    expect((await call('/admins-only', await token({ claims: { roles: ['user', 'admin'] } }))).status).toBe(200);
  });

  it('asks about a token under its own name, and takes only what is active and meant for it', async () => {
    const good = { active: true, aud: [audience, 'https://other.example'], sub: 'ada', client_id: 'web' };
    introspection = { status: 200, body: { ...good, exp: seconds() + 60 } };
    expect(await call('/live', 'at_opaque')).toMatchObject({ status: 200, body: { sub: 'ada' } });
    // RFC 6749 §2.3.1: both parts are form-encoded first.
    expect(asked).toEqual([
      {
        authorization: `Basic ${Buffer.from('the%20api:s%3Aecret').toString('base64')}`,
        body: 'token=at_opaque&token_type_hint=access_token',
      },
    ]);
    for (const body of [
      { active: false },
      { ...good, active: 'true', exp: seconds() + 60 },
      { ...good, aud: 'else', exp: seconds() + 60 },
      { ...good, aud: undefined, exp: seconds() + 60 },
      { ...good, exp: seconds() - 60 },
      { active: true },
    ]) {
      introspection = { status: 200, body };
      expect((await call('/live', 'at_opaque')).status).toBe(401);
    }
  });

  it('shuts, and does not blame the token, when it cannot find out', async () => {
    const logged = jest.spyOn(console, 'error').mockImplementation(() => undefined);
    introspection = { status: 500, body: {} };
    expect(await call('/live', 'at_opaque')).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } });
    const orphan = await startResourceServer({
      issuer: 'http://127.0.0.1:1',
      audience,
      clientId: 'x',
      clientSecret: 'x',
      port: 0,
    });
    const { status } = await fetch(`${orphan.origin}/local`, { headers: { Authorization: `Bearer ${await token()}` } });
    expect(status).toBe(503);
    expect(logged).toHaveBeenCalledTimes(2);
    logged.mockRestore();
    await orphan.close();
  });
});
