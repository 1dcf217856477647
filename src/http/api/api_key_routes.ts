/** A person's own API keys, and what a key itself can ask. Whose a key is comes from the token, never from what was sent. */
import { z } from 'zod';
import { type KeyFault, MAXIMUM_KEY_NAME } from '#src/domain/api_key.ts';
import { MAXIMUM_SCOPES } from '#src/domain/scope.ts';
import { userId } from '#src/domain/user.ts';
import {
  type ApiKeySummary,
  type CreateApiKeyOutcome,
  createApiKey,
  listOwnApiKeys,
  revokeApiKey,
} from '#src/flows/access/manage_api_keys.ts';
import type { FlowContext } from '#src/flows/flow_context.ts';
import { isUuid } from '#src/foundation/identifiers.ts';
import type { TokenCaller } from '#src/oidc/own_access_tokens.ts';
import { type FieldFault, type Problem, ProblemRaised, problems } from '../problems.ts';
import { bearer, serviceKey } from './chains.ts';
import { instant, line } from './input.ts';
import { answerList, listOf, listQuery } from './pages_of_lists.ts';
import { type ApiRequest, type ApiRoute, route } from './routes.ts';

export interface ApiKeyRoutesOptions {
  readonly apiServices: Omit<FlowContext, 'actor' | 'origin'>;
}

const own = bearer({ scope: 'api_keys:manage', kinds: ['user'] });
const path = '/api/v1/api-keys';

export const newKey = z.strictObject({
  name: line(MAXIMUM_KEY_NAME),
  scopes: z.array(line(100)).max(MAXIMUM_SCOPES).default([]),
  // A key that says nothing of its end gets the latest there may be.
  expires_at: instant.nullish(),
});

export const ownKey = z
  .object({
    id: z.uuid(),
    name: z.string(),
    prefix: z.string(),
    scopes: z.array(z.string()),
    created_at: z.iso.datetime(),
    expires_at: z.iso.datetime(),
    last_used_at: z.iso.datetime().nullable(),
    last_used_address: z.string().nullable(),
    uses: z.number(),
  })
  .meta({ id: 'OwnApiKey' });
const serviceStatus = z.object({
  status: z.literal('ok'),
  tenant: z.string(),
  key: ownKey.pick({ id: true, name: true, scopes: true, expires_at: true }),
});

export function apiKeyRoutes({ apiServices }: ApiKeyRoutesOptions): readonly ApiRoute[] {
  return [
    route({
      summary: 'Make an API key of your own; it is shown once',
      statuses: [201],
      answers: ownKey.extend({ key: z.string() }),
      method: 'POST',
      path,
      chain: own,
      body: newKey,
      async handle(request) {
        const { caller, engine, body } = request;
        const created = await createApiKey(contextOf(request), {
          ...ownerOf(request),
          settings: engine.people,
          name: body.name,
          scopes: body.scopes,
          expiresAt: body.expires_at ?? undefined,
          tokenScopes: caller.firstParty ? undefined : caller.scopes,
        });
        if (created.outcome !== 'created') throw new ProblemRaised(refusalOfKey(created));
        return { status: 201, body: { ...presentKey(created.summary), key: created.key } };
      },
    }),
    route({
      summary: 'Your API keys',
      answers: listOf(ownKey),
      method: 'GET',
      path,
      chain: own,
      query: listQuery,
      async handle(request) {
        const { limit, cursor } = request.query;
        const keys = await listOwnApiKeys(apiServices, { ...ownerOf(request), limit, after: cursor });
        return { status: 200, body: answerList(keys, request.query, presentKey) };
      },
    }),
    route({
      summary: 'Revoke one of your API keys',
      method: 'DELETE',
      path: `${path}/{id}`,
      chain: own,
      async handle(request) {
        const id = request.parameters['id'] ?? '';
        const revoked = isUuid(id) ? await revokeApiKey(contextOf(request), { ...ownerOf(request), id }) : undefined;
        if (revoked?.outcome !== 'revoked') throw new ProblemRaised(problems.notFound());
        return { status: 204 };
      },
    }),
    route({
      summary: 'Whether a key works, and for what',
      answers: serviceStatus,
      method: 'GET',
      path: '/api/v1/service/status',
      chain: serviceKey(),
      async handle({ caller: key }) {
        const { id, name, scopes, expiresAt } = key;
        return {
          status: 200,
          body: {
            status: 'ok',
            tenant: key.tenantSlug,
            key: { id, name, scopes, expires_at: expiresAt.toISOString() },
          },
        };
      },
    }),
  ];

  function contextOf({ caller, exchange }: ApiRequest<TokenCaller, unknown, unknown>): FlowContext {
    return { ...apiServices, actor: { type: 'user', id: caller.userId }, origin: exchange.origin };
  }
}

function ownerOf({ caller, engine }: ApiRequest<TokenCaller, unknown, unknown>) {
  return { tenantId: engine.tenant.id, userId: userId(caller.userId ?? '') };
}

/** What everybody may see of a key who may see it at all. */
export function presentKey(key: ApiKeySummary) {
  return {
    id: key.id,
    name: key.name,
    prefix: key.beginning,
    scopes: key.scopes,
    created_at: key.createdAt.toISOString(),
    expires_at: key.expiresAt.toISOString(),
    last_used_at: key.lastUsedAt?.toISOString() ?? null,
    last_used_address: key.lastUsedAddress ?? null,
    uses: key.uses,
  };
}

/** Why no key was made. */
export function refusalOfKey(outcome: Exclude<CreateApiKeyOutcome, { readonly outcome: 'created' }>): Problem {
  switch (outcome.outcome) {
    case 'not_allowed':
      return problems.insufficientPermission('api-keys:write');
    case 'too_many':
      return problems.tooManyThings(outcome.maximum);
    // Between the look at the token and the deed they ceased to be a member. Nobody brings an identifier of their own.
    case 'unknown':
    case 'made_before':
      return problems.notFound();
    case 'refused': {
      const isWider = outcome.faults.every((fault) => fault.problem === 'beyond_your_own');
      const faults = outcome.faults.map(presentFault);
      return isWider ? problems.beyondYourOwn(faults) : problems.invalidFields(faults);
    }
    default: {
      const never: never = outcome;
      return never;
    }
  }
}

function presentFault(fault: KeyFault): FieldFault {
  const code = fault.problem;
  switch (fault.problem) {
    case 'syntax':
      return { pointer: '#/name', code, detail: `is 1 to ${MAXIMUM_KEY_NAME} characters` };
    case 'too_many':
      return { pointer: '#/scopes', code, detail: `are at most ${MAXIMUM_SCOPES}` };
    case 'unknown':
      return { pointer: `#/scopes/${fault.index}`, code, detail: 'is nothing that a key can be for' };
    case 'beyond_your_own':
      return { pointer: `#/scopes/${fault.index}`, code, detail: 'is more than you hold yourself' };
    case 'past':
      return { pointer: '#/expires_at', code, detail: 'has passed' };
    case 'too_late':
      return { pointer: '#/expires_at', code, detail: `is more than ${fault.maximumDays} days from now` };
    default: {
      const never: never = fault;
      return never;
    }
  }
}
