/**
 * Turns a page's model into HTML. Owns the templates of views/ (compiled once) and the stylesheet, scripts and images
 * beside them (read once, under names that change with their content, so that they can be cached for ever). Sends
 * nothing: status, headers and routes belong to the caller.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import ejs from 'ejs';
import { type PageModels, type PageName, presenters } from './page_models.ts';
import {
  type BrandLook,
  displayName,
  installationName,
  type PageShell,
  type PageView,
  presentLanguages,
} from './page_shell.ts';
import { translatorFor } from './translations.ts';

export interface Asset {
  /** Under the assets path, with a leading slash: `/poort.1a2b3c4d5e6f.css`. */
  readonly path: string;
  readonly body: Buffer;
  readonly contentType: string;
  readonly etag: string;
}

const viewsDirectory = new URL('../../../../views/', import.meta.url);

const contentTypes: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

const assetsByName: ReadonlyMap<string, Asset> = new Map(
  readdirSync(new URL('assets/', viewsDirectory))
    .sort()
    .map((name) => [name, readAsset(name)]),
);

/** Every file the pages refer to. Serve each at `assetsPath + path`, immutable: the name holds the content's hash. */
export const assets: readonly Asset[] = [...assetsByName.values()];

const pageNames = Object.keys(presenters) as readonly PageName[]; // the keys of a record typed by PageName
const templates: ReadonlyMap<string, ejs.TemplateFunction> = new Map(
  ['layouts/page', ...pageNames].map((name) => [name, compileTemplate(name)]),
);

/** A whole HTML document. Pure: the same shell and model give the same text, and nothing of one page stays for the next. */
export function renderPage<N extends PageName>(page: N, shell: PageShell, model: PageModels[N]): string {
  const t = translatorFor(shell.locale);
  const view: PageView = presenters[page](model, { shell, t });
  const names = [view.step, shell.applicationName, shell.tenantName ?? installationName].filter(
    (name) => name !== undefined,
  );
  const locals = {
    navigation: undefined,
    wide: false,
    ...view,
    t,
    locale: shell.locale,
    installationName,
    tenantName: shell.tenantName === undefined ? undefined : displayName(shell.tenantName),
    brand: presentBrand(shell.brand),
    requestId: shell.requestId,
    title: [...(view.failed ? [t('layout.error_prefix')] : []), names.map(displayName).join(' - ')].join(' '),
    languages: presentLanguages(shell),
    asset: (name: string) => `${shell.assetsPath}${assetNamed(name).path}`,
  };
  return fill('layouts/page', { ...locals, body: fill(page, locals) });
}

// A picture is drawn this high; its width follows, so that nothing moves when it arrives.
const logoHeight = 40;
const widestLogo = 200;

function presentBrand(brand: BrandLook | undefined): object {
  if (brand?.logo === undefined) return { stylesheet: brand?.stylesheet, logo: undefined };
  const { address, alt, width, height } = brand.logo;
  const scale = Math.min(logoHeight / height, widestLogo / width);
  const size = { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
  return { stylesheet: brand.stylesheet, logo: { address, alt: displayName(alt), ...size } };
}

function fill(name: string, locals: object): string {
  const template = templates.get(name);
  if (template === undefined) throw new Error(`There is no template named ${name}`);
  return template(locals);
}

// `strict` without `with`: a template reads `view.something`, so a name can never fall through to a global.
function compileTemplate(name: string): ejs.TemplateFunction {
  const filename = fileURLToPath(new URL(`${name}.ejs`, viewsDirectory));
  const source = readFileSync(filename, 'utf8');
  // With `views` a page in a folder of its own includes the partials by the same name as every other.
  const views = [fileURLToPath(viewsDirectory)];
  return ejs.compile(source, { filename, views, cache: true, strict: true, localsName: 'view' });
}

function assetNamed(name: string): Asset {
  const asset = assetsByName.get(name);
  if (asset === undefined) throw new Error(`There is no asset named ${name}`);
  return asset;
}

function readAsset(name: string): Asset {
  const body = readFileSync(new URL(`assets/${name}`, viewsDirectory));
  const extension = extname(name);
  const contentType = contentTypes[extension];
  if (contentType === undefined) throw new Error(`views/assets/${name} has a type that the pages do not serve`);
  const hash = createHash('sha256').update(body).digest('hex').slice(0, 12);
  return { path: `/${name.slice(0, -extension.length)}.${hash}${extension}`, body, contentType, etag: `"${hash}"` };
}
