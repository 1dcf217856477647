/** A pool of engines of the test's own, beside a running server: what is behind HTTP, looked at from the side. */
import { createClientsCache } from '#adapters/clients_adapter.ts';
import { createEnginePages } from '#src/http/pages/kit/engine_pages.ts';
import { createProviderPool, type ProviderPool } from '#src/oidc/provider_pool.ts';
import type { TenantEngine } from '#src/oidc/tenant_engine.ts';
import { type Database, openDatabase } from '#src/storage/database.ts';
import type { TestServer } from './test_server.ts';

export interface TestEngines {
  readonly pool: ProviderPool;
  readonly database: Database;
  /** Throws for an unknown slug. */
  engineOf(slug: string): Promise<TenantEngine>;
  close(): Promise<void>;
}

export function createTestEngines(server: TestServer, options: { readonly maximumEngines?: number } = {}): TestEngines {
  const { config, urls, sealer, clock, egress, deviceNotes } = server.server.house;
  const fail = (fault: unknown): never => {
    throw fault;
  };
  const database = openDatabase({ appUrl: urls.app, platformUrl: urls.platform, onFault: fail });
  const clients = createClientsCache(database);
  const pages = createEnginePages({ clock });
  const pool = createProviderPool(
    { config, database, clients, sealer, clock, pages, egress, deviceNotes },
    { onFault: fail, ...options },
  );
  return {
    pool,
    database,
    async engineOf(slug) {
      const tenant = await pool.findTenant(slug);
      if (tenant === undefined) throw new Error(`no tenant ${slug}`);
      return pool.engineOf(tenant);
    },
    close: () => database.close(),
  };
}
