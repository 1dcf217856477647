/**
 * The APIs of a tenant over REST: the resource servers (RFC 8707) that it is asked for tokens for. An audience is an address, so an API is
 * addressed by its audience in base64url: what has slashes in it does not survive every proxy.
 */
import { z } from 'zod';
import { type ApiField, isAudience } from '#src/domain/api.ts';
import { isStorable } from '#src/domain/stored_text.ts';
import { deleteApi, listApisInParts, showApi, updateApi } from '#src/flows/clients/manage_apis.ts';
import { createApi } from '#src/flows/clients/manage_clients.ts';
import type { ApiEntryRow, ApiPlace } from '#src/storage/tables/apis.ts';
import { type Problem, ProblemRaised, problems } from '../problems.ts';
import { type ManagementCaller, permitted } from './chains.ts';
import { unchanged } from './entity_tags.ts';
import { type ManagementServices, managementContext } from './management.ts';
import { answerList, listOf, listQuery } from './pages_of_lists.ts';
import { type ApiRequest, type ApiRoute, route } from './routes.ts';

export interface RegisteredApiRoutesOptions {
  readonly apiServices: ManagementServices;
}

const path = '/api/v1/admin/apis';
const one = `${path}/{id}` as const;

const tokenFormats = ['jwt', 'opaque'] as const;
const algorithms = ['ES256', 'RS256', 'EdDSA'] as const;
const states = ['active', 'disabled'] as const;

const shownApi = z
  .object({
    id: z.string().describe('The audience in base64url'),
    audience: z.string(),
    token_format: z.enum(tokenFormats),
    signing_alg: z.enum(algorithms).describe('Of tokens that are JWTs'),
    scopes: z.array(z.object({ name: z.string(), description: z.string() })),
    status: z.enum(states),
    created_at: z.iso.datetime(),
  })
  .meta({ id: 'Api' });

const scopes = z
  .array(z.strictObject({ name: z.string().max(200), description: z.string().max(1_000).default('') }))
  .max(200);
const unstorable = 'holds characters that cannot be kept';
const newApi = z
  .strictObject({
    audience: z.string().max(1_000),
    token_format: z.enum(tokenFormats).optional(),
    signing_alg: z.enum(algorithms).optional(),
    scopes: scopes.optional(),
  })
  .refine(isStorable, unstorable);
const changes = z
  .strictObject({
    token_format: z.enum(tokenFormats),
    signing_alg: z.enum(algorithms),
    scopes,
    status: z.enum(states),
  })
  .partial()
  .refine(isStorable, unstorable);

export function registeredApiRoutes({ apiServices }: RegisteredApiRoutesOptions): readonly ApiRoute[] {
  const reads = permitted('apis:read');
  const writes = permitted('apis:write');
  return [
    route({
      summary: 'The APIs of the tenant',
      method: 'GET',
      path,
      chain: reads,
      query: listQuery.extend({ status: z.enum(states).optional() }),
      answers: listOf(shownApi),
      async handle({ engine, query }) {
        const { status, limit, cursor } = query;
        const after = cursor === undefined ? undefined : readPlace(cursor);
        const rows = await listApisInParts(apiServices, { tenantId: engine.tenant.id, status, after, limit });
        return { status: 200, body: answerList(rows, query, present, writePlace) };
      },
    }),
    route({
      summary: 'Register an API',
      method: 'POST',
      path,
      chain: writes,
      body: newApi,
      statuses: [201],
      answers: shownApi,
      async handle(request) {
        const { audience, token_format: tokenFormat, signing_alg: signingAlg, scopes } = request.body;
        const { id: tenantId } = request.engine.tenant;
        const api = { audience, tokenFormat, signingAlg, scopes };
        const created = await createApi(managementContext(apiServices, request), { tenantId, api });
        if (created.outcome === 'taken')
          throw new ProblemRaised(problems.taken('The tenant has an API with this audience.'));
        if (created.outcome === 'refused') throw new ProblemRaised(refusalOf(created.problems));
        const body = await found({ tenantId, audience });
        return { status: 201, headers: { location: `${request.exchange.path}/${body.id}` }, body };
      },
    }),
    route({
      summary: 'An API',
      method: 'GET',
      path: one,
      chain: reads,
      answers: shownApi,
      handle: async (request) => ({ status: 200, body: await found(oneOf(request)) }),
    }),
    route({
      summary: 'Change an API; its audience is what it is, and stays (RFC 7396)',
      method: 'PATCH',
      path: one,
      chain: writes,
      body: changes,
      answers: shownApi,
      async handle(request) {
        const { token_format: tokenFormat, signing_alg: signingAlg, scopes, status } = request.body;
        const updated = await updateApi(managementContext(apiServices, request), {
          ...oneOf(request),
          changes: { tokenFormat, signingAlg, scopes, status },
          guard: unchanged(request, present),
        });
        if (updated.outcome === 'unknown_api') throw notThere();
        if (updated.outcome === 'refused') throw new ProblemRaised(refusalOf(updated.problems));
        return { status: 200, body: present(updated.api) };
      },
    }),
    route({
      summary: 'Remove an API; its tokens are good for nothing',
      method: 'DELETE',
      path: one,
      chain: writes,
      async handle(request) {
        const { outcome } = await deleteApi(managementContext(apiServices, request), {
          ...oneOf(request),
          guard: unchanged(request, present),
        });
        if (outcome === 'unknown_api') throw notThere();
        return { status: 204 };
      },
    }),
  ];

  async function found(api: OneApi) {
    const row = await showApi(apiServices, api);
    if (row === undefined) throw notThere();
    return present(row);
  }
}

type OneApi = Parameters<typeof showApi>[1];

/** One spelling for each: what base64url could also mean is nobody's. */
function oneOf({ engine, parameters }: ApiRequest<ManagementCaller, unknown, unknown>): OneApi {
  const id = parameters['id'] ?? '';
  const audience = Buffer.from(id, 'base64url').toString('utf8');
  if (!isAudience(audience) || idOf(audience) !== id) throw notThere();
  return { tenantId: engine.tenant.id, audience };
}

function idOf(audience: string): string {
  return Buffer.from(audience).toString('base64url');
}

function present(row: ApiEntryRow): z.output<typeof shownApi> {
  return {
    id: idOf(row.audience),
    audience: row.audience,
    token_format: row.token_format,
    signing_alg: row.signing_alg,
    scopes: row.scopes.map(({ name, description }) => ({ name, description })),
    status: row.status,
    created_at: row.created_at.toISOString(),
  };
}

function refusalOf(refused: readonly { readonly field: ApiField; readonly problem: string }[]): Problem {
  return problems.invalidFields(
    refused.map(({ field, problem }) => ({
      pointer: `#/${field}`,
      code: problem,
      detail: `is refused (${problem.replaceAll('_', ' ')})`,
    })),
  );
}

function notThere(): ProblemRaised {
  return new ProblemRaised(problems.notFound());
}

function writePlace({ created_at, audience }: ApiEntryRow): string {
  return `${created_at.toISOString()} ${audience}`;
}

/** Signed by the door: it is what this list wrote. */
function readPlace(place: string): ApiPlace {
  const [createdAt = '', audience = ''] = place.split(' ');
  return { createdAt: new Date(createdAt), audience };
}
