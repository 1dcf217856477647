/**
 * This file owns which network addresses are somebody's own and which are special: loopback, private, link-local, reserved for
 * documents, or a disguise of another address. It reads addresses strictly and resolves no names.
 */

/** An address as one number: IPv4 has 32 bits, IPv6 has 128. */
export interface NetworkAddress {
  readonly family: 4 | 6;
  readonly value: bigint;
}

export interface Network extends NetworkAddress {
  readonly prefixLength: number;
}

/** Undefined for whatever is not the plain spelling: `0177.0.0.1`, `127.1` and `0x7f000001` name nothing here. */
export function parseAddress(text: string): NetworkAddress | undefined {
  if (!text.includes(':')) {
    const value = parseIpv4(text);
    return value === undefined ? undefined : { family: 4, value };
  }
  const value = parseIpv6(text);
  return value === undefined ? undefined : { family: 6, value };
}

/** CIDR notation; a single address is a network of one. */
export function parseNetwork(text: string): Network | undefined {
  const [addressText = '', lengthText, ...rest] = text.split('/');
  const address = parseAddress(addressText);
  if (address === undefined || rest.length > 0) return undefined;
  const bits = bitsOf(address.family);
  if (lengthText === undefined) return { ...address, prefixLength: bits };
  if (!/^(?:0|[1-9]\d{0,2})$/.test(lengthText) || Number(lengthText) > bits) return undefined;
  return { ...address, prefixLength: Number(lengthText) };
}

export function contains(network: Network, address: NetworkAddress): boolean {
  if (network.family !== address.family) return false;
  const shift = BigInt(bitsOf(network.family) - network.prefixLength);
  return network.value >> shift === address.value >> shift;
}

/**
 * Whether no honest server of the Internet is there: everything in the special-purpose registries of IANA (RFC 6890), multicast,
 * and every IPv6 address that only wraps an IPv4 one (mapped, NAT64, 6to4, Teredo): what is inside could be anything.
 */
export function isSpecialUse(address: NetworkAddress): boolean {
  if (address.family === 4) return SPECIAL_IPV4.some((network) => contains(network, address));
  // Only 2000::/3 is given out as global unicast; whatever lies outside is special today or will mean something new.
  return !contains(GLOBAL_UNICAST, address) || SPECIAL_IPV6.some((network) => contains(network, address));
}

/** Rows are the registries of IANA, in their order. */
const SPECIAL_IPV4: readonly Network[] = [
  '0.0.0.0/8', // this network
  '10.0.0.0/8', // private
  '100.64.0.0/10', // shared by carriers (CGNAT)
  '127.0.0.0/8', // loopback
  '169.254.0.0/16', // link-local, where clouds keep their metadata
  '172.16.0.0/12', // private
  '192.0.0.0/24', // IETF protocol assignments
  '192.0.2.0/24', // documentation
  '192.31.196.0/24', // AS112
  '192.52.193.0/24', // AMT
  '192.88.99.0/24', // 6to4 relays
  '192.168.0.0/16', // private
  '192.175.48.0/24', // AS112
  '198.18.0.0/15', // benchmarking
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, and the broadcast address
].map(knownNetwork);

const GLOBAL_UNICAST = knownNetwork('2000::/3');

const SPECIAL_IPV6: readonly Network[] = [
  '2001::/23', // IETF protocol assignments: Teredo, benchmarking, ORCHID
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4
  '2620:4f:8000::/48', // AS112
  '3fff::/20', // documentation
].map(knownNetwork);

function knownNetwork(text: string): Network {
  const network = parseNetwork(text);
  if (network === undefined) throw new Error(`${text} is no network`);
  return network;
}

function bitsOf(family: 4 | 6): number {
  return family === 4 ? 32 : 128;
}

function parseIpv4(text: string): bigint | undefined {
  const octets = text.split('.');
  if (octets.length !== 4 || !octets.every((octet) => /^(?:0|[1-9]\d{0,2})$/.test(octet) && Number(octet) <= 255))
    return undefined;
  return octets.reduce((value, octet) => (value << 8n) | BigInt(octet), 0n);
}

function parseIpv6(text: string): bigint | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, index) => parseGroups(half, index === halves.length - 1));
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  const missing = 8 - head.length - (tail?.length ?? 0);
  // `::` stands for at least one group (RFC 5952 §4.2.2 wants two; one is legal).
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => 0n), ...(tail ?? [])];
  return groups.reduce((value, group) => (value << 16n) | group, 0n);
}

/** The groups of one side of `::`; the very last may be an IPv4 address (RFC 4291 §2.2). */
function parseGroups(side: string, isLastSide: boolean): readonly bigint[] | undefined {
  if (side === '') return [];
  const parts = side.split(':');
  const groups = parts.flatMap((part, index): readonly (bigint | undefined)[] => {
    if (/^[0-9a-f]{1,4}$/i.test(part)) return [BigInt(`0x${part}`)];
    const embedded = isLastSide && index === parts.length - 1 ? parseIpv4(part) : undefined;
    return embedded === undefined ? [undefined] : [embedded >> 16n, embedded & 0xffffn];
  });
  return groups.every((group) => group !== undefined) ? groups : undefined;
}
