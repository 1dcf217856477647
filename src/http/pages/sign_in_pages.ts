/**
 * The pages of signing in: address and password, then a second factor where one is asked for. Which of them is shown, the server
 * knows (flows/second_factor.ts); a form for the other finds nothing to go on with.
 */
import { z } from 'zod';
import type { Authentication, FactorRecord } from '#src/domain/authentication.ts';
import { userId } from '#src/domain/user.ts';
import type { RememberedDevice, SignInProgress } from '#src/flows/authentication_steps.ts';
import {
  beginStepUp,
  type ContinueOutcome,
  continueSignIn,
  findPendingSignIn,
  type PendingSignIn,
} from '#src/flows/second_factor.ts';
import { signIn } from '#src/flows/sign_in.ts';
import { createPrompt, secondFactorPrompt } from '#src/oidc/policies.ts';
import { keepDevice } from './device_cookie.ts';
import {
  answer,
  commonOf,
  field,
  goTo,
  keepLocale,
  localeField,
  parseForm,
  placeOf,
  type Step,
} from './interaction_step.ts';
import { showPage } from './page_kit.ts';
import type { SecondFactorError } from './second_factor_models.ts';
import type { SignInError } from './sign_in_models.ts';

const signInForm = z.strictObject({
  csrf: field,
  email: field.default(''),
  password: field.default(''),
  ui_locales: localeField,
});

const secondFactorForm = z.strictObject({
  csrf: field,
  code: field.optional(),
  backup_code: field.optional(),
  remember_device: z.literal('yes').optional(),
  ui_locales: localeField,
});

/** `?again`: with another account, or from the start. */
export async function showSignInStep(step: Step): Promise<void> {
  const pending =
    step.ctx.query['again'] === undefined ? await findPendingSignIn(services(step), placeOf(step)) : undefined;
  if (pending !== undefined) return showPending(step, pending, {});
  if (wantsAccount(step)) return goTo(step.ctx, linksOf(step).signUp ?? step.action);
  if (step.interaction.prompt === secondFactorPrompt) return beginSecondFactor(step);
  showSignIn(step, {});
}

/** OpenID Connect Initiating User Registration 1.0: who comes back from there, or has an account after all, signs in. */
function wantsAccount(step: Step): boolean {
  const { ctx, interaction } = step;
  const isBack = ['sign_in', 'again'].some((name) => ctx.query[name] !== undefined);
  return interaction.prompt === createPrompt && ctx.method !== 'POST' && !isBack && linksOf(step).signUp !== undefined;
}

/** Where else somebody may want to go from here; they come back to this sign-in. */
function linksOf({ options, state, interaction }: Step): {
  readonly forgot: string;
  readonly signUp: string | undefined;
} {
  const { tenant, people } = state.engine;
  const to = (page: string): string =>
    `${options.config.http.publicUrl}/t/${tenant.slug}/${page}?interaction=${interaction.uid}`;
  return { forgot: to('forgot'), signUp: people['people.registration'] === 'open' ? to('signup') : undefined };
}

export async function answerSignInStep(step: Step, fields: unknown): Promise<void> {
  const isSignIn = typeof fields === 'object' && fields !== null && ('email' in fields || 'password' in fields);
  if (isSignIn) return answerSignIn(step, parseForm(signInForm, fields));
  const form = parseForm(secondFactorForm, fields);
  const isSecondFactor = form.code !== undefined || form.backup_code !== undefined;
  const pending = await findPendingSignIn(services(step), placeOf(step));
  // Whatever order forms come in, without something half done there is nothing but the start.
  if (pending === undefined || !isSecondFactor)
    return showSignInStep(form.ui_locales === undefined ? step : keepLocale({ ...step, locale: form.ui_locales }));
  return answerSecondFactor(step, pending, form);
}

function services({ options }: Step) {
  return options.signInServices;
}

async function answerSignIn(step: Step, form: z.infer<typeof signInForm>): Promise<void> {
  const { email, password } = form;
  if (form.ui_locales !== undefined) return showSignIn(keepLocale({ ...step, locale: form.ui_locales }), { email });
  if (!step.formTokens.accepts(form.csrf, step.subject))
    return showSignIn(step, { email, error: 'stale_form', status: 403 });
  const missing = missingOf(form);
  if (missing !== undefined) return showSignIn(step, { email, error: missing, status: 400 });

  const result = await signIn(services(step), { ...placeOf(step), email, password });
  switch (result.outcome) {
    case 'refused':
      return showSignIn(step, { email, error: 'credentials', status: 400 });
    case 'throttled':
    case 'busy': {
      const { outcome: error, retryAfterSeconds } = result;
      step.ctx.set('retry-after', String(retryAfterSeconds));
      return showSignIn(step, { email, error, status: error === 'busy' ? 503 : 429, retryAfterSeconds });
    }
    default:
      return showProgress(step, result);
  }
}

function missingOf({ email, password }: { email: string; password: string }): SignInError | undefined {
  if (email.trim() === '') return password === '' ? 'missing_both' : 'missing_email';
  return password === '' ? 'missing_password' : undefined;
}

async function showProgress(step: Step, progress: SignInProgress): Promise<void> {
  switch (progress.outcome) {
    case 'signed_in':
      return finishStep(step, progress);
    case 'unmet':
      return answer(step, { kind: 'unmet' });
    case 'second_factor':
    case 'enrolment':
    case 'expired':
      return showSignInStep(step);
    default: {
      const never: never = progress;
      return never;
    }
  }
}

function finishStep(
  step: Step,
  {
    authentication,
    device,
  }: { readonly authentication: Authentication; readonly device: RememberedDevice | undefined },
): Promise<void> {
  const { publicUrl } = step.options.config.http;
  keepDevice(step.ctx, device, { path: `/t/${step.state.engine.tenant.slug}`, secure: publicUrl.startsWith('https:') });
  return answer(step, { kind: 'signed_in', authentication });
}

/** In a session that a password opened: that counts, as the engine kept it. */
async function beginSecondFactor(step: Step): Promise<void> {
  const { accountId, session } = step.interaction;
  const factors: readonly FactorRecord[] =
    session?.amr.includes('pwd') === true ? [{ method: 'password', at: services(step).clock() }] : [];
  if (accountId === undefined || factors.length === 0) return showSignIn(step, {});
  const begun = await beginStepUp(services(step), placeOf(step), { userId: userId(accountId), factors });
  if (begun.outcome === 'unmet') return answer(step, { kind: 'unmet' });
  const pending = await findPendingSignIn(services(step), placeOf(step));
  return pending === undefined ? showSignIn(step, {}) : showPending(step, pending, {});
}

async function answerSecondFactor(
  step: Step,
  pending: PendingSignIn,
  form: z.infer<typeof secondFactorForm>,
): Promise<void> {
  if (form.ui_locales !== undefined) return showPending(keepLocale({ ...step, locale: form.ui_locales }), pending, {});
  if (!step.formTokens.accepts(form.csrf, step.subject))
    return showPending(step, pending, { error: 'stale_form', status: 403 });
  const { code = '', backup_code: backupCode = '' } = form;
  if (code.trim() === '' && backupCode.trim() === '')
    return showPending(step, pending, { error: 'missing', status: 400 });
  const proof =
    code.trim() === '' ? ({ kind: 'backup_code', code: backupCode } as const) : ({ kind: 'totp', code } as const);
  const rememberDevice = form.remember_device === 'yes';
  return showContinued(step, pending, await continueSignIn(services(step), placeOf(step), { proof, rememberDevice }));
}

async function showContinued(step: Step, pending: PendingSignIn, continued: ContinueOutcome): Promise<void> {
  switch (continued.outcome) {
    case 'signed_in':
      return finishStep(step, continued);
    case 'refused':
      return showPending(step, pending, { error: 'code', status: 400 });
    case 'throttled': {
      const { retryAfterSeconds } = continued;
      step.ctx.set('retry-after', String(retryAfterSeconds));
      return showPending(step, pending, { error: 'throttled', status: 429, retryAfterSeconds });
    }
    case 'expired':
      return showSignIn(step, { error: 'stale_form', status: 400 });
    default: {
      const never: never = continued;
      return never;
    }
  }
}

interface Shown<Mistake> {
  readonly error?: Mistake;
  readonly status?: number;
  readonly retryAfterSeconds?: number;
}

function showSignIn(
  step: Step,
  { email, error, status, retryAfterSeconds }: Shown<SignInError> & { readonly email?: string },
): void {
  const retryAfterMinutes = error === 'throttled' ? minutesOf(retryAfterSeconds) : undefined;
  const { action, interaction } = step;
  const csrf = step.formTokens.issue(step.subject);
  const { loginHint } = interaction;
  const isAgain = interaction.accountId !== undefined && step.ctx.query['again'] === undefined;
  const links = linksOf(step);
  const model = { action, csrf, email, loginHint, isAgain, error, retryAfterMinutes, links };
  showPage(step.ctx, { name: 'sign_in', model, languageSwitch: { kind: 'form' }, ...commonOf(step, status) });
}

async function showPending(
  step: Step,
  pending: PendingSignIn,
  { error, status, retryAfterSeconds }: Shown<SecondFactorError>,
): Promise<void> {
  // The page on which a factor is set up is not there yet: without one there is no way on.
  if (pending.wanted === 'enrolment') return answer(step, { kind: 'unmet' });
  showPage(step.ctx, {
    name: 'second_factor',
    model: {
      action: step.action,
      csrf: step.formTokens.issue(step.subject),
      account: pending.email,
      methods: pending.methods,
      rememberDays: step.state.engine.people['second_factor.remember_device_days'],
      error,
      retryAfterMinutes: minutesOf(retryAfterSeconds),
      otherAccountAddress: `${step.action}?again`,
      helpAddress: step.state.engine.people['links.help'],
    },
    languageSwitch: { kind: 'form' },
    ...commonOf(step, status),
  });
}

function minutesOf(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : Math.ceil(seconds / 60);
}
