/**
 * Who may call a route of the REST API. Each route names its chain; one that names none cannot be made (routes.ts), so nothing is open
 * because somebody forgot to close it. What a chain lets through is the request's caller, and no body or header says otherwise.
 */
import type { EventActor } from '#src/domain/event.ts';
import { managementScope, permissionsOfScopes } from '#src/domain/own_scope.ts';
import { isPermission, type ManagementPermission } from '#src/domain/role.ts';
import { type UserId, userId } from '#src/domain/user.ts';
import type { LivingApiKey } from '#src/flows/access/api_keys.ts';
import type { TokenCaller } from '#src/oidc/own_access_tokens.ts';

/** Anybody. */
export interface PublicChain {
  readonly chain: 'public';
}

/**
 * Anybody; but a browser only from the origin of one of the tenant's own applications, which may carry cookies along. Whoever has a token
 * may show it where the route says so: then it must be good, a person's, and of such an application.
 */
export interface FirstPartyChain {
  readonly chain: 'firstParty';
  readonly token?: 'welcome' | undefined;
}

/** `Authorization: Bearer` or `DPoP` with an access token of this tenant that was made for no API. */
export interface BearerChain {
  readonly chain: 'bearer';
  /** The token must have it, unless it is one of a person's at the tenant's own application: that speaks for them as a whole. */
  readonly scope?: string | undefined;
  /** The person must have it in this tenant, whatever the token says. */
  readonly permission?: string | undefined;
  /** Everybody unless told. */
  readonly kinds?: readonly TokenCaller['kind'][] | undefined;
  /** Only at the tenant's own applications. */
  readonly firstParty?: true | undefined;
}

/** `X-API-Key`. */
export interface ServiceKeyChain {
  readonly chain: 'serviceKey';
  readonly scope?: string | undefined;
}

/** A token or a key, whichever is shown; a token first when both are. */
export interface EitherChain {
  readonly chain: 'bearerOrKey';
  readonly bearer: Omit<BearerChain, 'chain'>;
  readonly key: Omit<ServiceKeyChain, 'chain'>;
}

/**
 * Whoever has one permission in this tenant: a person (whose application needs the scope for it, unless it is the tenant's own), an
 * application in its own name that is registered for that scope, or an API key.
 */
export interface PermittedChain {
  readonly chain: 'permitted';
  readonly permission: ManagementPermission;
}

/** What operators do at the addresses of the installation; the scope of it is `platform:{permission}`. */
export type OperatorPermission = 'tenants:read' | 'tenants:write';

/**
 * Operators: people with an access token of their home tenant, of one of its own applications or of one that has the scope. Served at the
 * installation alone.
 */
export interface OperatorChain {
  readonly chain: 'operator';
  readonly permission: OperatorPermission;
}

/** Chains of the addresses below an issuer. */
export type TenantChain = PublicChain | FirstPartyChain | BearerChain | ServiceKeyChain | EitherChain | PermittedChain;

export type Chain = TenantChain | OperatorChain;

/** Who manages a tenant. */
export interface ManagementCaller {
  /** Who is recorded as having done it. */
  readonly actor: EventActor;
  /** The person who calls, or who made the key; undefined for an application in its own name and a key of the tenant's own. */
  readonly userId: UserId | undefined;
  readonly clientId: string | undefined;
  /** Everything that this caller may do here, and so may give to others. */
  readonly permissions: ReadonlySet<string>;
}

/** Who came through a chain that takes both. */
export type EitherCaller =
  | { readonly by: 'token'; readonly token: TokenCaller }
  | { readonly by: 'key'; readonly key: LivingApiKey };

/** Who came through a chain that takes anybody. */
export interface FirstPartyCaller {
  /** Who calls, and with which token; undefined when none was shown, or none is looked at. */
  readonly shown: { readonly caller: TokenCaller; readonly token: string } | undefined;
}

/** What a chain hands the route. */
export type CallerOf<SomeChain extends Chain> = SomeChain extends FirstPartyChain
  ? FirstPartyCaller
  : SomeChain extends BearerChain
    ? TokenCaller
    : SomeChain extends ServiceKeyChain
      ? LivingApiKey
      : SomeChain extends EitherChain
        ? EitherCaller
        : SomeChain extends PermittedChain | OperatorChain
          ? ManagementCaller
          : undefined;

export function anybody(): PublicChain {
  return { chain: 'public' };
}

export function firstParty(demands: Omit<FirstPartyChain, 'chain'> = {}): FirstPartyChain {
  return { chain: 'firstParty', ...demands };
}

export function bearer(demands: Omit<BearerChain, 'chain'> = {}): BearerChain {
  return { chain: 'bearer', ...demands };
}

export function serviceKey(demands: Omit<ServiceKeyChain, 'chain'> = {}): ServiceKeyChain {
  return { chain: 'serviceKey', ...demands };
}

export function bearerOrKey({ bearer = {}, key = {} }: Partial<Omit<EitherChain, 'chain'>>): EitherChain {
  return { chain: 'bearerOrKey', bearer, key };
}

export function permitted(permission: ManagementPermission): PermittedChain {
  return { chain: 'permitted', permission };
}

export function operator(permission: OperatorPermission): OperatorChain {
  return { chain: 'operator', permission };
}

/** Whoever comes through is a `ManagementCaller`. */
export function isOfManagement({ chain }: Chain): boolean {
  return chain === 'permitted' || chain === 'operator';
}

/** As people read it: `bearer scope=devices:manage`. */
export function describeChain(chain: Chain): string {
  if (chain.chain === 'bearerOrKey')
    return `${describeChain(bearer(chain.bearer))} or ${describeChain(serviceKey(chain.key))}`;
  const { chain: name, ...demands } = chain;
  const told = Object.entries(demands).flatMap(([demand, value]) =>
    value === undefined ? [] : [`${demand}=${value}`],
  );
  return [name, ...told].join(' ');
}

/** What a caller with a good token lacks. */
export type Shortage =
  | { readonly lacks: 'kind' }
  | { readonly lacks: 'scope'; readonly scope: string }
  | { readonly lacks: 'permission'; readonly permission: string };

/** Undefined when this caller may. */
export function shortageOf(
  caller: TokenCaller,
  { scope, permission, kinds, firstParty }: BearerChain,
): Shortage | undefined {
  if (firstParty === true && !caller.firstParty) return { lacks: 'kind' };
  if (kinds !== undefined && !kinds.includes(caller.kind)) return { lacks: 'kind' };
  const isWhole = caller.firstParty && caller.kind === 'user';
  if (scope !== undefined && !isWhole && !caller.scopes.has(scope)) return { lacks: 'scope', scope };
  if (permission !== undefined && !caller.permissions.includes(permission)) return { lacks: 'permission', permission };
  return undefined;
}

const operatorPermissions: readonly OperatorPermission[] = ['tenants:read', 'tenants:write'];

/** An operator who calls with this token of their home tenant. */
export function operatorByToken({ userId: id = '', clientId, firstParty, scopes }: TokenCaller): ManagementCaller {
  const permissions = operatorPermissions.filter((permission) => firstParty || scopes.has(`platform:${permission}`));
  return { actor: { type: 'operator', id }, userId: userId(id), clientId, permissions: new Set(permissions) };
}

/** Undefined for a device: nobody is there to manage anything. */
export function managerByToken(caller: TokenCaller): ManagementCaller | undefined {
  const { kind, userId: id, clientId, firstParty, scopes } = caller;
  if (kind === 'device') return undefined;
  const opened: ReadonlySet<string> = new Set(permissionsOfScopes(scopes));
  if (kind === 'client')
    return { actor: { type: 'client', id: clientId }, userId: undefined, clientId, permissions: opened };
  const held = caller.permissions.filter((permission) => firstParty || opened.has(permission));
  return { actor: { type: 'user', id }, userId: userId(id ?? ''), clientId, permissions: new Set(held) };
}

export function managerByKey(key: LivingApiKey): ManagementCaller {
  return {
    actor: { type: 'api_key', id: key.id },
    userId: key.userId === undefined ? undefined : userId(key.userId),
    clientId: undefined,
    permissions: new Set(key.scopes.filter(isPermission)),
  };
}

/** What a token lacks for the permission of the management API: the person's right, or the application's scope. */
export function shortageOfManager(
  caller: TokenCaller,
  manager: ManagementCaller,
  permission: ManagementPermission,
): Shortage | undefined {
  if (manager.permissions.has(permission)) return undefined;
  const isPersons = caller.kind === 'user' && !caller.permissions.includes(permission);
  return isPersons ? { lacks: 'permission', permission } : { lacks: 'scope', scope: managementScope(permission) };
}
