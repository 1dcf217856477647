/**
 * What somebody may do in a tenant: asked by services that do not have the person's token in hand, over REST and gRPC. The answer is what
 * the person's next token would say; whoever is no living member may nothing, and nobody can tell the two apart.
 */
import { isPermission } from '#src/domain/role.ts';
import { isUuid } from '#src/foundation/identifiers.ts';
import type { TenantDatabase } from '#src/storage/database.ts';
import { readAccount } from '#src/storage/tables/people.ts';

/** The roles and permissions of one person, inherited ones included. Empty for everybody who is no living member. */
export interface Rights {
  readonly roles: readonly string[];
  readonly permissions: readonly string[];
}

export interface PermissionQuestion {
  /** The `sub` of the person's tokens. */
  readonly subject: string;
  readonly resource: string;
  readonly action: string;
}

const nothing: Rights = { roles: [], permissions: [] };

/** @param subject The `sub` of the person's tokens; any text may be asked about. One round trip, none for what cannot be a subject. */
export async function readRights(tenant: TenantDatabase, subject: string): Promise<Rights> {
  const account = isUuid(subject) ? await readAccount(tenant, subject) : undefined;
  return account === undefined ? nothing : { roles: account.roles, permissions: account.permissions };
}

/** Whether one of the person's roles lists this permission. What is no permission by its spelling nobody has. */
export async function checkPermission(
  tenant: TenantDatabase,
  { subject, resource, action }: PermissionQuestion,
): Promise<{ readonly allowed: boolean }> {
  const permission = `${resource}:${action}`;
  if (!isPermission(permission)) return { allowed: false };
  const { permissions } = await readRights(tenant, subject);
  return { allowed: permissions.includes(permission) };
}
