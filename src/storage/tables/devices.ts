/** The table `devices`: what was paired, by whom, and whether it may go on. A row is made by `artifacts_commit_with_device` (migrations/0027). */

export type DeviceState = 'active' | 'quarantined' | 'retired';

/** A device with its first tokens. Hashes are hexadecimal, instants ISO 8601. */
export interface NewDevice {
  readonly device_id: string;
  readonly client_id: string;
  readonly user_id: string;
  readonly name: string;
  readonly model: string | undefined;
  readonly firmware: string | undefined;
  /** RFC 7638, of the key that its tokens are bound to. */
  readonly key_thumbprint: string | undefined;
  readonly grant_id: string;
  readonly scopes: readonly string[];
  readonly address: string | undefined;
  readonly expires_at: string;
}
