/** Every route of the REST API, and callers of every kind, for tests that ask something of all of them. */
import { BUILT_IN_ROLES, type ManagementPermission } from '#src/domain/role.ts';
import { addMember } from '#src/flows/people/manage_people.ts';
import { uuidv7 } from '#src/foundation/identifiers.ts';
import type { ApiRoute } from '#src/http/api/routes.ts';
import { personToken } from './api_calls.ts';
import { apiRoutesOf } from './api_routes.ts';
import type { TestServer } from './test_server.ts';
import { goodPassword } from './visitor.ts';
import type { TestTenant } from './world.ts';

export interface MemberWithRole {
  readonly role: string;
  readonly token: string;
  /** With what is inherited. */
  readonly permissions: ReadonlySet<string>;
}

/** One member for each built-in role, signed in. */
export async function membersOfEveryRole(server: TestServer, tenant: TestTenant): Promise<readonly MemberWithRole[]> {
  const members: MemberWithRole[] = [];
  for (const { name } of BUILT_IN_ROLES) {
    const person = { email: `${name}@${tenant.slug}.example`, password: goodPassword };
    const added = await addMember(server.context, { tenantId: tenant.id, ...person, roles: [name], verified: true });
    if (added.outcome !== 'created') throw new Error(JSON.stringify(added));
    members.push({
      role: name,
      token: await personToken(server, tenant, { person }),
      permissions: permissionsOf(name),
    });
  }
  return members;
}

function permissionsOf(role: string): ReadonlySet<ManagementPermission> {
  const found = BUILT_IN_ROLES.find(({ name }) => name === role);
  if (found === undefined) throw new Error(`no role ${role}`);
  const inherited = 'inherits' in found ? permissionsOf(found.inherits) : [];
  return new Set([...found.permissions, ...inherited]);
}

/** Those that manage a tenant, with their permission. */
export function managementRoutes(
  server: TestServer,
): readonly (ApiRoute & { readonly permission: ManagementPermission })[] {
  return apiRoutesOf(server).flatMap((route) =>
    route.chain.chain === 'permitted' ? [{ ...route, permission: route.chain.permission }] : [],
  );
}

/** The address with something in each of its places: of nothing that is there, unless told. */
export function addressOf({ path }: ApiRoute, places: Readonly<Record<string, string>> = {}): string {
  return path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => encodeURIComponent(places[name] ?? uuidv7(new Date())));
}
