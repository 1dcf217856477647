/** The page at a tenant's own address, for who came there without an application. */
import { type PageContext, type PageView, safeAddress, tenantOf } from './page_shell.ts';

export interface HomeModel {
  readonly accountAddress?: string | undefined;
}

export const homePages = { home: presentHome };

function presentHome(model: HomeModel, { shell, t }: PageContext): PageView {
  const tenant = tenantOf(shell);
  return {
    step: t('home.step'),
    heading: t('home.heading', { tenant }),
    failed: false,
    scripts: [],
    text: t('home.text', { tenant }),
    account: safeAddress(model.accountAddress),
  };
}
