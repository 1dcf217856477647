/** The page that tells a person what happened to their account, in plain words. */
import type { EventType } from '#src/domain/event.ts';
import { displayName, type PageContext, type PageView, presentMoment, safeAddress } from '../kit/page_shell.ts';
import { type AccountModel, accountView, nameOfBrowser } from './account_frame.ts';

/** What there are words for: what people know of or should know of. `account_activity.event.<name with _ for .>`. */
export const activityTypes = [
  'api_key.created',
  'api_key.revoked',
  'backup_code.renewed',
  'backup_code.used',
  'consent.granted',
  'consent.revoked',
  'device.denied',
  'device.offered',
  'device.paired',
  'device.quarantined',
  'device.released',
  'device.revoked',
  'device.transferred',
  'email.change_requested',
  'email.changed',
  'email.verified',
  'grant.revoked',
  'invitation.accepted',
  'membership.added',
  'mfa.enrolled',
  'mfa.failed',
  'mfa.removed',
  'mfa.reset',
  'password.changed',
  'password.reset',
  'password.reset_requested',
  'remembered_device.removed',
  'role.assigned',
  'session.revoked',
  'token.reuse_detected',
  'user.created',
  'user.deletion_requested',
  'user.deletion_withdrawn',
  'user.disabled',
  'user.enabled',
  'user.exported',
  'user.locked',
  'user.registered',
  'user.sign_in_failed',
  'user.signed_in',
  'user.signed_out',
  'user.unlocked',
  'user.updated',
] as const satisfies readonly EventType[];

export interface Activity {
  readonly type: string;
  readonly at: Date;
  /** An administrator or the house itself did it. */
  readonly byOthers: boolean;
  readonly application?: string | undefined;
  readonly userAgent?: string | undefined;
  readonly address?: string | undefined;
}

export interface ActivityModel extends AccountModel {
  readonly days: number;
  readonly activities: readonly Activity[];
  /** Of the page with older ones. */
  readonly older?: string | undefined;
  /** Of the first page, when this is another. */
  readonly latest?: string | undefined;
}

export const activityPages = { account_activity: presentActivity };

function presentActivity(model: ActivityModel, context: PageContext): PageView {
  const { shell, t } = context;
  const presented = model.activities.map((activity) => {
    const what = t(`account_activity.event.${activity.type.replace('.', '_')}`);
    const application = displayName(activity.application ?? '');
    return {
      at: presentMoment(activity.at, shell),
      what: application === '' ? what : t('account_activity.at_application', { what, application }),
      browser: activity.byOthers ? t('account_activity.by_others') : nameOfBrowser(activity.userAgent, t),
      address: activity.byOthers ? '' : (activity.address ?? ''),
    };
  });
  return {
    ...accountView(model, 'activity', context),
    failed: false,
    scripts: [],
    intro: t('account_activity.intro', { count: model.days }),
    nothing: presented.length === 0 ? t('account_activity.nothing') : undefined,
    activities: presented,
    older: safeAddress(model.older),
    latest: safeAddress(model.latest),
  };
}
