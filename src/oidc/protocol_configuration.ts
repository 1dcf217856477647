/**
 * What each switch of domain/protocol_features.ts means to the engine. One function for each feature that needs more than a
 * word, so that a tenant's engine is built with exactly what is on for it.
 */
import type { Configuration } from 'oidc-provider';
import type { ProtocolFeatures } from '#src/domain/protocol_features.ts';

/** Grants that every tenant's engine serves; a client's type may allow more than is switched on. */
const grantTypes = ['authorization_code', 'refresh_token', 'client_credentials'] as const;

/** The grants that a tenant's engine serves. */
export function grantTypesOf(_protocol: ProtocolFeatures): readonly string[] {
  return grantTypes;
}

/** The part of the engine's `features` that follows the switches; what is always on stands in provider.ts. */
export function protocolFeatureConfiguration(protocol: ProtocolFeatures) {
  return {
    requestObjects: { enabled: protocol.jar },
    jwtResponseModes: { enabled: protocol.jarm },
  } satisfies Configuration['features'];
}
