/**
 * This file owns the names of roles and permissions and which roles every tenant begins with. It does not own who holds
 * a role (memberships) or whether a permission suffices for a call (the doors ask for that).
 */

/** A role every tenant has and none may change. */
export interface BuiltInRole {
  readonly name: string;
  readonly description: string;
  readonly permissions: readonly string[];
  /** The role whose permissions this one has too. */
  readonly inherits?: string | undefined;
}

/** admin > editor > viewer, and user, who may only see to themselves. Inherited roles stand before their heirs. */
export const BUILT_IN_ROLES = [
  { name: 'user', description: 'Signs in and looks after the own account', permissions: [] },
  {
    name: 'viewer',
    description: 'Reads everything in the tenant except secrets',
    permissions: [
      'users:read',
      'roles:read',
      'clients:read',
      'apis:read',
      'devices:read',
      'sessions:read',
      'invitations:read',
      'api-keys:read',
      'keys:read',
      'settings:read',
      'webhooks:read',
    ],
    inherits: 'user',
  },
  {
    name: 'editor',
    description: 'Changes people, devices and sessions, but not who may do what',
    permissions: ['users:write', 'invitations:write', 'devices:write', 'sessions:write'],
    inherits: 'viewer',
  },
  {
    name: 'admin',
    description: 'Administers the tenant',
    permissions: [
      'roles:write',
      'clients:write',
      'apis:write',
      'api-keys:write',
      'webhooks:write',
      'keys:write',
      'settings:write',
      'audit:read',
    ],
    inherits: 'editor',
  },
] as const satisfies readonly BuiltInRole[];

/** What the management API asks for: each is in a built-in role. A tenant's own permissions are for its own APIs. */
export type ManagementPermission = (typeof BUILT_IN_ROLES)[number]['permissions'][number];

export const MANAGEMENT_PERMISSIONS: readonly ManagementPermission[] = BUILT_IN_ROLES.flatMap(({ permissions }) => [
  ...permissions,
]).sort();

const ROLE_NAME = /^[a-z][a-z0-9_-]{0,62}$/;
const PERMISSION = /^[a-z][a-z0-9_.-]{0,62}:[a-z][a-z0-9_.-]{0,62}$/;
const MAXIMUM_PERMISSIONS = 200;

/** What a tenant asks for. */
export interface RoleRequest {
  readonly name: string;
  readonly description?: string | undefined;
  readonly permissions: readonly string[];
  readonly inherits?: string | undefined;
}

/** A role fit to be stored. Whether the inherited role exists, and makes no circle, is for the flow to ask. */
export interface PlannedRole {
  readonly name: string;
  readonly description: string;
  readonly permissions: readonly string[];
  readonly inherits: string | undefined;
}

export type RoleField = 'name' | 'description' | 'permissions' | 'inherits';

export type RolePlan =
  | { readonly outcome: 'planned'; readonly role: PlannedRole }
  | {
      readonly outcome: 'refused';
      readonly problems: readonly { readonly field: RoleField; readonly problem: string }[];
    };

/** `a-z` first, then letters, digits, `_` and `-`; at most 63. Names travel in tokens, logs and command lines. */
export function isRoleName(name: string): boolean {
  return ROLE_NAME.test(name);
}

/** `resource:action`, both in lower case: `invoices:read`. No wildcards: what a role may do is what it lists. */
export function isPermission(permission: string): boolean {
  return PERMISSION.test(permission);
}

/** Whether a name belongs to a role that every tenant has. */
export function isBuiltInRole(name: string): boolean {
  return BUILT_IN_ROLES.some((role) => role.name === name);
}

/** Plans a tenant's own role; all problems at once. Permissions come back sorted and without repetition. */
export function planRole(request: RoleRequest): RolePlan {
  const problems: { field: RoleField; problem: string }[] = [];
  const description = request.description ?? '';
  const permissions = [...new Set(request.permissions)].sort();

  if (!isRoleName(request.name)) problems.push({ field: 'name', problem: 'syntax' });
  if (isBuiltInRole(request.name)) problems.push({ field: 'name', problem: 'built_in' });
  if (description.length > 500 || /\p{Cc}/u.test(description))
    problems.push({ field: 'description', problem: 'syntax' });
  if (permissions.length > MAXIMUM_PERMISSIONS) problems.push({ field: 'permissions', problem: 'too_many' });
  if (!permissions.every(isPermission)) problems.push({ field: 'permissions', problem: 'syntax' });
  if (request.inherits !== undefined && !isRoleName(request.inherits)) {
    problems.push({ field: 'inherits', problem: 'syntax' });
  }
  if (request.inherits === request.name) problems.push({ field: 'inherits', problem: 'itself' });
  if (problems.length > 0) return { outcome: 'refused', problems };

  return { outcome: 'planned', role: { name: request.name, description, permissions, inherits: request.inherits } };
}
