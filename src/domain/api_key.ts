/**
 * This file owns what an API key is: its form, what it may be asked to open, and how that is bounded by whoever made it
 * (docs/decisions/0038). It does not own where keys are kept or how often one may be used.
 */
import { isPermission } from './role.ts';
import { isScopeToken, MAXIMUM_SCOPES } from './scope.ts';

export const MAXIMUM_KEY_NAME = 60;

/** As somebody presents it: a prefix, and at least 32 bytes in base64url. Anything else is not worth a question to the database. */
const KEY = /^[a-z][a-z0-9]{0,11}_[A-Za-z0-9_-]{43,128}$/;

/** What a tenant may set before its keys, with its underscore. */
const KEY_PREFIX = /^[a-z][a-z0-9]{0,11}_$/;
/** What the values of tokens and codes begin with: a key must not look like one (adapters/artifacts_adapter.ts). */
const takenPrefixes: ReadonlySet<string> = new Set(['ac_', 'ar_', 'at_', 'dc_', 'iat_', 'rat_', 'rt_']);

export function isApiKey(text: string): boolean {
  return KEY.test(text);
}

export function isKeyPrefix(text: string): boolean {
  return KEY_PREFIX.test(text) && !takenPrefixes.has(text);
}

/** Enough to tell one key from another, and nothing to guess the rest by. */
export function beginningOf(key: string): string {
  const end = key.indexOf('_') + 1;
  return key.slice(0, end + 6);
}

/** What Poort itself does for a key, and the permission that its maker must have: as much as doing it themselves would take. */
const servicePermissions: ReadonlyMap<string, string> = new Map([
  // Learns about tokens of everybody, as a resource server does.
  ['introspect', 'clients:write'],
  // May ask what anybody may.
  ['permissions:check', 'roles:read'],
  ['events', 'sessions:read'],
]);

/** One API's tokens alone: `introspect:{audience}`. */
const introspectOne = 'introspect:';

/** Scopes of people's tokens, that no key is taken for: one that could make keys would outlive its own end. */
const neverOfKeys: ReadonlySet<string> = new Set(['api_keys:manage', 'devices:manage', 'telemetry:write']);

/** Whether a key can have it at all. What is no word of ours is a permission of the tenant's, for its APIs to look at. */
export function isKeyScope(scope: string): boolean {
  if (neverOfKeys.has(scope) || !isScopeToken(scope)) return false;
  return servicePermissions.has(scope) || scope.startsWith(introspectOne) || isPermission(scope);
}

/** The permission that whoever makes a key with this scope must hold, and keep. */
function permissionFor(scope: string): string {
  if (scope.startsWith(introspectOne)) return servicePermissions.get('introspect') ?? scope;
  return servicePermissions.get(scope) ?? scope;
}

/** Which of these scopes somebody with these permissions can give a key. */
export function scopesWithin(scopes: readonly string[], permissions: readonly string[]): readonly string[] {
  const held = new Set(permissions);
  return scopes.filter((scope) => isKeyScope(scope) && held.has(permissionFor(scope)));
}

/** Everything that somebody with these permissions can give a key. */
export function grantableScopes(permissions: readonly string[]): readonly string[] {
  return [
    ...new Set([
      ...scopesWithin([...servicePermissions.keys()], permissions),
      ...scopesWithin(permissions, permissions),
    ]),
  ];
}

/** What a key is asked to be. */
export interface KeyRequest {
  readonly name: string;
  readonly scopes: readonly string[];
  readonly expiresAt: Date | undefined;
}

export interface KeyRules {
  readonly now: Date;
  readonly maximumDays: number;
  /** What its maker may do; undefined for an operator, who makes a key of the tenant's own. */
  readonly permissions: readonly string[] | undefined;
  /** What the token that asks may do, when it does not speak for its person as a whole. */
  readonly tokenScopes: ReadonlySet<string> | undefined;
}

export type KeyFault =
  | { readonly field: 'name'; readonly problem: 'syntax' }
  | { readonly field: 'scopes'; readonly problem: 'too_many' }
  /** `beyond_your_own`: what its maker does not hold, or did not let this application have. */
  | {
      readonly field: 'scopes';
      readonly problem: 'unknown' | 'beyond_your_own';
      readonly scope: string;
      readonly index: number;
    }
  | { readonly field: 'expires_at'; readonly problem: 'past' }
  | { readonly field: 'expires_at'; readonly problem: 'too_late'; readonly maximumDays: number };

export type KeyPlan =
  | { readonly outcome: 'planned'; readonly name: string; readonly scopes: readonly string[]; readonly expiresAt: Date }
  | { readonly outcome: 'refused'; readonly faults: readonly KeyFault[] };

const dayMilliseconds = 86_400_000;

/** All faults at once. A key that says nothing of its end gets the latest there may be. */
export function planKey(request: KeyRequest, rules: KeyRules): KeyPlan {
  const name = request.name.trim();
  const scopes = [...new Set(request.scopes)];
  const latest = new Date(rules.now.getTime() + rules.maximumDays * dayMilliseconds);
  const expiresAt = request.expiresAt ?? latest;
  const faults: KeyFault[] = [];
  if (name.length === 0 || name.length > MAXIMUM_KEY_NAME || /\p{Cc}/u.test(name))
    faults.push({ field: 'name', problem: 'syntax' });
  if (scopes.length > MAXIMUM_SCOPES) faults.push({ field: 'scopes', problem: 'too_many' });
  for (const scope of scopes) {
    const problem = faultOf(scope, rules);
    if (problem !== undefined) faults.push({ field: 'scopes', problem, scope, index: request.scopes.indexOf(scope) });
  }
  if (!(expiresAt.getTime() > rules.now.getTime())) faults.push({ field: 'expires_at', problem: 'past' });
  if (expiresAt.getTime() > latest.getTime())
    faults.push({ field: 'expires_at', problem: 'too_late', maximumDays: rules.maximumDays });
  return faults.length > 0 ? { outcome: 'refused', faults } : { outcome: 'planned', name, scopes, expiresAt };
}

function faultOf(scope: string, { permissions, tokenScopes }: KeyRules): 'unknown' | 'beyond_your_own' | undefined {
  if (!isKeyScope(scope)) return 'unknown';
  if (permissions !== undefined && scopesWithin([scope], permissions).length === 0) return 'beyond_your_own';
  return tokenScopes !== undefined && !tokenScopes.has(scope) ? 'beyond_your_own' : undefined;
}
