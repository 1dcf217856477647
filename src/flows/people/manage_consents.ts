/**
 * What a person has allowed applications to do, and taking it back: the consent goes, and with it every grant and token of theirs
 * at that application, at once and on every process.
 */
import { type NamedRight, rightsOf } from '#src/domain/consent.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { listApis } from '#src/storage/tables/apis.ts';
import { listConsents, revokeConsentOf } from '#src/storage/tables/consents.ts';
import { type FlowContext, Refusal } from '../flow_context.ts';

/** One application as its person sees it. */
export interface ConsentSummary {
  readonly clientId: string;
  readonly name: string;
  /** Scopes and claims that were agreed to, with what their API says about them. */
  readonly rights: readonly NamedRight[];
  readonly grantedAt: Date;
  /** When something was last added. */
  readonly updatedAt: Date;
}

export interface PersonAtTenant {
  readonly tenantId: TenantId;
  readonly userId: UserId;
}

/** The applications that a person has agreed to, by name. Those of the tenant itself are not among them: nobody was asked. */
export async function listPersonConsents(
  context: FlowContext,
  { tenantId, userId }: PersonAtTenant,
): Promise<readonly ConsentSummary[]> {
  const tenant = context.database.tenant(tenantId);
  const consents = await listConsents(tenant, userId);
  if (consents.length === 0) return [];
  const apis = await tenant.transaction((transaction) => listApis(transaction, tenantId));
  return consents.map((consent) => ({
    clientId: consent.client_id,
    name: consent.name,
    rights: rightsOf(consent, apis),
    grantedAt: consent.granted_at,
    updatedAt: consent.updated_at,
  }));
}

export type RevokeConsentOutcome =
  | { readonly outcome: 'revoked'; readonly grants: number }
  /** Nothing to take back, of a client that there may or may not be. */
  | { readonly outcome: 'unknown' };

export async function revokeConsent(
  context: FlowContext,
  { tenantId, userId, clientId }: PersonAtTenant & { readonly clientId: string },
): Promise<RevokeConsentOutcome> {
  const tenant = context.database.tenant(tenantId);
  try {
    return await tenant.transaction(async (transaction) => {
      const revoked = await revokeConsentOf(transaction, { tenantId, userId, clientId });
      const grants = revoked.ended_grants;
      if (!revoked.remembered && grants === 0) throw new Refusal<RevokeConsentOutcome>({ outcome: 'unknown' });
      const event = {
        type: 'consent.revoked',
        outcome: 'success',
        actor: context.actor,
        target: { type: 'user', id: userId },
        clientId,
        data: { grants },
      } as const;
      await appendEvent(transaction, { tenant, event, origin: context.origin, now: context.clock() });
      return { outcome: 'revoked', grants };
    });
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    throw fault;
  }
}
