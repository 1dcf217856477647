/** A relying party as the world writes them: openid-client, told to check everything it can, and a person with a browser. */
import * as client from 'openid-client';
import type { UserAgent } from './user_agent.ts';
import { callbackUri, type TestClient, type TestTenant } from './world.ts';

/** Discovers the tenant as this client does. Signatures are checked although TLS would allow to skip that. */
export async function discoverAs(
  tenant: TestTenant,
  { clientId, clientSecret }: TestClient,
  authentication: client.ClientAuth = clientSecret === '' ? client.None() : client.ClientSecretBasic(clientSecret),
): Promise<client.Configuration> {
  return client.discovery(new URL(tenant.issuer), clientId, { client_id: clientId }, authentication, {
    execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks],
  });
}

export interface Person {
  readonly email: string;
  readonly password: string;
}

/** Goes to `url` and does what the pages ask, until the browser is sent to the application. Returns where it arrives. */
export async function passPages(
  agent: UserAgent,
  url: string,
  { person, decision = 'allow' }: { person: Person; decision?: 'allow' | 'deny' },
): Promise<URL> {
  let page = await agent.follow(url);
  if (page.body.includes('name="password"'))
    page = await agent.submit(page, { email: person.email, password: person.password });
  if (page.body.includes('name="decision"')) page = await agent.submit(page, { decision });
  if (page.status < 300 || page.status >= 400) throw new Error(`${page.status} ${page.url} ${page.body.slice(0, 400)}`);
  return new URL(page.url);
}

export interface SignedIn {
  readonly tokens: client.TokenEndpointResponse & client.TokenEndpointResponseHelpers;
  readonly callback: URL;
  readonly nonce: string;
}

/** Code flow with PKCE, state and nonce, from the first redirect to validated tokens. */
export async function signInWith(
  configuration: client.Configuration,
  {
    agent,
    person,
    parameters = {},
    pushed = false,
    DPoP,
  }: {
    agent: UserAgent;
    person: Person;
    parameters?: Readonly<Record<string, string>>;
    /** Through a pushed authorization request (RFC 9126). */
    pushed?: boolean;
    DPoP?: client.DPoPHandle;
  },
): Promise<SignedIn> {
  const verifier = client.randomPKCECodeVerifier();
  const nonce = client.randomNonce();
  const state = client.randomState();
  const request = {
    redirect_uri: callbackUri,
    scope: 'openid profile email',
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    nonce,
    state,
    ...parameters,
  };
  const url = pushed
    ? await client.buildAuthorizationUrlWithPAR(configuration, request)
    : client.buildAuthorizationUrl(configuration, request);
  const callback = await passPages(agent, url.href, { person });
  const tokens = await client.authorizationCodeGrant(
    configuration,
    callback,
    {
      pkceCodeVerifier: verifier,
      expectedNonce: nonce,
      expectedState: state,
      idTokenExpected: request.scope.split(' ').includes('openid'),
    },
    {},
    DPoP === undefined ? {} : { DPoP },
  );
  return { tokens, callback, nonce };
}
