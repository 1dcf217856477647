/** An API that was called with a token goes on to another API of its tenant (RFC 8693): narrower, shorter, and never in disguise. */
import * as jose from 'jose';
import * as client from 'openid-client';
import { createApi, createClient, disableClient, updateClient } from '#src/flows/clients/manage_clients.ts';
import { changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { callServer } from '#test/support/installation.ts';
import { discoverAs } from '#test/support/relying_party.ts';
import { readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorize,
  callEndpoint,
  createUserAgent,
  type EndpointAnswer,
  exchangeCode,
  introspect,
  readForm,
  refresh,
  type UserAgent,
} from '#test/support/user_agent.ts';
import { createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

const grantType = 'urn:ietf:params:oauth:grant-type:token-exchange';
const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token';
const invoices = 'https://api.acme.test/invoices';
const ledger = 'https://api.acme.test/ledger';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
/** Stands for the JWT API and may go on to the archive, the invoices and the ledger. */
let readings: TestClient;
/** Stands for the invoices (JWT) and may go on to the ledger and the archive. */
let invoicing: TestClient;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  for (const [audience, tokenFormat] of [
    [invoices, 'jwt'],
    [ledger, 'opaque'],
  ] as const) {
    const scopes = ['readings:read', 'ledger:write'];
    const created = await createApi(server.context, { tenantId: acme.id, api: { audience, tokenFormat, scopes } });
    expect(created.outcome).toBe('created');
  }
  readings = await registerServer('readings', acme.jwtApi, [acme.opaqueApi, invoices, ledger]);
  invoicing = await registerServer('invoicing', invoices, [ledger, acme.opaqueApi]);
}, 30_000);

afterAll(() => server.close());

async function registerServer(name: string, audience: string, targets: readonly string[]): Promise<TestClient> {
  const scopes = ['readings:read', 'readings:write', 'ledger:write'];
  const created = await createClient(server.context, {
    tenantId: acme.id,
    client: { name, type: 'resource_server', audiences: [audience], scopes },
  });
  if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
  const registered = { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
  await allow(registered, targets);
  return registered;
}

async function allow({ clientId, clientSecret }: TestClient, targets: readonly string[]): Promise<void> {
  const settings = { token_exchange_audiences: targets.length === 0 ? null : targets };
  const { outcome } = await updateClient(server.context, { tenantId: acme.id, clientId, changes: { settings } });
  expect(outcome).toMatch(/^(updated|unchanged)$/);
  // The server hears of it a moment later.
  const heard = async (): Promise<boolean> => {
    const { json } = await exchange({ clientId, clientSecret }, 'at_nothing', { audience: targets[0] ?? 'urn:none' });
    return String(json['error_description']).includes('not allowed for this client') === (targets.length === 0);
  };
  while (!(await heard()));
}

interface Held {
  readonly agent: UserAgent;
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly idToken: string;
}

/** What an application holds for a person who signed in. */
async function signIn(
  resource = acme.jwtApi,
  scope = 'openid readings:read readings:write',
  tenant = acme,
): Promise<Held> {
  const agent = createUserAgent(server.origin);
  const { web } = tenant.clients;
  const { json } = await exchangeCode(
    tenant,
    web,
    await authorize(agent, { tenant, client: web, extra: { resource, scope } }),
  );
  return {
    agent,
    accessToken: String(json['access_token']),
    refreshToken: String(json['refresh_token']),
    idToken: String(json['id_token']),
  };
}

function exchange(
  by: TestClient,
  subjectToken: string,
  form: Readonly<Record<string, string>> = {},
  headers: Readonly<Record<string, string>> = {},
): Promise<EndpointAnswer> {
  return callEndpoint(acme.issuer, '/token', {
    client: by,
    headers,
    form: {
      grant_type: grantType,
      subject_token: subjectToken,
      subject_token_type: accessTokenType,
      ...('audience' in form || 'resource' in form ? {} : { resource: acme.opaqueApi }),
      ...form,
    },
  });
}

async function tokenOf(answer: EndpointAnswer | Promise<EndpointAnswer>): Promise<string> {
  const { status, json } = await answer;
  if (status !== 200) throw new Error(JSON.stringify(json));
  return String(json['access_token']);
}

const machineToken = (resource = acme.opaqueApi, by = acme.clients.machine): Promise<string> =>
  tokenOf(
    callEndpoint(acme.issuer, '/token', {
      client: by,
      form: { grant_type: 'client_credentials', resource, scope: 'readings:read' },
    }),
  );

const seenBy = async (by: TestClient, token: string) => (await introspect(acme, by, token)).json;

describe('a token exchange', () => {
  it('gives an API a token for another one, for the same person, saying who acts', async () => {
    const { accessToken } = await signIn();
    const configuration = await discoverAs(acme, readings);
    const answer = await client.genericGrantRequest(configuration, grantType, {
      subject_token: accessToken,
      subject_token_type: accessTokenType,
      resource: acme.opaqueApi,
      scope: 'readings:read',
    });
    expect(answer).toMatchObject({
      issued_token_type: accessTokenType,
      token_type: 'bearer',
      scope: 'readings:read',
    });
    expect(answer.refresh_token).toBeUndefined();
    expect(answer.access_token).toMatch(/^at_/);
    const described = await seenBy(acme.clients.resource_server, answer.access_token);
    expect(described).toMatchObject({
      active: true,
      sub: acme.person.id,
      client_id: readings.clientId,
      aud: acme.opaqueApi,
      scope: 'readings:read',
      act: { sub: readings.clientId },
      tenant: 'acme',
      amr: ['pwd'],
      sid: jose.decodeJwt(accessToken)['sid'],
    });
    expect(Object.keys(described)).not.toContain('origins');
    const [issued] = (await readEvents(server.database, { tenantId: acme.id, types: ['token.issued'] })).slice(-1);
    expect(issued).toMatchObject({
      actor_type: 'client',
      actor_id: readings.clientId,
      target_id: acme.person.id,
      client_id: readings.clientId,
      data: { grant_type: grantType, scope: 'readings:read', audience: [acme.opaqueApi], act: [readings.clientId] },
    });
  });

  it('keeps the chain of who acted, in both formats, and each is for its own API only', async () => {
    const { accessToken } = await signIn();
    const first = await tokenOf(exchange(readings, accessToken, { audience: invoices }));
    const { payload, protectedHeader } = await jose.jwtVerify(
      first,
      jose.createRemoteJWKSet(new URL(`${acme.issuer}/jwks`)),
      { issuer: acme.issuer, audience: invoices, typ: 'at+jwt' },
    );
    expect(protectedHeader.alg).toBe('ES256');
    expect(payload).toMatchObject({
      sub: acme.person.id,
      client_id: readings.clientId,
      scope: 'readings:read',
      act: { sub: readings.clientId },
      tenant: 'acme',
    });
    expect(await seenBy(acme.clients.resource_server, first)).toMatchObject({
      active: true,
      act: { sub: readings.clientId },
    });
    const second = await tokenOf(exchange(invoicing, first, { audience: ledger }));
    expect(await seenBy(acme.clients.resource_server, second)).toMatchObject({
      active: true,
      sub: acme.person.id,
      act: { sub: invoicing.clientId, act: { sub: readings.clientId } },
    });
    for (const token of [first, second])
      for (const stranger of [acme.clients.web, acme.clients.third, acme.clients.machine])
        expect(await seenBy(stranger, token)).toEqual({ active: false });
    // The second is not for whoever could exchange the first.
    expect(await exchange(readings, second)).toMatchObject({ status: 400, json: { error: 'invalid_request' } });
  });

  it('narrows what a client was given itself', async () => {
    await allow(acme.clients.web, [acme.opaqueApi]);
    const { accessToken } = await signIn(acme.opaqueApi);
    const narrow = await tokenOf(exchange(acme.clients.web, accessToken, { scope: 'readings:read' }));
    expect(await seenBy(acme.clients.web, narrow)).toMatchObject({
      active: true,
      scope: 'readings:read',
      sub: acme.person.id,
    });
    expect(await exchange(acme.clients.web, narrow, { scope: 'readings:write' })).toMatchObject({
      status: 400,
      json: { error: 'invalid_scope' },
    });
    await allow(acme.clients.web, []);
  });

  it('of what a program asked for in its own name stays about that program, and ends with its token', async () => {
    for (const resource of [acme.opaqueApi, acme.jwtApi]) {
      const by = await registerServer(`called by a program ${resource}`, resource, [ledger, invoices]);
      const subject = await machineToken(resource);
      const [opaque, structured] = [
        await tokenOf(exchange(by, subject, { audience: ledger })),
        await tokenOf(exchange(by, subject, { audience: invoices })),
      ];
      expect(jose.decodeJwt(structured)).toMatchObject({ sub: acme.clients.machine.clientId, client_id: by.clientId });
      for (const token of [opaque, structured])
        expect(await seenBy(acme.clients.resource_server, token)).toMatchObject({
          active: true,
          sub: acme.clients.machine.clientId,
          act: { sub: by.clientId },
        });
      await callEndpoint(acme.issuer, '/revoke', { client: acme.clients.machine, form: { token: subject } });
      for (const token of [opaque, structured])
        expect(await seenBy(acme.clients.resource_server, token)).toEqual({ active: false });
    }
  });

  it('takes an actor token that repeats who asks, and no other', async () => {
    await allow(acme.clients.machine, [acme.opaqueApi]);
    const { machine } = acme.clients;
    const own = await machineToken();
    const actor = { actor_token: own, actor_token_type: accessTokenType };
    expect((await exchange(machine, own, actor)).status).toBe(200);
    const { accessToken, idToken } = await signIn();
    for (const wrong of [
      { actor_token: accessToken, actor_token_type: accessTokenType },
      { actor_token: idToken, actor_token_type: accessTokenType },
      { actor_token: 'at_unknown', actor_token_type: accessTokenType },
      { actor_token: own },
      { actor_token_type: accessTokenType },
    ])
      expect(await exchange(machine, own, wrong)).toMatchObject({ status: 400, json: { error: 'invalid_request' } });
    // Another client's own token does not speak for it.
    expect(await exchange(readings, accessToken, actor)).toMatchObject({
      status: 400,
      json: { error: 'invalid_request' },
    });
    await allow(machine, []);
  });

  it('C14 lives no longer than the token it came from', async () => {
    const { accessToken } = await signIn();
    const first = await exchange(readings, accessToken, { audience: invoices });
    const second = await exchange(invoicing, await tokenOf(first), { audience: ledger });
    const { exp } = jose.decodeJwt(accessToken);
    expect(jose.decodeJwt(await tokenOf(first)).exp).toBeLessThanOrEqual(Number(exp));
    const { exp: last } = await seenBy(acme.clients.resource_server, await tokenOf(second));
    expect(Number(last)).toBeLessThanOrEqual(Number(exp));
  });
});

describe('a token exchange is refused', () => {
  const refused = async (answer: Promise<EndpointAnswer>, error: string) =>
    expect(await answer).toMatchObject({ status: error === 'invalid_client' ? 401 : 400, json: { error } });

  it('C14 for more scopes than subject, client and API have in common', async () => {
    const { accessToken } = await signIn(acme.jwtApi, 'openid readings:read');
    await refused(exchange(readings, accessToken, { scope: 'readings:read readings:write' }), 'invalid_scope');
    await refused(exchange(readings, accessToken, { scope: 'openid' }), 'invalid_scope');
    // The client has it and the API has it, but the token presented has not.
    await refused(exchange(readings, accessToken, { audience: ledger, scope: 'ledger:write' }), 'invalid_scope');
    const all = await exchange(readings, accessToken);
    expect(all.json['scope']).toBe('readings:read');
  });

  it('for an API that is not on the list, not there, of another tenant, or not one', async () => {
    const { accessToken } = await signIn();
    await refused(exchange(readings, accessToken, { resource: acme.jwtApi }), 'invalid_target');
    await refused(exchange(readings, accessToken, { audience: 'https://nowhere.test' }), 'invalid_target');
    await refused(exchange(readings, accessToken, { audience: globex.opaqueApi }), 'invalid_target');
    await refused(exchange(readings, accessToken, { audience: '' }), 'invalid_target');
    await refused(exchange(readings, accessToken, { audience: ledger, resource: invoices }), 'invalid_target');
    const both = await exchange(readings, accessToken, { audience: ledger, resource: ledger });
    expect(both.status).toBe(200);
  });

  it('of what is no access token of this tenant', async () => {
    const { accessToken, refreshToken, idToken } = await signIn();
    const { privateKey } = await jose.generateKeyPair('ES256');
    const forged = await new jose.SignJWT(jose.decodeJwt(accessToken))
      .setProtectedHeader({ ...jose.decodeProtectedHeader(accessToken), alg: 'ES256' })
      .sign(privateKey);
    const foreign = await signIn(globex.jwtApi, 'openid readings:read', globex);
    const foreignOpaque = await signIn(globex.opaqueApi, 'openid readings:read', globex);
    const notOurs = [
      refreshToken,
      idToken,
      forged,
      foreign.accessToken,
      foreignOpaque.accessToken,
      'at_unknown',
      '',
      '~',
    ];
    for (const token of [...notOurs, `${accessToken}x`, jose.decodeJwt(accessToken).jti ?? ''])
      await refused(exchange(readings, token), 'invalid_request');
    for (const type of ['id_token', 'refresh_token', 'jwt', 'saml2'])
      await refused(
        exchange(readings, accessToken, { subject_token_type: `urn:ietf:params:oauth:token-type:${type}` }),
        'invalid_request',
      );
    for (const type of ['id_token', 'refresh_token'])
      await refused(
        exchange(readings, accessToken, { requested_token_type: `urn:ietf:params:oauth:token-type:${type}` }),
        'invalid_request',
      );
  });

  it('of a token that is for another API, for userinfo, or for an API somebody stands for only among all', async () => {
    const { accessToken } = await signIn(acme.opaqueApi);
    await refused(exchange(readings, accessToken), 'invalid_request');
    const plain = createUserAgent(server.origin);
    const { json } = await exchangeCode(
      acme,
      acme.clients.web,
      await authorize(plain, { tenant: acme, client: acme.clients.web }),
    );
    await refused(exchange(readings, String(json['access_token'])), 'invalid_request');
    await allow(acme.clients.resource_server, [ledger]);
    await refused(exchange(acme.clients.resource_server, accessToken, { audience: ledger }), 'invalid_request');
    await allow(acme.clients.resource_server, []);
  });

  it('to public clients, to clients without a list, and to strangers', async () => {
    const { accessToken } = await signIn();
    const settings = { token_exchange_audiences: [acme.opaqueApi] };
    const { clientId } = acme.clients.spa;
    expect(await updateClient(server.context, { tenantId: acme.id, clientId, changes: { settings } })).toMatchObject({
      outcome: 'refused',
    });
    await refused(exchange(acme.clients.spa, accessToken), 'invalid_request');
    await refused(exchange(acme.clients.web, accessToken), 'invalid_request');
    await refused(exchange({ ...readings, clientSecret: 'wrong' }, accessToken), 'invalid_client');
    await refused(exchange(globex.clients.machine, accessToken), 'invalid_client');
  });

  it('where the tenant has switched it off, and what was exchanged before still ends with what it came from', async () => {
    const { accessToken } = await signIn();
    const before = await tokenOf(exchange(readings, accessToken));
    const set = (on: boolean | undefined) =>
      configureTenant(server.context, { id: acme.id, changes: [{ name: 'protocol.token_exchange', value: on }] });
    const offers = async (): Promise<boolean> => {
      const metadata = await (await fetch(`${acme.issuer}/.well-known/openid-configuration`)).json();
      return (metadata as { grant_types_supported: string[] }).grant_types_supported.includes(grantType);
    };
    await set(false);
    while (await offers()) await new Promise(setImmediate);
    await refused(exchange(readings, accessToken), 'unsupported_grant_type');
    expect(await seenBy(acme.clients.resource_server, before)).toMatchObject({ active: true });
    await callEndpoint(acme.issuer, '/revoke', { client: acme.clients.web, form: { token: accessToken } });
    expect(await seenBy(acme.clients.resource_server, before)).toEqual({ active: false });
    await set(undefined);
    while (!(await offers())) await new Promise(setImmediate);
  });
});

describe('what was exchanged ends with', () => {
  interface Chain {
    readonly held: Held;
    readonly structured: string;
    readonly opaque: string;
    readonly last: string;
  }

  const build = async (): Promise<Chain> => {
    const held = await signIn();
    const structured = await tokenOf(exchange(readings, held.accessToken, { audience: invoices }));
    const opaque = await tokenOf(exchange(readings, held.accessToken, { audience: acme.opaqueApi }));
    const last = await tokenOf(exchange(invoicing, structured, { audience: ledger }));
    return { held, structured, opaque, last };
  };
  const states = async ({ structured, opaque, last }: Chain) => {
    const seen = await Promise.all(
      [structured, opaque, last].map((token) => seenBy(acme.clients.resource_server, token)),
    );
    return seen.map(({ active }) => active);
  };
  const untilDead = async (chain: Chain): Promise<void> => {
    const deadline = performance.now() + 1_000;
    let seen = await states(chain);
    while (seen.includes(true) && performance.now() < deadline) seen = await states(chain);
    expect(seen).toEqual([false, false, false]);
    // Neither does it give anything any more.
    for (const [by, token] of [
      [readings, chain.held.accessToken],
      [invoicing, chain.structured],
    ] as const)
      expect((await exchange(by, token, { audience: ledger })).status).toBe(400);
  };

  it.each<[string, (chain: Chain) => Promise<unknown>]>([
    [
      'a sign-out',
      async ({ held: { agent } }) => {
        const confirmation = await agent.request(`${acme.issuer}/logout`);
        const { action, hidden } = readForm(confirmation);
        await agent.request(action, {
          method: 'POST',
          headers: { 'content-type': 'application/x-www-form-urlencoded', origin: server.origin },
          body: new URLSearchParams({ ...hidden, logout: 'yes' }).toString(),
        });
      },
    ],
    [
      'the revocation of the token it came from',
      ({ held }) =>
        callEndpoint(acme.issuer, '/revoke', { client: acme.clients.web, form: { token: held.accessToken } }),
    ],
    [
      'the revocation of the refresh token beside it',
      ({ held }) =>
        callEndpoint(acme.issuer, '/revoke', { client: acme.clients.web, form: { token: held.refreshToken } }),
    ],
  ])('%s', async (_name, end) => {
    const chain = await build();
    expect(await states(chain)).toEqual([true, true, true]);
    await end(chain);
    await untilDead(chain);
  });

  it('the membership of the person', async () => {
    const chain = await build();
    const change = (status: 'active' | 'disabled') =>
      changeMembershipStatus(server.context, { tenantId: acme.id, email: acme.person.email, status });
    await change('disabled');
    await untilDead(chain);
    // And does not come back with the person.
    await change('active');
    expect(await states(chain)).toEqual([false, false, false]);
  });

  it('any token on the way that is revoked by itself', async () => {
    const chain = await build();
    await callEndpoint(acme.issuer, '/revoke', { client: readings, form: { token: chain.structured } });
    expect(await states(chain)).toEqual([false, true, false]);
    // Whoever exchanged it cannot end the person's grant with it.
    expect((await refresh(acme, acme.clients.web, chain.held.refreshToken)).status).toBe(200);
  });

  it('any client on the way that is disabled', async () => {
    const middle = await registerServer('middle', invoices, [ledger]);
    const { accessToken } = await signIn();
    const structured = await tokenOf(exchange(readings, accessToken, { audience: invoices }));
    const last = await tokenOf(exchange(middle, structured, { audience: ledger }));
    const further = await registerServer('further', ledger, [acme.opaqueApi]);
    const end = await tokenOf(exchange(further, last));
    expect(await seenBy(acme.clients.resource_server, end)).toMatchObject({ active: true });
    await disableClient(server.context, { tenantId: acme.id, clientId: middle.clientId });
    const deadline = performance.now() + 1_000;
    const alive = async () => (await seenBy(acme.clients.resource_server, end))['active'];
    while ((await alive()) === true && performance.now() < deadline);
    expect(await alive()).toBe(false);
    expect(await seenBy(acme.clients.resource_server, structured)).toMatchObject({ active: true });
  });
});

describe('a token that is bound to a key', () => {
  it('does not become one that anybody can use', async () => {
    const web = acme.clients.web;
    await allow(web, [acme.opaqueApi, ledger]);
    const configuration = await discoverAs(acme, web);
    const handle = async () => client.getDPoPHandle(configuration, await client.randomDPoPKeyPair('ES256'));
    const DPoP = await handle();
    const agent = createUserAgent(server.origin);
    const { code, verifier, callback } = await authorize(agent, {
      tenant: acme,
      client: web,
      extra: { resource: acme.opaqueApi, scope: 'openid readings:read' },
    });
    expect(code).not.toBe('');
    const tokens = await client.authorizationCodeGrant(
      configuration,
      callback,
      { pkceCodeVerifier: verifier, expectedState: 'the-state', idTokenExpected: true },
      {},
      { DPoP },
    );
    const ask = { subject_token: tokens.access_token, subject_token_type: accessTokenType, resource: ledger };
    await expect(client.genericGrantRequest(configuration, grantType, ask)).rejects.toMatchObject({
      error: 'invalid_request',
    });
    const stranger = await handle();
    await expect(client.genericGrantRequest(configuration, grantType, ask, { DPoP: stranger })).rejects.toMatchObject({
      error: 'invalid_request',
    });
    const exchanged = await client.genericGrantRequest(configuration, grantType, ask, { DPoP });
    expect(exchanged.token_type).toBe('dpop');
    const before = await seenBy(web, tokens.access_token);
    expect(await seenBy(web, exchanged.access_token)).toMatchObject({ active: true, cnf: before['cnf'] });
    await allow(web, []);
  });
});

describe('a token exchange at one server', () => {
  it('leaves nothing alive, however it meets a revocation at another', async () => {
    const beside = await startTestServer({ beside: server });
    const ports = [server.config.http.port, beside.config.http.port];
    const url = `${acme.issuer}/token`;
    for (let round = 0; round < 5; round += 1) {
      const { accessToken } = await signIn();
      const form = { grant_type: grantType, subject_token: accessToken, subject_token_type: accessTokenType };
      const exchangeAt = (n: number) =>
        callServer(ports[n % 2] ?? 0, url, {
          client: readings,
          form: { ...form, resource: n % 4 < 2 ? invoices : acme.opaqueApi },
        });
      const revocation = callServer(ports[1] ?? 0, `${acme.issuer}/revoke`, {
        client: acme.clients.web,
        form: { token: accessToken },
      });
      const answers = await Promise.all([...[0, 1, 2, 3, 4, 5, 6, 7].map(exchangeAt), revocation]);
      const given = answers.flatMap(({ json }) => json['access_token'] ?? []);
      for (const token of given)
        expect(await seenBy(acme.clients.resource_server, String(token))).toEqual({ active: false });
    }
    await beside.close();
  });

  it('is paid with three round trips to the database, and two for asking about what it gave', async () => {
    const { accessToken } = await signIn(acme.jwtApi, 'openid readings:read');
    const { database } = server.server.house;
    const given = await tokenOf(exchange(readings, accessToken));
    await seenBy(acme.clients.resource_server, given);
    const before = database.roundTrips();
    const next = await tokenOf(exchange(readings, accessToken));
    const between = database.roundTrips();
    expect(await seenBy(acme.clients.resource_server, next)).toMatchObject({ active: true });
    expect(between - before).toBeLessThanOrEqual(3);
    expect(database.roundTrips() - between).toBeLessThanOrEqual(2);
  });
});
