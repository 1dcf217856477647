import { needsSecondFactor, peopleSettingsOf } from '#src/domain/people_settings.ts';
import { PROTOCOL_FEATURES, type ProtocolFeatures, protocolFeaturesOf } from '#src/domain/protocol_features.ts';
import {
  changedTenantSettings,
  changeTenantSettings,
  ownSettings,
  parseTenantSetting,
  readTenantSettings,
  storedTenantSettings,
} from '#src/domain/tenant_settings.ts';
import { defaultPeopleSettings } from '#test/support/people_settings.ts';

const allOff = Object.fromEntries(PROTOCOL_FEATURES.map((feature) => [feature, false])) as ProtocolFeatures;

describe('a setting of a tenant', () => {
  it('is a switch of the protocol, on, off or back to the default', () => {
    const change = (name: string, value: unknown) => ({ outcome: 'valid', change: { name, value } });
    expect(parseTenantSetting('protocol.jarm=on')).toEqual(change('protocol.jarm', true));
    expect(parseTenantSetting('protocol.token_exchange=off')).toEqual(change('protocol.token_exchange', false));
    expect(parseTenantSetting('protocol.jar=default')).toEqual(change('protocol.jar', undefined));
  });

  it.each([
    ['people.registration=closed', 'closed'],
    ['password.minimum_characters=15', 15],
    ['second_factor.required_for_roles=editor,admin,admin', ['admin', 'editor']],
    ['second_factor.required_for_roles=', []],
    ['links.terms=https://acme.example/terms', 'https://acme.example/terms'],
    ['links.terms=', ''],
    ['lifetimes.access_token_seconds=300', 300],
    ['access.sign_in_addresses=2001:DB8::/32,192.0.2.7,192.0.2.7', ['192.0.2.7', '2001:db8::/32']],
    ['second_factor.policy=default', undefined],
  ])('is something about people: %s', (text, value) => {
    expect(parseTenantSetting(text)).toEqual({ outcome: 'valid', change: { name: text.split('=')[0], value } });
  });

  it.each([
    ['jarm', 'syntax'],
    ['=on', 'syntax'],
    ['protocol.jarm', 'syntax'],
    ['jarm=on', 'unknown_setting'],
    ['protocol.jam=on', 'unknown_setting'],
    ['protocol.__proto__=on', 'unknown_setting'],
    ['__proto__=on', 'unknown_setting'],
    ['lifetimes.par_seconds=1', 'unknown_setting'],
    ['protocol.jarm=yes', 'value'],
    ['protocol.jarm=', 'value'],
    ['protocol.jarm=on ', 'value'],
    ['people.registration=anyone', 'value'],
    ['password.minimum_characters=7', 'value'],
    ['password.minimum_characters=12.5', 'value'],
    ['password.minimum_characters=-12', 'value'],
    ['second_factor.required_for_roles=Admin', 'value'],
    ['links.terms=http://acme.example', 'value'],
    ['links.terms=javascript:alert(1)', 'value'],
    ['links.terms=https://user:secret@acme.example/', 'value'],
    ['lifetimes.access_token_seconds=59', 'value'],
    ['access.sign_in_addresses=192.0.2.0/33', 'value'],
    ['links.terms=https:\\\\acme.example', 'value'],
    ['links.terms=https://acme.example/\nx', 'syntax'],
  ])('is refused: %s, for its %s', (text, reason) => {
    expect(parseTenantSetting(text)).toEqual(expect.objectContaining({ outcome: 'invalid', reason }));
  });
});

describe('the settings of a tenant', () => {
  it('are read with what this version knows, whatever is stored', () => {
    const stored = {
      protocol: { jarm: true, tomorrow: true, jar: 'perhaps' },
      people: { registration: 'closed', usernames: 1, tomorrow: 1 },
      links: { terms: 'javascript:alert(1)' },
      lifetimes: { 'session.idle_seconds': 600, access_token_seconds: 1, par_seconds: 30 },
      other: 1,
    };
    expect(readTenantSettings(stored)).toEqual({
      protocol: { jarm: true },
      people: { 'people.registration': 'closed' },
      lifetimes: { 'lifetimes.session.idle_seconds': 600 },
    });
    for (const nothing of [undefined, null, 1, 'text', [], { protocol: null }, { protocol: [] }, { people: 'x' }]) {
      expect(readTenantSettings(nothing)).toEqual({ protocol: {}, people: {}, lifetimes: {} });
    }
  });

  it('decide only what the tenant said, and the last word counts', () => {
    const settings = changeTenantSettings(
      { protocol: { jar: true }, people: { 'password.history': 3 }, lifetimes: {} },
      [
        { name: 'protocol.jarm', value: true },
        { name: 'protocol.jar', value: undefined },
        { name: 'protocol.jarm', value: false },
        { name: 'protocol.rar', value: true },
        { name: 'password.history', value: undefined },
        { name: 'second_factor.policy', value: 'required' },
      ],
    );
    expect(settings).toEqual({
      protocol: { jarm: false, rar: true },
      people: { 'second_factor.policy': 'required' },
      lifetimes: {},
    });
    expect(protocolFeaturesOf({ ...allOff, jarm: true }, settings.protocol)).toEqual({ ...allOff, rar: true });
  });

  it('come back from where they are stored as they were', () => {
    const settings = {
      protocol: { jarm: false },
      people: { 'second_factor.required_for_roles': ['admin'], 'links.help': 'https://help.example/' },
      lifetimes: { 'lifetimes.session.idle_seconds': 600 },
    } as const;
    expect(ownSettings(settings)).toEqual({
      'protocol.jarm': false,
      'lifetimes.session.idle_seconds': 600,
      'second_factor.required_for_roles': ['admin'],
      'links.help': 'https://help.example/',
    });
    expect(storedTenantSettings({ protocol: {}, people: {}, lifetimes: {} })).toEqual({
      protocol: {},
      lifetimes: {},
      people: {},
      access: {},
      api_keys: {},
      password: {},
      second_factor: {},
      devices: {},
      links: {},
      rest: {},
    });
    expect(readTenantSettings(JSON.parse(JSON.stringify(storedTenantSettings(settings))))).toEqual(settings);
  });

  it('differ where one says what the other does not', () => {
    const before = {
      protocol: { jarm: true },
      people: { 'second_factor.required_for_roles': ['admin'] },
      lifetimes: {},
    } as const;
    expect(changedTenantSettings(before, before)).toEqual([]);
    expect(
      changedTenantSettings(before, {
        protocol: {},
        people: { 'second_factor.required_for_roles': [] },
        lifetimes: {},
      }),
    ).toEqual([
      ['protocol.jarm', undefined],
      ['second_factor.required_for_roles', []],
    ]);
  });
});

describe('a second factor', () => {
  const settings = peopleSettingsOf(defaultPeopleSettings, { 'second_factor.required_for_roles': ['admin'] });

  it('is needed where the tenant asks everybody, or one of the roles', () => {
    expect(needsSecondFactor({ ...settings, 'second_factor.policy': 'required' }, [])).toBe(true);
    expect(needsSecondFactor({ ...settings, 'second_factor.policy': 'off' }, ['admin'])).toBe(false);
    expect(needsSecondFactor(settings, ['user'])).toBe(false);
    expect(needsSecondFactor(settings, ['user', 'admin'])).toBe(true);
  });
});
