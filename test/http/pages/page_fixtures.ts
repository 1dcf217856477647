/** Every hosted page in every state worth looking at, in the words of a Dutch care tenant. Shared by the page tests. */
import type { PageModels, PageName } from '#src/http/pages/page_models.ts';
import type { PageShell } from '#src/http/pages/page_shell.ts';
import { renderPage } from '#src/http/pages/render.ts';
import type { Locale } from '#src/http/pages/translations.ts';

export interface PageState {
  /** Reads as a sentence in a test's name: "sign_in after wrong credentials". */
  readonly name: string;
  readonly page: PageName;
  render(shell: PageShell): string;
}

export const application = { name: 'Zorgplanner', address: 'https://planner.example/start' };

export function shellFor(locale: Locale, changes: Partial<PageShell> = {}): PageShell {
  return {
    locale,
    tenantName: 'Zorggroep De Linde',
    applicationName: application.name,
    requestId: '0193f0a2-7c1e-7f6a-9b7e-4c1d2e3f4a5b',
    assetsPath: '/assets',
    languageSwitch: { kind: 'link', address: '/t/linde/interaction/abc?step=1' },
    ...changes,
  };
}

const signIn: PageModels['sign_in'] = { action: '/t/linde/interaction/abc/sign-in', csrf: 'csrf-value' };
const links = { forgot: '/t/linde/forgot', signUp: '/t/linde/signup' };

const secondFactor: PageModels['second_factor'] = {
  action: '/t/linde/interaction/abc',
  csrf: 'csrf-value',
  account: 'ada.de.vries@linde.example',
  methods: ['totp', 'backup_code'],
  rememberDays: 30,
  otherAccountAddress: '/t/linde/interaction/abc?again',
  helpAddress: 'https://linde.example/hulp',
};

const consent: PageModels['consent'] = {
  action: '/t/linde/interaction/abc/consent',
  csrf: 'csrf-value',
  applicationName: application.name,
  account: 'ada.de.vries@linde.example',
  scopes: [
    { name: 'openid' },
    { name: 'profile' },
    { name: 'email' },
    { name: 'offline_access' },
    { name: 'planning:read', description: 'Uw rooster lezen' },
    { name: 'telemetry:write' },
  ],
  redirectUri: 'https://planner.example/callback',
  otherAccountAddress: '/t/linde/interaction/abc/other-account',
  accountAddress: '/t/linde/account',
};

const at = new Date('2026-11-23T13:04:05Z');

const request: PageModels['approvals']['requests'][number] = {
  id: 'abc',
  action: '/t/linde/approvals/abc',
  csrf: 'csrf-value',
  applicationName: application.name,
  bindingMessage: 'Zonnebloem 4711',
  scopes: consent.scopes,
  askedAt: at,
  expiresAt: new Date(at.getTime() + 300_000),
};
const approvals: PageModels['approvals'] = {
  address: '/t/linde/approvals',
  account: consent.account,
  requests: [request, { ...request, id: 'def', bindingMessage: undefined, scopes: [{ name: 'openid' }] }],
};

export const pageStates: readonly PageState[] = [
  state('second_factor at first', 'second_factor', secondFactor),
  state('second_factor after wrong attempts', 'second_factor', { ...secondFactor, error: 'code' }),
  state('second_factor with nothing filled in', 'second_factor', { ...secondFactor, error: 'missing' }),
  state('second_factor with backup codes alone, after wrong attempts', 'second_factor', {
    ...secondFactor,
    methods: ['passkey', 'backup_code'],
    rememberDays: 0,
    error: 'code',
  }),
  state('second_factor while throttled', 'second_factor', {
    ...secondFactor,
    error: 'throttled',
    retryAfterMinutes: 12,
  }),
  state('second_factor with a stale form', 'second_factor', { ...secondFactor, error: 'stale_form' }),
  state('sign_in at first', 'sign_in', signIn),
  state('sign_in with every link and a login hint', 'sign_in', { ...signIn, loginHint: 'ada@linde.example', links }),
  state('sign_in whose language switch posts the form', 'sign_in', signIn, { languageSwitch: { kind: 'form' } }),
  state('sign_in after wrong credentials', 'sign_in', {
    ...signIn,
    email: 'ada@linde.example',
    error: 'credentials',
    links,
  }),
  state('sign_in without an address', 'sign_in', { ...signIn, error: 'missing_email' }),
  state('sign_in without a password', 'sign_in', { ...signIn, email: 'ada@linde.example', error: 'missing_password' }),
  state('sign_in with nothing filled in', 'sign_in', { ...signIn, error: 'missing_both' }),
  state('sign_in while throttled', 'sign_in', {
    ...signIn,
    email: 'ada@linde.example',
    error: 'throttled',
    retryAfterMinutes: 15,
    links,
  }),
  state('sign_in while throttled for a last minute', 'sign_in', {
    ...signIn,
    error: 'throttled',
    retryAfterMinutes: 0.4,
  }),
  state('sign_in while throttled for who knows how long', 'sign_in', { ...signIn, error: 'throttled' }),
  state('sign_in while busy', 'sign_in', { ...signIn, email: 'ada@linde.example', error: 'busy' }),
  state('sign_in with a stale form', 'sign_in', { ...signIn, error: 'stale_form' }),
  state('sign_in without an application', 'sign_in', signIn, { applicationName: undefined, languageSwitch: undefined }),
  state('consent', 'consent', consent),
  state('consent for an installed app', 'consent', {
    action: consent.action,
    csrf: consent.csrf,
    applicationName: consent.applicationName,
    account: consent.account,
    scopes: [{ name: 'openid' }, { name: 'phone' }, { name: 'address' }],
    redirectUri: 'com.example.planner:/callback',
  }),
  state('approvals with nothing to answer', 'approvals', { ...approvals, requests: [] }),
  state('approvals with two requests', 'approvals', approvals),
  ...(['allowed', 'denied', 'gone'] as const).map((notice) =>
    state(`approvals after one was ${notice}`, 'approvals', { ...approvals, requests: [], notice }),
  ),
  state('expired', 'expired', { application }),
  state('expired with nowhere to go', 'expired', {}),
  state('logout', 'logout', { action: '/t/linde/logout/confirm', xsrf: 'xsrf-value', account: 'ada@linde.example' }),
  state('logout of nobody in particular', 'logout', { action: '/t/linde/logout/confirm', xsrf: 'xsrf-value' }),
  state('logged_out', 'logged_out', { result: 'signed_out', application }),
  state('logged_out of one application', 'logged_out', { result: 'signed_out_of_application' }),
  state('logged_out but stayed', 'logged_out', { result: 'stayed' }),
  state('problem with an oauth error', 'problem', {
    kind: 'invalid_redirect',
    at,
    oauth: { error: 'invalid_redirect_uri', description: 'redirect_uri did not match any registered address' },
    application,
  }),
  ...(
    [
      'fault',
      'not_found',
      'invalid_request',
      'unknown_application',
      'refused',
      'stale_form',
      'cookies',
      'busy',
    ] as const
  ).map((kind) => state(`problem ${kind}`, 'problem', { kind, at })),
  state(
    'problem throttled',
    'problem',
    { kind: 'throttled', at, retryAfterMinutes: 2 },
    { applicationName: undefined },
  ),
  state('home', 'home', { accountAddress: '/t/linde/account' }, { applicationName: undefined }),
  state('home without an account page', 'home', {}, { applicationName: undefined }),
];

function state<N extends PageName>(
  name: string,
  page: N,
  model: PageModels[N],
  changes: Partial<PageShell> = {},
): PageState {
  return { name, page, render: (shell) => renderPage(page, { ...shell, ...changes }, model) };
}
