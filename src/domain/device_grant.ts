/**
 * This file owns the numbers and words of the device grant (RFC 8628): how a user code looks, how long it waits, how often a device may
 * ask, and what a device may say of itself when it begins. It does not own devices that are paired (device.ts) or who approves them.
 */
import { isStorableText } from './stored_text.ts';

/** RFC 8628 §3.4. */
export const deviceGrantType = 'urn:ietf:params:oauth:grant-type:device_code';

/** Time to find the telephone, sign in and compare; short enough that a code which somebody was tricked with is soon worth nothing. */
export const DEVICE_CODE_SECONDS = 600;

/** RFC 8628 §3.2 `interval`, in seconds. */
export const DEVICE_POLL_INTERVAL_SECONDS = 5;

/** How a device's pace is kept: what the network may take off the interval, and what every eager poll adds to it (RFC 8628 §3.5). */
export const DEVICE_PACE = {
  intervalSeconds: DEVICE_POLL_INTERVAL_SECONDS,
  toleranceSeconds: 1,
  longerSeconds: 5,
  longestSeconds: 60,
} as const;

/** RFC 8628 §6.1: twenty consonants that are not taken for one another and spell no words; eight of them are 2.6 · 10^10 codes. */
export const USER_CODE = { charset: 'base-20', mask: '****-****' } as const;

/** How many devices may begin within `DEVICE_CODE_SECONDS`: every code that waits can be guessed. */
export interface DeviceCodeLimits {
  readonly maximumPerClientAndAddress: number;
  readonly maximumPerTenant: number;
}

/** The texts under which a device that begins is counted, a line feed between the parts, which none can contain. */
export function deviceCodeLimitKeys({
  clientId,
  address,
}: {
  readonly clientId: string;
  readonly address: string;
}): readonly [client: string, tenant: string] {
  return [`device_code_client_address\n${clientId}\n${address}`, 'device_code_tenant'];
}

const MAXIMUM_DEVICE_TEXT = 60;

/** What a device said of itself. Nobody has checked it: it is shown to its owner as what it claims. */
export interface DeviceClaims {
  readonly name: string | undefined;
  readonly model: string | undefined;
  readonly firmware: string | undefined;
}

/** Reads `device_name`, `device_model` and `device_firmware` of a device authorization request. What cannot be shown is left out. */
export function deviceClaimsOf(parameters: Readonly<Record<string, unknown>> | undefined): DeviceClaims {
  return {
    name: deviceText(parameters?.['device_name']),
    model: deviceText(parameters?.['device_model']),
    firmware: deviceText(parameters?.['device_firmware']),
  };
}

/**
 * A name, model or version as it is kept: one line of 1 to 60 characters that can be seen, with single spaces. Undefined for
 * anything else, and for what turns the reading direction around.
 */
export function deviceText(given: unknown): string | undefined {
  if (typeof given !== 'string' || !isStorableText(given)) return undefined;
  const text = given.normalize('NFC').trim().replaceAll(/ +/g, ' ');
  const isReadable = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]+$/u.test(text) && [...text].length <= MAXIMUM_DEVICE_TEXT;
  return isReadable ? text : undefined;
}

/** What an application is called, as the name of a device that has none. */
export function shortenedDeviceText(text: string): string {
  return [...text].slice(0, MAXIMUM_DEVICE_TEXT).join('');
}
