/**
 * This file owns where Poort itself may call out to: which addresses are well formed, which hosts need permission, and whether
 * the addresses that a name stands for may be connected to. It resolves nothing and connects to nothing.
 *
 * A client registers an address and we call it: without these rules that is a way for a stranger to have us ask our own network
 * questions (SSRF).
 */
import { contains, isSpecialUse, type Network, parseAddress, parseNetwork } from './network_address.ts';
import { isHost } from './redirect_uri.ts';

/** Exceptions that an operator made. */
export interface EgressPermissions {
  readonly hosts: ReadonlySet<string>;
  readonly networks: readonly Network[];
}

/** @param allowed host names in lower case and networks in CIDR notation, as the settings give them. */
export function egressPermissions(allowed: readonly string[]): EgressPermissions {
  const networks = allowed.flatMap((item) => parseNetwork(item) ?? []);
  return { hosts: new Set(allowed.filter((item) => parseNetwork(item) === undefined)), networks };
}

/** An address that is spelt so that nobody can read it in two ways. */
export interface EgressTarget {
  readonly secure: boolean;
  /** A name in lower case, or an address without brackets. */
  readonly host: string;
  readonly port: number;
  /** Path and query. */
  readonly path: string;
}

/** Stable words for logs and for what an operator is shown. */
export type EgressRefusal = 'malformed' | 'credentials' | 'insecure_http' | 'special_address';

export type TargetDecision =
  | { readonly outcome: 'target'; readonly target: EgressTarget }
  | { readonly outcome: 'refused'; readonly reason: EgressRefusal };

/** No whitespace, no controls, no backslash, nothing beyond ASCII: two parsers must not see two hosts. */
const ADDRESS = /^(https?):\/\/([^/?#]*)([/?][A-Za-z0-9\-._~:/?[\]@!$&'()*+,;=%]*)?$/;

/**
 * Reads the text as it was registered, never only the parsed URL: octal, hexadecimal, decimal and abbreviated addresses, a
 * trailing dot, capitals, credentials and fragments are refused.
 */
export function parseEgressTarget(text: string): TargetDecision {
  const [, scheme, authority = '', path = '/'] = ADDRESS.exec(text) ?? [];
  if (scheme === undefined) return refused('malformed');
  if (authority.includes('@')) return refused('credentials');
  const [, host = '', port] = /^(\[[^\]]*\]|[^:]*)(?::([1-9]\d{0,4}))?$/.exec(authority) ?? [];
  if (!isHost(host) || Number(port ?? '1') > 65_535) return refused('malformed');
  const secure = scheme === 'https';
  const target = {
    secure,
    host: host.replace(/^\[(.*)\]$/, '$1'),
    port: port === undefined ? (secure ? 443 : 80) : Number(port),
    path: path.startsWith('?') ? `/${path}` : path,
  };
  return { outcome: 'target', target };
}

/**
 * What can be said before a name is resolved: for a literal address everything, for a name only whether it is one that always
 * means this machine (RFC 6761 §6.3). Registration asks this; each call asks again with the addresses in hand.
 */
export function judgeHost(target: EgressTarget, permissions: EgressPermissions): EgressRefusal | undefined {
  if (permissions.hosts.has(target.host)) return undefined;
  if (parseAddress(target.host) !== undefined) return judgeAddresses(target, [target.host], permissions);
  if (/(?:^|\.)localhost$/.test(target.host)) return 'special_address';
  // A name may turn out to be in a network that is allowed, and then plain http is too.
  return target.secure || permissions.networks.length > 0 ? undefined : 'insecure_http';
}

/**
 * Whether this host may be connected to at these addresses. One bad address spoils all: an answer that mixes a public and a
 * private one is an attack (DNS rebinding) or a mistake, and no honest server needs it.
 */
export function judgeAddresses(
  target: EgressTarget,
  addresses: readonly string[],
  { hosts, networks }: EgressPermissions,
): EgressRefusal | undefined {
  if (hosts.has(target.host)) return undefined;
  const parsed = addresses.map(parseAddress);
  const isAllowed = (text: (typeof parsed)[number]): boolean =>
    text !== undefined && networks.some((network) => contains(network, text));
  if (parsed.length > 0 && parsed.every(isAllowed)) return undefined;
  if (!parsed.every((address) => isAllowed(address) || (address !== undefined && !isSpecialUse(address))))
    return 'special_address';
  return target.secure ? undefined : 'insecure_http';
}

function refused(reason: EgressRefusal): TargetDecision {
  return { outcome: 'refused', reason };
}
