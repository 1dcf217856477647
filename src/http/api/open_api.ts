/**
 * The description of the REST API (OpenAPI 3.1), made from the routes themselves: what is served is described, and what is described is
 * served. test/http/api/open_api.test.ts proves both ways.
 */
import { z } from 'zod';
import { createDocument, type ZodOpenApiOperationObject, type ZodOpenApiPathsObject } from 'zod-openapi';
import { managementScope } from '#src/domain/own_scope.ts';
import { type Chain, isOfManagement } from './chains.ts';
import type { ApiRoute } from './routes.ts';

export interface DescribedApi {
  /** Below which the addresses are; undefined for a description of every tenant's, in which the reader names one. */
  readonly issuer: string | undefined;
  /** What is said at the top. */
  readonly title: string;
  readonly publicUrl: string;
  readonly version: string;
  /** What is served at the installation itself. */
  readonly platform?: readonly ApiRoute[] | undefined;
}

const fieldFault = z.object({
  pointer: z.string().optional().describe('Where in the body (RFC 6901)'),
  parameter: z.string().optional().describe('Which query parameter'),
  code: z.string(),
  detail: z.string(),
});

const problemSchema = z
  .object({
    type: z.url().describe('A page that says what it means and what to do'),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string(),
    code: z.string().describe('A stable word'),
    request_id: z.string().describe('Mention it when you ask for help'),
    errors: z.array(fieldFault).optional(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457' });

const problemAnswer = {
  description: 'Refused, with the reason',
  content: { 'application/problem+json': { schema: problemSchema } },
} as const;

/** Pure: the same routes give the same document. Throws for a schema that cannot be told in JSON Schema. */
export function describeApi(tenantRoutes: readonly ApiRoute[], described: DescribedApi): object {
  const { issuer, title, publicUrl, version, platform = [] } = described;
  const routes = [...tenantRoutes, ...platform];
  const paths: ZodOpenApiPathsObject = {};
  for (const route of routes) {
    const operation = operationOf(route, { hasFlows: issuer !== undefined });
    const servers = platform.includes(route) ? { servers: [{ url: publicUrl }] } : {};
    paths[route.path] = { ...paths[route.path], ...servers, [route.method.toLowerCase()]: operation };
  }
  return createDocument(
    {
      openapi: '3.1.0',
      info: { title, version, description: introduction, license: { name: 'MIT', identifier: 'MIT' } },
      servers: [issuer === undefined ? anyTenant(publicUrl) : { url: issuer }],
      tags: [...new Set(routes.map(tagOf))].sort().map((name) => ({ name })),
      paths,
      components: {
        securitySchemes: {
          ...(issuer === undefined ? {} : { oauth2: flowsAt(issuer, routes) }),
          bearer: { type: 'http', scheme: 'bearer', description: 'The same token, pasted.' },
          apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
        },
      },
    },
    {
      override: ({ jsonSchema, io }) => {
        // Answers grow: whoever reads them must not break over a member that is new.
        if (io === 'output') delete jsonSchema.additionalProperties;
      },
    },
  );
}

function anyTenant(publicUrl: string) {
  return { url: `${publicUrl}/t/{tenant}`, variables: { tenant: { default: 'demo', description: 'Which tenant' } } };
}

function flowsAt(issuer: string, routes: readonly ApiRoute[]) {
  const scopes = Object.fromEntries(
    [...new Set(routes.flatMap(({ chain }) => scopesOf(chain)))].sort().map((scope) => [scope, '']),
  );
  const [tokenUrl, authorizationUrl] = [`${issuer}/token`, `${issuer}/authorize`];
  return {
    type: 'oauth2',
    description: 'An access token of this tenant that was made for no API (no `resource`).',
    flows: {
      authorizationCode: { authorizationUrl, tokenUrl, refreshUrl: tokenUrl, scopes },
      clientCredentials: { tokenUrl, scopes },
    },
  } as const;
}

const introduction = [
  'Lists come in parts: `limit` and `cursor`, answered with `data` and `next_cursor`. An answer names its state in `ETag`; with `If-Match` a',
  'change is made to that state or not at all. A POST of the administration under an `Idempotency-Key` is granted once, however often it is',
  'sent within a day. Refusals are RFC 9457 problems whose `type` is a page that explains them.',
].join(' ');

function operationOf(route: ApiRoute, { hasFlows }: { readonly hasFlows: boolean }): ZodOpenApiOperationObject {
  const { summary, method, path, chain, body, query, statuses, answers, streams } = route;
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
  const content =
    streams.length > 0
      ? Object.fromEntries(streams.map((type) => [type, { schema: z.string() }]))
      : answers && { 'application/json': { schema: answers } };
  const described = (status: number) => ({
    description: descriptions[String(status)] ?? 'Done',
    ...(content === undefined || status === 204 ? {} : { content }),
  });
  return {
    operationId: operationIdOf(method, path),
    summary,
    tags: [tagOf(route)],
    security: securityOf(chain, hasFlows),
    requestParams: {
      ...(names.length === 0 ? {} : { path: z.object(Object.fromEntries(names.map((name) => [name, z.string()]))) }),
      // A query is a strict object: `route` says so.
      ...(query === undefined ? {} : { query: query as z.ZodObject }),
      ...(isIdempotent(route) ? { header: z.object({ 'Idempotency-Key': z.string().max(255).optional() }) } : {}),
    },
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: body } } } }),
    responses: {
      ...Object.fromEntries(statuses.map((status) => [`${status}` as '200', described(status)])),
      default: problemAnswer,
    },
  };
}

const descriptions: Readonly<Record<string, string>> = { 200: 'The answer', 201: 'Made', 202: 'Taken', 204: 'Done' };

function isIdempotent({ method, chain }: ApiRoute): boolean {
  return method === 'POST' && isOfManagement(chain);
}

/** `GET /api/v1/admin/users/{id}` is `get_admin_users_id`: stable, and a name in every language. */
function operationIdOf(method: string, path: string): string {
  const parts = path.replace('/api/v1/', '').replaceAll(/[{}]/g, '').split(/[/-]/);
  return [method.toLowerCase(), ...parts].join('_');
}

function tagOf({ path }: ApiRoute): string {
  const [first = '', second = ''] = path.replace('/api/v1/', '').split('/');
  return first === 'admin' ? `admin: ${second}` : first;
}

function scopesOf(chain: Chain): readonly string[] {
  if (chain.chain === 'permitted') return [managementScope(chain.permission)];
  if (chain.chain === 'operator') return [`platform:${chain.permission}`];
  if (chain.chain === 'bearer') return chain.scope === undefined ? [] : [chain.scope];
  return chain.chain === 'bearerOrKey' && chain.bearer.scope !== undefined ? [chain.bearer.scope] : [];
}

function securityOf(chain: Chain, hasFlows: boolean): NonNullable<ZodOpenApiOperationObject['security']> {
  const key = { apiKey: [] };
  const token = [...(hasFlows ? [{ oauth2: [...scopesOf(chain)] }] : []), { bearer: [] }];
  switch (chain.chain) {
    case 'public':
      return [];
    case 'firstParty':
      // Nothing has to be shown, and a token may be where it is welcome.
      return chain.token === undefined ? [] : [{}, ...token];
    case 'serviceKey':
      return [key];
    case 'bearer':
    case 'operator':
      return token;
    case 'bearerOrKey':
    case 'permitted':
      return [...token, key];
    default: {
      const never: never = chain;
      return never;
    }
  }
}
