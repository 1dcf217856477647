/**
 * Signs the engine's cookies and checks their signatures, for one tenant. The engine asks at each cookie, so a new epoch begins
 * at every process by the clock alone, without an engine being built anew. The keys are derived from the master keys: nothing is stored.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Config } from '#config/config.ts';
import { type CookieEpochRules, cookieEpochs } from '#src/domain/cookie_epoch.ts';
import type { Clock } from '#src/foundation/clock.ts';
import type { Sealer } from '#src/foundation/sealing.ts';

/** What the engine wants of keys (its type is called KeyGrip). */
export interface CookieKeys {
  sign(data: string): string;
  verify(data: string, signature: string): boolean;
  /** -1 when it is not ours. */
  index(data: string, signature: string): number;
}

export function cookieEpochRules({ keys, lifetimes }: Pick<Config, 'keys' | 'lifetimes'>): CookieEpochRules {
  return {
    epochSeconds: keys.cookieEpochSeconds,
    longestCookieSeconds: Math.max(lifetimes.session.absoluteSeconds, lifetimes.interactionSeconds),
  };
}

export function createCookieKeys({
  tenantId,
  config,
  sealer,
  clock,
}: {
  readonly tenantId: string;
  readonly config: Pick<Config, 'keys' | 'lifetimes'>;
  readonly sealer: Sealer;
  readonly clock: Clock;
}): CookieKeys {
  const rules = cookieEpochRules(config);
  let present: { readonly epoch: number; readonly keys: readonly Buffer[] } | undefined;

  /** The first one signs. Of each epoch those of all master keys, so that changing the master key signs nobody out. */
  function keysNow(): readonly Buffer[] {
    const epochs = cookieEpochs(clock(), rules);
    const [epoch = 0] = epochs;
    if (present?.epoch !== epoch) {
      present = { epoch, keys: epochs.flatMap((each) => sealer.deriveAll(`cookies:${tenantId}:${each}`)) };
    }
    return present.keys;
  }

  function isSignedWith(key: Buffer, data: string, signature: string): boolean {
    const [expected, given] = [Buffer.from(signatureOf(key, data)), Buffer.from(signature)];
    return expected.length === given.length && timingSafeEqual(expected, given);
  }

  function verify(data: string, signature: string): boolean {
    return keysNow().some((key) => isSignedWith(key, data, signature));
  }

  return {
    sign(data) {
      const [key] = keysNow();
      if (key === undefined) throw new Error('there is no key to sign cookies with');
      return signatureOf(key, data);
    },
    verify,
    // Never another place than the first: the library would sign a cookie of an earlier key anew, but on the path `/`, which belongs
    // to no tenant. The engine signs anew whenever it saves the session.
    index: (data, signature) => (verify(data, signature) ? 0 : -1),
  };
}

function signatureOf(key: Buffer, data: string): string {
  return createHmac('sha256', key).update(data).digest('base64url');
}
