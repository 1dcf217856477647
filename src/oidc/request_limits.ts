/**
 * What the parameters of one protocol request may be. The engine reads bodies and queries by itself and would hand on whatever
 * they hold, so the limits sit where it keeps them: on its context. Refusals are RFC 6749 `invalid_request`. A structured token is
 * replaced there by what the engine agrees to look up.
 */
import type { IncomingMessage } from 'node:http';
import type Provider from 'oidc-provider';
import { errors } from 'oidc-provider';
import { lookUpValueOf } from '#adapters/structured_tokens_adapter.ts';
import { MAXIMUM_SCOPES } from '#src/domain/scope.ts';
import { isStorable } from '#src/domain/stored_text.ts';
import { withoutEmptySecret } from './empty_secrets.ts';

const maximumParameters = 64;
const maximumTextLength = 2_048;
/** What is kept of an authorization request while a person answers it, or until it is used: nobody may store a book there. */
const keptTexts = [
  'acr_values',
  'authorization_details',
  'claims',
  'code_challenge',
  'display',
  'dpop_jkt',
  'login_hint',
  'logout_hint',
  'nonce',
  'post_logout_redirect_uri',
  'prompt',
  'redirect_uri',
  'scope',
  'state',
  'ui_locales',
] as const;

/** Parameters that are JSON (OpenID Connect Core §5.5, RFC 9396 §2). */
const jsonTexts = ['authorization_details', 'claims'] as const;

/** Where the engine looks a token up, and refuses a structured one before it does. */
const routesThatLookUp: ReadonlySet<string> = new Set(['introspection', 'revocation']);

type Parameters = Readonly<Record<string, unknown>>;

/** What the engine's context holds instead of its own fields; symbols, because this is on the path of every request. */
const body = Symbol('body');
const parameters = Symbol('parameters');

interface LimitedContext {
  readonly ctx: { readonly req: IncomingMessage };
  readonly route: string;
  [body]?: Parameters | undefined;
  [parameters]?: Parameters | undefined;
}

/** From now on this provider takes no text that cannot be stored and no list that is only there to keep us busy. */
export function limitRequests(provider: Provider): void {
  Object.defineProperties(provider.OIDCContext.prototype, {
    body: {
      get(this: LimitedContext) {
        return this[body];
      },
      set(this: LimitedContext, given: Parameters | undefined) {
        // Thrown while the body is being parsed: the engine says that it could not.
        if (given !== undefined) refuseBody(given);
        this[body] = given && withoutEmptySecret(this.ctx.req, given);
      },
    },
    params: {
      get(this: LimitedContext) {
        return this[parameters];
      },
      set(this: LimitedContext, given: Parameters | undefined) {
        if (given !== undefined) refuseParameters(given);
        if (given !== undefined && routesThatLookUp.has(this.route)) showStandIn(given);
        this[parameters] = given;
      },
    },
  });
}

/**
 * The same for what a client signed (RFC 9101): the engine puts its claims in the place of the parameters one by one, and what
 * cannot be kept was escaped in them. Throws `InvalidRequest`.
 */
export function refuseSignedParameters(claims: Parameters): void {
  refuseParameters(claims);
  if (!isStorable(claims)) throw new errors.InvalidRequest('a parameter contains a NUL byte or half a character');
}

function refuseParameters(given: Parameters): void {
  const scope = given['scope'];
  // No scope list of this length is worth splitting to be counted.
  if (typeof scope === 'string' && scope.length > MAXIMUM_SCOPES && scope.split(' ').length > MAXIMUM_SCOPES)
    throw new errors.InvalidRequest(`a request may name ${MAXIMUM_SCOPES} scopes`);
  refuseLongTexts(given);
  for (const name of jsonTexts) refuseUnstorableJson(name, given[name]);
}

/** Escaped in JSON, a NUL is six harmless characters until somebody parses them. */
function refuseUnstorableJson(name: string, text: unknown): void {
  // What has no escape can hold nothing that the body could not.
  if (typeof text !== 'string' || !text.includes('\\u')) return;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // Malformed: the engine says so, in the words that belong to it.
    return;
  }
  if (!isStorable(parsed)) throw new errors.InvalidRequest(`${name} contains a NUL byte or half a character`);
}

function refuseLongTexts(given: Parameters): void {
  for (const name of keptTexts) {
    const value = given[name];
    if (typeof value === 'string' && value.length > maximumTextLength)
      throw new errors.InvalidRequest(`${name} may have ${maximumTextLength} characters`);
  }
}

/** The parameters were put together for this request, a moment ago, and nobody has seen them yet. */
function showStandIn(given: { token?: unknown }): void {
  // A repeated parameter is a list, which the engine refuses.
  if (typeof given.token === 'string') given.token = lookUpValueOf(given.token);
}

function refuseBody(given: Parameters): void {
  let count = 0;
  for (const name in given) {
    count += 1;
    // NUL can be stored neither as text nor as JSON. A repeated parameter is a list: its text form holds what its items hold.
    if (name.includes('\0') || String(given[name]).includes('\0')) throw new Error('a parameter contains a NUL byte');
  }
  if (count > maximumParameters) throw new Error(`more than ${maximumParameters} parameters`);
}
