/**
 * This file owns what an API (a resource server, RFC 8707) may be registered as: its audience, scopes and token format.
 * It does not own who may ask for a token for it.
 */

import { isReservedScope } from './own_scope.ts';
import { isScopeToken, MAXIMUM_SCOPES } from './scope.ts';

export type TokenFormat = 'jwt' | 'opaque';
export type AccessTokenAlgorithm = 'ES256' | 'RS256' | 'EdDSA';

/** A scope of an API, with the sentence that a person reads on the consent page; empty when there is none. */
export interface ApiScope {
  readonly name: string;
  readonly description: string;
}

/** What a tenant asks for. `scopes` whole, or as on the command line: `name` or `name=description`. */
export interface ApiRequest {
  readonly audience: string;
  readonly scopes?: readonly (string | ApiScope)[] | undefined;
  readonly tokenFormat?: string | undefined;
  readonly signingAlg?: string | undefined;
}

/** An API fit to be stored. */
export interface PlannedApi {
  readonly audience: string;
  readonly scopes: readonly ApiScope[];
  readonly tokenFormat: TokenFormat;
  readonly signingAlg: AccessTokenAlgorithm;
}

export type ApiField = 'audience' | 'scopes' | 'token_format' | 'signing_alg';

export type ApiPlan =
  | { readonly outcome: 'planned'; readonly api: PlannedApi }
  | {
      readonly outcome: 'refused';
      readonly problems: readonly { readonly field: ApiField; readonly problem: string }[];
    };

const MAXIMUM_AUDIENCE_LENGTH = 500;
const URI_CHARACTERS = /^[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]+$/;
/** RFC 8141 §2, without its optional components. */
const URN = /^urn:[a-z0-9][a-z0-9-]{1,31}:[A-Za-z0-9\-._~:/@!$&'()*+,;=%]+$/;

/** Plans an API; all problems at once. JWT and ES256 unless told otherwise. */
export function planApi(request: ApiRequest): ApiPlan {
  const problems: { field: ApiField; problem: string }[] = [];
  const tokenFormat = parseTokenFormat(request.tokenFormat ?? 'jwt');
  const signingAlg = parseAlgorithm(request.signingAlg ?? 'ES256');
  const scopes = (request.scopes ?? []).map(parseApiScope);
  const names = scopes.map((scope) => scope.name);

  if (!isAudience(request.audience)) problems.push({ field: 'audience', problem: 'not_an_absolute_uri' });
  if (tokenFormat === undefined) problems.push({ field: 'token_format', problem: 'unknown' });
  if (signingAlg === undefined) problems.push({ field: 'signing_alg', problem: 'unknown' });
  if (scopes.length > MAXIMUM_SCOPES) problems.push({ field: 'scopes', problem: 'too_many' });
  if (!names.every(isScopeToken)) problems.push({ field: 'scopes', problem: 'syntax' });
  // an API that defined `openid` could pass its own access off as consent to sign in, or to more
  if (names.some(isReservedScope)) problems.push({ field: 'scopes', problem: 'reserved' });
  if (new Set(names).size !== names.length) problems.push({ field: 'scopes', problem: 'repeated' });
  if (!scopes.every((scope) => isDescription(scope.description))) {
    problems.push({ field: 'scopes', problem: 'description' });
  }
  if (problems.length > 0 || tokenFormat === undefined || signingAlg === undefined) {
    return { outcome: 'refused', problems };
  }

  return { outcome: 'planned', api: { audience: request.audience, scopes, tokenFormat, signingAlg } };
}

/**
 * Whether a text can be an audience: an absolute URI without a fragment (RFC 8707 §2) over http or https, or a URN.
 * Compared byte for byte everywhere, so nothing is normalised, and no credentials or odd characters are let in.
 */
export function isAudience(text: string): boolean {
  if (text.length === 0 || text.length > MAXIMUM_AUDIENCE_LENGTH) return false;
  if (!URI_CHARACTERS.test(text) || text.includes('#')) return false;
  if (URN.test(text)) return true;
  if (!/^https?:\/\/[^/?]/.test(text)) return false;
  const url = URL.parse(text);
  return url !== null && url.username === '' && url.password === '' && !/^https?:\/\/[^/?]*@/.test(text);
}

/** The first `=` divides; a scope token may itself contain one, but then it cannot be given in this form. */
function parseApiScope(text: string | ApiScope): ApiScope {
  if (typeof text !== 'string') return { name: text.name, description: text.description.trim() };
  const divider = text.indexOf('=');
  if (divider === -1) return { name: text, description: '' };
  return { name: text.slice(0, divider), description: text.slice(divider + 1).trim() };
}

export function isAccessTokenAlgorithm(text: string): text is AccessTokenAlgorithm {
  return text === 'ES256' || text === 'RS256' || text === 'EdDSA';
}

function isDescription(text: string): boolean {
  return text.length <= 300 && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text);
}

function parseTokenFormat(text: string): TokenFormat | undefined {
  return text === 'jwt' || text === 'opaque' ? text : undefined;
}

function parseAlgorithm(text: string): AccessTokenAlgorithm | undefined {
  return isAccessTokenAlgorithm(text) ? text : undefined;
}
