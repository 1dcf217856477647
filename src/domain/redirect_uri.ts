/**
 * This file owns which addresses a client may register: for us to send people or logout notices to, to fetch keys from, or to
 * show to people. Every one of them is a place where somebody can be sent or code can be run. It does not compare at run time: the engine does, byte for byte, and there is no pattern anywhere to compare with
 * (RFC 9700 §4.1.3). So registration is where a bad address is stopped.
 *
 * Every check reads the text as given, never only the parsed URL: the danger of `https://good.example\@evil.example` or
 * `https://good.example/%2e%2e/x` lies in two readers disagreeing, so whatever two parsers might read differently
 * is refused, even where one of the readings would be harmless.
 */

import type { ClientType } from './client.ts';

const MAXIMUM_LENGTH = 2000;

/** Schemes that browsers or operating systems treat specially: code, local files, nested or privileged pages. */
const DANGEROUS_SCHEMES: ReadonlySet<string> = new Set([
  'about',
  'blob',
  'content',
  'data',
  'file',
  'filesystem',
  'ftp',
  'intent',
  'jar',
  'javascript',
  'mailto',
  'resource',
  'sms',
  'tel',
  'vbscript',
  'view-source',
  'ws',
  'wss',
]);

const LOOPBACK_HOSTS: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/** RFC 3986 §2: unreserved, reserved and percent. Excludes whitespace, controls, quotes, `<>^{}|`, backslash, backtick, non-ASCII. */
const URI_CHARACTERS = /^[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]+$/;
const HOST_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const REVERSE_DOMAIN_SCHEME = /^[a-z][a-z0-9-]*(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+$/;

/** Why an address was refused. Stable words for machines and for translation. */
export type RedirectUriProblem =
  | 'empty'
  | 'too_long'
  | 'forbidden_character'
  | 'malformed_escape'
  | 'encoded_delimiter'
  | 'not_absolute'
  | 'fragment'
  | 'dangerous_scheme'
  | 'scheme_not_reverse_domain'
  | 'scheme_only_for_native'
  | 'insecure_http'
  | 'missing_authority'
  | 'credentials'
  | 'wildcard'
  | 'host'
  | 'port'
  | 'path_traversal'
  | 'reserved_parameter';

/** Accepted as it is, byte for byte, or refused. */
export type RedirectUriDecision =
  | { readonly outcome: 'accepted'; readonly uri: string }
  | { readonly outcome: 'refused'; readonly reason: RedirectUriProblem };

/**
 * May a client of this type register `uri` as a redirect URI (RFC 6749 §3.1.2, RFC 8252 §7)? https on any host; http
 * only on `localhost`, `127.0.0.1` and `[::1]`; for native clients also a private scheme in reverse-domain form
 * (`com.example.app:/callback`), which by §7.1 contains a dot.
 */
export function validateRedirectUri(type: ClientType, uri: string): RedirectUriDecision {
  return decide(uri, { privateScheme: type === 'native', responseParameters: 'refused' });
}

/** The same for where a person is sent after logout (RP-Initiated Logout 1.0 §3.1). */
export function validatePostLogoutRedirectUri(type: ClientType, uri: string): RedirectUriDecision {
  return decide(uri, { privateScheme: type === 'native', responseParameters: 'allowed' });
}

/**
 * The same for where we, not a browser, post logout tokens (Back-Channel Logout 1.0 §2.2): https, or http on loopback and
 * on hosts that `mayBePlain`. Whether the host may be reached at all is another question (egress.ts), asked anew at every call,
 * because names can move.
 */
export function validateBackchannelLogoutUri(
  uri: string,
  mayBePlain: (host: string) => boolean = () => false,
): RedirectUriDecision {
  return decide(uri, { privateScheme: false, responseParameters: 'allowed', mayBePlain });
}

/**
 * The same for every other address that a client registers: where its keys are, its logo, its terms, its page. https, or
 * http on loopback.
 */
export function validateWebUri(uri: string): RedirectUriDecision {
  return decide(uri, { privateScheme: false, responseParameters: 'allowed' });
}

/**
 * Whether a text is an origin as a browser writes it in `Origin` (RFC 6454 §6.2), one that code can be served from safely:
 * https, http on loopback, or an application's own scheme with a host (`capacitor://localhost`). Never `null`.
 */
export function validateOrigin(text: string): boolean {
  const [, scheme = '', rest = ''] = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]+)$/.exec(text) ?? [];
  if (rest === '' || DANGEROUS_SCHEMES.has(scheme)) return false;
  if (scheme !== 'https' && scheme !== 'http') return /^[a-z0-9-]+(?:\.[a-z0-9-]+)*$/.test(rest);
  return validateWebUri(text).outcome === 'accepted' && URL.parse(text)?.origin === text;
}

interface Rules {
  readonly privateScheme: boolean;
  /** Whether the query may already hold `code`, `state` and the like. */
  readonly responseParameters: 'allowed' | 'refused';
  /** Hosts beyond loopback that plain http is for. */
  readonly mayBePlain?: (host: string) => boolean;
}

function decide(uri: string, rules: Rules): RedirectUriDecision {
  const reason = problemWithText(uri) ?? problemWithScheme(uri, rules) ?? problemWithQuery(uri, rules);
  return reason === undefined ? { outcome: 'accepted', uri } : { outcome: 'refused', reason };
}

function problemWithText(uri: string): RedirectUriProblem | undefined {
  if (uri === '') return 'empty';
  if (uri.length > MAXIMUM_LENGTH) return 'too_long';
  if (!URI_CHARACTERS.test(uri)) return 'forbidden_character';
  // RFC 6749 §3.1.2: MUST NOT include a fragment component
  if (uri.includes('#')) return 'fragment';
  if (/%(?![0-9A-Fa-f]{2})/.test(uri)) return 'malformed_escape';
  // `/`, `\`, `.`, `;` and `%` in the path: a proxy that decodes first sees another path than we do
  if (/%(?:2f|5c|2e|3b|25)/i.test(beforeQuery(uri))) return 'encoded_delimiter';
  // CR and LF split headers, NUL ends strings, wherever somebody decodes
  if (/%(?:[01][0-9a-f]|7f)/i.test(uri)) return 'encoded_delimiter';
  return undefined;
}

function problemWithScheme(uri: string, rules: Rules): RedirectUriProblem | undefined {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(uri)?.[1];
  if (scheme === undefined) return 'not_absolute';
  if (DANGEROUS_SCHEMES.has(scheme.toLowerCase())) return 'dangerous_scheme';
  if (scheme === 'https' || scheme === 'http') return problemWithWebAddress(uri, scheme, rules);
  // `HTTPS:` is legal, but the engine compares bytes and browsers send lower case: it would never match
  if (/^https?$/i.test(scheme)) return 'forbidden_character';
  if (!rules.privateScheme) return 'scheme_only_for_native';
  return problemWithPrivateScheme(uri, scheme);
}

function problemWithWebAddress(
  uri: string,
  scheme: 'http' | 'https',
  { mayBePlain }: Rules,
): RedirectUriProblem | undefined {
  const match = /^https?:\/\/([^/?]*)/.exec(uri);
  if (match === null) return 'missing_authority';
  const authority = match[1] ?? '';
  if (authority === '') return 'missing_authority';
  if (authority.includes('@')) return 'credentials';
  if (authority.includes('*')) return 'wildcard';

  const [, host = '', port] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/.exec(authority) ?? [];
  if (host === '') return 'host';
  if (port !== undefined && !isPort(port)) return 'port';
  if (!isHost(host)) return 'host';
  if (scheme === 'http' && !LOOPBACK_HOSTS.has(host) && mayBePlain?.(host) !== true) return 'insecure_http';
  return problemWithPath(uri.slice(scheme.length + '://'.length + authority.length), uri);
}

function problemWithPrivateScheme(uri: string, scheme: string): RedirectUriProblem | undefined {
  if (!REVERSE_DOMAIN_SCHEME.test(scheme)) return 'scheme_not_reverse_domain';
  const rest = uri.slice(scheme.length + 1);
  const authority = /^\/\/([^/?]*)/.exec(rest)?.[1];
  if (authority?.includes('@')) return 'credentials';
  if (uri.includes('*')) return 'wildcard';
  if (authority !== undefined && !/^[A-Za-z0-9.-]*$/.test(authority)) return 'host';
  // RFC 8252 §7.1: `com.example.app:/path`; a bare `com.example.app:` names nothing
  if (!rest.startsWith('/')) return 'missing_authority';
  return problemWithPath(rest, uri);
}

function problemWithPath(rest: string, uri: string): RedirectUriProblem | undefined {
  const path = beforeQuery(rest);
  if (path.includes('*')) return 'wildcard';
  // `..;` is `..` to servlet containers (CVE-2026-3872)
  const segments = path.split('/').map((segment) => segment.split(';')[0]);
  if (segments.includes('..') || segments.includes('.')) return 'path_traversal';
  return URL.canParse(uri) ? undefined : 'host';
}

/** A second `code` or `state` in the query lets the first one win at a client that reads the first (parameter pollution). */
const RESPONSE_PARAMETERS: ReadonlySet<string> = new Set([
  'code',
  'state',
  'iss',
  'error',
  'error_description',
  'response',
]);

function problemWithQuery(uri: string, rules: Rules): RedirectUriProblem | undefined {
  if (rules.responseParameters === 'allowed') return undefined;
  const start = uri.indexOf('?');
  if (start === -1) return undefined;
  const names = [...new URLSearchParams(uri.slice(start + 1)).keys()];
  return names.some((name) => RESPONSE_PARAMETERS.has(name)) ? 'reserved_parameter' : undefined;
}

/** Whether a host is spelt in the one way that every reader takes for the same: a name in lower case, a dotted address, or `[…]`. */
export function isHost(host: string): boolean {
  if (host.startsWith('[')) return URL.parse(`http://${host}/`)?.hostname === host;
  const labels = host.split('.');
  if (host.length > 253 || !labels.every((label) => HOST_LABEL.test(label))) return false;
  // `2130706433`, `0x7f.1` and `127.1` are addresses to a browser, names to others: only the plain dotted form stands
  return URL.parse(`http://${host}/`)?.hostname === host;
}

function isPort(text: string): boolean {
  return /^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65_535;
}

function beforeQuery(text: string): string {
  const start = text.indexOf('?');
  return start === -1 ? text : text.slice(0, start);
}
