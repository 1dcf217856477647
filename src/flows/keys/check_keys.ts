/** Whether the keys of this installation can be used: a master key that was lost or mixed up shows here first. */

import { sealedBy } from '#src/foundation/sealing.ts';
import { mailContext, signingKeyContext } from '#src/foundation/sealing_contexts.ts';
import { listSealedMails } from '#src/storage/tables/mails.ts';
import { readTenantMaterial } from '#src/storage/tables/tenant_material.ts';
import { listTenants } from '#src/storage/tables/tenants.ts';
import type { FlowContext } from '../flow_context.ts';

/** Opens every signing key of every tenant with the master key, and every mail that waits. */
export async function findKeyProblems({ database, sealer }: Pick<FlowContext, 'database' | 'sealer'>): Promise<{
  readonly keys: number;
  readonly problems: readonly string[];
  /** How many are sealed with another master key than the first. */
  readonly sealedOtherwise: number;
}> {
  const problems: string[] = [];
  const [first] = sealer.keyIds;
  let keys = 0;
  let sealedOtherwise = 0;
  const opens = (sealed: Buffer, place: string): boolean => {
    if (first !== undefined && sealedBy(sealed)?.equals(first) !== true) sealedOtherwise += 1;
    try {
      sealer.open(sealed, place);
      return true;
    } catch {
      return false;
    }
  };
  for (const tenant of await listTenants(database)) {
    const material = await readTenantMaterial(database.tenant(tenant.id));
    if (!material.keys.some((key) => key.status === 'active')) problems.push(`${tenant.slug} has no active key`);
    for (const { kid, private_sealed } of material.keys) {
      const sealed = Buffer.from(private_sealed, 'base64');
      keys += 1;
      if (!opens(sealed, signingKeyContext(tenant.id, kid)))
        problems.push(`${tenant.slug}: the key ${kid} does not open`);
    }
    const mails = await database
      .tenant(tenant.id)
      .transaction((transaction) => listSealedMails(transaction, tenant.id));
    const closed = mails.filter(({ id, sealed }) => !opens(sealed, mailContext(tenant.id, id)));
    if (closed.length > 0) problems.push(`${tenant.slug}: ${closed.length} mails do not open`);
  }
  return { keys, problems, sealedOtherwise };
}
