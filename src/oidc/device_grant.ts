/**
 * The device grant (RFC 8628) as the engine serves it: what a device is told when it begins, and the device that comes into being when
 * its code is redeemed. Who approves it is asked by a page of ours; how often it may ask is kept by adapters/device_codes_adapter.ts.
 */
import Provider, { type KoaContextWithOIDC } from 'oidc-provider';
import { currentUnitOfWork, hashOf } from '#adapters/unit_of_work.ts';
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
      expires_at: new Date(((refreshToken ?? token).exp ?? 0) * 1000).toISOString(),
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
