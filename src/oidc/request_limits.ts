/**
 * What the parameters of one protocol request may be. The engine reads bodies and queries by itself and would hand on whatever
 * they hold, so the limits sit where it keeps them: on its context. Refusals are RFC 6749 `invalid_request`.
 */
import type Provider from 'oidc-provider';
import { errors } from 'oidc-provider';
import { MAXIMUM_SCOPES } from '#src/domain/scope.ts';

const maximumParameters = 64;

type Parameters = Readonly<Record<string, unknown>>;

/** From now on this provider takes no text that cannot be stored and no list that is only there to keep us busy. */
export function limitRequests(provider: Provider): void {
  const bodies = new WeakMap<object, Parameters | undefined>();
  const parameters = new WeakMap<object, Parameters | undefined>();
  Object.defineProperties(provider.OIDCContext.prototype, {
    body: {
      get() {
        return bodies.get(this);
      },
      set(body: Parameters | undefined) {
        // Thrown while the body is being parsed: the engine says that it could not.
        if (body !== undefined) refuseBody(body);
        bodies.set(this, body);
      },
    },
    params: {
      get() {
        return parameters.get(this);
      },
      set(given: Parameters | undefined) {
        const scope = given?.['scope'];
        if (typeof scope === 'string' && scope.split(' ').length > MAXIMUM_SCOPES)
          throw new errors.InvalidRequest(`a request may name ${MAXIMUM_SCOPES} scopes`);
        parameters.set(this, given);
      },
    },
  });
}

function refuseBody(body: Parameters): void {
  const entries = Object.entries(body);
  if (entries.length > maximumParameters) throw new Error(`more than ${maximumParameters} parameters`);
  // NUL can be stored neither as text nor as JSON.
  if (entries.some(([name, value]) => [name, value].flat().some((text) => String(text).includes('\0'))))
    throw new Error('a parameter contains a NUL byte');
}
