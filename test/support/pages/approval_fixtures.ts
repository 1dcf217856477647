/** The page of requests from other devices, in every state. */
import type { ApprovalRequest, ApprovalsModel } from '#src/http/pages/approvals/approval_models.ts';
import { consent } from './consent_fixtures.ts';
import { account, application, at, csrf, type PageFixtures } from './page_state.ts';

const request: ApprovalRequest = {
  id: 'abc',
  action: '/t/linde/approvals/abc',
  csrf,
  applicationName: application.name,
  bindingMessage: 'Zonnebloem 4711',
  scopes: consent.scopes,
  askedAt: at,
  expiresAt: new Date(at.getTime() + 300_000),
};
const approvals: ApprovalsModel = {
  address: '/t/linde/approvals',
  account,
  requests: [request, { ...request, id: 'def', bindingMessage: undefined, scopes: [{ name: 'openid' }] }],
};

export const approvalFixtures = {
  approvals: {
    initial: { model: approvals },
    error: { model: { ...approvals, requests: [], notice: 'gone' } },
    success: { model: { ...approvals, requests: [], notice: 'allowed' } },
    more: {
      'with nothing to answer': { model: { ...approvals, requests: [] } },
      'after one was denied': { model: { ...approvals, notice: 'denied' } },
    },
  },
} satisfies Pick<PageFixtures, 'approvals'>;
