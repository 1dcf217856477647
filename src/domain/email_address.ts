/**
 * This file owns what an e-mail address is to us: parsing what a person typed, and the canonical form under which one
 * person is found and throttled. It does not own whether mail arrives there; only a sent code can tell.
 *
 * Strict on purpose. A parser that is more generous than the mail server behind it sends a reset link to somebody
 * else: comments, quoted local parts and address literals (RFC 5321 §4.1.2) are refused.
 */

const MAXIMUM_ADDRESS_LENGTH = 254;
const MAXIMUM_LOCAL_PART_LENGTH = 64;
const MAXIMUM_DOMAIN_LENGTH = 253;
/** Longer input is not looked at: NFKC can multiply the length of a text by 18. */
const MAXIMUM_INPUT_LENGTH = 512;

/** RFC 5322 §3.2.3 dot-atom, plus letters and numbers of any script (RFC 6531 §3.3). */
const LOCAL_PART = /^[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+(?:\.[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+)*$/u;
const HOST_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** Control, format (zero width, direction), surrogate, private and unassigned characters, and every kind of space. */
const INVISIBLE = /[\p{C}\p{Z}]/u;

/** Why a text is not an address we accept. Stable words; the page has the sentences. */
export type EmailAddressProblem =
  | 'not_text'
  | 'empty'
  | 'too_long'
  | 'forbidden_character'
  | 'not_one_at_sign'
  | 'local_part'
  | 'domain';

/** An address ready for use, or the reason why not. */
export type ParsedEmailAddress =
  | {
      readonly outcome: 'valid';
      /** To write to: NFKC, capitals of the local part kept, domain in lower-case ASCII (punycode). */
      readonly address: string;
      /** To compare and count by: `address` in lower case. */
      readonly canonical: string;
    }
  | { readonly outcome: 'invalid'; readonly reason: EmailAddressProblem };

/**
 * Parses an e-mail address. Normalises first and validates after (full-width `＠` becomes `@` before at-signs are
 * counted): the other order lets two addresses that look alike to us be one to the mail server.
 */
export function parseEmailAddress(input: unknown): ParsedEmailAddress {
  if (typeof input !== 'string') return invalid('not_text');
  if (input.length > MAXIMUM_INPUT_LENGTH) return invalid('too_long');
  // before NFKC, which turns exotic spaces into plain ones, and before trim, which would eat a trailing CR LF
  const trimmed = input.replace(/^ +| +$/g, '');
  if (trimmed === '') return invalid('empty');
  if (!trimmed.isWellFormed() || INVISIBLE.test(trimmed)) return invalid('forbidden_character');

  const normalised = trimmed.normalize('NFKC');
  if (INVISIBLE.test(normalised)) return invalid('forbidden_character');

  const parts = normalised.split('@');
  const [localPart, domain] = parts;
  if (parts.length !== 2 || localPart === undefined || domain === undefined) return invalid('not_one_at_sign');
  if (!LOCAL_PART.test(localPart)) return invalid('local_part');
  if (utf8Length(localPart) > MAXIMUM_LOCAL_PART_LENGTH) return invalid('local_part');

  const asciiDomain = parseMailDomain(domain);
  if (asciiDomain === undefined) return invalid('domain');

  const address = `${localPart}@${asciiDomain}`;
  if (utf8Length(address) > MAXIMUM_ADDRESS_LENGTH) return invalid('too_long');
  return { outcome: 'valid', address, canonical: canonicalIdentifier(address) };
}

/**
 * The form of an identifier under which people are found and attempts counted, also when it is not an address at all:
 * trimmed, NFKC, lower case, cut to the longest an address can be. Total: any text has one.
 */
export function canonicalIdentifier(text: string): string {
  const normalised = text.slice(0, MAXIMUM_INPUT_LENGTH).trim().normalize('NFKC').toLowerCase().normalize('NFKC');
  return [...normalised.toWellFormed()].slice(0, MAXIMUM_ADDRESS_LENGTH).join('');
}

function parseMailDomain(domain: string): string | undefined {
  // the URL parser would read these as the end of the host, a port, credentials, an address literal or an escape
  if (domain === '' || /[/\\?#:[\]%]/.test(domain)) return undefined;
  const ascii = URL.parse(`http://${domain}/`)?.hostname;
  if (ascii === undefined || ascii.length > MAXIMUM_DOMAIN_LENGTH) return undefined;
  const labels = ascii.split('.');
  if (labels.length < 2 || !labels.every((label) => HOST_LABEL.test(label))) return undefined;
  // an IPv4 address is no domain; no top-level domain is all digits
  return /^\d+$/.test(labels.at(-1) ?? '') ? undefined : ascii;
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}

function invalid(reason: EmailAddressProblem): ParsedEmailAddress {
  return { outcome: 'invalid', reason };
}
