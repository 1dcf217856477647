/** The pages on which second factors are set up and taken away, in every state. */
import type {
  BackupCodesModel,
  FactorDeedModel,
  NewPasskeyModel,
  OwnPasskeysModel,
  OwnSecondFactorModel,
  SetUpTotpModel,
} from '#src/http/pages/account/factor_models.ts';
import { account, at, csrf, type PageFixtures } from './page_state.ts';

const overview = '/t/linde/account/second-factor';
const secret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';

const setUp: SetUpTotpModel = {
  action: '/t/linde/interaction/abc',
  csrf,
  account,
  secret,
  appAddress: `otpauth://totp/Zorggroep%20De%20Linde:${encodeURIComponent(account)}?secret=${secret}&issuer=Zorggroep%20De%20Linde`,
  required: true,
  otherAccountAddress: '/t/linde/interaction/abc?again',
};
const codes: BackupCodesModel = {
  action: '/t/linde/interaction/abc',
  csrf,
  account,
  codes: Array.from({ length: 10 }, (_, index) => `7K3M-9QXA-0ZTF-R2B${index}`),
  set: 'the-set',
};
const deed: FactorDeedModel = {
  base: '/t/linde',
  deed: 'remove_app',
  action: `${overview}/app/remove`,
  csrf,
  cancelAddress: overview,
};
const passkeys = [
  { id: 'aaaa', name: 'Telefoon', synced: true, addedAt: at, lastUsedAt: at },
  { id: 'bbbb', name: 'Sleutel <b>', synced: false, addedAt: at, lastUsedAt: undefined },
];
const own: OwnSecondFactorModel = {
  base: '/t/linde',
  isOn: true,
  appSince: undefined,
  backupCodesLeft: 0,
  passkeys: [],
  devices: [],
  addresses: {
    app: `${overview}/app`,
    removeApp: `${overview}/app/remove`,
    backupCodes: `${overview}/backup-codes`,
    passkeys: `${overview}/passkeys`,
    newPasskey: `${overview}/passkeys/new`,
    account: '/t/linde/account',
  },
  forget: { action: `${overview}/devices`, csrf },
};
const device = {
  id: '0193f0a2-7c1e-7f6a-9b7e-4c1d2e3f4a5b',
  userAgent: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36',
  address: '2001:db8::1',
  lastUsedAt: at,
  sparedUntil: at,
  isThis: true,
};
const ownPasskeys: OwnPasskeysModel = {
  base: '/t/linde',
  action: `${overview}/passkeys`,
  csrf,
  passkeys,
  backAddress: overview,
};
const newPasskey: NewPasskeyModel = {
  base: '/t/linde',
  action: `${overview}/passkeys/new`,
  csrf,
  passkey: { challenge: 'YWJj', user: { id: 'YWJj', name: account, displayName: account } },
  cancelAddress: overview,
};

export const factorFixtures = {
  set_up_totp: {
    initial: { model: setUp },
    error: { model: { ...setUp, error: 'code' } },
    success: { without: 'leads on to the backup codes' },
    more: {
      'error with nothing filled in': { model: { ...setUp, error: 'missing' } },
      'error with a stale form': { model: { ...setUp, error: 'stale_form' } },
      'on the own pages': {
        model: { ...setUp, base: '/t/linde', required: false, otherAccountAddress: undefined, cancelAddress: overview },
      },
    },
  },
  backup_codes: {
    initial: { model: codes },
    error: { model: { ...codes, error: 'not_saved' } },
    success: { without: 'leads on to the application' },
    more: { 'error with codes that were replaced': { model: { ...codes, error: 'replaced' } } },
  },
  factor_deed: {
    initial: { model: deed },
    error: { model: { ...deed, error: 'required' } },
    success: { without: 'leads back to the overview' },
    more: {
      'for new codes': { model: { ...deed, deed: 'renew_codes' } },
      'error for the only way in': { model: { ...deed, error: 'only_way_in' } },
      'error with nothing to remove': { model: { ...deed, error: 'unknown' } },
    },
  },
  own_second_factor: {
    initial: { model: own },
    error: { without: 'has nothing to fill in' },
    success: {
      model: {
        ...own,
        notice: 'app_added',
        appSince: at,
        backupCodesLeft: 9,
        passkeys,
        devices: [
          device,
          { ...device, id: '0193f0a2-7c1e-7f6a-9b7e-4c1d2e3f4a5c', userAgent: undefined, isThis: false },
        ],
      },
    },
    more: { 'where the tenant has none': { model: { ...own, isOn: false } } },
  },
  own_passkeys: {
    initial: { model: ownPasskeys },
    error: { model: { ...ownPasskeys, error: 'required' } },
    success: { without: 'leads back to the overview' },
    more: {
      'without any': { model: { ...ownPasskeys, passkeys: [] } },
      'error with a name that is none': { model: { ...ownPasskeys, error: 'name' } },
    },
  },
  new_passkey: {
    initial: { model: newPasskey },
    error: { model: { ...newPasskey, error: 'name' } },
    success: { without: 'leads back to the overview' },
    more: { 'error with a known one': { model: { ...newPasskey, error: 'known', name: 'Telefoon' } } },
  },
} satisfies Pick<
  PageFixtures,
  'set_up_totp' | 'backup_codes' | 'factor_deed' | 'own_second_factor' | 'own_passkeys' | 'new_passkey'
>;
