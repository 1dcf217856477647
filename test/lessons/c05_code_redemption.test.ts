/**
 * Lesson C5, a code that is redeemed twice or by somebody else (GHSA-7w99-5wm4-3g79, CVE-2026-4282, and the engine's own race): one
 * success whoever asks how often and where, and whoever comes after it ends what it gave.
 */
import { CLIENT_TYPES } from '#src/domain/client.ts';
import { callServer, type Installation, startInstallation } from '#test/support/installation.ts';
import { readEvents } from '#test/support/superuser.ts';
import {
  type Authorized,
  authorize,
  callEndpoint,
  createUserAgent,
  type EndpointAnswer,
  exchangeCode,
  introspect,
  refresh,
} from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

describe('C5: an authorization code', () => {
  let installation: Installation;
  let acme: TestTenant;
  let globex: TestTenant;

  beforeAll(async () => {
    installation = await startInstallation();
    acme = await createTestTenant(installation.first, 'acme');
    globex = await createTestTenant(installation.first, 'globex');
  });

  afterAll(() => installation.close());

  const codeFor = (client: TestClient, extra: Readonly<Record<string, string>> = {}): Promise<Authorized> =>
    authorize(createUserAgent(installation.first.origin), { tenant: acme, client, extra });

  /** The token request of this client at one of the two processes. */
  function redeemAt(port: number, client: TestClient, { code, verifier }: Authorized): Promise<EndpointAnswer> {
    const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: callbackUri };
    return callServer(port, `${acme.issuer}/token`, { client, form });
  }

  const askEverywhere = (
    times: number,
    ask: (port: number) => Promise<EndpointAnswer>,
  ): Promise<readonly EndpointAnswer[]> => {
    const { ports } = installation;
    return Promise.all(Array.from({ length: times }, (_, index) => ask(ports[index % ports.length] ?? 0)));
  };

  const issued = async (clientId: string): Promise<number> => {
    const events = await readEvents(installation.first.database, { tenantId: acme.id, types: ['token.issued'] });
    return events.filter((event) => event.client_id === clientId).length;
  };

  const userinfoStatus = async (accessToken: unknown): Promise<number> =>
    (await fetch(`${acme.issuer}/userinfo`, { headers: { authorization: `Bearer ${accessToken}` } })).status;

  it.each(['web', 'spa'] as const)(
    'of a %s client is redeemed by one of fifty parallel requests at two processes',
    async (type) => {
      const client = acme.clients[type];
      const authorized = await codeFor(client);
      const before = await issued(client.clientId);
      const answers = await askEverywhere(50, (port) => redeemAt(port, client, authorized));
      const winners = answers.filter(({ status }) => status === 200);
      expect(winners).toHaveLength(1);
      for (const loser of answers.filter(({ status }) => status !== 200))
        expect(loser).toMatchObject({ status: 400, json: { error: 'invalid_grant' } });
      expect(await issued(client.clientId)).toBe(before + 1);

      // One more, and nothing of the winner's is left, at either process.
      const replays = await askEverywhere(2, (port) => redeemAt(port, client, authorized));
      expect(replays.map(({ status }) => status)).toEqual([400, 400]);
      const tokens = winners[0]?.json ?? {};
      expect(await userinfoStatus(tokens['access_token'])).toBe(401);
      expect(await refresh(acme, client, String(tokens['refresh_token']))).toMatchObject({
        status: 400,
        json: { error: 'invalid_grant' },
      });
    },
  );

  it('that comes back ends everything it gave, also what was refreshed since, and nothing else', async () => {
    const { web } = acme.clients;
    const extra = { scope: 'openid readings:read', resource: acme.opaqueApi };
    const authorized = await codeFor(web, extra);
    const other = await exchangeCode(acme, web, await codeFor(web));
    const first = await exchangeCode(acme, web, authorized);
    const second = await refresh(acme, web, String(first.json['refresh_token']));
    expect(second.status).toBe(200);
    const accessTokens = [first, second].map(({ json }) => String(json['access_token']));
    for (const token of accessTokens)
      expect((await introspect(acme, web, token)).json).toMatchObject({ active: true, aud: acme.opaqueApi });

    expect((await exchangeCode(acme, web, authorized)).json['error']).toBe('invalid_grant');
    for (const token of accessTokens) expect((await introspect(acme, web, token)).json).toEqual({ active: false });
    for (const { json } of [second, first])
      expect((await refresh(acme, web, String(json['refresh_token']))).json['error']).toBe('invalid_grant');

    // Another sign-in of the same person at the same client is another matter.
    expect((await introspect(acme, web, String(other.json['access_token']))).json['active']).toBe(true);
    expect((await refresh(acme, web, String(other.json['refresh_token']))).status).toBe(200);
  });

  it.each([...CLIENT_TYPES.filter((type) => type !== 'web'), 'third'] as const)(
    'is worth nothing to another client (%s), with the verifier as well, and still good for its own',
    async (type) => {
      const { web } = acme.clients;
      const thief = acme.clients[type];
      const authorized = await codeFor(web);
      const before = await issued(thief.clientId);
      const answers = await askEverywhere(6, (port) => redeemAt(port, thief, authorized));
      for (const { status, json } of answers) {
        expect(status).toBe(400);
        // A client whose type has no codes is told that first.
        expect(json['error']).toMatch(/^(invalid_grant|unauthorized_client|invalid_request)$/);
      }
      expect(await issued(thief.clientId)).toBe(before);
      expect((await exchangeCode(acme, web, authorized)).status).toBe(200);
    },
  );

  it('is given to its own client only, when thieves ask at the same moment', async () => {
    const { web, third } = acme.clients;
    const authorized = await codeFor(web);
    const [stolen, own] = await Promise.all([
      askEverywhere(40, (port) => redeemAt(port, third, authorized)),
      askEverywhere(10, (port) => redeemAt(port, web, authorized)),
    ]);
    expect(stolen.filter(({ status }) => status === 200)).toEqual([]);
    expect(own.filter(({ status }) => status === 200)).toHaveLength(1);
  });

  it.each([
    ['another address of the same client', 'http://localhost:9/other'],
    ['the address with a slash', `${callbackUri}/`],
    ['the address with a query', `${callbackUri}?x=1`],
    ['no address', undefined],
  ])('is worth nothing with %s', async (_name, redirectUri) => {
    const { code, verifier } = await codeFor(acme.clients.web);
    const answer = await callEndpoint(acme.issuer, '/token', {
      client: acme.clients.web,
      form: {
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        ...(redirectUri === undefined ? {} : { redirect_uri: redirectUri }),
      },
    });
    expect(answer.status).toBe(400);
    expect(answer.json['error']).toMatch(/^invalid_(grant|request)$/);
    expect(answer.json['access_token']).toBeUndefined();
  });

  it('is unknown at another tenant, to each of its clients, and to its own client there', async () => {
    const { web } = acme.clients;
    const authorized = await codeFor(web);
    for (const client of [...Object.values(globex.clients), web]) {
      const answer = await exchangeCode(globex, client, authorized);
      expect(answer.json['access_token']).toBeUndefined();
      expect([400, 401]).toContain(answer.status);
    }
    expect((await exchangeCode(acme, web, authorized)).status).toBe(200);
  });

  it('is no other kind of thing, and no other thing is a code', async () => {
    const { web } = acme.clients;
    const authorized = await codeFor(web);
    const { code } = authorized;
    expect((await refresh(acme, web, code)).json['error']).toBe('invalid_grant');
    expect((await introspect(acme, web, code)).json).toEqual({ active: false });
    expect(await userinfoStatus(code)).toBe(401);
    const revoked = await callEndpoint(acme.issuer, '/revoke', { client: web, form: { token: code } });
    expect(revoked.status).toBe(200);

    const tokens = (await exchangeCode(acme, web, authorized)).json;
    for (const value of [tokens['access_token'], tokens['refresh_token'], tokens['id_token']]) {
      const answer = await exchangeCode(acme, web, { ...authorized, code: String(value) });
      expect(answer).toMatchObject({ status: 400, json: { error: 'invalid_grant' } });
    }
    expect(await userinfoStatus(tokens['access_token'])).toBe(200);
  });
});
