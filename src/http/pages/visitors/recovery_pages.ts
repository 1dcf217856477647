/** `/forgot` and `/reset`: how somebody who forgot their password chooses another one. Neither signs anybody in. */
import type Router from '@koa/router';
import { z } from 'zod';
import { completeReset, isResetAlive, requestReset } from '#src/flows/proofs/recover.ts';
import { field, localeField, type PageState } from '../interaction/interaction_step.ts';
import { showFinished, showOver } from './registration_pages.ts';
import type { ForgotModel, ResetModel } from './visitor_models.ts';
import {
  createVisitorPages,
  interactionIn,
  signInAddressOf,
  type Visit,
  type VisitorPagesKit,
  type VisitorPagesOptions,
  waitingFor,
} from './visitor_pages.ts';

const forgotForm = z.strictObject({
  csrf: field.default(''),
  email: field.default(''),
  interaction: field.optional(),
  ui_locales: localeField,
});

const resetForm = z.strictObject({
  csrf: field.default(''),
  token: field.optional(),
  code: field.default(''),
  new_password: field.default(''),
  ui_locales: localeField,
});

export function mountRecoveryPages(router: Router<PageState>, options: VisitorPagesOptions): void {
  const kit = createVisitorPages(options);

  router.get('/t/:slug/forgot', (ctx) => {
    const visit = kit.open(ctx, ctx.state, 'forgot');
    showForgot(kit, visit, { interaction: interactionIn(ctx.query['interaction']) });
  });

  router.post('/t/:slug/forgot', async (ctx) => {
    const { visit, form, isFresh } = await kit.read(ctx, ctx.state, { page: 'forgot', schema: forgotForm });
    const { email } = form;
    const interaction = interactionIn(form.interaction);
    if (form.ui_locales !== undefined) return showForgot(kit, visit, { email, interaction });
    if (!isFresh) return showForgot(kit, visit, { email, interaction, error: 'stale_form', status: 403 });
    const asked = await requestReset(visit.context, { tenant: visit.tenant, email, interaction });
    switch (asked.outcome) {
      case 'sent':
        kit.keepHandle(visit, { page: 'reset', ...asked });
        return kit.goOn(visit, { page: 'reset' });
      case 'missing':
      case 'invalid':
        return showForgot(kit, visit, { email, interaction, error: asked.outcome, status: 400 });
      case 'throttled':
        return showForgot(kit, visit, { email, interaction, ...waitingFor(visit, asked) });
      default: {
        const never: never = asked;
        return never;
      }
    }
  });

  router.get('/t/:slug/reset', (ctx) => {
    const visit = kit.open(ctx, ctx.state, 'reset');
    const { done, interaction, token } = ctx.query;
    if (done === 'reset') return showFinished(kit, visit, { what: 'reset', interaction });
    return showReset(kit, visit, { token: typeof token === 'string' ? token : undefined });
  });

  router.post('/t/:slug/reset', async (ctx) => {
    const { visit, form, isFresh } = await kit.read(ctx, ctx.state, { page: 'reset', schema: resetForm });
    const { token, code, new_password: password } = form;
    if (form.ui_locales !== undefined) return showReset(kit, visit, { token });
    if (!isFresh) return showReset(kit, visit, { token, error: 'stale_form', status: 403 });
    const handle = kit.handleOf(visit);
    const isWithoutCode = token === undefined && code.trim() === '';
    if (isWithoutCode || password === '')
      return showReset(kit, visit, {
        token,
        error: isWithoutCode ? 'missing_code' : undefined,
        passwordProblem: password === '' ? 'missing' : undefined,
        status: 400,
      });
    if (token === undefined && handle === undefined) return showOver(kit, visit);
    const shown =
      token === undefined
        ? ({ kind: 'code', handle: handle ?? '', code } as const)
        : ({ kind: 'link', token, handle } as const);
    const reset = await completeReset(visit.context, { tenant: visit.tenant, shown, password });
    switch (reset.outcome) {
      case 'reset': {
        const back = interactionIn(reset.interaction);
        kit.keepAddress(visit, reset.address);
        const query = { done: 'reset', ...(back === undefined ? {} : { interaction: back }) };
        return kit.goOn(visit, { page: 'reset', query });
      }
      case 'unacceptable':
        return showReset(kit, visit, { token, passwordProblem: reset.reason, status: 400 });
      case 'wrong_code':
        return showReset(kit, visit, { token, error: 'wrong_code', status: 400 });
      case 'throttled':
      case 'busy':
        return showReset(kit, visit, { token, ...waitingFor(visit, reset) });
      case 'gone':
        return showOver(kit, visit);
      default: {
        const never: never = reset;
        return never;
      }
    }
  });
}

function showForgot(
  kit: VisitorPagesKit,
  visit: Visit,
  { status, ...more }: Pick<ForgotModel, 'email' | 'interaction' | 'error' | 'retryAfterMinutes'> & { status?: number },
): void {
  const signInAddress = signInAddressOf(visit, more.interaction);
  const model = { action: visit.address, csrf: visit.csrf, signInAddress, ...more };
  kit.show(visit, { name: 'forgot', model, status, languageSwitch: { kind: 'form' } });
}

async function showReset(
  kit: VisitorPagesKit,
  visit: Visit,
  {
    token,
    status,
    ...again
  }: Pick<ResetModel, 'token' | 'error' | 'passwordProblem' | 'retryAfterMinutes'> & { readonly status?: number },
): Promise<void> {
  const handle = kit.handleOf(visit);
  const by = token === undefined ? (handle === undefined ? undefined : { handle }) : { token };
  if (by === undefined || !(await isResetAlive(visit.context, { tenant: visit.tenant, ...by })))
    return showOver(kit, visit);
  const againAddress = `${new URL(visit.address).pathname.slice(0, -visit.page.length)}forgot`;
  const model = { action: visit.address, csrf: visit.csrf, token, rules: visit.tenant.policy, againAddress, ...again };
  kit.show(visit, { name: 'reset', model, status, languageSwitch: { kind: 'form' } });
}
