/** Whose factors are being changed, from where: what every flow that changes them is given, and what it leaves behind. */
import { AUTHENTICATION_CONTEXTS } from '#src/domain/authentication.ts';
import type { NewEvent } from '#src/domain/event.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Transaction } from '#src/storage/database.ts';
import type { Origin } from '#src/storage/event_log.ts';
import { lowerSession } from '#src/storage/tables/sessions.ts';
import { endPersonEverywhere } from '../sessions/manage_sessions.ts';
import type { SignInServices } from '../sign_in/authentication_steps.ts';

export interface FactorOwner {
  readonly tenantId: TenantId;
  readonly userId: UserId;
  /** Where it happens: an interaction, or a session of theirs. What is set up at one place can be confirmed only there. */
  readonly key: string;
  readonly origin: Origin;
  /** Undefined while they are signing in. */
  readonly sessionId?: string | undefined;
  /** What that session says of how it was opened (RFC 8176). */
  readonly amr?: readonly string[] | undefined;
}

/** What they did to their factors. */
export function factorEvent({ userId, sessionId }: FactorOwner, what: Pick<NewEvent, 'type' | 'data'>): NewEvent {
  const person = { type: 'user', id: userId } as const;
  return { ...what, outcome: 'success', actor: person, target: person, sessionId };
}

/**
 * A factor is gone, or another has taken its place: everything that was opened with it ends, at every tenant, and no browser spares a
 * second one any more. The session in which it happens stays; but when nothing is left that it could have been proven with, it
 * says no more than what the password is worth, and one that no password opened ends as well.
 *
 * @param tenantIds From `listTenantsOfPerson`, asked before the transaction began.
 */
export async function endWhatFactorOpened(
  { database, clock, sealer, passwords, mailBudgets }: SignInServices,
  transaction: Transaction,
  input: {
    readonly owner: FactorOwner;
    readonly tenantIds: readonly TenantId[];
    readonly hasOther: boolean;
    readonly reason: string;
  },
): Promise<{ readonly sessionKept: boolean }> {
  const { tenantId, userId, origin, sessionId, amr = [] } = input.owner;
  const isKept = sessionId !== undefined && (input.hasOther || amr.includes('pwd'));
  const actor = { type: 'user', id: userId } as const;
  await endPersonEverywhere(
    { database, clock, sealer, passwords, mailBudgets, actor, origin },
    {
      tenantId,
      userId,
      transaction,
      tenantIds: input.tenantIds,
      keptSessionId: isKept ? sessionId : undefined,
      reason: input.reason,
    },
  );
  if (isKept && !input.hasOther)
    await lowerSession(transaction, {
      tenantId,
      sessionUid: sessionId,
      acr: AUTHENTICATION_CONTEXTS.password,
      amr: ['pwd'],
    });
  return { sessionKept: isKept };
}
