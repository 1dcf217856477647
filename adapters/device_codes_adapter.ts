/**
 * The engine's storage port for device codes: what every artifact has, and two things of RFC 8628 that the engine leaves out. A poll is
 * one statement that keeps the device's pace (§3.5). And a redemption can be repeated, like a rotation (docs/decisions/0019): the
 * first refresh token is derived from the device code, so a device that lost power before it could keep its tokens asks again with
 * the same code and has the same chain. Once that chain has gone on, whoever comes with the code stole it, and the grant ends.
 */
import { type Adapter, type Client, errors, Provider } from 'oidc-provider';
import { DEVICE_CODE_SECONDS, DEVICE_PACE, deviceGrantType } from '#src/domain/device_grant.ts';
import { judgePresentation } from '#src/domain/rotation.ts';
import { toPayload } from './artifacts_adapter.ts';
import type { RefreshChain } from './refresh_chain.ts';
import { noteRepetition } from './refresh_tokens_adapter.ts';
import { currentUnitOfWork, hashOf } from './unit_of_work.ts';

const grace = { seconds: DEVICE_CODE_SECONDS, whileSuccessorIsUnused: true } as const;

export function createDeviceCodesAdapter(artifacts: Adapter, chain: RefreshChain, prefix: string): Adapter {
  /** Whether its answer may be given once more; remembers which chain that was. */
  async function isRepeated(value: string, usedSecondsAgo: number | undefined): Promise<boolean> {
    const unit = currentUnitOfWork();
    const successor = await chain.findSuccessor(unit, value);
    if (successor === undefined) return false;
    const successorUsed = successor.found.consumedAt !== undefined;
    if (judgePresentation({ usedSecondsAgo, successorUsed }, grace) !== 'retry') return false;
    noteRepetition(unit, successor.value);
    return true;
  }

  return {
    ...artifacts,

    async find(value) {
      const client = pollingClient();
      if (client === undefined || !value.startsWith(prefix)) return artifacts.find(value);
      const polled = await currentUnitOfWork().pollDeviceCode(hashOf(value), client.clientId, DEVICE_PACE);
      if (polled === undefined) return undefined;
      if (!polled.inTime) throw new errors.SlowDown('the device asks more often than it may: wait five seconds longer');
      const payload = toPayload(polled.found, value);
      if (payload.consumed === undefined || payload.clientId !== client.clientId) return payload;
      if (!(await isRepeated(value, polled.found.consumedSecondsAgo))) return payload;
      const { consumed: _used, ...unused } = payload;
      return unused;
    },

    async consume(value) {
      currentUnitOfWork().consume('DeviceCode', hashOf(value), {
        grace_seconds: grace.seconds,
        successor: hashOf(chain.successorOf(value)),
        while_unused: grace.whileSuccessorIsUnused,
      });
    },
  };
}

function pollingClient(): Client | undefined {
  const oidc = Provider.ctx?.oidc;
  return oidc?.route === 'token' && oidc.params?.['grant_type'] === deviceGrantType ? oidc.client : undefined;
}
