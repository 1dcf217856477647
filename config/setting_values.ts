/**
 * This file owns how one raw value, a string from the environment or a scalar from YAML, becomes a value of the right
 * type: ports, numbers, URLs, lists of networks, master keys. Every schema here refuses with one sentence that says what
 * is wrong. It does not know which setting it reads; which settings exist is settings_schema.ts.
 *
 * Schemas marked as secret below never repeat the value in their sentence: the sentence is printed and logged.
 */

import { BlockList, isIP } from 'node:net';
import { z } from 'zod';

const longestQuotedValue = 80;

/** What a schema may be given: environment strings and whatever YAML holds. */
type Raw = unknown;

interface Refusal {
  readonly refused: string;
}

interface Reading<T> {
  readonly value: T;
}

/** Builds a zod schema from a reader that returns either the value or one sentence about what is wrong. */
function valueSchema<T>(read: (raw: Raw) => Reading<T> | Refusal): z.ZodType<T> {
  return z.unknown().transform((raw, context): T => {
    const result = read(raw);
    if ('refused' in result) {
      context.addIssue({ code: 'custom', message: result.refused });
      return z.NEVER;
    }
    return result.value;
  });
}

/** Shows a value that is not a secret in a message, shortened, with quotes around strings. */
export function quoted(raw: unknown): string {
  const text = JSON.stringify(raw) ?? String(raw);
  return text.length > longestQuotedValue ? `${text.slice(0, longestQuotedValue)}…` : text;
}

/** A whole number within bounds. Strings must be decimal digits only: no sign, no space, no "3000abc", no "3e3". */
export function wholeNumber(minimum: number, maximum: number): z.ZodType<number> {
  return valueSchema((raw) => {
    const number = typeof raw === 'string' && /^\d{1,15}$/.test(raw) ? Number(raw) : raw;
    if (typeof number !== 'number' || !Number.isSafeInteger(number)) {
      return { refused: `${quoted(raw)} is not a whole number` };
    }
    if (number < minimum || number > maximum) {
      return { refused: `${number} is not between ${minimum} and ${maximum}` };
    }
    return { value: number };
  });
}

/** A TCP port; 0 means "any free port" or "off", which the setting's own text says. */
export const port = wholeNumber(0, 65_535);

/** on/off, true/false, and the YAML booleans. */
export const onOrOff = valueSchema<boolean>((raw) => {
  if (raw === true || raw === 'true' || raw === 'on') {
    return { value: true };
  }
  if (raw === false || raw === 'false' || raw === 'off') {
    return { value: false };
  }
  return { refused: `${quoted(raw)} is neither on nor off` };
});

/** What a rule of the domain reads, said to be `expected` when it reads nothing. */
export function parsedBy<Value>(parse: (raw: unknown) => Value | undefined, expected: string): z.ZodType<Value> {
  return valueSchema((raw) => {
    const value = parse(raw);
    return value === undefined ? { refused: `${quoted(raw)} is not ${expected}` } : { value };
  });
}

/** PEM (RFC 7468) of something whose label ends with this. Never repeated in a sentence: it may be a key. */
export function pem(label: string): z.ZodType<string> {
  const block = new RegExp(`-----BEGIN (?:[A-Z0-9]+ )*${label}-----[\\s\\S]+-----END (?:[A-Z0-9]+ )*${label}-----`);
  return valueSchema((raw) =>
    typeof raw === 'string' && block.test(raw)
      ? { value: raw }
      : { refused: `it holds no PEM block that ends with ${label}` },
  );
}

/** One word out of a fixed list. */
export function oneOf<const Word extends string>(words: readonly Word[]): z.ZodType<Word> {
  return valueSchema((raw) => {
    const word = words.find((candidate) => candidate === raw);
    return word === undefined ? { refused: `${quoted(raw)} is not one of ${words.join(', ')}` } : { value: word };
  });
}

/** Text that is not empty and holds no control characters. */
export const text = valueSchema<string>((raw) => readText(raw));

/**
 * A network address to listen on: an IP address or a host name. A URL or a port in it is refused, because the listener
 * would report that only as "not found".
 */
export const listenHost = valueSchema<string>((raw) => {
  if (typeof raw !== 'string' || (isIP(raw) === 0 && !isHostName(raw))) {
    return { refused: `${quoted(raw)} is neither an IP address nor a host name` };
  }
  return { value: raw };
});

/** A sender for mail: `address@host` or `Name <address@host>`. Line breaks would let a value add headers to a mail. */
export const mailSender = valueSchema<string>((raw) => {
  if (typeof raw !== 'string' || hasControlCharacter(raw)) {
    return { refused: `${quoted(raw)} is not a mail address` };
  }
  const address = /^[^<>]*<([^<>]+)>$/.exec(raw)?.[1] ?? raw;
  return /^[^\s@<>,;]+@[^\s@<>,;]+$/.test(address)
    ? { value: raw }
    : { refused: `${quoted(raw)} is not a mail address` };
});

/**
 * The origin of every issuer and every link: scheme, host and port, nothing else. One trailing slash is tolerated and
 * dropped; the host comes back in lower case and a default port disappears, as browsers compare origins that way.
 */
export const httpOrigin = valueSchema<string>((raw) => {
  const url = readUrl(raw, ['http:', 'https:']);
  if (url === undefined) {
    return { refused: `${quotedWithoutCredentials(raw)} is not an http or https URL` };
  }
  if (url.username !== '' || url.password !== '') {
    return { refused: 'it carries a user name or a password' };
  }
  if (url.pathname !== '/' || /[?#]/.test(String(raw))) {
    return { refused: `${quoted(raw)} has a path, a query or a fragment; only scheme, host and port belong there` };
  }
  return { value: url.origin };
});

/** The address of a collector. Credentials and a query are refused: this value is not masked. */
export const httpEndpoint = valueSchema<string>((raw) => {
  const url = readUrl(raw, ['http:', 'https:']);
  if (url === undefined) {
    return { refused: `${quotedWithoutCredentials(raw)} is not an http or https URL` };
  }
  if (url.username !== '' || url.password !== '') {
    return { refused: 'it carries a user name or a password' };
  }
  if (/[?#]/.test(String(raw))) {
    return { refused: 'it has a query or a fragment' };
  }
  return { value: String(raw) };
});

/**
 * A URL that may carry a password, with one of the given schemes. The URL is returned as given.
 * Secret: what is wrong is described without repeating the value.
 */
export function secretUrl(schemes: readonly string[], demand: { readonly userName: boolean }): z.ZodType<string> {
  return valueSchema((raw) => {
    if (typeof raw !== 'string') {
      return { refused: 'it is not text' };
    }
    if (!schemes.some((scheme) => raw.toLowerCase().startsWith(`${scheme}//`))) {
      return { refused: `it does not begin with ${schemes.map((scheme) => `${scheme}//`).join(' or ')}` };
    }
    const url = readUrl(raw, schemes);
    if (url === undefined) {
      return { refused: 'it cannot be read as a URL (a password with / ? # @ or % in it must be percent-encoded)' };
    }
    // postgres:///name?host=/var/run/postgresql is a Unix socket and has no host before the path.
    if (url.hostname === '' && !url.searchParams.has('host')) {
      return { refused: 'it names no host' };
    }
    // An unencoded / ? or # ends the address early: the rest of the password would be taken for a path, and be shown.
    if (url.hash !== '' || /@/.test(url.pathname + url.search)) {
      return { refused: 'its user name or password holds a / ? # or @ that must be percent-encoded' };
    }
    if (demand.userName && url.username === '') {
      return { refused: 'it has no key before the @' };
    }
    return { value: raw };
  });
}

/**
 * Networks in CIDR notation, as a comma-separated string or a YAML list. A single address stands for itself and comes
 * back with its full prefix (`10.0.0.1` → `10.0.0.1/32`).
 */
export const networks = valueSchema<readonly string[]>((raw) => {
  return readList(raw, (item) => readNetwork(item), 'an IP address or a network such as 10.0.0.0/8');
});

/** Headers that mean something else already: whoever named one of them here would take it away from everyone. */
const standingHeaders: ReadonlySet<string> = new Set(
  [
    ['host', 'authorization', 'cookie', 'origin', 'dpop', 'connection', 'content-length', 'content-type'],
    ['transfer-encoding', 'accept', 'user-agent', 'forwarded', 'traceparent', 'x-request-id'],
  ].flat(),
);

/** The name of a request header (RFC 9110 §5.1), in lower case as Node keeps them; none that has another meaning here. */
export const headerName = valueSchema<string>((raw) => {
  const name = typeof raw === 'string' ? raw.toLowerCase() : '';
  if (!/^[a-z][a-z0-9-]{0,63}$/.test(name)) return { refused: `${quoted(raw)} is not the name of a header` };
  if (standingHeaders.has(name) || name.startsWith('x-forwarded-')) {
    return { refused: `${quoted(raw)} has a meaning of its own` };
  }
  return { value: name };
});

/** Hosts or networks: what {@link networks} takes, and host names in lower case without port or wildcard. */
export const hostsOrNetworks = valueSchema<readonly string[]>((raw) => {
  const read = (item: string) => readNetwork(item) ?? (isHostName(item) ? item.toLowerCase() : undefined);
  return readList(raw, read, 'a host name, an IP address or a network');
});

/**
 * A list of 32-byte keys in base64, separated by commas or white space (a file may hold one per line). Base64url and
 * missing padding are accepted; the keys come back in plain base64, so that two spellings of one key are one key.
 * Secret: keys are told apart by their place in the list only.
 */
export const masterKeyList = valueSchema<readonly string[]>((raw) => {
  if (typeof raw !== 'string') {
    return { refused: 'it is not text' };
  }
  const given = raw.split(/[\s,]+/).filter((item) => item !== '');
  if (given.length === 0) {
    return { refused: 'it holds no key' };
  }
  const keys: string[] = [];
  for (const [index, item] of given.entries()) {
    const which = given.length === 1 ? 'the key' : `key ${index + 1} of ${given.length}`;
    if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(item)) {
      return { refused: `${which} is not base64` };
    }
    const bytes = Buffer.from(item, 'base64');
    if (bytes.length !== 32) {
      return { refused: `${which} has ${bytes.length} bytes instead of 32` };
    }
    const key = bytes.toString('base64');
    if (keys.includes(key)) {
      return { refused: `${which} is the same as key ${keys.indexOf(key) + 1}` };
    }
    keys.push(key);
  }
  return { value: keys };
});

function readText(raw: Raw): Reading<string> | Refusal {
  if (typeof raw !== 'string' || raw.trim() === '') {
    return { refused: `${quoted(raw)} is not text` };
  }
  return hasControlCharacter(raw) ? { refused: `${quoted(raw)} holds a control character` } : { value: raw };
}

function readUrl(raw: Raw, schemes: readonly string[]): URL | undefined {
  // The URL parser drops tabs and line breaks and trims blanks silently; what it would have to repair is refused here.
  if (typeof raw !== 'string' || /\s/.test(raw) || hasControlCharacter(raw) || !URL.canParse(raw)) {
    return undefined;
  }
  const url = new URL(raw);
  // `https:host` and `https:/host` are repaired by the parser too.
  return schemes.includes(url.protocol) && raw.slice(url.protocol.length).startsWith('//') ? url : undefined;
}

function readList(
  raw: Raw,
  readItem: (item: string) => string | undefined,
  expected: string,
): Reading<readonly string[]> | Refusal {
  const items = typeof raw === 'string' ? raw.split(',').map((item) => item.trim()) : raw;
  if (!Array.isArray(items)) {
    return { refused: `${quoted(raw)} is not a list` };
  }
  const values: string[] = [];
  for (const item of items) {
    if (item === '') {
      continue;
    }
    const value = typeof item === 'string' ? readItem(item) : undefined;
    if (value === undefined) {
      return { refused: `${quoted(item)} is not ${expected}` };
    }
    values.push(value);
  }
  return { value: [...new Set(values)] };
}

function readNetwork(item: string): string | undefined {
  const [address = '', prefix, ...rest] = item.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0 || (prefix !== undefined && !/^\d{1,3}$/.test(prefix))) {
    return undefined;
  }
  const length = prefix === undefined ? (version === 4 ? 32 : 128) : Number(prefix);
  try {
    new BlockList().addSubnet(address, length, version === 4 ? 'ipv4' : 'ipv6');
  } catch {
    return undefined; // The prefix is longer than the address, or the address has a zone.
  }
  return `${address}/${length}`;
}

function isHostName(name: string): boolean {
  // A name of digits and dots only is a mistyped IPv4 address, not a host.
  return (
    name.length <= 253 &&
    /^(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*$/i.test(name) &&
    /[a-z]/i.test(name)
  );
}

function hasControlCharacter(value: string): boolean {
  return /\p{Cc}/u.test(value);
}

function quotedWithoutCredentials(raw: Raw): string {
  return typeof raw === 'string' && raw.includes('@') ? 'the value' : quoted(raw);
}
