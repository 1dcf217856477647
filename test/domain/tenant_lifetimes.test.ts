import {
  LIFETIME_SETTINGS,
  type LifetimeSettings,
  type Lifetimes,
  lifetimeSettingsOf,
  lifetimesIn,
} from '#src/domain/tenant_lifetimes.ts';

const installation: Lifetimes = {
  accessTokenSeconds: 900,
  idTokenSeconds: 901,
  authorizationCodeSeconds: 60,
  interactionSeconds: 3600,
  parSeconds: 61,
  session: { idleSeconds: 1000, absoluteSeconds: 2000 },
  refreshToken: {
    idleSeconds: 3000,
    deviceIdleSeconds: 4000,
    graceSeconds: 10,
    deviceGraceSeconds: 5000,
    absoluteSeconds: { web: 6000, spa: 7000, native: 8000, device: 9000 },
  },
};

describe('the lifetimes of a tenant', () => {
  it('are those of the installation where it says nothing', () => {
    expect(lifetimesIn(installation, {})).toEqual(installation);
  });

  it('are shorter where it says so, each by itself', () => {
    for (const name of LIFETIME_SETTINGS) {
      const known = lifetimeSettingsOf(installation);
      const own: Partial<LifetimeSettings> = { [name]: 7 };
      expect(lifetimeSettingsOf(lifetimesIn(installation, own))).toEqual({ ...known, ...own });
    }
  });

  it('are never longer than those of the installation, by which keys and cookies are kept', () => {
    const own = Object.fromEntries(LIFETIME_SETTINGS.map((name) => [name, 1_000_000])) as unknown as LifetimeSettings; // every name
    expect(lifetimesIn(installation, own)).toEqual(installation);
  });
});
