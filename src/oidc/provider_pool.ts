/**
 * Which tenant a request is for, and its engine: built on demand, once however many ask at the same time, kept while it is
 * used, and built anew when the tenant, its keys or its APIs change. Announcements of the database say when; while they
 * cannot be heard nothing older than a second is believed.
 */
import { LRUCache } from 'lru-cache';
import type { TenantId } from '#src/domain/tenant.ts';
import { findTenantBySlug, findTenantsById, type TenantRow } from '#src/storage/tables/tenants.ts';
import type { EngineDependencies } from './provider.ts';
import { buildTenantEngine, type TenantEngine, type TenantEngineHooks } from './tenant_engine.ts';

export interface ProviderPool {
  /** Undefined for an unknown slug. One that is not served just now is found: what it may still do is for the caller to say. */
  findTenant(slug: string): Promise<TenantRow | undefined>;
  /** The same for whoever knows its identifier instead of its address. */
  findTenantById(id: TenantId): Promise<TenantRow | undefined>;
  engineOf(tenant: TenantRow): Promise<TenantEngine>;
  /** Starts to listen for changes. Before that, nothing is remembered for longer than a second. */
  start(): Promise<void>;
}

const maximumEngines = 500;
const maximumTenants = 10_000;
const unheardMilliseconds = 1_000;

interface Remembered<Value> {
  readonly value: Promise<Value>;
  readonly since: number;
}

export function createProviderPool(
  dependencies: EngineDependencies,
  hooks: TenantEngineHooks & { readonly maximumEngines?: number },
): ProviderPool {
  const { database, clients, clock } = dependencies;
  const tenants = new LRUCache<string, Remembered<TenantRow | undefined>>({ max: maximumTenants });
  const engines = new LRUCache<string, Remembered<TenantEngine>>({ max: hooks.maximumEngines ?? maximumEngines });

  const builtFor = new LRUCache<string, TenantRow>({ max: hooks.maximumEngines ?? maximumEngines });

  /** One read however many ask. A failure is not remembered, nor is anything that a change has overtaken. */
  function remember<Value>(
    cache: LRUCache<string, Remembered<Value>>,
    key: string,
    read: () => Promise<Value>,
  ): Promise<Value> {
    const known = cache.get(key);
    if (known !== undefined && database.isListening()) return known.value;
    const now = clock().getTime();
    if (known !== undefined && Math.abs(now - known.since) < unheardMilliseconds) return known.value;
    const entry = { value: read(), since: now };
    cache.set(key, entry);
    entry.value.catch(() => {
      if (cache.peek(key) === entry) cache.delete(key);
    });
    return entry.value;
  }

  /** A tenant keeps its slug for life. */
  const slugs = new LRUCache<TenantId, string>({ max: maximumTenants });

  async function findTenant(slug: string): Promise<TenantRow | undefined> {
    const tenant = await remember(tenants, slug, () => findTenantBySlug(database, slug));
    // Unknown slugs are free to make up: they may not push out known ones.
    if (tenant === undefined) tenants.delete(slug);
    return tenant;
  }

  return {
    findTenant,

    async findTenantById(id) {
      const slug = slugs.get(id) ?? (await findTenantsById(database, [id]))[0]?.slug;
      if (slug === undefined) return undefined;
      slugs.set(id, slug);
      const tenant = await findTenant(slug);
      // Whoever came after it may have its slug.
      return tenant?.id === id ? tenant : undefined;
    },

    engineOf(tenant) {
      // A request that found the tenant a moment before it changed must not leave its engine to those who come after.
      if (builtFor.get(tenant.id) !== tenant) engines.delete(tenant.id);
      builtFor.set(tenant.id, tenant);
      return remember(engines, tenant.id, () => buildTenantEngine(tenant, dependencies, hooks));
    },

    async start() {
      const forgetAll = (): void => {
        tenants.clear();
        engines.clear();
        clients.forgetAll();
      };
      await database.listen({
        onInterrupted: forgetAll,
        onChange(payload) {
          const change = parseChange(payload);
          // Whoever can connect can announce. What cannot be read may have meant anything.
          if (change === undefined) return forgetAll();
          // An engine knows nothing of keys.
          if (change.table === 'api_keys') return;
          if (change.table === 'clients' || change.table === 'client_secrets')
            clients.forget(change.tenant, change.item);
          else engines.delete(change.tenant);
          if (change.table === 'tenants') tenants.delete(change.item);
        },
      });
    },
  };
}

interface Change {
  readonly table: string;
  readonly tenant: string;
  readonly item: string;
}

/** The announcement of `announce_change` in migrations/0003. */
function parseChange(payload: string): Change | undefined {
  const { table, tenant, item } = parseObject(payload);
  if (typeof table !== 'string' || typeof tenant !== 'string' || typeof item !== 'string') return undefined;
  return { table, tenant, item };
}

function parseObject(text: string): Partial<Record<keyof Change, unknown>> {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null ? parsed : {};
  } catch {
    return {};
  }
}
