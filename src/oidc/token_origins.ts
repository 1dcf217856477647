/**
 * What a token that came of an exchange (RFC 8693) hangs on: the grant that a person gave, the tokens it came from and the clients on the
 * way. It is kept with the token and looked at whenever the token is, so that it ends with every one of them.
 */
import type Provider from 'oidc-provider';
import type { AccessToken, ClientCredentials } from 'oidc-provider';
import { deniedTokenKind, type FindLivingToken } from '#adapters/structured_tokens_adapter.ts';
import { currentUnitOfWork, hashOf } from '#adapters/unit_of_work.ts';
import type { TenantDatabase } from '#src/storage/database.ts';
import { findArtifact, type Payload } from '#src/storage/tables/artifacts.ts';

export type Token = AccessToken | ClientCredentials;

/** Kept in the stored payload, never shown. */
export interface Origins {
  /** The grant that the person gave; none where there is no person. */
  readonly grantId?: string | undefined;
  /** The tokens it came from that can be ended by themselves. */
  readonly tokens: readonly OriginToken[];
  /** Every client on the way. */
  readonly clients: readonly string[];
}

/** A token is kept while it lives, or it is not and its end is; `idHash` is SHA-256 of what either is kept under. */
interface OriginToken {
  readonly kind: 'AccessToken' | typeof exchangedTokenKind | typeof deniedTokenKind;
  readonly idHash: string;
}

/**
 * What is kept of a structured token that came of an exchange, under its `jti`. Not as an access token: a `jti` is in the open, and
 * whoever knows it must not hold a token.
 */
export const exchangedTokenKind = 'ExchangedToken';

/** Looks a token up as every part of this server does, and lets no one live that hangs on something that ended. */
export function respectOrigins(
  findLiving: FindLivingToken,
  { tenant, isClientAlive }: { readonly tenant: TenantDatabase; readonly isClientAlive: IsClientAlive },
): FindLivingToken {
  const find = async ({ kind, idHash }: OriginToken): Promise<Payload | undefined> =>
    (await findArtifact(tenant, { kind, idHash: Buffer.from(idHash, 'hex'), withAccount: false }))?.payload;
  return async (value) => {
    const living = await findLiving(value);
    if (living === undefined || living.claims['act'] === undefined) return living;
    const origins = readOrigins(await find({ kind: exchangedTokenKind, idHash: hashOf(living.claims.jti) }));
    const isAlive = origins !== undefined && (await areAlive(origins, { find, isClientAlive }));
    return isAlive ? living : undefined;
  };
}

export type IsClientAlive = (clientId: string) => Promise<boolean>;

interface Looks {
  readonly find: (token: OriginToken) => Promise<Payload | undefined>;
  readonly isClientAlive: IsClientAlive;
}

async function areAlive({ tokens, clients }: Origins, { find, isClientAlive }: Looks): Promise<boolean> {
  const alive = await Promise.all([
    ...tokens.map(async (token) => ((await find(token)) !== undefined) === (token.kind !== deniedTokenKind)),
    ...clients.map(isClientAlive),
  ]);
  return alive.every(Boolean);
}

/** Kept for as long as it can live, under a name that opens nothing; a grant that ends takes it along. */
export function keepStructured(token: Token): void {
  const { jti, clientId, expiration } = token;
  const { accountId } = token as Partial<AccessToken>;
  const origins = readOrigins(token);
  const unit = currentUnitOfWork();
  unit.store(
    {
      kind: exchangedTokenKind,
      id: hashOf(jti),
      payload: { origins },
      account_id: accountId,
      client_id: clientId,
      grant_id: origins?.grantId === undefined ? undefined : hashOf(origins.grantId),
      session_uid: undefined,
      user_code: undefined,
      expires_at: new Date(unit.now.getTime() + expiration * 1000).toISOString(),
    },
    'insert',
  );
}

interface TokenModel {
  readonly IN_PAYLOAD: string[];
  readonly prototype: object;
  find(value: string, options?: object): Promise<Token | undefined>;
}

/** Also where exchanges are switched off: what was exchanged before goes on to end. From now on both models of access tokens keep `origins`, look at them whenever they are found, and take them along when they end. */
export function keepOrigins(provider: Provider): void {
  const looks: Looks = {
    find: async ({ kind, idHash }) => (await currentUnitOfWork().find(kind, idHash))?.payload,
    isClientAlive: async (clientId) => (await provider.Client.find(clientId)) !== undefined,
  };
  for (const model of [provider.AccessToken, provider.ClientCredentials] as readonly TokenModel[]) {
    const names = [...model.IN_PAYLOAD, 'origins'];
    Object.defineProperty(model, 'IN_PAYLOAD', { get: () => names });
    const find = model.find.bind(model);
    model.find = async (value, options) => {
      const token = await find(value, options);
      const origins = token && readOrigins(token);
      if (origins === undefined) return token;
      if (origins.grantId !== undefined && (await provider.Grant.find(origins.grantId)) === undefined) return undefined;
      return (await areAlive(origins, looks)) ? token : undefined;
    };
    const prototype = model.prototype as Pick<Token, 'destroy' | 'jti' | 'extra'>;
    const { destroy } = prototype;
    prototype.destroy = async function destroyWithWhatIsKept() {
      if (this.extra?.['act'] !== undefined) currentUnitOfWork().destroy(exchangedTokenKind, hashOf(this.jti));
      await destroy.call(this);
    };
  }
}

/** From a model or a payload of ours: nobody else writes it. */
export function readOrigins(holder: object | undefined): Origins | undefined {
  return holder !== undefined && 'origins' in holder ? (holder.origins as Origins) : undefined;
}
