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

/** Of the first master key: what a start gives the roles. */
export function rolePassword(sealer: Sealer, role: ServingRole): string {
  return sealer.derive(purposeOf(role)).toString('base64url');
}

/** The same database, as each of the roles. */
export function databaseUrls(ownerUrl: string, sealer: Sealer): DatabaseUrls {
  const as = (role: ServingRole): string => urlOf(ownerUrl, role, rolePassword(sealer, role));
  return { owner: ownerUrl, app: as('poort_app'), platform: as('poort_platform') };
}

/**
 * With the passwords of the other master keys: the roles have one of them while another server of this installation, which puts its
 * keys in another order, was the last to start.
 */
export function otherDatabaseUrls(
  ownerUrl: string,
  sealer: Sealer,
): readonly { readonly app: string; readonly platform: string }[] {
  const passwordsOf = (role: ServingRole): readonly Buffer[] => sealer.deriveAll(purposeOf(role)).slice(1);
  const platform = passwordsOf('poort_platform');
  return passwordsOf('poort_app').map((app, index) => ({
    app: urlOf(ownerUrl, 'poort_app', app.toString('base64url')),
    platform: urlOf(ownerUrl, 'poort_platform', platform[index]?.toString('base64url') ?? ''),
  }));
}

function purposeOf(role: ServingRole): string {
  return `database-role:${role}`;
}

function urlOf(ownerUrl: string, role: ServingRole, password: string): string {
  const url = new URL(ownerUrl);
  url.username = role;
  url.password = password;
  return url.href;
}
