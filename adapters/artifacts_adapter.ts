/**
 * The engine's storage port for everything but clients. Keys are SHA-256 of the value and no payload holds a value that opens
 * anything (the four rules: docs/decisions/0005); the prefix of a value tells its kind, so that an adapter of another kind
 * answers "none" without asking. It reads and writes through the request's unit of work and never on its own.
 */
import { type Adapter, type AdapterPayload, Provider } from 'oidc-provider';
import type { Payload, StoredArtifact } from '#src/storage/tables/artifacts.ts';
import { noteSession, seenNow } from './session_notes.ts';
import { currentUnitOfWork, type Found, hashOf } from './unit_of_work.ts';

/** Every model of the engine that is kept in `artifacts`. */
export const artifactModels = [
  'Session',
  'AccessToken',
  'AuthorizationCode',
  'RefreshToken',
  'ClientCredentials',
  'DeviceCode',
  'InitialAccessToken',
  'RegistrationAccessToken',
  'Interaction',
  'ReplayDetection',
  'PushedAuthorizationRequest',
  'Grant',
  'BackchannelAuthenticationRequest',
  'PreAuthorizedCode',
] as const;

export type ArtifactModel = (typeof artifactModels)[number];

/** What opaque values start with. */
export const valuePrefixes: Partial<Record<ArtifactModel, string>> = {
  AccessToken: 'at_',
  ClientCredentials: 'at_',
  RefreshToken: 'rt_',
  AuthorizationCode: 'ac_',
  DeviceCode: 'dc_',
  InitialAccessToken: 'iat_',
  RegistrationAccessToken: 'rat_',
  BackchannelAuthenticationRequest: 'ar_',
};

/**
 * A client's own access tokens live with the others: the engine asks both models for one value, and one read must answer.
 */
const storedKinds: Partial<Record<ArtifactModel, string>> = { ClientCredentials: 'AccessToken' };

/** Under its own value it is written once and never changed but by `consume`; the others are saved again and again. */
const writtenOnce: ReadonlySet<ArtifactModel> = new Set([
  'AccessToken',
  'AuthorizationCode',
  'RefreshToken',
  'ClientCredentials',
  'PushedAuthorizationRequest',
  'DeviceCode',
]);

/** Where an access token's person is asked for next. */
const routesThatTellOfPerson: ReadonlySet<string> = new Set(['introspection', 'userinfo']);

/** What a token, or an authorization, of a person begins with. */
const leadToPerson: ReadonlySet<ArtifactModel> = new Set([
  'Session',
  'AuthorizationCode',
  'RefreshToken',
  'DeviceCode',
  'BackchannelAuthenticationRequest',
]);

/** Where a reference taken from the table, instead of the value itself, is accepted: the engine's own continuations. */
const referenceRoutes: Partial<Record<ArtifactModel, ReadonlySet<string>>> = {
  DeviceCode: new Set(['device_resume', 'code_verification']),
  PushedAuthorizationRequest: new Set(['resume']),
};

/**
 * Whom a backchannel authentication request is for when its hint names nobody: it is kept like any other, and no one can answer it.
 */
export const nobody = 'nobody';

/** The client that leads to sign-in from our own pages, see own_pages_client.ts: no row of `clients`, so nothing waits for one. */
export const ownPagesClientId = 'poort.pages';

/** As whom applications of the tenant sign people in over REST that name no client, see own_pages_client.ts. No row of `clients` either. */
export const restClientId = 'poort.rest';

const withoutRow: ReadonlySet<unknown> = new Set([ownPagesClientId, restClientId]);

const referenceMark = '~';
/** For what the engine saves without a lifetime; nothing it does today. */
const longestSeconds = 365 * 24 * 60 * 60;
const tombstoneSeconds = 24 * 60 * 60;
/** What stands in a stored return address for the interaction's own identifier. */
const ownIdentifier = '{uid}';

export function createArtifactsAdapter(model: ArtifactModel): Adapter {
  const kind = storedKinds[model] ?? model;
  const prefix = valuePrefixes[model] ?? '';

  return {
    async upsert(id, payload, expiresInSeconds) {
      const unit = currentUnitOfWork();
      const expiresAt = new Date(unit.now.getTime() + (expiresInSeconds ?? longestSeconds) * 1000);
      const seen = model === 'Session' ? seenNow(unit, payload) : undefined;
      const noted = seen === undefined ? payload : { ...payload, seen };
      const artifact = toStored({ model, kind, id, payload: noted, expiresAt });
      // Whoever rotates the same refresh token makes the same successor.
      const once = isSuccessor(model) ? 'insert_if_absent' : 'insert';
      unit.store(artifact, writtenOnce.has(model) && !isReference(id) ? once : 'upsert');
    },

    async find(id) {
      if (isReference(id)) {
        const route = Provider.ctx?.oidc.route ?? '';
        const isOpen = referenceRoutes[model]?.has(route) === true || currentUnitOfWork().isOpened(kind, keyOf(id));
        if (!isOpen) return undefined;
      } else if (!id.startsWith(prefix)) {
        return undefined;
      }
      const found = await currentUnitOfWork().find(kind, keyOf(id), { withAccount: isAccountNeeded(model) });
      if (found === undefined || (model === 'Interaction' && found.consumedAt !== undefined)) return undefined;
      if (model === 'Session') noteSession(currentUnitOfWork(), found.payload);
      return toPayload(found, id);
    },

    async findByUid(uid) {
      const found = await currentUnitOfWork().findSessionByUid(uid);
      if (found !== undefined) noteSession(currentUnitOfWork(), found.payload);
      return found && toPayload(found, reference(found.idHash));
    },

    async findByUserCode(userCode) {
      const found = await currentUnitOfWork().findByUserCode(userCode);
      return found && { ...toPayload(found, reference(found.idHash)), userCode };
    },

    async consume(id) {
      currentUnitOfWork().consume(kind, keyOf(id));
    },

    async destroy(id) {
      const unit = currentUnitOfWork();
      if (model === 'Interaction') unit.bury(kind, keyOf(id), tombstoneSeconds);
      else if (model === 'Session' && isSigningOut()) await unit.endSession(keyOf(id));
      else if (model === 'Session') unit.take(kind, keyOf(id));
      else unit.destroy(kind, keyOf(id));
    },

    async revokeByGrantId(grantId) {
      currentUnitOfWork().revokeGrant(grantId, kind);
    },
  };
}

/**
 * Whether this value (a `jti` of a client assertion or a DPoP proof) is used for the first time: one statement decides, at once
 * and in a transaction of its own. The engine's own look-then-save lets parallel replays through; the Provider uses this instead.
 */
export async function isFirstUse({
  issuer,
  jti,
  expiresAt,
}: {
  issuer: string;
  jti: string;
  expiresAt: Date;
}): Promise<boolean> {
  return currentUnitOfWork().claim('ReplayDetection', hashOf(`${issuer.length}:${issuer}${jti}`), expiresAt);
}

function isSuccessor(model: ArtifactModel): boolean {
  const { RotatedRefreshToken, DeviceCode } = Provider.ctx?.oidc.entities ?? {};
  return model === 'RefreshToken' && (RotatedRefreshToken ?? DeviceCode) !== undefined;
}

/** Whose person the engine asks for next: one read answers both questions. */
function isAccountNeeded(model: ArtifactModel): boolean {
  if (model === 'AccessToken') return routesThatTellOfPerson.has(Provider.ctx?.oidc.route ?? '');
  return leadToPerson.has(model);
}

/** A session ends for good; in every other request that removes one it goes on under a new identifier. */
function isSigningOut(): boolean {
  const { route, params } = Provider.ctx?.oidc ?? {};
  return route === 'end_session_confirm' && params?.['logout'] !== undefined;
}

interface ToStore {
  readonly model: ArtifactModel;
  readonly kind: string;
  readonly id: string;
  readonly payload: AdapterPayload;
  readonly expiresAt: Date;
}

function toStored({ model, kind, id, payload, expiresAt }: ToStore): StoredArtifact {
  const { jti: _value, userCode, ...kept } = payload;
  const clean = cleanPayload(model, id, kept);
  // What was exchanged for another token (RFC 8693) ends with the grant of that one.
  const grantId = payload.grantId ?? text((payload['origins'] as { grantId?: unknown } | undefined)?.grantId);
  const clientId = payload.clientId ?? text(payload.params?.['client_id']);
  return {
    kind,
    id: keyOf(id),
    payload: clean,
    // Somebody who has just signed in counts as the person already, whoever was signed in here before: ending everything of theirs
    // ends this too.
    account_id:
      payload.accountId === nobody
        ? undefined
        : (payload.accountId ?? payload.result?.login?.accountId ?? payload.session?.accountId),
    client_id: withoutRow.has(clientId) ? undefined : clientId,
    grant_id: model === 'Grant' || grantId === undefined || model === 'Interaction' ? undefined : hashOf(grantId),
    session_uid: model === 'Session' ? payload.uid : text(payload['sessionUid']),
    user_code: userCode === undefined ? undefined : hashOf(userCode),
    expires_at: expiresAt.toISOString(),
  };
}

function cleanPayload(model: ArtifactModel, id: string, payload: AdapterPayload): Payload {
  if (model === 'Interaction') return cleanInteraction(id, payload);
  if (model !== 'BackchannelAuthenticationRequest') return payload;
  // Of what was asked only what the person is shown: the hints are an address, or a whole ID token.
  const { params, ...rest } = payload;
  return params === undefined ? rest : { ...rest, params: { binding_message: params['binding_message'] } };
}

/** An interaction would carry its own identifier, the session's and a device code in the clear: none of them is needed so. */
function cleanInteraction(uid: string, payload: AdapterPayload): Payload {
  const { session, deviceCode, parJti, returnTo, ...rest } = payload as AdapterPayload & Record<string, unknown>;
  const { cookie: _sessionId, ...keptSession } = (session ?? {}) as Record<string, unknown>;
  return {
    ...rest,
    ...(session === undefined ? {} : { session: keptSession }),
    ...(typeof returnTo === 'string' ? { returnTo: returnTo.replaceAll(uid, ownIdentifier) } : {}),
    ...(typeof deviceCode === 'string' ? { deviceCode: asReference(deviceCode) } : {}),
    ...(typeof parJti === 'string' ? { parJti: asReference(parJti) } : {}),
  };
}

export function toPayload(found: Found, id: string): AdapterPayload {
  // A copy of the outside is enough: what is inside belongs to this request alone.
  const payload: AdapterPayload = { ...found.payload, jti: id };
  if (found.consumedAt !== undefined) payload.consumed = Math.floor(found.consumedAt.getTime() / 1000);
  if (typeof payload.returnTo === 'string') payload.returnTo = payload.returnTo.replaceAll(ownIdentifier, id);
  return payload;
}

function isReference(id: string): boolean {
  return id.startsWith(referenceMark);
}

/** A name for a stored artifact that opens nothing: the engine hands it back to save or consume what it found. */
export function reference(idHash: string): string {
  return referenceMark + Buffer.from(idHash, 'hex').toString('base64url');
}

/** The hash behind `reference`, hexadecimal. */
export function hashOfReference(id: string): string {
  return keyOf(id);
}

function asReference(id: string): string {
  return isReference(id) ? id : reference(hashOf(id));
}

function keyOf(id: string): string {
  return isReference(id) ? Buffer.from(id.slice(1), 'base64url').toString('hex') : hashOf(id);
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
