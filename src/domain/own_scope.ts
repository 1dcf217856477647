/**
 * This file owns the scopes of a tenant's own REST API, which no API of a tenant stands behind: their names, and where they are none.
 * A client is registered for them as for any other scope. It does not own what each opens (the routes say that).
 */
import { OPENID_SCOPES } from './scope.ts';

/** Every name. A person is asked about them in words of ours (`consent.scope.…` of the translations). */
export const OWN_SCOPES = ['api_keys:manage', 'devices:manage', 'permissions:check', 'telemetry:write'] as const;

export type OwnScope = (typeof OWN_SCOPES)[number];

export function isOwnScope(name: string): name is OwnScope {
  return OWN_SCOPES.some((scope) => scope === name);
}

/** Names that no API may define: each has a meaning of its own already. */
export function isReservedScope(name: string): boolean {
  return OPENID_SCOPES.has(name) || isOwnScope(name);
}

/**
 * Those that mean something in a tenant with these APIs. An API that had such a name before it was ours keeps it: a client that may ask
 * for it there was never meant to manage the tenant with it.
 */
export function ownScopesBeside(
  apis: readonly { readonly scopes: readonly { readonly name: string }[] }[],
): readonly OwnScope[] {
  const taken = new Set(apis.flatMap(({ scopes }) => scopes.map(({ name }) => name)));
  return OWN_SCOPES.filter((name) => !taken.has(name));
}
