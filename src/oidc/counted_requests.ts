/** What clients may do so often and no more: counted first and on its own, like sign-ins (domain/sign_in_throttle.ts says why). */
import { errors, type KoaContextWithOIDC } from 'oidc-provider';
import { currentUnitOfWork } from '#adapters/unit_of_work.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import { countSignInAttempt } from '#src/storage/tables/sign_in_attempts.ts';

export interface RequestLimit {
  /** The text under which it is counted. */
  readonly key: string;
  readonly maximum: number;
}

/**
 * Counts this request on each of the limits; who is over the first is not counted on the others. Beyond one of them it throws
 * `TemporarilyUnavailable` with status 429, and the answer says in how many seconds to come back.
 */
export async function countRequest(
  ctx: Pick<KoaContextWithOIDC, 'set'>,
  {
    limits,
    windowSeconds,
  }: { readonly limits: readonly [RequestLimit, ...RequestLimit[]]; readonly windowSeconds: number },
): Promise<void> {
  const { tenant, now } = currentUnitOfWork();
  const keys = limits.map(({ key }) => sha256(key));
  const counts = await countSignInAttempt(tenant, { keys, windowSeconds, firstMaximum: limits[0].maximum, now });
  const exceeded = counts.find(({ attempts }, index) => !(attempts <= (limits[index]?.maximum ?? 0)));
  if (exceeded === undefined) return;
  const elapsedSeconds = (now.getTime() - exceeded.windowStartedAt.getTime()) / 1000;
  ctx.set('retry-after', String(Math.max(1, Math.ceil(windowSeconds - elapsedSeconds))));
  const status = 429;
  throw Object.assign(new errors.TemporarilyUnavailable('too many requests'), { status, statusCode: status });
}
