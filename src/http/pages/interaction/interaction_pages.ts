/**
 * The steps of an authorization request that wait for a person: signing in, and consent. Each answer goes home to the engine, which
 * decides what comes next; no step knows another.
 */
import type Router from '@koa/router';
import { z } from 'zod';
import { accountPath } from '#src/oidc/provider.ts';
import { readAccount } from '#src/storage/tables/people.ts';
import { ProblemRaised, problems } from '../../problems.ts';
import { readFormBody } from '../kit/form_body.ts';
import { createFormTokens, isCrossSite, showPage } from '../kit/page_kit.ts';
import {
  answer,
  commonOf,
  field,
  findStep,
  type InteractionPagesOptions,
  keepLocale,
  localeField,
  type PageState,
  parseForm,
  type Step,
  showExpired,
} from './interaction_step.ts';
import { answerSignInStep, showSignInStep } from './sign_in_pages.ts';

const consentForm = z.strictObject({
  csrf: field,
  decision: z.enum(['allow', 'deny']).optional(),
  ui_locales: localeField,
});

export function mountInteractionPages(router: Router<PageState>, options: InteractionPagesOptions): void {
  const { config } = options;
  const formTokens = createFormTokens(options.sealer.deriveAll('form-tokens'));
  router.get('/t/:slug/interaction/:uid', async (ctx) => {
    const step = await findStep(ctx, ctx.state, options, formTokens);
    if (step === undefined) return;
    if (typeof ctx.query['ui_locales'] === 'string') keepLocale(step);
    if (step.interaction.prompt !== 'consent') return showSignInStep(step);
    return ctx.query['again'] === undefined ? showConsent(step) : showSignInStep(asSomebodyElse(step));
  });

  router.post('/t/:slug/interaction/:uid', async (ctx) => {
    if (isCrossSite(ctx.headers, config.http.publicUrl)) throw new ProblemRaised(problems.crossSite());
    const fields = await readFormBody(ctx.req, config.http.bodyLimitBytes);
    const step = await findStep(ctx, ctx.state, options, formTokens);
    if (step === undefined) return;
    if (step.interaction.prompt !== 'consent') return answerSignInStep(step, fields);
    const other = asSomebodyElse(step);
    const isOther = formTokens.accepts(fields['csrf'], other.subject);
    return isOther ? answerSignInStep(other, fields) : answerConsent(step, parseForm(consentForm, fields));
  });
}

/**
 * Who is asked for consent may sign in as somebody else first. Those forms have tokens of their own: what is sent from the consent page
 * is an answer to it and never a try at a password.
 */
function asSomebodyElse(step: Step): Step {
  return { ...step, subject: `${step.subject}:somebody-else` };
}

async function answerConsent(step: Step, form: z.infer<typeof consentForm>): Promise<void> {
  if (form.ui_locales !== undefined) return showConsent(keepLocale({ ...step, locale: form.ui_locales }));
  if (!step.formTokens.accepts(form.csrf, step.subject)) throw new ProblemRaised(problems.staleForm());
  if (form.decision === undefined) throw new ProblemRaised(problems.malformed('The form says neither yes nor no.'));
  return answer(step, { kind: form.decision === 'allow' ? 'consented' : 'denied' });
}

async function showConsent(step: Step): Promise<void> {
  const { ctx, state, options, interaction, action } = step;
  const tenant = options.signInServices.database.tenant(state.engine.tenant.id);
  const account = await readAccount(tenant, interaction.accountId ?? '');
  if (account === undefined) return showExpired(ctx, state, interaction.application);
  showPage(ctx, {
    name: 'consent',
    model: {
      action,
      csrf: step.formTokens.issue(step.subject),
      applicationName: interaction.application.name,
      account: account.email,
      scopes: interaction.missingScopes,
      redirectUri: interaction.redirectUri,
      isKnown: interaction.isConsentKnown,
      otherAccountAddress: `${new URL(action).pathname}?again`,
      accountAddress: `/t/${state.engine.tenant.slug}${accountPath}`,
    },
    languageSwitch: { kind: 'link', address: new URL(action).pathname },
    ...commonOf(step),
  });
}
