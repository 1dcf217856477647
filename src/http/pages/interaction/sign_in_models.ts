/** The page where a person signs in: its model, and what went wrong in words that tell nobody whether an account exists. */
import {
  displayName,
  type FieldMessage,
  formScripts,
  type PageContext,
  type PageView,
  presentField,
  presentPasskey,
  safeAddress,
  tenantOf,
  wholeMinutes,
} from '../kit/page_shell.ts';
import type { Translate } from '../kit/translations.ts';

export type SignInError =
  | 'credentials'
  | 'throttled'
  | 'busy'
  | 'missing_email'
  | 'missing_password'
  | 'missing_both'
  | 'passkey'
  | 'stale_form';

export interface SignInModel {
  readonly action: string;
  readonly csrf: string;
  /** What was typed before; wins over `loginHint`. */
  readonly email?: string | undefined;
  /** OpenID Connect Core §3.1.2.1 `login_hint`. */
  readonly loginHint?: string | undefined;
  /** Who is signed in already, and is asked to show that it is them. */
  readonly signedInAs?: string | undefined;
  /** What the browser is asked for a passkey with; undefined offers none. */
  readonly passkey?: object | undefined;
  /** Where it is offered, from a page that does not. */
  readonly passkeyAddress?: string | undefined;
  readonly error?: SignInError | undefined;
  /** With `throttled`: whole minutes until the next try, rounded up. */
  readonly retryAfterMinutes?: number | undefined;
  readonly links?: { readonly forgot?: string | undefined; readonly signUp?: string | undefined } | undefined;
}

export const signInPages = { sign_in: presentSignIn };

function presentSignIn(model: SignInModel, { shell, t }: PageContext): PageView {
  const email = model.email ?? model.loginHint ?? model.signedInAs ?? '';
  const forgot = safeAddress(model.links?.forgot);
  const errors = signInErrors(model, forgot !== undefined, t);
  return {
    step: t('sign_in.step'),
    heading: t(model.signedInAs === undefined ? 'sign_in.heading' : 'sign_in.confirm_heading'),
    failed: errors.length > 0,
    scripts: formScripts(errors, 'password_toggle', ...(model.passkey === undefined ? [] : (['webauthn'] as const))),
    why:
      model.signedInAs === undefined ? undefined : t('sign_in.confirm_why', { account: displayName(model.signedInAs) }),
    passkey: presentPasskey(model.passkey, {
      action: model.action,
      csrf: model.csrf,
      autofill: true,
      label: t('sign_in.passkey'),
      problem: t('form.passkey_problem'),
      fields: [['email', '']],
    }),
    intro:
      shell.applicationName === undefined
        ? t('sign_in.to_tenant', { tenant: tenantOf(shell) })
        : t('sign_in.to_application', { application: displayName(shell.applicationName) }),
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
    passkeyAddress: safeAddress(model.passkeyAddress),
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
    case 'passkey':
      return [{ text: message('passkey') }];
    case 'stale_form':
      return [{ text: message('stale_form') }];
    default: {
      const never: never = model.error;
      return never;
    }
  }
}
