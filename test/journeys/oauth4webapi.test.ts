/** Every flow with oauth4webapi alone, which checks each answer against its specification and repairs nothing. */
import * as jose from 'jose';
import * as oauth from 'oauth4webapi';
import { registerClient } from '#test/support/relying_parties.ts';
import { passPages } from '#test/support/relying_party.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createUserAgent } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestTenant } from '#test/support/world.ts';

/** TLS is not part of a test on loopback. */
const plainHttp = { [oauth.allowInsecureRequests]: true } as const;

describe('a relying party built on oauth4webapi', () => {
  let server: TestServer;
  let acme: TestTenant;
  let poort: oauth.AuthorizationServer;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    const issuer = new URL(acme.issuer);
    poort = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, plainHttp));
  });

  afterAll(async () => {
    expect(server.log).toEqual([]);
    await server.close();
  });

  interface Party {
    readonly client: oauth.Client;
    readonly authentication: oauth.ClientAuth;
  }

  const partyOf = (name: 'web' | 'spa' | 'machine' | 'resource_server'): Party => {
    const { clientId, clientSecret } = acme.clients[name];
    return {
      client: { client_id: clientId },
      authentication: clientSecret === '' ? oauth.None() : oauth.ClientSecretBasic(clientSecret),
    };
  };

  /** A web client that has a key and no secret. */
  async function keyedParty(): Promise<Party> {
    const { privateKey, publicKey } = await jose.generateKeyPair('ES256', { extractable: true });
    const jwk = { ...(await jose.exportJWK(publicKey)), kid: 'its-key', alg: 'ES256' };
    const keyed = { name: 'keyed', type: 'web', redirectUris: [callbackUri], jwks: { keys: [jwk] } } as const;
    const { clientId } = await registerClient(server, acme, keyed);
    return {
      client: { client_id: clientId },
      authentication: oauth.PrivateKeyJwt({ key: privateKey, kid: 'its-key' }),
    };
  }

  interface SignIn extends Party {
    readonly pushed?: boolean;
    readonly DPoP?: oauth.DPoPHandle;
    readonly resource?: string;
  }

  /** From a fresh browser to validated tokens. */
  async function signIn({ client, authentication, pushed = false, DPoP, resource }: SignIn) {
    const [verifier, state, nonce] = [
      oauth.generateRandomCodeVerifier(),
      oauth.generateRandomState(),
      oauth.generateRandomNonce(),
    ];
    const parameters = new URLSearchParams({
      client_id: client.client_id,
      response_type: 'code',
      redirect_uri: callbackUri,
      scope: resource === undefined ? 'openid profile email' : 'openid readings:read',
      state,
      nonce,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      ...(resource === undefined ? {} : { resource }),
    });
    const address = new URL(poort.authorization_endpoint ?? '');
    address.search = pushed ? await push({ client, authentication, parameters, DPoP }) : parameters.toString();
    const callback = await passPages(createUserAgent(server.origin), address.href, { person: acme.person });
    const answer = oauth.validateAuthResponse(poort, client, callback, state);
    const ask = () =>
      oauth.authorizationCodeGrantRequest(poort, client, authentication, answer, callbackUri, verifier, {
        ...plainHttp,
        ...(DPoP === undefined ? {} : { DPoP }),
      });
    const options = { expectedNonce: nonce, requireIdToken: true };
    const { result, response } = await askWithNonce(ask, (given) =>
      oauth.processAuthorizationCodeResponse(poort, client, given, options),
    );
    await oauth.validateApplicationLevelSignature(poort, response, plainHttp);
    const claims = oauth.getValidatedIdTokenClaims(result);
    expect(claims?.sub).toBe(acme.person.id);
    return result;
  }

  async function push({
    client,
    authentication,
    parameters,
    DPoP,
  }: Party & { parameters: URLSearchParams; DPoP?: oauth.DPoPHandle | undefined }): Promise<string> {
    const { result } = await askWithNonce(
      () =>
        oauth.pushedAuthorizationRequest(poort, client, authentication, parameters, {
          ...plainHttp,
          ...(DPoP === undefined ? {} : { DPoP }),
        }),
      (response) => oauth.processPushedAuthorizationResponse(poort, client, response),
    );
    return new URLSearchParams({ client_id: client.client_id, request_uri: result.request_uri }).toString();
  }

  /** RFC 9449 §8: a server that wants a nonce says so once, and the request is made again. */
  async function askWithNonce<Result>(
    ask: () => Promise<Response>,
    process: (response: Response) => Promise<Result>,
  ): Promise<{ result: Result; response: Response }> {
    const first = await ask();
    try {
      return { result: await process(first), response: first };
    } catch (fault) {
      if (!oauth.isDPoPNonceError(fault)) throw fault;
      const second = await ask();
      return { result: await process(second), response: second };
    }
  }

  async function refreshWith(
    { client, authentication, DPoP }: Party & { DPoP: oauth.DPoPHandle },
    refreshToken: string | undefined,
  ): Promise<oauth.TokenEndpointResponse> {
    const options = { ...plainHttp, DPoP };
    const { result } = await askWithNonce(
      () => oauth.refreshTokenGrantRequest(poort, client, authentication, refreshToken ?? '', options),
      (response) => oauth.processRefreshTokenResponse(poort, client, response),
    );
    return result;
  }

  const newDPoP = async (client: oauth.Client): Promise<oauth.DPoPHandle> =>
    oauth.DPoP(client, await oauth.generateKeyPair('ES256'));

  it.each(['web', 'spa'] as const)('signs in, reads userinfo and refreshes as a %s client', async (type) => {
    const { client, authentication } = partyOf(type);
    const tokens = await signIn({ client, authentication });
    const response = await oauth.userInfoRequest(poort, client, tokens.access_token, plainHttp);
    const userinfo = await oauth.processUserInfoResponse(poort, client, acme.person.id, response);
    expect(userinfo).toMatchObject({ email: acme.person.email, name: 'Ada Lovelace' });

    const renewing = await oauth.refreshTokenGrantRequest(
      poort,
      client,
      authentication,
      tokens.refresh_token ?? '',
      plainHttp,
    );
    const renewed = await oauth.processRefreshTokenResponse(poort, client, renewing);
    expect(renewed.refresh_token).not.toBe(tokens.refresh_token);
    expect(oauth.getValidatedIdTokenClaims(renewed)?.sub).toBe(acme.person.id);
  });

  it('pushes its request, proves a key instead of a secret, and has its tokens bound to another one', async () => {
    const { client, authentication } = await keyedParty();
    const DPoP = await newDPoP(client);
    const tokens = await signIn({ client, authentication, pushed: true, DPoP });
    expect(tokens.token_type).toBe('dpop');
    const { result } = await askWithNonce(
      () => oauth.userInfoRequest(poort, client, tokens.access_token, { ...plainHttp, DPoP }),
      (response) => oauth.processUserInfoResponse(poort, client, acme.person.id, response),
    );
    expect(result.email).toBe(acme.person.email);
    const bare = oauth.userInfoRequest(poort, client, tokens.access_token, plainHttp);
    await expect(bare.then((response) => oauth.processUserInfoResponse(poort, client, acme.person.id, response)))
      .rejects //
      .toMatchObject({ code: oauth.WWW_AUTHENTICATE_CHALLENGE });

    expect((await refreshWith({ client, authentication, DPoP }, tokens.refresh_token)).token_type).toBe('dpop');
  });

  it('has its refresh token bound to its key too, when it has no secret to prove itself by (RFC 9449 §5)', async () => {
    const { client, authentication } = partyOf('spa');
    const DPoP = await newDPoP(client);
    const { refresh_token } = await signIn({ client, authentication, DPoP });
    const thief = { client, authentication, DPoP: await newDPoP(client) };
    await expect(refreshWith(thief, refresh_token)).rejects.toMatchObject({ error: 'invalid_grant' });
    expect((await refreshWith({ client, authentication, DPoP }, refresh_token)).token_type).toBe('dpop');
  });

  it('calls an API whose JWT it checks itself (RFC 9068)', async () => {
    const { client, authentication } = partyOf('web');
    const { access_token } = await signIn({ client, authentication, resource: acme.jwtApi });
    const request = new Request('https://api.acme.test/readings', {
      headers: { authorization: `Bearer ${access_token}` },
    });
    const claims = await oauth.validateJwtAccessToken(poort, request, acme.jwtApi, plainHttp);
    expect(claims).toMatchObject({ sub: acme.person.id, client_id: client.client_id, scope: 'readings:read' });
    await expect(oauth.validateJwtAccessToken(poort, request, acme.opaqueApi, plainHttp)).rejects.toThrow();
  });

  it('is a machine: client credentials for an API, which asks whether the token is good', async () => {
    const { client, authentication } = partyOf('machine');
    const asked = { resource: acme.opaqueApi, scope: 'readings:write' };
    const response = await oauth.clientCredentialsGrantRequest(poort, client, authentication, asked, plainHttp);
    const tokens = await oauth.processClientCredentialsResponse(poort, client, response);
    const api = partyOf('resource_server');
    const describe = async (token: string) =>
      oauth.processIntrospectionResponse(
        poort,
        api.client,
        await oauth.introspectionRequest(poort, api.client, api.authentication, token, plainHttp),
      );
    expect(await describe(tokens.access_token)).toMatchObject({ active: true, scope: 'readings:write' });

    const revoking = await oauth.revocationRequest(poort, client, authentication, tokens.access_token, plainHttp);
    await oauth.processRevocationResponse(revoking);
    expect(await describe(tokens.access_token)).toEqual({ active: false });
  });

  it('is refused in the words of the specification', async () => {
    const { client } = partyOf('web');
    const wrong = oauth.ClientSecretBasic('wrong');
    const refusal = oauth
      .refreshTokenGrantRequest(poort, client, wrong, 'rt_nobody', plainHttp)
      .then((response) => oauth.processRefreshTokenResponse(poort, client, response));
    await expect(refusal).rejects.toMatchObject({ code: oauth.WWW_AUTHENTICATE_CHALLENGE, status: 401 });
    const unknown = oauth
      .refreshTokenGrantRequest(poort, client, partyOf('web').authentication, 'rt_nobody', plainHttp)
      .then((response) => oauth.processRefreshTokenResponse(poort, client, response));
    await expect(unknown).rejects.toMatchObject({ code: oauth.RESPONSE_BODY_ERROR, error: 'invalid_grant' });
  });
});
