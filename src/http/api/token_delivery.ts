/**
 * How an application of the tenant gets its refresh token over REST: in a cookie that no script can read and that no other site can have
 * used, or in the answer. A token that came in a cookie stays in one: a script that got into the page must not be able to ask it out.
 */
import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import type { RestTokens } from '#src/oidc/rest_sessions.ts';
import { ProblemRaised, problems } from '../problems.ts';
import type { ApiRequest } from './routes.ts';

type Request = Pick<ApiRequest<unknown, unknown, unknown>, 'engine' | 'exchange'>;

export const tokenDelivery = z
  .enum(['cookie', 'body'])
  .describe('Where the refresh token goes. Without a word: what the tenant has set.');
export type TokenDelivery = z.infer<typeof tokenDelivery>;

const refreshCookie = 'poort_refresh';
const deviceCookie = 'poort_device';
const handleCookies = { verify: 'poort_verify', reset: 'poort_reset' } as const;
const refreshPattern = /^rt_[A-Za-z0-9_-]{43}$/;
const valuePattern = /^[A-Za-z0-9_-]{43}$/;

/** Throws `ProblemRaised` where the answer would set a cookie and the request is of another site. */
export async function deliveryFor(request: Request, wished: TokenDelivery | undefined): Promise<TokenDelivery> {
  const delivery = wished ?? request.engine.people['rest.token_delivery'];
  if (delivery === 'cookie') await refuseOtherSites(request);
  return delivery;
}

/**
 * A browser brings the cookie along whoever asks it to, so what it says of where the request comes from decides (Fetch Metadata, RFC 6454):
 * a page of our own, or one of the tenant's own applications at the same site. What is no browser says nothing, and has no cookie that
 * is not its own. Throws `ProblemRaised` for all others.
 */
export async function refuseOtherSites({ engine, exchange }: Request): Promise<void> {
  const { 'sec-fetch-site': site, origin } = exchange.request.headers;
  const isOurs = origin === undefined || origin === new URL(engine.provider.issuer).origin;
  if (isOurs && (site === undefined || site === 'same-origin' || site === 'none')) return;
  const isNear = site === undefined || site === 'same-site';
  if (isNear && origin !== undefined && (await engine.isFirstPartyOrigin(origin))) return;
  throw new ProblemRaised(problems.crossSite());
}

/** The token that the browser brought. Whoever uses it calls `refuseOtherSites` first. */
export function refreshTokenIn({ exchange }: Request): string | undefined {
  return cookieOf(exchange.request, { name: refreshCookie, pattern: refreshPattern });
}

/** The browser is one that was remembered, see flows/sign_in. The cookie is that of the hosted pages. */
export function deviceTokenIn({ exchange }: Request): string | undefined {
  return cookieOf(exchange.request, { name: deviceCookie, pattern: valuePattern });
}

/** What proves that a mail was asked for in this browser. The cookie is that of the hosted pages, and so is what it is good for. */
export function handleIn({ exchange }: Request, page: keyof typeof handleCookies): string | undefined {
  return cookieOf(exchange.request, { name: handleCookies[page], pattern: valuePattern });
}

export function keepHandle(request: Request, kept: KeptValue & { readonly page: keyof typeof handleCookies }): void {
  setCookie(request, { name: handleCookies[kept.page], path: tenantPath(request), ...kept });
}

export function keepDevice(request: Request, kept: KeptValue): void {
  setCookie(request, { name: deviceCookie, path: tenantPath(request), ...kept });
}

interface KeptValue {
  readonly value: string;
  readonly seconds: number;
}

/** RFC 6749 §5.1, but for the refresh token in a cookie. */
export function deliver(request: Request, tokens: RestTokens, delivery: TokenDelivery) {
  const { accessToken, expiresInSeconds, refreshToken, refreshSeconds } = tokens;
  const answer = { access_token: accessToken, token_type: 'Bearer', expires_in: expiresInSeconds } as const;
  if (delivery === 'body') return { ...answer, refresh_token: refreshToken };
  const cookie = { name: refreshCookie, value: refreshToken, path: cookiePath(request), seconds: refreshSeconds };
  setCookie(request, cookie);
  return answer;
}

export const deliveredTokens = z.object({
  access_token: z.string(),
  token_type: z.literal('Bearer'),
  expires_in: z.number(),
  refresh_token: z.string().optional(),
});

/** The browser is to forget its refresh token. */
export function forgetRefreshToken(request: Request): string {
  const { engine } = request;
  return headerFor({ engine, name: refreshCookie, value: '', path: cookiePath(request), seconds: 0 });
}

/** `/api/v1/auth` of the tenant, or its alias when the call came by that: the cookie goes back there and nowhere else. */
function cookiePath(request: Request): string {
  const base = tenantPath(request).replace(/\/$/, '');
  return `${base}${request.exchange.path.startsWith(`${base}/auth/`) ? '/auth' : '/api/v1/auth'}`;
}

function tenantPath({ engine }: Pick<Request, 'engine'>): string {
  return new URL(engine.provider.issuer).pathname;
}

interface Cookie extends KeptValue {
  readonly name: string;
  readonly path: string;
}

function setCookie({ engine, exchange }: Request, cookie: Cookie): void {
  exchange.response.appendHeader('set-cookie', headerFor({ engine, ...cookie }));
}

/** RFC 6265 §4.1. */
function headerFor({ engine, name, value, path, seconds }: Cookie & Pick<Request, 'engine'>): string {
  const secure = engine.provider.issuer.startsWith('https:') ? '; Secure' : '';
  return `${name}=${value}; Path=${path}; Max-Age=${seconds}; HttpOnly; SameSite=Lax${secure}`;
}

/** Undefined when there is none, or something that is none of ours. */
function cookieOf(
  { headers }: Pick<IncomingMessage, 'headers'>,
  { name, pattern }: { readonly name: string; readonly pattern: RegExp },
): string | undefined {
  const values = (headers.cookie ?? '').split(';').flatMap((pair) => {
    const [key, value = ''] = pair.trim().split('=', 2);
    return key === name && pattern.test(value) ? [value] : [];
  });
  return values[0];
}
