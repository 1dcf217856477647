/**
 * Signing keys for tenants that the benchmarks make by the thousand: a few key pairs for all of them, each sealed for its tenant. A pair
 * for each, as `poort tenant create` makes, would take an hour.
 */
import { generateSigningKeyPair } from '#src/foundation/key_pairs.ts';
import { createSealer } from '#src/foundation/sealing.ts';
import { signingKeyContext } from '#src/foundation/sealing_contexts.ts';
import { Secret } from '#src/foundation/secret.ts';
import type { withConnection } from './database.ts';

type Connection = Parameters<Parameters<typeof withConnection>[1]>[0];

/** Makes the pairs; what it returns gives them to tenants. */
export async function createKeyGiver(
  masterKey: string,
): Promise<(connection: Connection, tenantIds: readonly string[]) => Promise<void>> {
  const sealer = createSealer([new Secret(masterKey)]);
  const pairs = await Promise.all(
    // The waiting ones too, or the job would make them while we measure.
    (['ES256', 'RS256'] as const).flatMap((alg) =>
      (['active', 'next'] as const).map(async (status) => ({ alg, status, pair: await generateSigningKeyPair(alg) })),
    ),
  );
  return async (connection, tenantIds) => {
    const rows = tenantIds.flatMap((tenantId) =>
      pairs.map(({ alg, status, pair }) => ({
        tenant_id: tenantId,
        kid: pair.kid,
        alg,
        status,
        public_jwk: pair.publicJwk,
        sealed: sealer.seal(JSON.stringify(pair.privateJwk), signingKeyContext(tenantId, pair.kid)).toString('base64'),
      })),
    );
    await connection.query(
      `insert into signing_keys (tenant_id, kid, alg, status, public_jwk, private_sealed, created_at, activated_at)
       select k.tenant_id, k.kid, k.alg, k.status, k.public_jwk, decode(k.sealed, 'base64'), now(),
              case when k.status = 'active' then now() end
         from json_to_recordset($1) as k (tenant_id uuid, kid text, alg text, status text, public_jwk jsonb, sealed text)`,
      [JSON.stringify(rows)],
    );
  };
}
