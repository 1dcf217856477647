/**
 * `grpc.health.v1`: whether this server is ready, as /health/ready says it, for balancers and orchestrators. `Check` looks at the
 * moment it is asked; whoever watches is told within some seconds. Nobody needs a key for it, and it tells nothing but the one word.
 */
import type { Server, ServerUnaryCall, ServerWritableStream, sendUnaryData, UntypedHandleCall } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';

export interface HealthService {
  addTo(server: Server): void;
  /** From now on not serving; whoever watches is told so, and then let go. */
  drain(): void;
}

/** The server as a whole, and what it serves. */
const services = ['', 'identity.v1.IdentityService'];
const watchMilliseconds = 5_000;

type Check = (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) => void;
type Watch = (call: ServerWritableStream<unknown, unknown>) => void;

/** @param isReady May reject, which is no. */
export function createHealthService(isReady: () => Promise<boolean>): HealthService {
  const implementation = new HealthImplementation();
  const watching = new Set<ServerWritableStream<unknown, unknown>>();
  let draining = false;
  let asking: Promise<void> | undefined;
  let isServing: boolean | undefined;

  function say(serving: boolean): void {
    if (serving === isServing) return;
    isServing = serving;
    for (const service of services) implementation.setStatus(service, serving ? 'SERVING' : 'NOT_SERVING');
  }

  /** Once, however many ask at the same time. */
  function look(): Promise<void> {
    asking ??= isReady()
      .catch(() => false)
      .then((ready) => {
        asking = undefined;
        say(ready && !draining);
      });
    return asking;
  }

  say(false);
  const timer = setInterval(() => {
    if (watching.size > 0) void look();
  }, watchMilliseconds);
  timer.unref();

  return {
    addTo(server) {
      implementation.addToServer({
        addService(definition, handlers) {
          // As the library makes them, three of them: we look before it answers.
          const { check, watch, list } = handlers as unknown as { check: Check; watch: Watch; list: Check };
          const afterLooking =
            (handler: Check): UntypedHandleCall =>
            (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) =>
              void look().then(() => handler(call, callback));
          server.addService(definition, {
            check: afterLooking(check),
            list: afterLooking(list),
            watch: (call: ServerWritableStream<unknown, unknown>) => {
              void look().then(() => {
                watch(call);
                watching.add(call);
                call.on('cancelled', () => watching.delete(call));
                if (draining) call.end();
              });
            },
          });
        },
      });
    },
    drain() {
      draining = true;
      clearInterval(timer);
      say(false);
      for (const call of watching) call.end();
    },
  };
}
