/**
 * This file owns what a tenant may say differently from the installation: the keys of `tenants.settings` and what each may
 * hold. It does not own the defaults (config/default.yaml) or what a setting does.
 */

import { isProtocolFeature, type ProtocolFeature } from './protocol_features.ts';

/** Only what the tenant said itself. */
export interface TenantSettings {
  readonly protocol: Readonly<Partial<Record<ProtocolFeature, boolean>>>;
}

/** One wish: `undefined` takes the tenant's own word back, so that the installation's holds again. */
export interface TenantSettingChange {
  readonly feature: ProtocolFeature;
  readonly on: boolean | undefined;
}

/** A wish as people write it, or why it cannot be had. Stable words. */
export type ParsedTenantSetting =
  | { readonly outcome: 'valid'; readonly change: TenantSettingChange }
  | { readonly outcome: 'invalid'; readonly reason: 'syntax' | 'unknown_setting' | 'not_on_or_off' };

/**
 * Reads what is stored. A key that this version does not know is left out: a newer version wrote it, and an older process
 * that still serves must not stop for it.
 */
export function readTenantSettings(stored: unknown): TenantSettings {
  const protocol = isRecord(stored) && isRecord(stored['protocol']) ? stored['protocol'] : {};
  const known = Object.entries(protocol).filter(
    (entry): entry is [ProtocolFeature, boolean] => isProtocolFeature(entry[0]) && typeof entry[1] === 'boolean',
  );
  return { protocol: Object.fromEntries(known) };
}

/** Parses `protocol.jarm=on`: the name as in config/default.yaml, and `on`, `off` or `default`. */
export function parseTenantSetting(text: string): ParsedTenantSetting {
  const [, name, value] = /^([a-z0-9_.]+)=(.*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) return { outcome: 'invalid', reason: 'syntax' };
  const feature = name.startsWith('protocol.') ? name.slice('protocol.'.length) : '';
  if (!isProtocolFeature(feature)) return { outcome: 'invalid', reason: 'unknown_setting' };
  const on = new Map([
    ['on', true],
    ['off', false],
    ['default', undefined],
  ]);
  if (!on.has(value)) return { outcome: 'invalid', reason: 'not_on_or_off' };
  return { outcome: 'valid', change: { feature, on: on.get(value) } };
}

/** The settings after these changes, the last word on each setting deciding. */
export function changeTenantSettings(
  settings: TenantSettings,
  changes: readonly TenantSettingChange[],
): TenantSettings {
  const protocol = new Map(Object.entries(settings.protocol));
  for (const { feature, on } of changes) {
    if (on === undefined) protocol.delete(feature);
    else protocol.set(feature, on);
  }
  return { protocol: Object.fromEntries(protocol) };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
