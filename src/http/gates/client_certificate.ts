/**
 * The client certificate that the proxy in front of us saw (RFC 8705): read from a header, because TLS ends there. Whoever can
 * send that header can be any client, so it is believed from the configured networks alone and taken away from everybody
 * else; and what cannot be read is not "no certificate" but a request that is refused.
 */
import { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Config } from '#config/config.ts';

export type ShownCertificate =
  | { readonly outcome: 'none' | 'unreadable' }
  | { readonly outcome: 'shown'; readonly certificate: X509Certificate; readonly verified: boolean };

/** RFC 9440; nobody but this file may see them. */
const standardHeaders = ['client-cert', 'client-cert-chain'] as const;
/** What nginx says of a certificate that chains to `ssl_client_certificate`, and what others are told to say. */
const verifiedWord = 'SUCCESS';

/** Takes the headers off the request, whoever sent it. @param believed whether a trusted proxy did. */
export function takeClientCertificate(
  { headers }: IncomingMessage,
  { believed, http }: { believed: boolean; http: Config['http'] },
): ShownCertificate {
  const { clientCertificateHeader, clientCertificateVerifiedHeader } = http;
  const written = clientCertificateHeader === undefined ? undefined : headers[clientCertificateHeader];
  const verified =
    clientCertificateVerifiedHeader !== undefined && headers[clientCertificateVerifiedHeader] === verifiedWord;
  for (const name of [...standardHeaders, clientCertificateHeader, clientCertificateVerifiedHeader]) {
    if (name !== undefined) delete headers[name];
  }
  if (!believed || isNothing(written)) return { outcome: 'none' };
  const certificate = parseCertificate(String(written));
  return certificate === undefined ? { outcome: 'unreadable' } : { outcome: 'shown', certificate, verified };
}

/** Empty, or an empty byte sequence: how a proxy says that the client had none. */
function isNothing(written: string | string[] | undefined): boolean {
  return written === undefined || written === '' || written === '::';
}

/** RFC 9440 §2.2 (a byte sequence in colons), or the URL-encoded PEM of nginx (`$ssl_client_escaped_cert`); one certificate. */
function parseCertificate(written: string): X509Certificate | undefined {
  const der = byteSequence(written) ?? encodedPem(written);
  if (der === undefined) return undefined;
  try {
    const certificate = new X509Certificate(der);
    // The parser stops where the certificate ends: what follows would be somebody's idea of a second one.
    return certificate.raw.equals(der) ? certificate : undefined;
  } catch {
    return undefined;
  }
}

function byteSequence(written: string): Buffer | undefined {
  const base64 = /^:([A-Za-z0-9+/]+={0,2}):$/.exec(written)?.[1];
  return base64 === undefined ? undefined : Buffer.from(base64, 'base64');
}

function encodedPem(written: string): Buffer | undefined {
  if (!/^-----BEGIN(?:%20|\+)CERTIFICATE-----[A-Za-z0-9%+/=-]+$/.test(written)) return undefined;
  const pem = /^-----BEGIN[ +]CERTIFICATE-----\n([A-Za-z0-9+/=\n]+)\n-----END[ +]CERTIFICATE-----\n?$/.exec(
    decoded(written),
  );
  return pem?.[1] === undefined ? undefined : Buffer.from(pem[1], 'base64');
}

function decoded(written: string): string {
  try {
    return decodeURIComponent(written);
  } catch {
    return '';
  }
}
