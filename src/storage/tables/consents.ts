/** The table `consents`: what a person has agreed to that an application may do, once for all their browsers. */
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { TenantDatabase, Transaction } from '../database.ts';

/** What was agreed to, in words of the protocol. */
export interface Consented {
  readonly scopes: readonly string[];
  /** Claims that were asked for by themselves. */
  readonly claims: readonly string[];
  /** Scopes of APIs, each as `audience scope`. */
  readonly resource_scopes: readonly string[];
}

/** What `consent_remember` in migrations/0018 adds to it. */
export interface NewConsent extends Consented {
  readonly user_id: string;
  readonly client_id: string;
  readonly client_type: string;
}

export interface ConsentRow extends Consented {
  readonly client_id: string;
  readonly name: string;
  readonly granted_at: Date;
  readonly updated_at: Date;
}

const read = { name: 'consent_read', text: 'select * from consent_read($1, $2, $3)' } as const;
const list = { name: 'consents_list', text: 'select * from consents_list($1, $2)' } as const;

/** Undefined when nothing was agreed to, the client is disabled, or it has become another kind of application. */
export async function readConsent(
  tenant: TenantDatabase,
  { userId, clientId }: { readonly userId: string; readonly clientId: string },
): Promise<Consented | undefined> {
  return (await tenant.read<Consented>(read, [userId, clientId]))[0];
}

/** Of one person at this tenant, by the application's name; at most a thousand. */
export function listConsents(tenant: TenantDatabase, userId: UserId): Promise<readonly ConsentRow[]> {
  return tenant.read<ConsentRow>(list, [userId]);
}

export interface RevokedConsent {
  readonly remembered: boolean;
  readonly ended_grants: number;
}

/** Ends a consent, and every grant and token of this person at this client. */
export async function revokeConsentOf(
  transaction: Transaction,
  { tenantId, userId, clientId }: { readonly tenantId: TenantId; readonly userId: UserId; readonly clientId: string },
): Promise<RevokedConsent> {
  const text = 'select * from consent_revoke($1, $2, $3)';
  const [revoked] = await transaction.query<RevokedConsent>(text, [tenantId, userId, clientId]);
  return revoked ?? { remembered: false, ended_grants: 0 };
}

/** Everybody's consent to one client: whoever switches it on again has to ask anew. */
export async function deleteConsentsToClient(
  transaction: Transaction,
  { tenantId, clientId }: { readonly tenantId: TenantId; readonly clientId: string },
): Promise<void> {
  await transaction.query('delete from consents where tenant_id = $1 and client_id = $2', [tenantId, clientId]);
}
