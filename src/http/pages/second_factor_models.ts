/** The page where a person proves the second factor: which ways they have, and what went wrong. */
import type { SecondFactorMethod } from '#src/domain/second_factor.ts';
import {
  displayName,
  type FieldMessage,
  formScripts,
  type PageContext,
  type PageView,
  presentField,
  safeAddress,
  wholeMinutes,
} from './page_shell.ts';
import type { Translate } from './translations.ts';

export type SecondFactorError = 'code' | 'missing' | 'throttled' | 'stale_form';

export interface SecondFactorModel {
  readonly action: string;
  readonly csrf: string;
  /** The address of who is half signed in. */
  readonly account: string;
  readonly methods: readonly SecondFactorMethod[];
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
  const hasCode = model.methods.includes('totp');
  const field = hasCode ? 'code' : 'backup_code';
  const errors = secondFactorErrors(model, field, t);
  return {
    step: t('second_factor.step'),
    heading: t('second_factor.heading'),
    failed: errors.length > 0,
    scripts: formScripts(errors),
    intro: t('second_factor.intro', { account: displayName(model.account) }),
    action: model.action,
    csrf: model.csrf,
    errors,
    code: hasCode
      ? presentField(
          {
            name: 'code',
            label: t('second_factor.code'),
            hint: t('second_factor.code_hint'),
            autocomplete: 'one-time-code',
            pattern: '[0-9 ]*',
            focus: true,
          },
          errors,
        )
      : undefined,
    backupCode: model.methods.includes('backup_code')
      ? presentField(
          {
            name: 'backup_code',
            label: t('second_factor.backup_code'),
            hint: t('second_factor.backup_code_hint'),
            autocomplete: 'off',
            inputMode: 'text',
            focus: !hasCode,
          },
          errors,
        )
      : undefined,
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

function secondFactorErrors(
  { error, retryAfterMinutes }: SecondFactorModel,
  field: string,
  t: Translate,
): readonly FieldMessage[] {
  switch (error) {
    case undefined:
      return [];
    case 'code':
    case 'missing':
      return [{ field, text: t(`second_factor.error.${error}`) }];
    case 'throttled':
      return [{ text: t('second_factor.error.throttled', { count: wholeMinutes(retryAfterMinutes ?? 1) }) }];
    case 'stale_form':
      return [{ text: t('second_factor.error.stale_form') }];
    default: {
      const never: never = error;
      return never;
    }
  }
}
