/** This file owns as whom an installation asks for passkeys (WebAuthn §4, Relying Party). Apart from webauthn.ts, which takes long to load. */

/** Who asks: the host that passkeys belong to, and the one origin their answers may come from. */
export interface RelyingParty {
  readonly id: string;
  readonly origin: string;
}

/** From the settings alone: what a request says of its host is never asked. */
export function relyingPartyOf(publicUrl: string): RelyingParty {
  const { hostname, origin } = new URL(publicUrl);
  return { id: hostname, origin };
}
