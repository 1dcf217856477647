/** What a client may ask for and how it is answered: pushed requests, resources, single claims, posted and signed answers. */
import * as jose from 'jose';
import * as client from 'openid-client';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { generateSigningKeyPair } from '#src/foundation/key_pairs.ts';
import { signingKeyContext } from '#src/foundation/sealing_contexts.ts';
import { insertSigningKey } from '#src/storage/tables/signing_keys.ts';
import { registerAs } from '#test/support/protocol.ts';
import { discoverAs, signInWith } from '#test/support/relying_party.ts';
import { readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  callEndpoint,
  createUserAgent,
  exchangeCode,
  refresh,
} from '#test/support/user_agent.ts';
import { apiScopes, callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

const web = (settings: object, others: object = {}): Promise<TestClient> =>
  registerAs(server, acme, {
    name: 'App',
    type: 'web',
    firstParty: true,
    redirectUris: [callbackUri],
    scopes: [...apiScopes],
    settings,
    ...others,
  });
const browser = () => createUserAgent(server.origin);

async function refusalOf(registered: TestClient, extra: Record<string, string>): Promise<string | null> {
  const page = await browser().follow(authorizationRequest(acme, registered, extra).url);
  return new URL(page.url).searchParams.get('error');
}

describe('a client that must push its requests (RFC 9126)', () => {
  it('is refused any other', async () => {
    const pushing = await web({ require_pushed_authorization_requests: true });
    expect(await refusalOf(pushing, {})).toBe('invalid_request');
    const configuration = await discoverAs(acme, pushing);
    const { tokens, callback } = await signInWith(configuration, {
      agent: browser(),
      person: acme.person,
      pushed: true,
    });
    expect(tokens.claims()?.sub).toBe(acme.person.id);
    // RFC 9207
    expect(callback.searchParams.get('iss')).toBe(acme.issuer);
  });

  it('cannot use what another client pushed', async () => {
    const { web: other } = acme.clients;
    const { searchParams } = new URL(authorizationRequest(acme, other).url);
    const pushed = await callEndpoint(acme.issuer, '/par', { client: other, form: Object.fromEntries(searchParams) });
    expect(pushed.status).toBe(201);
    const stolen = new URLSearchParams({
      client_id: acme.clients.spa.clientId,
      request_uri: String(pushed.json['request_uri']),
    });
    expect((await browser().follow(`${acme.issuer}/authorize?${stolen}`)).status).toBe(400);
  });
});

describe('resources (RFC 8707)', () => {
  const both = (tenant: TestTenant) =>
    `&${new URLSearchParams([
      ['resource', tenant.jwtApi],
      ['resource', tenant.opaqueApi],
    ])}`;

  it('are bound at the authorization request and narrowed at the token endpoint, never widened', async () => {
    const { web: registered } = acme.clients;
    const agent = browser();
    const { url, verifier } = authorizationRequest(acme, registered, { scope: 'openid readings:read' });
    const { email, password } = acme.person;
    const page = await agent.submit(await agent.follow(url + both(acme)), { email, password });
    const code = new URL(page.url).searchParams.get('code') ?? '';
    const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: callbackUri };
    const wider = await callEndpoint(acme.issuer, '/token', {
      client: registered,
      form: { ...form, resource: 'https://api.elsewhere.test/' },
    });
    expect(wider).toMatchObject({ status: 400, json: { error: 'invalid_target' } });
    const narrowed = await callEndpoint(acme.issuer, '/token', {
      client: registered,
      form: { ...form, resource: acme.jwtApi },
    });
    expect(narrowed.status).toBe(200);
    expect(jose.decodeJwt(String(narrowed.json['access_token']))).toMatchObject({
      aud: acme.jwtApi,
      scope: 'readings:read',
    });
    const first = String(narrowed.json['refresh_token']);
    const other = await refresh(acme, registered, first, { resource: acme.opaqueApi });
    expect(other).toMatchObject({ status: 200, json: { scope: 'readings:read' } });
    const second = String(other.json['refresh_token']);
    const foreign = await refresh(acme, registered, second, { resource: 'https://api.elsewhere.test/' });
    expect(foreign).toMatchObject({ status: 400, json: { error: 'invalid_target' } });
    const widened = await refresh(acme, registered, second, {
      resource: acme.jwtApi,
      scope: 'openid readings:read readings:write',
    });
    expect(widened).toMatchObject({ status: 400, json: { error: 'invalid_scope' } });
  });

  it('that were not named at the start are not had later', async () => {
    const { web: registered } = acme.clients;
    const authorized = await authorize(browser(), { tenant: acme, client: registered });
    const form = {
      grant_type: 'authorization_code',
      code: authorized.code,
      code_verifier: authorized.verifier,
      redirect_uri: callbackUri,
      resource: acme.jwtApi,
    };
    expect(await callEndpoint(acme.issuer, '/token', { client: registered, form })).toMatchObject({
      status: 400,
      json: { error: 'invalid_target' },
    });
    expect(await refusalOf(registered, { resource: 'https://api.elsewhere.test/' })).toBe('invalid_target');
  });
});

describe('single claims (OpenID Connect Core §5.5)', () => {
  const claims = JSON.stringify({ userinfo: { email: null, name: { essential: true } }, id_token: { email: null } });

  it('come where they were asked for, and nothing else does', async () => {
    const configuration = await discoverAs(acme, acme.clients.web);
    const { tokens } = await signInWith(configuration, {
      agent: browser(),
      person: acme.person,
      parameters: { scope: 'openid', claims },
    });
    expect(tokens.claims()?.['email']).toBe(acme.person.email);
    expect(tokens.claims()?.['name']).toBeUndefined();
    const userinfo = await client.fetchUserInfo(configuration, tokens.access_token, acme.person.id);
    expect(userinfo).toEqual({ sub: acme.person.id, email: acme.person.email, name: expect.any(String) });
  });

  it('of somebody else’s application are put to the person first', async () => {
    const { third } = acme.clients;
    const agent = browser();
    const { url } = authorizationRequest(acme, third, { scope: 'openid', claims });
    const { email, password } = acme.person;
    const page = await agent.submit(await agent.follow(url), { email, password });
    expect(page.body).toContain('name="decision"');
    const page2 = await agent.submit(page, { decision: 'allow' });
    expect(new URL(page2.url).searchParams.get('code')).not.toBeNull();
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['consent.granted'] });
    expect(events.at(-1)?.data).toMatchObject({ claims: expect.arrayContaining(['email', 'name']) });
  });

  it.each([
    ['a NUL as a value', String.raw`{"id_token":{"sub":{"value":"\u0000"}}}`],
    ['a NUL in a list', String.raw`{"id_token":{"acr":{"values":["\u0000"]}}}`],
    ['a NUL as a name', String.raw`{"userinfo":{"\u0000":null}}`],
    ['half a character as a value', String.raw`{"userinfo":{"name":{"value":"\ud800"}}}`],
    ['half a character as a name', String.raw`{"userinfo":{"\udfff":null}}`],
  ])(
    'that hold %s are refused before anybody is asked to sign in, as nothing could keep them',
    async (_name, claims) => {
      expect(await refusalOf(acme.clients.web, { claims })).toBe('invalid_request');
    },
  );

  it('that are malformed, or not an object, are refused', async () => {
    for (const value of [
      '{',
      '[]',
      '"email"',
      '{}',
      '{"userinfo":[]}',
      'null',
      `{"userinfo":{"${'x'.repeat(3000)}":null}}`,
    ]) {
      expect({ value, error: await refusalOf(acme.clients.web, { claims: value }) }).not.toEqual({
        value,
        error: null,
      });
    }
  });
});

describe('the signature of an answer', () => {
  it.each(['RS256', 'ES256'] as const)('is %s where the client registered so: ID token and userinfo', async (alg) => {
    const registered = await web({ id_token_signed_response_alg: alg, userinfo_signed_response_alg: alg });
    const configuration = await client.discovery(
      new URL(acme.issuer),
      registered.clientId,
      { client_id: registered.clientId, id_token_signed_response_alg: alg, userinfo_signed_response_alg: alg },
      client.ClientSecretBasic(registered.clientSecret),
      { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] },
    );
    const { tokens } = await signInWith(configuration, { agent: browser(), person: acme.person });
    expect(jose.decodeProtectedHeader(tokens.id_token ?? '').alg).toBe(alg);
    const userinfo = await client.fetchUserInfo(configuration, tokens.access_token, acme.person.id);
    expect(userinfo).toMatchObject({ sub: acme.person.id, email: acme.person.email });
    const answer = await fetch(`${acme.issuer}/userinfo`, {
      headers: { authorization: `Bearer ${tokens.access_token}` },
    });
    expect(answer.headers.get('content-type')).toMatch(/^application\/jwt/);
    expect(jose.decodeProtectedHeader(await answer.text()).alg).toBe(alg);
  });

  it('is EdDSA where the tenant has such a key, and cannot be registered before', async () => {
    const globex = await createTestTenant(server, 'globex');
    const request = {
      name: 'App',
      type: 'web',
      firstParty: true,
      redirectUris: [callbackUri],
      settings: { id_token_signed_response_alg: 'EdDSA' },
    };
    expect(await createClient(server.context, { tenantId: globex.id, client: request })).toMatchObject({
      outcome: 'refused',
      problems: [{ field: 'settings', problem: 'no_key_of_this_algorithm', value: 'EdDSA' }],
    });
    const pair = await generateSigningKeyPair('EdDSA');
    const privateSealed = server.context.sealer.seal(
      JSON.stringify(pair.privateJwk),
      signingKeyContext(globex.id, pair.kid),
    );
    await server.context.database.tenant(globex.id).transaction((transaction) =>
      insertSigningKey(transaction, {
        tenantId: globex.id,
        kid: pair.kid,
        alg: 'EdDSA',
        status: 'active',
        publicJwk: pair.publicJwk,
        privateSealed,
        now: new Date(),
      }),
    );
    const registered = await registerAs(server, globex, request);
    const tokens = await exchangeCode(
      globex,
      registered,
      await authorize(browser(), { tenant: globex, client: registered }),
    );
    expect(jose.decodeProtectedHeader(String(tokens.json['id_token'])).alg).toMatch(/^Ed/);
    const keys = jose.createRemoteJWKSet(new URL(`${globex.issuer}/jwks`));
    await jose.jwtVerify(String(tokens.json['id_token']), keys, {
      issuer: globex.issuer,
      audience: registered.clientId,
    });
  });
});

describe('an answer that is posted (form_post)', () => {
  it('goes to the client by a page of one form, which may post nowhere else', async () => {
    const agent = browser();
    const { url } = authorizationRequest(acme, acme.clients.web, { response_mode: 'form_post' });
    const { email, password } = acme.person;
    const page = await agent.submit(await agent.follow(url), { email, password });
    expect(page.status).toBe(200);
    expect(page.body).toContain(`action="${callbackUri}"`);
    expect(page.body).toMatch(/name="code" value="ac_/);
    expect(page.body).toContain(`name="iss" value="${acme.issuer}"`);
    const policy = page.headers.get('content-security-policy') ?? '';
    expect(policy).toContain(`form-action 'self' ${new URL(callbackUri).origin};`);
    // The page's only script is allowed by its hash, and nothing inline beside it.
    expect(policy).toMatch(/script-src 'self' 'sha256-[A-Za-z0-9+/=]+'/);
    expect(policy).not.toContain('unsafe-inline');
  });
});

describe('the age of a sign-in', () => {
  it('asks for a new one where the client registered so', async () => {
    const careful = await web({ default_max_age: 0 });
    const agent = browser();
    await authorize(agent, { tenant: acme, client: acme.clients.web });
    const again = await agent.follow(authorizationRequest(acme, careful).url);
    expect(again.body).toContain('name="password"');
  });
});
