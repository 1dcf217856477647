/** The page where a person proves the second factor: which ways they have, and what went wrong. */
import type { SecondFactorMethod } from '#src/domain/second_factor.ts';
import {
  displayName,
  type FieldInput,
  type FieldMessage,
  formScripts,
  type PageContext,
  type PageView,
  presentField,
  presentPasskey,
  safeAddress,
  wholeMinutes,
} from '../kit/page_shell.ts';
import type { Translate } from '../kit/translations.ts';

export type SecondFactorError = 'code' | 'missing' | 'throttled' | 'stale_form' | 'passkey' | 'not_sent';

export interface SecondFactorModel {
  readonly action: string;
  readonly csrf: string;
  /** The address of who is half signed in. */
  readonly account: string;
  readonly methods: readonly SecondFactorMethod[];
  /** What the browser is asked for a passkey with. */
  readonly passkey?: object | undefined;
  /** A code is on its way by mail: it is asked for before anything else. */
  readonly emailSent?: boolean | undefined;
  /** For how many days the browser may be remembered; 0 offers it not. */
  readonly rememberDays: number;
  readonly error?: SecondFactorError | undefined;
  readonly retryAfterMinutes?: number | undefined;
  /** Begins again. */
  readonly otherAccountAddress?: string | undefined;
  readonly helpAddress?: string | undefined;
}

export const secondFactorPages = { second_factor: presentSecondFactor };

function presentSecondFactor(model: SecondFactorModel, { t }: PageContext): PageView {
  const { methods, emailSent = false } = model;
  const fields = codeFields(model, t);
  const [first, ...others] = fields;
  const errors = secondFactorErrors(model, first?.name, t);
  const present = (field: FieldInput | undefined) => (field === undefined ? undefined : presentField(field, errors));
  return {
    step: t('second_factor.step'),
    heading: t('second_factor.heading'),
    failed: errors.length > 0,
    scripts: formScripts(errors, ...(model.passkey === undefined ? [] : (['webauthn'] as const))),
    intro: t('second_factor.intro', { account: displayName(model.account) }),
    action: model.action,
    csrf: model.csrf,
    errors,
    notice: emailSent ? t('second_factor.email_sent', { account: displayName(model.account) }) : undefined,
    code: present(first === undefined ? undefined : { ...first, focus: true }),
    otherCode: present(others.find(({ name }) => name === 'backup_code')),
    sendEmail: methods.includes('email_code')
      ? t(emailSent ? 'second_factor.email_again' : 'second_factor.email')
      : undefined,
    passkey: presentPasskey(model.passkey, {
      action: model.action,
      csrf: model.csrf,
      label: t('second_factor.passkey'),
      problem: t('form.passkey_problem'),
    }),
    needsScript: first === undefined,
    remember:
      model.rememberDays > 0
        ? presentField(
            {
              name: 'remember_device',
              label: t('second_factor.remember', { count: model.rememberDays }),
              autocomplete: 'off',
            },
            errors,
          )
        : undefined,
    submit: { label: t('second_factor.submit'), busy: t('second_factor.busy') },
    otherAccount: safeAddress(model.otherAccountAddress),
    help: safeAddress(model.helpAddress === '' ? undefined : model.helpAddress),
  };
}

/** Those that are asked for, the first one before all others. */
function codeFields({ methods, emailSent }: SecondFactorModel, t: Translate): readonly FieldInput[] {
  const emailed: FieldInput = {
    name: 'email_code',
    label: t('second_factor.email_code'),
    hint: t('second_factor.email_code_hint'),
    autocomplete: 'one-time-code',
    pattern: '[0-9 ]*',
  };
  const code: FieldInput = {
    name: 'code',
    label: t('second_factor.code'),
    hint: t('second_factor.code_hint'),
    autocomplete: 'one-time-code',
    pattern: '[0-9 ]*',
  };
  const backupCode: FieldInput = {
    name: 'backup_code',
    label: t('second_factor.backup_code'),
    hint: t('second_factor.backup_code_hint'),
    autocomplete: 'off',
    inputMode: 'text',
  };
  return [
    ...(emailSent === true ? [emailed] : []),
    ...(methods.includes('totp') && emailSent !== true ? [code] : []),
    ...(methods.includes('backup_code') ? [backupCode] : []),
  ];
}

function secondFactorErrors(
  { error, retryAfterMinutes }: SecondFactorModel,
  field: string | undefined,
  t: Translate,
): readonly FieldMessage[] {
  switch (error) {
    case undefined:
      return [];
    case 'code':
    case 'missing':
      return [{ ...(field === undefined ? {} : { field }), text: t(`second_factor.error.${error}`) }];
    case 'throttled':
      return [{ text: t('second_factor.error.throttled', { count: wholeMinutes(retryAfterMinutes ?? 1) }) }];
    case 'stale_form':
    case 'passkey':
    case 'not_sent':
      return [{ text: t(`second_factor.error.${error}`) }];
    default: {
      const never: never = error;
      return never;
    }
  }
}
