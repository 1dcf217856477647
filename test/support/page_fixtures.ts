/**
 * Every hosted page in every state worth looking at: at first, after a mistake, after it did what it is for, and more. A page
 * that is missing here fails the types and the tests. Fixtures of a noun are in test/support/pages/<noun>_fixtures.ts.
 */
import type { Context } from 'koa';
import { lookOf } from '#src/http/pages/kit/brand.ts';
import { showPage } from '#src/http/pages/kit/page_kit.ts';
import type { PageName } from '#src/http/pages/kit/page_models.ts';
import type { PageShell } from '#src/http/pages/kit/page_shell.ts';
import { renderPage } from '#src/http/pages/kit/render.ts';
import type { Locale } from '#src/http/pages/kit/translations.ts';
import { accountFixtures } from './pages/account_fixtures.ts';
import { approvalFixtures } from './pages/approval_fixtures.ts';
import { consentFixtures } from './pages/consent_fixtures.ts';
import { deviceFixtures } from './pages/device_fixtures.ts';
import { factorFixtures } from './pages/factor_fixtures.ts';
import { homeFixtures } from './pages/home_fixtures.ts';
import { type PageFixtures, type PageState, type PageStates, shellFor } from './pages/page_state.ts';
import { problemFixtures } from './pages/problem_fixtures.ts';
import { secondFactorFixtures } from './pages/second_factor_fixtures.ts';
import { signInFixtures } from './pages/sign_in_fixtures.ts';
import { signOutFixtures } from './pages/sign_out_fixtures.ts';
import { visitorFixtures } from './pages/visitor_fixtures.ts';

// One line for each noun, in the order of the alphabet, as in src/http/pages/kit/page_models.ts.
export const pageFixtures: PageFixtures = {
  ...accountFixtures,
  ...approvalFixtures,
  ...consentFixtures,
  ...deviceFixtures,
  ...factorFixtures,
  ...homeFixtures,
  ...problemFixtures,
  ...secondFactorFixtures,
  ...signInFixtures,
  ...signOutFixtures,
  ...visitorFixtures,
};

export interface Shown {
  /** Reads as a sentence in a test's name: "sign_in error". */
  readonly name: string;
  readonly page: PageName;
  readonly state: string;
  /** Of its tenant. */
  readonly color: string | undefined;
  /** The same with every text of its model, its shell and its brand changed; `path` says which. */
  withTexts(change: (text: string, path: string) => string): Shown;
  render(shell: PageShell): string;
  /** Answers as the product does, with the page's own policy. */
  show(ctx: Context, locale: Locale): void;
}

const pageNames = Object.keys(pageFixtures) as readonly PageName[]; // the keys of a record typed by PageName

export const pageStates: readonly Shown[] = pageNames.flatMap((page) => statesOf(page, pageFixtures[page]));

/** The state with that name. Throws when there is none: a test would look at nothing. */
export function pageState(name: string): Shown {
  const found = pageStates.find((state) => state.name === name);
  if (found === undefined) throw new Error(`no fixture is called "${name}"`);
  return found;
}

function statesOf<N extends PageName>(
  page: N,
  { initial, error, success, more = {} }: PageStates<N>,
): readonly Shown[] {
  const states = Object.entries({ initial, error, success, ...more });
  return states.flatMap(([state, shown]) => ('without' in shown ? [] : [shownAs(page, state, shown)]));
}

function shownAs<N extends PageName>(
  page: N,
  state: string,
  { model, shell: changes = {}, brand = {} }: PageState<N>,
): Shown {
  return {
    name: `${page} ${state}`,
    page,
    state,
    color: brand.color,
    withTexts(change) {
      const shell = mapTexts(shellFor('nl', changes), change, 'shell');
      const { locale: _language, assetsPath: _served, languageSwitch: _links, ...texts } = shell;
      const alt = brand.logo === undefined ? {} : { logo: { ...brand.logo, alt: change(brand.logo.alt, 'brand.alt') } };
      return shownAs(page, state, {
        model: mapTexts(model, change, 'model'),
        shell: { ...changes, ...texts },
        brand: { ...brand, ...alt },
      });
    },
    render: (shell) =>
      renderPage(page, { ...shell, ...changes, brand: lookOf({ name: '', slug: 'linde', brand }) }, model),
    show(ctx, locale) {
      const { tenantName, assetsPath: _served, ...shell } = shellFor(locale, changes);
      const tenant = tenantName === undefined ? undefined : { name: tenantName, slug: 'linde', brand };
      showPage(ctx, { name: page, model, status: 200, ...shell, tenant });
    },
  };
}

function mapTexts<Value>(value: Value, change: (text: string, path: string) => string, path: string): Value {
  const mapped = (at: unknown, where: string): unknown => {
    if (typeof at === 'string') return change(at, where);
    if (Array.isArray(at)) return at.map((item) => mapped(item, where));
    if (typeof at !== 'object' || at === null || at instanceof Date) return at;
    return Object.fromEntries(Object.entries(at).map(([name, inner]) => [name, mapped(inner, `${where}.${name}`)]));
  };
  return mapped(value, path) as Value; // of the same shape: texts stay texts
}
