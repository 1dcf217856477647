/** The page with the applications that a person has allowed something, each of which they can take it back from. */

import { displayName, type PageContext, type PageView, presentMoment, tenantOf } from '../kit/page_shell.ts';
import { type NamedScope, presentScope } from '../kit/scope_words.ts';
import { type AccountModel, accountView } from './account_frame.ts';

export interface OwnApplication {
  readonly clientId: string;
  readonly name: string;
  readonly rights: readonly NamedScope[];
  readonly grantedAt: Date;
}

export interface OwnApplicationsModel extends AccountModel {
  readonly action: string;
  readonly csrf: string;
  readonly applications: readonly OwnApplication[];
  readonly notice?: 'revoked' | 'gone' | undefined;
}

export const ownApplicationsPages = { account_applications: presentOwnApplications };

function presentOwnApplications(model: OwnApplicationsModel, context: PageContext): PageView {
  const { shell, t } = context;
  return {
    ...accountView(model, 'applications', context),
    failed: false,
    scripts: ['submit_guard'],
    intro: t('account_applications.intro', { tenant: tenantOf(shell) }),
    notice: model.notice === undefined ? undefined : t(`account_applications.notice.${model.notice}`),
    nothing: model.applications.length === 0 ? t('account_applications.nothing') : undefined,
    applications: model.applications.map(({ clientId, name, rights, grantedAt }, index) => ({
      label: `application-${index + 1}`,
      name: displayName(name) || clientId,
      granted: presentMoment(grantedAt, shell),
      scopes: rights.map((right) => presentScope(right, t)),
      action: model.action,
      csrf: model.csrf,
      clientId,
    })),
  };
}
