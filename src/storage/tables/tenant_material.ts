/** What a tenant's Provider is built from, its keys and its APIs, in one round trip. */
import type { TenantDatabase } from '../database.ts';
import type { ApiRow } from './apis.ts';
import type { SigningKeyRow } from './signing_keys.ts';

export interface TenantMaterial {
  readonly keys: readonly SigningKeyRow[];
  readonly apis: readonly ApiRow[];
}

const tenantMaterial = { name: 'tenant_material', text: 'select * from tenant_material($1)' } as const;

export async function readTenantMaterial(tenant: TenantDatabase): Promise<TenantMaterial> {
  const [row] = await tenant.read<{ keys: SigningKeyRow[]; apis: ApiRow[] }>(tenantMaterial, []);
  return row ?? { keys: [], apis: [] };
}
