/**
 * The engine's own in-memory adapter without its two habits that would spoil a benchmark: it keeps 1,000 entries and
 * drops older ones, and it walks every token of a grant whenever one more is saved. Keeps everything, expires nothing
 * (the models check `exp` themselves), and costs a Map look-up per call: as near to no storage as storage gets.
 */
import type { Adapter, AdapterPayload } from 'oidc-provider';

const grantable = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken', 'DeviceCode']);

/** A factory for `new Provider(issuer, { adapter })`; everything made by one factory shares one memory. */
export function createUnlimitedMemoryAdapter(): (model: string) => Adapter {
  const payloads = new Map<string, AdapterPayload>();
  const keysOfGrant = new Map<string, Set<string>>();
  const sessionKeyOfUid = new Map<string, string>();

  return (model) => {
    const keyOf = (id: string): string => `${model}:${id}`;
    const rememberGrant = (grantId: string, key: string): void => {
      const keys = keysOfGrant.get(grantId) ?? new Set();
      keys.add(key);
      keysOfGrant.set(grantId, keys);
    };
    return {
      upsert: async (id, payload) => {
        const key = keyOf(id);
        payloads.set(key, payload);
        if (model === 'Session' && payload.uid !== undefined) sessionKeyOfUid.set(payload.uid, key);
        if (grantable.has(model) && payload.grantId !== undefined) rememberGrant(payload.grantId, key);
      },
      find: async (id) => payloads.get(keyOf(id)),
      findByUid: async (uid) => payloads.get(sessionKeyOfUid.get(uid) ?? ''),
      findByUserCode: async () => undefined,
      consume: async (id) => {
        const payload = payloads.get(keyOf(id));
        if (payload !== undefined) payload.consumed = Math.floor(Date.now() / 1000);
      },
      destroy: async (id) => {
        payloads.delete(keyOf(id));
      },
      revokeByGrantId: async (grantId) => {
        for (const key of keysOfGrant.get(grantId) ?? []) payloads.delete(key);
        keysOfGrant.delete(grantId);
      },
    };
  };
}
