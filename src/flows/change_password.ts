/**
 * A new password for somebody who has shown that they may set one: with the old one, with a link that was mailed, or because an
 * operator does it for them. Whether they may is the caller's to establish. Everything the old password opened ends with it.
 */
import type { PasswordPolicy, PasswordRefusal } from '#src/domain/password_policy.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { judgeNewPassword, type UserId } from '#src/domain/user.ts';
import { PasswordHashingBusy } from '#src/foundation/password_hashing.ts';
import type { TenantDatabase, Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { changePasswordHash, type PasswordOwnerRow, readPasswordOwner } from '#src/storage/tables/people.ts';
import { type FlowContext, Refusal } from './flow_context.ts';
import { judgePassword, type PasswordJudges } from './judge_password.ts';
import { endPersonSessions, type RevokedOfPerson } from './manage_sessions.ts';

export interface PasswordChange {
  readonly tenantId: TenantId;
  readonly userId: UserId;
  readonly password: string;
  /** The tenant's, as `peopleSettingsOf` gives them. Undefined: whatever can be hashed is accepted (the command line's business). */
  readonly settings: PasswordPolicy | undefined;
  readonly hasSecondFactor: boolean;
  /** `password.changed` by whoever knew the old one, `password.reset` by whoever did not. */
  readonly event: 'password.changed' | 'password.reset';
  /** The hash that the old password was verified against: when it is not the one in use any more, nothing changes. */
  readonly verifiedHash?: string | undefined;
  /** The session of this tenant in which the change is made; all others end. */
  readonly keptSessionId?: string | undefined;
  /**
   * Runs first inside the transaction of the change; `false` rolls everything back. A link is consumed here, so that a password
   * which is refused leaves it good, and two requests with one link change one password.
   */
  readonly proof?: ((transaction: Transaction) => Promise<boolean>) | undefined;
}

export type ChangePasswordOutcome =
  | { readonly outcome: 'changed'; readonly ended: RevokedOfPerson }
  | { readonly outcome: 'unacceptable'; readonly reason: PasswordRefusal }
  /** `proof` said no. */
  | { readonly outcome: 'not_proven' }
  /** Somebody else has just set another one. */
  | { readonly outcome: 'lost_race' }
  | { readonly outcome: 'busy'; readonly retryAfterSeconds: number }
  /** No member of this tenant. */
  | { readonly outcome: 'unknown' };

/** No connection is held while the password is judged and hashed. Rejects only for faults. */
export async function changePassword(
  context: FlowContext & PasswordJudges,
  input: PasswordChange,
): Promise<ChangePasswordOutcome> {
  const tenant = context.database.tenant(input.tenantId);
  const owner = await tenant.transaction((transaction) => readPasswordOwner(transaction, input));
  if (owner === undefined) return { outcome: 'unknown' };
  if (input.verifiedHash !== undefined && input.verifiedHash !== owner.password_hash) return { outcome: 'lost_race' };
  try {
    const refusal = await refusalOf(context, { input, owner });
    if (refusal !== undefined) return { outcome: 'unacceptable', reason: refusal };
    const hash = await context.passwords.hash(input.password);
    return await tenant.transaction((transaction) => change(context, { input, tenant, transaction, owner, hash }));
  } catch (fault) {
    if (fault instanceof PasswordHashingBusy) return { outcome: 'busy', retryAfterSeconds: fault.retryAfterSeconds };
    if (fault instanceof Refusal) return fault.outcome;
    throw fault;
  }
}

async function refusalOf(
  context: PasswordJudges,
  { input, owner }: { readonly input: PasswordChange; readonly owner: PasswordOwnerRow },
): Promise<PasswordRefusal | undefined> {
  const { settings, password, hasSecondFactor } = input;
  if (settings === undefined) return hardLimit(password);
  const verdict = await judgePassword(context, {
    settings,
    person: {
      email: owner.email,
      givenName: owner.given_name ?? undefined,
      familyName: owner.family_name ?? undefined,
    },
    tenant: { name: owner.tenant_name, slug: owner.tenant_slug },
    password,
    hasSecondFactor,
  });
  return verdict.outcome === 'acceptable' ? undefined : verdict.reason;
}

function hardLimit(password: string): PasswordRefusal | undefined {
  const limits = judgeNewPassword(password);
  return limits.outcome === 'acceptable' ? undefined : limits.reason;
}

interface Changing {
  readonly input: PasswordChange;
  readonly tenant: TenantDatabase;
  readonly transaction: Transaction;
  readonly owner: PasswordOwnerRow;
  readonly hash: string;
}

async function change(context: FlowContext, changing: Changing): Promise<ChangePasswordOutcome> {
  const { input, tenant, transaction, owner, hash } = changing;
  const { tenantId, userId, event: type, keptSessionId } = input;
  const refuse = (outcome: ChangePasswordOutcome): never => {
    throw new Refusal<ChangePasswordOutcome>(outcome);
  };
  const now = context.clock();
  if (input.proof !== undefined && !(await input.proof(transaction))) refuse({ outcome: 'not_proven' });
  const from = owner.password_hash ?? undefined;
  if (!(await changePasswordHash(transaction, { userId, from, to: hash, now }))) refuse({ outcome: 'lost_race' });
  const reason = type === 'password.changed' ? 'password_changed' : 'password_reset';
  const ended = await endPersonSessions(context, { tenantId, userId, tenant, transaction, keptSessionId, reason });
  const event = { type, outcome: 'success', actor: context.actor, target: { type: 'user', id: userId } } as const;
  await appendEvent(transaction, { tenant, event, origin: context.origin, now });
  return { outcome: 'changed', ended };
}
