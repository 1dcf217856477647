/** A certificate authority of the test's own (RFC 5280, as little of it as TLS wants), so that https is tested as it is. */
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

export interface IssuedCertificate {
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
}

export interface CertificateAuthority {
  /** PEM. */
  readonly certificate: string;
  issue(name: string): IssuedCertificate;
}

export function createCertificateAuthority(): CertificateAuthority {
  const authority = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = distinguishedName('Test authority');
  const isAuthority = extension('551d13', sequence(Buffer.from('0101ff', 'hex')));
  const certificate = build({ issuer, subject: issuer, publicKey: authority.publicKey, extensions: [isAuthority] });

  function build({ subject, publicKey, extensions }: ToBuild): string {
    const signatureAlgorithm = sequence(objectIdentifier('2a8648ce3d040302'));
    const content = sequence(
      der(0xa0, integer(Buffer.from([2]))),
      integer(
        createHash('sha256')
          .update(subject)
          .update(publicKey.export({ type: 'spki', format: 'der' }))
          .digest()
          // DER has one way to write a number: none begins with a zero.
          .fill(1, 0, 1),
      ),
      signatureAlgorithm,
      issuer,
      sequence(time('200101000000Z'), time('490101000000Z')),
      subject,
      publicKey.export({ type: 'spki', format: 'der' }),
      der(0xa3, sequence(...extensions)),
    );
    const signature = sign('sha256', content, authority.privateKey);
    return pem(sequence(content, signatureAlgorithm, der(0x03, Buffer.from([0]), signature)));
  }

  return {
    certificate,
    issue(name) {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const alternativeName = extension('551d11', sequence(der(0x82, Buffer.from(name))));
      return {
        certificate: build({ issuer, subject: distinguishedName(name), publicKey, extensions: [alternativeName] }),
        key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      };
    },
  };
}

interface ToBuild {
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly publicKey: KeyObject;
  readonly extensions: readonly Buffer[];
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const header = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...header]), content]);
}

const sequence = (...parts: readonly Buffer[]): Buffer => der(0x30, ...parts);
const objectIdentifier = (hexadecimal: string): Buffer => der(0x06, Buffer.from(hexadecimal, 'hex'));
const time = (text: string): Buffer => der(0x17, Buffer.from(text));
const integer = (bytes: Buffer): Buffer => der(0x02, Buffer.from([0]).subarray((bytes[0] ?? 0) < 0x80 ? 1 : 0), bytes);
const extension = (identifier: string, value: Buffer): Buffer =>
  sequence(objectIdentifier(identifier), der(0x04, value));

function distinguishedName(name: string): Buffer {
  return sequence(der(0x31, sequence(objectIdentifier('550403'), der(0x0c, Buffer.from(name)))));
}

function pem(bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
