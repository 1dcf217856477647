/** How clients say who they are, and that what says so for one server, tenant or client says nothing for another. */
import { createServer } from 'node:http';
import * as jose from 'jose';
import { createClient, rotateClientSecret, updateClient } from '#src/flows/clients/manage_clients.ts';
import { callServer, type Installation, startInstallation } from '#test/support/installation.ts';
import { registerAs } from '#test/support/protocol.ts';
import { freePort, startTestServer } from '#test/support/test_server.ts';
import { callEndpoint, type EndpointAnswer } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

let installation: Installation;
let acme: TestTenant;
let globex: TestTenant;
let key: jose.GenerateKeyPairResult;
let importer: TestClient;

beforeAll(async () => {
  installation = await startInstallation();
  acme = await createTestTenant(installation.first, 'acme');
  globex = await createTestTenant(installation.first, 'globex');
  key = await jose.generateKeyPair('ES256', { extractable: true });
  importer = await registerAs(installation.first, acme, {
    name: 'Importer',
    type: 'machine',
    jwks: { keys: [await jose.exportJWK(key.publicKey)] },
  });
});

afterAll(async () => {
  expect(installation.first.log).toEqual([]);
  await installation.close();
});

const now = (): number => Math.floor(Date.now() / 1000);

interface AssertionOptions {
  readonly client?: TestClient;
  readonly claims?: object;
  readonly signer?: jose.CryptoKey;
  readonly alg?: string;
}

function assertion({ client = importer, claims = {}, signer = key.privateKey, alg = 'ES256' }: AssertionOptions = {}) {
  const { clientId } = client;
  const payload = {
    iss: clientId,
    sub: clientId,
    aud: acme.issuer,
    jti: crypto.randomUUID(),
    exp: now() + 60,
    ...claims,
  };
  return new jose.SignJWT(payload).setProtectedHeader({ alg }).sign(signer);
}

function present(
  value: string,
  { server = 0, tenant = acme, path = '/token' }: { server?: number; tenant?: TestTenant; path?: string } = {},
): Promise<EndpointAnswer> {
  return callServer(installation.ports[server] ?? 0, tenant.issuer + path, {
    form: {
      grant_type: 'client_credentials',
      client_assertion_type: assertionType,
      client_assertion: value,
      ...(path === '/token' ? {} : { token: 'at_x' }),
    },
  });
}

const refused = { status: 401, json: { error: 'invalid_client' } };

describe('the audience of an assertion', () => {
  it('is the issuer, at every endpoint', async () => {
    expect(await present(await assertion())).toMatchObject({ status: 200 });
    for (const path of ['/introspect', '/revoke']) {
      expect((await present(await assertion(), { path })).status).toBe(200);
    }
  });

  it('is no other address, no list and no other tenant (rfc7523bis §4)', async () => {
    const audiences = [
      `${acme.issuer}/token`,
      `${acme.issuer}/introspect`,
      `${acme.issuer}/`,
      acme.issuer.toUpperCase(),
      [acme.issuer],
      [acme.issuer, globex.issuer],
      [`${acme.issuer}/token`, acme.issuer],
      [],
      '',
      globex.issuer,
      installation.first.origin,
      { issuer: acme.issuer },
      undefined,
    ];
    for (const aud of audiences) {
      for (const path of ['/token', '/introspect']) {
        const answer = await present(await assertion({ claims: { aud } }), { path });
        expect({ aud, path, ...answer }).toMatchObject({ aud, path, ...refused });
      }
    }
    // Not even where the same client and key are registered at both.
    const twin = await registerAs(installation.first, globex, {
      name: 'Importer',
      type: 'machine',
      jwks: { keys: [await jose.exportJWK(key.publicKey)] },
    });
    expect(await present(await assertion({ client: twin }), { tenant: globex })).toMatchObject(refused);
    const own = await assertion({ client: twin, claims: { aud: globex.issuer } });
    expect(await present(own, { tenant: globex })).toMatchObject({ status: 200 });
  });
});

describe('an assertion', () => {
  it('is used once over all servers, also of twenty at the same time', async () => {
    const once = await assertion();
    expect((await present(once, { server: 0 })).status).toBe(200);
    expect(await present(once, { server: 1 })).toMatchObject(refused);
    const contested = await assertion();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => present(contested, { server: index % 2 })),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    for (const answer of answers.filter(({ status }) => status !== 200)) expect(answer).toMatchObject(refused);
  });

  it('says `sub` and `iss` of one client, and may come ten seconds early', async () => {
    const { machine } = acme.clients;
    expect(await present(await assertion({ claims: { iss: machine.clientId } }))).toMatchObject(refused);
    expect((await present(await assertion({ claims: { sub: machine.clientId } }))).status).toBe(401);
    expect((await present(await assertion({ claims: { nbf: now() + 5 } }))).status).toBe(200);
    expect(await present(await assertion({ claims: { nbf: now() + 60 } }))).toMatchObject(refused);
    expect(await present(await assertion({ claims: { exp: now() - 60 } }))).toMatchObject(refused);
  });

  it('is of the algorithm that the client registered, where it did', async () => {
    const rsa = await jose.generateKeyPair('PS256', { extractable: true });
    const client = await registerAs(installation.first, acme, {
      name: 'Pinned',
      type: 'machine',
      jwks: { keys: [await jose.exportJWK(key.publicKey), await jose.exportJWK(rsa.publicKey)] },
      settings: { token_endpoint_auth_signing_alg: 'PS256' },
    });
    expect(await present(await assertion({ client }))).toMatchObject(refused);
    expect(await present(await assertion({ client, signer: rsa.privateKey, alg: 'PS256' }))).toMatchObject({
      status: 200,
    });
  });
});

describe('a secret', () => {
  const withPost = (client: TestClient, secret = client.clientSecret): Promise<EndpointAnswer> =>
    callEndpoint(acme.issuer, '/token', {
      form: { grant_type: 'client_credentials', client_id: client.clientId, client_secret: secret },
    });
  const withBasic = (client: TestClient): Promise<EndpointAnswer> =>
    callEndpoint(acme.issuer, '/token', { client, form: { grant_type: 'client_credentials' } });

  it('may be sent either way, whichever the client registered', async () => {
    const posting = await registerAs(installation.first, acme, {
      name: 'Posting',
      type: 'machine',
      tokenEndpointAuthMethod: 'client_secret_post',
    });
    for (const client of [posting, acme.clients.machine]) {
      expect((await withPost(client)).status).toBe(200);
      expect((await withBasic(client)).status).toBe(200);
      expect(await withPost(client, 'wrong')).toMatchObject(refused);
    }
  });

  it('has a successor beside it while it is rotated; a third ends the first', async () => {
    const client = await registerAs(installation.first, acme, {
      name: 'Rotating',
      type: 'machine',
      tokenEndpointAuthMethod: 'client_secret_post',
    });
    const rotate = async (): Promise<TestClient> => {
      const { clientId } = client;
      const rotated = await rotateClientSecret(installation.first.context, { tenantId: acme.id, clientId });
      if (rotated.outcome !== 'rotated') throw new Error(rotated.reason);
      return { clientId, clientSecret: rotated.clientSecret };
    };
    const untilKnown = async (candidate: TestClient): Promise<void> => {
      while ((await withBasic(candidate)).status !== 200) await new Promise(setImmediate);
    };
    const second = await rotate();
    await untilKnown(second);
    expect((await withBasic(client)).status).toBe(200);
    const third = await rotate();
    await untilKnown(third);
    expect((await withBasic(second)).status).toBe(200);
    expect(await withBasic(client)).toMatchObject(refused);
  });
});

describe('a client that changes how it says who it is', () => {
  it('loses its secret with its first key, and gets a new one when it gives the key up', async () => {
    const { first } = installation;
    const client = await registerAs(first, acme, { name: 'Changing', type: 'machine' });
    const { clientId } = client;
    const tenantId = acme.id;
    const change = (changes: object) => updateClient(first.context, { tenantId, clientId, changes });
    const jwks = { keys: [await jose.exportJWK(key.publicKey)] };
    expect(await change({ jwks })).toMatchObject({ outcome: 'updated', clientSecret: undefined });
    let signed = await present(await assertion({ client }));
    while (signed.status !== 200) signed = await present(await assertion({ client }));
    const form = { grant_type: 'client_credentials' };
    expect(await callEndpoint(acme.issuer, '/token', { client, form })).toMatchObject(refused);

    const back = await change({ tokenEndpointAuthMethod: 'client_secret_basic' });
    if (back.outcome !== 'updated' || back.clientSecret === undefined) throw new Error(back.outcome);
    expect(back.clientSecret).not.toBe(client.clientSecret);
    const renewed = { clientId, clientSecret: back.clientSecret };
    let answer = await callEndpoint(acme.issuer, '/token', { client: renewed, form });
    while (answer.status !== 200) answer = await callEndpoint(acme.issuer, '/token', { client: renewed, form });
    expect(await present(await assertion({ client }))).toMatchObject(refused);
  });
});

describe('a public client', () => {
  it('authenticates with nothing, and with nothing that looks like something', async () => {
    const { spa } = acme.clients;
    const form = { grant_type: 'refresh_token', refresh_token: 'rt_x', client_id: spa.clientId };
    expect(await callEndpoint(acme.issuer, '/token', { form })).toMatchObject({ json: { error: 'invalid_grant' } });
    const withSecret = await callEndpoint(acme.issuer, '/token', { form: { ...form, client_secret: 'anything' } });
    expect(withSecret).toMatchObject(refused);
    expect(await present(await assertion({ client: spa }))).toMatchObject(refused);
  });
});

describe('keys at an address (jwks_uri)', () => {
  it('are refused at registration where the address is none of the client’s choosing', async () => {
    for (const jwks_uri of ['http://keys.test/', 'file:///etc/passwd', 'https://a@keys.test/']) {
      const created = await createClient(installation.first.context, {
        tenantId: acme.id,
        client: { name: 'Keys', type: 'web', redirectUris: [callbackUri], settings: { jwks_uri } },
      });
      expect(created).toMatchObject({ outcome: 'refused', problems: [{ field: 'jwks_uri' }] });
    }
  });

  async function serveKeys(): Promise<{ url: string; asked: () => number; close: () => Promise<void> }> {
    const published = JSON.stringify({ keys: [await jose.exportJWK(key.publicKey)] });
    let asked = 0;
    const server = createServer((_request, response) => {
      asked += 1;
      response.setHeader('content-type', 'application/jwk-set+json');
      response.end(published);
    });
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return {
      url: `http://127.0.0.1:${port}/keys`,
      asked: () => asked,
      close: () => new Promise((resolve) => server.close(() => resolve())),
    };
  }

  const settingsOf = (url: string) => ({ name: 'Published', type: 'machine', settings: { jwks_uri: url } }) as const;

  it('are fetched when they are needed, once for many requests', async () => {
    const keys = await serveKeys();
    const server = await startTestServer({
      beside: installation.first,
      environment: { POORT_EGRESS_ALLOW: '127.0.0.1' },
    });
    try {
      const client = await registerAs(installation.first, acme, settingsOf(keys.url));
      expect(client.clientSecret).toBe('');
      const ask = async (options: AssertionOptions = {}): Promise<EndpointAnswer> =>
        callServer(server.config.http.port, `${acme.issuer}/token`, {
          form: {
            grant_type: 'client_credentials',
            client_assertion_type: assertionType,
            client_assertion: await assertion({ client, ...options }),
          },
        });
      for (let times = 0; times < 3; times += 1) expect((await ask()).status).toBe(200);
      expect(keys.asked()).toBe(1);
      const stranger = await jose.generateKeyPair('ES256');
      expect(await ask({ signer: stranger.privateKey })).toMatchObject(refused);
    } finally {
      await server.close();
      await keys.close();
    }
  });

  it('are not fetched from inside our own network unless that is allowed', async () => {
    const keys = await serveKeys();
    try {
      const client = await registerAs(installation.first, acme, settingsOf(keys.url));
      const answer = await present(await assertion({ client }), { server: 1 });
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.status).toBeLessThan(500);
      expect(keys.asked()).toBe(0);
    } finally {
      await keys.close();
    }
  });
});
