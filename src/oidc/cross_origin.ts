/**
 * Which origins a browser may call us from (CORS): those that clients registered, and nobody else's. The engine asks about a
 * client once it knows one; it would echo any origin before that, in preflights and in answers that end early. Nothing here
 * ever allows credentials, and `null`, which every sandboxed frame can send, is nobody's origin.
 */
import type Provider from 'oidc-provider';
import type { Client, KoaContextWithOIDC } from 'oidc-provider';
import { factsOf } from './policies.ts';

/** The same document for everyone: may be read from everywhere, and is never answered by name. */
const openRoutes: ReadonlySet<string> = new Set(['discovery', 'jwks', 'cors.discovery', 'cors.jwks']);

/**
 * RFC 6454: a browser application may call from the origins it is registered at. One with a server of its own calls from there,
 * and its pages may at most read who is signed in.
 */
export function mayCallFrom(client: Client, { origin, route }: { origin: string; route: string }): boolean {
  if (origin === 'null') return false;
  if (client.clientAuthMethod !== 'none' && route !== 'userinfo') return false;
  if (factsOf(client).allowedOrigins.includes(origin)) return true;
  return (client.redirectUris ?? []).some((uri) => URL.parse(uri)?.origin === origin);
}

/**
 * @param isRegistered whether any client of the tenant is registered at an origin: a preflight names no client, and a
 *   browser application must be able to read why it was refused.
 */
export function restrictCrossOrigin(provider: Provider, isRegistered: (origin: string) => Promise<boolean>): void {
  provider.use(async (ctx, next) => {
    await next();
    const origin = ctx.get('origin');
    if (ctx.response.get('access-control-allow-origin') === '') return;
    const { oidc } = ctx as unknown as KoaContextWithOIDC; // only the engine's own routes set the header
    if (openRoutes.has(oidc.route)) {
      ctx.set('access-control-allow-origin', '*');
      return;
    }
    const allowed =
      oidc.client === undefined
        ? origin !== '' && origin !== 'null' && (await isRegistered(origin))
        : mayCallFrom(oidc.client, { origin, route: oidc.route });
    if (allowed) return;
    for (const name of Object.keys(ctx.response.headers)) {
      if (name.startsWith('access-control-')) ctx.remove(name);
    }
  });
}
