/**
 * What each switch of domain/protocol_features.ts means to the engine. One function for each feature that needs more than a
 * word, so that a tenant's engine is built with exactly what is on for it.
 */
import type { Configuration, KoaContextWithOIDC } from 'oidc-provider';
import { cibaGrantType } from '#src/domain/backchannel_authentication.ts';
import type { TokenEndpointAuthMethod } from '#src/domain/client.ts';
import { deviceGrantType } from '#src/domain/device_grant.ts';
import type { ProtocolFeatures } from '#src/domain/protocol_features.ts';
import { tokenExchangeGrantType } from '#src/domain/token_exchange.ts';
import { backchannelAuthentication } from './backchannel_authentication.ts';
import type { certificateHooks } from './client_certificates.ts';
import { deviceFlow } from './device_grant.ts';
import { factsOf } from './policies.ts';

/** Grants that every tenant's engine serves; a client's type may allow more than is switched on. */
const grantTypes = ['authorization_code', 'refresh_token', 'client_credentials'] as const;

const clientAuthMethods = ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'] as const;
const certificateMethods = ['tls_client_auth', 'self_signed_tls_client_auth'] as const;

/** The grants that a tenant's engine serves. */
export function grantTypesOf(protocol: ProtocolFeatures): readonly string[] {
  return [
    ...grantTypes,
    ...(protocol.token_exchange ? [tokenExchangeGrantType] : []),
    ...(protocol.ciba ? [cibaGrantType] : []),
    ...(protocol.device_grant ? [deviceGrantType] : []),
  ];
}

/** How clients may say who they are. */
export function clientAuthMethodsOf({ mtls }: ProtocolFeatures): readonly TokenEndpointAuthMethod[] {
  return mtls ? [...clientAuthMethods, ...certificateMethods] : clientAuthMethods;
}

export interface ProtocolHooks extends ReturnType<typeof certificateHooks> {
  readonly assertIsRequestObject: (
    ctx: KoaContextWithOIDC,
    claims: Readonly<Record<string, unknown>>,
    header: Readonly<Record<string, unknown>>,
  ) => Promise<void>;
}

/** The part of the engine's `features` that follows the switches; what is always on stands in provider.ts. */
export function protocolFeatureConfiguration(
  protocol: ProtocolFeatures,
  { assertIsRequestObject, ...certificates }: ProtocolHooks,
) {
  return {
    requestObjects: { enabled: protocol.jar, assertJwtClaimsAndHeader: assertIsRequestObject },
    jwtResponseModes: { enabled: protocol.jarm },
    ciba: backchannelAuthentication({ enabled: protocol.ciba }),
    deviceFlow: deviceFlow({ enabled: protocol.device_grant }),
    // The hooks are there also while it is off: a token bound to a certificate that was issued before must be refused then.
    mTLS: {
      enabled: protocol.mtls,
      certificateBoundAccessTokens: true,
      selfSignedTlsClientAuth: true,
      tlsClientAuth: true,
      ...certificates,
    },
    fapi: {
      enabled: protocol.fapi2,
      profile: (_ctx, client) => (client === undefined ? undefined : factsOf(client).fapiProfile),
    },
  } satisfies Configuration['features'];
}
