/**
 * Row C30, confusion of algorithms and keys (Keycloak CVE-2026-11800, CVE-2024-7318; Hydra GHSA-3p3g-vpw6-4w66): every JWT that
 * comes from outside is held to the algorithms and keys we know for its sender. The same forgeries go to every place that takes one.
 */
import { createHmac, createPublicKey, type JsonWebKey, type KeyObject, randomBytes } from 'node:crypto';
import * as jose from 'jose';
import { registerAs, switchOn } from '#test/support/protocol.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, callEndpoint, createUserAgent, exchangeCode } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, postLogoutUri, type TestClient, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let key: jose.GenerateKeyPairResult;
let stranger: jose.GenerateKeyPairResult;
let strangerRsa: jose.GenerateKeyPairResult;
let keyed: TestClient;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  await switchOn(server, acme, 'jar');
  key = await jose.generateKeyPair('ES256', { extractable: true });
  stranger = await jose.generateKeyPair('ES256', { extractable: true });
  strangerRsa = await jose.generateKeyPair('RS256', { extractable: true });
  keyed = await registerAs(server, acme, {
    name: 'Keyed',
    type: 'web',
    firstParty: true,
    redirectUris: [callbackUri],
    jwks: { keys: [{ ...(await jose.exportJWK(key.publicKey)), kid: 'known' }] },
  });
});

afterAll(async () => {
  // A forgery is refused; it is never a fault.
  expect(server.log).toEqual([]);
  await server.close();
});

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

interface Genuine {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: () => Readonly<Record<string, unknown>>;
  /** What anybody can know of the key that would verify it. */
  readonly publicKey: KeyObject;
  readonly sign: (header: object, claims: object) => Promise<string>;
}

async function forgeries({ header, claims, publicKey, sign }: Genuine): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const unsigned = (changed: object): string => `${part({ ...header, ...changed })}.${part(claims())}`;

  for (const alg of ['none', 'None', 'NONE', 'nOnE', '', null, undefined, 0, ['ES256'], 'ES256 ', 'es256']) {
    found.set(`alg ${JSON.stringify(alg)}, no signature`, `${unsigned({ alg })}.`);
    found.set(
      `alg ${JSON.stringify(alg)}, some signature`,
      `${unsigned({ alg })}.${randomBytes(64).toString('base64url')}`,
    );
  }
  const good = await sign(header, claims());
  const [protectedPart = '', , signature = ''] = good.split('.');
  found.set('its signature cut off', good.slice(0, good.lastIndexOf('.') + 1));
  found.set('its signature and the dot cut off', good.slice(0, good.lastIndexOf('.')));
  found.set('other claims under the signature', `${protectedPart}.${part({ ...claims(), admin: true })}.${signature}`);
  found.set('a signature of zeros', `${unsigned({})}.${Buffer.alloc(64).toString('base64url')}`);
  found.set(
    'a signature of DER zeros',
    `${unsigned({})}.${Buffer.from([0x30, 6, 2, 1, 0, 2, 1, 0]).toString('base64url')}`,
  );

  const jwk = publicKey.export({ format: 'jwk' });
  const secrets: readonly (readonly [string, string | Buffer])[] = [
    ['the PEM', publicKey.export({ format: 'pem', type: 'spki' }).toString()],
    ['the PEM, trimmed', publicKey.export({ format: 'pem', type: 'spki' }).toString().trim()],
    ['the DER', publicKey.export({ format: 'der', type: 'spki' })],
    ['the JWK', JSON.stringify(jwk)],
    ['one coordinate', Buffer.from(String(jwk.x ?? jwk.n), 'base64url')],
    ['nothing', ''],
    ['a common word', 'secret'],
  ];
  for (const [name, secret] of secrets) {
    for (const [alg, digest] of [
      ['HS256', 'sha256'],
      ['HS384', 'sha384'],
      ['HS512', 'sha512'],
    ] as const) {
      const text = unsigned({ alg });
      found.set(
        `${alg} with ${name} as the secret`,
        `${text}.${createHmac(digest, secret).update(text).digest('base64url')}`,
      );
    }
  }

  const strangerJwk = await jose.exportJWK(stranger.publicKey);
  const byStranger = (changed: object, changedClaims: object = {}): Promise<string> =>
    new jose.SignJWT({ ...claims(), ...changedClaims })
      .setProtectedHeader({ ...header, alg: 'ES256', ...changed })
      .sign(stranger.privateKey);
  if (header['jwk'] === undefined) {
    found.set('signed by a stranger', await byStranger({}));
    found.set('signed by a stranger who brings the key', await byStranger({ jwk: strangerJwk }));
  }
  found.set('signed by a stranger under a path', await byStranger({ kid: '../../../../dev/null', jwk: header['jwk'] }));
  found.set(
    'signed by a stranger with keys elsewhere',
    await byStranger({ jku: 'https://evil.test/jwks', x5u: 'https://evil.test/x', jwk: header['jwk'] }),
  );
  const rsa = new jose.SignJWT({ ...claims() }).setProtectedHeader({ ...header, alg: 'RS256' });
  found.set('signed with RSA where the key is EC', await rsa.sign(strangerRsa.privateKey));
  const critical = { ...header, crit: ['exp-strict'], 'exp-strict': true };
  const input = `${part(critical)}.${part(claims())}`;
  found.set('critical, and nobody knows what', `${input}.${signature}`);
  found.set('not a JWT', 'e30.e30.e30');
  found.set('five parts', `${good}.e30.e30`);
  found.set('an array', `${part([header])}.${part(claims())}.${signature}`);
  found.set('in JSON serialization', JSON.stringify({ protected: protectedPart, payload: part(claims()), signature }));
  return found;
}

const now = (): number => Math.floor(Date.now() / 1000);

describe('C30: a client assertion', () => {
  const claims = () => ({
    iss: keyed.clientId,
    sub: keyed.clientId,
    aud: acme.issuer,
    jti: crypto.randomUUID(),
    exp: now() + 60,
  });
  const present = (assertion: string) =>
    callEndpoint(acme.issuer, '/revoke', {
      form: {
        token: 'at_x',
        client_assertion: assertion,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      },
    });

  it('counts when it is signed with the registered key, and not otherwise', async () => {
    const header = { alg: 'ES256', kid: 'known' };
    const sign = (protectedHeader: object, payload: object): Promise<string> =>
      new jose.SignJWT({ ...payload }).setProtectedHeader({ alg: 'ES256', ...protectedHeader }).sign(key.privateKey);
    const publicKey = createPublicKey({ key: (await jose.exportJWK(key.publicKey)) as JsonWebKey, format: 'jwk' });
    expect((await present(await sign(header, claims()))).status).toBe(200);
    for (const [name, forged] of await forgeries({ header, claims, publicKey, sign })) {
      const { status } = await present(forged);
      expect({ name, refused: status === 400 || status === 401 }).toEqual({ name, refused: true });
    }
  });
});

describe('C30: a DPoP proof', () => {
  it('counts when it is signed with the key it carries, by an asymmetric algorithm', async () => {
    const jwk = await jose.exportJWK(key.publicKey);
    const header = { alg: 'ES256', typ: 'dpop+jwt', jwk };
    const claims = () => ({ jti: crypto.randomUUID(), htm: 'POST', htu: `${acme.issuer}/token`, iat: now() });
    const sign = (protectedHeader: object, payload: object): Promise<string> =>
      new jose.SignJWT({ ...payload }).setProtectedHeader({ alg: 'ES256', ...protectedHeader }).sign(key.privateKey);
    const present = (dpop: string) =>
      callEndpoint(acme.issuer, '/token', {
        client: acme.clients.machine,
        form: { grant_type: 'client_credentials' },
        headers: { dpop },
      });
    expect(await present(await sign(header, claims()))).toMatchObject({ status: 200, json: { token_type: 'DPoP' } });
    const publicKey = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
    const forged = new Map(await forgeries({ header, claims, publicKey, sign }));
    const secret = { kty: 'oct', k: randomBytes(32).toString('base64url') };
    const symmetric = `${part({ ...header, alg: 'HS256', jwk: secret })}.${part(claims())}`;
    const mac = createHmac('sha256', Buffer.from(secret.k, 'base64url')).update(symmetric).digest('base64url');
    forged.set('with a symmetric key of its own', `${symmetric}.${mac}`);
    forged.set(
      'with a private key in it',
      await sign({ ...header, jwk: await jose.exportJWK(key.privateKey) }, claims()),
    );
    forged.set('of another type', await sign({ ...header, typ: 'JWT' }, claims()));
    for (const [name, proof] of forged) {
      const { status } = await present(proof);
      expect({ name, status }).toEqual({ name, status: 400 });
    }
  });
});

describe('C30: a request object', () => {
  it('counts when it is signed with the registered key, at both endpoints that take one', async () => {
    const header = { alg: 'ES256', typ: 'oauth-authz-req+jwt', kid: 'known' };
    const claims = () => ({
      iss: keyed.clientId,
      aud: acme.issuer,
      client_id: keyed.clientId,
      exp: now() + 60,
      response_type: 'code',
      redirect_uri: callbackUri,
      scope: 'openid',
      code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
      code_challenge_method: 'S256',
    });
    const sign = (protectedHeader: object, payload: object): Promise<string> =>
      new jose.SignJWT({ ...payload }).setProtectedHeader({ alg: 'ES256', ...protectedHeader }).sign(key.privateKey);
    const begins = async (request: string): Promise<boolean> => {
      const parameters = new URLSearchParams({ client_id: keyed.clientId, request });
      const page = await createUserAgent(server.origin).request(`${acme.issuer}/authorize?${parameters}`);
      expect(page.status).toBeLessThan(500);
      return (page.headers.get('location') ?? '').includes('/interaction/');
    };
    const push = async (request: string): Promise<number> => {
      const assertion = await sign(
        { kid: 'known' },
        { iss: keyed.clientId, sub: keyed.clientId, aud: acme.issuer, jti: crypto.randomUUID(), exp: now() + 60 },
      );
      const answer = await callEndpoint(acme.issuer, '/par', {
        form: {
          request,
          client_id: keyed.clientId,
          client_assertion: assertion,
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        },
      });
      return answer.status;
    };
    const genuine = await sign(header, claims());
    expect(await begins(genuine)).toBe(true);
    expect(await push(await sign(header, claims()))).toBe(201);
    const publicKey = createPublicKey({ key: (await jose.exportJWK(key.publicKey)) as JsonWebKey, format: 'jwk' });
    for (const [name, forged] of await forgeries({ header, claims, publicKey, sign })) {
      expect({ name, begins: await begins(forged) }).toEqual({ name, begins: false });
      expect({ name, pushed: await push(forged) }).toEqual({ name, pushed: 400 });
    }
  });
});

describe('C30: an ID token as a hint', () => {
  it('names its client when a key of this tenant signed it, and nobody otherwise', async () => {
    const idTokenOf = async (tenant: TestTenant): Promise<string> => {
      const client = tenant.clients.web;
      const tokens = await exchangeCode(
        tenant,
        client,
        await authorize(createUserAgent(server.origin), { tenant, client }),
      );
      return String(tokens.json['id_token']);
    };
    const genuine = await idTokenOf(acme);
    const { keys } = (await (await fetch(`${acme.issuer}/jwks`)).json()) as { keys: jose.JWK[] };
    const header = jose.decodeProtectedHeader(genuine);
    const jwk = keys.find(({ kid }) => kid === header.kid);
    const publicKey = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
    const signOut = async (hint: string): Promise<number> => {
      const parameters = new URLSearchParams({ id_token_hint: hint, post_logout_redirect_uri: postLogoutUri });
      return (await createUserAgent(server.origin).request(`${acme.issuer}/logout?${parameters}`)).status;
    };
    expect(await signOut(genuine)).toBeLessThan(400);
    const claims = () => ({ ...jose.decodeJwt(genuine) });
    const forged = new Map(
      // Nobody but the tenant can sign: what stands for "signed as it should be" is the genuine one.
      await forgeries({ header: { ...header }, claims, publicKey, sign: async () => genuine }),
    );
    forged.set('of another tenant', await idTokenOf(globex));
    for (const [name, hint] of forged) {
      expect({ name, status: await signOut(hint) }).toEqual({ name, status: 400 });
    }
  });
});
