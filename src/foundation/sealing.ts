/**
 * This file owns secrets that must be read back (signing keys, TOTP seeds): AES-256-GCM under the installation's
 * master keys, and keys derived from those master keys. It does not own where the master keys come from
 * (config/config.ts) nor what is sealed.
 *
 * A sealed value: version (1 byte) | key id (4 bytes) | nonce (12 bytes) | tag (16 bytes) | ciphertext. The key id is
 * the beginning of SHA-256 of the master key, so a list of master keys rotates: the first seals, all open.
 */

import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import type { Secret } from './secret.ts';

const VERSION = 1;
const KEY_BYTES = 32;
const KEY_ID_BYTES = 4;
/** 96 bits, random: NIST SP 800-38D §8.3 allows 2^32 seals per key, far beyond what one installation will do. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const NONCE_START = 1 + KEY_ID_BYTES;
const TAG_START = NONCE_START + NONCE_BYTES;
const CIPHERTEXT_START = TAG_START + TAG_BYTES;

/** Seals, opens and derives. All answers are fresh buffers. */
export interface Sealer {
  /**
   * Seals `plaintext` (a string as UTF-8) under the first master key. `context` says where the value lives, for example
   * `signing_key:<tenant>:<kid>`; it is bound, not stored, and opening needs the same one: a sealed value that an
   * attacker with write access moves to another row or tenant does not open there.
   */
  seal(plaintext: Buffer | string, context: string): Buffer;
  /** Opens under whichever master key sealed it. Throws SealBroken when it cannot be trusted. */
  open(sealed: Buffer, context: string): Buffer;
  /** A key for one purpose from the first master key: HKDF-SHA-256 (RFC 5869), `bytes` long, 32 unless told. */
  derive(purpose: string, bytes?: number): Buffer;
  /** The same 32-byte derived key from every master key, first one first: sign with the first, accept all. */
  deriveAll(purpose: string): Buffer[];
  /** Ids of the master keys, first one first: what `sealedBy` says of a value that one of them sealed. */
  readonly keyIds: readonly Buffer[];
}

/** The id of the master key that sealed this value; undefined for what was never sealed. Opens nothing, so it proves nothing. */
export function sealedBy(sealed: Buffer): Buffer | undefined {
  return sealed.length < CIPHERTEXT_START ? undefined : sealed.subarray(1, NONCE_START);
}

/** A sealed value that cannot be trusted: altered, cut, moved to another context, or sealed by an unknown key. */
export class SealBroken extends Error {
  override readonly name = 'SealBroken';
}

interface MasterKey {
  readonly id: Buffer;
  /** HKDF of the master key: the master key itself never encrypts, so no derived purpose can collide with sealing. */
  readonly sealingKey: Buffer;
  readonly derive: (purpose: string, bytes: number) => Buffer;
}

/**
 * Builds a sealer.
 *
 * @param masterKeys Each the base64 of 32 random bytes. Throws when there is none, when one has another size, or when
 *   two share an id (the same key twice).
 */
export function createSealer(masterKeys: readonly Secret[]): Sealer {
  const keys = masterKeys.map(parseMasterKey);
  const [first] = keys;
  if (first === undefined) throw new Error('sealing needs at least one master key');
  const keysById = new Map(keys.map((key) => [key.id.toString('hex'), key]));
  if (keysById.size !== keys.length) throw new Error('the same master key is listed twice');

  return {
    seal(plaintext, context) {
      const nonce = randomBytes(NONCE_BYTES);
      const header = Buffer.concat([Buffer.of(VERSION), first.id]);
      const cipher = createCipheriv('aes-256-gcm', first.sealingKey, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(additionalData(header, context));
      const bytes = typeof plaintext === 'string' ? Buffer.from(plaintext, 'utf8') : plaintext;
      const ciphertext = Buffer.concat([cipher.update(bytes), cipher.final()]);
      return Buffer.concat([header, nonce, cipher.getAuthTag(), ciphertext]);
    },

    open(sealed, context) {
      if (sealed.length < CIPHERTEXT_START) throw new SealBroken('a sealed value is too short');
      if (sealed.readUInt8(0) !== VERSION) throw new SealBroken('a sealed value has an unknown version');
      const header = sealed.subarray(0, NONCE_START);
      const key = keysById.get(header.subarray(1).toString('hex'));
      if (key === undefined) throw new SealBroken('a sealed value was sealed by a master key that is not configured');
      const nonce = sealed.subarray(NONCE_START, TAG_START);
      const decipher = createDecipheriv('aes-256-gcm', key.sealingKey, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(additionalData(header, context));
      decipher.setAuthTag(sealed.subarray(TAG_START, CIPHERTEXT_START));
      const plaintext = decipher.update(sealed.subarray(CIPHERTEXT_START));
      try {
        return Buffer.concat([plaintext, decipher.final()]);
      } catch (cause) {
        throw new SealBroken('a sealed value was altered or does not belong here', { cause });
      }
    },

    derive: (purpose, bytes = KEY_BYTES) => first.derive(purpose, bytes),
    deriveAll: (purpose) => keys.map((key) => key.derive(purpose, KEY_BYTES)),
    keyIds: keys.map(({ id }) => id),
  };
}

function parseMasterKey(secret: Secret): MasterKey {
  const bytes = Buffer.from(secret.reveal(), 'base64');
  if (bytes.length !== KEY_BYTES) throw new Error(`a master key must be the base64 of ${KEY_BYTES} bytes`);
  const hkdf = (info: string, length: number) => Buffer.from(hkdfSync('sha256', bytes, '', info, length));
  return {
    id: createHash('sha256').update(bytes).digest().subarray(0, KEY_ID_BYTES),
    sealingKey: hkdf('poort:seal', KEY_BYTES),
    derive: (purpose, length) => hkdf(`poort:derive:${purpose}`, length),
  };
}

/** The header is bound too, so that no byte of a sealed value can be changed without breaking the seal. */
function additionalData(header: Buffer, context: string): Buffer {
  return Buffer.concat([header, Buffer.from(context, 'utf8')]);
}
