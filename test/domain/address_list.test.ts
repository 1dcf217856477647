import { isOnList, MAXIMUM_NETWORKS, parseAddressList } from '#src/domain/address_list.ts';

describe('a list of addresses', () => {
  it.each([
    ['', []],
    [[], []],
    ['10.0.0.0/8', ['10.0.0.0/8']],
    ['2001:DB8::/32, 192.0.2.7,192.0.2.7', ['192.0.2.7', '2001:db8::/32']],
    [['::1'], ['::1']],
  ])('%j is read', (written, list) => expect(parseAddressList(written)).toEqual(list));

  it.each([
    '10.0.0.0/33',
    '10.0.0',
    '010.0.0.1',
    '0x7f.0.0.1',
    '10.0.0.1/8/8',
    'example.org',
    '2001:db8::/129',
    '::1%eth0',
    'any',
    [7],
    [null],
    null,
    undefined,
    7,
    {},
    Array.from({ length: MAXIMUM_NETWORKS + 1 }, (_, n) => `10.0.${n}.0/24`),
  ])('%j is none', (written) => expect(parseAddressList(written)).toBeUndefined());

  it('lets everybody through when it is empty, also whose address is not known', () => {
    expect(isOnList([], undefined)).toBe(true);
    expect(isOnList([], '192.0.2.1')).toBe(true);
  });

  it.each([
    ['10.0.0.1', true],
    ['10.255.255.255', true],
    ['11.0.0.0', false],
    ['192.0.2.7', true],
    ['192.0.2.8', false],
    ['2001:db8:ffff::1', true],
    ['2001:db9::1', false],
    // Not the same as the address in it: nobody calls so, for the first gate has unwrapped it.
    ['::ffff:10.0.0.1', false],
    ['10.0.0.1/8', false],
    ['', false],
    [undefined, false],
  ])('has %j on it: %j', (address, isThere) => {
    expect(isOnList(['10.1.2.3/8', '192.0.2.7', '2001:db8::/32'], address)).toBe(isThere);
  });
});
