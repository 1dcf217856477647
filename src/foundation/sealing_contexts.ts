/** Where each sealed value lives, as its sealing is bound to it: who seals and who opens must say the same. */

/** The private part of a tenant's signing key. */
export function signingKeyContext(tenantId: string, kid: string): string {
  return `signing_key:${tenantId}:${kid}`;
}

/** The secret of a person's authenticator app. */
export function totpSecretContext(userId: string): string {
  return `totp_secret:${userId}`;
}

/** What a mail says, while it waits. */
export function mailContext(tenantId: string, id: string): string {
  return `mail:${tenantId}:${id}`;
}
