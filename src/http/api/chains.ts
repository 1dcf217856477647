/**
 * Who may call a route of the REST API. Each route names its chain; one that names none cannot be made (routes.ts), so nothing is open
 * because somebody forgot to close it. What a chain lets through is the request's caller, and no body or header says otherwise.
 */
import type { LivingApiKey } from '#src/flows/access/api_keys.ts';
import type { TokenCaller } from '#src/oidc/own_access_tokens.ts';

/** Anybody. */
export interface PublicChain {
  readonly chain: 'public';
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

export type Chain = PublicChain | BearerChain | ServiceKeyChain | EitherChain;

/** Who came through a chain that takes both. */
export type EitherCaller =
  | { readonly by: 'token'; readonly token: TokenCaller }
  | { readonly by: 'key'; readonly key: LivingApiKey };

/** What a chain hands the route. */
export type CallerOf<SomeChain extends Chain> = SomeChain extends BearerChain
  ? TokenCaller
  : SomeChain extends ServiceKeyChain
    ? LivingApiKey
    : SomeChain extends EitherChain
      ? EitherCaller
      : undefined;

export function anybody(): PublicChain {
  return { chain: 'public' };
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
export function shortageOf(caller: TokenCaller, { scope, permission, kinds }: BearerChain): Shortage | undefined {
  if (kinds !== undefined && !kinds.includes(caller.kind)) return { lacks: 'kind' };
  const isWhole = caller.firstParty && caller.kind === 'user';
  if (scope !== undefined && !isWhole && !caller.scopes.has(scope)) return { lacks: 'scope', scope };
  if (permission !== undefined && !caller.permissions.includes(permission)) return { lacks: 'permission', permission };
  return undefined;
}
