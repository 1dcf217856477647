/**
 * This file owns names that people sign in with beside their address: what one looks like, and the form it is looked up by. Unique
 * within a tenant, so that choosing one tells nothing about another tenant's people.
 */

const USERNAME = /^[\p{L}\p{N}](?:[\p{L}\p{N}._-]{0,62}[\p{L}\p{N}])$/u;

export interface Username {
  /** As it is shown. */
  readonly name: string;
  /** NFKC and lower case. */
  readonly canonical: string;
}

/** 2 to 64 letters, digits, dots, hyphens and underscores. Never an address: there is no `@` in it. Undefined when it is none. */
export function parseUsername(input: string): Username | undefined {
  if (input.length > 128) return undefined;
  const name = input.normalize('NFKC').trim();
  return USERNAME.test(name) ? { name, canonical: name.toLowerCase() } : undefined;
}
