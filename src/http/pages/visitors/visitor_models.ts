/** The pages for whoever is not signed in: registering, proving an address, recovering, an invitation, and how each of them ends. */
import { minimumCharacters, type PasswordPolicy, type PasswordRefusal } from '#src/domain/password_policy.ts';
import {
  displayName,
  type FieldMessage,
  type FieldView,
  formScripts,
  type PageContext,
  type PageView,
  presentField,
  safeAddress,
  tenantOf,
  wholeMinutes,
} from '../kit/page_shell.ts';
import type { Translate } from '../kit/translations.ts';

/** What every form here may be sent back for. */
export type VisitorError = 'stale_form' | 'throttled' | 'busy';

export interface VisitorForm {
  readonly action: string;
  readonly csrf: string;
  readonly error?: VisitorError | undefined;
  readonly retryAfterMinutes?: number | undefined;
}

/** What a password must be, as the page says it before anybody types. */
export type PasswordRules = PasswordPolicy;

export interface ProfileFields {
  readonly givenName?: string | undefined;
  readonly familyName?: string | undefined;
  /** Undefined where the tenant has no such names. */
  readonly username?: string | undefined;
}

export interface FieldProblem {
  readonly field: string;
  /** The last part of the key of its words. */
  readonly reason: string;
}

export interface SignUpModel extends VisitorForm, ProfileFields {
  readonly email?: string | undefined;
  readonly rules: PasswordRules;
  readonly problems?: readonly FieldProblem[] | undefined;
  readonly interaction?: string | undefined;
  readonly signInAddress: string;
  readonly terms?: string | undefined;
  readonly privacy?: string | undefined;
}

export interface SignUpClosedModel {
  readonly policy: 'invitation' | 'closed';
  readonly signInAddress: string;
  readonly help?: string | undefined;
}

export interface EnterCodeModel extends Omit<VisitorForm, 'error'> {
  readonly address: string;
  readonly error?: VisitorError | 'missing' | 'wrong_code' | undefined;
  readonly againAddress: string;
}

export interface VerifyModel extends Omit<VisitorForm, 'error'> {
  readonly purpose: 'registration' | 'join' | 'verification' | 'email_change' | 'unlock';
  readonly address: string;
  readonly token: string;
  readonly needsPassword: boolean;
  readonly error?: VisitorError | 'missing' | 'wrong_password' | 'elsewhere' | undefined;
}

export interface ForgotModel extends Omit<VisitorForm, 'error'> {
  readonly email?: string | undefined;
  readonly interaction?: string | undefined;
  readonly error?: VisitorError | 'missing' | 'invalid' | undefined;
  readonly signInAddress: string;
}

export interface ResetModel extends Omit<VisitorForm, 'error'> {
  /** Of the link; without one a code is asked for. */
  readonly token?: string | undefined;
  readonly rules: PasswordRules;
  readonly error?: VisitorError | 'missing_code' | 'wrong_code' | undefined;
  readonly passwordProblem?: 'missing' | PasswordRefusal | undefined;
  readonly againAddress: string;
}

export interface InviteModel extends VisitorForm, ProfileFields {
  readonly token: string;
  readonly email: string;
  readonly known: boolean;
  readonly rules: PasswordRules;
  readonly problem?: FieldProblem | undefined;
  readonly terms?: string | undefined;
  readonly privacy?: string | undefined;
}

export type Finished =
  | 'registered'
  | 'joined'
  | 'member_already'
  | 'verified'
  | 'email_changed'
  | 'unlocked'
  | 'reset'
  | 'invited';

export interface FinishedModel {
  readonly what: Finished;
  readonly signInAddress: string;
}

export interface LinkOverModel {
  readonly againAddress?: string | undefined;
  readonly signInAddress: string;
}

export const visitorPages = {
  signup: presentSignUp,
  signup_closed: presentSignUpClosed,
  enter_code: presentEnterCode,
  verify: presentVerify,
  forgot: presentForgot,
  reset: presentReset,
  invite: presentInvite,
  finished: presentFinished,
  link_over: presentLinkOver,
};

function presentSignUp(model: SignUpModel, { shell, t }: PageContext): PageView {
  const problems = model.problems ?? [];
  const errors = [...formErrors(model, t), ...problems.map(({ field, reason }) => fieldError(field, reason, t))];
  return {
    step: t('signup.step'),
    heading: t('signup.heading'),
    failed: errors.length > 0,
    scripts: formScripts(errors, 'password_toggle'),
    intro: t('signup.intro', { tenant: tenantOf(shell) }),
    action: model.action,
    csrf: model.csrf,
    interaction: model.interaction,
    errors,
    email: emailField(model.email, { errors, t, focus: true }),
    profile: profileFields(model, { errors, t }),
    password: newPasswordField('password', model.rules, { errors, t }),
    documents: documentsOf(model, t),
    submit: { label: t('signup.submit'), busy: t('signup.busy') },
    signIn: safeAddress(model.signInAddress),
  };
}

function presentSignUpClosed(model: SignUpClosedModel, { shell, t }: PageContext): PageView {
  return {
    step: t('signup_closed.heading'),
    heading: t('signup_closed.heading'),
    failed: false,
    scripts: [],
    text: t(`signup_closed.${model.policy}`, { tenant: tenantOf(shell) }),
    help: safeAddress(model.help === '' ? undefined : model.help),
    backLink: backToSignIn(model.signInAddress, t),
  };
}

function presentEnterCode(model: EnterCodeModel, { t }: PageContext): PageView {
  const errors = formErrors(model, t, { field: 'code', words: 'enter_code' });
  return {
    step: t('enter_code.step'),
    heading: t('enter_code.heading'),
    failed: errors.length > 0,
    scripts: formScripts(errors),
    intro: t('enter_code.intro', { address: displayName(model.address) }),
    action: model.action,
    csrf: model.csrf,
    errors,
    code: codeField(errors, t),
    submit: { label: t('enter_code.submit'), busy: t('enter_code.busy') },
    again: safeAddress(model.againAddress),
  };
}

function presentVerify(model: VerifyModel, { shell, t }: PageContext): PageView {
  const errors = formErrors(model, t, { field: model.needsPassword ? 'password' : undefined, words: 'verify' });
  const words = { address: displayName(model.address), tenant: tenantOf(shell) };
  return {
    step: t(`verify.${model.purpose}.step`),
    heading: t(`verify.${model.purpose}.heading`, words),
    failed: errors.length > 0,
    scripts: formScripts(errors, ...(model.needsPassword ? (['password_toggle'] as const) : [])),
    intro: t(`verify.${model.purpose}.intro`, words),
    action: model.action,
    csrf: model.csrf,
    token: model.token,
    errors,
    address: model.address,
    password: model.needsPassword
      ? presentField(
          {
            name: 'password',
            label: t('verify.password'),
            hint: t(`verify.password_hint`),
            autocomplete: 'current-password',
            focus: true,
          },
          errors,
        )
      : undefined,
    submit: { label: t(`verify.${model.purpose}.submit`), busy: t('verify.busy') },
    notYou: t('verify.not_you'),
  };
}

function presentForgot(model: ForgotModel, { t }: PageContext): PageView {
  const errors = formErrors(model, t, { field: 'email', words: 'forgot' });
  return {
    step: t('forgot.step'),
    heading: t('forgot.heading'),
    failed: errors.length > 0,
    scripts: formScripts(errors),
    intro: t('forgot.intro'),
    action: model.action,
    csrf: model.csrf,
    interaction: model.interaction,
    errors,
    email: emailField(model.email, { errors, t, focus: true }),
    submit: { label: t('forgot.submit'), busy: t('forgot.busy') },
    backLink: backToSignIn(model.signInAddress, t),
  };
}

function presentReset(model: ResetModel, { t }: PageContext): PageView {
  const { passwordProblem: problem } = model;
  const errors = [
    ...formErrors(model, t, { field: 'code', words: 'reset' }),
    ...(problem === undefined ? [] : [fieldError('new_password', problem, t)]),
  ];
  const asksForCode = model.token === undefined;
  return {
    step: t('reset.step'),
    heading: t('reset.heading'),
    failed: errors.length > 0,
    scripts: formScripts(errors, 'password_toggle'),
    intro: t(asksForCode ? 'reset.intro_code' : 'reset.intro_link'),
    action: model.action,
    csrf: model.csrf,
    token: model.token,
    errors,
    code: asksForCode ? codeField(errors, t) : undefined,
    password: newPasswordField('new_password', model.rules, { errors, t, focus: !asksForCode }),
    ends: t('reset.ends'),
    submit: { label: t('reset.submit'), busy: t('reset.busy') },
    again: asksForCode ? safeAddress(model.againAddress) : undefined,
  };
}

function presentInvite(model: InviteModel, { shell, t }: PageContext): PageView {
  const { problem } = model;
  const errors = [
    ...formErrors(model, t),
    ...(problem === undefined ? [] : [fieldError(problem.field, problem.reason, t)]),
  ];
  const words = { tenant: tenantOf(shell), address: displayName(model.email) };
  return {
    step: t('invite.step'),
    heading: t('invite.heading', words),
    failed: errors.length > 0,
    scripts: formScripts(errors, ...(model.known ? [] : (['password_toggle'] as const))),
    intro: t(model.known ? 'invite.intro_known' : 'invite.intro_new', words),
    action: model.action,
    csrf: model.csrf,
    token: model.token,
    errors,
    address: model.email,
    profile: model.known ? [] : profileFields(model, { errors, t }),
    password: model.known ? undefined : newPasswordField('new_password', model.rules, { errors, t }),
    documents: documentsOf(model, t),
    submit: { label: t('invite.submit'), busy: t('invite.busy') },
    notYou: t('invite.not_you'),
  };
}

function presentFinished(model: FinishedModel, { shell, t }: PageContext): PageView {
  const address = safeAddress(model.signInAddress);
  return {
    step: t(`finished.${model.what}.heading`),
    heading: t(`finished.${model.what}.heading`),
    failed: false,
    scripts: [],
    text: t(`finished.${model.what}.text`, { tenant: tenantOf(shell) }),
    back: address === undefined ? undefined : { label: t('finished.sign_in'), address },
  };
}

function presentLinkOver(model: LinkOverModel, { t }: PageContext): PageView {
  return {
    step: t('link_over.heading'),
    heading: t('link_over.heading'),
    failed: false,
    scripts: [],
    text: t('link_over.text'),
    again: safeAddress(model.againAddress),
    backLink: backToSignIn(model.signInAddress, t),
  };
}

interface Told {
  readonly errors: readonly FieldMessage[];
  readonly t: Translate;
  readonly focus?: boolean;
}

function emailField(value: string | undefined, { errors, t, focus }: Told): FieldView {
  return presentField(
    { name: 'email', label: t('visitor.email'), type: 'email', value, autocomplete: 'username', verbatim: true, focus },
    errors,
  );
}

function codeField(errors: readonly FieldMessage[], t: Translate): FieldView {
  return presentField(
    {
      name: 'code',
      label: t('visitor.code'),
      hint: t('visitor.code_hint'),
      autocomplete: 'one-time-code',
      pattern: '[0-9 \\-]*',
      focus: true,
    },
    errors,
  );
}

/** One field and no second: whoever wants to see what they type can. */
function newPasswordField(name: string, rules: PasswordRules, { errors, t, focus }: Told): FieldView {
  const minimum = minimumCharacters(rules, false);
  const composed = rules['password.composition'] ? ` ${t('new_password.rules_composition')}` : '';
  return presentField(
    {
      name,
      label: t('new_password.label'),
      hint: t('new_password.rules', { count: minimum }) + composed,
      autocomplete: 'new-password',
      passwordRules: `minlength: ${minimum};`,
      focus,
    },
    errors,
  );
}

function profileFields({ givenName, familyName, username }: ProfileFields, { errors, t }: Told): readonly FieldView[] {
  const optional = true;
  const name = (field: string, value: string | undefined, autocomplete: string) =>
    presentField({ name: field, label: t(`visitor.${field}`), value, autocomplete, optional }, errors);
  const chosen = username === undefined ? [] : [usernameField(username, { errors, t })];
  return [name('given_name', givenName, 'given-name'), name('family_name', familyName, 'family-name'), ...chosen];
}

function usernameField(value: string, { errors, t }: Told): FieldView {
  const label = t('visitor.username');
  const hint = t('visitor.username_hint');
  return presentField(
    { name: 'username', label, hint, value, autocomplete: 'nickname', verbatim: true, optional: true },
    errors,
  );
}

function documentsOf(
  { terms, privacy }: { readonly terms?: string | undefined; readonly privacy?: string | undefined },
  t: Translate,
) {
  const documents = [
    { label: t('visitor.terms'), address: safeAddress(terms === '' ? undefined : terms) },
    { label: t('visitor.privacy'), address: safeAddress(privacy === '' ? undefined : privacy) },
  ];
  return documents.filter(({ address }) => address !== undefined);
}

function backToSignIn(signInAddress: string, t: Translate) {
  const address = safeAddress(signInAddress);
  return address === undefined ? undefined : { label: t('visitor.sign_in'), address };
}

/** What a form as a whole was sent back for; with `at`, what else the page knows is said at that field, in the page's own words. */
export function formErrors(
  {
    error,
    retryAfterMinutes,
  }: { readonly error?: string | undefined; readonly retryAfterMinutes?: number | undefined },
  t: Translate,
  at?: { readonly field: string | undefined; readonly words: string },
): readonly FieldMessage[] {
  if (error === undefined) return [];
  if (error === 'throttled')
    return [{ text: t('visitor.error.throttled', { count: wholeMinutes(retryAfterMinutes ?? 1) }) }];
  if (error === 'stale_form' || error === 'busy') return [{ text: t(`visitor.error.${error}`) }];
  if (at === undefined) return [];
  const text = t(`${at.words}.error.${error}`);
  return [at.field === undefined ? { text } : { field: at.field, text }];
}

function fieldError(field: string, reason: string, t: Translate): FieldMessage {
  const isPassword = field === 'password' || field === 'new_password';
  return { field, text: t(isPassword ? `new_password.error.${reason}` : `visitor.error.${field}_${reason}`) };
}
