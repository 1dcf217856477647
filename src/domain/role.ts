/**
 * This file owns the names of roles and permissions, which roles every tenant begins with, what a role gives whoever holds it, and what
 * somebody may give away (docs/decisions/0040). It does not own who holds a role (memberships) or whether a permission suffices for a call
 * (the doors ask for that).
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
/** Of one tenant, the built-in ones among them. */
export const MAXIMUM_ROLES = 1_000;
/** Roles that one inherits through, itself among them. */
const MAXIMUM_DEPTH = 20;

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

/** A line for whoever assigns a role or lists a permission in one. */
export function isRoleDescription(text: string): boolean {
  return text.length <= 500 && !/\p{Cc}/u.test(text);
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
  if (!isRoleDescription(description)) problems.push({ field: 'description', problem: 'syntax' });
  if (permissions.length > MAXIMUM_PERMISSIONS) problems.push({ field: 'permissions', problem: 'too_many' });
  if (!permissions.every(isPermission)) problems.push({ field: 'permissions', problem: 'syntax' });
  if (request.inherits !== undefined && !isRoleName(request.inherits)) {
    problems.push({ field: 'inherits', problem: 'syntax' });
  }
  if (request.inherits === request.name) problems.push({ field: 'inherits', problem: 'itself' });
  if (problems.length > 0) return { outcome: 'refused', problems };

  return { outcome: 'planned', role: { name: request.name, description, permissions, inherits: request.inherits } };
}

/** Whether Poort itself asks for this permission. */
export function isManagementPermission(permission: string): permission is ManagementPermission {
  return MANAGEMENT_PERMISSIONS.some((one) => one === permission);
}

/**
 * Which of these permissions somebody who holds `held` may not give to anybody: those they do not hold. Whoever holds everything that
 * Poort asks for is the top of the tenant, and may give its own permissions as well: nobody else could be the first to have one.
 */
export function permissionsBeyond(held: ReadonlySet<string>, permissions: Iterable<string>): readonly string[] {
  const isTop = MANAGEMENT_PERMISSIONS.every((permission) => held.has(permission));
  if (isTop) return [];
  return [...new Set(permissions)].filter((permission) => !held.has(permission)).sort();
}

/** Whether somebody who holds `held` may give all of these, and change or take away what gives them. */
export function mayGrant(held: ReadonlySet<string>, permissions: Iterable<string>): boolean {
  return permissionsBeyond(held, permissions).length === 0;
}

/** A role among the others of its tenant. */
export interface RoleNode {
  readonly id: string;
  readonly name: string;
  readonly permissions: readonly string[];
  /** The identifier of the role whose permissions it has too. */
  readonly inherits: string | undefined;
  readonly isActive: boolean;
}

/** The roles of one tenant, by identifier. */
export type RoleGraph = ReadonlyMap<string, RoleNode>;

export function roleGraph(roles: Iterable<RoleNode>): RoleGraph {
  return new Map([...roles].map((role) => [role.id, role]));
}

/** The role and all that it inherits from, in that order. Ends also where somebody made a circle. */
export function rolesThrough(graph: RoleGraph, id: string): readonly RoleNode[] {
  const path: RoleNode[] = [];
  for (
    let role = graph.get(id);
    role !== undefined && !path.includes(role);
    role = role.inherits === undefined ? undefined : graph.get(role.inherits)
  )
    path.push(role);
  return path;
}

/**
 * Everything that a role can ever give, also what is switched off in it today: switching it on must not be a way to give what one does
 * not hold.
 */
export function permissionsThrough(graph: RoleGraph, id: string): ReadonlySet<string> {
  return new Set(rolesThrough(graph, id).flatMap((role) => role.permissions));
}

/** Whether a role would inherit from itself if it inherited from `inherits`. */
export function closesCircle(graph: RoleGraph, { id, inherits }: { id: string; inherits: string }): boolean {
  return rolesThrough(graph, inherits).some((role) => role.id === id);
}

/** Whether some role inherits through more roles than there may be. */
export function isTooDeep(graph: RoleGraph): boolean {
  return [...graph.keys()].some((id) => rolesThrough(graph, id).length > MAXIMUM_DEPTH);
}

/** One role that somebody was given. */
export interface HeldRole {
  readonly roleId: string;
  /** From then on they do not have it. */
  readonly expiresAt: Date | undefined;
}

/** A permission somebody has, and by which ways: each from a role they were given to the one that lists it, by name. */
export interface GrantedPermission {
  readonly permission: string;
  readonly through: readonly (readonly string[])[];
}

/**
 * What somebody with these roles may do at this moment, and why; the same as `effective_roles` says in the database.
 *
 * @param switchedOff Permissions that nobody has for the time being.
 */
export function effectiveRights(
  graph: RoleGraph,
  {
    held,
    switchedOff,
    now,
  }: { readonly held: readonly HeldRole[]; readonly switchedOff: ReadonlySet<string>; readonly now: Date },
): { readonly roles: readonly string[]; readonly permissions: readonly GrantedPermission[] } {
  const roles = new Set<string>();
  const through = new Map<string, (readonly string[])[]>();
  for (const { roleId, expiresAt } of held) {
    if (expiresAt !== undefined && expiresAt.getTime() <= now.getTime()) continue;
    const path: string[] = [];
    for (const role of rolesThrough(graph, roleId)) {
      if (!role.isActive) break;
      path.push(role.name);
      roles.add(role.name);
      for (const permission of new Set(role.permissions)) {
        if (switchedOff.has(permission)) continue;
        through.set(permission, [...(through.get(permission) ?? []), [...path]]);
      }
    }
  }
  const permissions = [...through].map(([permission, ways]) => ({ permission, through: ways }));
  return { roles: [...roles].sort(), permissions: permissions.sort((a, b) => (a.permission < b.permission ? -1 : 1)) };
}
