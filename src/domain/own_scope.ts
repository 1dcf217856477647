/**
 * This file owns the scopes of a tenant's own REST API, which no API of a tenant stands behind: their names, and where they are none.
 * A client is registered for them as for any other scope. It does not own what each opens (the routes say that).
 */
import { MANAGEMENT_PERMISSIONS, type ManagementPermission } from './role.ts';
import { OPENID_SCOPES } from './scope.ts';

/** Lets an application use one permission of the management API: a person's in their name, or in its own (RFC 6749 §4.4). */
export type ManagementScope = `admin:${ManagementPermission}`;

const generalScopes = [
  'api_keys:manage',
  'devices:manage',
  'permissions:check',
  'platform:tenants:read',
  'platform:tenants:write',
  'telemetry:write',
] as const;

export type OwnScope = (typeof generalScopes)[number] | ManagementScope;

/** Every name. A person is asked about them in words of ours (`consent.scope.…` of the translations). */
export const OWN_SCOPES: readonly OwnScope[] = [...generalScopes, ...MANAGEMENT_PERMISSIONS.map(managementScope)];

export function managementScope<Permission extends ManagementPermission>(
  permission: Permission,
): `admin:${Permission}` {
  return `admin:${permission}`;
}

/** The permissions of the management API that these scopes let somebody use. */
export function permissionsOfScopes(scopes: ReadonlySet<string>): readonly ManagementPermission[] {
  return MANAGEMENT_PERMISSIONS.filter(
    (permission) =>
      scopes.has(managementScope(permission)) || (permission.startsWith('devices:') && scopes.has('devices:manage')),
  );
}

export function isOwnScope(name: string): name is OwnScope {
  return OWN_SCOPES.some((scope) => scope === name);
}

/** One that reaches beyond its tenant. It opens something for operators alone, and only the command line registers a client for it. */
export function isPlatformScope(name: string): boolean {
  return name.startsWith('platform:');
}

/** Names that no API may define: each has a meaning of its own already. */
export function isReservedScope(name: string): boolean {
  return OPENID_SCOPES.has(name) || isOwnScope(name) || isPlatformScope(name);
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
