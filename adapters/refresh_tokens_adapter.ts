/**
 * The engine's storage port for refresh tokens: what every artifact has, and the linear, repeatable rotation (docs/decisions/0019).
 * The engine asks whether a token was used and ends the grant when it was; a retry within the grace is therefore shown to it as
 * unused, and what it then writes is what the first use has written already.
 */
import { type Adapter, type AdapterPayload, type Client, errors, Provider } from 'oidc-provider';
import { type Grace, judgePresentation } from '#src/domain/rotation.ts';
import type { RefreshChain } from './refresh_chain.ts';
import { currentUnitOfWork, hashOf, type UnitOfWork } from './unit_of_work.ts';

export interface RotationRules {
  readonly chain: RefreshChain;
  readonly graceOf: (client: Client) => Grace;
}

/** The newest member of the chain, for requests that repeat an older one. */
const repetitions = new WeakMap<UnitOfWork, string>();

/** This request repeats what made that refresh token: it is given again and nothing is written. */
export function noteRepetition(unit: UnitOfWork, newest: string): void {
  repetitions.set(unit, newest);
}

export function createRefreshTokensAdapter(artifacts: Adapter, { chain, graceOf }: RotationRules): Adapter {
  /** Whether a used token is asked for again by the client it belongs to, soon enough; then with the newest of its chain. */
  async function findRepetition(
    value: string,
    clientId: string | undefined,
  ): Promise<{ readonly newest: string | undefined } | undefined> {
    const client = refreshingClient();
    if (client === undefined || client.clientId !== clientId) return undefined;
    const unit = currentUnitOfWork();
    const [presented, successor] = await Promise.all([
      unit.find('RefreshToken', hashOf(value)),
      chain.findSuccessor(unit, value),
    ]);
    const token = {
      usedSecondsAgo: presented?.consumedSecondsAgo,
      successorUsed: successor?.found.consumedAt !== undefined,
    };
    if (judgePresentation(token, graceOf(client)) !== 'retry') return undefined;
    return { newest: (await chain.findNewest(unit, value))?.value };
  }

  return {
    ...artifacts,

    async find(value) {
      const payload = await artifacts.find(value);
      if (payload === undefined) {
        refuseQuarantined(value);
        return undefined;
      }
      if (payload.consumed === undefined) return inTheNameOfItsGrant(payload);
      const repetition = await findRepetition(value, payload.clientId);
      if (repetition === undefined) return payload;
      // An honest retry that cannot be answered here (the successor was derived under a master key that this server does not know
      // yet): refused, but no reason to end the grant.
      if (repetition.newest === undefined) return undefined;
      repetitions.set(currentUnitOfWork(), repetition.newest);
      const { consumed: _used, ...unused } = payload;
      return inTheNameOfItsGrant(unused);
    },

    async consume(value) {
      const unit = currentUnitOfWork();
      if (repetitions.has(unit)) return;
      const client = refreshingClient();
      const { seconds, whileSuccessorIsUnused } =
        client === undefined ? { seconds: 0, whileSuccessorIsUnused: false } : graceOf(client);
      unit.consume('RefreshToken', hashOf(value), {
        grace_seconds: seconds,
        successor: hashOf(chain.successorOf(value)),
        while_unused: whileSuccessorIsUnused,
      });
    },

    async upsert(value, payload, expiresInSeconds) {
      const unit = currentUnitOfWork();
      // It is kept already, and may have been used since.
      if (repetitions.get(unit) === value) {
        const kept = (await unit.find('RefreshToken', hashOf(value)))?.payload;
        if (kept?.['jkt'] !== payload['jkt'] || kept?.['x5t#S256'] !== payload['x5t#S256'])
          throw new errors.InvalidGrant('the answer was given to the holder of another key');
        return;
      }
      await artifacts.upsert(value, payload, expiresInSeconds);
    },
  };
}

/**
 * A device was given to somebody else while this token was being made for its first owner (hand_over_device.ts): it goes on in the name
 * of whoever its grant is of, and says nothing of how the first owner had signed in. For all others nothing is asked or changed.
 */
async function inTheNameOfItsGrant(payload: AdapterPayload): Promise<AdapterPayload> {
  const found =
    payload.grantId === undefined ? undefined : await currentUnitOfWork().find('Grant', hashOf(payload.grantId));
  const accountId = found?.payload['accountId'];
  if (typeof accountId !== 'string' || accountId === payload.accountId) return payload;
  const { amr: _methods, acr: _context, authTime: _at, claims: _claims, nonce: _nonce, ...kept } = payload;
  return { ...kept, accountId };
}

/**
 * A device in quarantine is told so when it refreshes, and keeps its token: it may be released, and `invalid_grant` would have made it
 * forget. Whoever is not the client that the token was issued to finds nothing. Throws `AccessDenied`.
 */
function refuseQuarantined(value: string): void {
  const client = refreshingClient();
  if (client === undefined) return;
  const found = currentUnitOfWork().inQuarantine('RefreshToken', hashOf(value));
  if (found?.clientId === client.clientId) throw new errors.AccessDenied('the device is quarantined');
}

/** The value of the token that replaces `rotated`, in this request. */
export function successorValue(chain: RefreshChain, rotated: string): string {
  return repetitions.get(currentUnitOfWork()) ?? chain.successorOf(rotated);
}

/** Only where a token is refreshed may it be repeated: asked about or revoked, a used one is a used one. */
function refreshingClient(): Client | undefined {
  const oidc = Provider.ctx?.oidc;
  return oidc?.route === 'token' && oidc.params?.['grant_type'] === 'refresh_token' ? oidc.client : undefined;
}
