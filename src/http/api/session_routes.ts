/** Who is signed in at a tenant, and ending it. The identifier of a session opens nothing. */
import { z } from 'zod';
import { userId } from '#src/domain/user.ts';
import { findTenantSessions, revokeSession, type TenantSession } from '#src/flows/sessions/manage_sessions.ts';
import { isUuid } from '#src/foundation/identifiers.ts';
import { ProblemRaised, problems } from '../problems.ts';
import { permitted } from './chains.ts';
import { type ManagementServices, managementContext, openPlace, placeOfRow } from './management.ts';
import { answerList, listOf, listQuery } from './pages_of_lists.ts';
import { beyondFaults } from './role_routes.ts';
import { type ApiRoute, route } from './routes.ts';

export interface SessionRoutesOptions {
  readonly apiServices: ManagementServices;
}

const path = '/api/v1/admin/sessions';
const time = z.iso.datetime();

export const shownSession = z
  .object({
    id: z.string(),
    user: z.object({ id: z.uuid(), email: z.string() }),
    created_at: time,
    last_used_at: time,
    expires_at: time.describe('Unless it is used again before'),
    address: z.string().nullable().describe('Where it was last used from'),
    user_agent: z.string().nullable(),
    factors: z.array(z.string()).describe('RFC 8176'),
    applications: z.array(z.object({ client_id: z.string(), name: z.string() })),
  })
  .meta({ id: 'Session' });

const sessionQuery = listQuery.extend({
  user_id: z.string().refine(isUuid, 'is no identifier of a person').optional(),
});

export function sessionRoutes({ apiServices }: SessionRoutesOptions): readonly ApiRoute[] {
  return [
    route({
      summary: 'Who is signed in, the latest first',
      method: 'GET',
      path,
      chain: permitted('sessions:read'),
      query: sessionQuery,
      answers: listOf(shownSession),
      async handle({ engine, query }) {
        const sessions = await findTenantSessions(apiServices, {
          tenantId: engine.tenant.id,
          userId: query.user_id === undefined ? undefined : userId(query.user_id),
          before: openPlace(query.cursor),
          limit: query.limit + 1,
        });
        return { status: 200, body: answerList(sessions, query, presentSession, placeOfRow) };
      },
    }),
    route({
      summary: 'One session',
      method: 'GET',
      path: `${path}/{id}`,
      chain: permitted('sessions:read'),
      answers: shownSession,
      async handle({ engine, parameters }) {
        const wanted = { tenantId: engine.tenant.id, sessionUid: parameters['id'] ?? '', limit: 1 };
        const [session] = await findTenantSessions(apiServices, wanted);
        if (session === undefined) throw new ProblemRaised(problems.notFound());
        return { status: 200, body: presentSession(session) };
      },
    }),
    route({
      summary: 'End a session, with everything that was issued under it',
      method: 'DELETE',
      path: `${path}/{id}`,
      chain: permitted('sessions:write'),
      async handle(request) {
        const { engine, caller, parameters } = request;
        const wanted = { tenantId: engine.tenant.id, sessionId: parameters['id'] ?? '', by: caller.permissions };
        const ended = await revokeSession(managementContext(apiServices, request), wanted);
        if (ended.outcome === 'unknown') throw new ProblemRaised(problems.notFound());
        if (ended.outcome === 'beyond_your_own')
          throw new ProblemRaised(problems.beyondYourOwn(beyondFaults(undefined, ended.permissions)));
        return { status: 204 };
      },
    }),
  ];
}

export function presentSession(session: TenantSession) {
  return {
    id: session.id,
    user: { id: session.userId, email: session.email },
    created_at: session.createdAt.toISOString(),
    last_used_at: session.lastUsedAt.toISOString(),
    expires_at: session.expiresAt.toISOString(),
    address: session.address ?? null,
    user_agent: session.userAgent ?? null,
    factors: session.factors,
    applications: session.applications,
  };
}
