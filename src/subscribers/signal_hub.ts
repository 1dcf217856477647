/**
 * Hands what ends something, as the database announces it, to whoever listens for one tenant: each process has one hub, and every
 * process hears everything. It keeps nothing. Whoever may have missed something is told to forget what they know.
 */
import { parseSignal, type Signal } from '#src/domain/signal.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { Database } from '#src/storage/database.ts';

export interface SignalListener {
  onSignal(signal: Signal): void;
  /** Something may have been missed: nothing that was known before is to be believed. */
  onReset(): void;
  /** The hub closes; nothing comes any more. */
  onClosed(): void;
}

export interface SignalHub {
  /** Undefined when this process, or the tenant, has as many listeners as it takes. */
  subscribe(tenantId: TenantId, listener: SignalListener): { unsubscribe(): void } | undefined;
  /** Ends every stream: before the process stops, so that nobody waits for it. */
  close(): void;
}

/** A resource server has one or two for each of its processes. */
const maximumPerTenant = 200;
const maximumListeners = 2_000;

export async function createSignalHub(database: Pick<Database, 'listen'>): Promise<SignalHub> {
  const listeners = new Map<string, Set<SignalListener>>();
  let count = 0;
  let closed = false;

  const everyone = (): readonly SignalListener[] => [...listeners.values()].flatMap((ofTenant) => [...ofTenant]);
  const resetAll = (): void => {
    for (const listener of everyone()) listener.onReset();
  };

  await database.listen({
    onInterrupted: resetAll,
    onSignal(payload) {
      const signal = parseSignal(payload);
      // What cannot be read may have meant anything.
      if (signal === undefined) return resetAll();
      for (const listener of [...(listeners.get(signal.tenant) ?? [])]) listener.onSignal(signal);
    },
  });

  return {
    subscribe(tenantId, listener) {
      const ofTenant = listeners.get(tenantId) ?? new Set();
      if (closed || count >= maximumListeners || ofTenant.size >= maximumPerTenant) return undefined;
      listeners.set(tenantId, ofTenant.add(listener));
      count += 1;
      return {
        unsubscribe() {
          if (!ofTenant.delete(listener)) return;
          count -= 1;
          if (ofTenant.size === 0 && listeners.get(tenantId) === ofTenant) listeners.delete(tenantId);
        },
      };
    },
    close() {
      closed = true;
      for (const listener of everyone()) listener.onClosed();
    },
  };
}
