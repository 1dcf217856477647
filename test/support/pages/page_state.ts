/** What a page looks like at one moment, for the tests that look at every page: its model, and what its shell says differently. */
import type { TenantBrand } from '#src/domain/brand.ts';
import type { PageModels, PageName } from '#src/http/pages/kit/page_models.ts';
import type { PageShell } from '#src/http/pages/kit/page_shell.ts';
import type { Locale } from '#src/http/pages/kit/translations.ts';

export interface PageState<N extends PageName> {
  readonly model: PageModels[N];
  readonly shell?: Partial<PageShell>;
  /** As it is stored with the tenant. */
  readonly brand?: TenantBrand;
}

/** A state that a page cannot be in, and why. */
export interface Without {
  readonly without: string;
}

/** Every page is looked at as it is first seen, after a mistake, and after it did what it is for. */
export interface PageStates<N extends PageName> {
  readonly initial: PageState<N>;
  readonly error: PageState<N> | Without;
  readonly success: PageState<N> | Without;
  /** By a name that reads on after the page's: "sign_in while throttled". */
  readonly more?: Readonly<Record<string, PageState<N>>>;
}

export type PageFixtures = { readonly [N in PageName]: PageStates<N> };

export const application = { name: 'Zorgplanner', address: 'https://planner.example/start' };
export const account = 'ada.de.vries@linde.example';
export const csrf = 'csrf-value';
export const at = new Date('2026-11-23T13:04:05Z');

/** The page of a Dutch care tenant. */
export function shellFor(locale: Locale, changes: Partial<PageShell> = {}): PageShell {
  return {
    locale,
    tenantName: 'Zorggroep De Linde',
    applicationName: application.name,
    requestId: '0193f0a2-7c1e-7f6a-9b7e-4c1d2e3f4a5b',
    assetsPath: '/assets',
    languageSwitch: { kind: 'link', address: '/t/linde/interaction/abc?step=1' },
    ...changes,
  };
}
