/**
 * After a new master key was put in front of the list: seals anew, under it, what an older one sealed, so that the older one can
 * be taken off the list. Everything stays readable meanwhile, for every process that has both.
 */

import type { TenantId } from '#src/domain/tenant.ts';
import { sealedBy } from '#src/foundation/sealing.ts';
import { signingKeyContext, totpSecretContext } from '#src/foundation/sealing_contexts.ts';
import { resealInstallation } from '#src/storage/installation.ts';
import { listSealedTotp, updateSealedTotp } from '#src/storage/tables/factors.ts';
import {
  listSealedSigningKeys,
  listTenantsSealedOtherwise,
  updateSealedSigningKey,
} from '#src/storage/tables/signing_keys.ts';
import type { FlowContext } from './flow_context.ts';
import { forEachTenant, tenantsAtOnce } from './rotate_keys.ts';

type ResealContext = Pick<FlowContext, 'database' | 'sealer'>;

const resealLock = 7_067_681;

/**
 * In one process at a time: what the installation itself has sealed, and every tenant, suspended ones too. How many had something to seal anew; a tenant whose values do not open
 * does not hold up the others. Throws an AggregateError at the end when there was one.
 */
export async function resealAll(context: ResealContext, ownerUrl: string, signal?: AbortSignal): Promise<number> {
  const { database, sealer } = context;
  const [keyId] = sealer.keyIds;
  if (keyId === undefined) return 0;
  const worked = await database.platform.exclusively(resealLock, async () => {
    await resealInstallation(ownerUrl, sealer);
    return forEachTenant(
      (after) => listTenantsSealedOtherwise(database, { keyId, after, limit: tenantsAtOnce }),
      (tenantId) => resealTenant(context, { tenantId, keyId }),
      signal,
    );
  });
  return worked ?? 0;
}

/** All of a tenant or nothing. */
function resealTenant(
  { database, sealer }: ResealContext,
  { tenantId, keyId }: { tenantId: TenantId; keyId: Buffer },
): Promise<boolean> {
  return database.tenant(tenantId).transaction(async (transaction) => {
    const keys = await listSealedSigningKeys(transaction, tenantId);
    const others = keys.filter(({ private_sealed }) => sealedBy(private_sealed)?.equals(keyId) !== true);
    for (const { kid, private_sealed } of others) {
      const place = signingKeyContext(tenantId, kid);
      const privateSealed = sealer.seal(sealer.open(private_sealed, place), place);
      await updateSealedSigningKey(transaction, { tenantId, kid, privateSealed });
    }
    const factors = await listSealedTotp(transaction, { keyId });
    for (const { user_id: userId, secret_sealed: from } of factors) {
      const place = totpSecretContext(userId);
      await updateSealedTotp(transaction, { userId, from, to: sealer.seal(sealer.open(from, place), place) });
    }
    return others.length + factors.length > 0;
  });
}
