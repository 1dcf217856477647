/**
 * Client-Initiated Backchannel Authentication (CIBA Core 1.0) as the engine serves it: whom a hint names, what may be asked, how often
 * a client may ask after it. Poll mode only: to ping a client we would have to keep the request's identifier, not only its hash. What
 * the person answers comes from a page of ours (tenant_engine.ts).
 */
import { randomUUID } from 'node:crypto';
import Provider, { type Account, type Client, errors, type KoaContextWithOIDC } from 'oidc-provider';
import { nobody } from '#adapters/artifacts_adapter.ts';
import { currentUnitOfWork, hashOf } from '#adapters/unit_of_work.ts';
import {
  isBindingMessage,
  POLL_INTERVAL_SECONDS,
  POLL_TOLERANCE_SECONDS,
  REQUEST_LIMITS,
  requestLifetimeSeconds,
  requestLimitKeys,
} from '#src/domain/backchannel_authentication.ts';
import { canonicalIdentifier } from '#src/domain/email_address.ts';
import { notePoll } from '#src/storage/tables/backchannel_requests.ts';
import { readSignInCandidate } from '#src/storage/tables/people.ts';
import { findAccount } from './accounts.ts';
import { countRequest } from './counted_requests.ts';

type BackchannelRequest = InstanceType<Provider['BackchannelAuthenticationRequest']>;

interface RequestModel {
  find(value: string, options?: object): Promise<BackchannelRequest | undefined>;
}

const requestRoute = 'backchannel_authentication';

/** The engine's own feature. */
export function backchannelAuthentication({ enabled }: { readonly enabled: boolean }) {
  return {
    enabled,
    deliveryModes: ['poll' as const],
    validateRequestContext: assertMayAsk,
    validateBindingMessage: (_ctx: KoaContextWithOIDC, message: string | undefined) => {
      if (message !== undefined && !isBindingMessage(message))
        throw new errors.InvalidBindingMessage('binding_message may have 100 characters that can be seen');
    },
    processLoginHint: (_ctx: KoaContextWithOIDC, hint: string | undefined) => personNamed(hint ?? ''),
    processLoginHintToken: (): never => {
      throw new errors.InvalidRequest('login_hint_token is not supported');
    },
    // The engine asks here once it knows whom. No client is registered to send a code, and what is not registered is not read.
    verifyUserCode: assertNotTooMany,
    triggerAuthenticationDevice: (
      ctx: KoaContextWithOIDC,
      request: BackchannelRequest,
      account: Account,
      client: Client,
    ) => {
      ctx.body = { ...(ctx.body as object), interval: POLL_INTERVAL_SECONDS };
      const known = account.accountId !== nobody;
      currentUnitOfWork().append({
        type: 'consent.requested',
        outcome: known ? 'success' : 'failure',
        ...(known ? { target: { type: 'user', id: account.accountId } } : { reason: 'unknown_account' }),
        actor: { type: 'client', id: client.clientId },
        clientId: client.clientId,
        data: { scopes: [...request.scopes] },
      });
    },
  };
}

/**
 * What a request may hold. Nothing that the person could not be shown in plain words: single claims and details (RFC 9396) are asked
 * for in front of them. Throws `InvalidRequest`.
 */
function assertMayAsk({ oidc }: KoaContextWithOIDC): void {
  for (const name of ['claims', 'authorization_details']) {
    if (oidc.params?.[name] !== undefined) throw new errors.InvalidRequest(`${name} is not supported here`);
  }
}

/** The account of a living member with this address, or one that there is not. */
async function personNamed(hint: string): Promise<string> {
  const { tenant } = currentUnitOfWork();
  const candidate = await readSignInCandidate(tenant, canonicalIdentifier(hint));
  return candidate?.active === true ? candidate.id : randomUUID();
}

async function assertNotTooMany(ctx: KoaContextWithOIDC, account: Account): Promise<void> {
  const { params, client } = ctx.oidc;
  const hint =
    account.accountId === nobody ? canonicalIdentifier(String(params?.['login_hint'] ?? '')) : account.accountId;
  const { windowSeconds, perClient, perPerson } = REQUEST_LIMITS;
  const [ofClient, ofPerson] = requestLimitKeys({ clientId: client?.clientId ?? '', hint });
  const limits = [
    { key: ofClient, maximum: perClient },
    { key: ofPerson, maximum: perPerson },
  ] as const;
  await countRequest(ctx, { limits, windowSeconds });
}

/** Seconds, see `ttl` in provider.ts. */
export function backchannelRequestSeconds({ oidc }: KoaContextWithOIDC): number {
  return requestLifetimeSeconds(oidc.params?.['requested_expiry']);
}

/**
 * Whose account a protocol request is about. A client that asks for somebody who is no living member here gets the same answer as for
 * anybody else, and then waits for nobody: otherwise it could find out who is known.
 */
export async function accountOrNobody({ oidc }: KoaContextWithOIDC, accountId: string): Promise<Account | undefined> {
  const account = await findAccount(accountId);
  if (account !== undefined || oidc?.route !== requestRoute) return account;
  return { accountId: nobody, claims: async () => ({ sub: nobody }) };
}

/** RFC 8628 §3.5, CIBA §11: a client that comes back too early is told so. Nothing is counted for a client that has no such request. */
export function slowDownEagerPolls(provider: Provider): void {
  // The types leave it open what is found.
  const model = provider.BackchannelAuthenticationRequest as unknown as RequestModel;
  const find = model.find.bind(model);
  model.find = async (value, options) => {
    const request = await find(value, options);
    const oidc = Provider.ctx?.oidc;
    if (request === undefined || oidc?.route !== 'token' || request.clientId !== oidc.client?.clientId) return request;
    if (request.isExpired || request.grantId !== undefined || request.error !== undefined) return request;
    const unit = currentUnitOfWork();
    const inTime = await notePoll(unit.tenant, {
      kind: 'BackchannelAuthenticationRequest',
      idHash: Buffer.from(hashOf(value), 'hex'),
      now: unit.now,
      intervalSeconds: POLL_INTERVAL_SECONDS - POLL_TOLERANCE_SECONDS,
    });
    if (!inTime) throw new errors.SlowDown();
    return request;
  };
}
