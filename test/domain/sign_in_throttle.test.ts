import {
  ATTEMPT_KINDS,
  type AttemptKind,
  type AttemptLimit,
  canonicalAddress,
  identifierKey,
  isOwnCounter,
  limitsOf,
  lockSeconds,
  retryAfterSeconds,
  type SignInThrottleSettings,
  shortAddressLimits,
} from '#src/domain/sign_in_throttle.ts';

const SETTINGS: SignInThrottleSettings = {
  windowSeconds: 900,
  maximumPerIdentifierAndAddress: 5,
  maximumPerIdentifier: 50,
  maximumPerAddress: 100,
  maximumPerKnownDevice: 4,
  maximumPerTenant: 10_000,
  tenantWindowSeconds: 60,
  firstLockSeconds: 900,
  longestLockSeconds: 1800,
  perIdentifier: {
    code: 5,
    backup_code: 6,
    email_code: 7,
    passkey: 51,
    proof: 21,
    reset: 22,
    registration: 23,
    invitation: 24,
    user_code: 52,
  },
  userCodes: { maximumPerAddress: 20, maximumPerTenant: 400, maximumOfShortAddresses: 90 },
};

const ada = { identifier: 'ada@example.com', address: '192.0.2.1' };

function numbersOf(limits: readonly AttemptLimit[]): readonly (readonly [string, number])[] {
  return limits.map(({ name, maximum }) => [name, maximum]);
}

describe('the counters of an attempt', () => {
  it('are those of pair, address, identifier and tenant, for a password', () => {
    expect(numbersOf(limitsOf({ kind: 'password', ...ada }, SETTINGS))).toEqual([
      ['identifier_and_address', 5],
      ['address', 100],
      ['identifier', 50],
      ['tenant', 10_000],
    ]);
  });

  it.each(['code', 'backup_code', 'email_code', 'passkey'] as const)('do not ask for the address, for a %s', (kind) => {
    expect(numbersOf(limitsOf({ kind, ...ada }, SETTINGS))).toEqual([
      ['identifier', SETTINGS.perIdentifier[kind]],
      ['tenant', 10_000],
    ]);
    // Nobody's address is nobody's counter: without one they are the same.
    expect(limitsOf({ kind, ...ada, address: undefined }, SETTINGS)).toEqual(limitsOf({ kind, ...ada }, SETTINGS));
  });

  it.each(['proof', 'reset', 'registration', 'invitation'] as const)(
    'have a number of their own for the identifier, for a %s',
    (kind) => {
      expect(numbersOf(limitsOf({ kind, ...ada }, SETTINGS))).toEqual([
        ['identifier_and_address', 5],
        ['address', 100],
        ['identifier', SETTINGS.perIdentifier[kind]],
        ['tenant', 10_000],
      ]);
    },
  );

  it('are small for codes of devices, and last as long as a code lives: every code that waits can be hit', () => {
    const limits = limitsOf({ kind: 'user_code', ...ada }, SETTINGS);
    expect(numbersOf(limits)).toEqual([
      ['identifier_and_address', 5],
      ['address', 20],
      ['identifier', 52],
      ['tenant', 400],
    ]);
    const lasting = { windowSeconds: 600, firstLockSeconds: 600, longestLockSeconds: 600 };
    for (const limit of [limits[1], limits[3], ...shortAddressLimits(ada.address, SETTINGS)])
      expect(limit).toMatchObject(lasting);
    expect(numbersOf(shortAddressLimits(ada.address, SETTINGS))).toEqual([
      ['address', 20],
      ['installation', 90],
    ]);
  });

  it('are one of its own in a browser that was remembered, which nobody elsewhere can fill', () => {
    const known = limitsOf({ kind: 'password', ...ada, knownDevice: 'device-1' }, SETTINGS);
    expect(numbersOf(known)).toEqual([['known_device', 4]]);
    const elsewhere = limitsOf({ kind: 'password', ...ada }, SETTINGS);
    const other = limitsOf({ kind: 'password', ...ada, knownDevice: 'device-2' }, SETTINGS);
    const ofBob = limitsOf({ kind: 'password', ...ada, identifier: 'bob', knownDevice: 'device-1' }, SETTINGS);
    for (const { key } of [...elsewhere, ...other, ...ofBob]) expect(key).not.toBe(known[0]?.key);
  });

  it.each(ATTEMPT_KINDS.filter((kind) => kind !== 'password'))(
    'do not become more in a known browser, for a %s',
    (kind) => {
      expect(limitsOf({ kind, ...ada, knownDevice: 'device-1' }, SETTINGS)).toEqual(
        limitsOf({ kind, ...ada }, SETTINGS),
      );
    },
  );

  it('ask the ones that hurt only the caller first', () => {
    for (const kind of ATTEMPT_KINDS) {
      const order = limitsOf({ kind, ...ada }, SETTINGS).map(({ name }) => name);
      expect(order.indexOf('identifier')).toBe(order.length - 2);
      expect(order.at(-1)).toBe('tenant');
    }
  });

  it('stop one address long before they stop the owner elsewhere', () => {
    const [pair, , identifier] = limitsOf({ kind: 'password', ...ada }, SETTINGS);
    expect(identifier?.maximum).toBeGreaterThanOrEqual(10 * (pair?.maximum ?? Number.NaN));
  });

  it('stop a flood at a tenant for no longer than it is counted', () => {
    const tenant = limitsOf({ kind: 'password', ...ada }, SETTINGS).at(-1);
    expect(tenant).toMatchObject({ windowSeconds: 60, firstLockSeconds: 60, longestLockSeconds: 60 });
  });

  it('are unlocked with the identifier where they are about it, and only there', () => {
    const whole = identifierKey('password', ada.identifier);
    const parts = (device?: string) =>
      limitsOf({ kind: 'password', ...ada, knownDevice: device }, SETTINGS).map(({ key, partOf }) => partOf ?? key);
    expect(parts().filter((key) => key === whole)).toHaveLength(2);
    expect(parts('device')).toEqual([whole]);
  });

  it('are cleared by a success only where no stranger can have filled them', () => {
    const own = (device?: string) =>
      limitsOf({ kind: 'password', ...ada, knownDevice: device }, SETTINGS)
        .filter(isOwnCounter)
        .map(({ name }) => name);
    expect(own()).toEqual(['identifier_and_address']);
    expect(own('device')).toEqual(['known_device']);
    expect(limitsOf({ kind: 'code', ...ada }, SETTINGS).filter(isOwnCounter)).toEqual([]);
  });
});

describe('a lock', () => {
  it('doubles with every one before it that day, up to the longest', () => {
    const numbers = { firstLockSeconds: 300, longestLockSeconds: 1800 };
    expect([1, 2, 3, 4, 5, 1e9].map((locks) => lockSeconds(numbers, locks))).toEqual([
      300, 600, 1200, 1800, 1800, 1800,
    ]);
    expect([1, 2, 3].map((locks) => lockSeconds(SETTINGS, locks))).toEqual([900, 1800, 1800]);
  });

  it('is never shorter than the first, whatever the settings say', () => {
    const numbers = { firstLockSeconds: 900, longestLockSeconds: 60 };
    for (const locks of [-1, 0, 1, 2, 9]) expect(lockSeconds(numbers, locks)).toBe(900);
  });

  it('tells to wait for whole seconds, at least one', () => {
    expect([-5, 0, 1, 1000, 1001, 900_000].map(retryAfterSeconds)).toEqual([1, 1, 1, 1, 2, 900]);
  });
});

describe('the address a caller is counted under', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    [' 192.0.2.1 ', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1'],
    ['::ffff:c000:201', '192.0.2.1'],
    ['0:0:0:0:0:ffff:c000:0201', '192.0.2.1'],
    ['[::ffff:192.0.2.1]', '192.0.2.1'],
    ['::ffff:255.254.0.1', '255.254.0.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::', '2001:db8:1:2::/64'],
    ['2001:db8:1:2:ffff::1', '2001:db8:1:2::/64'],
    ['[2001:db8:1:2::9]', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8:0:1::1', '2001:db8:0:1::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['fe80::2%25en1', 'fe80:0:0:0::/64'],
    ['2001:db8:1:2:3:4:192.0.2.1', '2001:db8:1:2::/64'],
    [undefined, 'unknown'],
    ['', 'unknown'],
    ['unknown', 'unknown'],
    ['localhost', 'unknown'],
    ['192.0.2', 'unknown'],
    ['192.0.2.256', 'unknown'],
    ['192.0.2.01', 'unknown'],
    ['192.0.2.1:443', 'unknown'],
    ['0xc0000201', 'unknown'],
    ['3221225985', 'unknown'],
    ['::ffff:192.0.2.1.5', 'unknown'],
    ['2001:db8:::1', 'unknown'],
    ['2001:db8::g', 'unknown'],
    ['1:2:3:4:5:6:7:8:9', 'unknown'],
    ['::1]/evil[', 'unknown'],
    ['192.0.2.1, 198.51.100.1', 'unknown'],
    ['192.0.2.1\n198.51.100.1', 'unknown'],
    [`${'1'.repeat(100_000)}`, 'unknown'],
  ])('of %p is %s', (address, canonical) => {
    expect(canonicalAddress(address)).toBe(canonical);
  });

  it('does not change when it is asked again, for every IPv4 address', () => {
    for (let octet = 0; octet <= 255; octet += 1) {
      const address = `198.51.${octet}.${255 - octet}`;
      expect(canonicalAddress(address)).toBe(address);
      expect(canonicalAddress(`::ffff:${address}`)).toBe(address);
    }
  });
});

describe('the keys of an attempt', () => {
  const keysOf = (kind: AttemptKind, identifier: string, address: string | undefined, knownDevice?: string) =>
    limitsOf({ kind, identifier, address, knownDevice }, SETTINGS).map(({ key }) => key);

  it('are the same for every spelling of the same caller', () => {
    expect(keysOf('password', 'ada@example.com', '::ffff:c000:201')).toEqual(
      keysOf('password', 'ada@example.com', '192.0.2.1'),
    );
  });

  it('are others for every kind, identifier, address and device, and none can be written as another', () => {
    const identifiers = ['ada', 'ada\n192.0.2.1', '', 'identifier', 'address\n192.0.2.1', '192.0.2.1', 'password'];
    const addresses = ['192.0.2.1', '192.0.2.2', undefined];
    const devices = ['a', 'ada', '192.0.2.1', 'a\nb'];
    const pairs: string[] = [];
    const shared = new Set<string>();
    for (const kind of ['password', 'reset'] as const) {
      for (const identifier of identifiers) {
        for (const address of addresses) {
          const [pair = '', ...others] = keysOf(kind, identifier, address);
          pairs.push(pair);
          for (const key of others) shared.add(key);
        }
        if (kind === 'password')
          for (const device of devices) pairs.push(...keysOf(kind, identifier, undefined, device));
      }
    }
    expect(new Set(pairs).size).toBe(pairs.length);
    // For each kind: one for each identifier, one for each address, one for the tenant.
    expect(shared.size).toBe(2 * (identifiers.length + addresses.length + 1));
    expect(pairs.some((key) => shared.has(key))).toBe(false);
  });
});
