/** Where somebody asks for another address. That it is free, or somebody else's, is told to the mailbox and not here. */
import type Router from '@koa/router';
import { z } from 'zod';
import { requestEmailChange } from '#src/flows/people/change_email.ts';
import { accountPath } from '#src/oidc/provider.ts';
import { ProblemRaised, problems } from '../../problems.ts';
import { field, goTo, type PageState, parseForm } from '../interaction/interaction_step.ts';
import { createVisitorPages, type VisitorPagesOptions } from '../visitors/visitor_pages.ts';
import { type AccountPagesOptions, formOf, inLocale, ownerOf, ownForm, showOwnPage } from './account_page_kit.ts';
import type { OwnEmailError } from './own_email_models.ts';
import { FRESH_SECONDS, type OwnPagesKit, type OwnVisit } from './own_pages.ts';

const path = `${accountPath}/email` as const;
const wanted = { path, freshSeconds: FRESH_SECONDS };
const emailForm = z.strictObject({ ...ownForm, email: field.default('') });

export function mountOwnEmailPage(
  router: Router<PageState>,
  kit: OwnPagesKit,
  options: AccountPagesOptions & VisitorPagesOptions,
): void {
  const { config, visitorServices } = options;
  const visitors = createVisitorPages(options);

  router.get(`/t/:slug${path}`, async (ctx) => {
    const visit = await kit.requireOwnSession(ctx, ctx.state, wanted);
    if (visit !== undefined) show(visit, {});
  });

  router.post(`/t/:slug${path}`, async (ctx) => {
    const sent = await kit.readOwnForm(ctx, ctx.state, wanted);
    if (sent === undefined) return;
    const { visit } = sent;
    const { email, ui_locales: locale } = parseForm(emailForm, sent.fields);
    if (locale !== undefined) return show(inLocale(options, visit, locale), { email });
    if (email.trim() === '') return show(visit, { error: 'missing', status: 400 });
    const { exchange, engine } = visit.state;
    const { id, slug, name } = engine.tenant;
    const asked = await requestEmailChange(
      { ...visitorServices, origin: exchange.origin },
      {
        tenant: { id, slug, name, policy: engine.people, locale: visit.locale },
        userId: ownerOf(visit).userId,
        newEmail: email,
      },
    );
    switch (asked.outcome) {
      case 'sent':
        visitors.keepHandle({ ctx, state: ctx.state }, { ...asked, page: 'verify' });
        return goTo(ctx, `${config.http.publicUrl}/t/${slug}/verify`);
      case 'throttled':
        ctx.set('retry-after', String(asked.retryAfterSeconds));
        return show(visit, {
          email,
          error: 'throttled',
          status: 429,
          retryAfterMinutes: asked.retryAfterSeconds / 60,
        });
      case 'invalid':
      case 'unchanged':
        return show(visit, { email, error: asked.outcome, status: 400 });
      case 'unknown':
        throw new ProblemRaised(problems.staleForm());
      default: {
        const never: never = asked;
        return never;
      }
    }
  });

  function show(visit: OwnVisit, { status, ...shown }: ShownEmail): void {
    showOwnPage(visit, {
      name: 'account_email',
      status,
      languageSwitch: { kind: 'form' },
      model: { ...formOf(kit, visit), account: visit.person.email, ...shown },
    });
  }
}

interface ShownEmail {
  readonly email?: string;
  readonly error?: OwnEmailError;
  readonly retryAfterMinutes?: number;
  readonly status?: number;
}
