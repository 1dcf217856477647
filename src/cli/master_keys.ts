/** When a master key that is no longer the first of its list may be taken off it, for `poort doctor` and `poort keys reseal`. */
import { cookieEpochRules } from '#src/oidc/cookie_keys.ts';
import type { House } from '#src/server.ts';
import type { MasterKeyInUse } from '#src/storage/installation.ts';

export interface MasterKeysJudged {
  readonly canBeDropped: boolean;
  /** From when on; undefined while something is sealed with an older key. */
  readonly droppableFrom: Date | undefined;
  readonly text: string;
}

export function judgeMasterKeys(
  { config, clock }: Pick<House, 'config' | 'clock'>,
  { sealedOtherwise, inUse }: { readonly sealedOtherwise: number; readonly inUse: MasterKeyInUse },
): MasterKeysJudged {
  if (sealedOtherwise > 0 || !inUse.isFirst) {
    const what = sealedOtherwise === 0 ? 'this database is' : `${sealedOtherwise} values are`;
    const text = `${what} still sealed with an older master key: run \`poort keys reseal\`, and keep the older one`;
    return { canBeDropped: false, droppableFrom: undefined, text };
  }
  if (config.masterKeys.length === 1) {
    return { canBeDropped: false, droppableFrom: undefined, text: 'there are none, everything is sealed with the one' };
  }
  const now = clock();
  const { longestCookieSeconds } = cookieEpochRules(config);
  const droppableFrom = new Date((inUse.since ?? new Date(0)).getTime() + longestCookieSeconds * 1000);
  const canBeDropped = droppableFrom <= now;
  const text = canBeDropped
    ? 'nothing needs the older master keys: take them out of POORT_MASTER_KEY'
    : `nothing is sealed with an older master key; from ${droppableFrom.toISOString()} on no browser holds a cookie signed with one, and it can be taken out of POORT_MASTER_KEY`;
  return { canBeDropped, droppableFrom, text };
}
