/** Whether the keys of this installation can be used: a master key that was lost or mixed up shows here first. */
import { signingKeyContext } from '#src/foundation/sealing_contexts.ts';
import { readTenantMaterial } from '#src/storage/tables/tenant_material.ts';
import { listTenants } from '#src/storage/tables/tenants.ts';
import type { FlowContext } from './flow_context.ts';

/** Opens every signing key of every tenant with the master key. */
export async function findKeyProblems({ database, sealer }: Pick<FlowContext, 'database' | 'sealer'>): Promise<{
  readonly keys: number;
  readonly problems: readonly string[];
}> {
  const problems: string[] = [];
  let keys = 0;
  for (const tenant of await listTenants(database)) {
    const material = await readTenantMaterial(database.tenant(tenant.id));
    if (!material.keys.some((key) => key.status === 'active')) problems.push(`${tenant.slug} has no active key`);
    for (const { kid, private_sealed } of material.keys) {
      keys += 1;
      try {
        sealer.open(Buffer.from(private_sealed, 'base64'), signingKeyContext(tenant.id, kid));
      } catch {
        problems.push(`${tenant.slug}: the key ${kid} does not open`);
      }
    }
  }
  return { keys, problems };
}
