/**
 * After a new master key was put in front of the list: seals anew, under it, what an older one sealed, so that the older one can
 * be taken off the list. Everything stays readable meanwhile, for every process that has both.
 */

import type { TenantId } from '#src/domain/tenant.ts';
import { sealedBy } from '#src/foundation/sealing.ts';
import { mailContext, signingKeyContext, totpSecretContext } from '#src/foundation/sealing_contexts.ts';
import type { Transaction } from '#src/storage/database.ts';
import { resealInstallation } from '#src/storage/installation.ts';
import { listSealedTotp, updateSealedTotp } from '#src/storage/tables/factors.ts';
import { listSealedMails, updateSealedMail } from '#src/storage/tables/mails.ts';
import {
  listSealedSigningKeys,
  listTenantsSealedOtherwise,
  updateSealedSigningKey,
} from '#src/storage/tables/signing_keys.ts';
import type { FlowContext } from '../flow_context.ts';
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
  const isOther = (sealed: Buffer): boolean => sealedBy(sealed)?.equals(keyId) !== true;
  const reseal = (sealed: Buffer, place: string): Buffer => sealer.seal(sealer.open(sealed, place), place);

  async function resealKeys(transaction: Transaction): Promise<number> {
    const keys = await listSealedSigningKeys(transaction, tenantId);
    const others = keys.filter(({ private_sealed }) => isOther(private_sealed));
    for (const { kid, private_sealed } of others) {
      const privateSealed = reseal(private_sealed, signingKeyContext(tenantId, kid));
      await updateSealedSigningKey(transaction, { tenantId, kid, privateSealed });
    }
    return others.length;
  }

  async function resealTotp(transaction: Transaction): Promise<number> {
    const factors = await listSealedTotp(transaction, { keyId });
    for (const { user_id: userId, secret_sealed: from } of factors) {
      await updateSealedTotp(transaction, { userId, from, to: reseal(from, totpSecretContext(userId)) });
    }
    return factors.length;
  }

  async function resealMails(transaction: Transaction): Promise<number> {
    const others = (await listSealedMails(transaction, tenantId)).filter(({ sealed }) => isOther(sealed));
    for (const { id, sealed } of others) {
      const to = reseal(sealed, mailContext(tenantId, id));
      await updateSealedMail(transaction, { tenantId, id, from: sealed, to });
    }
    return others.length;
  }

  return database.tenant(tenantId).transaction(async (transaction) => {
    const resealed = [await resealKeys(transaction), await resealTotp(transaction), await resealMails(transaction)];
    return resealed.some((count) => count > 0);
  });
}
