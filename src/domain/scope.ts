/**
 * This file owns what a scope is: its syntax and the scopes of OpenID Connect. It does not own which scopes an API
 * defines or a client may ask for.
 */

/** RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ), that is printable ASCII but space, `"` and `\`. */
const SCOPE_TOKEN = /^[\x21\x23-\x5b\x5d-\x7e]+$/;
const MAXIMUM_SCOPE_LENGTH = 100;

/** As many scopes as one client, API or request may name: enough for people, too few to occupy a parser. */
export const MAXIMUM_SCOPES = 50;

/** The scopes of OpenID Connect Core 1.0 §5.4 and §11: about the person, not about an API. */
export const OPENID_SCOPES: ReadonlySet<string> = new Set([
  'openid',
  'profile',
  'email',
  'address',
  'phone',
  'offline_access',
]);

/** Whether a text is one scope token of at most 100 characters. */
export function isScopeToken(text: string): boolean {
  return text.length <= MAXIMUM_SCOPE_LENGTH && SCOPE_TOKEN.test(text);
}
