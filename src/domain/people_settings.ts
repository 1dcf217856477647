/**
 * This file owns what a tenant decides about its people: how they come in, what their passwords must be, when a second factor is
 * asked for. The installation says it for all (config/default.yaml), a tenant may say otherwise for itself. It does not own what
 * follows from it: that is for the flows.
 */
import { isOnList, MAXIMUM_NETWORKS, parseAddressList } from './address_list.ts';
import { isKeyPrefix } from './api_key.ts';
import { type SettingKind, wholeNumber } from './setting_kind.ts';

const onOrOff: SettingKind<boolean> = {
  parse: (written) => {
    if (written === true || written === 'on' || written === 'true') return true;
    return written === false || written === 'off' || written === 'false' ? false : undefined;
  },
  expected: 'on or off',
};

function oneOf<const Word extends string>(...words: readonly Word[]): SettingKind<Word> {
  return {
    parse: (written) => words.find((word) => word === written),
    expected: `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`,
  };
}

const ROLE_NAME = /^[a-z][a-z0-9_-]{0,62}$/;
const MAXIMUM_ROLES = 20;

const roleNames: SettingKind<readonly string[]> = {
  parse: (written) => {
    const names: unknown = typeof written === 'string' ? written.split(',').filter((name) => name !== '') : written;
    if (!Array.isArray(names) || names.length > MAXIMUM_ROLES) return undefined;
    const roles = names.filter((name): name is string => typeof name === 'string' && ROLE_NAME.test(name));
    return roles.length === names.length ? [...new Set(roles)].sort() : undefined;
  },
  expected: 'names of roles with commas between them, or nothing',
};

/** Empty where there is none. Whether the tenant has it, and may give it to anybody, is for the flow to ask. */
const roleOrNone: SettingKind<string> = {
  parse: (written) =>
    written === '' || (typeof written === 'string' && ROLE_NAME.test(written)) ? written : undefined,
  expected: 'the name of a role that manages nothing, or nothing',
};

const keyPrefix: SettingKind<string> = {
  parse: (written) => (typeof written === 'string' && isKeyPrefix(written) ? written : undefined),
  expected: 'a letter and up to 11 small letters or digits, then _, as nothing else of ours begins: hr_',
};

const MAXIMUM_ADDRESS_CHARACTERS = 500;

/** Empty where there is none. Shown as a link, so nothing but https: `javascript:` and friends never get in. */
const webAddress: SettingKind<string> = {
  parse: (written) => {
    if (written === '') return '';
    if (typeof written !== 'string' || written.length > MAXIMUM_ADDRESS_CHARACTERS) return undefined;
    if (!/^https:\/\/[\x21-\x7e]+$/.test(written) || written.includes('\\') || !URL.canParse(written)) return undefined;
    const { protocol, username, password, href } = new URL(written);
    return protocol === 'https:' && username === '' && password === '' ? href : undefined;
  },
  expected: 'an https address, or nothing',
};

const addressList: SettingKind<readonly string[]> = {
  parse: parseAddressList,
  expected: `at most ${MAXIMUM_NETWORKS} addresses and networks (CIDR) with commas between them, or nothing`,
};

/** Every setting, by the one name it has in YAML, in a tenant's settings, on the command line and in events. */
export const peopleSettingKinds = {
  /** Who may make an account: anybody, whoever was invited, or nobody but administrators for others. */
  'people.registration': oneOf('open', 'invitation', 'closed'),
  /** Whether somebody whose address is not proven may sign in. */
  'people.email_verification': oneOf('required', 'optional'),
  'people.usernames': onOrOff,
  /** Who ends a membership: the person, or an administrator whom they have to ask. */
  'people.account_deletion': oneOf('self', 'administrator'),
  'people.deletion_undo_days': wholeNumber(0, 90),
  'people.invitation_days': wholeNumber(1, 90),
  /** The role of whoever lets themselves in; never one that manages the tenant. */
  'people.default_role': roleOrNone,
  // NIST SP 800-63B-4 §3.1.1.2: 15 without a second factor is recommended, 8 with one is the least.
  'password.minimum_characters': wholeNumber(8, 128),
  'password.minimum_characters_with_second_factor': wholeNumber(8, 128),
  /** zxcvbn's score that a new password must reach, 0 to 4. */
  'password.minimum_strength': wholeNumber(0, 4),
  /** Whether a password needs small and capital letters and a digit or sign. Makes passwords alike, not strong. */
  'password.composition': onOrOff,
  /** How many earlier passwords may not come back. */
  'password.history': wholeNumber(0, 24),
  /** Whether the first characters of a new password's SHA-1 are sent to Have I Been Pwned. */
  'password.breached_range_api': onOrOff,
  'second_factor.policy': oneOf('off', 'optional', 'required'),
  /** Roles that need one although the policy is `optional`. */
  'second_factor.required_for_roles': roleNames,
  /** How long a browser may be remembered, so that no second factor is asked there; 0 offers it to nobody. */
  'second_factor.remember_device_days': wholeNumber(0, 90),
  /** Whether a code by mail may stand in for a lost second factor. */
  'second_factor.email_code': onOrOff,
  /** Whether somebody who pairs a device must have signed in with both factors. */
  'devices.approval_second_factor': onOrOff,
  /** How long ago they may have signed in; 0 asks for no fresh sign-in. */
  'devices.approval_max_age_minutes': wholeNumber(0, 1440),
  /** Roles of which they must have one; everybody may when there are none. */
  'devices.approval_roles': roleNames,
  'devices.maximum_per_person': wholeNumber(1, 10_000),
  /** Who may make API keys: every member, members with the permission `api-keys:write`, or nobody. */
  'api_keys.makers': oneOf('members', 'permitted', 'nobody'),
  /** What a new key begins with: secret scanners of a tenant know its keys by it. */
  'api_keys.prefix': keyPrefix,
  /** How much randomness follows. */
  'api_keys.random_bytes': wholeNumber(32, 64),
  'api_keys.maximum_days': wholeNumber(1, 3650),
  /** Keys of one person that open something. */
  'api_keys.maximum_per_person': wholeNumber(1, 1_000),
  /** Of one key, in each process. */
  'api_keys.requests_per_minute': wholeNumber(1, 1_000_000),
  /** How long a retired device is remembered: who had it, and what became of it. */
  'devices.retired_days': wholeNumber(1, 3650),
  /** How long what devices report is kept; 0 keeps the last word of each and nothing before it. */
  'devices.telemetry_days': wholeNumber(0, 30),
  'devices.telemetry_per_minute': wholeNumber(1, 600),
  'devices.telemetry_maximum_bytes': wholeNumber(64, 16_384),
  /** Calls of the management API by one person or application, in each process. */
  'rest.requests_per_minute': wholeNumber(1, 1_000_000),
  /** From where people may sign in; from everywhere when there are none. */
  'access.sign_in_addresses': addressList,
  /** From where the tenant may be managed; likewise. */
  'access.management_addresses': addressList,
  /** Whether applications of the tenant itself may ask for passwords in their own windows (/api/v1/auth). */
  'rest.sign_in': onOrOff,
  /** Where they get the refresh token when they do not say: in a cookie that no script reads, or in the answer. */
  'rest.token_delivery': oneOf('cookie', 'body'),
  'links.terms': webAddress,
  'links.privacy': webAddress,
  'links.help': webAddress,
} as const satisfies Readonly<Record<string, SettingKind<unknown>>>;

type Kinds = typeof peopleSettingKinds;
export type PeopleSettingName = keyof Kinds;

/** What holds for the people of one tenant. */
export type PeopleSettings = {
  readonly [Name in PeopleSettingName]: NonNullable<ReturnType<Kinds[Name]['parse']>>;
};

/** Every name, in the order in which settings are shown. */
export const PEOPLE_SETTINGS = Object.keys(peopleSettingKinds) as readonly PeopleSettingName[]; // the keys of a typed table

export function isPeopleSetting(name: string): name is PeopleSettingName {
  return Object.hasOwn(peopleSettingKinds, name);
}

/** What holds for one tenant: what it says itself, and the installation's word where it says nothing. */
export function peopleSettingsOf(installation: PeopleSettings, tenant: Partial<PeopleSettings>): PeopleSettings {
  return { ...installation, ...tenant };
}

/** Whether people may sign in from there. */
export function maySignInFrom(settings: PeopleSettings, address: string | undefined): boolean {
  return isOnList(settings['access.sign_in_addresses'], address);
}

/** Whether the tenant may be managed from there. */
export function mayManageFrom(settings: PeopleSettings, address: string | undefined): boolean {
  return isOnList(settings['access.management_addresses'], address);
}

/** Whether these roles need a second factor to be let in. */
export function needsSecondFactor(settings: PeopleSettings, roles: readonly string[]): boolean {
  if (settings['second_factor.policy'] !== 'optional') return settings['second_factor.policy'] === 'required';
  return roles.some((role) => settings['second_factor.required_for_roles'].includes(role));
}

/** Whether somebody with these roles may have a device: pair one, or take over another's. */
export function mayHaveDevices(settings: PeopleSettings, roles: readonly string[]): boolean {
  const wanted = settings['devices.approval_roles'];
  return wanted.length === 0 || roles.some((role) => wanted.includes(role));
}
