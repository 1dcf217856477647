/**
 * The device grant (RFC 8628) as the engine serves it: what a device is told when it begins, and the device that comes into being when
 * its code is redeemed. Who approves it is asked by a page of ours; how often it may ask is kept by adapters/device_codes_adapter.ts.
 */
import Provider, { type KoaContextWithOIDC } from 'oidc-provider';
import { currentUnitOfWork, hashOf, type UnitOfWork } from '#adapters/unit_of_work.ts';
import {
  DEVICE_CODE_SECONDS,
  DEVICE_POLL_INTERVAL_SECONDS,
  type DeviceClaims,
  type DeviceCodeLimits,
  deviceClaimsOf,
  deviceCodeLimitKeys,
  shortenedDeviceText,
  USER_CODE,
} from '#src/domain/device_grant.ts';
import { canonicalAddress } from '#src/domain/sign_in_throttle.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { DeviceNotes } from '#src/storage/device_notes.ts';
import { deviceIdOf } from './accounts.ts';
import { countRequest } from './counted_requests.ts';

/** What is kept of a device from its request until its owner has decided, and shown to them. */
export interface DeviceInfo extends DeviceClaims {
  readonly address: string | undefined;
  /** What its owner called it, once they have. */
  readonly givenName?: string | undefined;
}

/** Below the origin: followed by the user code it is as short as an address can be, so that a small display can draw it. */
export const shortDevicePath = '/d';

/** The engine's own feature. Its pages are not served: nothing leads to them, see engine_routes.ts. */
export function deviceFlow({ enabled }: { readonly enabled: boolean }) {
  return {
    enabled,
    charset: USER_CODE.charset,
    mask: USER_CODE.mask,
    deviceInfo: ({ oidc }: KoaContextWithOIDC) => ({
      ...deviceClaimsOf(oidc.body),
      address: currentUnitOfWork().origin.ip,
    }),
  };
}

/** RFC 8628 §3.2: what the engine leaves out of its answer, and an address that is short enough to be drawn. */
export function completeDeviceAnswers(provider: Provider, publicUrl: string): void {
  provider.on('device_authorization.success', (ctx, answer) => {
    ctx.body = {
      ...answer,
      verification_uri_complete: `${publicUrl}${shortDevicePath}/${String(answer['user_code']).replaceAll('-', '')}`,
      interval: DEVICE_POLL_INTERVAL_SECONDS,
    };
  });
}

/**
 * From now on a tenant has no more codes that wait than these allow. A device's client has no secret: anybody can begin, as often as they
 * like, and every code that waits is one that a guess can hit. Nothing is kept of who is beyond them; they get 429 and when to come back.
 */
export function limitDeviceCodes(
  provider: Provider,
  { maximumPerClientAndAddress, maximumPerTenant }: DeviceCodeLimits,
): void {
  // Every model that is saved has it; the types only say so for the base model.
  const model = provider.DeviceCode.prototype as unknown as { save(): Promise<string>; readonly jti?: string };
  const { save } = model;
  model.save = async function saveWithinLimits() {
    const { ctx } = Provider;
    if (this.jti === undefined && ctx?.oidc.route === 'device_authorization') {
      const address = canonicalAddress(currentUnitOfWork().origin.ip);
      const [ofClient, ofTenant] = deviceCodeLimitKeys({ clientId: ctx.oidc.client?.clientId ?? '', address });
      const limits = [
        { key: ofClient, maximum: maximumPerClientAndAddress },
        { key: ofTenant, maximum: maximumPerTenant },
      ] as const;
      await countRequest(ctx, { limits, windowSeconds: DEVICE_CODE_SECONDS });
    }
    return save.call(this);
  };
}

/** From now on a grant can be that of a device: every token under it then says of which. */
export function grantsNameDevices(provider: Provider): void {
  const model = provider.Grant as unknown as { readonly IN_PAYLOAD: readonly string[] };
  const names = [...model.IN_PAYLOAD, 'deviceId'];
  Object.defineProperty(model, 'IN_PAYLOAD', { get: () => names });
}

/** A code was redeemed: the device comes into being with its tokens, in the same transaction. Nothing for any other request. */
export function recordPairing({ oidc }: KoaContextWithOIDC): void {
  const { DeviceCode: code, Grant: grant, AccessToken: token, RefreshToken: refreshToken } = oidc.entities;
  const deviceId = deviceIdOf(grant);
  const { client } = oidc;
  if (code?.accountId === undefined || token === undefined || client === undefined || deviceId === undefined) return;
  const { name, model, firmware, givenName } = (code.deviceInfo ?? {}) as Partial<DeviceInfo>; // ours, as it was stored
  const unit = currentUnitOfWork();
  unit.pairDevice(
    {
      device_id: deviceId,
      client_id: client.clientId,
      user_id: code.accountId,
      name: givenName ?? name ?? model ?? shortenedDeviceText(client.clientName ?? client.clientId),
      model,
      firmware,
      key_thumbprint: token.jkt,
      grant_id: hashOf(code.grantId),
      scopes: (code.scope ?? '').split(' ').filter(Boolean),
      address: unit.origin.ip,
      expires_at: endOf(refreshToken ?? token, unit.now),
    },
    {
      type: 'device.paired',
      outcome: 'success',
      actor: { type: 'user', id: code.accountId },
      target: { type: 'device', id: deviceId },
      clientId: client.clientId,
    },
  );
}

interface Noting {
  readonly tenantId: TenantId;
  readonly unit: UnitOfWork;
  readonly notes: Pick<DeviceNotes, 'note'>;
  readonly refusal: Error | undefined;
}

/** A device was heard of in this request, or turned away: noted, and written later together with others. */
export function noteDevice(ctx: KoaContextWithOIDC, { tenantId, unit, notes, refusal }: Noting): void {
  if (ctx.oidc === undefined) return;
  const { route, entities, params } = ctx.oidc;
  const now = unit.now.toISOString();
  if (route === 'token' && ctx.status === 200) {
    const deviceId = deviceIdOf(entities.Grant);
    if (deviceId === undefined) return;
    const expiresAt = entities.RefreshToken && endOf(entities.RefreshToken, unit.now);
    notes.note(tenantId, { device_id: deviceId, seen_at: now, address: unit.origin.ip, expires_at: expiresAt });
  } else if (route === 'token' && refusal !== undefined && typeof params?.['refresh_token'] === 'string') {
    const { RefreshToken: token } = entities;
    const quarantined = unit.inQuarantine('RefreshToken', hashOf(params['refresh_token']));
    const deviceId = quarantined?.deviceId ?? (token?.grantId === undefined ? undefined : unit.deviceOf(token.grantId));
    if (deviceId === undefined) return;
    const because = quarantined === undefined ? wordFor(refusal) : 'quarantined';
    notes.note(tenantId, { device_id: deviceId, refused_at: now, refused_because: because });
  } else if (route === 'introspection' && ctx.status === 200) {
    // The address is the resource server's.
    const deviceId = deviceNamedIn(ctx.body);
    if (deviceId !== undefined) notes.note(tenantId, { device_id: deviceId, seen_at: now });
  } else if (route === 'userinfo' && ctx.status === 200) {
    const deviceId = deviceNamedIn(entities.AccessToken?.extra);
    if (deviceId !== undefined) notes.note(tenantId, { device_id: deviceId, seen_at: now, address: unit.origin.ip });
  }
}

const longestWord = 60;

/** The engine's own reason, which the device was not told. */
function wordFor(refusal: Error): string {
  const { error_detail: detail, error } = refusal as { readonly error_detail?: unknown; readonly error?: unknown };
  return String(detail ?? error ?? 'refused')
    .replaceAll(' ', '_')
    .slice(0, longestWord);
}

function deviceNamedIn(claims: unknown): string | undefined {
  if (typeof claims !== 'object' || claims === null || !('device_id' in claims)) return undefined;
  return typeof claims.device_id === 'string' ? claims.device_id : undefined;
}

/** A token that has just been made knows how long it lasts, and not until when. */
function endOf({ remainingTTL }: { readonly remainingTTL: number }, now: Date): string {
  return new Date(now.getTime() + remainingTTL * 1000).toISOString();
}
