/** The page with what applications ask of a person at another device (CIBA). */
import {
  displayName,
  type PageContext,
  type PageView,
  presentMoment,
  safeAddress,
  tenantOf,
} from '../kit/page_shell.ts';
import { type NamedScope, presentScope } from '../kit/scope_words.ts';

export type ApprovalNotice = 'allowed' | 'denied' | 'gone';

export interface ApprovalRequest {
  readonly id: string;
  readonly action: string;
  readonly csrf: string;
  readonly applicationName: string;
  /** CIBA §7.1 `binding_message`. */
  readonly bindingMessage?: string | undefined;
  readonly scopes: readonly NamedScope[];
  readonly askedAt: Date;
  readonly expiresAt: Date;
}

export interface ApprovalsModel {
  /** Of this page. */
  readonly address: string;
  /** The e-mail address the person is signed in with. */
  readonly account: string;
  readonly requests: readonly ApprovalRequest[];
  readonly notice?: ApprovalNotice | undefined;
}

export const approvalPages = { approvals: presentApprovals };

function presentApprovals(model: ApprovalsModel, { shell, t }: PageContext): PageView {
  return {
    step: t('approvals.step'),
    heading: t('approvals.heading'),
    failed: model.notice === 'gone',
    scripts: ['submit_guard'],
    account: displayName(model.account),
    notice: model.notice === undefined ? undefined : t(`approvals.notice.${model.notice}`),
    nothing: t('approvals.nothing', { tenant: tenantOf(shell) }),
    reload: safeAddress(model.address),
    requests: model.requests.map((request, index) => {
      const application = displayName(request.applicationName);
      return {
        label: `request-${index + 1}`,
        heading: t('consent.heading', { application }),
        bindingMessage: request.bindingMessage === undefined ? undefined : displayName(request.bindingMessage),
        asked: presentMoment(request.askedAt, shell),
        expires: presentMoment(request.expiresAt, shell),
        scopesIntro: t('consent.scopes', { application }),
        scopes: request.scopes.map((scope) => presentScope(scope, t)),
        action: request.action,
        csrf: request.csrf,
      };
    }),
  };
}
