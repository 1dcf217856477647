/**
 * How API keys come and go: made by a person within what they may do, or by an operator for the tenant, shown once, and revoked for good.
 * Whose a key is comes from who asks and from nothing that they send. The decision behind it is docs/decisions/0038.
 */
import { beginningOf, type KeyFault, planKey } from '#src/domain/api_key.ts';
import type { PeopleSettings } from '#src/domain/people_settings.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import { randomValue, sha256, uuidv7 } from '#src/foundation/identifiers.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import {
  type ApiKeyFilter,
  type ApiKeyRow,
  insertApiKey,
  listApiKeys,
  listApiKeysAfter,
  listApiKeysOf,
  lockApiKeyMaker,
  readApiKeyEntry,
  revokeApiKeyRow,
} from '#src/storage/tables/api_keys.ts';
import { type FlowContext, Refusal } from '../flow_context.ts';
import { notifyMember } from '../people/notify_person.ts';

/** One key as its owner sees it. The key itself is in none. */
export interface ApiKeySummary {
  readonly id: string;
  /** How the key begins. */
  readonly beginning: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly userId: string | undefined;
  readonly email: string | undefined;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly revokedAt: Date | undefined;
  readonly lastUsedAt: Date | undefined;
  readonly lastUsedAddress: string | undefined;
  readonly uses: number;
}

export type CreateApiKeyOutcome =
  | { readonly outcome: 'created'; readonly key: string; readonly summary: ApiKeySummary }
  /** The tenant lets nobody make keys, or not this person. */
  | { readonly outcome: 'not_allowed' }
  | { readonly outcome: 'too_many'; readonly maximum: number }
  /** No living member. */
  | { readonly outcome: 'unknown' }
  /** The identifier is one that a key has: the same wish was granted already. */
  | { readonly outcome: 'made_before' }
  | { readonly outcome: 'refused'; readonly faults: readonly KeyFault[] };

export interface CreateApiKey {
  readonly tenantId: TenantId;
  /** A new one unless given: by whoever must be able to tell that a wish came twice. */
  readonly id?: string | undefined;
  /** Whose rights bound it. Undefined for a key of the tenant's own: an operator's to make, or an administrator's within `held`. */
  readonly userId: UserId | undefined;
  /** What whoever makes a key of the tenant's own may do at this moment; undefined for an operator, who may do everything. */
  readonly held?: ReadonlySet<string> | undefined;
  readonly settings: PeopleSettings;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly expiresAt: Date | undefined;
  /** Of the token that asks, unless it speaks for the person as a whole. */
  readonly tokenScopes?: ReadonlySet<string> | undefined;
}

/** The key is in the outcome and nowhere else, ever. */
export async function createApiKey(context: FlowContext, input: CreateApiKey): Promise<CreateApiKeyOutcome> {
  const tenant = context.database.tenant(input.tenantId);
  try {
    return await tenant.transaction((transaction) => createWithin(context, transaction, input));
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    throw fault;
  }
}

async function createWithin(
  context: FlowContext,
  transaction: Transaction,
  { tenantId, id = uuidv7(context.clock()), userId, held, settings, tokenScopes, ...request }: CreateApiKey,
): Promise<CreateApiKeyOutcome> {
  const now = context.clock();
  const permissions =
    userId === undefined
      ? held && [...held]
      : await permissionsOfMaker(transaction, { tenantId, userId, settings, now });
  const maximumDays = settings['api_keys.maximum_days'];
  const plan = planKey(request, { now, maximumDays, permissions, tokenScopes });
  if (plan.outcome === 'refused') throw new Refusal<CreateApiKeyOutcome>(plan);

  const key = randomValue(settings['api_keys.prefix'], settings['api_keys.random_bytes']);
  const { name, scopes, expiresAt } = plan;
  const row = { id, beginning: beginningOf(key), name, scopes, userId, expiresAt };
  const isNew = await insertApiKey(transaction, { ...row, tenantId, keyHash: sha256(key), now });
  if (!isNew) throw new Refusal<CreateApiKeyOutcome>({ outcome: 'made_before' });
  const event = {
    type: 'api_key.created',
    outcome: 'success',
    actor: context.actor,
    target: { type: 'api_key', id: row.id },
    data: { name, scopes, expires_at: expiresAt.toISOString(), ...(userId === undefined ? {} : { user_id: userId }) },
  } as const;
  const log = { tenant: context.database.tenant(tenantId), event, origin: context.origin, now };
  await appendEvent(transaction, log);
  if (userId !== undefined) {
    const mail = { kind: 'api_key_created', name } as const;
    await notifyMember(context, transaction, { tenantId, userId, origin: context.origin, mail });
  }
  const unused = { revokedAt: undefined, lastUsedAt: undefined, lastUsedAddress: undefined, email: undefined, uses: 0 };
  return { outcome: 'created', key, summary: { ...row, createdAt: now, ...unused } };
}

/** Throws `Refusal` for who may make no key. */
async function permissionsOfMaker(
  transaction: Transaction,
  { tenantId, userId, settings, now }: ApiKeyOwner & Pick<CreateApiKey, 'settings'> & { readonly now: Date },
): Promise<readonly string[]> {
  const maker = await lockApiKeyMaker(transaction, { tenantId, userId, now });
  if (maker === undefined) throw new Refusal<CreateApiKeyOutcome>({ outcome: 'unknown' });
  if (!mayMakeKeys(settings, maker.permissions)) throw new Refusal<CreateApiKeyOutcome>({ outcome: 'not_allowed' });
  const maximum = settings['api_keys.maximum_per_person'];
  if (maker.living >= maximum) throw new Refusal<CreateApiKeyOutcome>({ outcome: 'too_many', maximum });
  return maker.permissions;
}

/** Whether the tenant lets a person with these permissions make keys. */
export function mayMakeKeys(settings: PeopleSettings, permissions: readonly string[]): boolean {
  const makers = settings['api_keys.makers'];
  return makers === 'members' || (makers === 'permitted' && permissions.includes('api-keys:write'));
}

export interface ApiKeyOwner {
  readonly tenantId: TenantId;
  readonly userId: UserId;
}

/** Their own, those not revoked; one more than the limit where there are more. */
export async function listOwnApiKeys(
  context: Pick<FlowContext, 'database'>,
  { tenantId, userId, limit, after }: ApiKeyOwner & { readonly limit: number; readonly after?: string | undefined },
): Promise<readonly ApiKeySummary[]> {
  const tenant = context.database.tenant(tenantId);
  const rows = await tenant.transaction((transaction) =>
    listApiKeysOf(transaction, { tenantId, userId, limit, after }),
  );
  return rows.map(summaryOf);
}

/** All of the tenant, also those that are over. */
export async function listTenantApiKeys(
  context: Pick<FlowContext, 'database'>,
  tenantId: TenantId,
): Promise<readonly ApiKeySummary[]> {
  const tenant = context.database.tenant(tenantId);
  const rows = await tenant.transaction((transaction) => listApiKeys(transaction, tenantId));
  return rows.map(summaryOf);
}

/** The same in parts, one more than the limit where there are more. */
export async function listApiKeysInParts(
  context: Pick<FlowContext, 'database' | 'clock'>,
  input: {
    readonly tenantId: TenantId;
    readonly filter: ApiKeyFilter;
    readonly after?: string | undefined;
    readonly limit: number;
  },
): Promise<readonly ApiKeySummary[]> {
  const { tenantId, filter, after, limit } = input;
  const now = context.clock();
  const tenant = context.database.tenant(tenantId);
  const rows = await tenant.transaction((transaction) =>
    listApiKeysAfter(transaction, { tenantId, filter, now, after, limit }),
  );
  return rows.map(summaryOf);
}

export async function showApiKey(
  context: Pick<FlowContext, 'database'>,
  { tenantId, id }: { readonly tenantId: TenantId; readonly id: string },
): Promise<ApiKeySummary | undefined> {
  const tenant = context.database.tenant(tenantId);
  const row = await tenant.transaction((transaction) => readApiKeyEntry(transaction, { tenantId, id, lock: false }));
  return row && summaryOf(row);
}

/**
 * It opens nothing any more, in any process, from the moment this is committed and announced. With `userId` only that person's own: the
 * same answer for another's and for none.
 */
export async function revokeApiKey(
  context: FlowContext,
  {
    tenantId,
    id,
    userId,
    guard,
  }: {
    readonly tenantId: TenantId;
    readonly id: string;
    readonly userId?: UserId | undefined;
    /** Called with the key as it is, locked: throws when it is not the one that whoever asks had looked at. */
    readonly guard?: ((key: ApiKeySummary) => void) | undefined;
  },
): Promise<{ readonly outcome: 'revoked' | 'unknown' }> {
  const now = context.clock();
  const tenant = context.database.tenant(tenantId);
  return tenant.transaction(async (transaction) => {
    const before = guard && (await readApiKeyEntry(transaction, { tenantId, id, lock: true }));
    if (before !== undefined) guard?.(summaryOf(before));
    const revoked = await revokeApiKeyRow(transaction, { tenantId, id, userId, now });
    if (revoked === undefined) return { outcome: 'unknown' };
    const event = {
      type: 'api_key.revoked',
      outcome: 'success',
      actor: context.actor,
      target: { type: 'api_key', id },
      data: { name: revoked.name, ...(revoked.user_id === null ? {} : { user_id: revoked.user_id }) },
    } as const;
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    return { outcome: 'revoked' };
  });
}

function summaryOf(row: ApiKeyRow): ApiKeySummary {
  return {
    id: row.id,
    beginning: row.beginning,
    name: row.name,
    scopes: row.scopes,
    userId: row.user_id ?? undefined,
    email: row.email ?? undefined,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at ?? undefined,
    lastUsedAt: row.last_used_at ?? undefined,
    lastUsedAddress: row.last_used_address ?? undefined,
    uses: row.uses,
  };
}
