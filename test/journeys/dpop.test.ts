/**
 * DPoP (RFC 9449) over two servers of one installation: nonces of one are good at the other, and a proof that one has seen is used
 * up at both.
 */
import * as jose from 'jose';
import { callServer, type Installation, startInstallation } from '#test/support/installation.ts';
import { registerAs } from '#test/support/protocol.ts';
import { authorize, createUserAgent, type EndpointAnswer } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

let installation: Installation;
let acme: TestTenant;
let globex: TestTenant;
let key: jose.GenerateKeyPairResult;
let otherKey: jose.GenerateKeyPairResult;

beforeAll(async () => {
  installation = await startInstallation();
  acme = await createTestTenant(installation.first, 'acme');
  globex = await createTestTenant(installation.first, 'globex');
  key = await jose.generateKeyPair('ES256', { extractable: true });
  otherKey = await jose.generateKeyPair('ES256', { extractable: true });
});

afterAll(() => installation.close());

const portOf = (server: number): number => installation.ports[server] ?? 0;

interface ProofOptions {
  readonly claims?: object;
  readonly signer?: jose.GenerateKeyPairResult;
  readonly issuer?: string;
  readonly path?: string;
  readonly method?: string;
}

async function prove(options: ProofOptions = {}): Promise<string> {
  const { claims = {}, signer = key, issuer = acme.issuer, path = '/token', method = 'POST' } = options;
  return new jose.SignJWT({
    jti: crypto.randomUUID(),
    htm: method,
    htu: issuer + path,
    iat: Math.floor(Date.now() / 1000),
    ...claims,
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: await jose.exportJWK(signer.publicKey) })
    .sign(signer.privateKey);
}

interface TokenCall {
  readonly server?: number;
  readonly client?: TestClient;
  readonly tenant?: TestTenant;
  readonly form?: Readonly<Record<string, string>>;
}

function askToken(proof: string | undefined, call: TokenCall = {}): Promise<EndpointAnswer> {
  const { server = 0, tenant = acme, client = tenant.clients.machine } = call;
  return callServer(portOf(server), `${tenant.issuer}/token`, {
    client,
    form: call.form ?? { grant_type: 'client_credentials' },
    headers: proof === undefined ? {} : { dpop: proof },
  });
}

const issued = { status: 200, json: { token_type: 'DPoP' } };

describe('a proof', () => {
  it('that one server has seen is used up at the other', async () => {
    for (const [first, second] of [
      [0, 1],
      [1, 0],
    ] as const) {
      const proof = await prove();
      expect(await askToken(proof, { server: first })).toMatchObject(issued);
      expect(await askToken(proof, { server: second })).toMatchObject({
        status: 400,
        json: { error: 'invalid_grant' },
      });
    }
  });

  it('presented twenty times at once over both is accepted once', async () => {
    const proof = await prove();
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => askToken(proof, { server: index % 2 })));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    for (const { status } of answers) expect([200, 400]).toContain(status);
  });

  it('is for one address, one method and one time', async () => {
    const now = Math.floor(Date.now() / 1000);
    for (const options of [
      { path: '/par' },
      { issuer: globex.issuer },
      { method: 'GET' },
      { claims: { iat: now - 3600 } },
      { claims: { iat: now + 3600 } },
      { claims: { jti: undefined } },
    ]) {
      const { status } = await askToken(await prove(options));
      expect({ options, status }).toEqual({ options, status: 400 });
    }
  });
});

describe('a nonce', () => {
  const withNonce = async (nonce: string, options: ProofOptions = {}) => prove({ ...options, claims: { nonce } });

  /** An outdated proof is answered with a nonce. */
  async function nonceOf(server: number, tenant = acme): Promise<string> {
    const old = await prove({ issuer: tenant.issuer, claims: { iat: Math.floor(Date.now() / 1000) - 3600 } });
    const answer = await askToken(old, { server, tenant });
    expect(answer).toMatchObject({ status: 400, json: { error: 'use_dpop_nonce' } });
    return answer.headers.get('dpop-nonce') ?? '';
  }

  it('of one server is good at the other', async () => {
    for (const [first, second] of [
      [0, 1],
      [1, 0],
    ] as const) {
      expect(await askToken(await withNonce(await nonceOf(first)), { server: second })).toMatchObject(issued);
    }
  });

  it('of another tenant, or made up, is not', async () => {
    for (const nonce of [await nonceOf(0, globex), 'made-up']) {
      const answer = await askToken(await withNonce(nonce));
      expect(answer).toMatchObject({ status: 400, json: { error: 'use_dpop_nonce' } });
      expect(answer.headers.get('dpop-nonce')).toMatch(/^.{16,}$/);
    }
  });

  it('is demanded, at every server, from a client that registered so', async () => {
    const strict = await registerAs(installation.first, acme, {
      name: 'Strict',
      type: 'machine',
      settings: { dpop_bound_access_tokens: true, require_dpop_nonce: true },
    });
    expect(await askToken(undefined, { client: strict })).toMatchObject({ status: 400 });
    const first = await askToken(await prove(), { client: strict, server: 0 });
    expect(first).toMatchObject({ status: 400, json: { error: 'use_dpop_nonce' } });
    const nonce = first.headers.get('dpop-nonce') ?? '';
    expect(await askToken(await withNonce(nonce), { client: strict, server: 1 })).toMatchObject(issued);
  });
});

describe('tokens bound to a key', () => {
  async function signIn(client: TestClient): Promise<EndpointAnswer> {
    const agent = createUserAgent(installation.first.origin);
    const { code, verifier } = await authorize(agent, { tenant: acme, client });
    const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: callbackUri };
    return askToken(await prove(), { client, form });
  }

  const refreshWith = (proof: string | undefined, client: TestClient, refreshToken: unknown, server = 0) =>
    askToken(proof, { client, server, form: { grant_type: 'refresh_token', refresh_token: String(refreshToken) } });

  it('of a public client are refreshed with that key alone, at any server', async () => {
    const { spa } = acme.clients;
    const tokens = await signIn(spa);
    expect(tokens).toMatchObject(issued);
    const { refresh_token: refreshToken } = tokens.json;
    for (const proof of [undefined, await prove({ signer: otherKey })]) {
      expect(await refreshWith(proof, spa, refreshToken, 1)).toMatchObject({
        status: 400,
        json: { error: 'invalid_grant' },
      });
    }
    // Who does not have the key cannot end the chain either.
    expect(await refreshWith(await prove(), spa, refreshToken, 1)).toMatchObject(issued);
  });

  it('are a must where the client registered so', async () => {
    const bound = await registerAs(installation.first, acme, {
      name: 'Bound',
      type: 'spa',
      firstParty: true,
      redirectUris: [callbackUri],
      settings: { dpop_bound_access_tokens: true, refresh_rotation: 'unless_sender_constrained' },
    });
    expect(
      await askToken(undefined, { client: bound, form: { grant_type: 'refresh_token', refresh_token: 'rt_x' } }),
    ).toMatchObject({
      status: 400,
    });
    const tokens = await signIn(bound);
    const { refresh_token: refreshToken } = tokens.json;
    // Bound to the key, it is not replaced: the same value, at both servers, again and again.
    for (const server of [0, 1, 0]) {
      const answer = await refreshWith(await prove(), bound, refreshToken, server);
      expect(answer).toMatchObject({ status: 200, json: { token_type: 'DPoP', refresh_token: refreshToken } });
    }
  });

  it('open userinfo with a proof for this token, at any server, once', async () => {
    const tokens = await signIn(acme.clients.spa);
    const token = String(tokens.json['access_token']);
    const ath = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(token))).toString('base64url');
    const ask = (proof: string | undefined, server: number, scheme = 'DPoP') =>
      callServer(portOf(server), `${acme.issuer}/userinfo`, {
        method: 'GET',
        headers: { authorization: `${scheme} ${token}`, ...(proof === undefined ? {} : { dpop: proof }) },
      });
    const forUserinfo = { path: '/userinfo', method: 'GET', claims: { ath } };
    const proof = await prove(forUserinfo);
    expect(await ask(proof, 1)).toMatchObject({ status: 200, json: { sub: acme.person.id } });
    expect((await ask(proof, 0)).status).toBe(401);
    expect((await ask(await prove({ ...forUserinfo, signer: otherKey }), 0)).status).toBe(401);
    expect((await ask(await prove({ ...forUserinfo, claims: { ath: 'x' } }), 0)).status).toBe(401);
    expect((await ask(undefined, 0, 'Bearer')).status).toBe(401);
  });
});
