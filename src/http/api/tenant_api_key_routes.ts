/** All API keys of a tenant: everybody's to be seen and revoked, and the tenant's own to be made, within the rights of who makes them. */
import { z } from 'zod';
import { userId } from '#src/domain/user.ts';
import {
  type ApiKeySummary,
  createApiKey,
  listApiKeysInParts,
  revokeApiKey,
  showApiKey,
} from '#src/flows/access/manage_api_keys.ts';
import { isUuid } from '#src/foundation/identifiers.ts';
import { ProblemRaised, problems } from '../problems.ts';
import { newKey, ownKey, presentKey, refusalOfKey } from './api_key_routes.ts';
import { type ManagementCaller, permitted } from './chains.ts';
import { unchanged } from './entity_tags.ts';
import { type ManagementServices, managementContext } from './management.ts';
import { answerList, listOf, listQuery } from './pages_of_lists.ts';
import { type ApiRequest, type ApiRoute, route } from './routes.ts';

export interface TenantApiKeyRoutesOptions {
  readonly apiServices: ManagementServices;
}

const path = '/api/v1/admin/api-keys';
const one = `${path}/{id}` as const;

const shownKey = z
  .object({
    ...ownKey.shape,
    user: z
      .object({ id: z.uuid(), email: z.string().nullable() })
      .nullable()
      .describe("Whose rights bound it; null for a key of the tenant's own"),
    revoked_at: z.iso.datetime().nullable(),
  })
  .meta({ id: 'ApiKey' });

const filters = listQuery.extend({
  user_id: z.string().refine(isUuid, 'is no identifier of a person').optional(),
  status: z.enum(['active', 'ended']).describe('active: opens something at this moment').optional(),
});

export function tenantApiKeyRoutes({ apiServices }: TenantApiKeyRoutesOptions): readonly ApiRoute[] {
  const reads = permitted('api-keys:read');
  const writes = permitted('api-keys:write');
  return [
    route({
      summary: 'The API keys of the tenant and of its members',
      method: 'GET',
      path,
      chain: reads,
      query: filters,
      answers: listOf(shownKey),
      async handle({ engine, query }) {
        const { user_id: id, status, limit, cursor } = query;
        const filter = {
          userId: id === undefined ? undefined : userId(id),
          isLiving: status === undefined ? undefined : status === 'active',
        };
        const { id: tenantId } = engine.tenant;
        const keys = await listApiKeysInParts(apiServices, { tenantId, filter, after: cursor, limit });
        return { status: 200, body: answerList(keys, query, present) };
      },
    }),
    route({
      summary: "Make a key of the tenant's own, within what you may do; it is shown this once",
      method: 'POST',
      path,
      chain: writes,
      body: newKey,
      statuses: [201],
      answers: shownKey.extend({ key: z.string().describe('Shown this once') }),
      async handle(request) {
        const { engine, caller, body } = request;
        const created = await createApiKey(managementContext(apiServices, request), {
          tenantId: engine.tenant.id,
          userId: undefined,
          held: caller.permissions,
          settings: engine.people,
          name: body.name,
          scopes: body.scopes,
          expiresAt: body.expires_at ?? undefined,
        });
        if (created.outcome !== 'created') throw new ProblemRaised(refusalOfKey(created));
        const { key, summary } = created;
        return {
          status: 201,
          headers: { location: `${request.exchange.path}/${summary.id}` },
          body: { ...present(summary), key },
        };
      },
    }),
    route({
      summary: 'An API key',
      method: 'GET',
      path: one,
      chain: reads,
      answers: shownKey,
      async handle(request) {
        const key = await showApiKey(apiServices, oneOf(request));
        if (key === undefined) throw notThere();
        return { status: 200, body: present(key) };
      },
    }),
    route({
      summary: 'Revoke an API key, whoever has it',
      method: 'DELETE',
      path: one,
      chain: writes,
      async handle(request) {
        const { outcome } = await revokeApiKey(managementContext(apiServices, request), {
          ...oneOf(request),
          guard: unchanged(request, present),
        });
        if (outcome === 'unknown') throw notThere();
        return { status: 204 };
      },
    }),
  ];
}

function oneOf({ engine, parameters }: ApiRequest<ManagementCaller, unknown, unknown>) {
  const id = parameters['id'] ?? '';
  if (!isUuid(id)) throw notThere();
  return { tenantId: engine.tenant.id, id };
}

function present(key: ApiKeySummary): z.output<typeof shownKey> {
  return {
    ...presentKey(key),
    scopes: [...key.scopes],
    user: key.userId === undefined ? null : { id: key.userId, email: key.email ?? null },
    revoked_at: key.revokedAt?.toISOString() ?? null,
  };
}

function notThere(): ProblemRaised {
  return new ProblemRaised(problems.notFound());
}
