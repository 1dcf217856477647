import { egressPermissions, judgeAddresses, judgeHost, parseEgressTarget } from '#src/domain/egress.ts';
import { contains, isSpecialUse, parseAddress, parseNetwork } from '#src/domain/network_address.ts';

const nobody = egressPermissions([]);

function targetOf(url: string) {
  const parsed = parseEgressTarget(url);
  if (parsed.outcome !== 'target') throw new Error(parsed.reason);
  return parsed.target;
}

describe('an address of the Internet', () => {
  // The neighbours of every special range: a rule that is too wide would cut people off.
  it.each([
    ...['1.1.1.1', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '126.255.255.255', '128.0.0.0'],
    ...['169.253.255.255', '169.255.0.0', '172.15.255.255', '172.32.0.0', '192.0.1.0', '192.0.3.0', '192.88.98.255'],
    ...[
      '192.167.255.255',
      '192.169.0.0',
      '198.17.255.255',
      '198.20.0.0',
      '203.0.112.255',
      '203.0.114.0',
      '223.255.255.255',
    ],
    ...['2001:200::1', '2003::1', '2606:4700::1111', '2a00:1450::1', '2001:db7::1', '2001:db9::1', '3ffe::1'],
  ])('%s may be called', (text) => {
    const address = parseAddress(text);
    expect(address && isSpecialUse(address)).toBe(false);
    const host = text.includes(':') ? `[${text}]` : text;
    const target = targetOf(`https://${host}/`);
    expect([judgeHost(target, nobody), judgeAddresses(target, [text], nobody)]).toEqual([undefined, undefined]);
  });
});

describe('a target', () => {
  it('is read once, into what will be connected to', () => {
    expect(targetOf('https://app.example')).toEqual({ secure: true, host: 'app.example', port: 443, path: '/' });
    expect(targetOf('http://[2606:4700::1111]:8080/a?b=c')).toEqual({
      secure: false,
      host: '2606:4700::1111',
      port: 8080,
      path: '/a?b=c',
    });
    expect(targetOf('https://app.example?b=c').path).toBe('/?b=c');
  });

  it('without any address is nobody’s', () => {
    expect(judgeAddresses(targetOf('https://app.example/'), ['garbage'], nobody)).toBe('special_address');
  });
});

describe('an address', () => {
  it.each(['1.2.3', '01.2.3.4', '1.2.3.4.5', '256.1.1.1', '1.2.3.4 ', '0x1.2.3.4', '', '::1%lo', ':::', '1::2::3'])(
    'is not %j',
    (text) => {
      expect(parseAddress(text)).toBeUndefined();
    },
  );

  it.each(['1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7::8:9', '12345::', 'g::', '::1.2.3', '1.2.3.4::'])(
    'is not %j either',
    (text) => {
      expect(parseAddress(text)).toBeUndefined();
    },
  );

  it('is the same in each of its legal spellings', () => {
    const spellings = ['::ffff:127.0.0.1', '::FFFF:7f00:1', '0:0:0:0:0:ffff:7f00:1', '0::ffff:7f00:0001'];
    expect(new Set(spellings.map((text) => parseAddress(text)?.value))).toEqual(new Set([0xffff7f000001n]));
  });
});

describe('a network', () => {
  it('contains its addresses, of its own family only', () => {
    const network = parseNetwork('10.0.0.0/8');
    const all = parseNetwork('::/0');
    const address = parseAddress('10.255.0.1');
    if (network === undefined || all === undefined || address === undefined) throw new Error('unreadable');
    expect([contains(network, address), contains(all, address)]).toEqual([true, false]);
  });

  it.each(['10.0.0.0/33', '10.0.0.0/08', '10.0.0.0/-1', '10.0.0.0/8/8', '::/129', 'app.example/8'])(
    'is not %s',
    (text) => {
      expect(parseNetwork(text)).toBeUndefined();
    },
  );
});
