/** The first page of the account: who is signed in here, and where everything else is. */

import {
  displayName,
  type FactView,
  type PageContext,
  type PageView,
  presentMoment,
  tenantOf,
} from '../kit/page_shell.ts';
import { type AccountArea, type AccountModel, accountAddress, accountAreas, accountView } from './account_frame.ts';

export interface OverviewModel extends AccountModel {
  readonly email: string;
  /** Given and family name, when there are any. */
  readonly name?: string | undefined;
  readonly memberSince: Date;
  readonly lastSignInAt?: Date | undefined;
  /** The account ends then, unless its owner thinks better of it. */
  readonly deletionDueAt?: Date | undefined;
  readonly notice?: 'deletion_withdrawn' | undefined;
}

export const accountPages = { account: presentOverview };

function presentOverview(model: OverviewModel, context: PageContext): PageView {
  const { shell, t } = context;
  const facts: readonly FactView[] = [
    { label: t('account.email'), text: displayName(model.email) },
    ...(model.name === undefined ? [] : [{ label: t('account.name'), text: displayName(model.name) }]),
    { label: t('account.member_since'), moment: presentMoment(model.memberSince, shell) },
    ...(model.lastSignInAt === undefined
      ? []
      : [{ label: t('account.last_sign_in'), moment: presentMoment(model.lastSignInAt, shell) }]),
  ];
  return {
    ...accountView(model, 'overview', context),
    heading: t('account.heading', { tenant: tenantOf(shell) }),
    failed: false,
    scripts: [],
    notice: model.notice === undefined ? undefined : t(`account.notice.${model.notice}`),
    facts,
    ending:
      model.deletionDueAt === undefined
        ? undefined
        : { due: presentMoment(model.deletionDueAt, shell), address: accountAddress(model.base, 'delete') },
    areas: accountAreas
      .filter((area) => area !== 'overview')
      .flatMap((area: AccountArea) => {
        const address = accountAddress(model.base, area);
        if (address === undefined) return [];
        return [{ label: t(`account.area.${area}`), address, detail: t(`account.about.${area}`) }];
      }),
  };
}
