/**
 * The engine's storage port for access tokens that are stored nowhere: JWTs. The engine refuses to look at them at introspection
 * and revocation, so a stand-in takes their place among the parameters, and the look-up of the stand-in answers with what the
 * verified token says. Who may learn of it or end it, and the shape of the answer, stay the engine's (docs/decisions/0020).
 */
import type { Adapter, AdapterPayload } from 'oidc-provider';
import type { AccessTokenClaims } from '#src/domain/access_token.ts';
import type { Payload } from '#src/storage/tables/artifacts.ts';
import type { AccountRow } from '#src/storage/tables/people.ts';
import { currentUnitOfWork, hashOf, type UnitOfWork } from './unit_of_work.ts';

/** An access token that is verified and alive. */
export interface LivingToken {
  readonly claims: AccessTokenClaims;
  /** Undefined for what a client asked for in its own name. */
  readonly grant: { readonly idHash: string; readonly payload: Payload } | undefined;
  /** Who gave the grant, as they are at this moment. */
  readonly account: AccountRow | undefined;
}

/** Undefined for whatever is no living access token of this tenant. Never throws for what a stranger may have written. */
export type FindLivingToken = (token: string) => Promise<LivingToken | undefined>;

/** What ends a token that has no grant to end. */
export const deniedTokenKind = 'DeniedToken';

/** No opaque value has a dot in it, every JWT has. */
const separator = '.';
/** Anyone may send this text; it means something only in a request whose own token it has replaced. */
const standIn = 'a structured token';

interface Presented {
  readonly token: string;
  living?: Promise<LivingToken | undefined>;
}

const presentedIn = new WeakMap<UnitOfWork, Presented>();

/** The value under which the engine may look for the token that was sent: its own, or the stand-in of a structured one. */
export function lookUpValueOf(token: string): string {
  if (!token.includes(separator)) return token;
  presentedIn.set(currentUnitOfWork(), { token });
  return standIn;
}

/** The port of one model of access tokens: structured ones by `findLiving`, all others as they are stored. */
export function withStructuredTokens(
  model: 'AccessToken' | 'ClientCredentials',
  stored: Adapter,
  findLiving: FindLivingToken,
): Adapter {
  const livingIn = (unit: UnitOfWork): Promise<LivingToken | undefined> | undefined => {
    const presented = presentedIn.get(unit);
    if (presented === undefined) return undefined;
    // Both models ask for one value; the token is looked at once.
    presented.living ??= findLiving(presented.token);
    return presented.living;
  };

  return {
    ...stored,

    async find(id) {
      const unit = currentUnitOfWork();
      const living = id === standIn ? livingIn(unit) : undefined;
      if (living === undefined) return stored.find(id);
      const token = await living;
      if (token === undefined || modelOf(token) !== model) return undefined;
      // The grant came along: the engine asks for it next.
      if (token.grant !== undefined) unit.learn('Grant', token.grant.idHash, token.grant.payload);
      if (token.account !== undefined) unit.learnAccount(token.account);
      return toPayload(token);
    },

    async destroy(id) {
      const unit = currentUnitOfWork();
      const token = await livingIn(unit);
      if (token?.claims.jti !== id) return stored.destroy(id);
      // Where there is one, the engine ends the whole grant.
      if (ownGrantOf(token) === undefined) deny(unit, token.claims);
    },
  };
}

function deny(unit: UnitOfWork, { jti, exp }: AccessTokenClaims): void {
  const nobody = { account_id: undefined, client_id: undefined, grant_id: undefined, session_uid: undefined };
  const expiresAt = new Date(exp * 1000).toISOString();
  // Ended twice at the same moment is ended once.
  unit.store(
    { kind: deniedTokenKind, id: hashOf(jti), payload: {}, ...nobody, user_code: undefined, expires_at: expiresAt },
    'upsert',
  );
}

function modelOf({ claims }: LivingToken): 'AccessToken' | 'ClientCredentials' {
  return claims.gid === undefined ? 'ClientCredentials' : 'AccessToken';
}

/** A grant that was given for the token this one was exchanged for (RFC 8693) keeps the token alive, but is not this client's to end. */
function ownGrantOf({ claims, grant }: LivingToken): string | undefined {
  const isExchanged = claims['act'] !== undefined;
  return !isExchanged && grant?.payload['clientId'] === claims.client_id ? claims.gid : undefined;
}

/** As the engine would have stored it. */
function toPayload(token: LivingToken): AdapterPayload {
  const { iss: _issuer, jti, iat, exp, aud, scope, client_id, sub, sid, gid, cnf, ...others } = token.claims;
  const { authorization_details: rar, ...extra } = others;
  const isPersons = gid !== undefined;
  const grantId = ownGrantOf(token);
  return {
    kind: modelOf(token),
    jti,
    iat,
    exp,
    aud,
    clientId: client_id,
    ...(scope === undefined ? {} : { scope }),
    ...(cnf?.jkt === undefined ? {} : { jkt: cnf.jkt }),
    ...(cnf?.['x5t#S256'] === undefined ? {} : { 'x5t#S256': cnf['x5t#S256'] }),
    ...(isPersons ? { accountId: sub } : {}),
    ...(sid === undefined ? {} : { sid }),
    ...(grantId === undefined ? {} : { grantId }),
    // Ours, and signed: a list of objects with a type (RFC 9396).
    ...(rar === undefined ? {} : { rar: rar as AdapterPayload['rar'] }),
    extra: isPersons ? extra : { ...extra, sub },
  };
}
