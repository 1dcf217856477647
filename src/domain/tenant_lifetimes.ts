/**
 * This file owns which lifetimes a tenant may set for itself, and what then holds. A tenant is stricter than the installation, never
 * laxer: keys are published, cookies believed and rows kept for as long as the installation says, and nothing of a tenant's may
 * outlive that. It does not own the numbers (config/default.yaml).
 */
import type { RefreshTokenLifetimes } from './lifetimes.ts';
import { type SettingKind, wholeNumber } from './setting_kind.ts';

/** `lifetimes` of the settings. */
export interface Lifetimes {
  readonly accessTokenSeconds: number;
  readonly idTokenSeconds: number;
  readonly authorizationCodeSeconds: number;
  readonly interactionSeconds: number;
  readonly parSeconds: number;
  readonly session: { readonly idleSeconds: number; readonly absoluteSeconds: number };
  readonly refreshToken: RefreshTokenLifetimes;
}

const daySeconds = 86_400;
const tenYearsSeconds = 3650 * daySeconds;

/** By the names of config/default.yaml. */
export const lifetimeKinds = {
  'lifetimes.access_token_seconds': wholeNumber(60, daySeconds),
  'lifetimes.id_token_seconds': wholeNumber(60, daySeconds),
  'lifetimes.session.idle_seconds': wholeNumber(60, 365 * daySeconds),
  'lifetimes.session.absolute_seconds': wholeNumber(60, 365 * daySeconds),
  'lifetimes.refresh_token.idle_seconds': wholeNumber(60, tenYearsSeconds),
  'lifetimes.refresh_token.device_idle_seconds': wholeNumber(60, tenYearsSeconds),
  'lifetimes.refresh_token.grace_seconds': wholeNumber(0, 60),
  'lifetimes.refresh_token.absolute_seconds.web': wholeNumber(60, tenYearsSeconds),
  'lifetimes.refresh_token.absolute_seconds.spa': wholeNumber(60, tenYearsSeconds),
  'lifetimes.refresh_token.absolute_seconds.native': wholeNumber(60, tenYearsSeconds),
  'lifetimes.refresh_token.absolute_seconds.device': wholeNumber(60, tenYearsSeconds),
} as const satisfies Readonly<Record<string, SettingKind<number>>>;

export type LifetimeSettingName = keyof typeof lifetimeKinds;

export type LifetimeSettings = Readonly<Record<LifetimeSettingName, number>>;

/** In the order in which settings are shown. */
export const LIFETIME_SETTINGS = Object.keys(lifetimeKinds) as readonly LifetimeSettingName[]; // the keys of a typed table

export function isLifetimeSetting(name: string): name is LifetimeSettingName {
  return Object.hasOwn(lifetimeKinds, name);
}

/** What the installation says, by the names that a tenant says it by. */
export function lifetimeSettingsOf({
  accessTokenSeconds,
  idTokenSeconds,
  session,
  refreshToken,
}: Lifetimes): LifetimeSettings {
  return {
    'lifetimes.access_token_seconds': accessTokenSeconds,
    'lifetimes.id_token_seconds': idTokenSeconds,
    'lifetimes.session.idle_seconds': session.idleSeconds,
    'lifetimes.session.absolute_seconds': session.absoluteSeconds,
    'lifetimes.refresh_token.idle_seconds': refreshToken.idleSeconds,
    'lifetimes.refresh_token.device_idle_seconds': refreshToken.deviceIdleSeconds,
    'lifetimes.refresh_token.grace_seconds': refreshToken.graceSeconds,
    'lifetimes.refresh_token.absolute_seconds.web': refreshToken.absoluteSeconds.web,
    'lifetimes.refresh_token.absolute_seconds.spa': refreshToken.absoluteSeconds.spa,
    'lifetimes.refresh_token.absolute_seconds.native': refreshToken.absoluteSeconds.native,
    'lifetimes.refresh_token.absolute_seconds.device': refreshToken.absoluteSeconds.device,
  };
}

/** What holds in a tenant: of its own word and the installation's the shorter one. */
export function lifetimesIn(installation: Lifetimes, own: Partial<LifetimeSettings>): Lifetimes {
  const known = lifetimeSettingsOf(installation);
  const of = (name: LifetimeSettingName): number => Math.min(known[name], own[name] ?? known[name]);
  return {
    ...installation,
    accessTokenSeconds: of('lifetimes.access_token_seconds'),
    idTokenSeconds: of('lifetimes.id_token_seconds'),
    session: {
      idleSeconds: of('lifetimes.session.idle_seconds'),
      absoluteSeconds: of('lifetimes.session.absolute_seconds'),
    },
    refreshToken: {
      ...installation.refreshToken,
      idleSeconds: of('lifetimes.refresh_token.idle_seconds'),
      deviceIdleSeconds: of('lifetimes.refresh_token.device_idle_seconds'),
      graceSeconds: of('lifetimes.refresh_token.grace_seconds'),
      absoluteSeconds: {
        web: of('lifetimes.refresh_token.absolute_seconds.web'),
        spa: of('lifetimes.refresh_token.absolute_seconds.spa'),
        native: of('lifetimes.refresh_token.absolute_seconds.native'),
        device: of('lifetimes.refresh_token.absolute_seconds.device'),
      },
    },
  };
}
