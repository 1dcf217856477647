/**
 * Serves every page of the fixtures as the product would: the real headers, the real policy, the real files beside it. What a
 * form sends is kept, and answered with a redirect to an application on another origin.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import Koa from 'koa';
import { brandStylesheet } from '#src/domain/brand.ts';
import { setSecurityHeaders } from '#src/http/gates/security_headers.ts';
import { lookOf } from '#src/http/pages/kit/brand.ts';
import { contentSecurityPolicy, formActionSource } from '#src/http/pages/kit/content_security_policy.ts';
import { assetsPath } from '#src/http/pages/kit/page_kit.ts';
import { assets } from '#src/http/pages/kit/render.ts';
import type { Locale } from '#src/http/pages/kit/translations.ts';
import { testLogo } from './logos.ts';
import { pageState, pageStates, type Shown } from './page_fixtures.ts';

// Of the fixtures.
const brandColors = pageStates.flatMap(({ color }) => color ?? []);

export interface PageServer {
  readonly origin: string;
  readonly application: string;
  /** The bodies of what was posted. */
  readonly posted: string[];
  addressOf(name: string, locale?: Locale): string;
  close(): Promise<void>;
}

/** `find` gives the state of a name: one of the fixtures, unless a test has others. */
export async function startPageServer(find: (name: string) => Shown = pageState): Promise<PageServer> {
  const posted: string[] = [];
  const relyingParty = createServer((_request, response) => response.end('signed in at the application'));
  const application = await listen(relyingParty);
  const app = new Koa();
  app.use(async (ctx) => {
    setSecurityHeaders(ctx.res, { secure: false });
    const asset = assets.find(({ path }) => assetsPath + path === ctx.path);
    if (asset !== undefined) {
      ctx.set('content-type', asset.contentType);
      ctx.body = asset.body;
      return;
    }
    if (ctx.path === '/t/linde/logo') {
      ctx.set('content-type', 'image/png');
      ctx.body = testLogo;
      return;
    }
    if (ctx.path === '/t/linde/brand.css') {
      const color = brandColors.find(
        (candidate) => lookOf({ name: '', slug: 'linde', brand: { color: candidate } })?.stylesheet === ctx.url,
      );
      ctx.set('content-type', 'text/css');
      ctx.body = color === undefined ? '' : brandStylesheet(color);
      return;
    }
    if (ctx.method === 'POST') {
      const parts: Buffer[] = [];
      for await (const part of ctx.req) parts.push(part);
      posted.push(Buffer.concat(parts).toString());
      ctx.status = 303;
      ctx.redirect(`${application}/callback?code=1`);
      return;
    }
    const { state, locale, with_client: withClient } = ctx.query;
    if (typeof state !== 'string') return;
    find(state).show(ctx, locale === 'en' ? 'en' : 'nl');
    const source = formActionSource(`${application}/callback`);
    if (withClient !== undefined && source !== undefined)
      ctx.set('content-security-policy', contentSecurityPolicy({ formActionOrigins: [source] }));
  });
  const server = createServer(app.callback());
  const origin = await listen(server);
  return {
    origin,
    application,
    posted,
    addressOf: (name, locale = 'nl') => `${origin}/?locale=${locale}&state=${encodeURIComponent(name)}`,
    async close() {
      for (const open of [server, relyingParty]) {
        open.closeAllConnections();
        await new Promise((resolve) => open.close(resolve));
      }
    },
  };
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A TCP server's address is always of this shape.
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
