// Everything this application says to one tenant's authorization server, on openid-client. This is the file to copy:
// it knows neither HTTP routes nor pages. Methods throw what openid-client throws; `explain` puts that in plain words.
import * as client from 'openid-client';
import { browserExchange, type Exchange, recordingFetch } from './exchanges.ts';
import type { TenantSettings } from './settings.ts';

export interface Tokens {
  readonly accessToken: string;
  readonly refreshToken: string | undefined;
  readonly idToken: string;
  readonly subject: string;
  /** What to call them; the subject where the ID token does not say. */
  readonly name: string;
}

/** A request that left for the authorization server and has not come back. */
export interface PendingAuthorization {
  readonly slug: string;
  /** What the browser brings back: somebody who signed in, or tokens for the API for who is signed in already. */
  readonly purpose: 'sign_in' | 'api_tokens';
  readonly codeVerifier: string;
  readonly nonce: string;
  readonly exchanges: readonly Exchange[];
}

/** Where to send the browser, and what to remember until it comes back. */
export interface Departure {
  readonly url: URL;
  readonly state: string;
  readonly remember: PendingAuthorization;
}

export interface RelyingParty {
  beginSignIn(choice: { readonly pushed: boolean; readonly askConsent: boolean }): Promise<Departure>;
  /** The same way once more, naming the API (RFC 8707): who is signed in there already is not asked for a password again. */
  beginApiAuthorization(): Promise<Departure>;
  /** Checks the answer of the authorization endpoint and redeems its code. */
  finishAuthorization(query: URLSearchParams, state: string, pending: PendingAuthorization): Promise<Tokens>;
  /** A fresh access token, for the same audience as before, and the refresh token's successor. */
  refresh(tokens: Tokens, refreshToken: string): Promise<Tokens>;
  userinfo(tokens: Tokens): Promise<void>;
  /** RFC 7662. Only the client a token was issued to and the API it is for may learn about it: one of them asks. */
  introspect(token: string, as: 'this_application' | 'the_api'): Promise<{ readonly active: boolean }>;
  callApi(url: URL, token: string): Promise<{ readonly status: number }>;
  revoke(refreshToken: string): Promise<void>;
  /** Where to send the browser to end the session at the authorization server as well. */
  signOutUrl(idToken: string): Promise<URL>;
}

const identityScopes = 'openid profile email offline_access';

const beyond: Readonly<Record<PendingAuthorization['purpose'], string>> = {
  sign_in: '(the person signs in there, and the browser comes back with a code)',
  api_tokens: '(who is signed in there comes straight back with a code)',
};

export function createRelyingParty(tenant: TenantSettings, origin: string): RelyingParty {
  // Discovered on first use, so this application may start before the authorization server; a failure is tried again.
  let known: Promise<client.Configuration> | undefined;
  function configuration(): Promise<client.Configuration> {
    known ??= discover(tenant).catch((error) => {
      known = undefined;
      throw error;
    });
    return known;
  }

  async function depart(
    purpose: PendingAuthorization['purpose'],
    {
      pushed,
      ...asked
    }: { readonly pushed: boolean; readonly scope: string; readonly [parameter: string]: string | boolean },
  ): Promise<Departure> {
    const codeVerifier = client.randomPKCECodeVerifier();
    const state = client.randomState();
    const nonce = client.randomNonce();
    const parameters = {
      ...asked,
      redirect_uri: tenant.redirect_uri,
      code_challenge: await client.calculatePKCECodeChallenge(codeVerifier),
      code_challenge_method: 'S256',
      state,
      nonce,
    };
    const server = await configuration();
    const url = pushed
      ? await client.buildAuthorizationUrlWithPAR(server, parameters)
      : client.buildAuthorizationUrl(server, parameters);
    const exchanges = [browserExchange('The browser goes to the authorization server', url, beyond[purpose])];
    return { url, state, remember: { slug: tenant.slug, purpose, codeVerifier, nonce, exchanges } };
  }

  return {
    // No API is named here, so the access token is good for userinfo.
    beginSignIn: ({ pushed, askConsent }) =>
      depart('sign_in', { pushed, scope: identityScopes, ...(askConsent ? { prompt: 'consent' } : {}) }),

    beginApiAuthorization: () =>
      depart('api_tokens', {
        pushed: false,
        scope: ['openid', ...tenant.api.scopes].join(' '),
        resource: tenant.api.audience,
      }),

    async finishAuthorization(query, state, pending) {
      // Built on the registered address, never on the Host header, which the sender of the request chooses.
      const url = new URL(tenant.redirect_uri);
      url.search = query.toString();
      const answer = await client.authorizationCodeGrant(await configuration(), url, {
        expectedState: state,
        expectedNonce: pending.nonce,
        pkceCodeVerifier: pending.codeVerifier,
        idTokenExpected: true,
      });
      const claims = answer.claims();
      if (claims === undefined || answer.id_token === undefined) throw new Error('The answer carries no ID token.');
      return {
        accessToken: answer.access_token,
        refreshToken: answer.refresh_token,
        idToken: answer.id_token,
        subject: claims.sub,
        name: [claims['name'], claims['email']].find((name) => typeof name === 'string') ?? claims.sub,
      };
    },

    async refresh(tokens, refreshToken) {
      const answer = await client.refreshTokenGrant(await configuration(), refreshToken);
      return {
        accessToken: answer.access_token,
        // RFC 6749 §6: no new refresh token in the answer means that the old one stays.
        refreshToken: answer.refresh_token ?? refreshToken,
        idToken: answer.id_token ?? tokens.idToken,
        subject: tokens.subject,
        name: tokens.name,
      };
    },

    async userinfo(tokens) {
      await client.fetchUserInfo(await configuration(), tokens.accessToken, tokens.subject);
    },

    async introspect(token, as) {
      const own = await configuration();
      if (as === 'this_application') return client.tokenIntrospection(own, token);
      const { client_id, client_secret } = tenant.resource_server;
      const metadata = own.serverMetadata();
      const api = new client.Configuration(metadata, client_id, client_secret, client.ClientSecretBasic(client_secret));
      api[client.customFetch] = recordingFetch;
      if (isLoopback(tenant.issuer)) client.allowInsecureRequests(api);
      return client.tokenIntrospection(api, token);
    },

    async callApi(url, token) {
      const { status } = await recordingFetch(url.href, { headers: { Authorization: `Bearer ${token}` } });
      return { status };
    },

    async revoke(refreshToken) {
      // RFC 7009 §2.1: revoking the refresh token takes the whole grant with it.
      await client.tokenRevocation(await configuration(), refreshToken, { token_type_hint: 'refresh_token' });
    },

    async signOutUrl(idToken) {
      return client.buildEndSessionUrl(await configuration(), {
        id_token_hint: idToken,
        post_logout_redirect_uri: `${origin}/`,
        state: 'signed_out',
      });
    },
  };
}

/** What went wrong, for the person at the screen: the server's own words where it gave some, and never a token. */
export function explain(error: unknown): { readonly code: string; readonly description: string } {
  if (error instanceof client.AuthorizationResponseError || error instanceof client.ResponseBodyError) {
    return { code: error.error, description: error.error_description ?? 'The server gave no further explanation.' };
  }
  if (error instanceof client.WWWAuthenticateChallengeError) {
    const { error: code, error_description } = error.cause[0]?.parameters ?? {};
    return { code: code ?? `http_${error.status}`, description: error_description ?? 'The token was refused.' };
  }
  if (error instanceof TypeError && error.message === 'fetch failed') {
    return { code: 'no_answer', description: 'The server could not be reached. Is it running?' };
  }
  return { code: 'unexpected', description: error instanceof Error ? error.message : 'Something unexpected happened.' };
}

async function discover(tenant: TenantSettings): Promise<client.Configuration> {
  const { issuer, client_id, client_secret } = tenant;
  const server = await client.discovery(
    new URL(issuer),
    client_id,
    client_secret,
    client.ClientSecretBasic(client_secret),
    { execute: isLoopback(issuer) ? [client.allowInsecureRequests] : [], [client.customFetch]: recordingFetch },
  );
  // OpenID Connect Core §3.1.3.7 lets TLS stand in for the ID token's signature. We check the signature anyway.
  client.enableNonRepudiationChecks(server);
  return server;
}

/** Plain http never leaves this machine: only for these hosts is it allowed at all. */
function isLoopback(issuer: string): boolean {
  const { protocol, hostname } = new URL(issuer);
  return protocol === 'http:' && ['localhost', '127.0.0.1', '[::1]'].includes(hostname);
}
