/** Gives the engine an adapter for each of its models, bound to one tenant. */
import type { Adapter } from 'oidc-provider';
import type { TenantId } from '#src/domain/tenant.ts';
import { type ArtifactModel, artifactModels, createArtifactsAdapter, valuePrefixes } from './artifacts_adapter.ts';
import { type ClientsCache, createClientsAdapter, type EnabledFeatures } from './clients_adapter.ts';
import { createDeviceCodesAdapter } from './device_codes_adapter.ts';
import { createRefreshTokensAdapter, type RotationRules } from './refresh_tokens_adapter.ts';
import { type FindLivingToken, withStructuredTokens } from './structured_tokens_adapter.ts';

export interface AdapterDependencies {
  readonly tenantId: TenantId;
  readonly clients: ClientsCache;
  /** What the tenant's engine serves. */
  readonly enabled: EnabledFeatures;
  readonly rotation: RotationRules;
  readonly findLiving: FindLivingToken;
}

const known: ReadonlySet<string> = new Set(artifactModels);

/** Throws for a model this version does not know: a new one must be thought about, not stored by accident. */
export function createAdapter(
  model: string,
  { tenantId, clients, enabled, rotation, findLiving }: AdapterDependencies,
): Adapter {
  if (model === 'Client') return createClientsAdapter(clients, { tenantId, enabled });
  if (!isArtifactModel(model)) throw new Error(`the engine asked for an unknown model: ${model}`);
  const artifacts = createArtifactsAdapter(model);
  if (model === 'RefreshToken') return createRefreshTokensAdapter(artifacts, rotation);
  if (model === 'DeviceCode')
    return createDeviceCodesAdapter(artifacts, rotation.chain, valuePrefixes.DeviceCode ?? '');
  if (model === 'AccessToken' || model === 'ClientCredentials')
    return withStructuredTokens(model, artifacts, findLiving);
  return artifacts;
}

function isArtifactModel(model: string): model is ArtifactModel {
  return known.has(model);
}
