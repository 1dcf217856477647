/**
 * The first gate: gives the request its id, finds out who is really calling, and takes away every header that a stranger could
 * have used to say otherwise. After it, nobody reads X-Forwarded-* or Forwarded.
 */

import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { BlockList, isIP } from 'node:net';
import type { Config } from '#config/config.ts';
import { takeClientCertificate } from './client_certificate.ts';
import type { HttpExchange } from './exchange.ts';

export interface ProxyTrust {
  /** Whether this peer's word about the original caller is believed. */
  trusts(address: string | undefined): boolean;
}

/** @param networks CIDR, or single addresses. Already checked by the settings. */
export function createProxyTrust(networks: readonly string[]): ProxyTrust {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix] = network.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return {
    trusts(address) {
      if (networks.length === 0) return false;
      const plain = plainAddress(address);
      return plain !== undefined && list.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4');
    },
  };
}

const traceparentPattern = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const requestIdPattern = /^[A-Za-z0-9_-]{8,64}$/;

export function openExchange(
  request: IncomingMessage,
  response: ServerResponse,
  { trust, http }: { trust: ProxyTrust; http: Config['http'] },
): HttpExchange {
  const { headers } = request;
  const peer = request.socket.remoteAddress;
  const believed = trust.trusts(peer);
  const forwardedFor = believed ? headers['x-forwarded-for'] : undefined;
  const forwardedProtocol = believed
    ? single(headers['x-forwarded-proto'])?.split(',')[0]?.trim().toLowerCase()
    : undefined;
  const clientCertificate = takeClientCertificate(request, { believed, http });
  for (const header in headers) {
    if (header.startsWith('x-forwarded-') || header === 'forwarded') delete headers[header];
  }

  const requestId = requestIdOf(headers);
  response.setHeader('x-request-id', requestId);
  const target = request.url ?? '';
  const queryAt = target.indexOf('?');
  return {
    request,
    response,
    requestId,
    path: queryAt === -1 ? target : target.slice(0, queryAt),
    search: queryAt === -1 ? '' : target.slice(queryAt),
    origin: { requestId, ip: callerOf(peer, single(forwardedFor), trust), userAgent: headers['user-agent'] },
    forwardedProtocol,
    clientCertificate,
  };
}

/** W3C Trace Context: a caller's trace id is our request id, so that one id follows a request through every service. */
function requestIdOf(headers: IncomingMessage['headers']): string {
  const trace = traceparentPattern.exec(single(headers['traceparent']) ?? '')?.[1];
  if (trace !== undefined) return trace;
  const given = single(headers['x-request-id']);
  return given !== undefined && requestIdPattern.test(given) ? given : randomUUID();
}

/** From the right, the first address that is no proxy of ours: everything left of it may be invented. */
function callerOf(peer: string | undefined, forwardedFor: string | undefined, trust: ProxyTrust): string | undefined {
  if (forwardedFor === undefined) return plainAddress(peer);
  const hops = forwardedFor
    .split(',')
    .map((hop) => hop.trim())
    .filter((hop) => hop !== '');
  let caller = plainAddress(peer);
  while (hops.length > 0 && trust.trusts(caller)) {
    const hop = plainAddress(hops.pop());
    // What cannot be read ends the chain: the last address that could be is the caller.
    if (hop === undefined) break;
    caller = hop;
  }
  return caller;
}

function plainAddress(address: string | undefined): string | undefined {
  if (address !== undefined && isIP(address) === 4) return address;
  const plain = address
    ?.replace(/^::ffff:(?=\d+\.)/i, '')
    .replace(/^\[(.*)\](?::\d+)?$/, '$1')
    .replace(/%.*$/, '');
  return plain !== undefined && isIP(plain) !== 0 ? plain : undefined;
}

function single(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header.join(',') : header;
}
