/**
 * Counts the codes of devices that somebody types, before any is looked up, and tells the tenant once when a flood of guesses begins to be
 * refused. Which counters there are is for domain/sign_in_throttle.ts; what a code opens, for oidc/pairings.ts.
 */
import type { TenantId } from '#src/domain/tenant.ts';
import { recordEvent } from '#src/storage/event_log.ts';
import type { VisitorContext } from '../proofs/visitor_context.ts';
import { type Attempt, type AttemptDecision, countAttempt, forgiveAttempt } from '../sign_in/attempts.ts';

/** A code is about to be looked up. `browser` is what tells one browser from another. */
export interface TypedUserCode {
  readonly tenantId: TenantId;
  readonly browser: string;
}

/**
 * Allowed or not, and for how long not. Many wrong codes from one address, or at one tenant, are an event, once for each lock; that
 * somebody mistypes in their browser is none.
 */
export async function countUserCode(context: VisitorContext, typed: TypedUserCode): Promise<AttemptDecision> {
  const { database, clock, origin } = context;
  const now = clock();
  const decision = await countAttempt(context, { ...attemptOf(context, typed), now });
  if (decision.outcome === 'allowed' || !decision.firstInWindow) return decision;
  const { limit } = decision;
  if (limit !== 'address' && limit !== 'tenant') return decision;
  const event = { type: 'device.guesses_refused', outcome: 'failure', reason: 'throttled', data: { limit } } as const;
  await recordEvent(database.tenant(typed.tenantId), { event, origin, now });
  return decision;
}

/** It was right: what this browser got wrong before is forgotten, and this one is given back to the others. */
export function forgiveUserCode(context: VisitorContext, typed: TypedUserCode): Promise<void> {
  return forgiveAttempt(context, attemptOf(context, typed));
}

function attemptOf({ origin }: VisitorContext, { tenantId, browser }: TypedUserCode): Attempt {
  return { kind: 'user_code', identifier: browser, address: origin.ip, tenantId };
}
