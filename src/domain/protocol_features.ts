/**
 * This file owns which parts of the protocol can be switched on and off: extensions that most installations never need, and
 * that are attack surface wherever they are on without a reason. The installation says what is on (config/default.yaml,
 * `protocol`), and a tenant may say otherwise for itself. It does not own what each of them does; that is the engine's room.
 */

/** Every switch, by the one name it has in YAML, in a tenant's settings and on the command line. */
export const PROTOCOL_FEATURES = [
  'mtls',
  'jar',
  'jarm',
  'rar',
  'ciba',
  'fapi2',
  'dynamic_registration',
  'token_exchange',
  'device_grant',
] as const;

export type ProtocolFeature = (typeof PROTOCOL_FEATURES)[number];

/** What is on. */
export type ProtocolFeatures = Readonly<Record<ProtocolFeature, boolean>>;

/** Where nobody said what is on. */
export const NOTHING_SWITCHED_ON: ProtocolFeatures = {
  mtls: false,
  jar: false,
  jarm: false,
  rar: false,
  ciba: false,
  fapi2: false,
  dynamic_registration: false,
  token_exchange: false,
  device_grant: false,
};

export function isProtocolFeature(text: string): text is ProtocolFeature {
  return PROTOCOL_FEATURES.some((feature) => feature === text);
}

/** What is on for one tenant: what it says itself, and the installation's word where it says nothing. */
export function protocolFeaturesOf(
  installation: ProtocolFeatures,
  tenant: Readonly<Partial<Record<ProtocolFeature, boolean>>>,
): ProtocolFeatures {
  return { ...installation, ...tenant };
}
