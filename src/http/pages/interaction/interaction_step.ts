/**
 * One interaction in one request: what every step that waits for a person does alike. A step is found by its address and the
 * browser's cookie together, answers the engine, which decides what comes next, and never leads to another step itself.
 */
import type { Context } from 'koa';
import { z } from 'zod';
import type { Config } from '#config/config.ts';
import { isStorableText } from '#src/domain/stored_text.ts';
import type { SignInPlace, SignInServices } from '#src/flows/sign_in/authentication_steps.ts';
import type { Sealer } from '#src/foundation/sealing.ts';
import type { InteractionAnswer, PendingInteraction, TenantEngine } from '#src/oidc/tenant_engine.ts';
import type { HttpExchange } from '../../gates/exchange.ts';
import { ProblemRaised, problems } from '../../problems.ts';
import { readDeviceToken } from '../kit/device_cookie.ts';
import { destinationOf } from '../kit/engine_pages.ts';
import { type FormTokens, localeOf, rememberLocale, showPage } from '../kit/page_kit.ts';
import { type Locale, locales } from '../kit/translations.ts';

export interface PageState {
  readonly exchange: HttpExchange;
  readonly engine: TenantEngine;
}

export interface InteractionPagesOptions {
  readonly config: Config;
  readonly sealer: Sealer;
  readonly signInServices: SignInServices;
}

export interface Step {
  readonly ctx: Context;
  readonly state: PageState;
  readonly options: InteractionPagesOptions;
  readonly formTokens: FormTokens;
  readonly interaction: PendingInteraction;
  /** What the form's token is about. */
  readonly subject: string;
  /** Where the form is sent. */
  readonly action: string;
  readonly locale: Locale;
}

const maximumFieldLength = 2_000;
/** NUL cannot be stored, and a lone surrogate is no text. */
export const field = z.string().max(maximumFieldLength).refine(isStorableText);
export const localeField = z.enum(locales).optional();

/** Undefined when the step is over, was never begun in this browser, or belongs to somebody else: that was answered then. */
export async function findStep(
  ctx: Context,
  state: PageState,
  options: InteractionPagesOptions,
  formTokens: FormTokens,
): Promise<Step | undefined> {
  const uid = String(ctx['params']['uid']);
  const found = await state.engine.findInteraction(state.exchange, uid);
  if (found.outcome === 'expired') {
    if (found.withoutCookies) showWithoutCookies(ctx, state, options);
    else showExpired(ctx, state, found.application);
    return undefined;
  }
  const { interaction } = found;
  const { tenant } = state.engine;
  return {
    ctx,
    state,
    options,
    formTokens,
    interaction,
    subject: `${tenant.id}:interaction:${uid}`,
    action: `${options.config.http.publicUrl}/t/${tenant.slug}/interaction/${uid}`,
    locale: localeOf(ctx, tenant, { uiLocales: interaction.uiLocales }),
  };
}

/** Where this sign-in is under way, as the flows know it. */
export function placeOf({ ctx, state, interaction }: Step): SignInPlace {
  const { engine, exchange } = state;
  return {
    tenantId: engine.tenant.id,
    clientId: interaction.clientId,
    key: `interaction:${interaction.uid}`,
    origin: exchange.origin,
    policy: engine.people,
    wantsMultiFactor: interaction.wantsMultiFactor,
    deviceToken: readDeviceToken(ctx),
  };
}

/** Their browser takes no cookies: whatever it asked for would come back without its step for ever. */
export function showWithoutCookies(
  ctx: Context,
  { engine, exchange }: PageState,
  { signInServices }: InteractionPagesOptions,
): void {
  showPage(ctx, {
    name: 'problem',
    model: { kind: 'cookies', at: signInServices.clock() },
    status: 400,
    locale: localeOf(ctx, engine.tenant),
    tenant: engine.tenant,
    requestId: exchange.requestId,
  });
}

export function showExpired(
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

/** Hands the answer to the engine and sends the browser where it says. */
export async function answer({ ctx, state, interaction }: Step, given: InteractionAnswer): Promise<void> {
  const ended = await state.engine.answerInteraction(state.exchange, interaction.uid, given);
  if (ended.outcome === 'expired') return showExpired(ctx, state, ended.application);
  goTo(ctx, ended.location);
}

export function goTo(ctx: Context, address: string): void {
  ctx.status = 303;
  ctx.set('cache-control', 'no-store');
  ctx.redirect(address);
}

/** What every page of a step is shown with. */
export function commonOf({ state, interaction, locale }: Step, status = 200) {
  const { tenant } = state.engine;
  return {
    status,
    locale,
    tenant,
    applicationName: interaction.application.name,
    requestId: state.exchange.requestId,
    formTargets: [interaction.redirectUri],
  };
}

export function keepLocale(step: Step): Step {
  const { options, state } = step;
  const path = `/t/${state.engine.tenant.slug}`;
  const secure = options.config.http.publicUrl.startsWith('https:');
  rememberLocale(step.ctx, { locale: step.locale, path, secure });
  return step;
}

export function parseForm<Shape>(schema: z.ZodType<Shape>, fields: unknown): Shape {
  const parsed = schema.safeParse(fields);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue?.path.join('.') || issue?.code || 'fields';
  throw new ProblemRaised(problems.malformed(`The form is not as expected: ${where}.`));
}
