/** Everything a stranger can write into a request about which host it is for, and what must become of it. */
import type { HeaderList } from './raw_http.ts';

export interface Poisoning {
  readonly name: string;
  /** Must be refused; otherwise the answer must be the clean one. */
  readonly refused: readonly number[] | undefined;
  readonly headers: (host: string, evil: string) => HeaderList;
  readonly target?: (target: string, evil: string) => string;
  readonly version?: '1.0';
}

export const own = (host: string): readonly [string, string] => ['Host', host];
const misdirected = [421];

export const poisonings: readonly Poisoning[] = [
  { name: 'another Host', refused: misdirected, headers: (_host, evil) => [['Host', evil]] },
  { name: 'our Host with another port', refused: misdirected, headers: (_host, evil) => [['Host', `${evil}:1`]] },
  {
    name: 'a Host with user information',
    refused: misdirected,
    headers: (host, evil) => [['Host', `${evil}@${host}`]],
  },
  {
    name: 'our Host as user information',
    refused: misdirected,
    headers: (host, evil) => [['Host', `${host}@${evil}`]],
  },
  { name: 'our Host with a path', refused: misdirected, headers: (host, evil) => [['Host', `${host}/${evil}`]] },
  { name: 'our Host as a prefix', refused: misdirected, headers: (host, evil) => [['Host', `${host}.${evil}`]] },
  { name: 'a Host with a trailing dot', refused: misdirected, headers: (host) => [['Host', host.replace(':', '.:')]] },
  { name: 'an empty Host', refused: misdirected, headers: () => [['Host', '']] },
  { name: 'a Host in a list', refused: misdirected, headers: (host, evil) => [['Host', `${host}, ${evil}`]] },
  {
    name: 'two Host headers, ours first',
    refused: [400],
    headers: (host, evil) => [own(host), ['Host', evil]],
  },
  {
    name: 'two Host headers, ours last',
    refused: [400],
    headers: (host, evil) => [['Host', evil], own(host)],
  },
  { name: 'no Host', refused: [400], headers: () => [] },
  { name: 'no Host, in HTTP/1.0', refused: misdirected, headers: () => [], version: '1.0' },
  {
    name: 'another host in the request line',
    refused: misdirected,
    headers: (host) => [own(host)],
    target: (target, evil) => `http://${evil}${target}`,
  },
  {
    name: 'our host in the request line and another in Host',
    refused: misdirected,
    headers: (_host, evil) => [['Host', evil]],
    target: (target) => `http://localhost${target}`,
  },
  ...['X-Forwarded-Host', 'X-Forwarded-Server', 'X-Original-Host', 'X-Host', 'X-HTTP-Host-Override'].map((header) => ({
    name: header,
    refused: undefined,
    headers: (host: string, evil: string): HeaderList => [own(host), [header, evil]],
  })),
  { name: 'X-Forwarded-Proto', refused: undefined, headers: (host, evil) => [own(host), ['X-Forwarded-Proto', evil]] },
  { name: 'X-Forwarded-Port', refused: undefined, headers: (host) => [own(host), ['X-Forwarded-Port', '6666']] },
  { name: 'X-Forwarded-For', refused: undefined, headers: (host, evil) => [own(host), ['X-Forwarded-For', evil]] },
  {
    name: 'X-Forwarded-Prefix',
    refused: undefined,
    headers: (host, evil) => [own(host), ['X-Forwarded-Prefix', `/${evil}`]],
  },
  { name: 'X-Original-URL', refused: undefined, headers: (host, evil) => [own(host), ['X-Original-URL', `/${evil}`]] },
  { name: 'X-Rewrite-URL', refused: undefined, headers: (host, evil) => [own(host), ['X-Rewrite-URL', `/${evil}`]] },
  {
    name: 'X-HTTP-Method-Override',
    refused: undefined,
    headers: (host) => [own(host), ['X-HTTP-Method-Override', 'DELETE']],
  },
  {
    name: 'Forwarded',
    refused: undefined,
    headers: (host, evil) => [own(host), ['Forwarded', `for=${evil};host=${evil};proto=https`]],
  },
];
