/**
 * This file owns how long a refresh token may live. It does not own the numbers: those are settings.
 */

/** The part of the settings that this file reads (config/default.yaml, `lifetimes.refresh_token`). */
export interface RefreshTokenLifetimes {
  /** Unused for this long, it ends. */
  readonly idleSeconds: number;
  /** The same for a paired device, which may be switched off for weeks. */
  readonly deviceIdleSeconds: number;
  /** However much it is used, the chain that began at sign-in ends. By client type. */
  readonly absoluteSeconds: {
    readonly web: number;
    readonly spa: number;
    readonly native: number;
    readonly device: number;
  };
  /** How long a token may be repeated after its first use, see rotation.ts. */
  readonly graceSeconds: number;
  /** The same for a device, and only until it has used the successor. */
  readonly deviceGraceSeconds: number;
}

/**
 * How many seconds a refresh token issued now may live: its idle time, or what is left of the chain's absolute time when
 * that is less. A whole number and at least 1, because the engine faults on any other; a chain that has ended is refused
 * where it is looked up.
 *
 * @param clientType A type without refresh tokens (`machine`, `resource_server`) is taken as `spa`, the strictest.
 * @param chainAgeSeconds Time since the first token of the chain; 0 at sign-in.
 */
export function refreshTokenTtlSeconds(input: {
  readonly clientType: string;
  readonly lifetimes: Pick<RefreshTokenLifetimes, 'idleSeconds' | 'deviceIdleSeconds' | 'absoluteSeconds'>;
  readonly chainAgeSeconds: number;
}): number {
  const { clientType, lifetimes, chainAgeSeconds } = input;
  const idleSeconds = clientType === 'device' ? lifetimes.deviceIdleSeconds : lifetimes.idleSeconds;
  const absoluteSeconds = absoluteSecondsFor(clientType, lifetimes);
  const remainingSeconds = absoluteSeconds - Math.max(0, chainAgeSeconds);
  return Math.max(1, Math.floor(Math.min(idleSeconds, remainingSeconds)));
}

/** How long a chain of this type of client may live, however much it is used; of any client when the type is not known. */
export function absoluteSecondsFor(
  clientType: string | undefined,
  { absoluteSeconds }: Pick<RefreshTokenLifetimes, 'absoluteSeconds'>,
): number {
  if (clientType === undefined) return Math.max(...Object.values(absoluteSeconds));
  if (clientType === 'web') return absoluteSeconds.web;
  if (clientType === 'native') return absoluteSeconds.native;
  if (clientType === 'device') return absoluteSeconds.device;
  return absoluteSeconds.spa;
}
