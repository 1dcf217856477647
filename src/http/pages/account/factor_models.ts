/** The pages on which a person sets up, renews and takes away what they prove themselves with beside a password. */

import {
  type Deed,
  displayName,
  type EntryView,
  type FieldMessage,
  formScripts,
  type Navigation,
  type PageContext,
  type PageView,
  presentField,
  presentMoment,
  presentPasskey,
  safeAddress,
  tenantOf,
} from '../kit/page_shell.ts';
import { qrCodeOf } from '../kit/qr_code.ts';
import type { Translate } from '../kit/translations.ts';
import { accountNavigation, nameOfBrowser } from './account_frame.ts';

export interface SetUpTotpModel {
  /** Of the own pages, see `AccountModel`; undefined while somebody signs in. */
  readonly base?: string | undefined;
  readonly action: string;
  readonly csrf: string;
  readonly account: string;
  readonly secret: string;
  /** `otpauth://…`: what the QR code says. */
  readonly appAddress: string;
  /** The tenant or the application asks for it: there is no way around. */
  readonly required: boolean;
  readonly error?: 'code' | 'missing' | 'stale_form' | undefined;
  readonly cancelAddress?: string | undefined;
  /** Begins the sign-in anew. */
  readonly otherAccountAddress?: string | undefined;
}

export interface BackupCodesModel {
  /** Of the own pages, see `AccountModel`; undefined while somebody signs in. */
  readonly base?: string | undefined;
  readonly action: string;
  readonly csrf: string;
  readonly account: string;
  readonly codes: readonly string[];
  /** What this set is known by, so that nobody goes on with codes that were replaced. */
  readonly set: string;
  readonly error?: 'not_saved' | 'replaced' | undefined;
}

/** A question before something that cannot be undone. */
export interface FactorDeedModel {
  /** Of the own pages, see `AccountModel`; undefined while somebody signs in. */
  readonly base?: string | undefined;
  readonly deed: 'remove_app' | 'renew_codes';
  readonly action: string;
  readonly csrf: string;
  readonly cancelAddress: string;
  readonly error?: 'required' | 'only_way_in' | 'unknown' | undefined;
}

export interface PasskeyItem {
  readonly id: string;
  readonly name: string;
  readonly synced: boolean;
  readonly addedAt: Date;
  readonly lastUsedAt: Date | undefined;
}

export interface DeviceItem {
  readonly id: string;
  readonly userAgent: string | undefined;
  readonly address: string | undefined;
  readonly lastUsedAt: Date;
  readonly sparedUntil: Date | undefined;
  readonly isThis: boolean;
}

export type FactorNotice =
  | 'app_added'
  | 'app_removed'
  | 'passkey_added'
  | 'passkey_renamed'
  | 'passkey_removed'
  | 'codes_saved'
  | 'device_forgotten';

export interface OwnSecondFactorModel {
  /** Of the own pages, see `AccountModel`; undefined while somebody signs in. */
  readonly base?: string | undefined;
  readonly notice?: FactorNotice | undefined;
  /** The tenant has second factors. */
  readonly isOn: boolean;
  readonly appSince: Date | undefined;
  readonly backupCodesLeft: number;
  readonly passkeys: readonly PasskeyItem[];
  readonly devices: readonly DeviceItem[];
  readonly addresses: {
    readonly app: string;
    readonly removeApp: string;
    readonly backupCodes: string;
    readonly passkeys: string;
    readonly newPasskey: string;
    readonly account: string;
  };
  readonly forget: { readonly action: string; readonly csrf: string };
}

export interface OwnPasskeysModel {
  /** Of the own pages, see `AccountModel`; undefined while somebody signs in. */
  readonly base?: string | undefined;
  readonly action: string;
  readonly csrf: string;
  readonly passkeys: readonly PasskeyItem[];
  readonly error?: 'name' | 'unknown' | 'required' | 'only_way_in' | undefined;
  readonly backAddress: string;
}

export interface NewPasskeyModel {
  /** Of the own pages, see `AccountModel`; undefined while somebody signs in. */
  readonly base?: string | undefined;
  readonly action: string;
  readonly csrf: string;
  readonly passkey: object;
  readonly name?: string | undefined;
  readonly error?: 'refused' | 'known' | 'too_many' | 'name' | undefined;
  readonly cancelAddress: string;
}

export const factorPages = {
  set_up_totp: presentSetUpTotp,
  backup_codes: presentBackupCodes,
  factor_deed: presentFactorDeed,
  own_second_factor: presentOwnSecondFactor,
  own_passkeys: presentOwnPasskeys,
  new_passkey: presentNewPasskey,
};

function presentSetUpTotp(model: SetUpTotpModel, { shell, t }: PageContext): PageView {
  const { error } = model;
  const text = error === undefined ? undefined : t(`set_up_totp.error.${error}`);
  const errors = messages(text, error === 'stale_form' ? undefined : 'code');
  const account = displayName(model.account);
  return {
    step: t('set_up_totp.step'),
    heading: t('set_up_totp.heading'),
    failed: errors.length > 0,
    navigation: beside(model.base, t),
    scripts: formScripts(errors, 'copy_text'),
    errors,
    action: model.action,
    csrf: model.csrf,
    required: model.required ? t('set_up_totp.required') : undefined,
    qr: { ...qrCodeOf(model.appAddress), name: t('set_up_totp.qr', { account, tenant: tenantOf(shell) }) },
    // Nothing that a stranger wrote: made by foundation/totp.ts.
    appAddress: model.appAddress.startsWith('otpauth://totp/') ? model.appAddress : undefined,
    secret: { id: 'totp-secret', text: (model.secret.match(/.{1,4}/g) ?? []).join(' ') },
    code: presentField(
      {
        name: 'code',
        label: t('set_up_totp.code'),
        hint: t('set_up_totp.code_hint'),
        autocomplete: 'one-time-code',
        pattern: '[0-9 ]*',
      },
      errors,
    ),
    submit: { label: t('set_up_totp.submit'), busy: t('set_up_totp.busy') },
    cancel: safeAddress(model.cancelAddress),
    otherAccount: safeAddress(model.otherAccountAddress),
  };
}

/** The person's other pages. */
function beside(base: string | undefined, t: Translate): Navigation | undefined {
  return base === undefined ? undefined : accountNavigation({ base }, 'second-factor', t);
}

function messages(text: string | undefined, field?: string): readonly FieldMessage[] {
  if (text === undefined) return [];
  return [{ text, ...(field === undefined ? {} : { field }) }];
}

function presentBackupCodes(model: BackupCodesModel, { shell, t }: PageContext): PageView {
  const { error } = model;
  const text = error === undefined ? undefined : t(`backup_codes.error.${error}`);
  const errors = messages(text, error === 'not_saved' ? 'saved' : undefined);
  const heading = t('backup_codes.file_heading', { account: displayName(model.account), tenant: tenantOf(shell) });
  return {
    step: t('backup_codes.step'),
    heading: t('backup_codes.heading'),
    failed: errors.length > 0,
    navigation: beside(model.base, t),
    scripts: formScripts(errors, 'copy_text'),
    errors,
    action: model.action,
    csrf: model.csrf,
    intro: t('backup_codes.intro'),
    codes: model.codes,
    set: model.set,
    download: {
      label: t('backup_codes.download'),
      name: t('backup_codes.file'),
      // The server has forgotten them already, and a download works without script.
      address: `data:text/plain;charset=utf-8,${encodeURIComponent(`${[heading, '', ...model.codes].join('\r\n')}\r\n`)}`,
    },
    saved: presentField(
      { name: 'saved', label: t('backup_codes.saved'), autocomplete: 'off', optional: false },
      errors,
    ),
    submit: { label: t('backup_codes.submit'), busy: t('backup_codes.busy') },
  };
}

function presentFactorDeed(model: FactorDeedModel, { t }: PageContext): PageView {
  const words = `factor_deed.${model.deed}`;
  const errors = messages(model.error === undefined ? undefined : t(`factor_deed.error.${model.error}`));
  const deed: Deed = {
    action: model.action,
    csrf: model.csrf,
    label: t(`${words}.submit`),
    busy: t('factor_deed.busy'),
    destructive: true,
    warning: t(`${words}.warning`),
  };
  return {
    step: t(`${words}.step`),
    heading: t(`${words}.heading`),
    failed: errors.length > 0,
    navigation: beside(model.base, t),
    scripts: formScripts(errors),
    errors,
    deed,
    cancel: safeAddress(model.cancelAddress),
  };
}

function presentOwnSecondFactor(model: OwnSecondFactorModel, { shell, t }: PageContext): PageView {
  const has = model.appSince !== undefined || model.passkeys.length > 0;
  const link = (label: string, address: string) => ({
    label: t(`own_second_factor.${label}`),
    address: safeAddress(address),
  });
  return {
    step: t('own_second_factor.step'),
    heading: t('own_second_factor.heading'),
    failed: false,
    navigation: beside(model.base, t),
    scripts: ['submit_guard'],
    wide: true,
    intro: t(model.isOn || has ? 'own_second_factor.intro' : 'own_second_factor.off'),
    notice: model.notice === undefined ? undefined : t(`own_second_factor.notice.${model.notice}`),
    app: {
      since: model.appSince === undefined ? undefined : presentMoment(model.appSince, shell),
      links: [
        ...(model.isOn ? [link(model.appSince === undefined ? 'set_up' : 'renew_app', model.addresses.app)] : []),
        ...(model.appSince === undefined ? [] : [link('remove_app', model.addresses.removeApp)]),
      ],
    },
    codes: {
      text: has
        ? t('own_second_factor.codes_left', { count: model.backupCodesLeft })
        : t('own_second_factor.codes_none'),
      links: has ? [link('renew_codes', model.addresses.backupCodes)] : [],
    },
    passkeys: {
      entries: model.passkeys.map((passkey) => presentPasskeyEntry(passkey, { shell, t })),
      links: [
        ...(model.isOn ? [link('add_passkey', model.addresses.newPasskey)] : []),
        ...(model.passkeys.length > 0 ? [link('manage_passkeys', model.addresses.passkeys)] : []),
      ],
    },
    devices: {
      entries: model.devices.map((device) => presentDevice(device, model.forget, { shell, t })),
      forgetAll:
        model.devices.length > 1
          ? { ...forgetting(model.forget, 'all', t), label: t('own_second_factor.forget_all') }
          : undefined,
    },
    back: { label: t('own_second_factor.back'), address: safeAddress(model.addresses.account) },
  };
}

function presentPasskeyEntry(passkey: PasskeyItem, { shell, t }: PageContext): EntryView {
  const used =
    passkey.lastUsedAt === undefined
      ? { text: t('own_second_factor.never_used') }
      : { text: t('own_second_factor.last_used'), moment: presentMoment(passkey.lastUsedAt, shell) };
  return {
    id: `passkey-${passkey.id}`,
    name: displayName(passkey.name),
    lines: [
      { text: t('own_second_factor.added'), moment: presentMoment(passkey.addedAt, shell) },
      used,
      ...(passkey.synced ? [{ text: t('own_second_factor.synced') }] : []),
    ],
  };
}

function presentDevice(
  device: DeviceItem,
  forget: OwnSecondFactorModel['forget'],
  { shell, t }: PageContext,
): EntryView {
  return {
    id: `device-${device.id}`,
    name: nameOfBrowser(device.userAgent, t),
    ...(device.isThis ? { tag: t('own_second_factor.this_device') } : {}),
    lines: [
      { text: t('own_second_factor.last_used'), moment: presentMoment(device.lastUsedAt, shell) },
      ...(device.address === undefined ? [] : [{ text: device.address }]),
      ...(device.sparedUntil === undefined
        ? []
        : [{ text: t('own_second_factor.spared'), moment: presentMoment(device.sparedUntil, shell) }]),
    ],
    deed: forgetting(forget, device.id, t),
  };
}

function forgetting({ action, csrf }: OwnSecondFactorModel['forget'], device: string, t: Translate): Deed {
  return {
    action,
    csrf,
    label: t('own_second_factor.forget'),
    busy: t('own_second_factor.forgetting'),
    fields: [['device', device]],
  };
}

function presentOwnPasskeys(model: OwnPasskeysModel, { shell, t }: PageContext): PageView {
  const errors = messages(model.error === undefined ? undefined : t(`own_passkeys.error.${model.error}`));
  return {
    step: t('own_passkeys.step'),
    heading: t('own_passkeys.heading'),
    failed: errors.length > 0,
    navigation: beside(model.base, t),
    scripts: formScripts(errors),
    wide: true,
    errors,
    action: model.action,
    csrf: model.csrf,
    warning: model.passkeys.length > 0 ? t('own_passkeys.warning') : t('own_second_factor.passkeys_none'),
    passkeys: model.passkeys.map((passkey) => {
      const entry = presentPasskeyEntry(passkey, { shell, t });
      return { entries: [entry], described: entry.id, id: passkey.id, name: passkey.name };
    }),
    back: { label: t('own_passkeys.back'), address: safeAddress(model.backAddress) },
  };
}

function presentNewPasskey(model: NewPasskeyModel, { t }: PageContext): PageView {
  const { error } = model;
  const text = error === undefined ? undefined : t(`new_passkey.error.${error}`);
  const errors = messages(text, error === 'name' ? 'name' : undefined);
  return {
    step: t('new_passkey.step'),
    heading: t('new_passkey.heading'),
    failed: errors.length > 0,
    navigation: beside(model.base, t),
    scripts: formScripts(errors, 'webauthn'),
    errors,
    intro: t('new_passkey.intro'),
    passkey: presentPasskey(model.passkey, {
      action: model.action,
      csrf: model.csrf,
      label: t('new_passkey.submit'),
      problem: t('new_passkey.problem'),
      name: presentField(
        {
          name: 'name',
          label: t('new_passkey.name'),
          hint: t('new_passkey.name_hint'),
          autocomplete: 'off',
          value: model.name,
          maximumLength: 100,
        },
        errors,
      ),
    }),
    cancel: safeAddress(model.cancelAddress),
  };
}
