/**
 * This file owns what a client is worth: which permissions of a tenant's management somebody gets hold of who decides what the client is,
 * or has its secret. Nobody makes, changes or removes a client that is worth more than they are (docs/decisions/0042).
 */
import type { ClientProblem } from './client.ts';
import { BUILT_IN_ROLES } from './role.ts';

/** The part of a client that decides it. */
export interface ClientWorth {
  readonly firstParty: boolean;
  readonly scopes: readonly string[];
}

/** Opens the management API: `admin:users:write`. */
const managementPrefix = 'admin:';
/** Manages the whole installation. No tenant has it to give. */
const platformPrefix = 'platform:';
/** May ask what anybody may, which is to read who has which role. */
const asksForRights = 'permissions:check';

const everything: readonly string[] = BUILT_IN_ROLES.flatMap(({ permissions }) => [...permissions]);

/**
 * What is too much about a client for somebody who holds these permissions; nothing when they are worth as much themselves.
 *
 * A token of the tenant's own application speaks for its person as a whole: who decides where that application sends people back to can
 * be any administrator who follows a link, and so must hold everything that administrators do.
 */
export function problemsBeyond(
  { firstParty, scopes }: ClientWorth,
  held: ReadonlySet<string>,
): readonly ClientProblem[] {
  const isWhole = everything.every((permission) => held.has(permission));
  return [
    ...(firstParty && !isWhole ? [{ field: 'first_party', problem: 'beyond_your_own' } as const] : []),
    ...scopes
      .filter((scope) => isBeyond(scope, held))
      .map((value) => ({ field: 'scopes', problem: 'beyond_your_own', value }) as const),
  ];
}

function isBeyond(scope: string, held: ReadonlySet<string>): boolean {
  if (scope.startsWith(platformPrefix)) return true;
  if (scope === asksForRights) return !held.has('roles:read');
  return scope.startsWith(managementPrefix) && !held.has(scope.slice(managementPrefix.length));
}
