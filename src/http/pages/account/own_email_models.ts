/** The page where a person asks for another address, which counts once they have shown that it is theirs. */

import {
  displayName,
  type FieldMessage,
  formScripts,
  type PageContext,
  type PageView,
  presentField,
  wholeMinutes,
} from '../kit/page_shell.ts';
import type { Translate } from '../kit/translations.ts';
import { type AccountModel, accountView } from './account_frame.ts';

export type OwnEmailError = 'missing' | 'invalid' | 'unchanged' | 'throttled';

export interface OwnEmailModel extends AccountModel {
  readonly action: string;
  readonly csrf: string;
  /** The address that counts now. */
  readonly account: string;
  /** What was typed. */
  readonly email?: string | undefined;
  readonly error?: OwnEmailError | undefined;
  readonly retryAfterMinutes?: number | undefined;
}

export const ownEmailPages = { account_email: presentOwnEmail };

function presentOwnEmail(model: OwnEmailModel, context: PageContext): PageView {
  const { t } = context;
  const errors = errorsOf(model, t);
  return {
    ...accountView(model, 'email', context),
    failed: errors.length > 0,
    errors,
    scripts: formScripts(errors),
    action: model.action,
    csrf: model.csrf,
    account: displayName(model.account),
    email: presentField(
      {
        name: 'email',
        label: t('account_email.new'),
        hint: t('account_email.hint'),
        type: 'email',
        value: model.email,
        autocomplete: 'email',
        verbatim: true,
      },
      errors,
    ),
    submit: { label: t('account_email.submit'), busy: t('account_email.busy') },
  };
}

function errorsOf({ error, retryAfterMinutes }: OwnEmailModel, t: Translate): readonly FieldMessage[] {
  if (error === undefined) return [];
  if (error === 'throttled')
    return [{ text: t('account_email.error.throttled', { count: wholeMinutes(retryAfterMinutes ?? 1) }) }];
  return [{ field: 'email', text: t(`account_email.error.${error}`) }];
}
