import { PROTOCOL_FEATURES, type ProtocolFeatures, protocolFeaturesOf } from '#src/domain/protocol_features.ts';
import { changeTenantSettings, parseTenantSetting, readTenantSettings } from '#src/domain/tenant_settings.ts';

const allOff = Object.fromEntries(PROTOCOL_FEATURES.map((feature) => [feature, false])) as ProtocolFeatures;

describe('a setting of a tenant', () => {
  it('is a switch of the protocol, on, off or back to the default', () => {
    expect(parseTenantSetting('protocol.jarm=on')).toEqual({ outcome: 'valid', change: { feature: 'jarm', on: true } });
    expect(parseTenantSetting('protocol.token_exchange=off')).toEqual({
      outcome: 'valid',
      change: { feature: 'token_exchange', on: false },
    });
    expect(parseTenantSetting('protocol.jar=default')).toEqual({
      outcome: 'valid',
      change: { feature: 'jar', on: undefined },
    });
  });

  it.each([
    ['jarm', 'syntax'],
    ['=on', 'syntax'],
    ['protocol.jarm', 'syntax'],
    ['jarm=on', 'unknown_setting'],
    ['protocol.jam=on', 'unknown_setting'],
    ['protocol.__proto__=on', 'unknown_setting'],
    ['lifetimes.par_seconds=1', 'unknown_setting'],
    ['protocol.jarm=yes', 'not_on_or_off'],
    ['protocol.jarm=', 'not_on_or_off'],
    ['protocol.jarm=on ', 'not_on_or_off'],
  ])('is refused as %s', (text, reason) => {
    expect(parseTenantSetting(text)).toEqual({ outcome: 'invalid', reason });
  });
});

describe('the settings of a tenant', () => {
  it('are read with what this version knows, whatever is stored', () => {
    expect(readTenantSettings({ protocol: { jarm: true, tomorrow: true, jar: 'on' }, other: 1 })).toEqual({
      protocol: { jarm: true },
    });
    for (const stored of [undefined, null, 1, 'text', [], { protocol: null }, { protocol: [] }]) {
      expect(readTenantSettings(stored)).toEqual({ protocol: {} });
    }
  });

  it('decide only what the tenant said, and the last word counts', () => {
    const settings = changeTenantSettings({ protocol: { jar: true } }, [
      { feature: 'jarm', on: true },
      { feature: 'jar', on: undefined },
      { feature: 'jarm', on: false },
      { feature: 'rar', on: true },
    ]);
    expect(settings).toEqual({ protocol: { jarm: false, rar: true } });
    expect(protocolFeaturesOf({ ...allOff, jarm: true }, settings.protocol)).toEqual({ ...allOff, rar: true });
  });
});
