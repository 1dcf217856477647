/**
 * Client certificates as a proxy would have seen them. Only their public halves exist: to us a certificate is a text in a header,
 * and who may write that header is what the tests are about. Valid for a century, but the one that is not.
 */
import { X509Certificate } from 'node:crypto';
import type { JWK } from 'jose';

/** C=NL, O="Acme, Inc", CN=importer; DNS importer.acme.test, URI spiffe://acme.test/importer, IP 192.0.2.7, email importer@acme.test. */
export const importerCertificate = new X509Certificate(
  Buffer.from(
    [
      'MIIB4zCCAYmgAwIBAgIUCLBqFQtxLB8g0927bhbH5A1wWgUwCgYIKoZIzj0EAwIwNDELMAkGA1UEBhMCTkwxEjAQBgNVBAoMCUFj',
      'bWUsIEluYzERMA8GA1UEAwwIaW1wb3J0ZXIwIBcNMjYxMTI1MDAxMTA4WhgPMjEyNjExMDEwMDExMDhaMDQxCzAJBgNVBAYTAk5M',
      'MRIwEAYDVQQKDAlBY21lLCBJbmMxETAPBgNVBAMMCGltcG9ydGVyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFXCUSes8Cfje',
      '2Zdx4IW5uzKXaCWjK6e/VjmTG8pR8tj/R6i/EyTGB39FuCSY7yy1FxWLnEr5gMVZJ3mItuyTSKN3MHUwVAYDVR0RBE0wS4ISaW1w',
      'b3J0ZXIuYWNtZS50ZXN0hhtzcGlmZmU6Ly9hY21lLnRlc3QvaW1wb3J0ZXKHBMAAAgeBEmltcG9ydGVyQGFjbWUudGVzdDAdBgNV',
      'HQ4EFgQU/xU8ETKi8tdTXP5NemlYsJwZQZkwCgYIKoZIzj0EAwIDSAAwRQIhANXteNyNE1N2gOdUF+3zEy5EhlBWGLC3xWYNNFrw',
      '0bt7AiBccr30rsRtKf7jPOpFiHkjaeoUEh3Fav/oUyRHjV75CA==',
    ].join(''),
    'base64',
  ),
);

/** CN=other, DNS other.acme.test. */
export const otherCertificate = new X509Certificate(
  Buffer.from(
    [
      'MIIBoTCCAUigAwIBAgITPXIFtkzFj0q87ngFNA5ikuoxMjAKBggqhkjOPQQDAjAxMQswCQYDVQQGEwJOTDESMBAGA1UECgwJQWNt',
      'ZSwgSW5jMQ4wDAYDVQQDDAVvdGhlcjAgFw0yNjExMjUwMDExMDhaGA8yMTI2MTEwMTAwMTEwOFowMTELMAkGA1UEBhMCTkwxEjAQ',
      'BgNVBAoMCUFjbWUsIEluYzEOMAwGA1UEAwwFb3RoZXIwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQLvYDgrfe3aXdgPDlKDS99',
      'ktvG1O9qUugN0QeOt+2yAu8ZcIeDbRBIWhxLDydsj2+/NRMVCCdZu+eRvuTXO1jgoz0wOzAaBgNVHREEEzARgg9vdGhlci5hY21l',
      'LnRlc3QwHQYDVR0OBBYEFMCmMaHDlo43FVhJted2mPoBoClPMAoGCCqGSM49BAMCA0cAMEQCIGgzIXiFUWyN9wMYGiJdEcWqsg2j',
      'fqGm/k7Hb3VIlTmPAiBeLqwPYR8/QeiuFagsMgNE1VYqHfHtfYoV+KzHnhkiWQ==',
    ].join(''),
    'base64',
  ),
);

/** Names the same as `importer`, and was over in 2020. */
export const expiredCertificate = new X509Certificate(
  Buffer.from(
    [
      'MIIBlzCCAT2gAwIBAgIBATAKBggqhkjOPQQDAjA0MQswCQYDVQQGEwJOTDESMBAGA1UECgwJQWNtZSwgSW5jMREwDwYDVQQDDAhp',
      'bXBvcnRlcjAeFw0yMDAxMDEwMDAwMDBaFw0yMDAxMDIwMDAwMDBaMDQxCzAJBgNVBAYTAk5MMRIwEAYDVQQKDAlBY21lLCBJbmMx',
      'ETAPBgNVBAMMCGltcG9ydGVyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEVYwkf68vIldhUuyc/HlTqtbnsqk1yyZh5zlvSbUc',
      'fjk8XGX6mIFq+lBsjVRgGoTd6wHDalmv9fbkm8nz4mWK1KNAMD4wHQYDVR0RBBYwFIISaW1wb3J0ZXIuYWNtZS50ZXN0MB0GA1Ud',
      'DgQWBBRoodlBR3WjVT+Yhjf3NnUtjFY/LzAKBggqhkjOPQQDAgNIADBFAiA5iE1Wy4V4xOkn2v0tTq/6+0y7vKU2DWFICBfYtyjn',
      '1gIhAIH+Q2vGB7fAJ/0rn4xIW/2QbbnnHXJIIJYJoBKBPiFP',
    ].join(''),
    'base64',
  ),
);

/** RFC 9440 §2.2. */
export function clientCertHeader(certificate: X509Certificate): string {
  return `:${certificate.raw.toString('base64')}:`;
}

/** As nginx writes `$ssl_client_escaped_cert`. */
export function escapedPemHeader(certificate: X509Certificate): string {
  return encodeURIComponent(certificate.toString());
}

/** The key of a certificate, with it, as `self_signed_tls_client_auth` registers it. */
export function jwkOf(certificate: X509Certificate): JWK {
  return { ...certificate.publicKey.export({ format: 'jwk' }), x5c: [certificate.raw.toString('base64')] };
}
