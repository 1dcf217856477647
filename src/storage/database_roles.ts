/**
 * The roles of docs/decisions/0003 and how the product signs in as them. The owner's connection is given; the passwords of
 * the two roles that serve are derived from the master key, so that they are stored nowhere and every process knows them.
 */
import type { Sealer } from '#src/foundation/sealing.ts';

export type ServingRole = 'poort_app' | 'poort_platform';

export interface DatabaseUrls {
  readonly owner: string;
  readonly app: string;
  readonly platform: string;
}

export function rolePassword(sealer: Sealer, role: ServingRole): string {
  return sealer.derive(`database-role:${role}`).toString('base64url');
}

/** The same database, as each of the roles. */
export function databaseUrls(ownerUrl: string, sealer: Sealer): DatabaseUrls {
  const as = (role: ServingRole): string => {
    const url = new URL(ownerUrl);
    url.username = role;
    url.password = rolePassword(sealer, role);
    return url.href;
  };
  return { owner: ownerUrl, app: as('poort_app'), platform: as('poort_platform') };
}
