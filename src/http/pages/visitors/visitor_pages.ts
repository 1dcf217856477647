/**
 * What the pages for whoever is not signed in have in common: registering, proving an address, recovering, an invitation. Each form
 * counts only in the browser it was made for, and once: its token is bound to a cookie that is exchanged when the form has done
 * its work. What these pages show never depends on whether somebody is known.
 */
import type { Context } from 'koa';
import type { z } from 'zod';
import type { Config } from '#config/config.ts';
import { parseEmailAddress } from '#src/domain/email_address.ts';
import type { VisitedTenant, VisitorContext, VisitorServices } from '#src/flows/proofs/visitor_context.ts';
import { randomValue } from '#src/foundation/identifiers.ts';
import type { Sealer } from '#src/foundation/sealing.ts';
import { ProblemRaised, problems } from '../../problems.ts';
import { goTo, type PageState, parseForm } from '../interaction/interaction_step.ts';
import { readFormBody } from '../kit/form_body.ts';
import { createFormTokens, isCrossSite, localeOf, rememberLocale, showPage } from '../kit/page_kit.ts';
import type { PageModels, PageName } from '../kit/page_models.ts';
import type { LanguageSwitch } from '../kit/page_shell.ts';
import { type Locale, locales } from '../kit/translations.ts';

export interface VisitorPagesOptions {
  readonly config: Config;
  readonly sealer: Sealer;
  readonly visitorServices: VisitorServices;
}

/** Below the issuer. */
export type VisitorPage = 'signup' | 'verify' | 'forgot' | 'reset' | 'invite' | 'device' | 'device/confirm';

export interface Visit {
  readonly ctx: Context;
  readonly state: PageState;
  readonly page: VisitorPage;
  readonly tenant: VisitedTenant;
  readonly context: VisitorContext;
  readonly locale: Locale;
  /** Where the page is, and its form is sent. */
  readonly address: string;
  readonly csrf: string;
}

/** A form that came back. */
export interface Answered<Form> {
  readonly visit: Visit;
  readonly form: Form;
  /** It is from a page of ours, in this browser, and has not done its work before. */
  readonly isFresh: boolean;
}

export interface VisitorPagesKit {
  open(ctx: Context, state: PageState, page: VisitorPage): Visit;
  /** Throws `ProblemRaised` for what is from another site, or no such form. */
  read<Shape extends { readonly csrf: string; readonly ui_locales?: Locale | undefined }>(
    ctx: Context,
    state: PageState,
    expected: { readonly page: VisitorPage; readonly schema: z.ZodType<Shape> },
  ): Promise<Answered<Shape>>;
  show<N extends PageName>(visit: Visit, shown: Shown<N>): void;
  /** The form has done its work: it is good no more, and the browser goes on to another page of these. */
  goOn(visit: Visit, to: { readonly page: VisitorPage; readonly query?: Readonly<Record<string, string>> }): void;
  /** What proves later that this is the browser in which it was begun. */
  keepHandle(visit: Pick<Visit, 'ctx' | 'state'>, kept: KeptHandle): void;
  handleOf(visit: Visit): string | undefined;
  /** For the sign-in that follows: it is filled in there, for a few minutes. */
  keepAddress(visit: Visit, address: string): void;
}

export interface Shown<N extends PageName> {
  readonly name: N;
  readonly model: PageModels[N];
  readonly status?: number | undefined;
  readonly languageSwitch?: LanguageSwitch | undefined;
}

export interface KeptHandle {
  /** Where it will be asked for. */
  readonly page: 'verify' | 'reset';
  readonly handle: string;
  readonly expiresAt: Date;
}

const formCookie = 'poort_form';
const addressCookie = 'poort_address';
const addressSeconds = 600;
const handleCookies = { verify: 'poort_verify', reset: 'poort_reset' } as const;
const valuePattern = /^[A-Za-z0-9_-]{43}$/;
const interactionPattern = /^[A-Za-z0-9_-]{21,64}$/;

/** The sign-in that somebody came from and wants to go back to. A stranger may have written it: it only ever names a page of ours. */
export function interactionIn(value: unknown): string | undefined {
  return typeof value === 'string' && interactionPattern.test(value) ? value : undefined;
}

export function createVisitorPages(options: VisitorPagesOptions): VisitorPagesKit {
  const { config, visitorServices } = options;
  const { publicUrl, bodyLimitBytes } = config.http;
  const secure = publicUrl.startsWith('https:');
  const formTokens = createFormTokens(options.sealer.deriveAll('form-tokens'));

  const keep = (
    visit: Pick<Visit, 'ctx' | 'state'>,
    cookie: { name: string; value: string; expiresAt?: Date },
  ): void => {
    visit.ctx.cookies.set(cookie.name, cookie.value, {
      path: `/t/${visit.state.engine.tenant.slug}`,
      httpOnly: true,
      sameSite: 'lax',
      secure,
      signed: false,
      overwrite: true,
      ...(cookie.expiresAt === undefined ? {} : { expires: cookie.expiresAt }),
    });
  };
  const cookieOf = (ctx: Context, name: string): string | undefined => {
    const value = ctx.cookies.get(name);
    return value !== undefined && valuePattern.test(value) ? value : undefined;
  };
  const subjectOf = (state: PageState, page: VisitorPage, browser: string): string =>
    `${state.engine.tenant.id}:visitor:${page}:${browser}`;

  function visitOf(ctx: Context, state: PageState, { page, browser }: { page: VisitorPage; browser: string }): Visit {
    const { tenant: row, people } = state.engine;
    const asked = ctx.query['ui_locales'];
    const locale = localeOf(ctx, row);
    if (typeof asked === 'string' && locales.some((known) => known === asked))
      rememberLocale(ctx, { locale, path: `/t/${row.slug}`, secure });
    return {
      ctx,
      state,
      page,
      tenant: { id: row.id, slug: row.slug, name: row.name, policy: people, locale },
      context: { ...visitorServices, origin: state.exchange.origin },
      locale,
      address: `${publicUrl}/t/${row.slug}/${page}`,
      csrf: formTokens.issue(subjectOf(state, page, browser)),
    };
  }

  return {
    open(ctx, state, page) {
      const known = cookieOf(ctx, formCookie);
      const browser = known ?? randomValue();
      if (known === undefined) keep({ ctx, state }, { name: formCookie, value: browser });
      return visitOf(ctx, state, { page, browser });
    },

    async read(ctx, state, { page, schema }) {
      if (isCrossSite(ctx.headers, publicUrl)) throw new ProblemRaised(problems.crossSite());
      const form = parseForm(schema, await readFormBody(ctx.req, bodyLimitBytes));
      const known = cookieOf(ctx, formCookie);
      const isFresh = known !== undefined && formTokens.accepts(form.csrf, subjectOf(state, page, known));
      const browser = known ?? randomValue();
      if (known === undefined) keep({ ctx, state }, { name: formCookie, value: browser });
      const visit = visitOf(ctx, state, { page, browser });
      if (form.ui_locales === undefined) return { visit, form, isFresh };
      const locale = form.ui_locales;
      rememberLocale(ctx, { locale, path: `/t/${visit.tenant.slug}`, secure });
      return { visit: { ...visit, locale, tenant: { ...visit.tenant, locale } }, form, isFresh };
    },

    show({ ctx, state, locale }, { name, model, status = 200, languageSwitch }) {
      showPage(ctx, {
        name,
        model,
        status,
        locale,
        tenant: state.engine.tenant,
        requestId: state.exchange.requestId,
        languageSwitch,
      });
    },

    goOn(visit, { page, query }) {
      keep(visit, { name: formCookie, value: randomValue() });
      const parameters = query === undefined ? '' : `?${new URLSearchParams(query)}`;
      goTo(visit.ctx, `${publicUrl}/t/${visit.tenant.slug}/${page}${parameters}`);
    },

    keepHandle: (visit, { page, handle, expiresAt }) =>
      keep(visit, { name: handleCookies[page], value: handle, expiresAt }),

    keepAddress: (visit, address) =>
      keep(visit, {
        name: addressCookie,
        value: Buffer.from(address).toString('base64url'),
        expiresAt: new Date(visitorServices.clock().getTime() + addressSeconds * 1000),
      }),

    handleOf: ({ ctx, page }) =>
      page === 'verify' || page === 'reset' ? cookieOf(ctx, handleCookies[page]) : undefined,
  };
}

/** What `keepAddress` kept in this browser. Its owner may have written it: it is a proposal in a field and nothing more. */
export function keptAddress(ctx: Context): string | undefined {
  const kept = parseEmailAddress(Buffer.from(ctx.cookies.get(addressCookie) ?? '', 'base64url').toString('utf8'));
  return kept.outcome === 'valid' ? kept.address : undefined;
}

/** Where somebody signs in: where they came from, or their own pages. */
export function signInAddressOf({ address, page }: Visit, interaction: string | undefined): string {
  const issuer = address.slice(0, -page.length - 1);
  return interaction === undefined ? `${issuer}/account` : `${issuer}/interaction/${interaction}?sign_in`;
}

/** Asked to come back later: the answer says when. */
export function waitingFor(
  { ctx }: Visit,
  { outcome, retryAfterSeconds }: { readonly outcome: 'throttled' | 'busy'; readonly retryAfterSeconds: number },
): { readonly error: 'throttled' | 'busy'; readonly status: number; readonly retryAfterMinutes: number } {
  ctx.set('retry-after', String(retryAfterSeconds));
  return {
    error: outcome,
    status: outcome === 'busy' ? 503 : 429,
    retryAfterMinutes: Math.ceil(retryAfterSeconds / 60),
  };
}
