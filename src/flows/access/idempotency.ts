/**
 * A wish that came twice (draft-ietf-httpapi-idempotency-key-header): a program that did not hear the answer asks again under the same key,
 * and gets the answer of the first time. What happened is never done twice: when the first attempt ended without an answer that
 * could be kept, the key stays taken for its day, and whoever asked looks before they ask anew.
 */
import type { TenantId } from '#src/domain/tenant.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import type { Sealer } from '#src/foundation/sealing.ts';
import type { Database } from '#src/storage/database.ts';
import {
  freeIdempotencyKey,
  type IdempotencyPlace,
  keepIdempotentAnswer,
  takeIdempotencyKey,
} from '#src/storage/tables/idempotency_keys.ts';

export interface IdempotencyServices {
  readonly database: Database;
  readonly sealer: Sealer;
}

export interface IdempotentWish {
  readonly tenantId: TenantId;
  /** Who asks: two callers may choose the same key. */
  readonly caller: string;
  readonly key: string;
  /** All that the wish consists of. */
  readonly request: string;
  readonly now: Date;
}

/** As it went out. */
export interface KeptAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

export type IdempotentBeginning =
  /** Grant it, then call exactly one of the two. */
  | {
      readonly outcome: 'first';
      keep(answer: KeptAnswer): Promise<void>;
      /** Nothing was done. */
      forget(): Promise<void>;
    }
  | { readonly outcome: 'again'; readonly answer: KeptAnswer }
  /** The key belongs to another wish. */
  | { readonly outcome: 'other_request' }
  /** The first of them is under way, or ended nobody knows how. */
  | { readonly outcome: 'under_way' };

export async function beginIdempotent(
  { database, sealer }: IdempotencyServices,
  { tenantId, caller, key, request, now }: IdempotentWish,
): Promise<IdempotentBeginning> {
  const tenant = database.tenant(tenantId);
  const place: IdempotencyPlace = { tenantId, callerHash: sha256(caller), keyHash: sha256(key) };
  const requestHash = sha256(request);
  const context = `idempotent_answer:${tenantId}:${place.callerHash.toString('hex')}:${place.keyHash.toString('hex')}`;
  const before = await takeIdempotencyKey(tenant, { ...place, requestHash, now });
  if (before === undefined)
    return {
      outcome: 'first',
      keep: (answer) =>
        keepIdempotentAnswer(tenant, { ...place, answerSealed: sealer.seal(JSON.stringify(answer), context) }),
      forget: () => freeIdempotencyKey(tenant, place),
    };
  if (!before.request_hash.equals(requestHash)) return { outcome: 'other_request' };
  if (before.answer_sealed === null) return { outcome: 'under_way' };
  // Sealed by us, in the form in which it was kept.
  const answer = JSON.parse(sealer.open(before.answer_sealed, context).toString('utf8')) as KeptAnswer;
  return { outcome: 'again', answer };
}
