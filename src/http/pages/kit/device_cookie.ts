/**
 * The cookie that makes a browser known as one of a person's. Its value says nothing and opens nothing by itself: it can only spare
 * a second factor where the person wished it and the tenant allows it, and only after the right password.
 */
import type { Context } from 'koa';
import type { RememberedDevice } from '#src/flows/sign_in/authentication_steps.ts';

const cookieName = 'poort_device';
const tokenPattern = /^[A-Za-z0-9_-]{43}$/;

/** Undefined when there is none, or something that is none of ours. */
export function readDeviceToken(ctx: Context): string | undefined {
  const token = ctx.cookies.get(cookieName);
  return token !== undefined && tokenPattern.test(token) ? token : undefined;
}

/** @param path The tenant's: a browser is known to each tenant by itself. */
export function keepDevice(
  ctx: Context,
  device: RememberedDevice | undefined,
  { path, secure }: { readonly path: string; readonly secure: boolean },
): void {
  if (device === undefined) return;
  ctx.cookies.set(cookieName, device.token, {
    path,
    httpOnly: true,
    sameSite: 'lax',
    secure,
    signed: false,
    overwrite: true,
    expires: device.expiresAt,
  });
}
