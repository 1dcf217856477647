/**
 * This file owns what a tenant may say differently from the installation: the keys of `tenants.settings` and what each may
 * hold. It does not own the defaults (config/default.yaml) or what a setting does.
 */

import {
  isPeopleSetting,
  PEOPLE_SETTINGS,
  type PeopleSettingName,
  type PeopleSettings,
  peopleSettingKinds,
} from './people_settings.ts';
import { isProtocolFeature, PROTOCOL_FEATURES, type ProtocolFeature } from './protocol_features.ts';
import {
  isLifetimeSetting,
  LIFETIME_SETTINGS,
  type LifetimeSettingName,
  type LifetimeSettings,
  lifetimeKinds,
} from './tenant_lifetimes.ts';

/** Only what the tenant said itself. */
export interface TenantSettings {
  readonly protocol: Readonly<Partial<Record<ProtocolFeature, boolean>>>;
  readonly people: Partial<PeopleSettings>;
  readonly lifetimes: Partial<LifetimeSettings>;
}

/** As in config/default.yaml. */
export type TenantSettingName = `protocol.${ProtocolFeature}` | PeopleSettingName | LifetimeSettingName;

/** Every name, in the order in which settings are shown. */
export const TENANT_SETTINGS: readonly TenantSettingName[] = [
  ...PROTOCOL_FEATURES.map((feature) => `protocol.${feature}` as const),
  ...LIFETIME_SETTINGS,
  ...PEOPLE_SETTINGS,
];

export type TenantSettingValue = boolean | number | string | readonly string[];

/** One wish: `undefined` takes the tenant's own word back, so that the installation's holds again. */
export interface TenantSettingChange {
  readonly name: TenantSettingName;
  readonly value: TenantSettingValue | undefined;
}

/** A wish as people write it, or why it cannot be had. Stable words. */
export type ParsedTenantSetting =
  | { readonly outcome: 'valid'; readonly change: TenantSettingChange }
  | { readonly outcome: 'invalid'; readonly reason: 'syntax' | 'unknown_setting' }
  /** `expected` completes "Set it to …". */
  | { readonly outcome: 'invalid'; readonly reason: 'value'; readonly expected: string };

/**
 * Reads what is stored. What this version does not know or cannot read is left out: a newer version wrote it, and an older
 * process that still serves must not stop for it.
 */
export function readTenantSettings(stored: unknown): TenantSettings {
  const known = Object.entries(isRecord(stored) ? stored : {}).flatMap(([group, values]) =>
    Object.entries(isRecord(values) ? values : {}).flatMap(([key, value]) => {
      const name = `${group}.${key}`;
      const read = isTenantSetting(name) ? kindOf(name).parse(value) : undefined;
      return read === undefined ? [] : [[name, read] as const];
    }),
  );
  return settingsFrom(new Map(known));
}

/** The other way around: every group that this version knows, also one in which the tenant says nothing any more. */
export function storedTenantSettings(settings: TenantSettings): Readonly<Record<string, object>> {
  const groups = [...new Set(TENANT_SETTINGS.map((name) => name.slice(0, name.indexOf('.'))))];
  const values = tenantSettingValues(settings);
  const valuesIn = (group: string) =>
    values.flatMap(([name, value]) => (name.startsWith(`${group}.`) ? [[name.slice(group.length + 1), value]] : []));
  return Object.fromEntries(groups.map((group) => [group, Object.fromEntries(valuesIn(group))]));
}

/** Parses `protocol.jarm=on`: the name as in config/default.yaml, and its value or `default`. */
export function parseTenantSetting(text: string): ParsedTenantSetting {
  const [, name, written] = /^([a-z0-9_.]+)=(.*)$/.exec(text) ?? [];
  if (name === undefined || written === undefined) return { outcome: 'invalid', reason: 'syntax' };
  if (isTenantSetting(name) && written === 'default') return { outcome: 'valid', change: { name, value: undefined } };
  const parsed = parseTenantSettingValue(name, written);
  const isRefusedValue = parsed.outcome === 'invalid' && parsed.reason === 'value';
  return isRefusedValue ? { ...parsed, expected: `${parsed.expected}, or default` } : parsed;
}

/** The same for a name and a value that stand apart, as in YAML or JSON. */
export function parseTenantSettingValue(name: string, written: unknown): ParsedTenantSetting {
  if (!isTenantSetting(name)) return { outcome: 'invalid', reason: 'unknown_setting' };
  const { parse, expected } = kindOf(name);
  const value = parse(written);
  if (value === undefined) return { outcome: 'invalid', reason: 'value', expected };
  return { outcome: 'valid', change: { name, value } };
}

/** Every setting that a tenant may have a word on, with what completes the sentence "Set it to …". */
export function listTenantSettings(): readonly { readonly name: TenantSettingName; readonly expected: string }[] {
  return TENANT_SETTINGS.map((name) => ({ name, expected: kindOf(name).expected }));
}

/** The settings after these changes, the last word on each setting deciding. */
export function changeTenantSettings(
  settings: TenantSettings,
  changes: readonly TenantSettingChange[],
): TenantSettings {
  const values = new Map(tenantSettingValues(settings));
  for (const { name, value } of changes) {
    if (value === undefined) values.delete(name);
    else values.set(name, value);
  }
  return settingsFrom(values);
}

/** What the tenant said itself, by name and in the order in which settings are shown. */
export function ownSettings(
  settings: TenantSettings,
): Readonly<Partial<Record<TenantSettingName, TenantSettingValue>>> {
  const own = new Map(tenantSettingValues(settings));
  return Object.fromEntries(TENANT_SETTINGS.flatMap((name) => (own.has(name) ? [[name, own.get(name)]] : [])));
}

/** The settings on which the two differ, with what the second says; `undefined` where it says nothing. */
export function changedTenantSettings(
  before: TenantSettings,
  after: TenantSettings,
): readonly (readonly [TenantSettingName, TenantSettingValue | undefined])[] {
  const [old, fresh] = [new Map(tenantSettingValues(before)), new Map(tenantSettingValues(after))];
  const names = [...new Set([...old.keys(), ...fresh.keys()])];
  return names
    .filter((name) => JSON.stringify(old.get(name)) !== JSON.stringify(fresh.get(name)))
    .map((name) => [name, fresh.get(name)]);
}

/** What the tenant says itself, setting by setting. */
export function tenantSettingValues({
  protocol,
  people,
  lifetimes,
}: TenantSettings): readonly (readonly [TenantSettingName, TenantSettingValue])[] {
  const switches = Object.entries(protocol).map(([feature, on]) => [`protocol.${feature}`, on] as const);
  // All are records by their own names; `Object.entries` only knows strings.
  return [...switches, ...Object.entries(people), ...Object.entries(lifetimes)] as (readonly [
    TenantSettingName,
    TenantSettingValue,
  ])[];
}

function settingsFrom(values: ReadonlyMap<string, unknown>): TenantSettings {
  const of = (wanted: (name: string) => boolean): [string, unknown][] => [...values].filter(([name]) => wanted(name));
  // Each value was parsed by the kind that its name has.
  return {
    protocol: Object.fromEntries(
      of((name) => name.startsWith(protocolGroup)).map(([name, on]) => [name.slice(protocolGroup.length), on]),
    ) as TenantSettings['protocol'],
    people: Object.fromEntries(of(isPeopleSetting)) as TenantSettings['people'],
    lifetimes: Object.fromEntries(of(isLifetimeSetting)) as TenantSettings['lifetimes'],
  };
}

const protocolGroup = 'protocol.';

export function isTenantSetting(name: string): name is TenantSettingName {
  return (
    isPeopleSetting(name) ||
    isLifetimeSetting(name) ||
    (name.startsWith(protocolGroup) && isProtocolFeature(name.slice(protocolGroup.length)))
  );
}

interface Kind {
  readonly parse: (written: unknown) => TenantSettingValue | undefined;
  readonly expected: string;
}

const protocolSwitch: Kind = peopleSettingKinds['people.usernames'];

function kindOf(name: TenantSettingName): Kind {
  if (isPeopleSetting(name)) return peopleSettingKinds[name];
  return isLifetimeSetting(name) ? lifetimeKinds[name] : protocolSwitch;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
