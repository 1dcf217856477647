/**
 * What it means to present an API key: which key it is, or why it opens nothing. A key that was looked up is believed for a second at
 * most, and forgotten at once when it is announced to have changed: within a second it is worth what its maker may do by then. How often
 * it is used is counted here, in the process; what it was used for gathers and is written every few seconds. How keys come and go is
 * for manage_api_keys.ts.
 */
import { LRUCache } from 'lru-cache';
import { isApiKey, scopesWithin } from '#src/domain/api_key.ts';
import { type PeopleSettings, peopleSettingsOf } from '#src/domain/people_settings.ts';
import { countRequest, type Window } from '#src/domain/request_allowance.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { readTenantSettings } from '#src/domain/tenant_settings.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import { type BatchedNotes, createBatchedNotes } from '#src/storage/batched_notes.ts';
import type { Database } from '#src/storage/database.ts';
import {
  type ApiKeyUses,
  findLivingApiKey,
  findTenantOfApiKey,
  type LivingApiKeyRow,
  noteApiKeyUses,
} from '#src/storage/tables/api_keys.ts';

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
  /** Where the address says whose it must be: then one round trip finds it, and another tenant's is unknown. */
  readonly tenantId?: TenantId | undefined;
}

/** `verifyApiKey` with its services. Counts the use; asks the database at most once, and not at all about a key it knows. */
export type VerifyApiKey = (key: PresentedApiKey) => Promise<ApiKeyVerification>;

/** What verifying needs, one of each process. */
export interface ApiKeyServices {
  readonly database: Database;
  /** What holds where a tenant says nothing. */
  readonly people: PeopleSettings;
  readonly known: KnownKeys;
  readonly windows: LRUCache<string, Window>;
  readonly uses: BatchedNotes<ApiKeyUses>;
}

/** Keys by their hash, as long as they are believed. */
interface KnownKeys {
  readonly keys: LRUCache<string, KnownKey>;
  /** Another one whenever something was forgotten: what was asked before then is not kept. */
  epoch: number;
}

interface KnownKey {
  readonly tenantId: TenantId;
  readonly row: LivingApiKeyRow;
  /** When it was looked up. */
  readonly since: number;
}

const believedMilliseconds = 1_000;
const maximumKnown = 10_000;
const windowSeconds = 60;

export interface OpenApiKeys {
  readonly services: ApiKeyServices;
  /** Writes what has gathered, now. */
  flush(): Promise<void>;
  /** Starts to hear of changes. Before that, and while they cannot be heard, a key is still believed for no more than a second. */
  listen(): Promise<void>;
  /** Writes for the last time. */
  close(): Promise<void>;
}

export function openApiKeys({
  database,
  people,
  onFault,
}: Pick<ApiKeyServices, 'database' | 'people'> & { readonly onFault: (fault: unknown) => void }): OpenApiKeys {
  const known: KnownKeys = { keys: new LRUCache({ max: maximumKnown }), epoch: 0 };
  const forgetAll = (): void => {
    known.keys.clear();
    known.epoch += 1;
  };
  const windows = new LRUCache<string, Window>({ max: maximumKnown });
  const uses = createBatchedNotes<ApiKeyUses>({
    merge: (earlier, later) => ({ ...later, uses: earlier.uses + later.uses }),
    write: (tenantId, notes) => noteApiKeyUses(database.tenant(tenantId), notes),
    onFault,
  });
  return {
    services: { database, people, known, windows, uses },
    flush: () => uses.flush(),
    listen: () =>
      database.listen({
        onInterrupted: forgetAll,
        // Whatever it is that changed: a key is looked up again for next to nothing.
        onChange: forgetAll,
      }),
    close: () => uses.close(),
  };
}

export async function verifyApiKey(
  services: ApiKeyServices,
  { presented, address, now, tenantId }: PresentedApiKey,
): Promise<ApiKeyVerification> {
  if (!isApiKey(presented)) return { outcome: 'unknown' };
  const keyHash = sha256(presented);
  const found = await findKey(services, { keyHash, now, tenantId });
  if (found === undefined || found.row.expires_at.getTime() <= now.getTime()) return { outcome: 'unknown' };
  const { row } = found;
  const own = readTenantSettings(row.settings).people;
  const limit = peopleSettingsOf(services.people, own)['api_keys.requests_per_minute'];
  const counted = countRequest(services.windows.get(row.id), { limit, windowSeconds }, now);
  services.windows.set(row.id, counted.window);
  const { remaining, resetSeconds } = counted;
  const allowance = { limit, windowSeconds, remaining, resetSeconds };
  if (counted.outcome === 'exceeded')
    return { outcome: 'limited', tenantId: found.tenantId, retryAfterSeconds: resetSeconds, allowance };
  services.uses.note(found.tenantId, row.id, { id: row.id, uses: 1, at: now, address });
  return { outcome: 'valid', tenantId: found.tenantId, key: livingKey(found), allowance };
}

function livingKey({ tenantId, row }: KnownKey): LivingApiKey {
  return {
    id: row.id,
    tenantId,
    tenantSlug: row.slug,
    name: row.name,
    scopes: row.permissions === null ? row.scopes : scopesWithin(row.scopes, row.permissions),
    userId: row.user_id ?? undefined,
    expiresAt: row.expires_at,
  };
}

async function findKey(
  { database, known }: ApiKeyServices,
  {
    keyHash,
    now,
    tenantId: asked,
  }: { readonly keyHash: Buffer; readonly now: Date; readonly tenantId: TenantId | undefined },
): Promise<KnownKey | undefined> {
  const name = keyHash.toString('base64');
  const remembered = known.keys.get(name);
  const age = remembered === undefined ? Number.NaN : now.getTime() - remembered.since;
  if (remembered !== undefined && age >= 0 && age < believedMilliseconds)
    return asked === undefined || asked === remembered.tenantId ? remembered : undefined;
  const tenantId = asked ?? (await findTenantOfApiKey(database, keyHash));
  if (tenantId === undefined) return undefined;
  const { epoch } = known;
  const row = await findLivingApiKey(database.tenant(tenantId), { keyHash, now });
  if (row === undefined) return undefined;
  const found = { tenantId, row, since: now.getTime() };
  // What has changed while the answer was under way may not be in it.
  if (known.epoch === epoch) known.keys.set(name, found);
  return found;
}
