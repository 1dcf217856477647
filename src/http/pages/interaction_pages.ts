/**
 * Sign-in and consent: the steps of an authorization request that wait for a person. Each answer goes home to the engine, which
 * decides what comes next; no step knows another.
 */
import type Router from '@koa/router';
import type { Context } from 'koa';
import { z } from 'zod';
import type { Config } from '#config/config.ts';
import { isStorableText } from '#src/domain/stored_text.ts';
import { type SignInServices, signIn } from '#src/flows/sign_in.ts';
import type { Sealer } from '#src/foundation/sealing.ts';
import { authenticationContexts } from '#src/oidc/provider.ts';
import type { InteractionAnswer, PendingInteraction, TenantEngine } from '#src/oidc/tenant_engine.ts';
import { readAccount } from '#src/storage/tables/people.ts';
import type { HttpExchange } from '../gates/exchange.ts';
import { ProblemRaised, problems } from '../problems.ts';
import { destinationOf } from './engine_pages.ts';
import { readFormBody } from './form_body.ts';
import { createFormTokens, type FormTokens, isCrossSite, localeOf, rememberLocale, showPage } from './page_kit.ts';
import type { SignInError } from './sign_in_models.ts';
import { type Locale, locales } from './translations.ts';

export interface PageState {
  readonly exchange: HttpExchange;
  readonly engine: TenantEngine;
}

export interface InteractionPagesOptions {
  readonly config: Config;
  readonly sealer: Sealer;
  readonly signInServices: SignInServices;
}

const maximumFieldLength = 2_000;
/** NUL cannot be stored, and a lone surrogate is no text. */
const field = z.string().max(maximumFieldLength).refine(isStorableText);
const locale = z.enum(locales).optional();
const signInForm = z.strictObject({
  csrf: field,
  email: field.default(''),
  password: field.default(''),
  ui_locales: locale,
});
const consentForm = z.strictObject({ csrf: field, decision: z.enum(['allow', 'deny']).optional(), ui_locales: locale });

export function mountInteractionPages(router: Router<PageState>, options: InteractionPagesOptions): void {
  const { config } = options;
  const formTokens = createFormTokens(options.sealer.deriveAll('form-tokens'));
  router.get('/t/:slug/interaction/:uid', async (ctx) => {
    const step = await findStep(ctx, ctx.state, options, formTokens);
    if (step === undefined) return;
    if (typeof ctx.query['ui_locales'] === 'string') keepLocale(step);
    await showStep(step, {});
  });

  router.post('/t/:slug/interaction/:uid', async (ctx) => {
    if (isCrossSite(ctx.headers, config.http.publicUrl)) throw new ProblemRaised(problems.crossSite());
    const fields = await readFormBody(ctx.req, config.http.bodyLimitBytes);
    const step = await findStep(ctx, ctx.state, options, formTokens);
    if (step === undefined) return;
    if (step.interaction.prompt === 'consent') await answerConsent(step, parse(consentForm, fields));
    else await answerSignIn(step, parse(signInForm, fields));
  });
}

/** One interaction in one request. */
interface Step {
  readonly ctx: Context;
  readonly state: PageState;
  readonly options: InteractionPagesOptions;
  readonly formTokens: FormTokens;
  readonly interaction: PendingInteraction;
  readonly subject: string;
  readonly locale: Locale;
}

async function findStep(
  ctx: Context,
  state: PageState,
  options: InteractionPagesOptions,
  formTokens: FormTokens,
): Promise<Step | undefined> {
  const uid = String(ctx['params']['uid']);
  const found = await state.engine.findInteraction(state.exchange, uid);
  if (found.outcome === 'expired') {
    showExpired(ctx, state, found.application);
    return undefined;
  }
  const { interaction } = found;
  const { tenant } = state.engine;
  const subject = `${tenant.id}:interaction:${uid}`;
  return {
    ctx,
    state,
    options,
    formTokens,
    interaction,
    subject,
    locale: localeOf(ctx, tenant, interaction.uiLocales),
  };
}

function showExpired(
  ctx: Context,
  { engine, exchange }: PageState,
  application: { name: string; url: string | undefined } | undefined,
): void {
  showPage(ctx, {
    name: 'expired',
    model: { application: destinationOf(application) },
    status: 400,
    locale: localeOf(ctx, engine.tenant),
    tenant: engine.tenant,
    applicationName: application?.name,
    requestId: exchange.requestId,
  });
}

async function answerSignIn(step: Step, form: z.infer<typeof signInForm>): Promise<void> {
  const { ctx, state, options, interaction } = step;
  if (form.ui_locales !== undefined)
    return showStep(keepLocale({ ...step, locale: form.ui_locales }), { email: form.email });
  if (!step.formTokens.accepts(form.csrf, step.subject))
    return showStep(step, { email: form.email, error: 'stale_form', status: 403 });
  const missing = missingOf(form);
  if (missing !== undefined) return showStep(step, { email: form.email, error: missing, status: 400 });

  const result = await signIn(options.signInServices, {
    tenantId: state.engine.tenant.id,
    clientId: interaction.clientId,
    origin: state.exchange.origin,
    email: form.email,
    password: form.password,
  });
  switch (result.outcome) {
    case 'signed_in': {
      const acr = authenticationContexts.password;
      return proceed(step, { kind: 'signed_in', accountId: result.userId, amr: result.amr, acr });
    }
    case 'refused':
      return showStep(step, { email: form.email, error: 'credentials', status: 400 });
    case 'throttled':
      ctx.set('retry-after', String(result.retryAfterSeconds));
      return showStep(step, {
        email: form.email,
        error: 'throttled',
        status: 429,
        retryAfterSeconds: result.retryAfterSeconds,
      });
    case 'busy':
      ctx.set('retry-after', String(result.retryAfterSeconds));
      return showStep(step, { email: form.email, error: 'busy', status: 503 });
    default: {
      const never: never = result;
      return never;
    }
  }
}

function missingOf({ email, password }: { email: string; password: string }): SignInError | undefined {
  if (email.trim() === '') return password === '' ? 'missing_both' : 'missing_email';
  return password === '' ? 'missing_password' : undefined;
}

async function answerConsent(step: Step, form: z.infer<typeof consentForm>): Promise<void> {
  if (form.ui_locales !== undefined) return showStep(keepLocale({ ...step, locale: form.ui_locales }), {});
  if (!step.formTokens.accepts(form.csrf, step.subject)) throw new ProblemRaised(problems.staleForm());
  if (form.decision === undefined) throw new ProblemRaised(problems.malformed('The form says neither yes nor no.'));
  return proceed(step, { kind: form.decision === 'allow' ? 'consented' : 'denied' });
}

async function proceed({ ctx, state, interaction }: Step, answer: InteractionAnswer): Promise<void> {
  const ended = await state.engine.answerInteraction(state.exchange, interaction.uid, answer);
  if (ended.outcome === 'expired') return showExpired(ctx, state, ended.application);
  ctx.status = 303;
  ctx.set('cache-control', 'no-store');
  ctx.redirect(ended.location);
}

interface Shown {
  readonly email?: string;
  readonly error?: SignInError;
  readonly status?: number;
  readonly retryAfterSeconds?: number;
}

async function showStep(step: Step, shown: Shown): Promise<void> {
  const { ctx, state, interaction, options } = step;
  const { tenant } = state.engine;
  const common = {
    status: shown.status ?? 200,
    locale: step.locale,
    tenant,
    applicationName: interaction.application.name,
    requestId: state.exchange.requestId,
    formTargets: [interaction.redirectUri],
  };
  const action = `${options.config.http.publicUrl}/t/${tenant.slug}/interaction/${interaction.uid}`;
  const csrf = step.formTokens.issue(step.subject);
  if (interaction.prompt !== 'consent') {
    const retryAfterMinutes =
      shown.retryAfterSeconds === undefined ? undefined : Math.ceil(shown.retryAfterSeconds / 60);
    const model = {
      action,
      csrf,
      email: shown.email,
      loginHint: interaction.loginHint,
      error: shown.error,
      retryAfterMinutes,
    };
    return showPage(ctx, { name: 'sign_in', model, languageSwitch: { kind: 'form' }, ...common });
  }
  const account = await readAccount(options.signInServices.database.tenant(tenant.id), interaction.accountId ?? '');
  if (account === undefined) return showExpired(ctx, state, interaction.application);
  showPage(ctx, {
    name: 'consent',
    model: {
      action,
      csrf,
      applicationName: interaction.application.name,
      account: account.email,
      scopes: interaction.missingScopes,
      redirectUri: interaction.redirectUri,
    },
    languageSwitch: { kind: 'link', address: new URL(action).pathname },
    ...common,
  });
}

function keepLocale(step: Step): Step {
  const path = `/t/${step.state.engine.tenant.slug}`;
  rememberLocale(step.ctx, {
    locale: step.locale,
    path,
    secure: step.options.config.http.publicUrl.startsWith('https:'),
  });
  return step;
}

function parse<Shape>(schema: z.ZodType<Shape>, fields: unknown): Shape {
  const parsed = schema.safeParse(fields);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new ProblemRaised(
    problems.malformed(`The form is not as expected: ${issue?.path.join('.') || issue?.code || 'fields'}.`),
  );
}
