/** Makes key pairs for signing tokens. It does not own where they are kept or when they sign. */
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';

export interface SigningKeyPair {
  /** RFC 7638 thumbprint: the same key has the same `kid` wherever it is seen. */
  readonly kid: string;
  readonly publicJwk: JWK;
  readonly privateJwk: JWK;
}

/** A fresh pair: P-256, RSA with 2048 bits, or Ed25519. */
export async function generateSigningKeyPair(alg: 'ES256' | 'RS256' | 'EdDSA'): Promise<SigningKeyPair> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const publicJwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(publicJwk);
  const named = { kid, alg, use: 'sig' };
  return { kid, publicJwk: { ...publicJwk, ...named }, privateJwk: { ...(await exportJWK(privateKey)), ...named } };
}
