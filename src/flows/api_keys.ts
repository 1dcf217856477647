/** What it means to present an API key: which key it is, or why it opens nothing. How keys come and go is for manage_api_keys.ts. */
import type { TenantId } from '#src/domain/tenant.ts';

export interface LivingApiKey {
  readonly id: string;
  readonly tenantId: TenantId;
  readonly tenantSlug: string;
  readonly name: string;
  /** What it opens at this moment: never more than the one who made it may do now. */
  readonly scopes: readonly string[];
  /** Who made it; undefined for a key of the tenant's own, made by an operator. */
  readonly userId: string | undefined;
  readonly expiresAt: Date;
}

/** How much of a key's allowance is left. */
export interface KeyAllowance {
  readonly limit: number;
  readonly windowSeconds: number;
  readonly remaining: number;
  readonly resetSeconds: number;
}

export type ApiKeyVerification =
  | {
      readonly outcome: 'valid';
      readonly tenantId: TenantId;
      readonly key: LivingApiKey;
      readonly allowance: KeyAllowance;
    }
  /** The same for what never was, is over or was revoked, and for a key whose maker or tenant is gone. */
  | { readonly outcome: 'unknown' }
  | {
      readonly outcome: 'limited';
      readonly tenantId: TenantId;
      readonly retryAfterSeconds: number;
      readonly allowance: KeyAllowance;
    };

export interface PresentedApiKey {
  readonly presented: string;
  readonly address: string | undefined;
  readonly now: Date;
}

/** `verifyApiKey` with its services. Counts the use; asks the database at most once, and not at all about a key it knows. */
export type VerifyApiKey = (key: PresentedApiKey) => Promise<ApiKeyVerification>;
