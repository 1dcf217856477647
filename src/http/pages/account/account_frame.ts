/** What the person's own pages look like together: the way from one to another, and how a browser is named. */
import Bowser from 'bowser';
import { accountPath } from '#src/oidc/provider.ts';
import { displayName, type Navigation, type PageContext, safeAddress } from '../kit/page_shell.ts';
import type { Translate } from '../kit/translations.ts';

/** In the order in which they are shown; each is its address below `accountPath`. */
export const accountAreas = [
  'overview',
  'profile',
  'email',
  'password',
  'second-factor',
  'sessions',
  'applications',
  'devices',
  'api-keys',
  'activity',
  'export',
  'delete',
] as const;

export type AccountArea = (typeof accountAreas)[number];

/** What every page of the account is given. */
export interface AccountModel {
  /** The path of the tenant's issuer: `/t/acme`. */
  readonly base: string;
}

/** The pages beside this one. */
export function accountNavigation({ base }: AccountModel, current: AccountArea, t: Translate): Navigation {
  return {
    label: t('account.navigation'),
    links: accountAreas.flatMap((area) => {
      const address = accountAddress(base, area);
      return address === undefined ? [] : [{ label: t(`account.area.${area}`), address, current: area === current }];
    }),
  };
}

export function accountAddress(base: string, area: AccountArea): string | undefined {
  return safeAddress(area === 'overview' ? base + accountPath : `${base}${accountPath}/${area}`);
}

/** What every page of the account begins with. */
export function accountView(model: AccountModel, area: AccountArea, { t }: PageContext) {
  return {
    step: t(`account.area.${area}`),
    heading: t(`account.area.${area}`),
    navigation: accountNavigation(model, area, t),
    wide: true,
  };
}

/** "Chrome op Windows", whatever else the browser said of itself. */
export function nameOfBrowser(userAgent: string | undefined, t: Translate): string {
  const { browser, os } = userAgent === undefined || userAgent === '' ? noBrowser : Bowser.parse(userAgent);
  const [name, system] = [displayName(browser.name ?? ''), displayName(os.name ?? '')];
  if (name === '') return t('account.unknown_browser');
  return system === '' ? name : t('account.browser', { browser: name, system });
}

const noBrowser: { readonly browser: { readonly name?: string }; readonly os: { readonly name?: string } } = {
  browser: {},
  os: {},
};
