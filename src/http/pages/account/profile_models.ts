/** The page where a person says who they are and in which language they want to be spoken to. */
import type { ProfileFault } from '#src/flows/people/update_profile.ts';
import { type FieldMessage, formScripts, type PageContext, type PageView, presentField } from '../kit/page_shell.ts';
import { locales } from '../kit/translations.ts';
import { type AccountModel, accountView } from './account_frame.ts';

export interface ProfileModel extends AccountModel {
  readonly action: string;
  readonly csrf: string;
  readonly givenName: string;
  readonly familyName: string;
  /** Undefined where the tenant has no names to sign in with. */
  readonly username?: string | undefined;
  readonly language: 'nl' | 'en' | '';
  readonly faults?: readonly ProfileFault[] | undefined;
  readonly notice?: 'saved' | undefined;
}

export const profilePages = { account_profile: presentProfile };

function presentProfile(model: ProfileModel, context: PageContext): PageView {
  const { t } = context;
  const errors: readonly FieldMessage[] = (model.faults ?? []).map(({ field, reason }) => ({
    field,
    text: t(`account_profile.error.${field === 'username' ? `username_${reason}` : 'name'}`),
  }));
  return {
    ...accountView(model, 'profile', context),
    failed: errors.length > 0,
    errors,
    scripts: formScripts(errors),
    notice: model.notice === undefined ? undefined : t(`account_profile.notice.${model.notice}`),
    action: model.action,
    csrf: model.csrf,
    fields: [
      presentField(
        {
          name: 'given_name',
          label: t('account_profile.given_name'),
          value: model.givenName,
          autocomplete: 'given-name',
          optional: true,
        },
        errors,
      ),
      presentField(
        {
          name: 'family_name',
          label: t('account_profile.family_name'),
          value: model.familyName,
          autocomplete: 'family-name',
          optional: true,
        },
        errors,
      ),
      ...(model.username === undefined
        ? []
        : [
            presentField(
              {
                name: 'username',
                label: t('account_profile.username'),
                hint: t('account_profile.username_hint'),
                value: model.username,
                autocomplete: 'username',
                verbatim: true,
                optional: true,
              },
              errors,
            ),
          ]),
    ],
    language: presentField(
      {
        name: 'locale',
        label: t('account_profile.language'),
        hint: t('account_profile.language_hint'),
        autocomplete: 'off',
      },
      errors,
    ),
    choices: ['' as const, ...locales].map((value) => ({
      value,
      label: value === '' ? t('account_profile.language_of_browser') : t(`language.${value}`),
      lang: value === '' ? undefined : value,
      chosen: model.language === value,
    })),
    submit: { label: t('account_profile.submit'), busy: t('account_profile.busy') },
  };
}
