/**
 * What the person's own pages have in common (`/account` and below): who is signed in, how fresh that has to be, the way through
 * sign-in and back, and the token of their forms. It knows the addresses of these pages and nothing of what is on them.
 */
import type Router from '@koa/router';
import type { Context } from 'koa';
import { hasSecondFactor } from '#src/domain/second_factor.ts';
import { userId } from '#src/domain/user.ts';
import { accountPath, signedInPaths } from '#src/oidc/provider.ts';
import type { OwnSession } from '#src/oidc/tenant_engine.ts';
import { readSignInPersonById, type SignInPersonRow } from '#src/storage/tables/factors.ts';
import { ProblemRaised, problems } from '../../problems.ts';
import { goTo, type InteractionPagesOptions, type PageState } from '../interaction/interaction_step.ts';
import { readFormBody } from '../kit/form_body.ts';
import { createFormTokens, isCrossSite, localeOf, rememberLocale, showPage } from '../kit/page_kit.ts';
import type { Locale } from '../kit/translations.ts';

/** How long a sign-in counts as fresh: for what changes how somebody gets in. */
export const FRESH_SECONDS = 300;

/** Below `accountPath`. Sign-in leads back to one of these and to nothing else. */
const ownPages = [
  '',
  '/profile',
  '/email',
  '/password',
  '/sessions',
  '/applications',
  '/devices',
  '/activity',
  '/language',
  '/export',
  '/delete',
  '/api-keys',
  '/api-keys/new',
  '/second-factor',
  '/second-factor/app',
  '/second-factor/app/remove',
  '/second-factor/backup-codes',
  '/second-factor/passkeys',
  '/second-factor/passkeys/new',
  '/second-factor/devices',
] as const;

/** An address below the issuer at which a person finds something of their own. */
export type OwnPath = `${typeof accountPath}${(typeof ownPages)[number]}`;

const ownPaths: ReadonlySet<unknown> = new Set(ownPages.map((page) => accountPath + page));

/** Somebody at one of their own pages. */
export interface OwnVisit {
  readonly ctx: Context;
  readonly state: PageState;
  readonly session: OwnSession;
  readonly person: SignInPersonRow;
  readonly path: OwnPath;
  readonly locale: Locale;
}

export interface Wanted {
  /** The page that asks: where sign-in leads back to. */
  readonly path: OwnPath;
  /** Signed in no longer ago than this, and with a second factor by whoever has one. */
  readonly freshSeconds?: number | undefined;
}

export interface OwnPagesKit {
  /**
   * Who is signed in here. Undefined when that is nobody, or not freshly enough: they were sent to sign in, from where they come
   * back to `path`.
   */
  requireOwnSession(ctx: Context, state: PageState, wanted: Wanted): Promise<OwnVisit | undefined>;
  /**
   * The fields of a form of ours, and who sent it; undefined when it is theirs, but they were sent to sign in first. Throws
   * `ProblemRaised` for a form that is from another site, of another session or page, or no form.
   */
  readOwnForm(
    ctx: Context,
    state: PageState,
    wanted: Wanted,
  ): Promise<{ readonly visit: OwnVisit; readonly fields: Readonly<Record<string, string>> } | undefined>;
  /** For the field `csrf` of the forms on this page. It is good at this page, in this session, for this person. */
  formToken(visit: OwnVisit): string;
  /** Of a page, as forms and redirects name it. */
  addressOf(state: PageState, path: OwnPath): string;
}

export function createOwnPages(options: InteractionPagesOptions): OwnPagesKit {
  const { config, signInServices } = options;
  const secure = config.http.publicUrl.startsWith('https:');
  const formTokens = createFormTokens(options.sealer.deriveAll('form-tokens'));

  const kit: OwnPagesKit = {
    async requireOwnSession(ctx, state, { path, freshSeconds }) {
      const { engine, exchange } = state;
      const session = await engine.findOwnSession(exchange);
      const person =
        session &&
        (await readSignInPersonById(signInServices.database.tenant(engine.tenant.id), userId(session.accountId)));
      const ask = (wish: { maximumAgeSeconds?: number; multiFactor?: boolean } = {}): undefined =>
        void goTo(ctx, engine.signInAddress({ returnTo: 'account', state: path, ...wish }));
      if (session === undefined || person?.active !== true) return ask();

      const multiFactor = hasSecondFactor({ totp: person.totp, passkeys: person.passkeys });
      const ageMilliseconds = signInServices.clock().getTime() - session.authenticatedAt.getTime();
      const isOld = freshSeconds !== undefined && ageMilliseconds > freshSeconds * 1000;
      // Zero asks in any case: an age that two clocks judge differently would send the browser in circles.
      if (isOld) return ask({ maximumAgeSeconds: 0, multiFactor });
      if (freshSeconds !== undefined && multiFactor && !session.isMultiFactor) return ask({ multiFactor });

      const locale = localeOf(ctx, engine.tenant, { profile: person.locale ?? undefined });
      if (typeof ctx.query['ui_locales'] === 'string')
        rememberLocale(ctx, { locale, path: `/t/${engine.tenant.slug}`, secure });
      return { ctx, state, session, person, path, locale };
    },

    async readOwnForm(ctx, state, wanted) {
      if (isCrossSite(ctx.headers, config.http.publicUrl)) throw new ProblemRaised(problems.crossSite());
      const fields = await readFormBody(ctx.req, config.http.bodyLimitBytes);
      // Whose form it is, before how fresh they are: a form of nobody's leads nowhere.
      const session = await state.engine.findOwnSession(state.exchange);
      if (
        session === undefined ||
        !formTokens.accepts(fields['csrf'], subjectOf({ state, session, path: wanted.path }))
      )
        throw new ProblemRaised(problems.staleForm());
      const visit = await kit.requireOwnSession(ctx, state, wanted);
      if (visit === undefined) return undefined;
      return { visit, fields };
    },

    formToken: (visit) => formTokens.issue(subjectOf(visit)),

    addressOf: ({ engine }, path) => `${config.http.publicUrl}/t/${engine.tenant.slug}${path}`,
  };
  return kit;
}

function subjectOf({ state, session, path }: Pick<OwnVisit, 'state' | 'session' | 'path'>): string {
  return `${state.engine.tenant.id}:own:${session.accountId}:${session.key}:${path}`;
}

/** Where sign-in leads back to. Its address holds a code: nobody can use it, but it need not stay in sight either. */
export function mountSignedIn(router: Router<PageState>, kit: OwnPagesKit, options: InteractionPagesOptions): void {
  router.get(`/t/:slug${signedInPaths.account}`, async (ctx) => {
    const { engine, exchange } = ctx.state;
    const { error, state } = ctx.query;
    const signedIn = error === undefined && (await engine.findOwnSession(exchange)) !== undefined;
    // A stranger may have written `state`: it chooses among our own pages, and leads nowhere else.
    if (signedIn) return goTo(ctx, kit.addressOf(ctx.state, isOwnPath(state) ? state : accountPath));
    // To send them to sign-in again would send them in circles.
    showPage(ctx, {
      name: 'problem',
      model: { kind: error === undefined ? 'cookies' : 'refused', at: options.signInServices.clock() },
      status: 400,
      locale: localeOf(ctx, engine.tenant),
      tenant: engine.tenant,
      requestId: exchange.requestId,
    });
  });
}

function isOwnPath(value: unknown): value is OwnPath {
  return ownPaths.has(value);
}
