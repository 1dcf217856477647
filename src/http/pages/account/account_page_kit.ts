/** What the routes of the account do alike: who acts, in which language and frame a page is shown, and what a form may hold. */
import { z } from 'zod';
import type { FlowContext } from '#src/flows/flow_context.ts';
import type { PasswordJudges } from '#src/flows/people/judge_password.ts';
import type { InteractionPagesOptions } from '../interaction/interaction_step.ts';
import { field, localeField } from '../interaction/interaction_step.ts';
import { rememberLocale, showPage } from '../kit/page_kit.ts';
import type { PageModels, PageName } from '../kit/page_models.ts';
import type { LanguageSwitch } from '../kit/page_shell.ts';
import type { Locale } from '../kit/translations.ts';
import type { OwnPagesKit, OwnVisit } from './own_pages.ts';

/** The services of the flows that a person's own deeds go through. */
export type AccountServices = Omit<FlowContext, 'actor' | 'origin'> & PasswordJudges;

export interface AccountPagesOptions extends InteractionPagesOptions {
  readonly accountServices: AccountServices;
}

/** What every form of the account has. A language that was chosen comes with what was typed, and does nothing else. */
export const ownForm = { csrf: field, ui_locales: localeField };
export const emptyForm = z.strictObject(ownForm);

/** The person themselves, from where they are. */
export function asOwner(services: AccountServices, { state, person }: OwnVisit): FlowContext & PasswordJudges {
  return { ...services, actor: { type: 'user', id: person.id }, origin: state.exchange.origin };
}

/** Whose account it is: for the flows. */
export function ownerOf({ state, person }: OwnVisit) {
  return { tenantId: state.engine.tenant.id, userId: person.id };
}

/** What the model of every page of the account has. */
export function frameOf({ state }: OwnVisit) {
  return { base: `/t/${state.engine.tenant.slug}` };
}

/** The same, and what its form needs: it is sent to the page that it is on. */
export function formOf(kit: OwnPagesKit, visit: OwnVisit) {
  return { ...frameOf(visit), action: kit.addressOf(visit.state, visit.path), csrf: kit.formToken(visit) };
}

export function showOwnPage<N extends PageName>(
  visit: OwnVisit,
  { name, model, status = 200, languageSwitch }: OwnPage<N>,
): void {
  const { ctx, state, path, locale } = visit;
  const { tenant } = state.engine;
  showPage(ctx, {
    name,
    model,
    status,
    locale,
    tenant,
    requestId: state.exchange.requestId,
    languageSwitch: languageSwitch ?? { kind: 'link', address: `/t/${tenant.slug}${path}` },
  });
}

export interface OwnPage<N extends PageName> {
  readonly name: N;
  readonly model: PageModels[N];
  readonly status?: number | undefined;
  /** Unless given, a link to the page itself. */
  readonly languageSwitch?: LanguageSwitch | undefined;
}

/** The page in the language that was chosen, now and from now on. */
export function inLocale(options: InteractionPagesOptions, visit: OwnVisit, locale: Locale): OwnVisit {
  const secure = options.config.http.publicUrl.startsWith('https:');
  rememberLocale(visit.ctx, { locale, path: `/t/${visit.state.engine.tenant.slug}`, secure });
  return { ...visit, locale };
}

/** What was just done, when the address says so and it is one of these: it was written by whoever wrote the address. */
export function noticeOf<Notice extends string>(visit: OwnVisit, notices: readonly Notice[]): Notice | undefined {
  const { done } = visit.ctx.query;
  return notices.find((notice) => notice === done);
}
