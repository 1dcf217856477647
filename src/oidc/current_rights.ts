/**
 * What introspection says that a person may do: as it is at this moment, and not as it was when the token was issued. So a role that was
 * taken away, was switched off or is over is gone from every API that asks, at once, while the token goes on living.
 */
import { currentUnitOfWork } from '#adapters/unit_of_work.ts';
import type { ApiRow } from '#src/storage/tables/apis.ts';

/** A token of the engine's, as far as it says something of a person. */
interface TokenOfPerson {
  readonly accountId?: string | undefined;
  readonly aud?: string | string[] | undefined;
  readonly extra?: Record<string, unknown> | undefined;
}

/**
 * Puts the rights of now in place of those that the token was issued with, of the API it is for; the engine answers with them next. What
 * was exchanged (RFC 8693) never gains any: it was given away with what it had. In a unit of work that has read the person.
 */
export async function sayCurrentRights(token: TokenOfPerson, apis: ReadonlyMap<string, ApiRow>): Promise<void> {
  const { accountId, extra } = token;
  if (accountId === undefined || extra?.['roles'] === undefined) return;
  const account = await currentUnitOfWork().findAccount(accountId);
  const roles = account?.roles ?? [];
  const scopesOfApi = new Set(apis.get([token.aud ?? []].flat()[0] ?? '')?.scopes.map(({ name }) => name));
  const permissions = (account?.permissions ?? []).filter((permission) => scopesOfApi.has(permission));
  const isExchanged = extra['act'] !== undefined;
  extra['roles'] = isExchanged ? heldOf(extra['roles'], roles) : roles;
  extra['permissions'] = isExchanged ? heldOf(extra['permissions'], permissions) : permissions;
}

function heldOf(issued: unknown, held: readonly string[]): readonly string[] {
  return Array.isArray(issued) ? held.filter((item) => issued.includes(item)) : [];
}
