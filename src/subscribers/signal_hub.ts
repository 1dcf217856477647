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
  /**
   * Undefined when this process, the tenant or the reader has as many listeners as it takes, and while the database cannot be heard:
   * a stream that stays silent would be believed.
   *
   * @param reader Who listens: a client or a key.
   */
  subscribe(tenantId: TenantId, reader: string, listener: SignalListener): { unsubscribe(): void } | undefined;
  /** Ends every stream: before the process stops, so that nobody waits for it. */
  close(): void;
}

/** A resource server has one or two for each of its processes. */
const maximumPerReader = 20;
const maximumPerTenant = 200;
const maximumListeners = 2_000;

export async function createSignalHub(database: Pick<Database, 'listen' | 'isListening'>): Promise<SignalHub> {
  const listeners = new Map<string, Map<SignalListener, string>>();
  let count = 0;
  let closed = false;

  const everyone = (): readonly SignalListener[] => [...listeners.values()].flatMap((ofTenant) => [...ofTenant.keys()]);
  const resetAll = (): void => {
    for (const listener of everyone()) listener.onReset();
  };

  const closeAll = (): void => {
    for (const listener of everyone()) listener.onClosed();
  };

  await database.listen({
    onInterrupted() {
      if (database.isListening()) resetAll();
      else closeAll();
    },
    onSignal(payload) {
      const signal = parseSignal(payload);
      // What cannot be read may have meant anything.
      if (signal === undefined) return resetAll();
      for (const listener of [...(listeners.get(signal.tenant)?.keys() ?? [])]) listener.onSignal(signal);
    },
  });

  return {
    subscribe(tenantId, reader, listener) {
      const ofTenant = listeners.get(tenantId) ?? new Map<SignalListener, string>();
      if (closed || !database.isListening()) return undefined;
      if (count >= maximumListeners || ofTenant.size >= maximumPerTenant) return undefined;
      if ([...ofTenant.values()].filter((other) => other === reader).length >= maximumPerReader) return undefined;
      listeners.set(tenantId, ofTenant.set(listener, reader));
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
      closeAll();
    },
  };
}
