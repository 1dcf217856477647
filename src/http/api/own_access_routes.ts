/** Where a person is signed in and what they let applications do, over REST, and ending it. Whose it is comes from the token alone. */
import { z } from 'zod';
import type { FlowContext } from '#src/flows/flow_context.ts';
import { type ConsentSummary, listPersonConsents, revokeConsent } from '#src/flows/people/manage_consents.ts';
import {
  listPersonSessions,
  revokePersonSessions,
  revokeSession,
  type SessionSummary,
} from '#src/flows/sessions/manage_sessions.ts';
import type { TokenCaller } from '#src/oidc/own_access_tokens.ts';
import { ProblemRaised, problems } from '../problems.ts';
import { ownAccount, ownerOf } from './profile_routes.ts';
import { type ApiRequest, type ApiRoute, route } from './routes.ts';

export interface OwnAccessRoutesOptions {
  readonly apiServices: Omit<FlowContext, 'actor' | 'origin'>;
}

const sessionsPath = '/api/v1/user/sessions';
const consentsPath = '/api/v1/user/consents';

const ownSession = z
  .object({
    id: z.string(),
    current: z.boolean().describe('The one that this call is made in.'),
    created_at: z.iso.datetime(),
    last_used_at: z.iso.datetime(),
    expires_at: z.iso.datetime(),
    address: z.string().nullable(),
    user_agent: z.string().nullable(),
    amr: z.array(z.string()),
    applications: z.array(z.object({ client_id: z.string(), name: z.string() })),
  })
  .meta({ id: 'OwnSession' });
const ownConsent = z
  .object({
    id: z.string().describe('Of the application.'),
    name: z.string(),
    rights: z.array(z.object({ name: z.string(), description: z.string().nullable() })),
    granted_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
  })
  .meta({ id: 'OwnConsent' });

/** All of them at once: one person has few. */
function allOf<Item extends z.ZodType>(item: Item) {
  return z.object({ data: z.array(item), next_cursor: z.null() });
}

type AnyRequest = ApiRequest<TokenCaller, unknown, unknown>;

export function ownAccessRoutes({ apiServices }: OwnAccessRoutesOptions): readonly ApiRoute[] {
  return [
    route({
      summary: 'Where you are signed in',
      method: 'GET',
      path: sessionsPath,
      chain: ownAccount,
      answers: allOf(ownSession),
      async handle(request) {
        const sessions = await sessionsOf(request);
        return { status: 200, body: { data: sessions.map(presentTo(request)), next_cursor: null } };
      },
    }),
    route({
      summary: 'One of your sessions',
      method: 'GET',
      path: `${sessionsPath}/{id}`,
      chain: ownAccount,
      answers: ownSession,
      async handle(request) {
        const found = (await sessionsOf(request)).find(({ id }) => id === request.parameters['id']);
        if (found === undefined) throw new ProblemRaised(problems.notFound());
        return { status: 200, body: presentTo(request)(found) };
      },
    }),
    route({
      summary: 'End every session but this one',
      method: 'DELETE',
      path: sessionsPath,
      chain: ownAccount,
      async handle(request) {
        const keptSessionId = request.caller.session?.id;
        await revokePersonSessions(asOwner(request), { ...ownerOf(request), keptSessionId });
        return { status: 204 };
      },
    }),
    route({
      summary: 'End one of your sessions, with everything issued under it',
      method: 'DELETE',
      path: `${sessionsPath}/{id}`,
      chain: ownAccount,
      async handle(request) {
        const sessionId = request.parameters['id'] ?? '';
        const { outcome } = await revokeSession(asOwner(request), { ...ownerOf(request), sessionId });
        if (outcome === 'unknown') throw new ProblemRaised(problems.notFound());
        return { status: 204 };
      },
    }),
    route({
      summary: 'What you let applications do',
      method: 'GET',
      path: consentsPath,
      chain: ownAccount,
      answers: allOf(ownConsent),
      async handle(request) {
        const consents = await listPersonConsents(asOwner(request), ownerOf(request));
        return { status: 200, body: { data: consents.map(presentConsent), next_cursor: null } };
      },
    }),
    route({
      summary: 'What you let one application do',
      method: 'GET',
      path: `${consentsPath}/{id}`,
      chain: ownAccount,
      answers: ownConsent,
      async handle(request) {
        const consents = await listPersonConsents(asOwner(request), ownerOf(request));
        const found = consents.find(({ clientId }) => clientId === request.parameters['id']);
        if (found === undefined) throw new ProblemRaised(problems.notFound());
        return { status: 200, body: presentConsent(found) };
      },
    }),
    route({
      summary: 'Take back what you let applications do, at all of them',
      method: 'DELETE',
      path: consentsPath,
      chain: ownAccount,
      async handle(request) {
        const owner = ownerOf(request);
        for (const { clientId } of await listPersonConsents(asOwner(request), owner))
          await revokeConsent(asOwner(request), { ...owner, clientId });
        return { status: 204 };
      },
    }),
    route({
      summary: 'Take back what you let one application do; its tokens end',
      method: 'DELETE',
      path: `${consentsPath}/{id}`,
      chain: ownAccount,
      async handle(request) {
        const clientId = request.parameters['id'] ?? '';
        const { outcome } = await revokeConsent(asOwner(request), { ...ownerOf(request), clientId });
        if (outcome === 'unknown') throw new ProblemRaised(problems.notFound());
        return { status: 204 };
      },
    }),
  ];

  function sessionsOf(request: AnyRequest): Promise<readonly SessionSummary[]> {
    return listPersonSessions(asOwner(request), ownerOf(request));
  }

  function asOwner({ caller, exchange }: AnyRequest): FlowContext {
    return { ...apiServices, actor: { type: 'user', id: caller.userId }, origin: exchange.origin };
  }
}

function presentTo({ caller }: AnyRequest) {
  return (session: SessionSummary): z.infer<typeof ownSession> => ({
    id: session.id,
    current: session.id === caller.session?.id,
    created_at: session.createdAt.toISOString(),
    last_used_at: session.lastUsedAt.toISOString(),
    expires_at: session.expiresAt.toISOString(),
    address: session.address ?? null,
    user_agent: session.userAgent ?? null,
    amr: [...session.factors],
    applications: session.applications.map(({ client_id, name }) => ({ client_id, name })),
  });
}

function presentConsent(consent: ConsentSummary): z.infer<typeof ownConsent> {
  return {
    id: consent.clientId,
    name: consent.name,
    rights: consent.rights.map(({ name, description }) => ({ name, description: description ?? null })),
    granted_at: consent.grantedAt.toISOString(),
    updated_at: consent.updatedAt.toISOString(),
  };
}
