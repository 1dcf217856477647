/** The page with the browsers in which a person is signed in, each of which they can sign out. */

import { displayName, type EntryView, type PageContext, type PageView, presentMoment } from '../kit/page_shell.ts';
import { type AccountModel, accountView, nameOfBrowser } from './account_frame.ts';

export interface OwnSessionEntry {
  readonly id: string;
  readonly isThis: boolean;
  readonly userAgent?: string | undefined;
  readonly address?: string | undefined;
  readonly createdAt: Date;
  readonly lastUsedAt: Date;
  readonly applications: readonly string[];
}

export interface OwnSessionsModel extends AccountModel {
  readonly action: string;
  readonly csrf: string;
  readonly sessions: readonly OwnSessionEntry[];
  readonly notice?: 'ended' | 'others_ended' | 'gone' | undefined;
}

export const ownSessionsPages = { account_sessions: presentOwnSessions };

function presentOwnSessions(model: OwnSessionsModel, context: PageContext): PageView {
  const { shell, t } = context;
  const { action, csrf } = model;
  const busy = t('account_sessions.busy');
  const others = model.sessions.filter(({ isThis }) => !isThis);
  const entries: readonly EntryView[] = model.sessions.map((session, index) => ({
    id: `session-${index + 1}`,
    name: nameOfBrowser(session.userAgent, t),
    tag: session.isThis ? t('account_sessions.this') : undefined,
    lines: [
      { text: t('account_sessions.last_used'), moment: presentMoment(session.lastUsedAt, shell) },
      { text: t('account_sessions.since'), moment: presentMoment(session.createdAt, shell) },
      ...(session.address === undefined ? [] : [{ text: t('account_sessions.address', { address: session.address }) }]),
      ...(session.applications.length === 0
        ? []
        : [{ text: t('account_sessions.applications', { names: session.applications.map(displayName).join(', ') }) }]),
    ],
    deed: session.isThis
      ? undefined
      : { action, csrf, busy, label: t('account_sessions.end'), fields: [['session', session.id]] },
  }));
  return {
    ...accountView(model, 'sessions', context),
    failed: false,
    scripts: ['submit_guard'],
    intro: t('account_sessions.intro'),
    notice: model.notice === undefined ? undefined : t(`account_sessions.notice.${model.notice}`),
    entries,
    deed:
      others.length === 0
        ? undefined
        : {
            action,
            csrf,
            busy,
            label: t('account_sessions.end_others'),
            fields: [['others', 'yes']],
            warning: t('account_sessions.end_others_warning'),
          },
  };
}
