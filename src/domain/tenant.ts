/**
 * This file owns what a tenant is called: its identifier, its slug (part of its issuer, so for ever) and its name.
 * It does not own what belongs to a tenant; every other noun says that itself by its tenant_id.
 */

import { parseName } from './name.ts';

/** Identifies a tenant: a UUID. Branded, because every floor passes it beside other texts. */
export type TenantId = string & { readonly __brand: 'TenantId' };

/** `deleting`: nobody is served, and until its time has come it can be had back. Whatever is not `active` is not served. */
export type TenantStatus = 'active' | 'suspended' | 'deleting';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const SLUG = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;
const MAXIMUM_SLUG_LENGTH = 40;

/** Slugs that would read as a page or a host of the product itself, or that another product's users would trust blindly. */
const RESERVED_SLUGS: ReadonlySet<string> = new Set(
  [
    ['www', 'api', 'admin', 'administrator', 'platform', 'operator', 'root', 'system', 'internal', 'poort'],
    ['assets', 'static', 'public', 'health', 'metrics', 'status', 'docs', 'dev', 'well-known', 'favicon'],
    ['t', 'd', 'o', 'tenant', 'tenants', 'device', 'oauth', 'oidc', 'auth', 'login', 'logout', 'sign-in', 'signin'],
    ['account', 'accounts', 'security', 'support', 'help', 'mail', 'localhost', 'null', 'undefined', 'me', 'self'],
  ].flat(),
);

/** A slug fit for use, or the reason why not. */
export type ParsedTenantSlug =
  | { readonly outcome: 'valid'; readonly slug: string }
  | { readonly outcome: 'invalid'; readonly reason: 'syntax' | 'too_long' | 'reserved' };

/**
 * The brand of a tenant identifier.
 * Throws TypeError when the text is no lower-case UUID: it came from our own tables, so anything else is a fault.
 */
export function tenantId(text: string): TenantId {
  if (!UUID.test(text)) throw new TypeError('a tenant identifier must be a UUID in lower case');
  return text as TenantId; // just checked
}

/**
 * Parses a slug: `a-z`, `0-9` and single hyphens inside, 1 to 40 characters, not reserved. Nothing is corrected: a slug
 * is compared byte for byte in issuers, and a corrected one would differ from what the operator configured elsewhere.
 */
export function parseTenantSlug(input: unknown): ParsedTenantSlug {
  if (typeof input !== 'string') return { outcome: 'invalid', reason: 'syntax' };
  if (input.length > MAXIMUM_SLUG_LENGTH) return { outcome: 'invalid', reason: 'too_long' };
  if (!SLUG.test(input)) return { outcome: 'invalid', reason: 'syntax' };
  // RFC 5890 §2.3.1: the form of punycode; as a host name it would show as other letters
  if (RESERVED_SLUGS.has(input) || input.startsWith('xn--')) return { outcome: 'invalid', reason: 'reserved' };
  return { outcome: 'valid', slug: input };
}

/** The tenant's name as people see it: 1 to 100 characters, trimmed. `undefined` when it is no such name. */
export function parseTenantName(input: unknown): string | undefined {
  return parseName(input);
}

/** The issuer of a tenant (OpenID Connect Discovery 1.0 §3): below the public origin, which comes from configuration alone. */
export function issuerOf(tenant: { readonly slug: string }, publicUrl: string): string {
  return `${publicUrl}/t/${tenant.slug}`;
}
