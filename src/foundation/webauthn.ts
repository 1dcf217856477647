/**
 * This file owns what a passkey says and whether it is true (WebAuthn Level 3): the options a browser is given, and the checks of what
 * comes back. One wrapper, because the library refuses by throwing. It does not own challenges, whose a credential is, or its counter.
 */
import {
  type AuthenticationResponseJSON,
  type AuthenticatorTransport,
  generateAuthenticationOptions,
  generateRegistrationOptions,
  type PublicKeyCredentialCreationOptionsJSON,
  type PublicKeyCredentialRequestOptionsJSON,
  type RegistrationResponseJSON,
  verifyAuthenticationResponse,
  verifyRegistrationResponse,
} from '@simplewebauthn/server';
import { z } from 'zod';
import type { RelyingParty } from './relying_party.ts';

export const CHALLENGE_BYTES = 32;
export const PASSKEY_ANSWER_CHARACTERS = 16_000;

/** COSE: ES256, EdDSA (what authenticators have), and RS256 for those of Windows Hello. */
const algorithms = [-7, -8, -257];

export type RequestOptions = PublicKeyCredentialRequestOptionsJSON;
export type CreationOptions = PublicKeyCredentialCreationOptionsJSON;

export interface KnownCredential {
  readonly credentialId: Buffer;
  readonly transports: readonly string[];
}

const timeoutMilliseconds = 300_000;

/** @param allowed Whose answer is asked for; empty asks whoever has a passkey here. */
export function requestOptions(
  { id }: RelyingParty,
  input: {
    readonly challenge: Uint8Array;
    readonly allowed: readonly KnownCredential[];
    readonly userVerification: 'required' | 'preferred';
  },
): Promise<RequestOptions> {
  return generateAuthenticationOptions({
    rpID: id,
    challenge: Uint8Array.from(input.challenge),
    allowCredentials: input.allowed.map(describedCredential),
    userVerification: input.userVerification,
    timeout: timeoutMilliseconds,
  });
}

export function creationOptions(
  { id }: RelyingParty,
  input: {
    readonly challenge: Uint8Array;
    readonly name: string;
    readonly account: string;
    readonly displayName: string;
    readonly userHandle: string;
    readonly known: readonly KnownCredential[];
  },
): Promise<CreationOptions> {
  return generateRegistrationOptions({
    rpID: id,
    rpName: input.name,
    challenge: Uint8Array.from(input.challenge),
    userID: Uint8Array.from(Buffer.from(input.userHandle, 'utf8')),
    userName: input.account,
    userDisplayName: input.displayName,
    excludeCredentials: input.known.map(describedCredential),
    attestationType: 'none',
    authenticatorSelection: { residentKey: 'preferred', userVerification: 'preferred' },
    supportedAlgorithmIDs: algorithms,
    timeout: timeoutMilliseconds,
  });
}

function describedCredential({ credentialId, transports }: KnownCredential) {
  return { id: credentialId.toString('base64url'), transports: knownTransports(transports) };
}

const transportWords: readonly AuthenticatorTransport[] = ['ble', 'hybrid', 'internal', 'nfc', 'usb'];

function knownTransports(told: readonly string[]): AuthenticatorTransport[] {
  return transportWords.filter((word) => told.includes(word));
}

const encoded = z
  .string()
  .max(PASSKEY_ANSWER_CHARACTERS)
  .regex(/^[A-Za-z0-9_-]+$/);
const base = {
  id: encoded,
  rawId: encoded,
  type: z.literal('public-key'),
  clientExtensionResults: z.object({}).default({}),
};
const assertionShape = z.object({
  ...base,
  response: z.object({
    clientDataJSON: encoded,
    authenticatorData: encoded,
    signature: encoded,
    userHandle: encoded.nullish(),
  }),
});
const attestationShape = z.object({
  ...base,
  response: z.object({
    clientDataJSON: encoded,
    attestationObject: encoded,
    transports: z.array(z.string().max(20)).max(10).optional(),
  }),
});
// Our pages are in nobody's frame, so what comes out of one is not from our page.
const clientDataShape = z.object({ challenge: encoded.max(200), crossOrigin: z.literal(false).optional() });

/** What a browser sent, readable but not believed. */
export interface Answer<Response> {
  readonly response: Response;
  readonly credentialId: Buffer;
  /** The challenge it says it answers. */
  readonly challenge: string;
}

export type Assertion = Answer<AuthenticationResponseJSON> & {
  /** Whose passkey the authenticator takes it to be. */
  readonly userHandle: string | undefined;
};
export type Attestation = Answer<RegistrationResponseJSON>;

/** Undefined for what is no answer of a passkey. */
export function parseAssertion(text: string): Assertion | undefined {
  const parsed = assertionShape.safeParse(parseJson(text));
  if (!parsed.success) return undefined;
  const { response, ...rest } = parsed.data;
  const { userHandle, ...signed } = response;
  const challenge = challengeOf(response.clientDataJSON);
  if (challenge === undefined) return undefined;
  return {
    response: { ...rest, response: { ...signed, ...(userHandle == null ? {} : { userHandle }) } },
    credentialId: Buffer.from(rest.id, 'base64url'),
    challenge,
    userHandle: userHandle == null ? undefined : Buffer.from(userHandle, 'base64url').toString('utf8'),
  };
}

/** Undefined for what is no new passkey. */
export function parseAttestation(text: string): Attestation | undefined {
  const parsed = attestationShape.safeParse(parseJson(text));
  if (!parsed.success) return undefined;
  const { response, ...rest } = parsed.data;
  const challenge = challengeOf(response.clientDataJSON);
  if (challenge === undefined) return undefined;
  const { transports = [], ...made } = response;
  const told = { ...made, transports: knownTransports(transports) };
  return { response: { ...rest, response: told }, credentialId: Buffer.from(rest.id, 'base64url'), challenge };
}

function challengeOf(clientDataJson: string): string | undefined {
  const parsed = clientDataShape.safeParse(parseJson(Buffer.from(clientDataJson, 'base64url').toString('utf8')));
  return parsed.success ? parsed.data.challenge : undefined;
}

function parseJson(text: string): unknown {
  if (text.length > PASSKEY_ANSWER_CHARACTERS) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export interface VerifiedAssertion {
  readonly signCount: number;
  readonly userVerified: boolean;
  readonly backedUp: boolean;
}

/**
 * Whether this credential signed it, for this relying party, from its origin, with its owner present. Undefined when not, for whatever
 * reason. The counter is not judged: of two answers only the database can say which came first.
 */
export async function verifyAssertion(
  { id, origin }: RelyingParty,
  input: {
    readonly assertion: Assertion;
    readonly publicKey: Buffer;
    readonly requireUserVerification: boolean;
  },
): Promise<VerifiedAssertion | undefined> {
  const { assertion, publicKey, requireUserVerification } = input;
  try {
    const { verified, authenticationInfo } = await verifyAuthenticationResponse({
      response: assertion.response,
      expectedChallenge: assertion.challenge,
      expectedOrigin: origin,
      expectedRPID: id,
      requireUserVerification,
      credential: { id: assertion.response.id, publicKey: Uint8Array.from(publicKey), counter: -1 },
    });
    if (!verified) return undefined;
    const { newCounter, userVerified, credentialBackedUp } = authenticationInfo;
    return { signCount: newCounter, userVerified, backedUp: credentialBackedUp };
  } catch {
    // The library refuses by throwing, in words of its own; the person is told one thing for all of them.
    return undefined;
  }
}

export interface VerifiedAttestation {
  readonly credentialId: Buffer;
  readonly publicKey: Buffer;
  readonly signCount: number;
  readonly transports: readonly string[];
  readonly aaguid: string;
  readonly backedUp: boolean;
}

/** A new credential, made for this relying party at its origin, of an algorithm that is allowed. Undefined when not. */
export async function verifyAttestation(
  { id, origin }: RelyingParty,
  attestation: Attestation,
): Promise<VerifiedAttestation | undefined> {
  try {
    const { verified, registrationInfo } = await verifyRegistrationResponse({
      response: attestation.response,
      expectedChallenge: attestation.challenge,
      expectedOrigin: origin,
      expectedRPID: id,
      requireUserVerification: false,
      supportedAlgorithmIDs: algorithms,
    });
    if (!verified) return undefined;
    const { credential, aaguid, credentialBackedUp } = registrationInfo;
    return {
      credentialId: Buffer.from(credential.id, 'base64url'),
      publicKey: Buffer.from(credential.publicKey),
      signCount: credential.counter,
      transports: credential.transports ?? [],
      aaguid,
      backedUp: credentialBackedUp,
    };
  } catch {
    return undefined;
  }
}
