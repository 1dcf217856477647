import { canonicalAddress, judgeSignInAttempt, throttleKeys } from '#src/domain/sign_in_throttle.ts';

const SETTINGS = {
  windowSeconds: 900,
  maximumPerIdentifierAndAddress: 5,
  maximumPerIdentifier: 50,
  maximumPerAddress: 100,
};

describe('a sign-in attempt', () => {
  it.each([
    [{ identifierAndAddress: 1, identifier: 1, address: 1 }],
    [{ identifierAndAddress: 5, identifier: 5, address: 5 }],
    [{ identifierAndAddress: 1, identifier: 50, address: 1 }],
    [{ identifierAndAddress: 1, identifier: 1, address: 100 }],
  ])('is judged within the limits: %j', (counts) => {
    expect(judgeSignInAttempt(counts, SETTINGS)).toEqual({ outcome: 'allowed' });
  });

  it.each([
    [{ identifierAndAddress: 6, identifier: 6, address: 6 }, 'identifierAndAddress'],
    [{ identifierAndAddress: 1, identifier: 51, address: 1 }, 'identifier'],
    [{ identifierAndAddress: 1, identifier: 1, address: 101 }, 'address'],
    [{ identifierAndAddress: 9, identifier: 99, address: 999 }, 'identifierAndAddress'],
  ])('is throttled one beyond a limit: %j', (counts, limit) => {
    expect(judgeSignInAttempt(counts, SETTINGS)).toEqual({ outcome: 'throttled', retryAfterSeconds: 900, limit });
  });

  it('waits for the end of the window of the limit it exceeds, the longest of several', () => {
    const counts = { identifierAndAddress: 6, identifier: 51, address: 1 };
    const ends = { identifierAndAddress: 12.2, identifier: 300, address: 800 };
    expect(judgeSignInAttempt(counts, SETTINGS, ends)).toMatchObject({ retryAfterSeconds: 300 });
    expect(judgeSignInAttempt({ ...counts, identifier: 1 }, SETTINGS, ends)).toMatchObject({ retryAfterSeconds: 13 });
  });

  it('is told to wait between one second and one window, whatever the clocks say', () => {
    const counts = { identifierAndAddress: 6, identifier: 1, address: 1 };
    for (const seconds of [-500, 0, 0.2, 1, 900, 901, 1e9, Number.POSITIVE_INFINITY]) {
      const decision = judgeSignInAttempt(counts, SETTINGS, { identifierAndAddress: seconds });
      if (decision.outcome !== 'throttled') throw new Error('allowed');
      expect(decision.retryAfterSeconds).toBeGreaterThanOrEqual(1);
      expect(decision.retryAfterSeconds).toBeLessThanOrEqual(900);
    }
  });

  it('never becomes allowed by failing more often', () => {
    let throttled = false;
    for (let attempts = 1; attempts <= 300; attempts += 1) {
      const counts = { identifierAndAddress: attempts, identifier: attempts, address: attempts };
      const now = judgeSignInAttempt(counts, SETTINGS).outcome === 'throttled';
      expect(now || !throttled).toBe(true);
      throttled = now;
    }
  });

  it('is throttled when a count is no number', () => {
    const broken = { identifierAndAddress: Number.NaN, identifier: 1, address: 1 };
    expect(judgeSignInAttempt(broken, SETTINGS).outcome).toBe('throttled');
  });

  it('from one address cannot keep somebody out everywhere else', () => {
    const attackerStopsAt = SETTINGS.maximumPerIdentifierAndAddress;
    const ownerElsewhere = { identifierAndAddress: 1, identifier: attackerStopsAt + 1, address: 1 };
    expect(judgeSignInAttempt(ownerElsewhere, SETTINGS)).toEqual({ outcome: 'allowed' });
    expect(SETTINGS.maximumPerIdentifier).toBeGreaterThanOrEqual(10 * SETTINGS.maximumPerIdentifierAndAddress);
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
  it('are the same for every spelling of the same caller', () => {
    const keys = throttleKeys({ kind: 'password', identifierCanonical: 'ada@example.com', address: '192.0.2.1' });
    expect(
      throttleKeys({ kind: 'password', identifierCanonical: 'ada@example.com', address: '::ffff:c000:201' }),
    ).toEqual(keys);
  });

  it('are three, and none can be written as another', () => {
    const identifiers = ['ada', 'ada\n192.0.2.1', '', 'identifier', 'address\n192.0.2.1', '192.0.2.1'];
    const addresses = ['192.0.2.1', '192.0.2.2', undefined];
    const pairs = new Set<string>();
    const single = new Set<string>();
    for (const identifierCanonical of identifiers) {
      for (const address of addresses) {
        const keys = throttleKeys({ kind: 'password', identifierCanonical, address });
        pairs.add(keys.identifierAndAddress);
        single.add(keys.identifier).add(keys.address);
      }
    }
    expect(pairs.size).toBe(identifiers.length * addresses.length);
    expect(single.size).toBe(identifiers.length + addresses.length);
    expect([...pairs].some((key) => single.has(key))).toBe(false);
  });
});
