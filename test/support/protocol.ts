/** Extensions of the protocol, switched on for a tenant, and clients that need them. */
import type { ClientRequest } from '#src/domain/client.ts';
import { PROTOCOL_FEATURES, type ProtocolFeature, type ProtocolFeatures } from '#src/domain/protocol_features.ts';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import type { TestServer } from './test_server.ts';
import type { TestClient, TestTenant } from './world.ts';

export const everythingOn = Object.fromEntries(PROTOCOL_FEATURES.map((feature) => [feature, true])) as ProtocolFeatures;

/** What the metadata of a tenant says once a feature is on. Not every feature shows there. */
const signs: Partial<Record<ProtocolFeature, string>> = {
  mtls: 'tls_client_certificate_bound_access_tokens',
  jar: 'request_object_signing_alg_values_supported',
  jarm: 'authorization_signing_alg_values_supported',
};

/** Switches on, and waits until the server that is asked by its public address has heard of it. */
export async function switchOn(server: TestServer, tenant: TestTenant, ...features: ProtocolFeature[]): Promise<void> {
  const changes = features.map((feature) => ({ name: `protocol.${feature}`, value: true }) as const);
  await configureTenant(server.context, { id: tenant.id, changes });
  const expected = features.flatMap((feature) => signs[feature] ?? []);
  const isKnown = async (): Promise<boolean> => {
    const metadata = await (await fetch(`${tenant.issuer}/.well-known/openid-configuration`)).text();
    return expected.every((sign) => metadata.includes(sign));
  };
  while (!(await isKnown())) await new Promise(setImmediate);
}

/** A client of a tenant that has everything switched on. Throws with the problems of one that cannot be registered. */
export async function registerAs(server: TestServer, tenant: TestTenant, client: ClientRequest): Promise<TestClient> {
  const created = await createClient(server.context, { tenantId: tenant.id, client, protocol: everythingOn });
  if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
  return { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
}
