/** The page where a person signs in: its model, and what went wrong in words that tell nobody whether an account exists. */
import {
  displayName,
  type FieldMessage,
  formScripts,
  type PageContext,
  type PageView,
  presentField,
  safeAddress,
  tenantOf,
  wholeMinutes,
} from './page_shell.ts';
import type { Translate } from './translations.ts';

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
  /** Somebody is signed in here and is asked again all the same: they are told why. */
  readonly isAgain?: boolean | undefined;
  readonly error?: SignInError | undefined;
  /** With `throttled`: whole minutes until the next try, rounded up. */
  readonly retryAfterMinutes?: number | undefined;
  readonly links?: { readonly forgot?: string | undefined; readonly signUp?: string | undefined } | undefined;
}

export const signInPages = { sign_in: presentSignIn };

function presentSignIn(model: SignInModel, { shell, t }: PageContext): PageView {
  const email = model.email ?? model.loginHint ?? '';
  const forgot = safeAddress(model.links?.forgot);
  const errors = signInErrors(model, forgot !== undefined, t);
  return {
    step: t('sign_in.step'),
    heading: t('sign_in.heading'),
    failed: errors.length > 0,
    scripts: formScripts(errors, 'password_toggle'),
    intro:
      shell.applicationName === undefined
        ? t('sign_in.to_tenant', { tenant: tenantOf(shell) })
        : t('sign_in.to_application', { application: displayName(shell.applicationName) }),
    again: model.isAgain === true ? t('sign_in.again') : undefined,
    action: model.action,
    csrf: model.csrf,
    errors,
    email: presentField(
      {
        name: 'email',
        label: t('sign_in.email'),
        type: 'email',
        value: email,
        autocomplete: 'username webauthn',
        verbatim: true,
        focus: email === '',
        // Wrong credentials are told once, at the password, but they concern both fields.
        wrongAs: model.error === 'credentials' ? 'password' : undefined,
      },
      errors,
    ),
    password: presentField(
      { name: 'password', label: t('sign_in.password'), autocomplete: 'current-password', focus: email !== '' },
      errors,
    ),
    submit: { label: t('sign_in.submit'), busy: t('sign_in.busy') },
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
