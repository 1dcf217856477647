/** The person's own pages, in every state. */
import type { OverviewModel } from '#src/http/pages/account/account_models.ts';
import { type ActivityModel, activityTypes } from '#src/http/pages/account/activity_models.ts';
import type { DepartureModel } from '#src/http/pages/account/departure_models.ts';
import type { NewApiKeyModel, OwnApiKeysModel } from '#src/http/pages/account/own_api_keys_models.ts';
import type { OwnApplicationsModel } from '#src/http/pages/account/own_applications_models.ts';
import type { OwnDeviceModel, OwnDevicesModel } from '#src/http/pages/account/own_devices_models.ts';
import type { OwnEmailModel } from '#src/http/pages/account/own_email_models.ts';
import type { OwnPasswordModel } from '#src/http/pages/account/own_password_models.ts';
import type { OwnSessionsModel } from '#src/http/pages/account/own_sessions_models.ts';
import type { ProfileModel } from '#src/http/pages/account/profile_models.ts';
import { account, application, at, csrf, type PageFixtures } from './page_state.ts';

const base = '/t/linde';
const chrome =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36';
const shell = { applicationName: undefined } as const;
const form = (path: string) => ({ base, csrf, action: `/t/linde/account/${path}` });
const neverWrong = { without: 'nothing on it can be wrong' } as const;
const onlyShows = { without: 'it shows, and does nothing' } as const;

const overview: OverviewModel = { base, email: account, name: 'Ada de Vries', memberSince: at, lastSignInAt: at };

const profile: ProfileModel = {
  ...form('profile'),
  givenName: 'Ada',
  familyName: 'de Vries',
  username: 'ada.de.vries',
  language: 'nl',
};

const password: OwnPasswordModel = { ...form('password'), account, minimumCharacters: 12 };

const email: OwnEmailModel = { ...form('email'), account };

const session: OwnSessionsModel['sessions'][number] = {
  id: 'abc',
  isThis: true,
  userAgent: chrome,
  address: '192.0.2.7',
  createdAt: at,
  lastUsedAt: at,
  applications: [application.name],
};
const sessions: OwnSessionsModel = {
  ...form('sessions'),
  sessions: [
    session,
    { ...session, id: 'def', isThis: false, userAgent: undefined, address: undefined, applications: [] },
  ],
};

const applications: OwnApplicationsModel = {
  ...form('applications'),
  applications: [
    {
      clientId: 'planner',
      name: application.name,
      rights: [{ name: 'openid' }, { name: 'email' }, { name: 'planning:read', description: 'Uw rooster lezen' }],
      grantedAt: at,
    },
    { clientId: 'meter', name: 'Meter', rights: [{ name: 'telemetry:write' }], grantedAt: at },
  ],
};

const apiKeys: OwnApiKeysModel = {
  ...form('api-keys'),
  at,
  newKeyAddress: `${base}/account/api-keys/new`,
  keys: [
    {
      id: '0193f0a2-7c1e-7f6a-9b7e-4c1d2e3f4a5b',
      beginning: 'pk_Ab3dE6',
      name: 'Overzicht nachtdienst',
      scopes: ['readings:read', 'permissions:check'],
      createdAt: at,
      expiresAt: new Date(at.getTime() + 86_400_000),
      lastUsedAt: at,
      lastUsedAddress: '192.0.2.7',
    },
    { id: 'def', beginning: 'pk_x', name: 'Poort 2', scopes: [], createdAt: at, expiresAt: at },
  ],
};

const newApiKey: NewApiKeyModel = {
  ...form('api-keys/new'),
  id: '0193f0a2-7c1e-7f6a-9b7e-4c1d2e3f4a5b',
  backAddress: `${base}/account/api-keys`,
  name: '',
  scopes: '',
  days: '90',
  maximumDays: 365,
  available: ['permissions:check', 'readings:read', 'users:read'],
};
const lamp: OwnDevicesModel['devices'][number] = {
  id: '0193f0a2-7c1e-7f6a-9b7e-4c1d2e3f4a5b',
  name: 'Lamp op de gang',
  model: 'Poort C3',
  firmware: '1.0.2',
  state: 'active',
  applicationName: application.name,
  pairedAt: at,
  pairedAddress: '192.0.2.7',
  lastSeenAt: at,
  lastSeenAddress: '2001:db8::7',
  offeredUntil: undefined,
};
const deviceRights = [{ name: 'offline_access' }, { name: 'telemetry:write' }, { name: 'lamps:read' }];
const devices: OwnDevicesModel = {
  ...form('devices'),
  devices: [lamp, { ...lamp, name: 'Thermostaat met een lange naam', model: undefined, state: 'quarantined' }],
  offers: [
    { id: lamp.id, name: 'Koffiezetter', model: 'K9', from: 'bob@linde.example', until: at, scopes: deviceRights },
  ],
  pairingAddress: `${base}/device`,
};
const device: OwnDeviceModel = { ...form('devices'), device: lamp, scopes: deviceRights };

const activity: ActivityModel = {
  base,
  days: 90,
  activities: activityTypes.map((type, index) => ({
    type,
    at: new Date(at.getTime() - index * 3_600_000),
    byOthers: index % 5 === 4,
    application: index % 3 === 0 ? application.name : undefined,
    userAgent: chrome,
    address: '2001:db8::7',
  })),
  older: `${base}/account/activity?before=0193f0a2-7c1e-7f6a-9b7e-4c1d2e3f4a5b`,
};

const departure: DepartureModel = { ...form('delete'), email: account, undoDays: 14, by: 'self' };

export const accountFixtures = {
  account: {
    initial: { model: overview, shell },
    error: onlyShows,
    success: { model: { ...overview, notice: 'deletion_withdrawn' }, shell },
    more: {
      'while the account is about to be deleted': { model: { ...overview, deletionDueAt: at }, shell },
      'of somebody without a name': { model: { base, email: account, memberSince: at }, shell },
    },
  },
  account_profile: {
    initial: { model: profile, shell },
    error: { model: { ...profile, faults: [{ field: 'username', reason: 'taken' }] }, shell },
    success: { model: { ...profile, notice: 'saved' }, shell },
    more: {
      'error in every field': {
        model: {
          ...profile,
          faults: (['given_name', 'family_name', 'username'] as const).map((field) => ({
            field,
            reason: 'unacceptable' as const,
          })),
        },
        shell,
      },
      'where there are no names to sign in with': {
        model: { ...profile, username: undefined, givenName: '', familyName: '', language: '' },
        shell: { ...shell, languageSwitch: { kind: 'form' } },
      },
    },
  },
  account_password: {
    initial: { model: password, shell },
    error: { model: { ...password, error: { kind: 'wrong' } }, shell },
    success: { model: { ...password, notice: 'changed' }, shell },
    more: {
      ...Object.fromEntries(
        (['missing_current', 'missing_new', 'busy', 'lost_race'] as const).map((kind) => [
          `error ${kind}`,
          { model: { ...password, error: { kind } }, shell },
        ]),
      ),
      'error throttled': { model: { ...password, error: { kind: 'throttled', retryAfterMinutes: 14.2 } }, shell },
      ...Object.fromEntries(
        (
          [
            'too_short',
            'too_long',
            'forbidden_character',
            'composition',
            'own_name',
            'breached',
            'too_weak',
            'used_before',
          ] as const
        ).map((reason) => [
          `error ${reason}`,
          { model: { ...password, error: { kind: 'unacceptable' as const, reason } }, shell },
        ]),
      ),
    },
  },
  account_email: {
    initial: { model: email, shell },
    error: { model: { ...email, email: 'ada@', error: 'invalid' }, shell },
    success: { without: 'leads on to the page for the code' },
    more: {
      'error unchanged': { model: { ...email, email: account, error: 'unchanged' }, shell },
      'error missing': { model: { ...email, error: 'missing' }, shell },
      'error throttled': { model: { ...email, error: 'throttled', retryAfterMinutes: 12.3 }, shell },
      'whose language switch posts the form': { model: email, shell: { ...shell, languageSwitch: { kind: 'form' } } },
    },
  },
  account_sessions: {
    initial: { model: sessions, shell },
    error: neverWrong,
    success: { model: { ...sessions, notice: 'ended' }, shell },
    more: {
      'with one that was gone already': { model: { ...sessions, notice: 'gone' }, shell },
      'with this browser alone': { model: { ...sessions, sessions: [session], notice: 'others_ended' }, shell },
    },
  },
  account_applications: {
    initial: { model: applications, shell },
    error: neverWrong,
    success: { model: { ...applications, applications: [], notice: 'revoked' }, shell },
    more: { 'with one that was gone already': { model: { ...applications, notice: 'gone' }, shell } },
  },
  account_api_keys: {
    initial: { model: apiKeys, shell },
    error: neverWrong,
    success: { model: { ...apiKeys, keys: [], notice: 'deleted' }, shell },
    more: {
      'with one that was gone already': { model: { ...apiKeys, notice: 'gone' }, shell },
      'of who may make none': { model: { ...apiKeys, newKeyAddress: undefined }, shell },
    },
  },
  new_api_key: {
    initial: { model: newApiKey, shell: { ...shell, languageSwitch: { kind: 'form' } } },
    error: {
      model: {
        ...newApiKey,
        scopes: 'users:write everything',
        errors: [{ field: 'name' }, { field: 'scopes', scopes: ['users:write', 'everything'] }, { field: 'days' }],
      },
      shell,
    },
    success: {
      model: { ...newApiKey, name: 'Overzicht', key: 'pk_Ab3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6kL9nO2q' },
      shell,
    },
    more: {
      'error too many': {
        model: { ...newApiKey, errors: [{ field: undefined, problem: 'too_many', maximum: 20 }] },
        shell,
      },
      ...Object.fromEntries(
        (['not_allowed', 'made_before'] as const).map((problem) => [
          `error ${problem}`,
          { model: { ...newApiKey, errors: [{ field: undefined, problem }] }, shell },
        ]),
      ),
      'of who has nothing to give': { model: { ...newApiKey, available: [] }, shell },
    },
  },
  account_devices: {
    initial: { model: devices, shell },
    error: neverWrong,
    success: { model: { ...devices, offers: [], notice: 'accepted' }, shell },
    more: {
      'with nothing on it': { model: { ...devices, devices: [], offers: [], notice: 'removed' }, shell },
      ...Object.fromEntries(
        (['gone', 'declined', 'role', 'second_factor', 'too_many'] as const).map((notice) => [
          `notice ${notice}`,
          { model: { ...devices, notice }, shell },
        ]),
      ),
    },
  },
  account_device: {
    initial: { model: device, shell },
    error: { model: { ...device, error: 'name', typedName: '' }, shell },
    success: { model: { ...device, notice: 'renamed' }, shell },
    more: {
      'while it is offered': {
        model: { ...device, device: { ...lamp, offeredUntil: at }, notice: 'offered' },
        shell,
      },
      'while it is stopped, with nothing it may do': {
        model: { ...device, device: { ...lamp, state: 'quarantined' }, scopes: [], notice: 'withdrawn' },
        shell,
      },
      'error offer_to': { model: { ...device, error: 'offer_to', typedAddress: 'bob@' }, shell },
      'error own_address': { model: { ...device, error: 'own_address', typedAddress: account }, shell },
    },
  },
  account_activity: {
    initial: { model: activity, shell },
    error: onlyShows,
    success: onlyShows,
    more: {
      'with nothing in it': {
        model: { ...activity, activities: [], older: undefined, latest: `${base}/account/activity` },
        shell,
      },
    },
  },
  account_export: { initial: { model: form('export'), shell }, error: neverWrong, success: { without: 'is a file' } },
  account_delete: {
    initial: { model: departure, shell },
    error: { model: { ...departure, error: 'not_confirmed' }, shell },
    success: { without: 'is a page of its own' },
    more: {
      'error of the only administrator': { model: { ...departure, error: 'last_administrator' }, shell },
      'where it is done at once': { model: { ...departure, undoDays: 0 }, shell },
      'while it is about to happen': { model: { ...departure, dueAt: at }, shell },
      'where an administrator does it': {
        model: { ...departure, by: 'administrator', helpAddress: 'https://linde.example/hulp' },
        shell,
      },
    },
  },
  account_departed: {
    initial: { model: { base, email: account, dueAt: at }, shell },
    error: neverWrong,
    success: { model: { base, email: account }, shell },
  },
} satisfies Partial<PageFixtures>;
