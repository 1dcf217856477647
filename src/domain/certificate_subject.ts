/**
 * This file owns whether a client certificate names the subject that a client registered (RFC 8705 §2.1.2). It compares texts
 * that the certificate's parser wrote; it does not parse certificates or judge who issued them.
 */

/** The two texts as `X509Certificate` of Node writes them. */
export interface CertifiedNames {
  /** One relative distinguished name in each line, from the root down, values escaped as RFC 4514 §2.4 says. */
  readonly subject: string;
  /** `DNS:a.example, URI:urn:x`; a value that holds one of the separators stands in JSON quotes. */
  readonly subjectAltName: string | undefined;
}

/** The registered metadata, each naming one kind of subject. */
export type SubjectProperty =
  | 'tls_client_auth_subject_dn'
  | 'tls_client_auth_san_dns'
  | 'tls_client_auth_san_uri'
  | 'tls_client_auth_san_ip'
  | 'tls_client_auth_san_email';

const ALTERNATIVE_KINDS = {
  tls_client_auth_san_dns: 'DNS',
  tls_client_auth_san_uri: 'URI',
  tls_client_auth_san_ip: 'IP Address',
  tls_client_auth_san_email: 'email',
} as const;

/**
 * Whether the certificate names exactly this subject: the whole distinguished name in its order, or one of the alternative
 * names of that kind. No wildcard, no part of a name, and nothing is taken from one kind for another.
 */
export function namesSubject(names: CertifiedNames, property: SubjectProperty, expected: string): boolean {
  if (property === 'tls_client_auth_subject_dn') {
    // RFC 4514 §2.1: the string starts with the last of the sequence
    const certified = names.subject.split('\n').toReversed().map(normalizedName);
    const registered = splitName(expected).map(normalizedName);
    return certified.length === registered.length && certified.every((name, index) => name === registered[index]);
  }
  const kind = ALTERNATIVE_KINDS[property];
  const values = alternativeNames(names.subjectAltName ?? '')
    .filter((name) => name.kind === kind)
    .map(({ value }) => value);
  if (kind === 'IP Address') return values.some((value) => canonicalAddress(value) === canonicalAddress(expected));
  return values.includes(expected);
}

/** Splits at commas that are not escaped. */
function splitName(text: string): readonly string[] {
  return text.match(/(?:\\.|[^,\\])+/gsu) ?? [];
}

/** The type in one case, the value without its escapes: `\,` and `\2C` are the same comma. */
function normalizedName(text: string): string {
  const divider = text.indexOf('=');
  const type = text.slice(0, divider).trim().toUpperCase();
  const bytes = text
    .slice(divider + 1)
    .replace(/(?:\\[0-9A-Fa-f]{2})+/g, (run) => Buffer.from(run.replaceAll('\\', ''), 'hex').toString('utf8'))
    .replace(/\\(.)/gsu, '$1');
  return `${type}=${bytes}`;
}

interface AlternativeName {
  readonly kind: string;
  readonly value: string;
}

function alternativeNames(text: string): readonly AlternativeName[] {
  const found = text.matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?=, |$)/gs);
  return [...found].map(([, kind = '', written = '']) => ({ kind, value: unquoted(written) }));
}

function unquoted(text: string): string {
  if (!text.startsWith('"')) return text;
  try {
    return String(JSON.parse(text));
  } catch {
    return '';
  }
}

/** The one way browsers write an address; undefined when it is none, which equals nothing. */
function canonicalAddress(text: string): string | symbol {
  const host = text.includes(':') ? `[${text}]` : text;
  return URL.parse(`http://${host}/`)?.hostname ?? Symbol(text);
}
