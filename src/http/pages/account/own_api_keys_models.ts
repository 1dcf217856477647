/** The pages with a person's API keys: the list, each of which can be deleted, and the one that makes a key and shows it, once. */

import {
  displayName,
  type EntryView,
  type FieldMessage,
  formScripts,
  type PageContext,
  type PageView,
  presentField,
  presentMoment,
  safeAddress,
} from '../kit/page_shell.ts';
import { type AccountModel, accountView } from './account_frame.ts';

export interface OwnApiKey {
  readonly id: string;
  readonly beginning: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly lastUsedAt?: Date | undefined;
  readonly lastUsedAddress?: string | undefined;
}

export interface OwnApiKeysModel extends AccountModel {
  readonly action: string;
  readonly csrf: string;
  readonly at: Date;
  readonly keys: readonly OwnApiKey[];
  /** Undefined for who may make none. */
  readonly newKeyAddress?: string | undefined;
  readonly notice?: 'deleted' | 'gone' | undefined;
}

export interface NewApiKeyModel extends AccountModel {
  readonly action: string;
  readonly csrf: string;
  /** Of the key to be: sent twice it is made once. */
  readonly id: string;
  readonly backAddress: string;
  readonly name: string;
  readonly scopes: string;
  readonly days: string;
  readonly maximumDays: number;
  /** What this person could give. */
  readonly available: readonly string[];
  readonly errors?: readonly NewApiKeyError[] | undefined;
  /** The key that was made. */
  readonly key?: string | undefined;
}

export type NewApiKeyError =
  | { readonly field: 'name' | 'days' }
  | { readonly field: 'scopes'; readonly scopes: readonly string[] }
  | { readonly field: undefined; readonly problem: 'not_allowed' | 'made_before' }
  | { readonly field: undefined; readonly problem: 'too_many'; readonly maximum: number };

export const ownApiKeysPages = { account_api_keys: presentOwnApiKeys, new_api_key: presentNewApiKey };

function presentOwnApiKeys(model: OwnApiKeysModel, context: PageContext): PageView {
  const { shell, t } = context;
  const { action, csrf, at } = model;
  const entries: readonly EntryView[] = model.keys.map((key, index) => ({
    id: `key-${index + 1}`,
    name: displayName(key.name),
    lines: [
      { text: t('account_api_keys.begins', { beginning: key.beginning }) },
      {
        text:
          key.scopes.length === 0
            ? t('account_api_keys.no_scopes')
            : t('account_api_keys.scopes', { scopes: key.scopes.map(displayName).join(', ') }),
      },
      { text: t('account_api_keys.made'), moment: presentMoment(key.createdAt, shell) },
      key.lastUsedAt === undefined
        ? { text: t('account_api_keys.never') }
        : { text: usedFrom(key, context), moment: presentMoment(key.lastUsedAt, shell) },
      {
        text: t(key.expiresAt > at ? 'account_api_keys.ends' : 'account_api_keys.ended'),
        moment: presentMoment(key.expiresAt, shell),
      },
    ],
    deed: {
      action,
      csrf,
      label: t('account_api_keys.delete'),
      busy: t('account_api_keys.busy'),
      destructive: true,
      fields: [['key', key.id]],
    },
  }));
  return {
    ...accountView(model, 'api-keys', context),
    failed: false,
    scripts: ['submit_guard'],
    intro: t('account_api_keys.intro'),
    notice: model.notice === undefined ? undefined : t(`account_api_keys.notice.${model.notice}`),
    nothing: entries.length === 0 ? t('account_api_keys.nothing') : undefined,
    entries,
    links: [{ label: t('account_api_keys.new'), address: safeAddress(model.newKeyAddress) }],
  };
}

function usedFrom({ lastUsedAddress }: OwnApiKey, { t }: PageContext): string {
  return lastUsedAddress === undefined
    ? t('account_api_keys.used')
    : t('account_api_keys.used_from', { address: lastUsedAddress });
}

function presentNewApiKey(model: NewApiKeyModel, context: PageContext): PageView {
  const { t } = context;
  const errors = (model.errors ?? []).map((error) => messageFor(error, model, context));
  const { key, maximumDays: maximum, available } = model;
  return {
    ...accountView(model, 'api-keys', context),
    step: t('new_api_key.step'),
    heading: t(key === undefined ? 'new_api_key.heading' : 'new_api_key.made'),
    failed: errors.length > 0,
    errors,
    scripts: formScripts(errors, 'copy_text'),
    intro: t('new_api_key.intro'),
    secret: key === undefined ? undefined : { id: 'api-key', text: key },
    keyOf: t('new_api_key.key_of', { name: displayName(model.name) }),
    once: t('new_api_key.once'),
    action: model.action,
    csrf: model.csrf,
    id: model.id,
    fields: [
      { name: 'name', label: t('new_api_key.name'), hint: t('new_api_key.name_hint'), value: model.name },
      {
        name: 'scopes',
        label: t('new_api_key.scopes'),
        hint:
          available.length === 0
            ? t('new_api_key.scopes_none')
            : t('new_api_key.scopes_hint', { available: available.map(displayName).join(' ') }),
        value: model.scopes,
        verbatim: true,
        optional: true,
      },
      {
        name: 'days',
        label: t('new_api_key.days'),
        hint: t('new_api_key.days_hint', { maximum }),
        value: model.days,
      },
    ].map((field) => presentField({ ...field, autocomplete: 'off' }, errors)),
    submit: { label: t('new_api_key.submit'), busy: t('new_api_key.busy') },
    back: { label: t('new_api_key.cancel'), address: safeAddress(model.backAddress) },
  };
}

function messageFor(error: NewApiKeyError, { maximumDays }: NewApiKeyModel, { t }: PageContext): FieldMessage {
  if (error.field === undefined) {
    const maximum = error.problem === 'too_many' ? error.maximum : 0;
    return { text: t(`new_api_key.error.${error.problem}`, { maximum }) };
  }
  const scopes = error.field === 'scopes' ? error.scopes.map(displayName).join(' ') : '';
  return { field: error.field, text: t(`new_api_key.error.${error.field}`, { scopes, maximum: maximumDays }) };
}
