/** The page where a person chooses another password, with the one they have. */
import type { PasswordRefusal } from '#src/domain/password_policy.ts';
import {
  type FieldMessage,
  formScripts,
  type PageContext,
  type PageView,
  presentField,
  wholeMinutes,
} from '../kit/page_shell.ts';
import type { Translate } from '../kit/translations.ts';
import { type AccountModel, accountView } from './account_frame.ts';

export type OwnPasswordError =
  | { readonly kind: 'missing_current' | 'missing_new' | 'wrong' | 'busy' | 'lost_race' }
  | { readonly kind: 'throttled'; readonly retryAfterMinutes: number }
  | { readonly kind: 'unacceptable'; readonly reason: PasswordRefusal };

export interface OwnPasswordModel extends AccountModel {
  readonly action: string;
  readonly csrf: string;
  /** For password managers: whose password it is. */
  readonly account: string;
  readonly minimumCharacters: number;
  readonly error?: OwnPasswordError | undefined;
  readonly notice?: 'changed' | undefined;
}

export const ownPasswordPages = { account_password: presentOwnPassword };

function presentOwnPassword(model: OwnPasswordModel, context: PageContext): PageView {
  const { t } = context;
  const { minimumCharacters: count } = model;
  const errors = errorsOf(model, t);
  return {
    ...accountView(model, 'password', context),
    failed: errors.length > 0,
    errors,
    scripts: formScripts(errors, 'password_toggle'),
    notice: model.notice === undefined ? undefined : t(`account_password.notice.${model.notice}`),
    action: model.action,
    csrf: model.csrf,
    account: model.account,
    password: presentField(
      { name: 'password', label: t('account_password.current'), autocomplete: 'current-password' },
      errors,
    ),
    newPassword: presentField(
      {
        name: 'new_password',
        label: t('new_password.label'),
        hint: t('new_password.rules', { count }),
        autocomplete: 'new-password',
        passwordRules: `minlength: ${count};`,
      },
      errors,
    ),
    submit: { label: t('account_password.submit'), busy: t('account_password.busy') },
  };
}

function errorsOf({ error }: OwnPasswordModel, t: Translate): readonly FieldMessage[] {
  if (error === undefined) return [];
  switch (error.kind) {
    case 'missing_current':
    case 'wrong':
      return [{ field: 'password', text: t(`account_password.error.${error.kind}`) }];
    case 'missing_new':
      return [{ field: 'new_password', text: t('new_password.error.missing') }];
    case 'busy':
    case 'lost_race':
      return [{ text: t(`account_password.error.${error.kind}`) }];
    case 'throttled':
      return [{ text: t('account_password.error.throttled', { count: wholeMinutes(error.retryAfterMinutes) }) }];
    case 'unacceptable':
      return [{ field: 'new_password', text: t(`new_password.error.${error.reason}`) }];
    default: {
      const never: never = error;
      return never;
    }
  }
}
