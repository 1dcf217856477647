/**
 * Where somebody answers what an application asks of them at another device (CIBA). There is nothing at these addresses where the
 * tenant has it switched off. Whoever is not signed in goes through the tenant's ordinary sign-in and comes back.
 */
import type Router from '@koa/router';
import type { Context } from 'koa';
import { z } from 'zod';
import type { Approvals } from '#src/oidc/approvals.ts';
import { approvalsPath, signedInPaths } from '#src/oidc/provider.ts';
import { readAccount } from '#src/storage/tables/people.ts';
import { ProblemRaised, problems } from '../../problems.ts';
import {
  goTo,
  type InteractionPagesOptions,
  type PageState,
  showWithoutCookies,
} from '../interaction/interaction_step.ts';
import { readFormBody } from '../kit/form_body.ts';
import { createFormTokens, isCrossSite, localeOf, rememberLocale, showPage } from '../kit/page_kit.ts';
import type { ApprovalNotice } from './approval_models.ts';

const longestToken = 100;
const answerForm = z.strictObject({ csrf: z.string().max(longestToken), decision: z.enum(['allow', 'deny']) });
const notices: ReadonlySet<unknown> = new Set(['allowed', 'denied']);

interface Visit {
  readonly ctx: Context;
  readonly state: PageState;
  readonly approvals: Approvals;
}

export function mountApprovalPages(router: Router<PageState>, options: InteractionPagesOptions): void {
  const { config, signInServices } = options;
  const secure = config.http.publicUrl.startsWith('https:');
  const formTokens = createFormTokens(options.sealer.deriveAll('form-tokens'));
  const subjectOf = ({ state, approvals }: Visit, id: string): string =>
    `${state.engine.tenant.id}:approval:${approvals.accountId}:${approvals.sessionUid}:${id}`;

  router.get(`/t/:slug${approvalsPath}`, async (ctx) => {
    if (!ctx.state.engine.protocol.ciba) return;
    const approvals = await ctx.state.engine.findApprovals(ctx.state.exchange);
    if (approvals === undefined) return goTo(ctx, ctx.state.engine.signInAddress({ returnTo: 'approvals' }));
    const { answered } = ctx.query;
    const notice = notices.has(answered) ? (answered as ApprovalNotice) : undefined; // just looked up
    await show({ ctx, state: ctx.state, approvals }, { status: 200, notice });
  });

  // The address sign-in comes back to holds a code: nobody can use it, but it need not stay in sight either.
  router.get(`/t/:slug${signedInPaths.approvals}`, async (ctx) => {
    const { engine, exchange } = ctx.state;
    if (!engine.protocol.ciba) return;
    const approvals = await engine.findApprovals(exchange);
    if (approvals !== undefined) return goTo(ctx, addressOf(ctx.state));
    // To send them to sign-in again would send them in circles.
    showWithoutCookies(ctx, ctx.state, options);
  });

  router.post(`/t/:slug${approvalsPath}/:id`, async (ctx) => {
    const { engine, exchange } = ctx.state;
    if (!engine.protocol.ciba) return;
    if (isCrossSite(ctx.headers, config.http.publicUrl)) throw new ProblemRaised(problems.crossSite());
    const fields = answerForm.safeParse(await readFormBody(ctx.req, config.http.bodyLimitBytes));
    if (!fields.success) throw new ProblemRaised(problems.malformed('The form is not as expected.'));
    const approvals = await engine.findApprovals(exchange);
    if (approvals === undefined) throw new ProblemRaised(problems.staleForm());
    const id = String(ctx.params['id']);
    const visit = { ctx, state: ctx.state, approvals };
    const { csrf, decision } = fields.data;
    if (!formTokens.accepts(csrf, subjectOf(visit, id))) throw new ProblemRaised(problems.staleForm());
    const answered = await engine.answerApproval(exchange, { id, decision });
    if (answered !== 'gone') return goTo(ctx, `${addressOf(ctx.state)}?answered=${answered}`);
    const now = await engine.findApprovals(exchange);
    if (now === undefined) return goTo(ctx, engine.signInAddress({ returnTo: 'approvals' }));
    await show({ ...visit, approvals: now }, { status: 400, notice: 'gone' });
  });

  function addressOf({ engine }: PageState): string {
    return `${config.http.publicUrl}/t/${engine.tenant.slug}${approvalsPath}`;
  }

  async function show(
    visit: Visit,
    { status, notice }: { readonly status: number; readonly notice: ApprovalNotice | undefined },
  ): Promise<void> {
    const { ctx, state, approvals } = visit;
    const { tenant } = state.engine;
    const account = await readAccount(signInServices.database.tenant(tenant.id), approvals.accountId);
    if (account === undefined) return goTo(ctx, state.engine.signInAddress({ returnTo: 'approvals' }));
    const locale = localeOf(ctx, tenant, { profile: account.locale ?? undefined });
    if (typeof ctx.query['ui_locales'] === 'string') rememberLocale(ctx, { locale, path: `/t/${tenant.slug}`, secure });
    const address = addressOf(state);
    const { pathname } = new URL(address);
    showPage(ctx, {
      name: 'approvals',
      model: {
        address: pathname,
        account: account.email,
        notice,
        requests: approvals.pending.map((pending) => ({
          ...pending,
          action: `${address}/${pending.id}`,
          csrf: formTokens.issue(subjectOf(visit, pending.id)),
        })),
      },
      status,
      locale,
      tenant,
      requestId: state.exchange.requestId,
      languageSwitch: { kind: 'link', address: pathname },
    });
  }
}
