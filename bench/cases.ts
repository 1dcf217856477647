/**
 * The cases: what the connections of the load driver ask a subject, request by request. Mints what a case uses up
 * (authorization codes) before the clock runs, through the subject's own doors. Every request that can differ does
 * differ, so that an answer cannot come from a cache of the last one.
 */
import { createHash, randomBytes } from 'node:crypto';
import { signIn } from './browser.ts';
import { type HttpResponse, headerValue } from './http_connection.ts';
import { carryOut, type Exchange, type Script } from './load.ts';
import type { CaseName } from './options.ts';
import { type Endpoints, readEndpoints, type Subject, type SubjectClient } from './subject.ts';

export interface Case {
  /** Makes what `requests` requests will use up. Outside the clock. */
  readonly prepare: (requests: number) => Promise<void>;
  /** The script of each connection. State that must survive (a chain of refresh tokens) is kept across calls. */
  readonly scripts: () => readonly Script[];
}

interface MintedCode {
  readonly code: string;
  readonly verifier: string;
}

interface TokenSet {
  readonly accessToken: string;
  readonly refreshToken: string;
}

/** Enough different access tokens that no look-up is always the same one. */
const accessTokensHeld = 200;
const scope = 'openid profile email';

/** Signs in once, then builds every case of one subject. Throws when the subject does not play along. */
export async function createCases(subject: Subject, connections: number): Promise<Readonly<Record<CaseName, Case>>> {
  const endpoints = await readEndpoints(subject);
  const ask = requestWriter(subject, endpoints);
  const sessionCookies = await signIn({
    authorizationUrl: new URL(ask.authorizationPath(codeChallenge('x'.repeat(43))), subject.issuer).href,
    redirectUri: subject.webClient.redirectUri,
    person: subject.person,
  });

  /** Single sign-on: each request to the authorization endpoint gives one more code. */
  const mintCodes = async (wanted: number, api?: Subject['jwtApi']): Promise<MintedCode[]> => {
    const codes: MintedCode[] = [];
    let asked = 0;
    const script: Script = () => {
      if (asked >= wanted) return undefined;
      asked += 1;
      const verifier = randomBytes(32).toString('base64url');
      return {
        request: ask.authorization(codeChallenge(verifier), { cookie: sessionCookies, api }),
        accepts: (response) => {
          const location = response.status < 400 ? headerValue(response.head, 'location') : undefined;
          const code = /[?&]code=([^&]+)/.exec(location ?? '')?.[1];
          if (code !== undefined) codes.push({ code: decodeURIComponent(code), verifier });
          return code !== undefined;
        },
      };
    };
    await carryOut(subject.target, everyConnection(connections, script));
    return codes;
  };

  const redeem = async (wanted: number, api?: Subject['jwtApi']): Promise<TokenSet[]> => {
    const codes = await mintCodes(wanted, api);
    const tokens: TokenSet[] = [];
    const script: Script = () => {
      const minted = codes.pop();
      if (minted === undefined) return undefined;
      return {
        request: ask.codeExchange(minted),
        accepts: (response) => {
          if (!isTokenResponse(response)) return false;
          const body = JSON.parse(response.body) as { access_token: string; refresh_token?: string };
          if (body.refresh_token === undefined) return false;
          tokens.push({ accessToken: body.access_token, refreshToken: body.refresh_token });
          return true;
        },
      };
    };
    await carryOut(subject.target, everyConnection(connections, script));
    return tokens;
  };

  const accessTokensFor = async (api?: Subject['jwtApi']): Promise<() => string> => {
    const accessTokens = (await redeem(accessTokensHeld, api)).map((tokens) => tokens.accessToken);
    let tokensUsed = 0;
    return () => {
      tokensUsed += 1;
      return accessTokens[tokensUsed % accessTokens.length] ?? '';
    };
  };
  const nextAccessToken = await accessTokensFor();
  const nextJwt = subject.introspectsJwts ? await accessTokensFor(subject.jwtApi) : nextAccessToken;

  let codes: MintedCode[] = [];
  const chains = (await redeem(connections)).map((tokens) => ({ refreshToken: tokens.refreshToken }));

  const discovery: Exchange = {
    request: ask.get(endpoints.discovery, {}),
    accepts: (response) => response.status === 200 && response.body.includes('"token_endpoint"'),
  };
  const opaqueClientCredentials: Exchange = {
    request: ask.token(subject.machineClient, { grant_type: 'client_credentials' }),
    accepts: (response) => isTokenResponse(response) && !hasJwtAccessToken(response),
  };
  const jwtClientCredentials: Exchange = {
    request: ask.token(subject.machineClient, {
      grant_type: 'client_credentials',
      resource: subject.jwtApi.audience,
      ...(subject.jwtApi.scope !== '' && { scope: subject.jwtApi.scope }),
    }),
    accepts: (response) => isTokenResponse(response) && hasJwtAccessToken(response),
  };
  const introspectionOf =
    (nextToken: () => string): Script =>
    () => ({
      request: ask.introspection(nextToken()),
      accepts: (response) => response.status === 200 && response.body.includes('"active":true'),
    });
  const userinfo: Script = () => ({
    request: ask.get(endpoints.userinfo, { authorization: `Bearer ${nextAccessToken()}` }),
    accepts: (response) => response.status === 200 && response.body.includes('"email"'),
  });
  const codeExchange: Script = () => {
    const minted = codes.pop();
    return minted && { request: ask.codeExchange(minted), accepts: isTokenResponse };
  };

  const nothingToPrepare = async (): Promise<void> => undefined;
  const shared = (script: Script): Case => ({
    prepare: nothingToPrepare,
    scripts: () => everyConnection(connections, script),
  });
  return {
    discovery: shared(() => discovery),
    introspection: shared(introspectionOf(nextAccessToken)),
    introspection_jwt: shared(introspectionOf(nextJwt)),
    client_credentials_opaque: shared(() => opaqueClientCredentials),
    client_credentials_jwt: shared(() => jwtClientCredentials),
    code_exchange: {
      // Codes live for a minute: those left over from an earlier slice may be dead.
      prepare: async (requests) => {
        codes = await mintCodes(requests);
      },
      scripts: () => everyConnection(connections, codeExchange),
    },
    refresh: {
      prepare: nothingToPrepare,
      // Each connection follows the chain of its own, as one application does: never the same token twice.
      scripts: () => chains.map((chain) => () => ask.refreshChain(chain)),
    },
    userinfo: shared(userinfo),
  };
}

function requestWriter(subject: Subject, endpoints: Endpoints) {
  const host = new URL(subject.issuer).host;
  const get = (path: string, headers: Readonly<Record<string, string>>): string => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    return `GET ${path} HTTP/1.1\r\nhost: ${host}\r\n${lines.join('')}\r\n`;
  };
  const post = (path: string, client: SubjectClient, form: Readonly<Record<string, string>>): string => {
    const body = new URLSearchParams(form).toString();
    return (
      `POST ${path} HTTP/1.1\r\nhost: ${host}\r\nauthorization: ${basicAuthorization(client)}\r\n` +
      `content-type: application/x-www-form-urlencoded\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
    );
  };
  const token = (client: SubjectClient, form: Readonly<Record<string, string>>): string =>
    post(endpoints.token, client, form);
  const authorizationPath = (challenge: string, api?: Subject['jwtApi']): string => {
    const query = new URLSearchParams({
      client_id: subject.webClient.clientId,
      response_type: 'code',
      redirect_uri: subject.webClient.redirectUri,
      scope: api === undefined ? scope : `${scope} ${api.scope}`,
      ...(api !== undefined && { resource: api.audience }),
      state: randomBytes(16).toString('base64url'),
      nonce: randomBytes(16).toString('base64url'),
      code_challenge: challenge,
      code_challenge_method: 'S256',
    });
    return `${endpoints.authorization}?${query}`;
  };
  return {
    get,
    token,
    authorizationPath,
    authorization: (challenge: string, { cookie, api }: { cookie: string; api?: Subject['jwtApi'] | undefined }) =>
      get(authorizationPath(challenge, api), { cookie }),
    introspection: (accessToken: string) => post(endpoints.introspection, subject.webClient, { token: accessToken }),
    codeExchange: (minted: MintedCode) =>
      token(subject.webClient, {
        grant_type: 'authorization_code',
        code: minted.code,
        redirect_uri: subject.webClient.redirectUri,
        code_verifier: minted.verifier,
      }),
    refreshChain: (chain: { refreshToken: string }): Exchange => ({
      request: token(subject.webClient, { grant_type: 'refresh_token', refresh_token: chain.refreshToken }),
      accepts: (response) => {
        if (!isTokenResponse(response)) return false;
        const { refresh_token: successor } = JSON.parse(response.body) as { refresh_token?: string };
        if (successor === undefined || successor === chain.refreshToken) return false;
        chain.refreshToken = successor;
        return true;
      },
    }),
  };
}

/** RFC 6749 §2.3.1: both halves are form-encoded before they are joined. */
export function basicAuthorization(client: SubjectClient): string {
  const encoded = [client.clientId, client.clientSecret].map(encodeURIComponent).join(':');
  return `Basic ${Buffer.from(encoded).toString('base64')}`;
}

function codeChallenge(verifier: string): string {
  return createHash('sha256').update(verifier).digest('base64url');
}

function everyConnection(connections: number, script: Script): Script[] {
  return Array.from({ length: connections }, () => script);
}

function isTokenResponse(response: HttpResponse): boolean {
  return response.status === 200 && response.body.includes('"access_token"');
}

/** RFC 9068 tokens are signed JWTs: three parts of which the first is a JSON object. */
function hasJwtAccessToken(response: HttpResponse): boolean {
  return /"access_token":\s*"eyJ[^".]+\.[^".]+\.[^".]+"/.test(response.body);
}
