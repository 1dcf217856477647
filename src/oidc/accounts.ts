/** People as the engine sees them: accounts of one tenant, their claims (OpenID Connect Core 1.0 §5) and what tokens say. */
import { type Account, type Client, errors, type KoaContextWithOIDC } from 'oidc-provider';
import { currentUnitOfWork } from '#adapters/unit_of_work.ts';
import { isOwnScope } from '#src/domain/own_scope.ts';
import { displayName } from '#src/domain/user.ts';
import type { ApiRow } from '#src/storage/tables/apis.ts';
import type { AccountRow } from '#src/storage/tables/people.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';

/** Which claims a scope opens. */
export const claimsByScope = {
  openid: ['sub', 'acr', 'amr', 'auth_time'],
  profile: ['name', 'given_name', 'family_name', 'locale', 'updated_at'],
  email: ['email', 'email_verified'],
} as const;

/** The scope that opens a claim. Undefined for what is no claim about a person. */
export const scopeOfClaim: ReadonlyMap<string, string> = new Map(
  Object.entries(claimsByScope).flatMap(([scope, claims]) => claims.map((claim) => [claim, scope] as const)),
);

/** Scopes that are about the person and not about an API. */
export const personScopes = ['openid', 'offline_access', 'profile', 'email'] as const;

interface LoadedAccount extends Account {
  readonly row: AccountRow;
}

/** Undefined for who is no living member of this tenant: the engine then refuses whatever was asked. */
export async function findAccount(accountId: string): Promise<LoadedAccount | undefined> {
  const row = await currentUnitOfWork().findAccount(accountId);
  if (row === undefined) return undefined;
  return { accountId: row.id, row, claims: async () => claimsOf(row) };
}

function claimsOf(row: AccountRow): { sub: string; [claim: string]: string | number | boolean | undefined } {
  const givenName = row.given_name ?? undefined;
  const familyName = row.family_name ?? undefined;
  return {
    sub: row.id,
    email: row.email,
    email_verified: row.email_verified,
    name: displayName({ givenName, familyName }),
    given_name: givenName,
    family_name: familyName,
    locale: row.locale ?? undefined,
    updated_at: Math.floor(row.updated_at.getTime() / 1000),
  };
}

/** What is asked of a token that is about to be issued. */
interface TokenToBe {
  readonly kind: string;
  readonly accountId?: string;
  readonly scope?: string | undefined;
  readonly sid?: string | undefined;
}

/**
 * The claims of docs/decisions/0013 beyond RFC 9068's own. `permissions` holds those of the API the token is for, never more.
 * Throws `InvalidScope` when a client asks, in its own name, for a scope it may not have: refused rather than left out,
 * because a program does not read what it was given.
 */
export function extraTokenClaims(
  ctx: KoaContextWithOIDC,
  token: TokenToBe,
  { tenant, api }: { tenant: TenantRow; api: ApiRow | undefined },
): Record<string, unknown> {
  const claims = { tenant: tenant.slug, tenant_id: tenant.id };
  if (token.kind === 'ClientCredentials') {
    const granted = new Set(token.scope?.split(' '));
    // Without an API there is only our own. The engine lets a client that is registered for no scope it knows ask for all of them.
    const registered = new Set(registeredScopesOf(ctx.oidc.client));
    const isOwn = (scope: string): boolean => isOwnScope(scope) && registered.has(scope);
    const refused = [...ctx.oidc.requestParamScopes].find(
      (scope) => !granted.has(scope) || (api === undefined && !isOwn(scope)),
    );
    if (refused !== undefined) throw new errors.InvalidScope('requested scope is not allowed', refused);
    return claims;
  }
  const { AuthorizationCode, RefreshToken, DeviceCode, BackchannelAuthenticationRequest, Account } = ctx.oidc.entities;
  const source = AuthorizationCode ?? RefreshToken ?? DeviceCode ?? BackchannelAuthenticationRequest;
  // Grants of devices name them, see device_grant.ts.
  const deviceId = deviceIdOf(ctx.oidc.entities.Grant);
  return {
    ...(deviceId === undefined ? {} : { device_id: deviceId }),
    ...personClaims({ tenant, api, row: accountRowOf(Account), signedIn: source, sid: token.sid }),
  };
}

/** How somebody signed in, as every artifact of theirs keeps it. */
export interface SignedInFacts {
  readonly amr?: readonly string[] | undefined;
  readonly acr?: string | undefined;
  readonly authTime?: number | undefined;
}

/** The claims of docs/decisions/0013 of a token that speaks for a person. */
export function personClaims({
  tenant,
  api,
  row,
  signedIn,
  sid,
}: {
  readonly tenant: TenantRow;
  readonly api: ApiRow | undefined;
  readonly row: AccountRow | undefined;
  readonly signedIn: SignedInFacts | undefined;
  readonly sid: string | undefined;
}): Record<string, unknown> {
  const scopesOfApi = new Set(api?.scopes.map((scope) => scope.name));
  return {
    tenant: tenant.slug,
    tenant_id: tenant.id,
    roles: row?.roles ?? [],
    permissions: (row?.permissions ?? []).filter((permission) => scopesOfApi.has(permission)),
    amr: signedIn?.amr,
    acr: signedIn?.acr,
    auth_time: signedIn?.authTime,
    sid,
    mfa_verified: signedIn?.amr?.includes('mfa') ?? false,
  };
}

/** As registered, see adapters/clients_adapter.ts; `factsOf` of policies.ts, which needs this file. */
function registeredScopesOf(client: Client | undefined): readonly unknown[] {
  const scopes = client?.['poort_scopes'];
  return Array.isArray(scopes) ? scopes : [];
}

/** The device whose grant it is: ours, see device_grant.ts. */
export function deviceIdOf(grant: object | undefined): string | undefined {
  return grant !== undefined && 'deviceId' in grant && typeof grant.deviceId === 'string' ? grant.deviceId : undefined;
}

/** The person behind an account of ours. */
export function accountRowOf(account: Account | undefined): AccountRow | undefined {
  return isLoaded(account) ? account.row : undefined;
}

function isLoaded(account: Account | undefined): account is LoadedAccount {
  return account !== undefined && 'row' in account;
}
