/**
 * Which methods each endpoint of an issuer takes. The engine's router would also answer `/TOKEN` and `/token/`, and says "not
 * found" to a wrong method; here an address has one spelling, and what is not in the table is not served.
 */
import { endpointPaths } from '#src/oidc/provider.ts';

export type EngineRoute =
  | {
      readonly outcome: 'served';
      /** Only our own page posts here: whoever comes from another site is refused before the engine looks. */
      readonly ownForm: boolean;
      /** A form that asks what a link can ask: see app.ts. */
      readonly asLink: boolean;
      /** The same for everyone who asks: caches may keep it. */
      readonly isPublic: boolean;
    }
  | { readonly outcome: 'wrong_method'; readonly allow: readonly string[] };

/** `OPTIONS` stands where browsers ask before they call (the endpoints that answer other origins). */
const read: readonly string[] = ['GET', 'HEAD'];
const openRead: readonly string[] = ['GET', 'HEAD', 'OPTIONS'];
const openPost: readonly string[] = ['POST', 'OPTIONS'];

const methodsByPath: ReadonlyMap<string, readonly string[]> = new Map([
  ['/.well-known/openid-configuration', openRead],
  ['/.well-known/oauth-authorization-server', openRead],
  [endpointPaths.jwks, openRead],
  [endpointPaths.authorization, ['GET', 'HEAD', 'POST']],
  [endpointPaths.token, openPost],
  [endpointPaths.introspection, openPost],
  [endpointPaths.revocation, openPost],
  [endpointPaths.pushed_authorization_request, openPost],
  [endpointPaths.backchannel_authentication, ['POST']],
  [endpointPaths.device_authorization, openPost],
  [endpointPaths.userinfo, ['GET', 'HEAD', 'POST', 'OPTIONS']],
  [endpointPaths.end_session, ['GET', 'HEAD', 'POST']],
  [`${endpointPaths.end_session}/confirm`, ['POST']],
  [`${endpointPaths.end_session}/success`, read],
]);
const ownForms: ReadonlySet<string> = new Set([`${endpointPaths.end_session}/confirm`]);
const linkForms: ReadonlySet<string> = new Set([endpointPaths.authorization, endpointPaths.end_session]);
/** Where an interaction leads back to the authorization request it belongs to. */
const resumePath = new RegExp(`^${endpointPaths.authorization}/[A-Za-z0-9_-]+$`);

/** @param path Below the issuer. Undefined when the engine has nothing there. */
export function findEngineRoute(method: string, path: string): EngineRoute | undefined {
  const allow = methodsByPath.get(path) ?? (resumePath.test(path) ? read : undefined);
  if (allow === undefined) return undefined;
  if (!allow.includes(method)) return { outcome: 'wrong_method', allow };
  return {
    outcome: 'served',
    ownForm: ownForms.has(path),
    asLink: method === 'POST' && linkForms.has(path),
    isPublic: allow === openRead,
  };
}
