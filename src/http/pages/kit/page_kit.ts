/**
 * What every page route does alike: chooses the language, answers with a page and its policy, and makes and checks the token that
 * proves a form came from our own page.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Context } from 'koa';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import { lookOf, type TenantFace } from './brand.ts';
import { contentSecurityPolicy, formActionSource } from './content_security_policy.ts';
import type { PageModels, PageName } from './page_models.ts';
import type { LanguageSwitch } from './page_shell.ts';
import { renderPage } from './render.ts';
import { chooseLocale, type Locale } from './translations.ts';

export const assetsPath = '/assets';
const localeCookie = 'poort_locale';

export interface Page<N extends PageName> {
  readonly name: N;
  readonly model: PageModels[N];
  readonly status: number;
  readonly locale: Locale;
  /** Whose page it is; nobody's where an address belongs to no tenant. */
  readonly tenant: TenantFace | undefined;
  readonly applicationName?: string | undefined;
  readonly requestId: string;
  readonly languageSwitch?: LanguageSwitch | undefined;
  /** Addresses the page's form may lead to through redirects: Chromium checks the whole chain. */
  readonly formTargets?: readonly (string | undefined)[];
}

/** Answers with a page. Nothing of it is ever cached: most pages hold a token or a name. */
export function showPage<N extends PageName>(
  ctx: Pick<Context, 'status' | 'body' | 'type' | 'set'>,
  page: Page<N>,
): void {
  const formActionOrigins = (page.formTargets ?? []).flatMap((target) => {
    const source = target === undefined ? undefined : formActionSource(target);
    return source === undefined ? [] : [source];
  });
  ctx.status = page.status;
  ctx.type = 'html';
  ctx.set('cache-control', 'no-store');
  ctx.set('content-security-policy', contentSecurityPolicy({ formActionOrigins }));
  ctx.body = renderPage(
    page.name,
    {
      locale: page.locale,
      tenantName: page.tenant?.name,
      brand: lookOf(page.tenant),
      applicationName: page.applicationName,
      requestId: page.requestId,
      assetsPath,
      languageSwitch: page.languageSwitch,
    },
    page.model,
  );
}

/** What the address asks, then what was chosen before, then the person's, then what the browser prefers, then the tenant's. */
export function localeOf(
  ctx: Context,
  tenant: Pick<TenantRow, 'locale'>,
  { uiLocales, profile }: { readonly uiLocales?: string | undefined; readonly profile?: string | undefined } = {},
): Locale {
  const asked = typeof ctx.query['ui_locales'] === 'string' ? ctx.query['ui_locales'] : undefined;
  return chooseLocale({
    uiLocales: asked ?? ctx.cookies.get(localeCookie) ?? uiLocales,
    profile,
    acceptLanguage: ctx.get('accept-language'),
    tenantDefault: tenant.locale,
  });
}

/** Keeps a language somebody chose, for this tenant's pages. */
export function rememberLocale(
  ctx: Context,
  { locale, path, secure }: { locale: Locale; path: string; secure: boolean },
): void {
  ctx.cookies.set(localeCookie, locale, {
    path,
    httpOnly: true,
    sameSite: 'lax',
    secure,
    signed: false,
    overwrite: true,
  });
}

export interface FormTokens {
  /** A token for forms about `subject` (an interaction, a session …). */
  issue(subject: string): string;
  accepts(token: string | undefined, subject: string): boolean;
}

/** @param keys The first makes tokens, all of them check. */
export function createFormTokens(keys: readonly Buffer[]): FormTokens {
  const make = (key: Buffer, subject: string): Buffer => createHmac('sha256', key).update(subject).digest();
  const [first] = keys;
  if (first === undefined) throw new Error('form tokens need a key');
  return {
    issue: (subject) => make(first, subject).toString('base64url'),
    accepts(token, subject) {
      const presented = Buffer.from(token ?? '', 'base64url');
      return keys.some((key) => {
        const expected = make(key, subject);
        return presented.length === expected.length && timingSafeEqual(presented, expected);
      });
    },
  };
}

/** Whether the browser itself says that a form was sent from another site (Fetch Metadata, RFC 6454). */
export function isCrossSite(headers: IncomingHttpHeaders, publicUrl: string): boolean {
  const site = headers['sec-fetch-site'] ?? '';
  if (site !== '' && site !== 'same-origin' && site !== 'none') return true;
  const origin = headers.origin ?? '';
  return origin !== '' && origin !== publicUrl;
}
