/**
 * The API reference at `{origin}/docs`: Swagger UI from our own server, under a policy that lets it load and call nothing else. It reads
 * the description of one tenant (`/docs?tenant=demo`), or of any when none is named.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type Router from '@koa/router';
import ejs from 'ejs';
import { version } from '#src/foundation/version.ts';
import { describeApi } from './api/open_api.ts';
import type { ApiRoute } from './api/routes.ts';

const viewsDirectory = fileURLToPath(new URL('../../views/', import.meta.url));
const swaggerDirectory = path.dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));

interface ReferenceFile {
  readonly address: string;
  readonly contentType: string;
  readonly body: Buffer;
}

const files: ReadonlyMap<string, ReferenceFile> = new Map(
  [
    path.join(swaggerDirectory, 'swagger-ui.css'),
    path.join(swaggerDirectory, 'swagger-ui-bundle.js'),
    path.join(viewsDirectory, 'assets', 'reference.css'),
    path.join(viewsDirectory, 'assets', 'reference.js'),
  ].map((file) => [path.basename(file), readFile(file)]),
);

const page = ejs.compile(readFileSync(path.join(viewsDirectory, 'reference.ejs'), 'utf8'));

/** Swagger UI draws its icons from `data:` and asks this server alone. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ');

export function mountReference(
  router: Router,
  {
    publicUrl,
    routes,
    platform,
  }: { readonly publicUrl: string; readonly routes: readonly ApiRoute[]; readonly platform: readonly ApiRoute[] },
): void {
  const description = describeApi(routes, { issuer: undefined, title: 'Poort', publicUrl, version, platform });

  router.get('/docs', (ctx) => {
    const tenant = String(ctx.query['tenant'] ?? '');
    const below = /^[a-z0-9-]{1,40}$/.test(tenant) ? `/t/${tenant}` : '';
    ctx.set('content-security-policy', policy);
    ctx.type = 'text/html; charset=utf-8';
    const addresses = Object.fromEntries([...files].map(([name, { address }]) => [name, address]));
    ctx.body = page({ files: addresses, description: `${below}/api/v1/openapi.json` });
  });
  router.get('/api/v1/openapi.json', (ctx) => {
    ctx.set('cache-control', 'public, max-age=300');
    ctx.body = description;
  });
  for (const { address, contentType, body } of files.values()) {
    router.get(address, (ctx) => {
      ctx.set('cache-control', 'public, max-age=31536000, immutable');
      ctx.set('content-type', contentType);
      ctx.body = body;
    });
  }
}

/** Under a name that changes with what is in it. */
function readFile(file: string): ReferenceFile {
  const body = readFileSync(file);
  const { name, ext } = path.parse(file);
  const hash = createHash('sha256').update(body).digest('hex').slice(0, 12);
  const contentType = ext === '.css' ? 'text/css; charset=utf-8' : 'text/javascript; charset=utf-8';
  return { address: `/docs/assets/${name}.${hash}${ext}`, contentType, body };
}
