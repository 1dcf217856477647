/** What an application asks of somebody at another device, as the person is shown it and as they grant it: the two are one list. */
import type Provider from 'oidc-provider';
import type { Client } from 'oidc-provider';
import { ownScopesBeside } from '#src/domain/own_scope.ts';
import type { ApiRow } from '#src/storage/tables/apis.ts';
import { personScopes } from './accounts.ts';
import { factsOf } from './policies.ts';

export interface AskedScope {
  readonly name: string;
  /** Of the API it belongs to; undefined for what is about the person. */
  readonly audience: string | undefined;
  readonly description: string | undefined;
}

/** Names what of it a client of this kind can get, and nothing else. */
export function scopesAskedFor(
  { scope, resource }: { readonly scope?: string | undefined; readonly resource?: string | string[] | undefined },
  { client, apis }: { readonly client: Client; readonly apis: readonly ApiRow[] },
): readonly AskedScope[] {
  const asked = new Set(scope?.split(' '));
  const allowed = new Set(factsOf(client).scopes);
  const audiences = [resource ?? []].flat();
  return [
    ...[...personScopes, ...ownScopesBeside(apis).filter((name) => allowed.has(name))]
      .filter((name) => asked.has(name))
      .map((name) => ({ name, audience: undefined, description: undefined })),
    ...apis
      .filter(({ audience }) => audiences.includes(audience))
      .flatMap(({ audience, scopes }) =>
        scopes
          .filter(({ name }) => asked.has(name) && allowed.has(name))
          .map(({ name, description }) => ({ name, audience, description })),
      ),
  ];
}

/** As the person is told: every refresh token means that the application stays able to ask for tokens. */
export function withLasting(asked: readonly AskedScope[], client: Client): readonly AskedScope[] {
  const isTold = asked.some(({ name }) => name === 'offline_access');
  if (isTold || !client.grantTypeAllowed('refresh_token')) return asked;
  return [...asked, { name: 'offline_access', audience: undefined, description: undefined }];
}

export function addAsked(grant: InstanceType<Provider['Grant']>, asked: readonly AskedScope[]): void {
  for (const { name, audience } of asked) {
    if (audience === undefined) grant.addOIDCScope(name);
    else grant.addResourceScope(audience, name);
  }
}
