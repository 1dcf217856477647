import * as jose from 'jose';
import { createApi, createClient, disableClient, rotateClientSecret } from '#src/flows/clients/manage_clients.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { callEndpoint } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

describe('a client', () => {
  let server: TestServer;
  let acme: TestTenant;
  let globex: TestTenant;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    globex = await createTestTenant(server, 'globex');
  });

  afterAll(() => server.close());

  const machine = async () => {
    const created = await createClient(server.context, {
      tenantId: acme.id,
      client: { name: 'a machine', type: 'machine' },
    });
    if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
    return { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
  };
  const tokenWith = async (clientId: string, clientSecret: string): Promise<number> =>
    (
      await callEndpoint(acme.issuer, '/token', {
        client: { clientId, clientSecret },
        form: { grant_type: 'client_credentials' },
      })
    ).status;
  const rotate = async (clientId: string) => {
    const rotated = await rotateClientSecret(server.context, { tenantId: acme.id, clientId });
    if (rotated.outcome !== 'rotated') throw new Error(rotated.reason);
    return rotated;
  };

  it('is shown its secret once; what is kept is a hash', async () => {
    const { clientId, clientSecret } = await machine();
    expect(Buffer.from(clientSecret, 'base64url')).toHaveLength(32);
    const kept = await queryAsSuperuser<{ secret_hash: Buffer }>(
      server.database,
      'select secret_hash from client_secrets where client_id = $1',
      [clientId],
    );
    expect(kept).toHaveLength(1);
    expect(kept[0]?.secret_hash.toString('utf8')).not.toContain(clientSecret);
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['client.created'] });
    expect(events.find(({ target_id }) => target_id === clientId)).toMatchObject({
      actor_type: 'operator',
      data: { type: 'machine', name: 'a machine' },
    });
    expect(JSON.stringify(events)).not.toContain(clientSecret);
    expect(await tokenWith(clientId, clientSecret)).toBe(200);
  });

  it('has two living secrets while it rotates; a third ends the oldest', async () => {
    const { clientId, clientSecret: first } = await machine();
    const { clientSecret: second, liveSecrets } = await rotate(clientId);
    expect(liveSecrets).toBe(2);
    expect([await tokenWith(clientId, first), await tokenWith(clientId, second)]).toEqual([200, 200]);

    const { clientSecret: third } = await rotate(clientId);
    await untilStatus(401, () => tokenWith(clientId, first));
    expect([await tokenWith(clientId, second), await tokenWith(clientId, third)]).toEqual([200, 200]);

    const { clientSecret: fourth } = await rotate(clientId);
    await untilStatus(401, () => tokenWith(clientId, second));
    expect([await tokenWith(clientId, third), await tokenWith(clientId, fourth)]).toEqual([200, 200]);
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['client.secret_rotated'] });
    expect(events.filter(({ target_id }) => target_id === clientId)).toHaveLength(3);
  });

  it('never has more than two secrets, however many rotate at once', async () => {
    const { clientId } = await machine();
    await Promise.allSettled(Array.from({ length: 8 }, () => rotate(clientId)));
    const kept = await queryAsSuperuser(server.database, 'select slot from client_secrets where client_id = $1', [
      clientId,
    ]);
    expect(kept).toHaveLength(2);
    const { clientSecret } = await rotate(clientId);
    expect(await tokenWith(clientId, clientSecret)).toBe(200);
  });

  it('without a secret has none to rotate', async () => {
    const refused = (clientId: string) => rotateClientSecret(server.context, { tenantId: acme.id, clientId });
    expect(await refused(acme.clients.spa.clientId)).toEqual({ outcome: 'refused', reason: 'without_secret' });
    expect(await refused('nobody')).toEqual({ outcome: 'refused', reason: 'unknown_client' });
    expect(await refused(globex.clients.machine.clientId)).toEqual({ outcome: 'refused', reason: 'unknown_client' });
  });

  it('that brings a key gets no secret, and its private key is not taken', async () => {
    const { publicKey, privateKey } = await jose.generateKeyPair('ES256', { extractable: true });
    const register = async (key: jose.CryptoKey) =>
      createClient(server.context, {
        tenantId: acme.id,
        client: {
          name: 'keyed',
          type: 'machine',
          jwks: { keys: [{ ...(await jose.exportJWK(key)), kid: 'k', alg: 'ES256', use: 'sig' }] },
        },
      });
    expect(await register(publicKey)).toMatchObject({
      outcome: 'created',
      clientSecret: undefined,
      client: { tokenEndpointAuthMethod: 'private_key_jwt' },
    });
    expect(await register(privateKey)).toMatchObject({ outcome: 'refused', problems: [{ field: 'jwks' }] });
  });

  it.each([
    ['of an unknown type', { name: 'x', type: 'wizard' }, 'type'],
    ['without a name', { name: '', type: 'machine' }, 'name'],
    ['for the web without an address', { name: 'x', type: 'web' }, 'redirect_uris'],
    ['with a wildcard address', { name: 'x', type: 'web', redirectUris: ['https://*.acme.test/cb'] }, 'redirect_uris'],
    [
      'with a script for an address',
      { name: 'x', type: 'web', redirectUris: ['javascript:alert(1)'] },
      'redirect_uris',
    ],
    ['that is a machine with scopes about people', { name: 'x', type: 'machine', scopes: ['openid'] }, 'scopes'],
    ['that is a machine with an audience', { name: 'x', type: 'machine', audiences: ['https://a.test'] }, 'audiences'],
  ])('%s is refused and not written', async (_what, client, field) => {
    const count = async () =>
      (await queryAsSuperuser<{ n: string }>(server.database, 'select count(*) as n from clients'))[0]?.n;
    const before = await count();
    const refused = await createClient(server.context, { tenantId: acme.id, client });
    expect(refused).toMatchObject({ outcome: 'refused', problems: [expect.objectContaining({ field })] });
    expect(await count()).toBe(before);
  });

  it('is disabled once, by its own tenant only', async () => {
    const { clientId, clientSecret } = await machine();
    expect(await disableClient(server.context, { tenantId: globex.id, clientId })).toEqual({ outcome: 'unchanged' });
    expect(await tokenWith(clientId, clientSecret)).toBe(200);
    expect(await disableClient(server.context, { tenantId: acme.id, clientId })).toEqual({ outcome: 'disabled' });
    expect(await disableClient(server.context, { tenantId: acme.id, clientId })).toEqual({ outcome: 'unchanged' });
    await untilStatus(401, () => tokenWith(clientId, clientSecret));
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['client.disabled'] });
    expect(events.filter(({ target_id }) => target_id === clientId)).toHaveLength(1);
  });

  describe('asks for an API', () => {
    const api = (audience: string, more: Partial<Parameters<typeof createApi>[1]['api']> = {}) =>
      createApi(server.context, { tenantId: acme.id, api: { audience, ...more } });

    it('that is registered once in a tenant, and may be in another tenant too', async () => {
      expect(await api('https://api.test/once', { scopes: ['a:b=May b'] })).toMatchObject({ outcome: 'created' });
      expect(await api('https://api.test/once')).toEqual({ outcome: 'taken' });
      const elsewhere = await createApi(server.context, {
        tenantId: globex.id,
        api: { audience: 'https://api.test/once' },
      });
      expect(elsewhere).toMatchObject({ outcome: 'created' });
      const events = await readEvents(server.database, { tenantId: acme.id, types: ['api.created'] });
      expect(events.filter(({ target_id }) => target_id === 'https://api.test/once')).toHaveLength(1);
    });

    it('a moment after it was registered', async () => {
      await api('https://api.test/new', { tokenFormat: 'opaque' });
      const ask = async () =>
        (
          await callEndpoint(acme.issuer, '/token', {
            client: acme.clients.machine,
            form: { grant_type: 'client_credentials', resource: 'https://api.test/new' },
          })
        ).status;
      await untilStatus(200, ask);
      expect(await ask()).toBe(200);
    });

    it.each([
      ['an audience that is no address', { audience: 'readings' }, 'audience'],
      ['an audience with a fragment', { audience: 'https://api.test/#x' }, 'audience'],
      ['a format nobody knows', { audience: 'https://api.test/x', tokenFormat: 'saml' }, 'token_format'],
      ['an algorithm without a key pair', { audience: 'https://api.test/x', signingAlg: 'HS256' }, 'signing_alg'],
      ['a scope that is the engine’s own', { audience: 'https://api.test/x', scopes: ['openid'] }, 'scopes'],
      ['a scope twice', { audience: 'https://api.test/x', scopes: ['a', 'a'] }, 'scopes'],
    ])('that is refused with %s', async (_what, request, field) => {
      expect(await createApi(server.context, { tenantId: acme.id, api: request })).toMatchObject({
        outcome: 'refused',
        problems: [expect.objectContaining({ field })],
      });
    });
  });
});

/** The announcement of a change may take a moment, and at most a second: asks until it has arrived. */
async function untilStatus(status: number, ask: () => Promise<number>): Promise<void> {
  const deadline = performance.now() + 1_000;
  let last = await ask();
  while (last !== status && performance.now() < deadline) last = await ask();
  expect(last).toBe(status);
}
