/**
 * This file owns lists of addresses from which something may be done: how they are written, and whether an address is on one. It does not
 * own what may be done from there (the doors and flows ask).
 */
import { contains, parseAddress, parseNetwork } from './network_address.ts';

export const MAXIMUM_NETWORKS = 100;

/** Networks in CIDR notation and single addresses, each once and in one order; undefined when it is no such list. */
export function parseAddressList(written: unknown): readonly string[] | undefined {
  const items: unknown = typeof written === 'string' ? written.split(',').filter((item) => item !== '') : written;
  if (!Array.isArray(items) || items.length > MAXIMUM_NETWORKS) return undefined;
  const networks = items.flatMap((item) => {
    const network = typeof item === 'string' ? item.trim().toLowerCase() : '';
    return parseNetwork(network) === undefined ? [] : [network];
  });
  return networks.length === items.length ? [...new Set(networks)].sort() : undefined;
}

/** A list that is empty is no list: everywhere. On any other nobody is whose address is not known. */
export function isOnList(list: readonly string[], address: string | undefined): boolean {
  if (list.length === 0) return true;
  const caller = address === undefined ? undefined : parseAddress(address);
  if (caller === undefined) return false;
  return list.some((item) => {
    const network = parseNetwork(item);
    return network !== undefined && contains(network, caller);
  });
}
