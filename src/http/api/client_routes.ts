/**
 * The clients of a tenant over REST. A secret is in the answer that made it and in no other; nobody decides about a client that is worth
 * more than they are (docs/decisions/0042).
 */
import { z } from 'zod';
import { CLIENT_TYPES, type ClientProblem, parseClientId, TOKEN_ENDPOINT_AUTH_METHODS } from '#src/domain/client.ts';
import { isClientSettingName } from '#src/domain/client_settings.ts';
import { isStorable } from '#src/domain/stored_text.ts';
import { deleteClient } from '#src/flows/clients/delete_client.ts';
import {
  type ClientChanges,
  changeClientStatus,
  createClient,
  listClientsInParts,
  type OneClient,
  rotateClientSecret,
  showClient,
  updateClient,
} from '#src/flows/clients/manage_clients.ts';
import type { ClientListRow, ClientPlace } from '#src/storage/tables/clients.ts';
import { type FieldFault, type Problem, ProblemRaised, problems } from '../problems.ts';
import { type ManagementCaller, permitted } from './chains.ts';
import { unchanged } from './entity_tags.ts';
import { type ManagementServices, managementContext } from './management.ts';
import { answerList, listOf, listQuery } from './pages_of_lists.ts';
import { type ApiRequest, type ApiRoute, route } from './routes.ts';

export interface ClientRoutesOptions {
  readonly apiServices: ManagementServices;
}

const path = '/api/v1/admin/clients';
const one = `${path}/{id}` as const;

const shownClient = z
  .object({
    client_id: z.string(),
    name: z.string(),
    type: z.enum(CLIENT_TYPES),
    status: z.enum(['active', 'disabled']),
    first_party: z.boolean().describe("The tenant's own application: nobody is asked for consent"),
    redirect_uris: z.array(z.string()),
    post_logout_redirect_uris: z.array(z.string()),
    backchannel_logout_uri: z.string().nullable(),
    scopes: z.array(z.string()),
    audiences: z
      .array(z.string())
      .describe('Of a resource server: the APIs it stands for; with none every API of the tenant'),
    token_endpoint_auth_method: z.enum(TOKEN_ENDPOINT_AUTH_METHODS),
    jwks: z
      .object({ keys: z.array(z.record(z.string(), z.unknown())) })
      .nullable()
      .describe('Public keys'),
    settings: z.record(z.string(), z.unknown()).describe('By the names of RFC 7591 and of docs/integration'),
    live_secrets: z.int().describe('How many secrets are valid; the secrets themselves are shown when they are made'),
    created_at: z.iso.datetime(),
  })
  .meta({ id: 'Client' });

const shownSecret = z.string().describe('Shown this once');

const text = z.string().max(2_000);
const texts = z.array(text).max(100);
/** What a client can be asked to be. What it may be is for the domain to say, of all of it at once. */
const wishes = {
  name: text,
  first_party: z.boolean(),
  redirect_uris: texts,
  post_logout_redirect_uris: texts,
  backchannel_logout_uri: text.nullable(),
  scopes: texts.describe('On top of those that its type brings'),
  audiences: texts,
  token_endpoint_auth_method: text.nullable(),
  jwks: z.record(z.string(), z.unknown()).nullable(),
  settings: z.record(z.string(), z.unknown()),
} as const;
const unstorable = 'holds characters that cannot be kept';
const newClient = z
  .strictObject({ ...z.strictObject(wishes).partial().shape, name: text, type: z.enum(CLIENT_TYPES) })
  .refine(isStorable, unstorable);
const changes = z
  .strictObject({ ...wishes, status: z.enum(['active', 'disabled']) })
  .partial()
  .refine(isStorable, unstorable);

const filters = listQuery.extend({
  type: z.enum(CLIENT_TYPES).optional(),
  status: z.enum(['active', 'disabled']).optional(),
  first_party: z
    .enum(['true', 'false'])
    .transform((written) => written === 'true')
    .optional(),
});

export function clientRoutes({ apiServices }: ClientRoutesOptions): readonly ApiRoute[] {
  const reads = permitted('clients:read');
  const writes = permitted('clients:write');
  return [
    route({
      summary: 'The clients of the tenant',
      method: 'GET',
      path,
      chain: reads,
      query: filters,
      answers: listOf(shownClient),
      async handle({ engine, query }) {
        const { type, status, first_party: firstParty, limit, cursor } = query;
        const rows = await listClientsInParts(apiServices, {
          tenantId: engine.tenant.id,
          filter: { type, status, firstParty },
          after: cursor === undefined ? undefined : readPlace(cursor),
          limit,
        });
        return { status: 200, body: answerList(rows, query, present, writePlace) };
      },
    }),
    route({
      summary: 'Register a client; its secret, if it has one, is shown this once',
      method: 'POST',
      path,
      chain: writes,
      body: newClient,
      statuses: [201],
      answers: shownClient.extend({ client_secret: shownSecret.optional() }),
      async handle(request) {
        const { engine, caller, body } = request;
        const { id: tenantId } = engine.tenant;
        const created = await createClient(managementContext(apiServices, request), {
          tenantId,
          client: { ...withoutNull(wishOf(body)), name: body.name, type: body.type },
          protocol: engine.protocol,
          held: caller.permissions,
        });
        if (created.outcome === 'refused') throw new ProblemRaised(refusalOf(created.problems));
        const { clientId, clientSecret } = created;
        const client = await found({ tenantId, clientId });
        return {
          status: 201,
          headers: { location: `${addressOf(request)}/${clientId}` },
          body: { ...client, client_secret: clientSecret },
        };
      },
    }),
    route({
      summary: 'A client',
      method: 'GET',
      path: one,
      chain: reads,
      answers: shownClient,
      handle: async (request) => ({ status: 200, body: await found(oneOf(request)) }),
    }),
    route({
      summary: 'Change a client, as if it were registered anew with what it will then be (RFC 7396)',
      method: 'PATCH',
      path: one,
      chain: writes,
      body: changes,
      answers: shownClient.extend({ client_secret: shownSecret.optional() }),
      async handle(request) {
        const { engine, body } = request;
        const context = managementContext(apiServices, request);
        const client = oneOf(request);
        const { status, ...wanted } = body;
        const updated = await updateClient(context, {
          ...asManager(request, client),
          changes: { ...wishOf(wanted), ...(wanted.name === undefined ? {} : { name: wanted.name }) },
          protocol: engine.protocol,
        });
        if (updated.outcome === 'unknown_client') throw notThere();
        if (updated.outcome === 'refused') throw new ProblemRaised(refusalOf(updated.problems));
        if (status !== undefined)
          settle(await changeClientStatus(context, { ...client, held: request.caller.permissions, status }));
        const clientSecret = updated.outcome === 'updated' ? updated.clientSecret : undefined;
        return { status: 200, body: { ...(await found(client)), client_secret: clientSecret } };
      },
    }),
    route({
      summary: 'Remove a client with its tokens, consents and devices',
      method: 'DELETE',
      path: one,
      chain: writes,
      async handle(request) {
        settle(await deleteClient(managementContext(apiServices, request), asManager(request, oneOf(request))));
        return { status: 204 };
      },
    }),
    route({
      summary: 'Make another secret; the one before it stays valid until the next',
      method: 'POST',
      path: `${one}/secrets`,
      chain: writes,
      statuses: [201],
      answers: z
        .object({ client_id: z.string(), client_secret: shownSecret, live_secrets: z.int() })
        .meta({ id: 'ClientSecret' }),
      async handle(request) {
        const client = oneOf(request);
        const rotated = await rotateClientSecret(managementContext(apiServices, request), asManager(request, client));
        if (rotated.outcome === 'refused') {
          if (rotated.reason === 'unknown_client') throw notThere();
          if (rotated.reason === 'beyond_your_own') throw new ProblemRaised(problems.beyondYourOwn([]));
          throw new ProblemRaised(problems.conflict('A client of this kind authenticates without a secret.'));
        }
        return {
          status: 201,
          body: {
            client_id: client.clientId,
            client_secret: rotated.clientSecret,
            live_secrets: rotated.liveSecrets,
          },
        };
      },
    }),
  ];

  async function found(client: Pick<OneClient, 'tenantId' | 'clientId'>) {
    const row = await showClient(apiServices, client);
    if (row === undefined) throw notThere();
    return present(row);
  }
}

type Asked = ApiRequest<ManagementCaller, unknown, unknown>;

/** Of the tenant. What is no identifier is nobody's. */
function oneOf({ engine, parameters }: Asked): Pick<OneClient, 'tenantId' | 'clientId'> {
  const clientId = parseClientId(parameters['id']);
  if (clientId === undefined) throw notThere();
  return { tenantId: engine.tenant.id, clientId };
}

function asManager(request: Asked, client: Pick<OneClient, 'tenantId' | 'clientId'>): OneClient {
  return { ...client, held: request.caller.permissions, guard: unchanged(request, present) };
}

function addressOf({ exchange }: Asked): string {
  return exchange.path;
}

function present(row: ClientListRow): z.output<typeof shownClient> {
  return {
    client_id: row.client_id,
    name: row.name,
    type: row.type,
    status: row.status,
    first_party: row.first_party,
    redirect_uris: [...row.redirect_uris],
    post_logout_redirect_uris: [...row.post_logout_redirect_uris],
    backchannel_logout_uri: row.backchannel_logout_uri,
    scopes: [...row.scopes],
    audiences: [...row.audiences],
    token_endpoint_auth_method: row.token_endpoint_auth_method,
    jwks: row.jwks === null ? null : { keys: [...row.jwks.keys] },
    settings: { ...row.settings },
    live_secrets: row.live_secrets,
    created_at: row.created_at.toISOString(),
  };
}

type Wishes = Partial<Omit<z.output<typeof changes>, 'status'>>;

/** In the words of the flows. What is not there is not said. */
function wishOf(wanted: Wishes): Omit<ClientChanges, 'name'> {
  return {
    redirectUris: wanted.redirect_uris,
    postLogoutRedirectUris: wanted.post_logout_redirect_uris,
    backchannelLogoutUri: wanted.backchannel_logout_uri,
    scopes: wanted.scopes,
    audiences: wanted.audiences,
    firstParty: wanted.first_party,
    tokenEndpointAuthMethod: wanted.token_endpoint_auth_method,
    ...(wanted.jwks === undefined ? {} : { jwks: wanted.jwks }),
    settings: wanted.settings,
  };
}

/** A new client has nothing that could be taken back. */
function withoutNull({ backchannelLogoutUri, tokenEndpointAuthMethod, jwks, ...others }: Omit<ClientChanges, 'name'>) {
  return {
    ...others,
    backchannelLogoutUri: backchannelLogoutUri ?? undefined,
    tokenEndpointAuthMethod: tokenEndpointAuthMethod ?? undefined,
    ...((jwks ?? undefined) === undefined ? {} : { jwks }),
  };
}

function refusalOf(refused: readonly ClientProblem[]): Problem {
  const faults = refused.map(presentFault);
  const isWider = refused.every(({ problem }) => problem === 'beyond_your_own');
  return isWider ? problems.beyondYourOwn(faults) : problems.invalidFields(faults);
}

function presentFault({ field, problem, value }: ClientProblem): FieldFault {
  const about = value === undefined ? '' : `: ${value}`;
  const pointer =
    field === 'settings' && value !== undefined ? `settings/${encodeURIComponent(value)}` : placeOf(field);
  return { pointer: `#/${pointer}`, code: problem, detail: `is refused (${problem.replaceAll('_', ' ')}${about})` };
}

function placeOf(field: string): string {
  return isClientSettingName(field) ? `settings/${field}` : field;
}

function settle({ outcome }: { readonly outcome: string }): void {
  if (outcome === 'unknown_client') throw notThere();
  if (outcome === 'beyond_your_own') throw new ProblemRaised(problems.beyondYourOwn([]));
}

function notThere(): ProblemRaised {
  return new ProblemRaised(problems.notFound());
}

function writePlace({ created_at, client_id }: ClientListRow): string {
  return `${created_at.toISOString()} ${client_id}`;
}

/** Signed by the door: it is what this list wrote. */
function readPlace(place: string): ClientPlace {
  const [createdAt = '', clientId = ''] = place.split(' ');
  return { createdAt: new Date(createdAt), clientId };
}
