import * as jose from 'jose';
import * as client from 'openid-client';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { discoverAs, passPages, signInWith } from '#test/support/relying_party.ts';
import { ageUsedValues, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  callEndpoint,
  createUserAgent,
  exchangeCode,
  introspect,
  readForm,
  refresh,
} from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, postLogoutUri, type TestClient, type TestTenant } from '#test/support/world.ts';

const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

describe('a relying party built on openid-client', () => {
  let server: TestServer;
  let acme: TestTenant;
  let web: client.Configuration;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    web = await discoverAs(acme, acme.clients.web);
  });

  afterAll(() => server.close());

  const browser = () => createUserAgent(server.origin);
  const signIn = (options: { parameters?: Record<string, string>; agent?: ReturnType<typeof browser> } = {}) =>
    signInWith(web, { agent: browser(), person: acme.person, ...options });
  const userinfoStatus = async (accessToken: string): Promise<number> =>
    (await fetch(`${acme.issuer}/userinfo`, { headers: { authorization: `Bearer ${accessToken}` } })).status;

  describe('discovery', () => {
    it('gives one document at the three addresses', async () => {
      const addresses = [
        `${acme.issuer}/.well-known/openid-configuration`,
        `${server.origin}/.well-known/oauth-authorization-server/t/acme`,
        `${server.origin}/.well-known/openid-configuration/t/acme`,
      ];
      const documents = await Promise.all(addresses.map(async (address) => (await fetch(address)).json()));
      expect(documents[1]).toEqual(documents[0]);
      expect(documents[2]).toEqual(documents[0]);
      expect(documents[0]).toMatchObject({
        issuer: acme.issuer,
        authorization_endpoint: `${acme.issuer}/authorize`,
        token_endpoint: `${acme.issuer}/token`,
        introspection_endpoint: `${acme.issuer}/introspect`,
        revocation_endpoint: `${acme.issuer}/revoke`,
        userinfo_endpoint: `${acme.issuer}/userinfo`,
        jwks_uri: `${acme.issuer}/jwks`,
        pushed_authorization_request_endpoint: `${acme.issuer}/par`,
        end_session_endpoint: `${acme.issuer}/logout`,
        response_types_supported: ['code'],
        code_challenge_methods_supported: ['S256'],
        authorization_response_iss_parameter_supported: true,
      });
    });

    it('works by the OAuth address too (RFC 8414)', async () => {
      const configuration = await client.discovery(
        new URL(acme.issuer),
        acme.clients.web.clientId,
        acme.clients.web.clientSecret,
        undefined,
        { algorithm: 'oauth2', execute: [client.allowInsecureRequests] },
      );
      expect(configuration.serverMetadata().issuer).toBe(acme.issuer);
    });
  });

  describe('signing in', () => {
    it('ends with an ID token that tells who, when and how', async () => {
      const { tokens, callback, nonce } = await signIn();
      expect(callback.searchParams.get('iss')).toBe(acme.issuer);

      const jwks = jose.createRemoteJWKSet(new URL(`${acme.issuer}/jwks`));
      const verified = await jose.jwtVerify(tokens.id_token ?? '', jwks, {
        issuer: acme.issuer,
        audience: acme.clients.web.clientId,
        algorithms: ['RS256'],
      });
      expect(verified.payload).toMatchObject({
        sub: acme.person.id,
        nonce,
        amr: ['pwd'],
        acr: 'urn:poort:acr:password',
        sid: expect.stringMatching(/^.{16,}$/),
      });
      expect(Math.abs(Date.now() / 1000 - Number(verified.payload['auth_time']))).toBeLessThan(30);
    });

    it('opens userinfo with the claims of the scopes asked for', async () => {
      const { tokens } = await signIn();
      const userinfo = await client.fetchUserInfo(web, tokens.access_token, acme.person.id);
      expect(userinfo).toMatchObject({
        email: acme.person.email,
        email_verified: true,
        given_name: 'Ada',
        family_name: 'Lovelace',
      });
      const bare = await signIn({ parameters: { scope: 'openid' } });
      const bareUserinfo = await client.fetchUserInfo(web, bare.tokens.access_token, acme.person.id);
      expect(bareUserinfo.email).toBeUndefined();
      expect(bareUserinfo.name).toBeUndefined();
    });

    it('continues without a second password while the browser is signed in', async () => {
      const agent = browser();
      await signIn({ agent });
      const page = await agent.request(authorizationRequest(acme, acme.clients.web).url);
      expect(page.status).toBe(303);
      expect(new URL(page.headers.get('location') ?? '').searchParams.get('code')).toMatch(/^ac_/);
    });

    it('starts from a pushed request (RFC 9126), which opens one sign-in only', async () => {
      const { tokens } = await signInWith(web, { agent: browser(), person: acme.person, pushed: true });
      expect(tokens.claims()?.sub).toBe(acme.person.id);

      const { web: webClient } = acme.clients;
      const request = authorizationRequest(acme, webClient);
      const pushed = await callEndpoint(acme.issuer, '/par', {
        client: webClient,
        form: Object.fromEntries(new URL(request.url).searchParams),
      });
      expect(pushed).toMatchObject({
        status: 201,
        json: { expires_in: 60, request_uri: expect.stringMatching(/^urn:/) },
      });
      const url = `${acme.issuer}/authorize?${new URLSearchParams({ client_id: webClient.clientId, request_uri: String(pushed.json['request_uri']) })}`;
      const agent = browser();
      const callback = await passPages(agent, url, { person: acme.person });
      expect(callback.searchParams.get('code')).toMatch(/^ac_/);
      const again = await agent.follow(url);
      expect(new URL(again.url).searchParams.get('code')).toBeNull();
      expect(`${again.status} ${new URL(again.url).searchParams.get('error')}`).toMatch(/^400 null$|invalid_request/);
    });

    it('is told by a form that posts itself, where the application asks for that (form_post)', async () => {
      const agent = browser();
      const pkceCodeVerifier = client.randomPKCECodeVerifier();
      const [expectedState, expectedNonce] = [client.randomState(), client.randomNonce()];
      const url = client.buildAuthorizationUrl(web, {
        redirect_uri: callbackUri,
        scope: 'openid',
        response_mode: 'form_post',
        state: expectedState,
        nonce: expectedNonce,
        code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
        code_challenge_method: 'S256',
      });
      const signIn = await agent.follow(url.href);
      const { email, password } = acme.person;
      const page = await agent.submit(signIn, { email, password });
      expect(page.status).toBe(200);
      const { action, hidden } = readForm(page);
      expect(action).toBe(callbackUri);
      const posted = new Request(action, { method: 'POST', body: new URLSearchParams(hidden) });
      const tokens = await client.authorizationCodeGrant(web, posted, {
        pkceCodeVerifier,
        expectedState,
        expectedNonce,
        idTokenExpected: true,
      });
      expect(tokens.claims()?.sub).toBe(acme.person.id);
    });

    it('binds the code to the verifier, the redirect address and the client', async () => {
      const { web: webClient, third, spa } = acme.clients;
      const wrong = [
        (form: Record<string, string>) => ({ ...form, code_verifier: client.randomPKCECodeVerifier() }),
        (form: Record<string, string>) => ({ ...form, redirect_uri: 'http://localhost:9/other' }),
        ({ code_verifier: _verifier, ...form }: Record<string, string>) => form,
      ];
      for (const change of wrong) {
        const authorized = await authorize(browser(), { tenant: acme, client: webClient });
        const form = {
          grant_type: 'authorization_code',
          code: authorized.code,
          code_verifier: authorized.verifier,
          redirect_uri: callbackUri,
        };
        const answer = await callEndpoint(acme.issuer, '/token', { client: webClient, form: change(form) });
        expect(answer).toMatchObject({ status: 400, json: { error: 'invalid_grant' } });
      }
      for (const other of [third, spa]) {
        const authorized = await authorize(browser(), { tenant: acme, client: webClient });
        expect(await exchangeCode(acme, other, authorized)).toMatchObject({
          status: 400,
          json: { error: 'invalid_grant' },
        });
      }
    });
  });

  describe('keeping access', () => {
    it('rotates the refresh token at every use', async () => {
      const { tokens } = await signIn();
      const renewed = await client.refreshTokenGrant(web, tokens.refresh_token ?? '');
      expect(renewed.refresh_token).toMatch(/^rt_/);
      expect(renewed.refresh_token).not.toBe(tokens.refresh_token);
      expect(renewed.access_token).not.toBe(tokens.access_token);
      const [before, after] = [tokens.claims(), renewed.claims()];
      expect(after?.sub).toBe(before?.sub);
      expect(after?.auth_time).toBe(before?.auth_time);
      expect((await client.fetchUserInfo(web, renewed.access_token, acme.person.id)).sub).toBe(acme.person.id);
    });

    it('ends the whole chain when a used refresh token comes back', async () => {
      const { web: webClient } = acme.clients;
      const { tokens } = await signIn();
      const first = tokens.refresh_token ?? '';
      const renewed = await client.refreshTokenGrant(web, first);
      await ageUsedValues(server.database, 11);
      expect(await refresh(acme, webClient, first)).toMatchObject({ status: 400, json: { error: 'invalid_grant' } });
      expect((await refresh(acme, webClient, renewed.refresh_token ?? '')).json['error']).toBe('invalid_grant');
      expect((await introspect(acme, webClient, renewed.access_token)).json).toEqual({ active: false });
    });

    it('gives one successor to sixteen parallel uses of a refresh token', async () => {
      const { web: webClient } = acme.clients;
      const { tokens } = await signIn();
      const answers = await Promise.all(
        Array.from({ length: 16 }, () => refresh(acme, webClient, tokens.refresh_token ?? '')),
      );
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
      expect(new Set(answers.map(({ json }) => json['refresh_token'])).size).toBe(1);
      expect((await refresh(acme, webClient, String(answers[0]?.json['refresh_token']))).status).toBe(200);
    });

    it('gives offline_access to who asks for it, and a refresh token also without', async () => {
      const offline = await signIn({ parameters: { scope: 'openid offline_access', prompt: 'consent' } });
      expect(offline.tokens.refresh_token).toMatch(/^rt_/);
      expect(offline.tokens.scope?.split(' ')).toContain('offline_access');
      const plain = await signIn({ parameters: { scope: 'openid' } });
      expect(plain.tokens.refresh_token).toMatch(/^rt_/);
    });

    it('narrows at refresh and never widens', async () => {
      const { web: webClient } = acme.clients;
      const { tokens } = await signIn();
      const narrowed = await refresh(acme, webClient, tokens.refresh_token ?? '', { scope: 'openid email' });
      expect(narrowed).toMatchObject({ status: 200, json: { scope: 'openid email' } });
      const userinfo = await client.fetchUserInfo(web, String(narrowed.json['access_token']), acme.person.id);
      expect(userinfo.email).toBe(acme.person.email);
      expect(userinfo.name).toBeUndefined();

      const wider = await refresh(acme, webClient, String(narrowed.json['refresh_token']), {
        scope: 'openid profile email offline_access',
      });
      expect(wider).toMatchObject({ status: 400, json: { error: 'invalid_scope' } });
      // A refused wish consumes nothing.
      expect((await refresh(acme, webClient, String(narrowed.json['refresh_token']))).status).toBe(200);
    });

    it('is for one of the APIs that were agreed to, whichever the token request names (RFC 8707)', async () => {
      const { web: webClient } = acme.clients;
      const verifier = client.randomPKCECodeVerifier();
      const url = client.buildAuthorizationUrl(
        web,
        new URLSearchParams([
          ['redirect_uri', callbackUri],
          ['scope', 'openid readings:read'],
          ['resource', acme.jwtApi],
          ['resource', acme.opaqueApi],
          ['code_challenge', await client.calculatePKCECodeChallenge(verifier)],
          ['code_challenge_method', 'S256'],
        ]),
      );
      const callback = await passPages(browser(), url.href, { person: acme.person });
      const checks = { pkceCodeVerifier: verifier, idTokenExpected: true };
      const tokens = await client.authorizationCodeGrant(web, callback, checks, { resource: acme.jwtApi });
      expect(jose.decodeJwt(tokens.access_token)).toMatchObject({ aud: acme.jwtApi, scope: 'readings:read' });
      const other = await client.refreshTokenGrant(web, tokens.refresh_token ?? '', { resource: acme.opaqueApi });
      expect((await introspect(acme, webClient, other.access_token)).json).toMatchObject({ aud: acme.opaqueApi });
      const third = await refresh(acme, webClient, other.refresh_token ?? '', { resource: `${acme.jwtApi}/x` });
      expect(third).toMatchObject({ status: 400, json: { error: 'invalid_target' } });
    });

    it('stays with the API it was given for', async () => {
      const { web: webClient } = acme.clients;
      const { tokens } = await signIn({
        parameters: { scope: 'openid readings:read', resource: acme.opaqueApi },
      });
      expect(tokens.scope).toBe('readings:read');
      const other = await refresh(acme, webClient, tokens.refresh_token ?? '', { resource: acme.jwtApi });
      expect(other).toMatchObject({ status: 400, json: { error: 'invalid_target' } });
      const same = await refresh(acme, webClient, tokens.refresh_token ?? '');
      expect(same).toMatchObject({ status: 200, json: { scope: 'readings:read' } });
    });
  });

  describe('introspection and revocation', () => {
    it('describes a live token to its client', async () => {
      const { tokens } = await signIn();
      const described = await client.tokenIntrospection(web, tokens.access_token);
      expect(described).toMatchObject({
        active: true,
        token_type: 'Bearer',
        sub: acme.person.id,
        client_id: acme.clients.web.clientId,
        iss: acme.issuer,
        scope: 'openid profile email',
      });
    });

    it('revokes an access token', async () => {
      const { tokens } = await signIn();
      await client.tokenRevocation(web, tokens.access_token, { token_type_hint: 'access_token' });
      expect(await client.tokenIntrospection(web, tokens.access_token)).toEqual({ active: false });
      expect(await userinfoStatus(tokens.access_token)).toBe(401);
    });

    it('revokes a refresh token and with it everything of the grant', async () => {
      const { tokens } = await signIn();
      await client.tokenRevocation(web, tokens.refresh_token ?? '');
      await expect(client.refreshTokenGrant(web, tokens.refresh_token ?? '')).rejects.toMatchObject({
        error: 'invalid_grant',
      });
      expect(await client.tokenIntrospection(web, tokens.access_token)).toEqual({ active: false });
    });

    it('answers the revocation of an unknown value with success, and touches no token of another client', async () => {
      const { tokens } = await signIn();
      const revoke = (token: string) =>
        callEndpoint(acme.issuer, '/revoke', { client: acme.clients.third, form: { token } });
      const unknown = await revoke('rt_nobody-has-ever-seen-this-one');
      expect(unknown.status).toBe(200);
      for (const token of [tokens.access_token, tokens.refresh_token ?? '']) {
        const foreign = await revoke(token);
        expect([foreign.status, foreign.json]).toEqual([unknown.status, unknown.json]);
      }
      expect(await client.tokenIntrospection(web, tokens.access_token)).toMatchObject({ active: true });
      expect((await refresh(acme, acme.clients.web, tokens.refresh_token ?? '')).status).toBe(200);
      const events = await readEvents(server.database, { tenantId: acme.id, types: ['token.revoked'] });
      expect(events.filter((event) => event.client_id === acme.clients.third.clientId)).toEqual([]);
    });
  });

  describe('signing out', () => {
    it('asks, then ends session, tokens and chain, and returns with the state', async () => {
      const agent = browser();
      const { tokens } = await signIn({ agent });
      const url = client.buildEndSessionUrl(web, {
        id_token_hint: tokens.id_token ?? '',
        post_logout_redirect_uri: postLogoutUri,
        state: 'back again',
      });
      const page = await agent.follow(url.href);
      expect(page.status).toBe(200);
      expect(page.body).toContain('name="logout"');
      expect(await userinfoStatus(tokens.access_token)).toBe(200);

      const after = await agent.submit(page, { logout: 'yes' });
      const destination = new URL(after.url);
      expect(destination.href.split('?')[0]).toBe(postLogoutUri);
      expect(destination.searchParams.get('state')).toBe('back again');

      expect(await userinfoStatus(tokens.access_token)).toBe(401);
      await expect(client.refreshTokenGrant(web, tokens.refresh_token ?? '')).rejects.toMatchObject({
        error: 'invalid_grant',
      });
      expect(await client.tokenIntrospection(web, tokens.access_token)).toEqual({ active: false });
      const next = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
      expect(next.body).toContain('name="password"');
    });

    it('refuses an address that is not registered for it', async () => {
      const agent = browser();
      const { tokens } = await signIn({ agent });
      const url = client.buildEndSessionUrl(web, {
        id_token_hint: tokens.id_token ?? '',
        post_logout_redirect_uri: 'http://localhost:9/elsewhere',
      });
      const page = await agent.follow(url.href);
      expect(page.status).toBe(400);
      expect(page.url.startsWith(server.origin)).toBe(true);
      expect(await userinfoStatus(tokens.access_token)).toBe(200);
    });
  });

  describe('client authentication', () => {
    it.each([
      ['client_secret_basic', client.ClientSecretBasic],
      ['client_secret_post', client.ClientSecretPost],
    ])('accepts %s', async (_name, authentication) => {
      const configuration = await discoverAs(
        acme,
        acme.clients.machine,
        authentication(acme.clients.machine.clientSecret),
      );
      const tokens = await client.clientCredentialsGrant(configuration, { resource: acme.opaqueApi });
      expect(tokens.access_token).toMatch(/^at_/);
    });

    it('refuses a wrong secret, no secret and both ways at once', async () => {
      const { machine } = acme.clients;
      const form = { grant_type: 'client_credentials' };
      const wrong = await callEndpoint(acme.issuer, '/token', {
        client: { ...machine, clientSecret: `${machine.clientSecret}x` },
        form,
      });
      expect(wrong).toMatchObject({ status: 401, json: { error: 'invalid_client' } });
      expect(wrong.headers.get('www-authenticate')).toMatch(/^Basic /);
      const none = await callEndpoint(acme.issuer, '/token', { client: { ...machine, clientSecret: '' }, form });
      expect(none).toMatchObject({ status: 401, json: { error: 'invalid_client' } });
      const both = await callEndpoint(acme.issuer, '/token', {
        client: machine,
        form: { ...form, client_id: machine.clientId, client_secret: machine.clientSecret },
      });
      expect(both).toMatchObject({ status: 400, json: { error: 'invalid_request' } });
      const unknown = await callEndpoint(acme.issuer, '/token', {
        client: { clientId: 'nobody', clientSecret: 'x' },
        form,
      });
      expect(unknown.status).toBe(401);
      expect(unknown.json).toEqual(wrong.json);
    });

    describe('with a key of its own (private_key_jwt)', () => {
      let keyed: TestClient;
      let privateKey: jose.CryptoKey;

      beforeAll(async () => {
        const pair = await jose.generateKeyPair('ES256', { extractable: true });
        privateKey = pair.privateKey;
        const jwk = { ...(await jose.exportJWK(pair.publicKey)), kid: 'its-key', alg: 'ES256', use: 'sig' };
        const created = await createClient(server.context, {
          tenantId: acme.id,
          client: {
            name: 'keyed',
            type: 'machine',
            firstParty: true,
            jwks: { keys: [jwk] },
            scopes: ['readings:read'],
          },
        });
        if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
        expect(created.clientSecret).toBeUndefined();
        keyed = { clientId: created.clientId, clientSecret: '' };
      });

      const assertion = (claims: jose.JWTPayload = {}): Promise<string> =>
        new jose.SignJWT({ jti: crypto.randomUUID(), ...claims })
          .setProtectedHeader({ alg: 'ES256', kid: 'its-key' })
          .setIssuer(keyed.clientId)
          .setSubject(keyed.clientId)
          .setAudience(claims.aud ?? acme.issuer)
          .setIssuedAt()
          .setExpirationTime('1m')
          .sign(privateKey);
      const present = (value: string) =>
        callEndpoint(acme.issuer, '/token', {
          form: {
            grant_type: 'client_credentials',
            client_id: keyed.clientId,
            client_assertion_type: assertionType,
            client_assertion: value,
          },
        });

      it('is let in', async () => {
        const configuration = await discoverAs(acme, keyed, client.PrivateKeyJwt({ key: privateKey, kid: 'its-key' }));
        const tokens = await client.clientCredentialsGrant(configuration);
        expect(tokens.access_token).toMatch(/^at_/);
      });

      it('is let in once for each assertion', async () => {
        const value = await assertion();
        expect((await present(value)).status).toBe(200);
        expect(await present(value)).toMatchObject({ status: 401, json: { error: 'invalid_client' } });
      });

      it('is let in once for ten parallel uses of one assertion', async () => {
        const value = await assertion();
        const answers = await Promise.all(Array.from({ length: 10 }, () => present(value)));
        expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
        expect(answers.filter(({ status }) => status === 401)).toHaveLength(9);
      });

      it('is refused with an assertion for somebody else', async () => {
        expect((await present(await assertion({ aud: 'https://elsewhere.test' }))).status).toBe(401);
      });
    });
  });

  describe('a public client', () => {
    it('signs in without a secret (spa)', async () => {
      const spa = await discoverAs(acme, acme.clients.spa);
      const { tokens } = await signInWith(spa, { agent: browser(), person: acme.person });
      const renewed = await client.refreshTokenGrant(spa, tokens.refresh_token ?? '');
      expect(renewed.claims()?.sub).toBe(acme.person.id);
    });

    it('is called back on any loopback port (native, RFC 8252 §7.3)', async () => {
      const native = await discoverAs(acme, acme.clients.native);
      for (const port of [49_152, 61_234]) {
        const { tokens, callback } = await signInWith(native, {
          agent: browser(),
          person: acme.person,
          parameters: { redirect_uri: `http://127.0.0.1:${port}/callback` },
        });
        expect(callback.port).toBe(String(port));
        expect(tokens.claims()?.sub).toBe(acme.person.id);
      }
      const other = authorizationRequest(acme, acme.clients.native, { redirect_uri: 'http://127.0.0.1:1234/other' });
      const page = await browser().follow(other.url);
      expect(page.status).toBe(400);
    });

    it('cannot use the client credentials grant', async () => {
      const answer = await callEndpoint(acme.issuer, '/token', {
        client: acme.clients.spa,
        form: { grant_type: 'client_credentials' },
      });
      expect(answer).toMatchObject({ status: 400, json: { error: 'invalid_request' } });
    });
  });

  describe('DPoP (RFC 9449)', () => {
    it('binds tokens to the key that was proven', async () => {
      const DPoP = client.getDPoPHandle(web, await client.randomDPoPKeyPair('ES256'));
      const { tokens } = await signInWith(web, { agent: browser(), person: acme.person, DPoP });
      expect(tokens.token_type).toBe('dpop');
      const described = await client.tokenIntrospection(web, tokens.access_token);
      expect(described).toMatchObject({ active: true, token_type: 'DPoP', cnf: { jkt: expect.any(String) } });
      const userinfo = await client.fetchUserInfo(web, tokens.access_token, acme.person.id, { DPoP });
      expect(userinfo.sub).toBe(acme.person.id);
      expect(await userinfoStatus(tokens.access_token)).toBe(401);

      const renewed = await client.refreshTokenGrant(web, tokens.refresh_token ?? '', {}, { DPoP });
      expect(renewed.token_type).toBe('dpop');
    });

    it('accepts a proof once, also of ten at the same time', async () => {
      const { machine } = acme.clients;
      const { privateKey, publicKey } = await jose.generateKeyPair('ES256', { extractable: true });
      const jwk = await jose.exportJWK(publicKey);
      const prove = (nonce?: string): Promise<string> =>
        new jose.SignJWT({
          jti: crypto.randomUUID(),
          htm: 'POST',
          htu: `${acme.issuer}/token`,
          ...(nonce === undefined ? {} : { nonce }),
        })
          .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
          .setIssuedAt()
          .sign(privateKey);
      const present = (proof: string) =>
        callEndpoint(acme.issuer, '/token', {
          client: machine,
          form: { grant_type: 'client_credentials' },
          headers: { dpop: proof },
        });

      let proof = await prove();
      let first = await present(proof);
      const nonce = first.headers.get('dpop-nonce');
      if (first.json['error'] === 'use_dpop_nonce' && nonce !== null) {
        proof = await prove(nonce);
        first = await present(proof);
      }
      expect(first).toMatchObject({ status: 200, json: { token_type: 'DPoP' } });
      expect(await present(proof)).toMatchObject({ status: 400, json: { error: 'invalid_grant' } });

      const another = await prove(nonce ?? undefined);
      const answers = await Promise.all(Array.from({ length: 10 }, () => present(another)));
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
      expect(answers.filter(({ json }) => json['error'] === 'invalid_grant')).toHaveLength(9);
    });

    it('refuses a nonce that is not of this server', async () => {
      const { privateKey, publicKey } = await jose.generateKeyPair('ES256', { extractable: true });
      const proof = await new jose.SignJWT({
        jti: crypto.randomUUID(),
        htm: 'POST',
        htu: `${acme.issuer}/token`,
        nonce: 'made-up',
      })
        .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: await jose.exportJWK(publicKey) })
        .setIssuedAt()
        .sign(privateKey);
      const answer = await callEndpoint(acme.issuer, '/token', {
        client: acme.clients.machine,
        form: { grant_type: 'client_credentials' },
        headers: { dpop: proof },
      });
      expect(answer).toMatchObject({ status: 400, json: { error: 'use_dpop_nonce' } });
      expect(answer.headers.get('dpop-nonce')).toMatch(/^.{16,}$/);
    });
  });

  describe('consent', () => {
    const ask = async (agent = browser()) => {
      const { url, verifier } = authorizationRequest(acme, acme.clients.third, {
        scope: 'openid email readings:read',
        resource: acme.jwtApi,
      });
      const page = await agent.follow(url);
      return { agent, verifier, page: await agent.submit(page, credentials()) };
    };
    const credentials = () => ({ email: acme.person.email, password: acme.person.password });

    it('is asked for an application of somebody else, by name and in plain words', async () => {
      const { page } = await ask();
      expect(page.status).toBe(200);
      expect(page.body).toContain('name="decision"');
      expect(page.body).toContain('Somebody else');
      expect(page.body).toContain('May readings:read');
    });

    it('refused becomes access_denied', async () => {
      const { agent, page } = await ask();
      const denied = await agent.submit(page, { decision: 'deny' });
      const callback = new URL(denied.url);
      expect(callback.searchParams.get('error')).toBe('access_denied');
      expect(callback.searchParams.get('state')).toBe('the-state');
      expect(callback.searchParams.get('iss')).toBe(acme.issuer);
    });

    it('given becomes tokens, and is not asked again in this session', async () => {
      const { agent, page, verifier } = await ask();
      const allowed = await agent.submit(page, { decision: 'allow' });
      const callback = new URL(allowed.url);
      const code = callback.searchParams.get('code') ?? '';
      const tokens = await exchangeCode(acme, acme.clients.third, { code, verifier, callback });
      expect(tokens).toMatchObject({ status: 200, json: { scope: 'readings:read' } });

      const again = await agent.follow(
        authorizationRequest(acme, acme.clients.third, { scope: 'openid email readings:read', resource: acme.jwtApi })
          .url,
      );
      expect(new URL(again.url).searchParams.get('code')).toMatch(/^ac_/);
      const more = await agent.follow(
        authorizationRequest(acme, acme.clients.third, { scope: 'openid email readings:write', resource: acme.jwtApi })
          .url,
      );
      expect(more.body).toContain('name="decision"');
    });

    it('is not asked for an application of the house', async () => {
      const agent = browser();
      const page = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
      const after = await agent.submit(page, credentials());
      expect(new URL(after.url).searchParams.get('code')).toMatch(/^ac_/);
    });
  });

  describe('prompts', () => {
    it('prompt=none asks nobody: login_required without a session, consent_required without consent', async () => {
      const agent = browser();
      const none = (testClient: TestClient) => authorizationRequest(acme, testClient, { prompt: 'none' }).url;
      const before = await agent.follow(none(acme.clients.web));
      expect(new URL(before.url).searchParams.get('error')).toBe('login_required');
      await signIn({ agent });
      const after = await agent.follow(none(acme.clients.web));
      expect(new URL(after.url).searchParams.get('code')).toMatch(/^ac_/);
      const third = await agent.follow(none(acme.clients.third));
      expect(new URL(third.url).searchParams.get('error')).toBe('consent_required');
    });

    it.each([
      ['prompt=login', { prompt: 'login' }],
      ['max_age=0', { max_age: '0' }],
    ])('%s asks for the password again', async (_name, parameters) => {
      const agent = browser();
      await signIn({ agent });
      const page = await agent.follow(authorizationRequest(acme, acme.clients.web, parameters).url);
      expect(page.body).toContain('name="password"');
      const after = await agent.submit(page, { email: acme.person.email, password: acme.person.password });
      expect(new URL(after.url).searchParams.get('code')).toMatch(/^ac_/);
    });
  });

  describe('the session', () => {
    it('gets a new identifier at sign-in, and the one from before opens nothing', async () => {
      const agent = browser();
      const sessionCookie = () => agent.cookies().filter((cookie) => cookie.startsWith('_session'));
      // Make the browser hold a session before anybody signed in: signing out keeps one for its own form.
      await agent.follow(`${acme.issuer}/logout`);
      const planted = sessionCookie();
      expect(planted.length).toBeGreaterThan(0);
      await signIn({ agent });
      const own = sessionCookie();
      expect(own.length).toBeGreaterThan(0);
      expect(own).not.toEqual(planted);
      const thief = await fetch(authorizationRequest(acme, acme.clients.web, { prompt: 'none' }).url, {
        redirect: 'manual',
        headers: { cookie: planted.join('; ') },
      });
      expect(new URL(thief.headers.get('location') ?? '').searchParams.get('error')).toBe('login_required');

      await signIn({ agent, parameters: { prompt: 'login' } });
      const old = await fetch(authorizationRequest(acme, acme.clients.web, { prompt: 'none' }).url, {
        redirect: 'manual',
        headers: { cookie: own.join('; ') },
      });
      expect(new URL(old.headers.get('location') ?? '').searchParams.get('error')).toBe('login_required');
    });
  });

  describe('wishes that are not granted', () => {
    it('a scope that is unknown, or not of this API, is left out (OpenID Connect Core §3.1.2.1)', async () => {
      const { tokens } = await signIn({
        parameters: { scope: 'openid readings:read readings:erase email', resource: acme.opaqueApi },
      });
      expect(tokens.scope).toBe('readings:read');
    });

    it.each([
      ['an unknown resource', { resource: 'https://api.acme.test/nothing' }, 'invalid_target'],
      ['a resource that is no address', { resource: 'readings' }, 'invalid_target'],
      ['another response type', { response_type: 'id_token' }, 'unsupported_response_type'],
      ['a plain code challenge', { code_challenge_method: 'plain' }, 'invalid_request'],
    ])('%s', async (_name, parameters, error) => {
      const request = authorizationRequest(acme, acme.clients.web, parameters);
      let page = await browser().follow(request.url);
      if (page.body.includes('name="password"')) {
        const agent = browser();
        page = await agent.submit(await agent.follow(request.url), {
          email: acme.person.email,
          password: acme.person.password,
        });
      }
      const { search, hash } = new URL(page.url);
      // An answer to `response_type=id_token` travels in the fragment.
      const answer = new URLSearchParams(search === '' ? hash.slice(1) : search);
      expect(answer.get('error')).toBe(error);
      expect(answer.get('code')).toBeNull();
    });

    it('a redirect address that is not registered is never followed', async () => {
      for (const redirectUri of [
        'http://localhost:9/callback/',
        'https://evil.test/',
        'http://localhost:9/callback?x=1',
      ]) {
        const page = await browser().follow(
          authorizationRequest(acme, acme.clients.web, { redirect_uri: redirectUri }).url,
        );
        expect(page.status).toBe(400);
        expect(page.headers.get('location')).toBeNull();
      }
    });
  });
});
