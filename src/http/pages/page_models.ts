/**
 * What each hosted page is given and what it will show. Owns the typed model of every page and the decisions about it
 * (which message, which field is wrong, where the cursor starts), so that a template only has to print. Knows nothing
 * of routes, cookies or the engine: values in, words out.
 */
import { formatMoment, type Locale, locales, type Translate } from './translations.ts';

/** What the pages call the house itself. */
export const installationName = 'Poort';

/** What every page shares. Names may hold anything a client or tenant registered: they are cleaned and escaped here. */
export interface PageShell {
  readonly locale: Locale;
  /** Absent where an address belongs to nobody: the page then names the installation alone. */
  readonly tenantName: string | undefined;
  readonly applicationName?: string | undefined;
  readonly requestId: string;
  /** Where the `assets` of render.ts are served, without a trailing slash: `/assets`. */
  readonly assetsPath: string;
  /** Absent: the page cannot be shown again in another language, and offers none. */
  readonly languageSwitch?: LanguageSwitch | undefined;
}

/**
 * How a person changes the language without losing the step.
 * `link`: a GET of `address` with `ui_locales` added; for every page that a GET can show again.
 * `form`: the step's own form is posted with an extra field `ui_locales` (a button, so only when it was pressed); the
 * route sees that field, tries nothing, and shows the page again with what was typed. For pages with text fields.
 */
export type LanguageSwitch = { readonly kind: 'link'; readonly address: string } | { readonly kind: 'form' };

/** A place a person can be sent back to. Only `https:`, `http:` and same-origin paths become links. */
export interface Destination {
  readonly name: string;
  readonly address: string;
}

export type SignInError =
  | 'credentials'
  | 'throttled'
  | 'busy'
  | 'missing_email'
  | 'missing_password'
  | 'missing_both'
  | 'stale_form';

export interface SignInModel {
  readonly action: string;
  readonly csrf: string;
  /** What was typed before; wins over `loginHint`. */
  readonly email?: string | undefined;
  /** OpenID Connect Core §3.1.2.1 `login_hint`. */
  readonly loginHint?: string | undefined;
  readonly error?: SignInError | undefined;
  /** With `throttled`: whole minutes until the next try, rounded up. */
  readonly retryAfterMinutes?: number | undefined;
  readonly links?: { readonly forgot?: string | undefined; readonly signUp?: string | undefined } | undefined;
}

export interface ConsentScope {
  readonly name: string;
  /** What the API's administrator wrote about it. Standard scopes need none: their words are built in. */
  readonly description?: string | undefined;
}

export interface ConsentModel {
  readonly action: string;
  readonly csrf: string;
  readonly applicationName: string;
  /** The e-mail address the person is signed in with. */
  readonly account: string;
  readonly scopes: readonly ConsentScope[];
  /** The redirect address; its host, or its scheme for an installed app, is shown. */
  readonly redirectUri: string;
  readonly otherAccountAddress?: string | undefined;
  readonly accountAddress?: string | undefined;
}

export type ApprovalNotice = 'allowed' | 'denied' | 'gone';

export interface ApprovalRequest {
  readonly id: string;
  readonly action: string;
  readonly csrf: string;
  readonly applicationName: string;
  /** CIBA §7.1 `binding_message`. */
  readonly bindingMessage?: string | undefined;
  readonly scopes: readonly ConsentScope[];
  readonly askedAt: Date;
  readonly expiresAt: Date;
}

export interface ApprovalsModel {
  /** Of this page. */
  readonly address: string;
  /** The e-mail address the person is signed in with. */
  readonly account: string;
  readonly requests: readonly ApprovalRequest[];
  readonly notice?: ApprovalNotice | undefined;
}

export interface ExpiredModel {
  readonly application?: Destination | undefined;
}

export interface LogoutModel {
  /** The engine's confirmation address. */
  readonly action: string;
  /** The engine's own token, `ctx.oidc.session.state.secret`. */
  readonly xsrf: string;
  readonly account?: string | undefined;
}

export interface LoggedOutModel {
  readonly result: 'signed_out' | 'signed_out_of_application' | 'stayed';
  readonly application?: Destination | undefined;
}

export type ProblemKind =
  | 'fault'
  | 'not_found'
  | 'invalid_request'
  | 'unknown_application'
  | 'invalid_redirect'
  | 'refused'
  | 'stale_form'
  | 'cookies'
  | 'throttled'
  | 'busy';

export interface ProblemModel {
  readonly kind: ProblemKind;
  readonly at: Date;
  /** RFC 6749 §5.2 code and description, shown folded away for whoever maintains the application. */
  readonly oauth?: { readonly error: string; readonly description?: string | undefined } | undefined;
  readonly retryAfterMinutes?: number | undefined;
  readonly application?: Destination | undefined;
}

export interface HomeModel {
  readonly accountAddress?: string | undefined;
}

export interface PageModels {
  readonly sign_in: SignInModel;
  readonly consent: ConsentModel;
  readonly approvals: ApprovalsModel;
  readonly expired: ExpiredModel;
  readonly logout: LogoutModel;
  readonly logged_out: LoggedOutModel;
  readonly problem: ProblemModel;
  readonly home: HomeModel;
}

export type PageName = keyof PageModels;

/** The small scripts a page may load; every page is complete without them. */
export type PageScript = 'error_summary' | 'password_toggle' | 'submit_guard';

/** What a template gets beside the shell: finished words, no choices left. */
export interface PageView {
  /** The first part of the title. */
  readonly step: string;
  readonly heading: string;
  /** A mistake the person can correct: the title then starts with the word for error (WCAG 2.2, G199). */
  readonly failed: boolean;
  readonly scripts: readonly PageScript[];
  readonly [detail: string]: unknown;
}

export type Presenter<N extends PageName> = (
  model: PageModels[N],
  context: { readonly shell: PageShell; readonly t: Translate },
) => PageView;

export const presenters: { readonly [N in PageName]: Presenter<N> } = {
  sign_in: presentSignIn,
  consent: presentConsent,
  approvals: presentApprovals,
  expired: presentExpired,
  logout: presentLogout,
  logged_out: presentLoggedOut,
  problem: presentProblem,
  home: presentHome,
};

/**
 * A name as it may be shown: without control characters and without the marks that turn the reading direction around,
 * with which a client could make "evil.example" read as another name; and never longer than a line or two.
 */
export function displayName(value: string): string {
  const clean = value.replace(/[\p{Cc}\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/gu, ' ').trim();
  const characters = [...clean];
  return characters.length <= 100 ? clean : `${characters.slice(0, 99).join('')}…`;
}

/** The address when it may become a link: a web address or a path on our own origin. `javascript:` and friends never. */
export function safeAddress(address: string | undefined): string | undefined {
  if (address === undefined) return undefined;
  // Browsers read a backslash as a slash and skip control characters, so "/\evil" and "/<tab>/evil" leave the origin.
  if (/[\p{Cc}\\]/u.test(address)) return undefined;
  if (address.startsWith('/')) return address.startsWith('//') ? undefined : address;
  if (!URL.canParse(address)) return undefined;
  return ['https:', 'http:'].includes(new URL(address).protocol) ? address : undefined;
}

/** The language choices in the footer: the same address or form, in every language the pages speak. */
export function presentLanguages(
  shell: PageShell,
): readonly { readonly locale: Locale; readonly current: boolean; readonly address: string | undefined }[] {
  const languageSwitch = shell.languageSwitch;
  if (languageSwitch === undefined) return [];
  const base = languageSwitch.kind === 'link' ? safeAddress(languageSwitch.address) : undefined;
  return locales.map((locale) => ({
    locale,
    current: locale === shell.locale,
    address: base === undefined ? undefined : withUiLocales(base, locale),
  }));
}

function withUiLocales(address: string, locale: Locale): string {
  const [target = '', fragment] = address.split('#', 2);
  const [path = '', query] = target.split('?', 2);
  const parameters = new URLSearchParams(query);
  parameters.set('ui_locales', locale);
  return `${path}?${parameters}${fragment === undefined ? '' : `#${fragment}`}`;
}

interface FieldMessage {
  readonly field?: 'email' | 'password';
  readonly text: string;
}

function presentSignIn(model: SignInModel, { shell, t }: { shell: PageShell; t: Translate }): PageView {
  const email = model.email ?? model.loginHint ?? '';
  const forgot = safeAddress(model.links?.forgot);
  const errors = signInErrors(model, forgot !== undefined, t);
  const wrong = (field: 'email' | 'password') =>
    model.error === 'credentials' || errors.some((error) => error.field === field);
  const own = (field: 'email' | 'password') => errors.find((error) => error.field === field)?.text;
  return {
    step: t('sign_in.step'),
    heading: t('sign_in.heading'),
    failed: errors.length > 0,
    scripts: ['password_toggle', 'submit_guard', ...(errors.length > 0 ? (['error_summary'] as const) : [])],
    intro:
      shell.applicationName === undefined
        ? t('sign_in.to_tenant', { tenant: tenantOf(shell) })
        : t('sign_in.to_application', { application: displayName(shell.applicationName) }),
    action: model.action,
    csrf: model.csrf,
    errors,
    email: {
      value: email,
      invalid: wrong('email'),
      error: own('email'),
      // After a failure the summary takes the focus; a cursor that jumps to a field would skip it.
      focus: errors.length === 0 && email === '',
      // Wrong credentials are told once, at the password, but they concern both fields.
      describedBy:
        model.error === 'credentials' ? 'password-error' : own('email') === undefined ? undefined : 'email-error',
    },
    password: {
      invalid: wrong('password'),
      error: own('password'),
      focus: errors.length === 0 && email !== '',
      describedBy: own('password') === undefined ? undefined : 'password-error',
    },
    forgot,
    signUp: safeAddress(model.links?.signUp),
  };
}

function signInErrors(model: SignInModel, canReset: boolean, t: Translate): readonly FieldMessage[] {
  const message = (key: string, count?: number) =>
    t(`sign_in.error.${key}`, count === undefined ? undefined : { count });
  switch (model.error) {
    case undefined:
      return [];
    case 'credentials':
      return [{ field: 'password', text: message('credentials') }];
    case 'missing_email':
      return [{ field: 'email', text: message('missing_email') }];
    case 'missing_password':
      return [{ field: 'password', text: message('missing_password') }];
    case 'missing_both':
      return [
        { field: 'email', text: message('missing_email') },
        { field: 'password', text: message('missing_password') },
      ];
    case 'throttled':
      if (model.retryAfterMinutes === undefined) return [{ text: message('throttled') }];
      return [
        { text: message(canReset ? 'throttled_reset' : 'throttled_minutes', wholeMinutes(model.retryAfterMinutes)) },
      ];
    case 'busy':
      return [{ text: message('busy') }];
    case 'stale_form':
      return [{ text: message('stale_form') }];
    default: {
      const never: never = model.error;
      return never;
    }
  }
}

function wholeMinutes(minutes: number): number {
  return Math.max(1, Math.ceil(minutes));
}

// Standard scopes whose words are ours: OpenID Connect Core §5.4 and §11.
const knownScopes: readonly string[] = ['openid', 'profile', 'email', 'phone', 'address', 'offline_access'];
const explainedScopes: readonly string[] = ['openid', 'offline_access'];

function presentConsent(model: ConsentModel, { t }: { t: Translate }): PageView {
  const application = displayName(model.applicationName);
  return {
    step: t('consent.step'),
    heading: t('consent.heading', { application }),
    failed: false,
    scripts: ['submit_guard'],
    action: model.action,
    csrf: model.csrf,
    account: displayName(model.account),
    scopesIntro: t('consent.scopes', { application }),
    scopes: model.scopes.map((scope) => presentScope(scope, t)),
    destination: destinationHost(model.redirectUri),
    otherAccount: safeAddress(model.otherAccountAddress),
    accountAddress: safeAddress(model.accountAddress),
  };
}

function presentApprovals(model: ApprovalsModel, { shell, t }: { shell: PageShell; t: Translate }): PageView {
  const moment = (at: Date) => ({ machine: at.toISOString(), words: formatMoment(at, shell.locale) });
  return {
    step: t('approvals.step'),
    heading: t('approvals.heading'),
    failed: false,
    scripts: ['submit_guard'],
    account: displayName(model.account),
    notice: model.notice === undefined ? undefined : t(`approvals.notice.${model.notice}`),
    nothing: t('approvals.nothing', { tenant: tenantOf(shell) }),
    reload: safeAddress(model.address),
    requests: model.requests.map((request, index) => {
      const application = displayName(request.applicationName);
      return {
        label: `request-${index + 1}`,
        heading: t('consent.heading', { application }),
        bindingMessage: request.bindingMessage === undefined ? undefined : displayName(request.bindingMessage),
        asked: moment(request.askedAt),
        expires: moment(request.expiresAt),
        scopesIntro: t('consent.scopes', { application }),
        scopes: request.scopes.map((scope) => presentScope(scope, t)),
        action: request.action,
        csrf: request.csrf,
      };
    }),
  };
}

function presentScope(
  scope: ConsentScope,
  t: Translate,
): { readonly words?: string; readonly code?: string; readonly detail?: string } {
  const { name } = scope;
  if (knownScopes.includes(name)) {
    const words = t(`consent.scope.${name}`);
    return explainedScopes.includes(name) ? { words, detail: t(`consent.scope.${name}_detail`) } : { words };
  }
  const code = displayName(name);
  return scope.description === undefined ? { code } : { words: displayName(scope.description), code };
}

function destinationHost(redirectUri: string): string {
  if (!URL.canParse(redirectUri)) return displayName(redirectUri);
  const { protocol, host } = new URL(redirectUri);
  // The colon belongs to the address and not to the name; in a sentence it looks like a mistake.
  return host === '' || !['https:', 'http:'].includes(protocol) ? displayName(protocol.slice(0, -1)) : host;
}

function presentExpired(model: ExpiredModel, { t }: { t: Translate }): PageView {
  const application = presentDestination(model.application, t('logged_out.this_application'));
  return {
    step: t('expired.step'),
    heading: t('expired.heading'),
    failed: false,
    scripts: [],
    why: t('expired.why'),
    whatNow:
      application === undefined
        ? t('expired.what_now_unknown')
        : t('expired.what_now', { application: application.name }),
    back: backTo(application, (name) => t('expired.back', { application: name })),
  };
}

function presentLogout(model: LogoutModel, { shell, t }: { shell: PageShell; t: Translate }): PageView {
  const tenant = tenantOf(shell);
  return {
    step: t('logout.step'),
    heading: t('logout.heading'),
    failed: false,
    scripts: ['submit_guard'],
    action: model.action,
    xsrf: model.xsrf,
    consequence: t('logout.consequence', { tenant }),
    account: model.account === undefined ? undefined : displayName(model.account),
    stay: t('logout.stay', { tenant }),
  };
}

function presentLoggedOut(model: LoggedOutModel, { shell, t }: { shell: PageShell; t: Translate }): PageView {
  const unnamed = t('logged_out.this_application');
  const application = presentDestination(model.application, unnamed);
  const values = {
    tenant: tenantOf(shell),
    application: displayName(model.application?.name ?? shell.applicationName ?? unnamed),
  };
  const say = (key: string) => t(`logged_out.${model.result}.${key}`, values);
  return {
    step: say('step'),
    heading: say('heading'),
    failed: false,
    scripts: [],
    text: say('text'),
    hint: say('hint'),
    back: backTo(application, (name) => t('logged_out.back', { application: name })),
  };
}

function presentProblem(model: ProblemModel, { shell, t }: { shell: PageShell; t: Translate }): PageView {
  const heading = t(`problem.${model.kind}.heading`);
  const application = presentDestination(model.application, t('logged_out.this_application'));
  const applicationName = model.application?.name ?? shell.applicationName;
  return {
    step: heading,
    heading,
    failed: true,
    scripts: [],
    text: t(`problem.${model.kind}.text`),
    retry:
      model.retryAfterMinutes === undefined
        ? undefined
        : t('problem.retry', { count: wholeMinutes(model.retryAfterMinutes) }),
    at: { machine: model.at.toISOString(), words: formatMoment(model.at, shell.locale) },
    application: applicationName === undefined ? undefined : displayName(applicationName),
    oauth:
      model.oauth === undefined
        ? undefined
        : { error: displayName(model.oauth.error), description: model.oauth.description },
    back: backTo(application, (name) => t('problem.back', { application: name })),
  };
}

function presentHome(model: HomeModel, { shell, t }: { shell: PageShell; t: Translate }): PageView {
  const tenant = tenantOf(shell);
  return {
    step: t('home.step'),
    heading: t('home.heading', { tenant }),
    failed: false,
    scripts: [],
    text: t('home.text', { tenant }),
    account: safeAddress(model.accountAddress),
  };
}

/** Sentences need a name, also where there is no tenant. */
function tenantOf({ tenantName }: PageShell): string {
  return displayName(tenantName ?? installationName);
}

function presentDestination(
  destination: Destination | undefined,
  unnamed: string,
): { readonly name: string; readonly address: string } | undefined {
  const address = safeAddress(destination?.address);
  if (destination === undefined || address === undefined) return undefined;
  return { name: displayName(destination.name) || unnamed, address };
}

function backTo(
  application: { readonly name: string; readonly address: string } | undefined,
  label: (name: string) => string,
): { readonly label: string; readonly address: string } | undefined {
  return application === undefined ? undefined : { label: label(application.name), address: application.address };
}
