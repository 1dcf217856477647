/**
 * How a tenant's pages look, as they need it: where its colours and its picture are served, and serving them. Both come from our own
 * origin under addresses that change with what is in them, never inline (docs/pages.md, item 17).
 */
import { hash } from 'node:crypto';
import type Router from '@koa/router';
import type { Context } from 'koa';
import { brandStylesheet, readBrand } from '#src/domain/brand.ts';
import type { Database } from '#src/storage/database.ts';
import { readLogo } from '#src/storage/tables/tenant_brands.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import type { PageState } from '../interaction/interaction_step.ts';
import type { BrandLook } from './page_shell.ts';

export type TenantFace = Pick<TenantRow, 'name' | 'slug' | 'brand'>;

interface Look {
  readonly stylesheet: string | undefined;
  readonly shown: BrandLook;
}

// A tenant's row is one object until it changes: what follows from it is worked out once.
const looks = new WeakMap<object, Look>();

/** What the layout of a page needs; nothing for a tenant that looks like the house. */
export function lookOf(tenant: TenantFace | undefined): BrandLook | undefined {
  return tenant === undefined ? undefined : readLook(tenant).shown;
}

function readLook(tenant: TenantFace): Look {
  const key = typeof tenant.brand === 'object' && tenant.brand !== null ? tenant.brand : undefined;
  const known = key === undefined ? undefined : looks.get(key);
  if (known !== undefined) return known;
  const { color, logo } = readBrand(tenant.brand);
  const stylesheet = color === undefined ? undefined : brandStylesheet(color);
  const base = `/t/${tenant.slug}`;
  const look: Look = {
    stylesheet,
    shown: {
      stylesheet: stylesheet === undefined ? undefined : `${base}/brand.css?v=${versionOf(stylesheet)}`,
      logo: logo === undefined ? undefined : { ...logo, address: `${base}/logo?v=${logo.version}` },
    },
  };
  if (key !== undefined) looks.set(key, look);
  return look;
}

function versionOf(text: string): string {
  return hash('sha256', text).slice(0, 12);
}

export function mountBrand(router: Router<PageState>, { database }: { readonly database: Database }): void {
  router.get('/t/:slug/brand.css', (ctx) => {
    const { stylesheet } = readLook(ctx.state.engine.tenant);
    if (stylesheet === undefined) return;
    send(ctx, { version: versionOf(stylesheet), mediaType: 'text/css; charset=utf-8', body: stylesheet });
  });

  router.get('/t/:slug/logo', async (ctx) => {
    const logo = await readLogo(database.tenant(ctx.state.engine.tenant.id));
    if (logo === undefined) return;
    send(ctx, { version: logo.version, mediaType: logo.media_type, body: logo.body });
  });
}

/** For ever under the address that names it; under any other, as it is now. */
function send(
  ctx: Context,
  {
    version,
    mediaType,
    body,
  }: { readonly version: string; readonly mediaType: string; readonly body: string | Buffer },
): void {
  const isNamed = ctx.query['v'] === version;
  ctx.set('cache-control', isNamed ? 'public, max-age=31536000, immutable' : 'no-cache');
  ctx.set('content-type', mediaType);
  // Whoever opens the address itself gets a file and not a document of ours.
  ctx.set('content-disposition', 'inline');
  ctx.set('etag', `"${version}"`);
  ctx.body = body;
}
