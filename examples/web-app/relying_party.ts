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
}

/** A sign-in that left for the authorization server and has not come back. */
export interface PendingSignIn {
  readonly slug: string;
  readonly codeVerifier: string;
  readonly nonce: string;
  readonly exchanges: readonly Exchange[];
}

export interface RelyingParty {
  /** Where to send the browser, and what to remember until it comes back. */
  beginSignIn(choice: { readonly pushed: boolean }): Promise<{ url: URL; state: string; remember: PendingSignIn }>;
  /** Checks the answer of the authorization endpoint and redeems its code. */
  finishSignIn(query: URLSearchParams, state: string, pending: PendingSignIn): Promise<Tokens>;
  /** A fresh access token and the refresh token's successor. */
  refresh(tokens: Tokens, refreshToken: string): Promise<Tokens>;
  /** An access token for the API: the same grant, narrowed to one audience (RFC 8707 §2.2). */
  apiToken(tokens: Tokens, refreshToken: string): Promise<Tokens>;
  userinfo(tokens: Tokens): Promise<void>;
  /** Asks as the API, not as this application: only a token's audience may learn about it (RFC 7662). */
  introspect(token: string): Promise<{ readonly active: boolean }>;
  callApi(url: URL, token: string): Promise<{ readonly status: number }>;
  revoke(refreshToken: string): Promise<void>;
  /** Where to send the browser to end the session at the authorization server as well. */
  signOutUrl(idToken: string): Promise<URL>;
}

const identityScopes = ['openid', 'profile', 'email', 'offline_access'];

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

  async function exchangeRefreshToken(tokens: Tokens, refreshToken: string, parameters: Record<string, string>) {
    const answer = await client.refreshTokenGrant(await configuration(), refreshToken, parameters);
    return {
      accessToken: answer.access_token,
      // RFC 6749 §6: no new refresh token in the answer means that the old one stays.
      refreshToken: answer.refresh_token ?? refreshToken,
      idToken: answer.id_token ?? tokens.idToken,
      subject: tokens.subject,
    };
  }

  return {
    async beginSignIn({ pushed }) {
      const codeVerifier = client.randomPKCECodeVerifier();
      const state = client.randomState();
      const nonce = client.randomNonce();
      const parameters = {
        redirect_uri: tenant.redirect_uri,
        scope: [...identityScopes, ...tenant.api.scopes].join(' '),
        // RFC 8707 §2.1: the API that we shall want tokens for. The token request names none, so the first
        // access token is good for userinfo; `apiToken` asks for the other one.
        resource: tenant.api.audience,
        code_challenge: await client.calculatePKCECodeChallenge(codeVerifier),
        code_challenge_method: 'S256',
        state,
        nonce,
        // OpenID Connect Core §11: without consent there is no offline_access.
        prompt: 'consent',
      };
      const server = await configuration();
      const url = pushed
        ? await client.buildAuthorizationUrlWithPAR(server, parameters)
        : client.buildAuthorizationUrl(server, parameters);
      const exchanges = [browserExchange('The browser goes to the sign-in page', url, '(the person signs in there)')];
      return { url, state, remember: { slug: tenant.slug, codeVerifier, nonce, exchanges } };
    },

    async finishSignIn(query, state, pending) {
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
      };
    },

    refresh: (tokens, refreshToken) => exchangeRefreshToken(tokens, refreshToken, {}),

    apiToken: (tokens, refreshToken) => exchangeRefreshToken(tokens, refreshToken, { resource: tenant.api.audience }),

    async userinfo(tokens) {
      await client.fetchUserInfo(await configuration(), tokens.accessToken, tokens.subject);
    },

    async introspect(token) {
      const { client_id, client_secret } = tenant.resource_server;
      const metadata = (await configuration()).serverMetadata();
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
