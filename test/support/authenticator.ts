/** An authenticator in software, which can also lie: about where it is, whether its owner was there, and how often it was used. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isoCBOR } from '@simplewebauthn/server/helpers';
import type { Page } from './user_agent.ts';

/** What can be wrong with an answer. */
export interface Lies {
  readonly origin?: string;
  readonly rpId?: string;
  readonly challenge?: string;
  readonly type?: string;
  readonly crossOrigin?: boolean;
  readonly userVerified?: boolean;
  readonly userPresent?: boolean;
  readonly signCount?: number;
  /** Null: it says of nobody. */
  readonly userHandle?: string | null;
  /** Another key than the credential's. */
  readonly key?: KeyObject;
}

export interface Authenticator {
  readonly credentialId: Buffer;
  register(lies?: Lies): string;
  assert(lies?: Lies): string;
  /** From now on it answers this question. */
  ask(options: AskedOptions): Authenticator;
}

/** The part of the options that matters here. */
export interface AskedOptions {
  readonly challenge: string;
  readonly user?: { readonly id: string } | undefined;
  readonly allowCredentials?: readonly { readonly id: string }[];
}

const curves = {
  ES256: { namedCurve: 'P-256', alg: -7, crv: 1, hash: 'sha256' },
  ES384: { namedCurve: 'P-384', alg: -35, crv: 2, hash: 'sha384' },
} as const;

/** A new credential, at this origin, for whoever the options name when it is registered. */
export function createAuthenticator(
  origin: string,
  { algorithm = 'ES256', synced = false }: { algorithm?: keyof typeof curves; synced?: boolean } = {},
): Authenticator {
  const curve = curves[algorithm];
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curve.namedCurve });
  const credentialId = randomBytes(32);
  let asked: AskedOptions = { challenge: '' };
  let owner: string | undefined;
  let uses = 0;

  function clientData(type: string, lies: Lies): Buffer {
    return Buffer.from(
      JSON.stringify({
        type: lies.type ?? type,
        challenge: lies.challenge ?? asked.challenge,
        origin: lies.origin ?? origin,
        crossOrigin: lies.crossOrigin ?? false,
      }),
    );
  }

  function authenticatorData(lies: Lies, credential?: Buffer): Buffer {
    const flags =
      (lies.userPresent === false ? 0 : 1) |
      (lies.userVerified === false ? 0 : 4) |
      (synced ? 24 : 0) |
      (credential === undefined ? 0 : 64);
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(lies.signCount ?? uses);
    return Buffer.concat([
      createHash('sha256')
        .update(lies.rpId ?? new URL(origin).hostname)
        .digest(),
      Buffer.from([flags]),
      counter,
      ...(credential === undefined ? [] : [credential]),
    ]);
  }

  function newCredential(): Buffer {
    const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
    const key = new Map<number, number | Uint8Array<ArrayBuffer>>([
      [1, 2],
      [3, curve.alg],
      [-1, curve.crv],
      [-2, Uint8Array.from(Buffer.from(x, 'base64url'))],
      [-3, Uint8Array.from(Buffer.from(y, 'base64url'))],
    ]);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(credentialId.length);
    return Buffer.concat([Buffer.alloc(16), length, credentialId, Buffer.from(isoCBOR.encode(key))]);
  }

  function answer(response: Readonly<Record<string, unknown>>): string {
    const id = credentialId.toString('base64url');
    return JSON.stringify({ id, rawId: id, type: 'public-key', response, clientExtensionResults: {} });
  }

  const authenticator: Authenticator = {
    credentialId,
    ask(options) {
      asked = options;
      return authenticator;
    },
    register(lies = {}) {
      owner = asked.user?.id;
      const attestation = new Map<string, string | Map<never, never> | Uint8Array<ArrayBuffer>>([
        ['fmt', 'none'],
        ['attStmt', new Map<never, never>()],
        ['authData', Uint8Array.from(authenticatorData(lies, newCredential()))],
      ]);
      return answer({
        clientDataJSON: clientData('webauthn.create', lies).toString('base64url'),
        attestationObject: Buffer.from(isoCBOR.encode(attestation)).toString('base64url'),
        transports: ['internal', 'nonsense'],
      });
    },
    assert(lies = {}) {
      uses += 1;
      const data = authenticatorData(lies);
      const client = clientData('webauthn.get', lies);
      const signed = Buffer.concat([data, createHash('sha256').update(client).digest()]);
      const userHandle = lies.userHandle === undefined ? owner : (lies.userHandle ?? undefined);
      return answer({
        clientDataJSON: client.toString('base64url'),
        authenticatorData: data.toString('base64url'),
        signature: sign(curve.hash, signed, lies.key ?? privateKey).toString('base64url'),
        ...(userHandle === undefined ? {} : { userHandle }),
      });
    },
  };
  return authenticator;
}

/** What a page asks a browser's passkeys. */
export function passkeyOptionsOf(page: Page): AskedOptions {
  const attribute = /data-passkey="([^"]*)"/.exec(page.body)?.[1];
  if (attribute === undefined) throw new Error(`nothing is asked of a passkey on ${page.url}`);
  return JSON.parse(attribute.replaceAll('&#34;', '"').replaceAll('&amp;', '&')).options;
}
