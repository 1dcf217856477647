/**
 * The pages of signing in: address and password, then a second factor where one is asked for. Which of them is shown, the server
 * knows (flows/sign_in/second_factor.ts); a form for the other finds nothing to go on with.
 */
import { z } from 'zod';
import type { Authentication, FactorRecord } from '#src/domain/authentication.ts';
import { userId } from '#src/domain/user.ts';
import { backupCodeSet } from '#src/flows/factors/backup_codes.ts';
import type { RememberedDevice, SignInProgress } from '#src/flows/sign_in/authentication_steps.ts';
import { sendEmailCode } from '#src/flows/sign_in/email_codes.ts';
import { beginEnrolment, confirmEnrolment, finishEnrolment, renewCodes } from '#src/flows/sign_in/enrol_at_sign_in.ts';
import { passkeySecondFactorOptions, passkeySignInOptions, signInWithPasskey } from '#src/flows/sign_in/passkeys.ts';
import {
  beginStepUp,
  type ContinueOutcome,
  continueSignIn,
  findPendingSignIn,
  type PendingSignIn,
  type SecondFactorProof,
} from '#src/flows/sign_in/second_factor.ts';
import { signIn } from '#src/flows/sign_in/sign_in.ts';
import { totpAddress } from '#src/foundation/totp.ts';
import { PASSKEY_ANSWER_CHARACTERS } from '#src/foundation/webauthn.ts';
import { createPrompt, secondFactorPrompt } from '#src/oidc/policies.ts';
import { readAccount } from '#src/storage/tables/people.ts';
import { ProblemRaised, problems } from '../../problems.ts';
import type { BackupCodesModel } from '../account/factor_models.ts';
import { keepDevice } from '../kit/device_cookie.ts';
import { showPage } from '../kit/page_kit.ts';
import { keptAddress } from '../visitors/visitor_pages.ts';
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
import type { SecondFactorError } from './second_factor_models.ts';
import type { SignInError } from './sign_in_models.ts';

const passkeyField = z.string().max(PASSKEY_ANSWER_CHARACTERS).optional();

const signInForm = z.strictObject({
  csrf: field,
  email: field.default(''),
  password: field.default(''),
  passkey: passkeyField,
  ui_locales: localeField,
});

/** Of every step that follows. Which of its fields count, the server knows by how far the sign-in has got. */
const nextStepForm = z.strictObject({
  csrf: field,
  code: field.optional(),
  backup_code: field.optional(),
  email_code: field.optional(),
  passkey: passkeyField,
  /** A code by mail is asked for. */
  send: z.literal('email_code').optional(),
  /** Backup codes were put away, and which. */
  saved: z.literal('yes').optional(),
  set: field.optional(),
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
  return showSignIn(step, {});
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
  const form = parseForm(nextStepForm, fields);
  const pending = await findPendingSignIn(services(step), placeOf(step));
  // Whatever order forms come in, without something half done there is nothing but the start.
  if (pending === undefined || form.ui_locales !== undefined)
    return showSignInStep(form.ui_locales === undefined ? step : keepLocale({ ...step, locale: form.ui_locales }));
  if (!step.formTokens.accepts(form.csrf, step.subject)) {
    // To show the codes again would replace them: not because of a form that is not ours.
    if (pending.wanted === 'backup_codes') throw new ProblemRaised(problems.staleForm());
    return showPending(step, pending, { error: 'stale_form', status: 403 });
  }
  switch (pending.wanted) {
    case 'second_factor':
      return answerSecondFactor(step, pending, form);
    case 'enrolment':
      return answerEnrolment(step, pending, form);
    case 'backup_codes':
      return answerBackupCodes(step, pending, form);
    default: {
      const never: never = pending.wanted;
      return never;
    }
  }
}

function services({ options }: Step) {
  return options.signInServices;
}

async function answerSignIn(step: Step, form: z.infer<typeof signInForm>): Promise<void> {
  const { email, password, passkey = '' } = form;
  if (form.ui_locales !== undefined) return showSignIn(keepLocale({ ...step, locale: form.ui_locales }), { email });
  if (!step.formTokens.accepts(form.csrf, step.subject))
    return showSignIn(step, { email, error: 'stale_form', status: 403 });
  if (passkey !== '') return answerPasskey(step, passkey);
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

async function answerPasskey(step: Step, answer: string): Promise<void> {
  const result = await signInWithPasskey(services(step), placeOf(step), answer);
  switch (result.outcome) {
    case 'signed_in':
      return finishStep(step, result);
    case 'refused':
      return showSignIn(step, { error: 'passkey', status: 400 });
    case 'throttled': {
      const { retryAfterSeconds } = result;
      step.ctx.set('retry-after', String(retryAfterSeconds));
      return showSignIn(step, { error: 'throttled', status: 429, retryAfterSeconds });
    }
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

/** In a session that a password opened: that counts, as the engine keeps it now. */
async function beginSecondFactor(step: Step): Promise<void> {
  const { engine, exchange } = step.state;
  const session = await engine.findOwnSession(exchange);
  if (session === undefined || session.accountId !== step.interaction.accountId) return showSignIn(step, {});
  const factors: readonly FactorRecord[] = session.amr.includes('pwd')
    ? [{ method: 'password', at: session.authenticatedAt }]
    : [];
  if (factors.length === 0) return showSignIn(step, {});
  const begun = await beginStepUp(services(step), placeOf(step), { userId: userId(session.accountId), factors });
  if (begun.outcome === 'unmet') return answer(step, { kind: 'unmet' });
  const pending = await findPendingSignIn(services(step), placeOf(step));
  return pending === undefined ? showSignIn(step, {}) : showPending(step, pending, {});
}

type NextStepForm = z.infer<typeof nextStepForm>;

async function answerSecondFactor(step: Step, pending: PendingSignIn, form: NextStepForm): Promise<void> {
  if (form.send !== undefined) return sendCode(step, pending);
  const proof = proofOf(form);
  if (proof === undefined) return showPending(step, pending, { error: 'missing', status: 400 });
  const rememberDevice = form.remember_device === 'yes';
  const continued = await continueSignIn(services(step), placeOf(step), { proof, rememberDevice });
  return showContinued(step, pending, { proof, continued });
}

/** The first that was filled in. */
function proofOf({ code, backup_code, email_code, passkey }: NextStepForm): SecondFactorProof | undefined {
  const filled = (text: string | undefined): text is string => text !== undefined && text.trim() !== '';
  if (filled(passkey)) return { kind: 'passkey', answer: passkey };
  if (filled(code)) return { kind: 'totp', code };
  if (filled(email_code)) return { kind: 'email_code', code: email_code };
  return filled(backup_code) ? { kind: 'backup_code', code: backup_code } : undefined;
}

async function sendCode(step: Step, pending: PendingSignIn): Promise<void> {
  const { outcome } = await sendEmailCode(services(step), placeOf(step));
  if (outcome === 'expired') return showSignIn(step, { error: 'stale_form', status: 400 });
  if (outcome === 'refused') return showPending(step, pending, { error: 'not_sent', status: 400 });
  return showPending(step, pending, { emailSent: true });
}

async function answerEnrolment(step: Step, pending: PendingSignIn, form: NextStepForm): Promise<void> {
  const code = form.code ?? '';
  if (code.trim() === '') return showPending(step, pending, { error: 'missing', status: 400 });
  const enrolled = await confirmEnrolment(services(step), placeOf(step), code);
  switch (enrolled.outcome) {
    case 'enrolled': {
      // The next step is shown by its address: whoever loads it again confirms nothing twice. Beside a consent page it has none.
      if (step.interaction.prompt !== 'consent') return goTo(step.ctx, step.action);
      return showPending(step, { ...pending, wanted: 'backup_codes' }, {});
    }
    case 'refused':
      return showPending(step, pending, { error: 'code', status: 400 });
    case 'expired': {
      // Confirmed by another request at the same moment: then there is a next step to show.
      const now = await findPendingSignIn(services(step), placeOf(step));
      if (now?.wanted === 'backup_codes') return showPending(step, now, {});
      return showSignIn(step, { error: 'stale_form', status: 400 });
    }
    default: {
      const never: never = enrolled;
      return never;
    }
  }
}

async function answerBackupCodes(step: Step, pending: PendingSignIn, form: NextStepForm): Promise<void> {
  if (form.saved !== 'yes') return showPending(step, pending, { error: 'not_saved', status: 400 });
  const finished = await finishEnrolment(services(step), placeOf(step), form.set ?? '');
  switch (finished.outcome) {
    case 'signed_in':
      return finishStep(step, finished);
    case 'used':
      return showPending(step, pending, { error: 'replaced', status: 400 });
    case 'expired':
      return showSignIn(step, { error: 'stale_form', status: 400 });
    default: {
      const never: never = finished;
      return never;
    }
  }
}

async function showContinued(
  step: Step,
  pending: PendingSignIn,
  { proof, continued }: { readonly proof: SecondFactorProof; readonly continued: ContinueOutcome },
): Promise<void> {
  const emailSent = proof.kind === 'email_code';
  switch (continued.outcome) {
    case 'signed_in':
      return finishStep(step, continued);
    case 'refused':
      return showPending(step, pending, {
        error: proof.kind === 'passkey' ? 'passkey' : 'code',
        status: 400,
        emailSent,
      });
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

async function showSignIn(
  step: Step,
  { email, error, status, retryAfterSeconds }: Shown<SignInError> & { readonly email?: string },
): Promise<void> {
  const { action, interaction } = step;
  const { engine } = step.state;
  const csrf = step.formTokens.issue(step.subject);
  const isOff = engine.people['second_factor.policy'] === 'off';
  const model = {
    action,
    csrf,
    email,
    loginHint: interaction.loginHint ?? keptAddress(step.ctx),
    signedInAs: await signedInAs(step),
    links: linksOf(step),
    // A question of its own on every refusal would be a difference between two of them, and work for whoever guesses.
    passkey: isOff || status !== undefined ? undefined : await passkeySignInOptions(services(step), placeOf(step)),
    passkeyAddress: isOff || status === undefined ? undefined : action,
    error,
    retryAfterMinutes: error === 'throttled' ? minutesOf(retryAfterSeconds) : undefined,
  };
  showPage(step.ctx, { name: 'sign_in', model, languageSwitch: { kind: 'form' }, ...commonOf(step, status) });
}

/** The address of who is signed in already and is asked again. */
async function signedInAs({ interaction, state, options }: Step): Promise<string | undefined> {
  // Whoever was asked for consent and wishes to be somebody else is not asked to be themselves.
  if (interaction.accountId === undefined || interaction.prompt === 'consent') return undefined;
  const tenant = options.signInServices.database.tenant(state.engine.tenant.id);
  return (await readAccount(tenant, interaction.accountId))?.email;
}

type PendingError = SecondFactorError | NonNullable<BackupCodesModel['error']>;

async function showPending(
  step: Step,
  pending: PendingSignIn,
  shown: Shown<PendingError> & { readonly emailSent?: boolean },
): Promise<void> {
  switch (pending.wanted) {
    case 'second_factor':
      return showSecondFactor(step, pending, shown);
    case 'enrolment':
      return showSetUp(step, pending, shown);
    case 'backup_codes':
      return showCodes(step, pending, await renewCodes(services(step), placeOf(step), pending), shown);
    default: {
      const never: never = pending.wanted;
      return never;
    }
  }
}

async function showSecondFactor(
  step: Step,
  pending: PendingSignIn,
  { error, status, retryAfterSeconds, emailSent }: Shown<PendingError> & { readonly emailSent?: boolean },
): Promise<void> {
  const { people } = step.state.engine;
  // With a passkey alone there is no form that could be sent again.
  const hasForm = pending.methods.some((method) => method !== 'passkey');
  showPage(step.ctx, {
    name: 'second_factor',
    model: {
      action: step.action,
      csrf: step.formTokens.issue(step.subject),
      account: pending.email,
      methods: pending.methods,
      passkey: pending.methods.includes('passkey')
        ? await passkeySecondFactorOptions(services(step), placeOf(step), pending.userId)
        : undefined,
      emailSent,
      rememberDays: people['second_factor.remember_device_days'],
      error: only(error, ['code', 'missing', 'throttled', 'stale_form', 'passkey', 'not_sent']),
      retryAfterMinutes: minutesOf(retryAfterSeconds),
      otherAccountAddress: `${step.action}?again`,
      helpAddress: people['links.help'],
    },
    languageSwitch: hasForm ? { kind: 'form' } : { kind: 'link', address: new URL(step.action).pathname },
    ...commonOf(step, status),
  });
}

async function showSetUp(step: Step, pending: PendingSignIn, { error, status }: Shown<PendingError>): Promise<void> {
  const secret = await beginEnrolment(services(step), placeOf(step), pending);
  showPage(step.ctx, {
    name: 'set_up_totp',
    model: {
      action: step.action,
      csrf: step.formTokens.issue(step.subject),
      account: pending.email,
      secret,
      appAddress: totpAddress({ secret, issuer: step.state.engine.tenant.name, account: pending.email }),
      required: true,
      error: only(error, ['code', 'missing', 'stale_form']),
      otherAccountAddress: `${step.action}?again`,
    },
    languageSwitch: { kind: 'form' },
    ...commonOf(step, status),
  });
}

async function showCodes(
  step: Step,
  pending: PendingSignIn,
  codes: readonly string[],
  { error, status }: Shown<PendingError>,
): Promise<void> {
  showPage(step.ctx, {
    name: 'backup_codes',
    model: {
      action: step.action,
      csrf: step.formTokens.issue(step.subject),
      account: pending.email,
      codes,
      set: backupCodeSet(pending.userId, codes),
      error: only(error, ['not_saved', 'replaced']),
    },
    languageSwitch: { kind: 'form' },
    ...commonOf(step, status),
  });
}

/** The mistake, where this page has words for it. */
function only<Mistake extends PendingError>(
  error: PendingError | undefined,
  known: readonly Mistake[],
): Mistake | undefined {
  return known.find((mistake) => mistake === error);
}

function minutesOf(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : Math.ceil(seconds / 60);
}
