/**
 * C37: dynamic registration and its tokens. Closed unless a tenant opens it, with a token that an operator gave out; and what came in
 * so can touch nothing but its own names, addresses and keys.
 */
import * as jose from 'jose';
import * as client from 'openid-client';
import { disableClient } from '#src/flows/clients/manage_clients.ts';
import { createInitialAccessToken } from '#src/flows/clients/register_clients.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { sendRaw } from '#test/support/raw_http.ts';
import { signInWith } from '#test/support/relying_party.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createUserAgent } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestTenant } from '#test/support/world.ts';

const movable = createMovableClock();
let server: TestServer;
let beside: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let closed: TestTenant;

beforeAll(async () => {
  server = await startTestServer({ clock: movable.clock });
  beside = await startTestServer({ beside: server, clock: movable.clock });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  closed = await createTestTenant(server, 'closed');
  for (const { id, issuer } of [acme, globex]) {
    await configureTenant(server.context, { id, changes: [{ name: 'protocol.dynamic_registration', value: true }] });
    while (!('registration_endpoint' in (await metadataOf(issuer)))) await new Promise(setImmediate);
  }
}, 30_000);

afterAll(async () => {
  await beside.close();
  await server.close();
});

const metadataOf = async (issuer: string) =>
  (await (await fetch(`${issuer}/.well-known/openid-configuration`)).json()) as Record<string, unknown>;

async function initialToken({
  tenant = acme,
  uses = 1,
  types = ['web', 'spa', 'native', 'device', 'machine'],
  scopes = ['readings:read'],
  lifetimeSeconds = 3600,
}: {
  tenant?: TestTenant;
  uses?: number;
  types?: readonly string[];
  scopes?: readonly string[];
  lifetimeSeconds?: number;
} = {}): Promise<string> {
  const created = await createInitialAccessToken(server.context, {
    tenantId: tenant.id,
    types,
    scopes,
    uses,
    lifetimeSeconds,
  });
  if (created.outcome !== 'created') throw new Error(created.problem);
  return created.token;
}

interface Answer {
  readonly status: number;
  readonly header: (name: string) => string | undefined;
  readonly json: Record<string, unknown>;
}

async function ask(
  method: string,
  url: string,
  { token, body, at = server }: { token?: string | undefined; body?: unknown; at?: TestServer } = {},
): Promise<Answer> {
  const { host, port } = new URL(server.origin);
  const answer = await sendRaw(at === server ? Number(port) : at.config.http.port, {
    method,
    target: url.slice(server.origin.length),
    headers: [
      // Both servers are one installation, behind one name.
      ['Host', host],
      ...(token === undefined ? [] : [['Authorization', `Bearer ${token}`] as const]),
      ...(body === undefined ? [] : [['Content-Type', 'application/json'] as const]),
    ],
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const { status, header, body: text } = answer;
  return { status, header: (name) => header(name), json: text.startsWith('{') ? JSON.parse(text) : {} };
}

const register = (token: string | undefined, body: unknown = { redirect_uris: [callbackUri] }, tenant = acme) =>
  ask('POST', `${tenant.issuer}/register`, { token, body });

interface Entry {
  readonly clientId: string;
  readonly uri: string;
  readonly token: string;
  readonly json: Record<string, unknown>;
}

async function registered(body?: unknown, tenant = acme): Promise<Entry> {
  const { status, json } = await register(await initialToken({ tenant }), body, tenant);
  if (status !== 201) throw new Error(JSON.stringify(json));
  const { client_id, registration_client_uri, registration_access_token } = json;
  return {
    clientId: String(client_id),
    uri: String(registration_client_uri),
    token: String(registration_access_token),
    json,
  };
}

const invalidToken = { status: 401, json: { error: 'invalid_token' } };

/** What a client sends back to change something: all that it was told, less what may not be sent (RFC 7592 §2.2). */
function asUpdate({ json }: Entry, changes: Record<string, unknown> = {}): Record<string, unknown> {
  const {
    registration_access_token: _t,
    registration_client_uri: _u,
    client_id_issued_at: _i,
    client_secret_expires_at: _e,
    ...rest
  } = json;
  return { ...rest, ...changes };
}

describe('C37 a registered client', () => {
  it('is one of ours: discovered, registered and signed in with by openid-client', async () => {
    const configuration = await client.dynamicClientRegistration(
      new URL(acme.issuer),
      { redirect_uris: [callbackUri], client_name: 'Somebody’s application', scope: 'openid readings:read' },
      undefined,
      { initialAccessToken: await initialToken(), execute: [client.allowInsecureRequests] },
    );
    const { client_id, client_secret, grant_types, token_endpoint_auth_method } = configuration.clientMetadata();
    expect({ client_secret, grant_types, token_endpoint_auth_method }).toEqual({
      client_secret: expect.stringMatching(/^[\w-]{43}$/),
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'client_secret_basic',
    });
    const { tokens } = await signInWith(configuration, {
      agent: createUserAgent(server.origin),
      person: acme.person,
      parameters: { scope: 'openid readings:read', resource: acme.jwtApi },
    });
    expect(tokens.scope).toBe('readings:read');
    const [row] = await queryAsSuperuser<{ first_party: boolean; type: string }>(
      server.database,
      'select first_party, type from clients where client_id = $1',
      [client_id],
    );
    expect(row).toEqual({ first_party: false, type: 'web' });
    const [created] = (await readEvents(server.database, { tenantId: acme.id, types: ['client.created'] })).slice(-1);
    expect(created).toMatchObject({ actor_type: 'system', target_id: client_id, data: { type: 'web' } });
  });

  it('is told everything once, and nothing of it may be stored by a cache', async () => {
    const { status, header, json } = await register(await initialToken());
    expect(status).toBe(201);
    expect(header('cache-control')).toBe('no-store');
    expect(json).toMatchObject({
      client_secret_expires_at: 0,
      application_type: 'web',
      redirect_uris: [callbackUri],
      registration_access_token: expect.stringMatching(/^rat_[\w-]{43}$/),
      registration_client_uri: `${acme.issuer}/register/${json['client_id']}`,
    });
    const read = await ask('GET', String(json['registration_client_uri']), {
      token: String(json['registration_access_token']),
    });
    expect(read.status).toBe(200);
    expect(read.json['client_secret']).toBeUndefined();
    expect(JSON.stringify(read.json)).not.toContain('poort_');
  });

  it('signs with keys of its own, where it brings some', async () => {
    const { publicKey } = await jose.generateKeyPair('ES256');
    const jwks = { keys: [{ ...(await jose.exportJWK(publicKey)), kid: 'one', alg: 'ES256' }] };
    const body = { grant_types: ['client_credentials'], token_endpoint_auth_method: 'private_key_jwt', jwks };
    const { json } = await registered(body);
    expect(json).toMatchObject({ token_endpoint_auth_method: 'private_key_jwt', grant_types: ['client_credentials'] });
    expect(json['client_secret']).toBeUndefined();
  });
});

describe('C37 registration', () => {
  it('is closed by default: nothing is there, whoever asks', async () => {
    const token = await initialToken({ tenant: closed });
    expect((await register(token, undefined, closed)).status).toBe(404);
    for (const method of ['GET', 'PUT', 'DELETE'])
      expect(
        (
          await ask(method, `${closed.issuer}/register/c1`, {
            token: 'rat_x',
            ...(method === 'PUT' ? { body: {} } : {}),
          })
        ).status,
      ).toBe(404);
    expect(await metadataOf(closed.issuer)).not.toHaveProperty('registration_endpoint');
  });

  it('needs a token that was given out, is not over, and is of this tenant', async () => {
    const short = await initialToken({ lifetimeSeconds: 60, uses: 5 });
    expect((await register(short)).status).toBe(201);
    movable.advance(61);
    const own = await registered();
    for (const token of [
      undefined,
      '',
      'iat_unknown',
      short,
      own.token,
      await initialToken({ tenant: globex }),
      `${await initialToken()}x`,
    ]) {
      const answer = await register(token);
      expect(answer).toMatchObject(invalidToken);
      expect(answer.header('www-authenticate')).toContain('invalid_token');
    }
  });

  it('takes a token as often as was said, also from two servers at once', async () => {
    const once = await initialToken();
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        ask('POST', `${acme.issuer}/register`, {
          token: once,
          body: { redirect_uris: [callbackUri] },
          at: n % 2 === 0 ? server : beside,
        }),
      ),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(11);

    const thrice = await initialToken({ uses: 3 });
    const more = await Promise.all(Array.from({ length: 8 }, () => register(thrice)));
    expect(more.filter(({ status }) => status === 201)).toHaveLength(3);
  });

  it('that is refused costs no use', async () => {
    const token = await initialToken();
    expect((await register(token, { redirect_uris: ['https://app.test/*'] })).json['error']).toBe(
      'invalid_redirect_uri',
    );
    expect((await register(token)).status).toBe(201);
    expect((await register(token)).status).toBe(401);
  });

  it.each<[string, unknown, string]>([
    ['no address', {}, 'invalid_redirect_uri'],
    ['an address in a script', { redirect_uris: ['javascript:alert(1)'] }, 'invalid_redirect_uri'],
    [
      'a scope that was not allowed',
      { redirect_uris: [callbackUri], scope: 'readings:write' },
      'invalid_client_metadata',
    ],
    [
      'grants of two types',
      { redirect_uris: [callbackUri], grant_types: ['authorization_code', 'client_credentials'] },
      'invalid_client_metadata',
    ],
    [
      'keys somewhere else',
      { redirect_uris: [callbackUri], jwks_uri: 'http://127.0.0.1:1/' },
      'invalid_client_metadata',
    ],
    [
      'a private key',
      {
        redirect_uris: [callbackUri],
        token_endpoint_auth_method: 'private_key_jwt',
        jwks: { keys: [{ kty: 'EC', d: 'x' }] },
      },
      'invalid_client_metadata',
    ],
    [
      'somebody else’s word',
      { redirect_uris: [callbackUri], software_statement: 'a.b.c' },
      'invalid_software_statement',
    ],
    ['a number for a name', { redirect_uris: [callbackUri], client_name: 7 }, 'invalid_client_metadata'],
    ['a list', [], 'invalid_client_metadata'],
    ['what is no JSON', '{', 'invalid_client_metadata'],
  ])('with %s is refused in the words of RFC 7591', async (_name, body, error) => {
    expect(await register(await initialToken(), body)).toMatchObject({ status: 400, json: { error } });
  });

  it('gives no one what only an operator gives: neither trust nor settings nor a choice of identifiers', async () => {
    const { json, clientId } = await registered({
      redirect_uris: [callbackUri],
      client_id: 'chosen',
      client_secret: 'chosen',
      first_party: true,
      poort_first_party: true,
      type: 'resource_server',
      status: 'active',
      audiences: [acme.jwtApi],
      token_exchange_audiences: [acme.opaqueApi],
      settings: { token_exchange_audiences: [acme.opaqueApi] },
      registration_access_token: 'rat_chosen',
    });
    expect(clientId).not.toBe('chosen');
    expect(json['client_secret']).not.toBe('chosen');
    const [row] = await queryAsSuperuser<object>(
      server.database,
      'select first_party, audiences, settings, type from clients where client_id = $1',
      [clientId],
    );
    expect(row).toEqual({ first_party: false, audiences: [], settings: {}, type: 'web' });
  });

  it('is for the types that the token is for', async () => {
    const token = await initialToken({ types: ['machine'] });
    expect(await register(token)).toMatchObject({ status: 400, json: { error: 'invalid_client_metadata' } });
    const impossible = { tenantId: acme.id, scopes: [], uses: 1, lifetimeSeconds: 60 };
    expect(await createInitialAccessToken(server.context, { ...impossible, types: ['resource_server'] })).toMatchObject(
      {
        outcome: 'refused',
      },
    );
    expect(
      await createInitialAccessToken(server.context, { ...impossible, types: ['web'], scopes: ['openid'] }),
    ).toMatchObject({
      outcome: 'refused',
    });
  });
});

describe('C37 a registration access token', () => {
  it('changes names and addresses of its own client', async () => {
    const own = await registered();
    const other = 'http://localhost:9/other';
    const updated = await ask('PUT', own.uri, {
      token: own.token,
      body: asUpdate(own, { client_name: 'Renamed', redirect_uris: [other] }),
    });
    expect(updated).toMatchObject({
      status: 200,
      json: { client_name: 'Renamed', redirect_uris: [other], client_id: own.clientId },
    });
    const read = await ask('GET', own.uri, { token: own.token });
    expect(read.json).toEqual(updated.json);
    const [event] = (await readEvents(server.database, { tenantId: acme.id, types: ['client.updated'] })).slice(-1);
    expect(event).toMatchObject({ actor_type: 'client', actor_id: own.clientId, target_id: own.clientId });
  });

  it.each<[string, Record<string, unknown>]>([
    ['scopes', { scope: 'openid readings:read readings:write' }],
    ['grants', { grant_types: ['client_credentials'], response_types: [] }],
    ['the way it authenticates', { token_endpoint_auth_method: 'none' }],
    ['the redirect scheme', { redirect_uris: ['https://app.test/callback'] }],
    ['the redirect scheme after logout', { post_logout_redirect_uris: ['https://app.test/'] }],
    ['another client_id', { client_id: 'another' }],
    ['another secret', { client_secret: 'another' }],
    ['its own token', { registration_access_token: 'rat_x' }],
    ['where keys come from', { jwks_uri: 'https://app.test/jwks' }],
  ])('cannot touch %s', async (_name, changes) => {
    const own = await registered({ redirect_uris: [callbackUri], scope: 'openid readings:read' });
    expect((await ask('PUT', own.uri, { token: own.token, body: asUpdate(own, changes) })).status).toBe(400);
    const { json } = await ask('GET', own.uri, { token: own.token });
    expect(json).toMatchObject({
      scope: own.json['scope'],
      grant_types: own.json['grant_types'],
      redirect_uris: [callbackUri],
    });
  });

  it('is good for its own client only, in its own tenant', async () => {
    const [own, other] = [await registered(), await registered()];
    const foreign = await registered(undefined, globex);
    const attempts: readonly [string, string][] = [
      [other.uri, own.token],
      [own.uri.replace(acme.issuer, globex.issuer), own.token],
      [own.uri, foreign.token],
      [`${acme.issuer}/register/${foreign.clientId}`, foreign.token],
      [`${acme.issuer}/register/${acme.clients.web.clientId}`, own.token],
      [`${acme.issuer}/register/unknown`, own.token],
      [`${acme.issuer}/register/a%00b`.replace('%00', '%20'), own.token],
    ];
    for (const [uri, token] of attempts)
      for (const method of ['GET', 'PUT', 'DELETE'])
        expect(await ask(method, uri, { token, ...(method === 'PUT' ? { body: asUpdate(own) } : {}) })).toMatchObject(
          invalidToken,
        );
    expect((await ask('GET', other.uri, { token: other.token })).status).toBe(200);
  });

  it('cannot bring a disabled client back, nor look at it', async () => {
    const own = await registered();
    await disableClient(server.context, { tenantId: acme.id, clientId: own.clientId });
    for (const method of ['GET', 'PUT', 'DELETE'])
      expect(
        await ask(method, own.uri, { token: own.token, ...(method === 'PUT' ? { body: asUpdate(own) } : {}) }),
      ).toMatchObject(invalidToken);
    const [row] = await queryAsSuperuser<object>(server.database, 'select status from clients where client_id = $1', [
      own.clientId,
    ]);
    expect(row).toEqual({ status: 'disabled' });
  });

  it('ends its client, for good', async () => {
    const own = await registered();
    expect((await ask('DELETE', own.uri, { token: own.token })).status).toBe(204);
    expect(await ask('GET', own.uri, { token: own.token })).toMatchObject(invalidToken);
    const [row] = await queryAsSuperuser<object>(server.database, 'select status from clients where client_id = $1', [
      own.clientId,
    ]);
    expect(row).toEqual({ status: 'disabled' });
  });

  it('leaves alone what an operator decided meanwhile', async () => {
    const own = await registered();
    await queryAsSuperuser(
      server.database,
      `update clients set first_party = true, settings = '{"refresh_grace_seconds": 5}' where client_id = $1`,
      [own.clientId],
    );
    expect((await ask('PUT', own.uri, { token: own.token, body: asUpdate(own) })).status).toBe(200);
    const [row] = await queryAsSuperuser<object>(
      server.database,
      'select first_party, settings from clients where client_id = $1',
      [own.clientId],
    );
    expect(row).toEqual({ first_party: true, settings: { refresh_grace_seconds: 5 } });
  });
});

it('C37 no token of either kind is in the database', async () => {
  const initial = await initialToken();
  const { token, json } = await registered();
  const rows = await queryAsSuperuser<{ dump: string }>(
    server.database,
    `select (select coalesce(json_agg(t), '[]')::text from initial_access_tokens t)
         || (select coalesce(json_agg(t), '[]')::text from client_registrations t)
         || (select coalesce(json_agg(t), '[]')::text from clients t)
         || (select coalesce(json_agg(t), '[]')::text from events t) as dump`,
  );
  for (const secret of [initial, token, String(json['client_secret'])])
    expect(rows[0]?.dump).not.toContain(secret.replace(/^(iat|rat)_/, ''));
});
