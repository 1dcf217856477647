/**
 * A new password for somebody who has shown that they may set one: with the old one, with a link that was mailed, or because an
 * operator does it for them. Whether they may is the caller's to establish. Everything the old password opened ends with it, and the
 * person is told by mail.
 */
import type { PasswordPolicy, PasswordRefusal } from '#src/domain/password_policy.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { judgeNewPassword, type UserId } from '#src/domain/user.ts';
import { uuidv7 } from '#src/foundation/identifiers.ts';
import { PasswordHashingBusy } from '#src/foundation/password_hashing.ts';
import type { TenantDatabase, Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { readPasswordHistory, rememberPassword } from '#src/storage/tables/password_history.ts';
import {
  changePasswordHash,
  listTenantsOfPerson,
  type PasswordOwnerRow,
  readPasswordOwner,
} from '#src/storage/tables/people.ts';
import { type FlowContext, Refusal } from '../flow_context.ts';
import { queueMail } from '../mail/send_mail.ts';
import { endPersonEverywhere, type RevokedOfPerson } from '../sessions/manage_sessions.ts';
import { judgePassword, type PasswordJudges } from './judge_password.ts';

export interface PasswordChange {
  readonly tenantId: TenantId;
  readonly userId: UserId;
  readonly password: string;
  /** The tenant's, as `peopleSettingsOf` gives them. */
  readonly settings: PasswordPolicy;
  readonly hasSecondFactor: boolean;
  /** An operator may set whatever can be hashed; what the policy says of it they are told otherwise. */
  readonly isUnjudged?: boolean | undefined;
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

/**
 * No connection is held while the password is judged and hashed. It is one for all tenants of the person: what the old one opened ends
 * at each of them. Rejects only for faults.
 */
export async function changePassword(
  context: FlowContext & PasswordJudges,
  input: PasswordChange,
): Promise<ChangePasswordOutcome> {
  const tenant = context.database.tenant(input.tenantId);
  const limit = input.settings['password.history'];
  const read = await tenant.transaction(async (transaction) => {
    const owner = await readPasswordOwner(transaction, input);
    if (owner === undefined) return undefined;
    return { owner, earlier: limit === 0 ? [] : await readPasswordHistory(transaction, { ...input, limit }) };
  });
  if (read === undefined) return { outcome: 'unknown' };
  const { owner, earlier } = read;
  if (input.verifiedHash !== undefined && input.verifiedHash !== owner.password_hash) return { outcome: 'lost_race' };
  try {
    const refusal = await refusalOf(context, { input, owner, earlier });
    if (refusal !== undefined) return { outcome: 'unacceptable', reason: refusal };
    const hash = await context.passwords.hash(input.password);
    const tenantIds = await listTenantsOfPerson(context.database, input.userId);
    return await tenant.transaction((transaction) =>
      change(context, { input, tenant, transaction, owner, hash, tenantIds }),
    );
  } catch (fault) {
    if (fault instanceof PasswordHashingBusy) return { outcome: 'busy', retryAfterSeconds: fault.retryAfterSeconds };
    if (fault instanceof Refusal) return fault.outcome;
    throw fault;
  }
}

interface ToRefuse {
  readonly input: PasswordChange;
  readonly owner: PasswordOwnerRow;
  /** Hashes of passwords before the one in use. */
  readonly earlier: readonly string[];
}

async function refusalOf(
  context: PasswordJudges,
  { input, owner, earlier }: ToRefuse,
): Promise<PasswordRefusal | undefined> {
  const { settings, password, hasSecondFactor } = input;
  if (input.isUnjudged === true) return hardLimit(password);
  const inUse = settings['password.history'] === 0 || owner.password_hash === null ? [] : [owner.password_hash];
  const verdict = await judgePassword(context, {
    settings,
    person: {
      email: owner.email,
      givenName: owner.given_name ?? undefined,
      familyName: owner.family_name ?? undefined,
      username: owner.username ?? undefined,
    },
    tenant: { name: owner.tenant_name, slug: owner.tenant_slug },
    password,
    hasSecondFactor,
    history: [...inUse, ...earlier],
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
  readonly tenantIds: readonly TenantId[];
}

async function change(context: FlowContext, changing: Changing): Promise<ChangePasswordOutcome> {
  const { input, tenant, transaction, owner, hash, tenantIds } = changing;
  const { tenantId, userId, event: type, keptSessionId, settings } = input;
  const refuse = (outcome: ChangePasswordOutcome): never => {
    throw new Refusal<ChangePasswordOutcome>(outcome);
  };
  const now = context.clock();
  if (input.proof !== undefined && !(await input.proof(transaction))) refuse({ outcome: 'not_proven' });
  const from = owner.password_hash ?? undefined;
  if (!(await changePasswordHash(transaction, { userId, from, to: hash, now }))) refuse({ outcome: 'lost_race' });
  const kept = settings['password.history'];
  if (from !== undefined && kept > 0)
    await rememberPassword(transaction, { userId, id: uuidv7(now), hash: from, kept, now });
  const reason = type === 'password.changed' ? 'password_changed' : 'password_reset';
  const ended = await endPersonEverywhere(context, { tenantId, userId, transaction, tenantIds, keptSessionId, reason });
  const { ip: address, userAgent: browser } = context.origin;
  await queueMail(context, transaction, {
    tenantId,
    to: owner.email,
    locale: owner.locale ?? owner.tenant_locale,
    mail: { kind: 'password_changed', when: now, address, browser },
  });
  const event = { type, outcome: 'success', actor: context.actor, target: { type: 'user', id: userId } } as const;
  await appendEvent(transaction, { tenant, event, origin: context.origin, now });
  return { outcome: 'changed', ended };
}
