/** Tokens bound to a key (RFC 9449) in front of a guard: good with a fresh proof of that key for this request, and otherwise not. */
import { createHash } from 'node:crypto';
import * as jose from 'jose';
import { authenticate } from '#src/guard/guard.js';
import {
  type ApiAnswer,
  type CallOptions,
  faces,
  type GuardedApi,
  startGuardedApi,
} from '#test/support/guarded_apis.ts';
import { openTenantKey, signWith } from '#test/support/signed_tokens.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { callEndpoint } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let key: jose.GenerateKeyPairResult;
let otherKey: jose.GenerateKeyPairResult;
let bound: string;
let unbound: string;
const publicUrl = 'https://api.acme.test';

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  key = await jose.generateKeyPair('ES256', { extractable: true });
  otherKey = await jose.generateKeyPair('ES256', { extractable: true });
  const ask = async (headers: Readonly<Record<string, string>>) => {
    const form = { grant_type: 'client_credentials', resource: acme.jwtApi, scope: 'readings:read' };
    const { json } = await callEndpoint(acme.issuer, '/token', { client: acme.clients.machine, form, headers });
    return String(json['access_token']);
  };
  bound = await ask({ dpop: await prove({ htu: `${acme.issuer}/token`, htm: 'POST', ath: undefined }) });
  unbound = await ask({});
});

afterAll(() => server.close());

interface ProofHeader {
  readonly typ?: string;
  readonly jwk?: jose.JWK;
}

async function prove(
  claims: Readonly<Record<string, unknown>> = {},
  { signer = key, header = {} }: { signer?: jose.GenerateKeyPairResult; header?: ProofHeader } = {},
): Promise<string> {
  const ath = bound === undefined ? undefined : createHash('sha256').update(bound).digest('base64url');
  return new jose.SignJWT({
    jti: crypto.randomUUID(),
    htm: 'GET',
    htu: `${publicUrl}/mounted/x`,
    iat: Math.floor(Date.now() / 1_000),
    ath,
    ...claims,
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: await jose.exportJWK(signer.publicKey), ...header })
    .sign(signer.privateKey);
}

const combinations = faces.flatMap((face) => (['jwt', 'introspection'] as const).map((mode) => ({ face, mode })));

describe.each(combinations)('a guard on $face that checks by $mode', ({ face, mode }) => {
  let api: GuardedApi;

  beforeAll(async () => {
    const guard = authenticate({
      issuer: acme.issuer,
      audience: acme.jwtApi,
      mode,
      push: false,
      ...acme.clients.resource_server,
    });
    // Twice: in front of everything and of one route, as an application may have it.
    api = await startGuardedApi(face, [guard, guard]);
  });

  afterAll(() => api.close());

  const call = (proof: string | readonly string[] | undefined, options: CallOptions = {}): Promise<ApiAnswer> =>
    api.call({
      path: '/mounted/x?page=2',
      ...options,
      headers: {
        authorization: `DPoP ${bound}`,
        ...(proof === undefined ? {} : { dpop: proof }),
        ...options.headers,
      },
    });

  it('takes a token with a proof of its key, once for each proof', async () => {
    const proof = await prove();
    const { status, json } = await call(proof);
    expect({ status, json }).toMatchObject({ status: 200, json: { auth: { tokenKind: 'client' } } });
    expect(await call(proof)).toMatchObject({ status: 401, json: { error: 'invalid_dpop_proof' } });
    expect((await call(await prove())).status).toBe(200);
    const raced = await prove();
    const statuses = (await Promise.all(Array.from({ length: 20 }, () => call(raced)))).map((answer) => answer.status);
    expect(statuses.filter((each) => each === 200)).toHaveLength(1);
  });

  it('takes no proof but one of this key for this token, address, method and moment', async () => {
    const now = Math.floor(Date.now() / 1_000);
    const shared = { alg: 'HS256', typ: 'dpop+jwt', jwk: { kty: 'oct', k: 'c2VjcmV0' } };
    const hmac = await new jose.SignJWT({ htm: 'GET' })
      .setProtectedHeader(shared)
      .sign(new TextEncoder().encode('secret'));
    const [good, another] = [await prove(), await prove()];
    const proofs: Readonly<Record<string, string | readonly string[] | undefined>> = {
      none: undefined,
      two: [good, another],
      'another key': await prove({}, { signer: otherKey }),
      'a key that did not sign': await prove({}, { header: { jwk: await jose.exportJWK(otherKey.publicKey) } }),
      'a private key': await prove({}, { header: { jwk: await jose.exportJWK(key.privateKey) } }),
      'a shared secret': hmac,
      'another typ': await prove({}, { header: { typ: 'JWT' } }),
      'another method': await prove({ htm: 'POST' }),
      'a method in small letters': await prove({ htm: 'get' }),
      'another path': await prove({ htu: `${publicUrl}/mounted` }),
      'the address it is called by inside': await prove({ htu: `${api.origin}/mounted/x` }),
      'no address': await prove({ htu: undefined }),
      'another token': await prove({ ath: createHash('sha256').update(unbound).digest('base64url') }),
      'no token': await prove({ ath: undefined }),
      'an old moment': await prove({ iat: now - 90 }),
      'a moment to come': await prove({ iat: now + 30 }),
      'no moment': await prove({ iat: undefined }),
      'no identifier': await prove({ jti: undefined }),
      'an identifier without end': await prove({ jti: 'x'.repeat(300) }),
      'no proof but a text': 'x',
      'more than a proof needs': 'x'.repeat(5_000),
    };
    for (const [name, proof] of Object.entries(proofs)) {
      const { status, json, challenges } = await call(proof);
      expect({ name, status, error: json['error'] }).toEqual({ name, status: 401, error: 'invalid_dpop_proof' });
      expect(challenges).toEqual([expect.stringMatching(/^DPoP realm=.*algs="ES256 EdDSA/)]);
    }
    // The query is no part of it, and a Host header is not believed.
    expect((await call(await prove({ htu: `${publicUrl}/mounted/x?y#z` }))).status).toBe(200);
  });

  it('refuses a bound token as a bearer token, with and without a proof, and an unbound one with a proof', async () => {
    for (const dpop of [undefined, await prove()]) {
      const { status, json, challenges } = await call(dpop, { headers: { authorization: `Bearer ${bound}` } });
      expect({ status, error: json['error'] }).toEqual({ status: 401, error: 'invalid_token' });
      expect(challenges[0]).toMatch(/^DPoP /);
    }
    const ath = createHash('sha256').update(unbound).digest('base64url');
    const answer = await call(await prove({ ath }), { headers: { authorization: `DPoP ${unbound}` } });
    expect(answer).toMatchObject({ status: 401, json: { error: 'invalid_token' } });
  });

  it('refuses a token that is bound to a certificate nobody showed, or to what it does not know', async () => {
    if (mode === 'introspection') return;
    const tenantKey = await openTenantKey(server, { tenant: acme, alg: 'ES256' });
    const claims = jose.decodeJwt(unbound);
    for (const cnf of [{ 'x5t#S256': 'x' }, {}, { kid: 'x' }, { jkt: 'x', more: 'y' }]) {
      const token = await signWith(tenantKey, { ...claims, cnf });
      expect(await api.call({ headers: { authorization: `Bearer ${token}` } })).toMatchObject({ status: 401 });
    }
  });
});
